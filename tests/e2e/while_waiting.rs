//! What the extension does while its request for the next event is open: it goes on serving everybody else.

use std::{
    fs,
    net::{Ipv4Addr, UdpSocket},
};

use matrix::sandbox::{Sandbox, Setup, journal::JournalEvent};
use serde_json::json;

use crate::support::{echo, end, eventually, invoke, setup_with};

/// More batches than the telemetry listener queues.
const BATCHES: usize = 40;

fn count(sandbox: &Sandbox, is_wanted: impl Fn(&JournalEvent) -> bool) -> usize {
    sandbox.journal().iter().filter(|entry| is_wanted(&entry.what)).count()
}

/// How often a batch of telemetry was accepted, and how often the extension asked for an event.
fn accepted_and_asked(sandbox: &Sandbox) -> (usize, usize) {
    let accepted = count(sandbox, |what| matches!(what, JournalEvent::Delivered { .. }));
    (accepted, count(sandbox, |what| matches!(what, JournalEvent::ExtensionNext { .. })))
}

/// Bytes that wait in the queue of the sandbox's DogStatsD socket. 1F BD is 8125.
fn unread_bytes(sandbox: &Sandbox) -> u64 {
    let sockets = sandbox.within(|| fs::read_to_string("/proc/thread-self/net/udp").unwrap()).unwrap();
    let socket = sockets.lines().find(|line| line.contains(":1FBD ")).expect("the DogStatsD socket");
    let queues = socket.split_whitespace().nth(4).unwrap();
    u64::from_str_radix(queues.split_once(':').unwrap().1, 16).unwrap()
}

/// The sandbox is not frozen here, so that nothing but the extension itself keeps it from working between two invocations.
#[test]
fn telemetry_and_dogstatsd_are_served_while_next_is_open() {
    let variables = [("DD_SERVERLESS_FLUSH_STRATEGY", "end")];
    let sandbox = Sandbox::start(Setup { freeze: false, ..setup_with(echo(), &variables) }).unwrap();
    let isolated = sandbox.journal().iter().any(|entry| entry.what == JournalEvent::NetworkIsolated);
    let invocations = invoke(&sandbox, 0..1);
    let (_, asked) = accepted_and_asked(&sandbox);
    for number in 0..BATCHES {
        let (accepted, _) = accepted_and_asked(&sandbox);
        let time = "2026-11-23T09:45:46.221Z";
        let line = json!({"time": time, "type": "function", "record": format!("written while waiting {number}")});
        assert!(sandbox.inject("datadog-agent", &[line]));
        eventually("a batch is accepted while next is open", || accepted_and_asked(&sandbox).0 > accepted);
    }
    if isolated {
        let send = || {
            let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
            socket.send_to(b"waiting:1|c", (Ipv4Addr::LOCALHOST, 8125)).unwrap();
        };
        sandbox.within(send).unwrap();
        eventually("a datagram is read while next is open", || unread_bytes(&sandbox) == 0);
    }
    assert_eq!(accepted_and_asked(&sandbox).1, asked, "all this happened before the next event");
    let run = end(sandbox, invocations);
    run.assert_unharmed();
    assert_eq!(run.count_messages("written while waiting "), BATCHES, "{}", run.own_lines());
    if isolated {
        let sum: f64 = run.intake.points("waiting").iter().map(|point| point.sum).sum();
        assert!((sum - 1.0).abs() < 1e-9, "{sum}\n{}", run.own_lines());
    }
}
