//! The trace agent: what tracers send over HTTP, decoded and processed before it goes on.
//!
//! Memory of this port, in bytes: bodies that are being read, processed or passed on take at most [`routes::MAX_TRACE_BODY_BYTES`] together; one request is decoded
//! at a time, and what becomes of it takes at most [`MAX_ENCODED_BYTES`]; what waits for the loop takes at most as much again, together; connections take some
//! hundred KiB each, and there are at most [`connections::MAX_CONNECTIONS`] of them unless more are in use at a time.

pub(super) mod connections;
pub(super) mod open;
mod processing;
mod refusals;
pub mod room;
mod routes;
mod server;

use std::{
    io,
    net::TcpListener,
    os::fd::{AsFd, BorrowedFd},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use axum::Router;
use extension_protocol::Service;
use tokio::sync::{
    OwnedSemaphorePermit, Semaphore,
    mpsc::{Receiver, channel},
};

use crate::{
    os::{allocator::keep_free_memory, streams},
    process::{
        proxied::ProxiedRequest,
        trace::{Output, Pipeline, SpanParents, stats::ClientPayload},
    },
};
pub use connections::Listener;
pub use open::OpenRequest;
pub use processing::MAX_KEPT_BYTES;
pub use refusals::Cause;
pub use refusals::Endpoint;
pub use refusals::Refusals;
pub use routes::MAX_TRACE_BODY_BYTES;
pub use server::Agent;
pub use server::{SILENCE, TOTAL};

/// The socket of the trace agent: the address that tracers send to unless they are configured otherwise.
const SOCKET: extension_protocol::Listener = Service::TraceAgent.listener();
/// The port of [`SOCKET`].
pub const PORT: u16 = SOCKET.port;

/// How many requests may wait to be taken in. When they do, tracers wait for their answers.
const QUEUE: usize = 64;
/// Maximum of what the spans of a request become, and of what waits for the loop, in bytes: every span gets the function's tags, which may be many times as long
/// as it was.
pub const MAX_ENCODED_BYTES: usize = 64 << 20;

/// A listener that is bound, so that tracers that connect from now on wait in its backlog. Needs no async runtime yet.
#[derive(Debug)]
pub struct TraceAgentListener {
    listener: TcpListener,
}

/// Binds the usual port. Nobody could be told of another one.
pub fn bind() -> io::Result<TraceAgentListener> {
    let listener = TcpListener::bind((SOCKET.address, SOCKET.port))?;
    streams::above_standard(listener, TcpListener::try_clone).map(TraceAgentListener::from_handover)
}

impl TraceAgentListener {
    /// Goes on with a listener that another program of ours has left us.
    pub fn from_handover(listener: TcpListener) -> Self {
        Self { listener }
    }

    /// Answers from now on, as a task of its own.
    pub fn serve(self, agent: Arc<Agent>) -> io::Result<()> {
        keep_free_memory();
        self.listener.set_nonblocking(true)?;
        let listener = Listener::new(tokio::net::TcpListener::from_std(self.listener)?);
        let service = Router::new().fallback(server::answer).with_state(agent);
        tokio::spawn(async move {
            // axum keeps accepting whatever happens to single connections; it returns only if asked to.
            if let Err(error) = axum::serve(listener, service).await {
                tracing::error!("TRACE_AGENT | the listener has ended: {error}");
            }
        });
        Ok(())
    }
}

impl Agent {
    /// An agent without a listener, and where its requests come out.
    pub fn new(pipeline: Arc<Pipeline>, span_parents: Arc<SpanParents>) -> (Arc<Self>, TraceQueue) {
        let (sender, receiver) = channel(QUEUE);
        let open = Arc::<AtomicUsize>::default();
        let refusals = Arc::<Refusals>::default();
        let agent = Self {
            pipeline,
            span_parents,
            recent: Arc::default(),
            room: Arc::new(Semaphore::new(routes::MAX_TRACE_BODY_BYTES)),
            encoded: Arc::new(Semaphore::new(MAX_ENCODED_BYTES)),
            sender,
            open: Arc::clone(&open),
            refusals: Arc::clone(&refusals),
        };
        (Arc::new(agent), TraceQueue { receiver, open, refusals })
    }
}

impl AsFd for TraceAgentListener {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.listener.as_fd()
    }
}

/// The data of a tracer's request.
#[derive(Debug)]
pub enum TracerData {
    /// Spans, encoded, and the statistics of them.
    Traces(Box<Output>),
    /// Statistics that a tracer has computed.
    Stats(ClientPayload),
    /// To be passed on.
    Proxied(ProxiedRequest),
}

/// A request with its share of the memory, which ends when it leaves the queue.
#[derive(Debug)]
struct QueuedRequest {
    received: TracerData,
    _room: OwnedSemaphorePermit,
}

/// The requests of tracers, in the order in which they were answered.
#[derive(Debug)]
pub struct TraceQueue {
    receiver: Receiver<QueuedRequest>,
    /// How many requests are being read or processed.
    open: Arc<AtomicUsize>,
    refusals: Arc<Refusals>,
}

impl TraceQueue {
    /// What is refused, now and after this has ended.
    pub fn refusals(&self) -> Arc<Refusals> {
        Arc::clone(&self.refusals)
    }

    /// The next request; None if none will come any more. May be cancelled without losing one.
    pub async fn recv(&mut self) -> Option<TracerData> {
        self.receiver.recv().await.map(|queued| queued.received)
    }

    /// The next request, if it is here.
    pub fn try_recv(&mut self) -> Option<TracerData> {
        self.receiver.try_recv().ok().map(|queued| queued.received)
    }

    /// Takes in nothing more: further requests are answered with an error. Those that are here already can still be received.
    pub fn close(&mut self) {
        self.receiver.close();
    }

    /// Whether a request is being read or processed that is not here yet.
    pub fn is_receiving(&self) -> bool {
        self.open.load(Ordering::Relaxed) > 0
    }
}

#[cfg(test)]
pub use tests::test_pipeline;

#[cfg(test)]
mod tests;
