//! Stops an extension at the very moment at which its first request for an event arrives, so that what it had used by then can be read at leisure.
//!
//! The kernel does it. A socket can send its owner a signal of one's choice when something arrives ("`F_SETSIG`", fcntl(2)), and on the loopback
//! device the system call that writes is also the one that delivers: with SIGSTOP for a signal the writer stands still before its `write` returns.
//! The kernel stops it at every arrival. All but the one that is waited for let it go on, once it stands still: a signal to go on takes back a stop that
//! has not been obeyed yet, and it might be the one that counts.

use std::collections::BTreeMap;
use std::io;
use std::os::fd::{AsFd, AsRawFd as _, BorrowedFd, OwnedFd};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::libc;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;
use rustix::io::ioctl_fionread;

use super::footprint::{BaselineUsage, Footprint, stands_still};

/// As in the kernel's `asm-generic/fcntl.h`; the crates that we have do not know it.
const F_SETSIG: libc::c_int = 10;
/// The request that is waited for, as every client writes it.
const NEXT: &[u8] = b"GET /2020-01-01/extension/event/next";
/// How long a process may take to stand still. A throttled one only gets to it in its next period.
const PATIENCE: Duration = Duration::from_secs(1);
/// How often it is looked whether it does.
const GLANCE: Duration = Duration::from_micros(20);
/// How often it is looked whether it stands still for nothing.
const ROUND: Duration = Duration::from_millis(1);

/// The one who stops the extension of a sandbox. It must be the only one: a listening socket has one owner.
#[derive(Debug)]
pub(crate) struct NextBreakpoint {
    /// The one that connections of the extension arrive at.
    listener: OwnedFd,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// The process group that is stopped, until its first request for an event has arrived.
    group: Option<Pid>,
    baseline_usage: BaselineUsage,
    /// A duplicate of each of its connections, and perhaps of those of others: nobody says who is at the other end.
    connections: BTreeMap<u64, OwnedFd>,
    /// How many there have been.
    connected: u64,
    taken: Option<Footprint>,
}

impl NextBreakpoint {
    /// Makes a listening socket ready. Nobody is stopped before it has an owner.
    pub(crate) fn new(listener: BorrowedFd<'_>) -> io::Result<Arc<Self>> {
        let listener = listener.try_clone_to_owned()?;
        stop_owner(listener.as_fd())?;
        Ok(Arc::new(Self { listener, state: Mutex::default() }))
    }

    /// Makes the calling process, which leads a process group, the one that is stopped. It is called between fork and exec, where later would be
    /// too late, and makes two system calls.
    pub(crate) fn claim(&self) -> io::Result<()> {
        Ok(own(self.listener.as_fd(), -nix::unistd::getpid().as_raw())?)
    }

    /// Begins to look after a process that has claimed it. It has to be called before anything that it connects to is accepted.
    pub(crate) fn watch(self: &Arc<Self>, process: Pid, baseline_usage: BaselineUsage) {
        *self.lock() = State { group: Some(process), baseline_usage, ..State::default() };
        let next_breakpoint = Arc::clone(self);
        tokio::spawn(async move {
            while next_breakpoint.lock().group == Some(process) {
                tokio::time::sleep(ROUND).await;
                // What arrives wakes the reader before it stops the writer, so whoever reads it may be too early to let the writer go on.
                next_breakpoint.go_on();
            }
        });
    }

    /// A connection has been accepted. None when nobody is waited for any more.
    pub(crate) fn admit(self: &Arc<Self>, connection: BorrowedFd<'_>) -> Option<ConnectionTap> {
        let number = self.lock().add(connection)?;
        self.go_on();
        Some(ConnectionTap { next_breakpoint: Arc::clone(self), number, tail: Vec::new() })
    }

    /// Stops nobody any more, and lets go on who stands still.
    pub(crate) fn end(&self) {
        let mut state = self.lock();
        // When this returns no signal is on its way: the kernel sends them under the lock that guards the owner.
        for socket in state.connections.values().chain([&self.listener]) {
            let _ = own(socket.as_fd(), 0);
        }
        state.connections.clear();
        if let Some(group) = state.group.take() {
            let _ = killpg(group, Signal::SIGCONT);
        }
    }

    /// What the extension had used when its first request for an event arrived. None when that did not stop it.
    pub(crate) fn taken(&self) -> Option<Footprint> {
        self.lock().taken
    }

    /// Takes the footprint of a process that stands still or is about to.
    fn take(&self) {
        let State { group: Some(process), baseline_usage, .. } = *self.lock() else { return };
        let began = Instant::now();
        while !stands_still(process) {
            if began.elapsed() > PATIENCE {
                return self.end();
            }
            std::thread::sleep(GLANCE);
        }
        self.lock().taken = Footprint::of(process, baseline_usage);
        self.end();
    }

    /// Lets the extension go on, unless something has arrived that nobody has looked at: it may be what is waited for. As long as it stands still
    /// nothing more of its own arrives between the look and the signal.
    fn go_on(&self) {
        let state = self.lock();
        if let Some(group) = state.group
            && stands_still(group)
            && !self.is_anyone_at_the_door()
            && !state.connections.values().any(|connection| ioctl_fionread(connection).is_ok_and(|bytes| bytes > 0))
        {
            let _ = killpg(group, Signal::SIGCONT);
        }
    }

    fn is_anyone_at_the_door(&self) -> bool {
        let mut door = [PollFd::new(self.listener.as_fd(), PollFlags::POLLIN)];
        poll(&mut door, PollTimeout::ZERO).is_ok_and(|ready| ready > 0)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn add(&mut self, connection: BorrowedFd<'_>) -> Option<u64> {
        let group = self.group?;
        let duplicate = connection.try_clone_to_owned().ok()?;
        stop_owner(connection).and_then(|()| own(connection, -group.as_raw())).ok()?;
        self.connected += 1;
        self.connections.insert(self.connected, duplicate);
        Some(self.connected)
    }
}

/// Sees what is read from one connection.
#[derive(Debug)]
pub(crate) struct ConnectionTap {
    next_breakpoint: Arc<NextBreakpoint>,
    number: u64,
    /// The end of what was read before: a request may come in pieces.
    tail: Vec<u8>,
}

impl ConnectionTap {
    /// This was read, or nothing, at the end or after an error.
    pub(crate) fn read(&mut self, bytes: &[u8]) {
        self.tail.extend_from_slice(bytes);
        if self.tail.windows(NEXT.len()).any(|window| window == NEXT) {
            self.next_breakpoint.take();
            self.tail.clear();
        } else {
            self.tail.drain(..self.tail.len().saturating_sub(NEXT.len() - 1));
            self.next_breakpoint.go_on();
        }
    }
}

impl Drop for ConnectionTap {
    fn drop(&mut self) {
        // Not under the lock, which letting go on needs as well.
        let duplicate = self.next_breakpoint.lock().connections.remove(&self.number);
        drop(duplicate);
        self.next_breakpoint.go_on();
    }
}

/// Makes a socket send its owner SIGSTOP when something arrives.
fn stop_owner(socket: BorrowedFd<'_>) -> nix::Result<()> {
    command(socket, F_SETSIG, libc::SIGSTOP)?;
    let flags = OFlag::from_bits_retain(fcntl(socket, FcntlArg::F_GETFL)?);
    fcntl(socket, FcntlArg::F_SETFL(flags | OFlag::O_ASYNC)).map(drop)
}

/// Gives a socket an owner: a process, a process group when negative, or nobody when zero.
fn own(socket: BorrowedFd<'_>, owner: i32) -> nix::Result<()> {
    command(socket, libc::F_SETOWN, owner)
}

#[expect(unsafe_code, reason = "no crate that we have offers these two commands")]
fn command(socket: BorrowedFd<'_>, command: libc::c_int, number: libc::c_int) -> nix::Result<()> {
    // SAFETY: the descriptor is open as long as it is borrowed, and both commands take a number, no pointer.
    Errno::result(unsafe { libc::fcntl(socket.as_raw_fd(), command, number) }).map(drop)
}
