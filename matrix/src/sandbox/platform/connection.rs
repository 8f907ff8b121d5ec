//! Connections that a planned fault can reset, and that tell when something has arrived.
//!
//! The sandbox's own thread may have other things to do then, such as what follows an exec; so the kernel takes the time, when it puts the bytes into the socket's queue.

use std::io::{self, IoSliceMut};
use std::net::SocketAddr;
use std::os::fd::{AsFd as _, AsRawFd as _, BorrowedFd};
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use axum::extract::connect_info::Connected;
use axum::serve::{IncomingStream, Listener};
use nix::cmsg_space;
use nix::sys::socket::{ControlMessageOwned, MsgFlags, recvmsg, setsockopt, sockopt};
use nix::sys::time::TimeSpec;
use nix::time::{ClockId, clock_gettime};
use tokio::io::{AsyncRead, AsyncWrite, Interest, ReadBuf};
use tokio::net::{TcpListener, TcpStream};

use crate::sandbox::next_breakpoint::{ConnectionTap, NextBreakpoint};

/// A handle that resets a connection instead of writing the next byte.
#[derive(Clone, Debug, Default)]
pub(crate) struct ResetHandle(Arc<AtomicBool>);

impl ResetHandle {
    pub(crate) fn cut(&self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// What the handlers of requests know of their connection.
#[derive(Clone, Debug, Default)]
pub(crate) struct Handle {
    pub cut: ResetHandle,
    last_arrival: Arc<Mutex<Option<Instant>>>,
}

impl Handle {
    /// When the last bytes that were read had arrived; now, where the kernel does not say.
    pub(crate) fn last_arrival(&self) -> Instant {
        self.last_arrival.lock().unwrap_or_else(PoisonError::into_inner).unwrap_or_else(Instant::now)
    }
}

/// Makes the kernel take the time of what arrives on the connections of a listening socket.
pub(crate) fn stamp_arrivals(listener: BorrowedFd<'_>) -> io::Result<()> {
    Ok(setsockopt(&listener, sockopt::ReceiveTimestampns, &true)?)
}

/// A `TcpListener` with `TCP_NODELAY`, whose connections can be reset.
#[derive(Debug)]
pub(crate) struct TappedListener {
    pub listener: TcpListener,
    /// Observes everything that arrives.
    pub next_breakpoint: Option<Arc<NextBreakpoint>>,
}

impl Listener for TappedListener {
    type Io = Connection;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Connection, SocketAddr) {
        let (stream, address) = Listener::accept(&mut self.listener).await;
        let _ = stream.set_nodelay(true);
        let tap = self.next_breakpoint.as_ref().and_then(|next_breakpoint| next_breakpoint.admit(stream.as_fd()));
        (Connection { tap, stream, handle: Handle::default() }, address)
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }
}

impl Connected<IncomingStream<'_, TappedListener>> for Handle {
    fn connect_info(stream: IncomingStream<'_, TappedListener>) -> Self {
        stream.io().handle.clone()
    }
}

/// One connection.
#[derive(Debug)]
pub(crate) struct Connection {
    /// Declared before the stream, so that it is dropped first: its drop closes a duplicate of the stream's descriptor.
    tap: Option<ConnectionTap>,
    stream: TcpStream,
    handle: Handle,
}

impl AsyncRead for Connection {
    fn poll_read(self: Pin<&mut Self>, context: &mut Context<'_>, into: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let Self { tap, stream, handle } = self.get_mut();
        let before = into.filled().len();
        let received = loop {
            ready!(stream.poll_read_ready(context))?;
            let room = into.initialize_unfilled();
            match stream.try_io(Interest::READABLE, || receive(stream.as_fd(), room)) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                received => break received,
            }
        };
        let read = received.map(|ReadResult { bytes, arrived }| {
            into.advance(bytes);
            *handle.last_arrival.lock().unwrap_or_else(PoisonError::into_inner) = arrived;
        });
        if let Some(tap) = tap {
            tap.read(into.filled().get(before..).unwrap_or_default());
        }
        Poll::Ready(read)
    }
}

impl AsyncWrite for Connection {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        if self.handle.cut.0.load(Ordering::Relaxed) {
            // Closing a socket with zero linger time sends a reset.
            let _ = self.stream.set_zero_linger();
            return Poll::Ready(Err(io::ErrorKind::ConnectionReset.into()));
        }
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

/// The result of a read.
struct ReadResult {
    bytes: usize,
    /// `None` at the end of the stream, and where the kernel takes no times.
    arrived: Option<Instant>,
}

fn receive(stream: BorrowedFd<'_>, into: &mut [u8]) -> io::Result<ReadResult> {
    let mut room = cmsg_space!(TimeSpec);
    let mut into = [IoSliceMut::new(into)];
    let message = recvmsg::<()>(stream.as_raw_fd(), &mut into, Some(&mut room), MsgFlags::empty())?;
    let stamp = message.cmsgs()?.find_map(|control| match control {
        ControlMessageOwned::ScmTimestampns(stamp) => Some(Duration::from(stamp)),
        _ => None,
    });
    let clocks = stamp.map(|_| Clocks::read()).transpose()?;
    let arrived = stamp.zip(clocks).and_then(|(stamp, clocks)| clocks.instant(stamp));
    Ok(ReadResult { bytes: message.bytes, arrived })
}

/// The clock that the kernel's stamps are of, which can be set, and the one that this crate counts with, which cannot, at one moment.
struct Clocks {
    stamps: Duration,
    now: Instant,
}

impl Clocks {
    /// How far apart the readings may be. Another process may come between them.
    const PRECISION: Duration = Duration::from_micros(10);
    const TRIES: u32 = 10;

    fn read() -> nix::Result<Self> {
        let mut tries = 0;
        loop {
            let before = Instant::now();
            let stamps = Duration::from(clock_gettime(ClockId::CLOCK_REALTIME)?);
            let now = Instant::now();
            tries += 1;
            if now - before <= Self::PRECISION || tries == Self::TRIES {
                return Ok(Self { stamps, now });
            }
        }
    }

    fn instant(&self, stamp: Duration) -> Option<Instant> {
        self.now.checked_sub(self.stamps.checked_sub(stamp)?)
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;
    use std::thread;

    use tokio::io::AsyncReadExt as _;

    use super::*;

    #[tokio::test]
    async fn what_waits_in_a_socket_arrived_before_it_is_read() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        stamp_arrivals(listener.as_fd()).unwrap();
        let mut client = std::net::TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let mut door = TappedListener { listener, next_breakpoint: None };
        let (mut connection, _) = door.accept().await;
        let stamped = |connection: &Connection| *connection.handle.last_arrival.lock().unwrap();
        // The kernel begins to take times a moment after it is asked to.
        while stamped(&connection).is_none() {
            client.write_all(b"x").unwrap();
            connection.read_u8().await.unwrap();
        }
        let before = Instant::now();
        client.write_all(b"y").unwrap();
        thread::sleep(Duration::from_millis(50));
        let reading = Instant::now();
        assert_eq!(connection.read_u8().await.unwrap(), b'y');
        let arrived = stamped(&connection).unwrap();
        assert!(before < arrived + Clocks::PRECISION && arrived < reading, "{:?}", reading.duration_since(arrived));
    }
}
