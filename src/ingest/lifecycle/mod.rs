//! The lifecycle listener: tracers report the start and the end of each invocation, with the event and the response. For the Lambda Web Adapter, the Runtime API proxy does.
//!
//! Memory of this port, in bytes: bodies that are being read or decoded take at most [`MAX_BODIES_BYTES`] together, one that finds no room counts as empty; decoded
//! calls that wait for the loop take at most [`MAX_QUEUED_BYTES`] together.

pub mod runtime;
mod security;
mod server;

use std::{
    io,
    net::TcpListener,
    os::fd::{AsFd, BorrowedFd},
    sync::{
        Arc,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
};

use axum::Router;
use extension_protocol::Service;
use tokio::sync::{
    OwnedSemaphorePermit, Semaphore,
    mpsc::{Receiver, channel},
};

use super::trace_agent::connections::Listener;
use crate::{
    os::streams,
    process::invocation::call::{Call, Decoder},
};
use runtime::Messages;
pub use security::Monitor;
use server::Server;

/// The socket: tracers know this address only.
const SOCKET: extension_protocol::Listener = Service::Lifecycle.listener();
/// The port of [`SOCKET`].
pub const PORT: u16 = SOCKET.port;

/// Maximum body in bytes: Lambda's own limit of events and responses. The headers of a call with a longer one still count.
pub const MAX_BODY_BYTES: usize = 6 << 20;
const MAX_BODIES_BYTES: usize = 4 * MAX_BODY_BYTES;
/// Maximum length in bytes of a body that is decoded on a worker of the async runtime. A longer one gets a thread of its own.
const MAX_INLINE_BYTES: usize = 64 << 10;
/// How many calls may wait for the loop, and how much memory they may take.
const QUEUE: usize = 256;
const MAX_QUEUED_BYTES: usize = 8 << 20;

/// A listener that is bound, so that tracers that connect from now on wait in its backlog. Needs no async runtime yet.
#[derive(Debug)]
pub struct LifecycleListener {
    listener: TcpListener,
}

/// Binds the port. Nobody could be told of another one.
pub fn bind() -> io::Result<LifecycleListener> {
    let listener = TcpListener::bind((SOCKET.address, SOCKET.port))?;
    streams::above_standard(listener, TcpListener::try_clone).map(LifecycleListener::from_handover)
}

impl LifecycleListener {
    /// Goes on with a listener that another program of ours has left us.
    pub fn from_handover(listener: TcpListener) -> Self {
        Self { listener }
    }

    /// Answers from now on, as a task of its own. `messages` has what the Runtime API proxy reports.
    pub fn serve(
        self,
        decoder: Decoder,
        monitor: Option<Monitor>,
        messages: Option<Messages>,
    ) -> io::Result<CallQueue> {
        self.listener.set_nonblocking(true)?;
        let listener = Listener::new(tokio::net::TcpListener::from_std(self.listener)?);
        let (server, mut queue) = Server::new(decoder, monitor);
        if let Some(messages) = messages {
            queue.runtime = Some(messages.counters());
            tokio::spawn(server::observe(Arc::clone(&server), messages));
        }
        let service = Router::new().fallback(server::answer).with_state(server);
        tokio::spawn(async move {
            // axum keeps accepting whatever happens to single connections; it returns only if asked to.
            if let Err(error) = axum::serve(listener, service).await {
                tracing::error!("LIFECYCLE | the listener has ended: {error}");
            }
        });
        Ok(queue)
    }
}

impl AsFd for LifecycleListener {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.listener.as_fd()
    }
}

impl Server {
    /// A server without a listener, and where its calls come out.
    fn new(decoder: Decoder, monitor: Option<Monitor>) -> (Arc<Self>, CallQueue) {
        let (sender, receiver) = channel(QUEUE);
        let [open, dropped] = [(); 2].map(|()| Arc::<AtomicUsize>::default());
        let server = Self {
            decoder: Arc::new(decoder),
            monitor: monitor.map(Arc::new),
            bodies: Arc::new(Semaphore::new(MAX_BODIES_BYTES)),
            queued: Arc::new(Semaphore::new(MAX_QUEUED_BYTES)),
            sender,
            open: Arc::clone(&open),
            dropped: Arc::clone(&dropped),
            evaluations: AtomicU64::default(),
        };
        (Arc::new(server), CallQueue { receiver, open, dropped, runtime: None })
    }
}

/// A call with its share of the memory, which ends when it leaves the queue.
#[derive(Debug)]
struct QueuedCall {
    call: Call,
    _room: OwnedSemaphorePermit,
}

/// The calls of tracers, in the order in which they were answered.
#[derive(Debug)]
pub struct CallQueue {
    receiver: Receiver<QueuedCall>,
    /// How many calls are being read, decoded or evaluated.
    open: Arc<AtomicUsize>,
    dropped: Arc<AtomicUsize>,
    /// None where the Runtime API proxy reports nothing.
    runtime: Option<runtime::Counters>,
}

impl CallQueue {
    /// How many starts of invocations found no room since this was last asked, each of which is a span.
    pub fn take_dropped(&self) -> usize {
        let of_runtime = self.runtime.as_ref().map_or(0, runtime::Counters::take_dropped);
        self.dropped.swap(0, Ordering::Relaxed) + of_runtime
    }

    /// The next call; None if none will come any more. May be cancelled without losing one.
    pub async fn recv(&mut self) -> Option<Call> {
        self.receiver.recv().await.map(|queued| queued.call)
    }

    /// The next call, if it is here.
    pub fn try_recv(&mut self) -> Option<Call> {
        self.receiver.try_recv().ok().map(|queued| queued.call)
    }

    /// Whether a call is being read or decoded that is not here yet.
    pub fn is_receiving(&self) -> bool {
        self.open.load(Ordering::Relaxed) > 0 || self.is_receiving_from_runtime()
    }

    /// Whether something that has passed the Runtime API proxy is not here yet: unlike a tracer, the runtime does not wait until it is.
    pub fn is_receiving_from_runtime(&self) -> bool {
        self.runtime.as_ref().is_some_and(runtime::Counters::is_receiving)
    }
}

#[cfg(test)]
impl CallQueue {
    /// That of a server without a listener, with what the Runtime API proxy reports.
    pub fn of_runtime(decoder: Decoder, messages: Messages) -> Self {
        let (server, queue) = Server::new(decoder, None);
        let runtime = Some(messages.counters());
        tokio::spawn(server::observe(server, messages));
        Self { runtime, ..queue }
    }
}

#[cfg(test)]
mod tests;
