//! Measures from outside when all of an extension's sockets are served: bound, and read by the extension.
//!
//! A launcher binds the sockets long before its agent serves them, so that a connection alone says nothing: what counts is a response, and for datagrams an empty
//! receive queue.

use std::fs;
use std::io::{self, Read as _, Write as _};
use std::net::{Ipv4Addr, TcpStream, UdpSocket};
use std::sync::OnceLock;
use std::thread;
use std::time::{Duration, Instant};

use nix::time::{ClockId, clock_gettime};

use crate::sandbox::function::{Call, Handler, HandlerOutcome, InitError};

/// The ports of telemetry and of tracers, which answer requests over HTTP. Any response will do.
const HTTP: [u16; 2] = [8999, 8126];
/// The port of `DogStatsD`.
const DATAGRAMS: u16 = 8125;
/// A batch of nothing, which changes nothing that is delivered.
const REQUEST: &[u8] =
    b"POST / HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\ncontent-length: 2\r\nconnection: close\r\n\r\n[]";
/// Interval between two looks.
const GLANCE: Duration = Duration::from_micros(100);
/// How long to wait for all sockets. A throttled start at the smallest tier takes about a second.
const PATIENCE: Duration = Duration::from_secs(5);

/// A function whose runtime is ready when the extension serves all of its sockets, or does not within five seconds.
#[derive(Debug, Default)]
pub(super) struct Probe {
    /// `CLOCK_MONOTONIC` when the last socket was served.
    served: OnceLock<Duration>,
}

impl Probe {
    /// `CLOCK_MONOTONIC` when the last socket was served; `None` if that has not happened.
    pub fn served(&self) -> Option<Duration> {
        self.served.get().copied()
    }
}

impl Handler for Probe {
    fn init(&self, _init: &Call<'_>) -> Result<(), InitError> {
        let until = Instant::now() + PATIENCE;
        let probes = HTTP.map(|port| thread::spawn(move || wait(until, || answers(port, until))));
        let datagrams = wait(until, are_read);
        let answered = probes.into_iter().all(|probe| probe.join().unwrap_or(false));
        if let (true, true, Ok(now)) = (datagrams, answered, clock_gettime(ClockId::CLOCK_MONOTONIC)) {
            let _ = self.served.set(now.into());
        }
        Ok(())
    }

    fn handle(&self, _call: &Call<'_>) -> HandlerOutcome {
        HandlerOutcome::Response(b"null".to_vec())
    }
}

/// Looks again and again; false if it never came true.
fn wait(until: Instant, mut is_served: impl FnMut() -> bool) -> bool {
    while !is_served() {
        if Instant::now() > until {
            return false;
        }
        thread::sleep(GLANCE);
    }
    true
}

/// Whether a request on a port of the loopback device is answered. Waits for the response where the port is bound.
fn answers(port: u16, until: Instant) -> bool {
    let answer = || -> io::Result<usize> {
        let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port))?;
        stream.set_read_timeout(Some(until.saturating_duration_since(Instant::now()).max(GLANCE)))?;
        stream.write_all(REQUEST)?;
        stream.read(&mut [0; 1])
    };
    answer().is_ok_and(|bytes| bytes > 0)
}

/// Whether an empty datagram, which holds no metric, does not stay in the receive queue.
fn are_read() -> bool {
    let send = || -> io::Result<()> {
        let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))?;
        socket.connect((Ipv4Addr::LOCALHOST, DATAGRAMS))?;
        socket.send(&[])?;
        // Where nobody has bound the port, the system has told this socket by now.
        socket.take_error()?.map_or(Ok(()), Err)
    };
    send().is_ok() && fs::read_to_string("/proc/thread-self/net/udp").is_ok_and(|table| is_empty(&table, DATAGRAMS))
}

/// Whether the table of the system's UDP sockets has one on this port with nothing in its receive queue.
fn is_empty(table: &str, port: u16) -> bool {
    let ends = format!(":{port:04X}");
    table.lines().any(|line| {
        let mut fields = line.split_ascii_whitespace();
        let is_port = fields.nth(1).is_some_and(|local| local.ends_with(&ends));
        // `tx_queue:rx_queue`, after the peer and the state.
        is_port
            && fields
                .nth(2)
                .and_then(|queues| queues.split_once(':'))
                .is_some_and(|(_, received)| received.bytes().all(|byte| byte == b'0'))
    })
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;
    use crate::sandbox::in_own_network;
    use crate::sandbox::isolation;

    #[test]
    fn the_receive_queue_is_that_of_the_port() {
        let line = |port: &str, queue: &str| {
            format!("  1: 0100007F:{port} 00000000:0000 07 00000000:{queue} 00:00000000 00000000  0  0 1 2 3 0\n")
        };
        let table = line("1FBD", "00000000") + &line("1FBE", "00000300");
        assert!(is_empty(&table, 8125) && !is_empty(&table, 8126), "{table}");
        assert!(!is_empty(&table, 9000), "nobody has bound it");
    }

    #[test]
    fn a_port_that_is_only_bound_is_not_served() {
        let short = || Instant::now() + Duration::from_millis(50);
        let seen = in_own_network(|| {
            let unbound = (answers(HTTP[0], short()), are_read());
            let (listener, socket) = (
                TcpListener::bind(("127.0.0.1", HTTP[0])).unwrap(),
                UdpSocket::bind(("127.0.0.1", DATAGRAMS)).unwrap(),
            );
            let bound = (answers(HTTP[0], short()), are_read());
            thread::spawn(move || {
                while let Ok((mut stream, _)) = listener.accept() {
                    // Those that have waited in vain are gone.
                    let _ = stream.read(&mut [0; 512]);
                    let _ = stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n");
                }
            });
            thread::spawn(move || while socket.recv(&mut [0; 1]).is_ok() {});
            let until = Instant::now() + PATIENCE;
            let served = (wait(until, || answers(HTTP[0], until)), wait(until, are_read));
            [unbound, bound, served]
        });
        match seen {
            Ok(seen) => assert_eq!(seen, [(false, false), (false, false), (true, true)]),
            Err(refused) => isolation::skip(&format!("no network of its own: {refused}")),
        }
    }
}
