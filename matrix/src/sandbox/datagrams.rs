//! What the function sends to DogStatsD, seen on the sandbox's own loopback device, whether or not the extension reads it.
//!
//! Source: `packet(7)`. It needs a network of the sandbox's own, in which nobody else sends.

use std::io;
use std::os::fd::{AsFd as _, AsRawFd as _, OwnedFd};
use std::sync::{Arc, Mutex, PoisonError, Weak};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::socket::{
    AddressFamily, LinkAddr, SockFlag, SockProtocol, SockType, recvfrom, setsockopt, socket, sockopt,
};

/// The port of DogStatsD.
const PORT: u16 = 8125;
const UDP: u8 = 17;
/// Size in bytes of a UDP header.
const UDP_HEADER: usize = 8;
/// The loopback device shows each packet as it leaves and as it arrives; this is the former (`PACKET_OUTGOING`).
const OUTGOING: u8 = 4;
/// Size of the socket's buffer in bytes.
const BUFFER: usize = 8 << 20;
/// Interval in milliseconds at which the reader looks whether the sandbox has ended.
const GLANCE: u16 = 50;

/// All datagrams so far.
#[derive(Debug, Default)]
pub(crate) struct Datagrams(Mutex<Vec<Vec<u8>>>);

impl Datagrams {
    /// Watches the calling thread's network from a thread of its own, as long as the result is in use.
    pub(crate) fn watch() -> io::Result<Arc<Self>> {
        let all = socket(
            AddressFamily::Packet,
            SockType::Datagram,
            SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK,
            SockProtocol::EthAll,
        )?;
        let _ = setsockopt(&all, sockopt::RcvBuf, &BUFFER);
        let datagrams = Arc::new(Self::default());
        let weak = Arc::downgrade(&datagrams);
        std::thread::Builder::new().name("datagrams".to_owned()).spawn(move || follow(&all, &weak))?;
        Ok(datagrams)
    }

    /// The datagrams in the order in which they were sent.
    pub(crate) fn read(&self) -> Vec<Vec<u8>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

fn follow(socket: &OwnedFd, datagrams: &Weak<Datagrams>) {
    let mut packet = vec![0; 1 << 17];
    loop {
        let _ = poll(&mut [PollFd::new(socket.as_fd(), PollFlags::POLLIN)], PollTimeout::from(GLANCE));
        let Some(datagrams) = datagrams.upgrade() else { return };
        while let Ok((length, from)) = recvfrom::<LinkAddr>(socket.as_raw_fd(), &mut packet) {
            let leaves = from.is_some_and(|from| from.as_ref().sll_pkttype == OUTGOING);
            if leaves && let Some(payload) = payload(packet.get(..length).unwrap_or_default()) {
                datagrams.0.lock().unwrap_or_else(PoisonError::into_inner).push(payload.to_owned());
            }
        }
    }
}

/// The payload of an IPv4 packet to DogStatsD. Source: RFC 791, RFC 768.
fn payload(packet: &[u8]) -> Option<&[u8]> {
    let first = *packet.first()?;
    let header = usize::from(first & 0xf) * 4;
    let length = usize::from(u16::from_be_bytes(packet.get(2..4)?.try_into().ok()?));
    let datagram = packet.get(header..length)?;
    let port = u16::from_be_bytes(datagram.get(2..4)?.try_into().ok()?);
    (first >> 4 == 4 && packet.get(9) == Some(&UDP) && port == PORT).then(|| datagram.get(UDP_HEADER..))?
}

#[cfg(test)]
mod tests {
    use std::net::UdpSocket;
    use std::time::{Duration, Instant};

    use super::*;
    use crate::sandbox::{in_own_network, isolation};

    #[test]
    fn datagrams_to_dogstatsd_are_captured_once_without_a_reader() {
        let seen = in_own_network(|| {
            let datagrams = Datagrams::watch().unwrap();
            // They are never read.
            let _sockets = [8125, 8126].map(|port| UdpSocket::bind(("127.0.0.1", port)).unwrap());
            let sender = UdpSocket::bind("127.0.0.1:0").unwrap();
            for (text, port) in [("one:1|c", 8125), ("other:1|c", 8126), ("two:2|d", 8125)] {
                sender.send_to(text.as_bytes(), ("127.0.0.1", port)).unwrap();
            }
            let began = Instant::now();
            while datagrams.read().len() < 2 && began.elapsed() < Duration::from_secs(20) {
                std::thread::sleep(Duration::from_millis(5));
            }
            datagrams.read()
        });
        match seen {
            Ok(seen) => assert_eq!(seen, [b"one:1|c".to_vec(), b"two:2|d".to_vec()]),
            Err(refused) => assert!(!isolation::is_required(), "{refused}"),
        }
    }

    #[test]
    fn what_is_no_datagram_to_dogstatsd_is_left_out() {
        assert_eq!(payload(&[]), None);
        assert_eq!(payload(&[0x45; 20]), None);
        let mut packet = vec![0x45, 0, 0, 30, 0, 0, 0, 0, 64, 17, 0, 0, 127, 0, 0, 1, 127, 0, 0, 1];
        packet.extend([0, 1, 0x1f, 0xbd, 0, 10, 0, 0, b'a', b'b']);
        assert_eq!(payload(&packet), Some(&b"ab"[..]));
        packet[9] = 6;
        assert_eq!(payload(&packet), None);
    }
}
