//! Calls, from the head to the answer.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use axum::{
    body::Body,
    extract::{Request, State},
    http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header},
    response::{IntoResponse as _, Response},
};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc::Sender};

use super::{MAX_BODY_BYTES, Queued};
use crate::{
    ingest::{
        body::{self, Limits},
        trace_agent::{open::OpenRequest, room},
    },
    os::{clock, thread::run_blocking},
    process::{
        invocation::call::{Call, Decoder},
        propagation::{self, Carrier},
    },
};

/// For how long nothing of a body may come, and how long all of it may take, while the sandbox is not frozen.
const LIMITS: Limits =
    Limits { bytes: MAX_BODY_BYTES, silence: Duration::from_secs(5), total: Duration::from_secs(30) };

/// Maximum length in bytes of a body that is decoded on a worker of the async runtime. A longer one gets a thread of its own.
const MAX_INLINE_BYTES: usize = 64 << 10;

const START_PATH: &str = "/lambda/start-invocation";
const END_PATH: &str = "/lambda/end-invocation";
const HELLO_PATH: &str = "/lambda/hello";

/// What all calls share.
pub struct Server {
    pub decoder: Arc<Decoder>,
    /// Bytes of bodies.
    pub bodies: Arc<Semaphore>,
    /// Bytes of calls that wait for the loop.
    pub queued: Arc<Semaphore>,
    pub sender: Sender<Queued>,
    pub open: Arc<AtomicUsize>,
    /// How many calls found no room.
    pub dropped: Arc<AtomicUsize>,
}

/// What is called.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Route {
    Start,
    End,
    Hello,
}

impl Route {
    fn of(path: &str) -> Option<Self> {
        match path {
            START_PATH => Some(Self::Start),
            END_PATH => Some(Self::End),
            HELLO_PATH => Some(Self::Hello),
            _ => None,
        }
    }

    fn method(self) -> Method {
        if self == Self::Hello { Method::GET } else { Method::POST }
    }
}

/// Answers a call.
pub async fn answer(State(server): State<Arc<Server>>, request: Request) -> Response {
    let (head, body) = request.into_parts();
    let Some(route) = Route::of(head.uri.path()) else {
        return (StatusCode::NOT_FOUND, "Not Found").into_response();
    };
    if head.method != route.method() {
        let allow = [(header::ALLOW, route.method().to_string())];
        return (StatusCode::METHOD_NOT_ALLOWED, allow, "Method Not Allowed").into_response();
    }
    if route == Route::Hello {
        tracing::warn!("LIFECYCLE | {HELLO_PATH} is deprecated; tracers need not call it");
        return empty_object();
    }
    let open = OpenRequest::new(&server.open);
    // A task of its own: the invocation has begun or ended even if the tracer gives up on the answer.
    let work = tokio::spawn(async move {
        let _open = open;
        server.take(route, head.headers, body).await
    });
    work.await.unwrap_or_else(|_| empty_object())
}

impl Server {
    async fn take(&self, route: Route, headers: HeaderMap, body: Body) -> Response {
        let Ok(room) = Arc::clone(&self.bodies).try_acquire_many_owned(0) else { return empty_object() };
        // Before the body is read: a freeze may come in between, and the call is of the invocation before it.
        let time = clock::epoch_ms();
        let (bytes, room) = read(body, room).await;
        let decoder = Arc::clone(&self.decoder);
        let is_inline = bytes.len() <= MAX_INLINE_BYTES;
        let work = move || {
            let header = |name: &str| last(&headers, name);
            let call = match route {
                Route::End => Call::End(Box::new(decoder.end(header, &bytes, time))),
                Route::Start | Route::Hello => {
                    Call::Start(Box::new(decoder.start(header, &carrier(&headers), &bytes, time)))
                }
            };
            drop(room);
            call
        };
        let call = if is_inline { Ok(work()) } else { run_blocking("lifecycle", work).await };
        let Ok(call) = call else { return empty_object() };
        let reply = reply(&call);
        self.send(call);
        reply
    }

    /// Queues a call without waiting: the function waits for the answer.
    fn send(&self, call: Call) {
        let bytes = room::permits(call.bytes());
        let room = Arc::clone(&self.queued).try_acquire_many_owned(bytes);
        let sent = room.is_ok_and(|room| self.sender.try_send(Queued { call, _room: room }).is_ok());
        if !sent {
            self.dropped.fetch_add(1, Ordering::Relaxed);
            tracing::debug!("LIFECYCLE | a call is dropped: too many wait to be processed");
        }
    }
}

/// Reads a body as far as it can be read and there is room for it; otherwise it counts as empty.
async fn read(body: Body, mut room: OwnedSemaphorePermit) -> (Vec<u8>, OwnedSemaphorePermit) {
    let read = body::read_within(body, LIMITS, |bytes| room::resize(&mut room, bytes)).await;
    let bytes = read.unwrap_or_else(|error| {
        tracing::debug!("LIFECYCLE | a body is left out: {error}");
        Vec::new()
    });
    (bytes, room)
}

/// The value of a header; of one that is repeated, the last.
fn last<'h>(headers: &'h HeaderMap, name: &str) -> Option<&'h str> {
    headers.get_all(name).iter().next_back().and_then(|value| value.to_str().ok())
}

/// What the headers of a call say about a trace.
fn carrier(headers: &HeaderMap) -> Carrier {
    Carrier::collect(headers.iter().filter_map(|(name, value)| Some((name.as_str(), value.to_str().ok()?))))
}

/// The answer to a call: to `start-invocation`, the trace that the tracer is to continue.
fn reply(call: &Call) -> Response {
    let mut response = empty_object();
    let Call::Start(start) = call else { return response };
    for (name, value) in start.context.iter().flat_map(propagation::reply_headers) {
        if let Ok(value) = HeaderValue::try_from(value) {
            response.headers_mut().insert(HeaderName::from_static(name), value);
        }
    }
    response
}

fn empty_object() -> Response {
    ([(header::CONTENT_TYPE, "application/json")], "{}").into_response()
}
