//! DogStatsD's listener: datagrams that the function's own code sends.
//!
//! They wait twice. The system keeps some for us even while nothing of ours runs; what has been read waits in a queue for the loop. Both are bounded, and what
//! does not fit is lost and counted: a function must never be held up by its metrics.

use std::{
    fs,
    io::{self, Read as _},
    net::UdpSocket,
    os::fd::{AsFd, BorrowedFd},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use extension_protocol::{Listener, Service};
use nix::sys::stat::fstat;
use socket2::SockRef;
use tokio::{io::Interest, sync::Notify};

use crate::{config::DogStatsd, os::streams};

/// Where all clients send to unless they are told otherwise.
pub const PORT: u16 = SOCKET.port;
/// The DogStatsD socket of the table of listeners.
const SOCKET: Listener = Service::DogStatsd.listener();

/// How many datagrams are read before somebody else gets a turn.
const TURN: usize = 256;
/// What may wait at most, however many datagrams that is: in the queue, and as far as it is up to us, with the system.
const MAX_WAITING_BYTES: usize = 16 << 20;
/// Maximum size of a UDP datagram over IPv4, rounded up.
const MAX_DATAGRAM_BYTES: usize = 64 << 10;
/// How often the queue is emptied for a flush at most: a flood must not keep the flush from happening.
const MAX_ROUNDS: usize = 16;

/// A socket that is bound, so that what the function sends from now on waits for us. Needs no async runtime yet.
#[derive(Debug)]
pub struct DogStatsdSocket {
    socket: UdpSocket,
}

/// Binds the usual port. Nobody could be told of another one.
pub fn bind() -> io::Result<DogStatsdSocket> {
    let socket = UdpSocket::bind((SOCKET.address, SOCKET.port))?;
    streams::above_standard(socket, UdpSocket::try_clone).map(DogStatsdSocket::from_handover)
}

impl DogStatsdSocket {
    /// Goes on with a socket that another program of ours has left us.
    pub fn from_handover(socket: UdpSocket) -> Self {
        Self { socket }
    }

    /// Reads from now on, as a task of its own.
    pub fn serve(self, settings: &DogStatsd) -> io::Result<DatagramQueue> {
        self.socket.set_nonblocking(true)?;
        let socket = tokio::net::UdpSocket::from_std(self.socket)?;
        if let Some(size) = settings.receive_buffer
            && let Err(error) = SockRef::from(&socket).set_recv_buffer_size(size.min(MAX_WAITING_BYTES))
        {
            tracing::warn!("DOGSTATSD | cannot set SO_RCVBUF: {error}; the kernel may drop bursts");
        }
        let queue = Mutex::new(Queue::new(settings)?);
        let shared = Arc::new(SocketState { socket, queue, arrived: Notify::new() });
        tokio::spawn(read(Arc::clone(&shared)));
        Ok(DatagramQueue { shared, lost_before: 0 })
    }
}

impl AsFd for DogStatsdSocket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

/// Datagrams that were received and not yet parsed.
#[derive(Debug)]
pub struct DatagramQueue {
    shared: Arc<SocketState>,
    /// How many datagrams the system had lost when it was last asked.
    lost_before: u64,
}

impl DatagramQueue {
    /// Waits until something has arrived. May be cancelled.
    pub async fn arrived(&self) {
        self.shared.arrived.notified().await;
    }

    /// Takes what has been read: datagrams, with a line end after each.
    pub fn take(&self) -> Vec<u8> {
        self.shared.queue().take()
    }

    /// Takes everything that was sent before this was called, in pieces: what has been read, and what the system still keeps.
    pub fn drain(&self, mut each: impl FnMut(&[u8])) {
        for _ in 0..MAX_ROUNDS {
            let mut queue = self.shared.queue();
            // Nobody reads while the queue is ours, so that nothing can be between the system and the queue.
            let more = queue.fill(&self.shared.socket);
            let datagrams = queue.take();
            drop(queue);
            each(&datagrams);
            if !more {
                return;
            }
        }
    }

    /// How many datagrams were lost since this was last asked, to the queue's bounds and to the system's.
    pub fn take_lost(&mut self) -> u64 {
        let mut queue = self.shared.queue();
        let of_queue = std::mem::take(&mut queue.lost);
        let asked = std::mem::take(&mut queue.seen) > 0;
        drop(queue);
        // Nothing is lost where nothing arrives, and most functions send nothing.
        if !asked {
            return of_queue;
        }
        let now = lost_by_system(&self.shared.socket).unwrap_or(self.lost_before);
        let of_system = now.saturating_sub(self.lost_before);
        self.lost_before = now;
        of_queue + of_system
    }
}

#[derive(Debug)]
struct SocketState {
    socket: tokio::net::UdpSocket,
    queue: Mutex<Queue>,
    arrived: Notify,
}

impl SocketState {
    fn queue(&self) -> MutexGuard<'_, Queue> {
        // The queue is whole at every step, whoever may have died while holding it.
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn read(shared: Arc<SocketState>) {
    loop {
        if let Err(error) = shared.socket.readable().await {
            tracing::error!("DOGSTATSD | The socket cannot be read any more: {error}");
            return;
        }
        // The error is for tokio, which waits only for a socket of which it knows that nothing is left to be read.
        let turn = || if shared.queue().read(&shared.socket) { Ok(()) } else { Err(io::ErrorKind::WouldBlock.into()) };
        let _ = shared.socket.try_io(Interest::READABLE, turn);
        shared.arrived.notify_one();
        tokio::task::yield_now().await;
    }
}

/// Datagrams that wait for the loop.
#[derive(Debug)]
struct Queue {
    /// With a line end after each: one datagram is as good as several with one line each.
    bytes: Vec<u8>,
    datagrams: usize,
    max_datagrams: usize,
    /// One byte longer than a datagram may be, so that a longer one can be told.
    buffer: Box<[u8]>,
    /// How many have arrived, and how many of them did not fit, since somebody last asked.
    seen: u64,
    lost: u64,
}

/// The outcome of an attempt to read one datagram.
enum ReadOutcome {
    /// So many bytes.
    Datagram(usize),
    /// There is none.
    Nothing,
}

impl Queue {
    fn new(settings: &DogStatsd) -> io::Result<Self> {
        let length = settings.buffer_size.min(MAX_DATAGRAM_BYTES) + 1;
        let mut buffer = Vec::new();
        buffer.try_reserve_exact(length).map_err(|_| io::ErrorKind::OutOfMemory)?;
        buffer.resize(length, 0);
        let (bytes, max_datagrams) = (Vec::new(), settings.queue_size);
        Ok(Self { bytes, datagrams: 0, max_datagrams, buffer: buffer.into(), seen: 0, lost: 0 })
    }

    /// Reads for a turn, and loses what does not fit; false if nothing is left to be read.
    fn read(&mut self, socket: &tokio::net::UdpSocket) -> bool {
        for _ in 0..TURN {
            let ReadOutcome::Datagram(length) = self.receive(socket) else { return false };
            if self.is_full() {
                self.lost += 1;
            } else {
                self.keep(length);
            }
        }
        true
    }

    /// Reads as much as fits; false if nothing is left to be read.
    fn fill(&mut self, socket: &tokio::net::UdpSocket) -> bool {
        while !self.is_full() {
            let ReadOutcome::Datagram(length) = self.receive(socket) else { return false };
            self.keep(length);
        }
        true
    }

    /// Asks the system itself: tokio knows only of what had arrived when it last waited.
    fn receive(&mut self, socket: &tokio::net::UdpSocket) -> ReadOutcome {
        let socket = SockRef::from(socket);
        loop {
            match (&*socket).read(&mut self.buffer) {
                Ok(length) => {
                    self.seen += 1;
                    return ReadOutcome::Datagram(length);
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                // No other error is to be expected of a socket that is bound and not connected; whatever it is, there is nothing to read.
                Err(_) => return ReadOutcome::Nothing,
            }
        }
    }

    fn is_full(&self) -> bool {
        self.datagrams >= self.max_datagrams || self.bytes.len() + self.buffer.len() > MAX_WAITING_BYTES
    }

    fn keep(&mut self, length: usize) {
        let read = self.buffer.get(..length).unwrap_or_default();
        let whole = if length == self.buffer.len() {
            // Cut: the last line is not what was sent.
            let end = read.iter().rposition(|byte| *byte == b'\n').unwrap_or(0);
            self.lost += u64::from(end == 0);
            read.get(..end).unwrap_or_default()
        } else {
            read
        };
        if whole.is_empty() {
            return;
        }
        if !reserve(&mut self.bytes, whole.len() + 1) {
            self.lost += 1;
            return;
        }
        self.bytes.extend_from_slice(whole);
        self.bytes.push(b'\n');
        self.datagrams += 1;
    }

    fn take(&mut self) -> Vec<u8> {
        self.datagrams = 0;
        std::mem::take(&mut self.bytes)
    }
}

/// Makes room for so many more bytes, as a vector does by itself, but never for more than [`MAX_WAITING_BYTES`] altogether; false if there is no memory.
fn reserve(bytes: &mut Vec<u8>, more: usize) -> bool {
    let needed = bytes.len() + more;
    if needed <= bytes.capacity() {
        return true;
    }
    let capacity = needed.max(bytes.capacity() * 2).min(MAX_WAITING_BYTES.max(needed));
    bytes.try_reserve_exact(capacity - bytes.len()).is_ok()
}

/// How many datagrams the system has lost of a socket since there is one, because they came faster than they were read; None if it does not say.
///
/// Source: proc(5), `/proc/net/udp`: the tenth column is the socket's inode, the last one counts what was dropped.
fn lost_by_system(socket: &impl AsFd) -> Option<u64> {
    let inode = fstat(socket).ok()?.st_ino.to_string();
    let table = fs::read_to_string("/proc/self/net/udp").ok()?;
    let row = table.lines().find(|row| row.split_ascii_whitespace().nth(9) == Some(&inode))?;
    row.split_ascii_whitespace().next_back()?.parse().ok()
}

#[cfg(test)]
#[path = "dogstatsd_tests.rs"]
mod tests;
