//! Connections of tracers, of which there is a limited number: the one that was used least recently makes room for the next.
//!
//! Tracers keep connections open while the sandbox is frozen, so none is closed only because it was quiet for long.

use std::{
    collections::VecDeque,
    io,
    net::SocketAddr,
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll, ready},
};

use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::{TcpListener, TcpStream},
    sync::oneshot,
};

use crate::ingest::http1::Guard;

/// Maximum number of connections. A tracer keeps a handful.
pub const MAX_CONNECTIONS: usize = 64;

/// Accepts connections.
pub struct Listener {
    socket: TcpListener,
    open: Arc<OpenConnections>,
    /// How many connections there have been.
    count: u64,
    /// Whether HTTP/2 is spoken.
    http2: bool,
}

/// All connections, the one that was used least recently first.
#[derive(Default)]
struct OpenConnections(Mutex<VecDeque<OpenConnection>>);

struct OpenConnection {
    number: u64,
    /// Ends it.
    _close: oneshot::Sender<()>,
}

/// A connection. It ends, as if its sender had closed it, when it is taken out of those that are open.
pub struct Connection {
    stream: TcpStream,
    number: u64,
    open: Arc<OpenConnections>,
    /// None once it is closed.
    closed: Option<oneshot::Receiver<()>>,
    guard: Guard,
}

impl Listener {
    /// Of connections of HTTP/1.1.
    pub fn new(socket: TcpListener) -> Self {
        Self { socket, open: Arc::default(), count: 0, http2: false }
    }

    /// The same of connections of HTTP/2 too.
    pub fn with_http2(self) -> Self {
        Self { http2: true, ..self }
    }
}

impl OpenConnections {
    fn lock(&self) -> MutexGuard<'_, VecDeque<OpenConnection>> {
        // The list is whole at every step, whoever may have died while holding it.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn add(self: &Arc<Self>, stream: TcpStream, number: u64, guard: Guard) -> Connection {
        let (close, closed) = oneshot::channel();
        let mut open = self.lock();
        if open.len() >= MAX_CONNECTIONS {
            open.pop_front();
        }
        open.push_back(OpenConnection { number, _close: close });
        Connection { stream, number, open: Arc::clone(self), closed: Some(closed), guard }
    }

    fn use_now(&self, number: u64) {
        let mut open = self.lock();
        if let Some(index) = open.iter().position(|connection| connection.number == number)
            && let Some(connection) = open.remove(index)
        {
            open.push_back(connection);
        }
    }
}

impl axum::serve::Listener for Listener {
    type Io = Connection;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Connection, SocketAddr) {
        let (stream, peer) = axum::serve::Listener::accept(&mut self.socket).await;
        self.count += 1;
        let guard = if self.http2 { Guard::open() } else { Guard::default() };
        (self.open.add(stream, self.count, guard), peer)
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.socket.local_addr()
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.open.lock().retain(|connection| connection.number != self.number);
    }
}

impl AsyncRead for Connection {
    fn poll_read(mut self: Pin<&mut Self>, context: &mut Context, buffer: &mut ReadBuf) -> Poll<io::Result<()>> {
        if let Some(closed) = &mut self.closed
            && Pin::new(closed).poll(context).is_ready()
        {
            self.closed = None;
        }
        if self.closed.is_none() {
            return Poll::Ready(Ok(()));
        }
        let before = buffer.filled().len();
        ready!(Pin::new(&mut self.stream).poll_read(context, buffer))?;
        let received = buffer.filled().get(before..).unwrap_or_default();
        self.guard.look(received)?;
        if !received.is_empty() {
            self.open.use_now(self.number);
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Connection {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context,
        pieces: &[io::IoSlice],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(context, pieces)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}
