//! What the platform tells of the function: taken, answered with 200, and discarded.

use core::{mem::MaybeUninit, net::SocketAddrV4};

use extension_protocol::decimal;
use rustix::{
    event::{PollFd, PollFlags, poll},
    fd::{AsFd, OwnedFd},
    io::Errno,
    net::{
        AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, accept_with, bind, getsockname, listen, recv,
        send, socket_with,
    },
};

use crate::descriptors::above_standard;

/// How many connections wait to be accepted.
const BACKLOG: i32 = 128;
/// How many connections are served at once; the platform has one. Others wait to be accepted.
const SENDERS: usize = 8;
/// How many bytes are read at once.
const READ_BYTES: usize = 4096;
/// Of a line of a request's head: room for the header with the body's length, and for any length.
const LINE_BYTES: usize = 40;

const ACCEPTED: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n";

/// The listener, and who has connected.
pub struct Telemetry {
    listener: OwnedFd,
    senders: [Option<Sender>; SENDERS],
}

impl Telemetry {
    /// Binds any port.
    pub fn bind() -> Result<Self, Errno> {
        let listener = socket_with(AddressFamily::INET, SocketType::STREAM, SocketFlags::CLOEXEC, None)?;
        let listener = above_standard(listener)?;
        bind(&listener, &SocketAddrV4::new(core::net::Ipv4Addr::UNSPECIFIED, 0))?;
        listen(&listener, BACKLOG)?;
        Ok(Self { listener, senders: [const { None }; SENDERS] })
    }

    /// The port at which Lambda can reach it.
    pub fn port(&self) -> Option<u16> {
        let address = getsockname(&self.listener).ok()?;
        SocketAddrV4::try_from(address).ok().map(|address| address.port())
    }

    /// Takes telemetry until there is something to be read from `other`.
    pub fn discard_until(&mut self, other: &impl AsFd) {
        loop {
            let [is_other_ready, accepts, senders @ ..] = self.wait(other);
            for (sender, _) in self.senders.iter_mut().zip(senders).filter(|(_, is_ready)| *is_ready) {
                if !sender.as_mut().is_some_and(Sender::serve) {
                    *sender = None;
                }
            }
            if accepts {
                self.accept();
            }
            if is_other_ready {
                return;
            }
        }
    }

    /// Waits, and says what is ready: the other, the listener, and each sender.
    fn wait(&self, other: &impl AsFd) -> [bool; SENDERS + 2] {
        let nothing = || PollFd::new(other, PollFlags::empty());
        let mut polled = [const { None }; SENDERS + 2].map(|_: Option<()>| nothing());
        let [first, second, others @ ..] = &mut polled;
        *first = PollFd::new(other, PollFlags::IN);
        if self.senders.iter().any(Option::is_none) {
            *second = PollFd::new(&self.listener, PollFlags::IN);
        }
        for (place, sender) in others.iter_mut().zip(&self.senders) {
            if let Some(sender) = sender {
                *place = PollFd::new(&sender.socket, PollFlags::IN);
            }
        }
        // A signal is no reason to look at anything.
        match poll(&mut polled, None) {
            Ok(_) => polled.map(|it| !it.revents().is_empty()),
            Err(_) => [false; SENDERS + 2],
        }
    }

    fn accept(&mut self) {
        if let Some(place) = self.senders.iter_mut().find(|sender| sender.is_none()) {
            let socket = accept_with(&self.listener, SocketFlags::CLOEXEC).ok();
            *place = socket.map(|socket| Sender { socket, requests: Requests::default() });
        }
    }
}

/// An accepted connection and what was read of its request.
struct Sender {
    socket: OwnedFd,
    requests: Requests,
}

impl Sender {
    /// Reads once, and answers each request that has come to its end. Whether there may be more.
    fn serve(&mut self) -> bool {
        let mut place = [const { MaybeUninit::uninit() }; READ_BYTES];
        let read = match recv(&self.socket, &mut place[..], RecvFlags::empty()) {
            Ok(((read, _), _)) => read,
            Err(Errno::INTR) => return true,
            Err(_) => return false,
        };
        let is_open = !read.is_empty();
        is_open && (0..self.requests.take(read)).all(|_| send(&self.socket, ACCEPTED, SendFlags::NOSIGNAL).is_ok())
    }
}

/// How far the requests of a connection have come. They are as the platform sends them: a body has its length in the head.
struct Requests {
    /// The beginning of the current line of the head.
    line: [u8; LINE_BYTES],
    used: usize,
    /// The length of the body, as far as the head has said it.
    length: usize,
    /// What of the body has not come yet; zero in a head.
    missing: usize,
}

impl Default for Requests {
    fn default() -> Self {
        Self { line: [0; LINE_BYTES], used: 0, length: 0, missing: 0 }
    }
}

impl Requests {
    /// Takes what has come, and says how many requests it ends.
    fn take(&mut self, mut read: &[u8]) -> usize {
        let mut ended = 0;
        while let Some((byte, behind)) = read.split_first() {
            if self.missing > 0 {
                let taken = self.missing.min(read.len());
                self.missing -= taken;
                read = read.get(taken..).unwrap_or_default();
                ended += usize::from(self.missing == 0);
                continue;
            }
            read = behind;
            if *byte != b'\n' {
                if let Some(place) = self.line.get_mut(self.used) {
                    *place = *byte;
                    self.used += 1;
                }
            } else if self.end_line() {
                self.missing = core::mem::take(&mut self.length);
                ended += usize::from(self.missing == 0);
            }
        }
        ended
    }

    /// Whether the line that has come is the empty one behind the head.
    fn end_line(&mut self) -> bool {
        let used = core::mem::take(&mut self.used);
        let line = self.line.get(..used).unwrap_or_default().trim_ascii_end();
        let colon = line.iter().position(|byte| *byte == b':').unwrap_or(line.len());
        let (name, value) = line.split_at_checked(colon).unwrap_or_default();
        if name.eq_ignore_ascii_case(b"content-length") {
            self.length = decimal::parse(value.strip_prefix(b":").unwrap_or_default().trim_ascii()).unwrap_or_default();
        }
        line.is_empty()
    }
}
