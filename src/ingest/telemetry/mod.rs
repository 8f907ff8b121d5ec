//! The Telemetry API's listener.
//!
//! Lambda sends a batch again until it is answered with 200, so anything else for a batch that cannot be read would make it come back for ever.

mod listener;
mod repetition;

use std::{
    io,
    net::TcpListener,
    os::fd::{AsFd, BorrowedFd},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use axum::{
    Router,
    body::Body,
    extract::{ConnectInfo, DefaultBodyLimit, State},
    http::StatusCode,
    routing::post,
};
use extension_protocol::Service;
use tokio::sync::{
    OwnedSemaphorePermit, Semaphore,
    mpsc::{Receiver, Sender, channel, error::TryRecvError},
};

use super::body::{self, Limits, ReadError};
use crate::{
    os::{clock, streams},
    process::event::{Batch, parse},
};
use listener::{Listener, Peer};
use repetition::UnconfirmedBatches;

/// The telemetry socket of the table of listeners.
const SOCKET: extension_protocol::Listener = Service::Telemetry.listener();
/// How many batches may wait to be processed. When they do, Lambda waits for its answer and buffers on its own side.
const QUEUE: usize = 16;
/// We subscribe with batches of 256 KiB; a single long line, with its escapes, makes one longer. More than this no event can be.
const MAX_BODY_BYTES: u32 = 16 << 20;
/// Others wait for the room that a body takes, and Lambda never pauses within a request.
const LIMITS: Limits =
    Limits { bytes: MAX_BODY_BYTES as usize, silence: Duration::from_secs(5), total: Duration::from_secs(15) };
/// Maximum of all bodies that are being read or wait to be processed, in bytes. Further requests wait until there is room for the whole of theirs.
const MAX_BYTES_IN_FLIGHT: u32 = MAX_BODY_BYTES;

/// A listener that is bound, so that what Lambda sends from now on waits in its backlog. Needs no async runtime yet.
#[derive(Debug)]
pub struct TelemetryListener {
    listener: TcpListener,
    /// Where, to be told to Lambda.
    pub port: u16,
}

/// Binds the usual port, or any other if that one is taken: the subscription names it, so nothing is lost by it.
pub fn bind() -> io::Result<TelemetryListener> {
    let listener =
        TcpListener::bind((SOCKET.address, SOCKET.port)).or_else(|_| TcpListener::bind((SOCKET.address, 0)))?;
    TelemetryListener::from_handover(streams::above_standard(listener, TcpListener::try_clone)?)
}

impl TelemetryListener {
    /// Goes on with a listener that another program of ours has left us.
    pub fn from_handover(listener: TcpListener) -> io::Result<Self> {
        let port = listener.local_addr()?.port();
        Ok(Self { listener, port })
    }

    /// Answers from now on, as a task of its own.
    pub fn serve(self) -> io::Result<Batches> {
        self.serve_within(LIMITS)
    }

    fn serve_within(self, limits: Limits) -> io::Result<Batches> {
        if self.port != SOCKET.port {
            tracing::warn!("TELEMETRY | cannot bind port {}; using {} instead", SOCKET.port, self.port);
        }
        self.listener.set_nonblocking(true)?;
        let listener = tokio::net::TcpListener::from_std(self.listener)?;
        let (sender, receiver) = channel(QUEUE);
        let room = Arc::new(Semaphore::new(MAX_BYTES_IN_FLIGHT as usize));
        let lost = Arc::<AtomicU64>::default();
        let queue = Arc::new(BatchQueue { sender, limits, room, unconfirmed: Mutex::default(), lost: lost.clone() });
        // The handler holds bodies to its own limit.
        let router = Router::new().route("/", post(receive)).layer(DefaultBodyLimit::disable());
        let service = router.with_state(Arc::clone(&queue)).into_make_service_with_connect_info::<Peer>();
        let listener = Listener { listener, queue };
        tokio::spawn(async move {
            // axum keeps accepting whatever happens to single connections; it returns only if asked to.
            if let Err(error) = axum::serve(listener, service).await {
                tracing::error!("TELEMETRY | the listener has ended: {error}");
            }
        });
        Ok(Batches { receiver, lost })
    }
}

impl AsFd for TelemetryListener {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.listener.as_fd()
    }
}

/// The batches that have arrived, in the order in which they were answered.
#[derive(Debug)]
pub struct Batches {
    receiver: Receiver<QueuedBatch>,
    lost: Arc<AtomicU64>,
}

impl Batches {
    /// The next batch; None if none will come any more. May be cancelled without losing one.
    pub async fn recv(&mut self) -> Option<Batch> {
        self.receiver.recv().await.map(QueuedBatch::into_batch)
    }

    /// True if no batch waits.
    pub fn is_empty(&self) -> bool {
        self.receiver.is_empty()
    }

    /// The next batch, if it is here.
    pub fn try_recv(&mut self) -> Result<Batch, TryRecvError> {
        self.receiver.try_recv().map(QueuedBatch::into_batch)
    }

    /// How many batches were given up since this was last asked: too long, broken, or without memory for them.
    pub fn take_lost(&mut self) -> u64 {
        self.lost.swap(0, Ordering::Relaxed)
    }
}

/// A batch with its share of [`MAX_BYTES_IN_FLIGHT`], which ends when it leaves the queue.
#[derive(Debug)]
struct QueuedBatch {
    batch: Batch,
    room: OwnedSemaphorePermit,
}

impl QueuedBatch {
    fn into_batch(self) -> Batch {
        drop(self.room);
        self.batch
    }
}

struct BatchQueue {
    sender: Sender<QueuedBatch>,
    limits: Limits,
    room: Arc<Semaphore>,
    unconfirmed: Mutex<UnconfirmedBatches>,
    lost: Arc<AtomicU64>,
}

impl BatchQueue {
    fn with_unconfirmed<T>(&self, act: impl FnOnce(&mut UnconfirmedBatches) -> T) -> T {
        // They are whole at every step, whoever may have died while holding them.
        act(&mut self.unconfirmed.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Answers a request whose body could not be read. Lambda may send it again where that can help.
    fn refuse(&self, error: &ReadError) -> (StatusCode, &'static str) {
        match error {
            ReadError::Stalled { .. } => {
                tracing::warn!("TELEMETRY | timed out reading a telemetry batch: {error}; Lambda may retry");
                (StatusCode::REQUEST_TIMEOUT, "stalled")
            }
            ReadError::NoMemory(_) | ReadError::NoRoom => {
                tracing::warn!("TELEMETRY | rejected a telemetry batch with 503: {error}; Lambda may retry");
                self.lost.fetch_add(1, Ordering::Relaxed);
                (StatusCode::SERVICE_UNAVAILABLE, "no memory")
            }
            ReadError::TooLong { .. } | ReadError::Transport(_) => {
                tracing::warn!("TELEMETRY | dropped a telemetry batch: {error}");
                self.lost.fetch_add(1, Ordering::Relaxed);
                (StatusCode::OK, "unreadable")
            }
        }
    }
}

async fn receive(
    State(queue): State<Arc<BatchQueue>>,
    ConnectInfo(Peer(connection)): ConnectInfo<Peer>,
    body: Body,
) -> (StatusCode, &'static str) {
    queue.with_unconfirmed(|answers| answers.confirm(connection));
    let bytes = body::declared_bytes(&body).map_or(MAX_BODY_BYTES, |bytes| u32::try_from(bytes).unwrap_or(u32::MAX));
    // What is too long is not kept, so it needs no room.
    let wanted = if bytes > MAX_BODY_BYTES { 0 } else { bytes };
    let Ok(room) = Arc::clone(&queue.room).acquire_many_owned(wanted).await else {
        return (StatusCode::OK, "closing");
    };
    let body = match body::read(body, queue.limits).await {
        Ok(body) => body,
        Err(error) => return queue.refuse(&error),
    };
    // Space is reserved first: if Lambda gives up waiting for it, the batch is not remembered and may come again.
    let Ok(place) = queue.sender.reserve().await else { return (StatusCode::OK, "closing") };
    if !queue.with_unconfirmed(|answers| answers.is_new(connection, &body)) {
        tracing::debug!("TELEMETRY | A batch of {} bytes came twice", body.len());
        return (StatusCode::OK, "known");
    }
    let batch = parse(&body, clock::epoch_ms());
    if batch.malformed > 0 {
        tracing::warn!("TELEMETRY | dropped {} malformed telemetry events", batch.malformed);
    }
    if batch.unknown > 0 {
        tracing::debug!("TELEMETRY | {} events of unknown type are ignored", batch.unknown);
    }
    place.send(QueuedBatch { batch, room });
    (StatusCode::OK, "OK")
}

#[cfg(test)]
pub mod test_batches;

#[cfg(test)]
mod tests;
