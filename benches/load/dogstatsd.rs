//! DogStatsD from the socket to the aggregate, against a bare `recvmmsg` loop over the same datagrams.
//!
//! The datagrams wait in the socket before a round begins, so that the sender takes none of the core that is measured, and none of them may be lost.

use std::{
    io::IoSliceMut,
    net::UdpSocket,
    os::fd::AsRawFd as _,
    time::{Duration, Instant},
};

use bottlecap::{
    aggregate::Contexts,
    config::Config,
    ingest::dogstatsd::{DatagramQueue, DogStatsdSocket},
    process::dogstatsd::read,
};
use nix::sys::socket::{MsgFlags, MultiHeaders, SockaddrIn, recvmmsg, setsockopt, sockopt};
use tokio::runtime::{Builder, Runtime};

use super::{
    Effort,
    page::{Section, median, number},
};

/// How many datagrams one call of the yardstick takes.
const BATCH: usize = 64;

struct Load {
    /// Datagrams that wait.
    waiting: usize,
    /// Lines in each.
    lines: usize,
    /// Different sets of tags.
    contexts: usize,
}

impl Load {
    fn datagrams(&self) -> Vec<String> {
        let line = |number: usize| {
            let customer = number % self.contexts;
            format!(
                "shop.checkout.latency:{}|d|#customer:{customer:05},endpoint:/api/v2/orders,store:berlin",
                number % 997
            )
        };
        let datagram =
            |number: usize| (0..self.lines).map(|part| line(number * self.lines + part)).collect::<Vec<_>>().join("\n");
        (0..self.waiting).map(datagram).collect()
    }
}

/// Measures what the listener takes in, at several loads.
pub fn measure(effort: Effort) -> Section {
    let load = |waiting, lines, contexts| Load { waiting, lines, contexts };
    // Four thousand fit into the queue of neither the system nor ours unless they are asked for.
    let loads = [
        load(100, 1, 1),
        load(1000, 1, 1),
        load(4000, 1, 1),
        load(1000, 1, 100),
        load(1000, 1, 10_000),
        load(1000, 5, 100),
        load(1000, 15, 100),
    ];
    let rows = loads.iter().map(|load| row(load, effort)).collect();
    Section {
        title: "DogStatsD",
        about: "Datagrams that wait in the socket, taken in and aggregated on one core by the extension's own listener, against a loop of `recvmmsg` \
                that throws them away. None may be lost. The loop never looks at a byte, so the more lines a datagram holds the further it is ahead."
            .to_owned(),
        columns: vec!["datagrams", "lines each", "contexts", "lines/s", "MB/s", "ns a line", "yardstick, ns a datagram", "ratio"],
        rows,
    }
}

fn row(load: &Load, effort: Effort) -> Vec<String> {
    let datagrams = load.datagrams();
    let ours = ExtensionQueue::new();
    let yardstick = bind();
    let (mut own, mut bare, mut ratios) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..effort.of(200, 3) {
        fill(&ours.address, &datagrams);
        let took = ours.take(load).as_secs_f64();
        fill(&yardstick, &datagrams);
        let least = throw_away(&yardstick, datagrams.len()).as_secs_f64();
        own.push(took);
        bare.push(least);
        ratios.push(least / took);
    }
    let (own, bare) = (median(own), median(bare));
    let lines = (load.waiting * load.lines) as f64;
    let bytes = datagrams.iter().map(String::len).sum::<usize>() as f64;
    vec![
        load.waiting.to_string(),
        load.lines.to_string(),
        load.contexts.to_string(),
        number(lines / own),
        number(bytes / own / 1e6),
        number(own / lines * 1e9),
        number(bare / load.waiting as f64 * 1e9),
        format!("{:.2}", median(ratios)),
    ]
}

/// A socket of which the system keeps as much as we are allowed to ask for.
fn bind() -> UdpSocket {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    let room = 64 << 20;
    let forced = setsockopt(&socket, sockopt::RcvBufForce, &room);
    forced.or_else(|_| setsockopt(&socket, sockopt::RcvBuf, &room)).unwrap();
    socket
}

fn fill(to: &UdpSocket, datagrams: &[String]) {
    let sender = UdpSocket::bind("127.0.0.1:0").unwrap();
    sender.connect(to.local_addr().unwrap()).unwrap();
    for datagram in datagrams {
        sender.send(datagram.as_bytes()).unwrap();
    }
}

/// The extension's queue, read by one thread.
struct ExtensionQueue {
    runtime: Runtime,
    queue: DatagramQueue,
    /// Another handle of the same socket.
    address: UdpSocket,
}

impl ExtensionQueue {
    fn new() -> Self {
        let runtime = Builder::new_current_thread().enable_all().build().unwrap();
        let socket = bind();
        let address = socket.try_clone().unwrap();
        let queue = runtime
            .block_on(async { DogStatsdSocket::from_handover(socket).serve(&Config::default().dogstatsd) })
            .unwrap();
        Self { runtime, queue, address }
    }

    /// How long it takes until everything is aggregated.
    fn take(&self, load: &Load) -> Duration {
        let mut contexts = Contexts::default();
        let begin = Instant::now();
        self.runtime.block_on(async {
            let mut lines = 0;
            while lines < load.waiting * load.lines {
                self.queue.arrived().await;
                let tally = read(&self.queue.take(), 1_700_000_000, None, |metric| {
                    lines += 1;
                    contexts.push(metric);
                });
                assert_eq!(tally.malformed, 0);
            }
        });
        let took = begin.elapsed();
        assert_eq!(contexts.take_dropped(), 0);
        assert_eq!(contexts.drain().distributions.len(), load.contexts.min(load.waiting * load.lines));
        took
    }
}

/// How long it takes to receive them at all.
fn throw_away(socket: &UdpSocket, count: usize) -> Duration {
    let mut buffers = vec![[0_u8; 8192]; BATCH];
    let mut headers = MultiHeaders::<SockaddrIn>::preallocate(BATCH, None);
    let begin = Instant::now();
    let mut received = 0;
    while received < count {
        let mut slices: Vec<_> = buffers.iter_mut().map(|buffer| [IoSliceMut::new(buffer)]).collect();
        let results = recvmmsg(socket.as_raw_fd(), &mut headers, &mut slices, MsgFlags::MSG_DONTWAIT, None).unwrap();
        received += results.map(|result| assert!(result.bytes > 0)).count();
    }
    begin.elapsed()
}
