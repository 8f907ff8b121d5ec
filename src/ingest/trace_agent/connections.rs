//! Connections of tracers, of which there is a limited number: the one that was used least recently makes room for the next. One with a request that is not answered
//! yet makes none until there are very many: managed instances run many invocations at a time, whose calls would be lost.
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

/// Maximum number of connections while any of them is idle. A tracer keeps a handful.
pub const MAX_CONNECTIONS: usize = 64;
/// Maximum number of connections. Above it, those that are in use make room, too.
const MAX_USED_CONNECTIONS: usize = 1024;

/// Accepts connections.
pub struct Listener {
    socket: TcpListener,
    open: Arc<OpenConnections>,
    /// Number of accepted connections.
    count: u64,
    /// True to serve HTTP/2 without TLS (h2c).
    http2: bool,
}

/// All connections, the one that was used least recently first.
#[derive(Default)]
struct OpenConnections(Mutex<VecDeque<OpenConnection>>);

struct OpenConnection {
    number: u64,
    /// Something has come since something was last answered. With HTTP/2 this is a guess.
    is_used: bool,
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
    is_used: bool,
}

impl Listener {
    /// Of connections of HTTP/1.1.
    pub fn new(socket: TcpListener) -> Self {
        Self { socket, open: Arc::default(), count: 0, http2: false }
    }

    /// The same of connections of HTTP/2 too.
    #[must_use]
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
            let idle = open.iter().position(|connection| !connection.is_used);
            if let Some(leaving) = idle.or((open.len() >= MAX_USED_CONNECTIONS).then_some(0)) {
                open.remove(leaving);
            }
        }
        open.push_back(OpenConnection { number, is_used: false, _close: close });
        Connection { stream, number, open: Arc::clone(self), closed: Some(closed), guard, is_used: false }
    }

    /// Something has come, or was answered.
    fn use_now(&self, number: u64, is_used: bool) {
        let mut open = self.lock();
        if let Some(index) = open.iter().rposition(|connection| connection.number == number)
            && let Some(connection) = open.remove(index)
        {
            open.push_back(OpenConnection { is_used, ..connection });
        }
    }
}

impl Connection {
    fn answers(&mut self) {
        if std::mem::take(&mut self.is_used) {
            self.open.use_now(self.number, false);
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
            self.is_used = true;
            self.open.use_now(self.number, true);
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Connection {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.answers();
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context,
        pieces: &[io::IoSlice],
    ) -> Poll<io::Result<usize>> {
        self.answers();
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

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    use super::*;

    /// Opens connections, and gives both of their ends.
    struct Bench {
        socket: TcpListener,
        open: Arc<OpenConnections>,
    }

    impl Bench {
        async fn connect(&self, number: u64) -> (TcpStream, Connection) {
            let tracer = TcpStream::connect(self.socket.local_addr().unwrap()).await.unwrap();
            let (stream, _) = self.socket.accept().await.unwrap();
            (tracer, self.open.add(stream, number, Guard::default()))
        }
    }

    fn is_open(connection: &mut Connection) -> bool {
        connection.closed.as_mut().unwrap().try_recv() == Err(oneshot::error::TryRecvError::Empty)
    }

    #[tokio::test]
    async fn only_an_idle_connection_makes_room() {
        let bench = Bench { socket: TcpListener::bind("127.0.0.1:0").await.unwrap(), open: Arc::default() };
        let mut connections = Vec::new();
        for number in (0..).take(MAX_CONNECTIONS) {
            let (mut tracer, mut connection) = bench.connect(number).await;
            tracer.write_all(b"x").await.unwrap();
            connection.read_exact(&mut [0]).await.unwrap();
            connections.push((tracer, connection));
        }
        connections.push(bench.connect(1000).await);
        assert!(connections.iter_mut().all(|(_, connection)| is_open(connection)), "all are in use");
        let (_, answered) = &mut connections[7];
        answered.write_all(b"y").await.unwrap();
        let (_, newest) = &mut connections[MAX_CONNECTIONS];
        newest.open.use_now(1000, true);
        connections.push(bench.connect(1001).await);
        let closed = connections.iter_mut().map(|(_, connection)| !is_open(connection));
        assert_eq!(closed.enumerate().filter_map(|(index, is)| is.then_some(index)).collect::<Vec<_>>(), [7]);
    }
}
