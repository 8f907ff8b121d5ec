//! Stops an extension at the moment its first next request arrives, so that its usage up to then can be read.
//!
//! The kernel stops it. A socket can send its owner a selected signal when data arrives ("`F_SETSIG`", fcntl(2)). On the loopback device the system call that
//! writes also delivers: with SIGSTOP as the signal, the writer is stopped before its `write` returns. The kernel stops it at every arrival. At all arrivals
//! but the awaited one, the sandbox continues it once it is stopped. It waits for the stop because SIGCONT cancels a pending stop, which might be that of the
//! awaited arrival.

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

/// As in the kernel's `asm-generic/fcntl.h`; our crates do not define it.
const F_SETSIG: libc::c_int = 10;
/// The awaited request, as every client writes it.
const NEXT: &[u8] = b"GET /2020-01-01/extension/event/next";
/// How long a process may take to stop. A throttled one only does so in its next period.
const PATIENCE: Duration = Duration::from_secs(1);
/// Interval at which the sandbox checks whether the process has stopped.
const GLANCE: Duration = Duration::from_micros(20);
/// Interval at which the sandbox checks whether the process is stopped without need.
const ROUND: Duration = Duration::from_millis(1);

/// The breakpoint of a sandbox's extension. There must be only one, because a listening socket has one owner.
#[derive(Debug)]
pub(crate) struct NextBreakpoint {
    /// The listening socket of the APIs.
    listener: OwnedFd,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// The process group that is stopped, until its first next request has arrived.
    group: Option<Pid>,
    baseline_usage: BaselineUsage,
    /// A duplicate of each of its connections. Connections of other processes may be among them, because the peer is unknown.
    connections: BTreeMap<u64, OwnedFd>,
    /// Number of connections so far.
    connected: u64,
    taken: Option<Footprint>,
}

impl NextBreakpoint {
    /// Prepares a listening socket. No process is stopped before the socket has an owner.
    pub(crate) fn new(listener: BorrowedFd<'_>) -> io::Result<Arc<Self>> {
        let listener = listener.try_clone_to_owned()?;
        stop_owner(listener.as_fd())?;
        Ok(Arc::new(Self { listener, state: Mutex::default() }))
    }

    /// Makes the calling process, which leads a process group, the owner. It has to be called between fork and exec, and makes two system calls.
    pub(crate) fn claim(&self) -> io::Result<()> {
        Ok(own(self.listener.as_fd(), -nix::unistd::getpid().as_raw())?)
    }

    /// Starts watching a process that has called [`claim`](Self::claim). It has to be called before any of its connections is accepted.
    pub(crate) fn watch(self: &Arc<Self>, process: Pid, baseline_usage: BaselineUsage) {
        *self.lock() = State { group: Some(process), baseline_usage, ..State::default() };
        let next_breakpoint = Arc::clone(self);
        tokio::spawn(async move {
            while next_breakpoint.lock().group == Some(process) {
                tokio::time::sleep(ROUND).await;
                // Arriving data wakes the reader before it stops the writer, so the reader's attempt to continue the writer may come too early.
                next_breakpoint.go_on();
            }
        });
    }

    /// Adds an accepted connection. `None` if no request is awaited any more.
    pub(crate) fn admit(self: &Arc<Self>, connection: BorrowedFd<'_>) -> Option<ConnectionTap> {
        let number = self.lock().add(connection)?;
        self.go_on();
        Some(ConnectionTap { next_breakpoint: Arc::clone(self), number, tail: Vec::new() })
    }

    /// Ends the breakpoint and continues a stopped process.
    pub(crate) fn end(&self) {
        let mut state = self.lock();
        // No signal is pending when this returns: the kernel sends signals under the lock that guards the owner.
        for socket in state.connections.values().chain([&self.listener]) {
            let _ = own(socket.as_fd(), 0);
        }
        state.connections.clear();
        if let Some(group) = state.group.take() {
            let _ = killpg(group, Signal::SIGCONT);
        }
    }

    /// The footprint at the first next request. `None` if the breakpoint did not stop the process.
    pub(crate) fn taken(&self) -> Option<Footprint> {
        self.lock().taken
    }

    /// Takes the footprint of a process that is stopped or about to stop.
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

    /// Continues the extension unless there is unread data, which may be the awaited request. While the extension is stopped, it sends nothing between this
    /// check and the signal.
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

/// Observes what is read from one connection.
#[derive(Debug)]
pub(crate) struct ConnectionTap {
    next_breakpoint: Arc<NextBreakpoint>,
    number: u64,
    /// The end of the data read before, because a request may arrive in pieces.
    tail: Vec<u8>,
}

impl ConnectionTap {
    /// Processes data that was read; empty at the end of the stream or after an error.
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
        // `go_on` takes the lock as well, so it must be released here.
        let duplicate = self.next_breakpoint.lock().connections.remove(&self.number);
        drop(duplicate);
        self.next_breakpoint.go_on();
    }
}

/// Makes a socket send SIGSTOP to its owner when data arrives.
fn stop_owner(socket: BorrowedFd<'_>) -> nix::Result<()> {
    command(socket, F_SETSIG, libc::SIGSTOP)?;
    let flags = OFlag::from_bits_retain(fcntl(socket, FcntlArg::F_GETFL)?);
    fcntl(socket, FcntlArg::F_SETFL(flags | OFlag::O_ASYNC)).map(drop)
}

/// Sets the owner of a socket: a process, a process group if negative, or none if zero.
fn own(socket: BorrowedFd<'_>, owner: i32) -> nix::Result<()> {
    command(socket, libc::F_SETOWN, owner)
}

#[expect(unsafe_code, reason = "no crate that we have offers these two commands")]
fn command(socket: BorrowedFd<'_>, command: libc::c_int, number: libc::c_int) -> nix::Result<()> {
    // SAFETY: the descriptor is open as long as it is borrowed, and both commands take a number, no pointer.
    Errno::result(unsafe { libc::fcntl(socket.as_raw_fd(), command, number) }).map(drop)
}
