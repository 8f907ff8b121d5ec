//! Requests of tracers, from the head to the body, and their answers.

use std::{
    sync::{Arc, atomic::AtomicUsize},
    time::Duration,
};

use axum::{
    body::Body,
    extract::{Request, State},
    http::{HeaderMap, StatusCode, header, request::Parts},
    response::{IntoResponse as _, Response},
};
use tokio::sync::{Mutex, OwnedSemaphorePermit, Semaphore, mpsc::Sender};

use super::{
    QueuedRequest,
    open::OpenRequest,
    refusals::{Cause, Endpoint, Refusals},
    room,
    routes::{self, Route},
};
use crate::{
    ingest::body::{self, Limits, ReadError},
    process::trace::{Pipeline, RecentSpans, SpanParents, decode::DecodeError},
};

/// For how long nothing of a body may come, and how long all of it may take, while the sandbox is not frozen.
pub const SILENCE: Duration = Duration::from_secs(5);
pub const TOTAL: Duration = Duration::from_secs(30);

/// State shared by all requests to the trace agent.
pub struct Agent {
    pub pipeline: Arc<Pipeline>,
    /// The span below which the handler is loaded.
    pub span_parents: Arc<SpanParents>,
    /// One request with traces or their statistics is decoded at a time, and none until there is room for what the last one has become.
    pub recent: Arc<Mutex<RecentSpans>>,
    /// Bytes of bodies.
    pub room: Arc<Semaphore>,
    /// Bytes of what traces and their statistics have become, while it waits for the loop.
    pub encoded: Arc<Semaphore>,
    pub(super) sender: Sender<QueuedRequest>,
    pub open: Arc<AtomicUsize>,
    pub refusals: Arc<Refusals>,
}

/// A body, and its share of the memory.
pub struct ReceivedBody {
    pub bytes: Vec<u8>,
    pub room: OwnedSemaphorePermit,
}

/// Answers a request.
pub async fn answer(State(agent): State<Arc<Agent>>, request: Request) -> Response {
    let (head, body) = request.into_parts();
    let Some(route) = Route::of(head.uri.path()) else {
        return (StatusCode::NOT_FOUND, "Not Found").into_response();
    };
    if !route.takes(&head.method) {
        let allow = [(header::ALLOW, route.methods().unwrap_or_default())];
        return (StatusCode::METHOD_NOT_ALLOWED, allow, "Method Not Allowed").into_response();
    }
    if route == Route::Info {
        return json(routes::info());
    }
    let open = OpenRequest::new(&agent.open);
    let received = match agent.read(route, &head, body).await {
        Ok(received) => received,
        Err(refusal) => return refusal,
    };
    // A task of its own: when a tracer gives up on its answer, this future is dropped. Spans that are remembered by then would be lost, because they are
    // taken for known when they come again; and the memory of the body would count as free though a thread still reads it.
    let work = tokio::spawn(async move {
        let _open = open;
        agent.process(route, head, received).await
    });
    work.await.unwrap_or_else(|error| failed(format!("Error processing request: {error}")))
}

impl Agent {
    /// True once the engine receives no more requests.
    pub fn is_closed(&self) -> bool {
        self.sender.is_closed()
    }

    /// Waits for the memory of a body; None if there is none in time.
    pub async fn room_for_body(&self, bytes: usize) -> Option<OwnedSemaphorePermit> {
        room::acquire(&self.room, bytes).await
    }

    /// Reads a body within the limits of its route, or gives the answer that refuses it.
    async fn read(&self, route: Route, head: &Parts, body: Body) -> Result<ReceivedBody, Response> {
        let limit = route.max_bytes();
        let limits = Limits { bytes: limit, silence: SILENCE, total: TOTAL };
        let declared = declared_bytes(&head.headers, &body);
        let refuse = |body: Body, cause: Cause, why: String| {
            self.refusals.record(cause, Endpoint::trace_agent(head.uri.path()), &why);
            // The sender is answered at once, and what it still writes is taken and thrown away.
            tokio::spawn(body::drain(body, limits));
            (status_of(cause), why).into_response()
        };
        if self.sender.is_closed() {
            return Err(refuse(body, Cause::Closed, "The extension is shutting down".to_owned()));
        }
        if let Some(declared) = declared.filter(|declared| *declared > limit as u64) {
            let why = format!("Content-Length {declared} exceeds maximum allowed size {limit}");
            return Err(refuse(body, Cause::TooLong, why));
        }
        if !matches!(route, Route::Proxied(_))
            && let Some(encoding) =
                head.headers.get(header::CONTENT_ENCODING).filter(|encoding| *encoding != "identity")
        {
            let why = format!("Content-Encoding {encoding:?} is not understood; send msgpack as it is");
            return Err(refuse(body, Cause::Compressed, why));
        }
        let wanted =
            body::declared_bytes(&body).map_or(room::FIRST_BYTES, |bytes| usize::try_from(bytes).unwrap_or(limit));
        let Some(mut room) = room::acquire(&self.room, wanted.min(limit)).await else {
            return Err(refuse(body, Cause::NoMemory, ReadError::NoRoom.to_string()));
        };
        match body::read_within(body, limits, |bytes| room::resize(&mut room, bytes)).await {
            Ok(mut bytes) => {
                bytes.shrink_to_fit();
                room::shrink(&mut room, bytes.len());
                Ok(ReceivedBody { bytes, room })
            }
            Err(error) => Err(self.unreadable(route, head, &error)),
        }
    }

    /// The answer to a request whose body could not be read.
    fn unreadable(&self, route: Route, head: &Parts, error: &ReadError) -> Response {
        let text = format!("Error extracting request body: {error}");
        let cause = match error {
            ReadError::TooLong { .. } => Cause::TooLong,
            ReadError::NoMemory(_) | ReadError::NoRoom => Cause::NoMemory,
            ReadError::Stalled { .. } => Cause::Stalled,
            ReadError::Transport(_) => {
                // Usual where the sandbox was frozen while a tracer sent.
                tracing::debug!("TRACE_AGENT | {text}");
                let is_stats = route == Route::Stats;
                let status = if is_stats { StatusCode::BAD_REQUEST } else { StatusCode::INTERNAL_SERVER_ERROR };
                return (status, text).into_response();
            }
        };
        self.refusals.record(cause, Endpoint::trace_agent(head.uri.path()), &text);
        (status_of(cause), text).into_response()
    }

    /// The answer to a request whose body could not be decoded.
    pub fn undecodable(&self, path: &str, error: &DecodeError, text: String) -> Response {
        let cause = match error {
            DecodeError::TooLarge(_) | DecodeError::TooManyStrings { .. } => Cause::TooLarge,
            _ => Cause::Malformed,
        };
        self.refusals.record(cause, Endpoint::trace_agent(path), &text);
        (status_of(cause), text).into_response()
    }
}

/// What the head says about the length, which HTTP may have another opinion on.
fn declared_bytes(headers: &HeaderMap, body: &Body) -> Option<u64> {
    let header = || headers.get(header::CONTENT_LENGTH)?.to_str().ok()?.trim().parse().ok();
    body::declared_bytes(body).or_else(header)
}

/// The status that tells a tracer why its request is refused.
fn status_of(cause: Cause) -> StatusCode {
    match cause {
        Cause::TooLong => StatusCode::PAYLOAD_TOO_LARGE,
        Cause::Compressed => StatusCode::UNSUPPORTED_MEDIA_TYPE,
        Cause::NoMemory | Cause::Closed => StatusCode::SERVICE_UNAVAILABLE,
        Cause::Stalled => StatusCode::REQUEST_TIMEOUT,
        Cause::TooLarge | Cause::Malformed => StatusCode::INTERNAL_SERVER_ERROR,
    }
}

pub fn failed(text: String) -> Response {
    tracing::debug!("TRACE_AGENT | {text}");
    (StatusCode::INTERNAL_SERVER_ERROR, text).into_response()
}

pub fn json(text: String) -> Response {
    ([(header::CONTENT_TYPE, "application/json")], text).into_response()
}
