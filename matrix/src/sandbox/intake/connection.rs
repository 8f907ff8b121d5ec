//! The intake's connections, which can be reset and report when a response was written, and its listener, which reports when it is closed.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use axum::extract::connect_info::Connected;
use axum::serve::IncomingStream;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;

use super::record::OpenRequest;

/// A listener that reports its drop, after which the port refuses connections.
#[derive(Debug)]
pub(super) struct Listener {
    listener: TcpListener,
    _open: oneshot::Sender<()>,
}

/// An accepted connection.
#[derive(Debug)]
pub(super) struct Connection {
    stream: TcpStream,
    control: Control,
}

/// A handle with which a request's handler controls its connection.
#[derive(Clone, Debug, Default)]
pub(super) struct Control(Arc<State>);

#[derive(Debug, Default)]
struct State {
    reset: AtomicBool,
    /// The request whose response is written next. HTTP/1.1 responds to one at a time.
    answering: Mutex<Option<OpenRequest>>,
}

impl Listener {
    /// The listener, with a receiver that completes when the listener is closed.
    pub(super) fn new(listener: TcpListener) -> (Self, oneshot::Receiver<()>) {
        let (open, closed) = oneshot::channel();
        (Self { listener, _open: open }, closed)
    }
}

impl axum::serve::Listener for Listener {
    type Io = Connection;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Connection, SocketAddr) {
        loop {
            match self.listener.accept().await {
                Ok((stream, peer)) => return (Connection { stream, control: Control::default() }, peer),
                // An error such as too many open files: the connection stays in the backlog until a descriptor is free.
                Err(_) => tokio::time::sleep(Duration::from_millis(50)).await,
            }
        }
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }
}

impl Connected<IncomingStream<'_, Listener>> for Control {
    fn connect_info(stream: IncomingStream<'_, Listener>) -> Self {
        stream.io().control.clone()
    }
}

impl Control {
    /// Resets the connection instead of writing the next byte.
    pub(super) fn reset(&self) {
        self.0.reset.store(true, Ordering::Release);
    }

    /// Declares that the next bytes are the response to this request.
    pub(super) fn answer(&self, request: OpenRequest) {
        *self.0.answering.lock().unwrap_or_else(PoisonError::into_inner) = Some(request);
    }
}

impl Connection {
    /// Returns an error if the connection is to be reset. The server then closes the socket, which sends a reset instead of its last bytes because its linger
    /// time is zero.
    fn check(&self) -> io::Result<()> {
        if self.control.0.reset.load(Ordering::Acquire) {
            self.stream.set_zero_linger()?;
            return Err(io::ErrorKind::ConnectionReset.into());
        }
        Ok(())
    }
}

impl AsyncRead for Connection {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.check()?;
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl AsyncWrite for Connection {
    /// The server writes a response, head and body, from one buffer. So the response is complete when such a write accepts all bytes.
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.check()?;
        let control = self.control.clone();
        let mut answering = control.0.answering.lock().unwrap_or_else(PoisonError::into_inner);
        let mut write = || Pin::new(&mut self.stream).poll_write(context, bytes);
        let Some(request) = answering.take() else { return write() };
        let (written, unfinished) = request.write_answer(bytes.len(), write);
        *answering = unfinished;
        written
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.check()?;
        Pin::new(&mut self.stream).poll_flush(context)
    }

    /// No FIN may precede the reset: the client would take it for an ordinary end.
    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.check()?;
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}
