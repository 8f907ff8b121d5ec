//! Requests of tracers, from the head to the answer.

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
    http::{
        HeaderMap, HeaderValue, StatusCode,
        header::{self, HeaderName},
        request::Parts,
    },
    response::{IntoResponse as _, Response},
};
use tokio::sync::{Mutex, OwnedSemaphorePermit, Semaphore, mpsc::Sender};

use super::{
    MAX_ENCODED_BYTES, Queued, Received,
    routes::{self, Route},
};
use crate::{
    ingest::body::{self, Limits, ReadError},
    os::{clock, thread::run_blocking},
    process::{
        proxied::{ProxiedRequest, ProxiedRoute},
        stats,
        trace::{
            Output, Pipeline, RecentSpans, Source, TracerHeaders,
            decode::{self, DecodeError, Version},
        },
    },
};

/// For how long nothing of a body may come, and how long all of it may take, while the sandbox is not frozen.
const SILENCE: Duration = Duration::from_secs(5);
const TOTAL: Duration = Duration::from_secs(30);
/// A longer body is processed on a thread of its own: the loop, on which the function's time depends, may have only this one.
const SMALL_BODY: usize = 64 << 10;

/// What all requests share.
pub struct Agent {
    pub pipeline: Pipeline,
    /// One request is processed at a time.
    pub recent: Mutex<RecentSpans>,
    /// Bytes of bodies.
    pub room: Arc<Semaphore>,
    pub sender: Sender<Queued>,
    pub open: Arc<AtomicUsize>,
}

/// Counts a request as long as it lives.
struct OpenRequest(Arc<AtomicUsize>);

impl OpenRequest {
    fn new(open: &Arc<AtomicUsize>) -> Self {
        open.fetch_add(1, Ordering::Relaxed);
        Self(Arc::clone(open))
    }
}

impl Drop for OpenRequest {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// A body, and its share of the memory.
struct ReceivedBody {
    bytes: Vec<u8>,
    room: OwnedSemaphorePermit,
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
    let _open = OpenRequest::new(&agent.open);
    let received = match agent.read(route, &head.headers, body).await {
        Ok(received) => received,
        Err(refusal) => return refusal,
    };
    match route {
        Route::Traces(version) => agent.traces(version, &head.headers, received).await,
        Route::Stats => agent.stats(received).await,
        Route::Proxied(route) => agent.proxied(route, head, received).await,
        Route::Info => json(routes::info()),
    }
}

impl Agent {
    /// Reads a body within the limits of its route, or gives the answer that refuses it.
    async fn read(&self, route: Route, headers: &HeaderMap, body: Body) -> Result<ReceivedBody, Response> {
        let limit = route.max_bytes();
        let limits = Limits { bytes: limit, silence: SILENCE, total: TOTAL };
        let declared = declared_bytes(headers, &body);
        let refuse = |body: Body, status: StatusCode, why: String| {
            // The sender is answered at once, and what it still writes is taken and thrown away.
            tokio::spawn(body::drain(body, limits));
            (status, why).into_response()
        };
        if let Some(declared) = declared.filter(|declared| *declared > limit as u64) {
            let why = format!("Content-Length {declared} exceeds maximum allowed size {limit}");
            return Err(refuse(body, StatusCode::PAYLOAD_TOO_LARGE, why));
        }
        if !matches!(route, Route::Proxied(_))
            && let Some(encoding) = headers.get(header::CONTENT_ENCODING).filter(|encoding| *encoding != "identity")
        {
            let why = format!("Content-Encoding {encoding:?} is not understood; send msgpack as it is");
            return Err(refuse(body, StatusCode::UNSUPPORTED_MEDIA_TYPE, why));
        }
        let wanted = declared.map_or(limit, |declared| usize::try_from(declared).unwrap_or(limit));
        let wanted = u32::try_from(wanted).unwrap_or(u32::MAX);
        let Ok(room) = Arc::clone(&self.room).acquire_many_owned(wanted).await else {
            return Err((StatusCode::SERVICE_UNAVAILABLE, "closing").into_response());
        };
        match body::read(body, limits).await {
            Ok(bytes) => Ok(ReceivedBody { bytes, room }),
            Err(error) => Err(unreadable(route, &error)),
        }
    }

    async fn traces(self: &Arc<Self>, version: Version, headers: &HeaderMap, received: ReceivedBody) -> Response {
        let ReceivedBody { bytes, room } = received;
        let headers = tracer_headers(headers);
        let output = if bytes.len() <= SMALL_BODY {
            self.process(version, &bytes, &headers, &mut *self.recent.lock().await)
        } else {
            let agent = Arc::clone(self);
            let work = move || {
                // Nothing of the async runtime is on this thread.
                let mut recent = agent.recent.blocking_lock();
                agent.process(version, &bytes, &headers, &mut recent)
            };
            match run_blocking("traces", work).await {
                Ok(output) => output,
                Err(error) => return failed(format!("Error processing traces: {error}")),
            }
        };
        let output = match output {
            Ok(output) => output,
            Err(error) => return failed(format!("Error deserializing trace from request body: {error}")),
        };
        log::debug!("TRACES | trace payload size after enrichment: {} bytes", output.counts.bytes);
        if self.send(Received::Traces(Box::new(output)), room).await {
            json("{\"rate_by_service\":{}}".to_owned())
        } else {
            failed("Error sending traces to the trace aggregator: it is closed".to_owned())
        }
    }

    /// Decodes and processes all traces, or none of them.
    fn process(
        &self,
        version: Version,
        body: &[u8],
        headers: &TracerHeaders,
        recent: &mut RecentSpans,
    ) -> Result<Output, DecodeError> {
        let mut seen = recent.clone();
        let mut repeated = 0;
        let now = clock::epoch_ms().saturating_mul(1_000_000);
        let traces = decode::traces(version, body)?.map(|trace| {
            trace.map(|mut spans| {
                repeated += seen.retain_new(&mut spans);
                spans
            })
        });
        let output = self.pipeline.run(Source { headers, now, room: MAX_ENCODED_BYTES }, traces)?;
        *recent = seen;
        if repeated > 0 {
            log::debug!("TRACE_AGENT | {repeated} spans came twice");
        }
        Ok(output)
    }

    async fn stats(&self, received: ReceivedBody) -> Response {
        let ReceivedBody { bytes, room } = received;
        let now = u64::try_from(clock::epoch_ms()).unwrap_or_default().saturating_mul(1_000_000);
        let stats = match stats::client::read(&bytes, now) {
            Ok(Some(stats)) => stats,
            Ok(None) => return (StatusCode::ACCEPTED, "Empty stats payload; nothing to aggregate.").into_response(),
            Err(error) => return failed(format!("Error deserializing trace stats from request body: {error}")),
        };
        if self.send(Received::Stats(stats), room).await {
            (StatusCode::ACCEPTED, "Successfully buffered stats to be aggregated.").into_response()
        } else {
            failed("Error sending stats to the stats aggregator: it is closed".to_owned())
        }
    }

    async fn proxied(&self, route: ProxiedRoute, head: Parts, received: ReceivedBody) -> Response {
        let ReceivedBody { bytes: body, room } = received;
        let header = |(name, value): (&HeaderName, &HeaderValue)| (name.as_str().to_owned(), value.as_bytes().to_vec());
        let request = ProxiedRequest {
            route,
            query: head.uri.query().map(str::to_owned),
            headers: head.headers.iter().map(header).collect(),
            body,
        };
        if self.send(Received::Proxied(request), room).await {
            (StatusCode::OK, format!("Acknowledged request for {}", route.context)).into_response()
        } else {
            failed(format!("Error queueing request for {}: the queue is closed", route.context))
        }
    }

    /// Waits for a place in the queue; false if nobody takes anything out of it any more.
    async fn send(&self, received: Received, room: OwnedSemaphorePermit) -> bool {
        self.sender.send(Queued { received, _room: room }).await.is_ok()
    }
}

fn tracer_headers(headers: &HeaderMap) -> TracerHeaders {
    TracerHeaders::read(|name| headers.get(name).and_then(|value| value.to_str().ok()))
}

/// What the head says about the length, which HTTP may have another opinion on.
fn declared_bytes(headers: &HeaderMap, body: &Body) -> Option<u64> {
    let header = || headers.get(header::CONTENT_LENGTH)?.to_str().ok()?.trim().parse().ok();
    body::declared_bytes(body).or_else(header)
}

/// The answer to a request whose body could not be read.
fn unreadable(route: Route, error: &ReadError) -> Response {
    let status = match error {
        ReadError::TooLong { .. } => StatusCode::PAYLOAD_TOO_LARGE,
        ReadError::NoMemory(_) => StatusCode::SERVICE_UNAVAILABLE,
        ReadError::Stalled { .. } => StatusCode::REQUEST_TIMEOUT,
        ReadError::Transport(_) if route == Route::Stats => StatusCode::BAD_REQUEST,
        ReadError::Transport(_) => StatusCode::INTERNAL_SERVER_ERROR,
    };
    let text = format!("Error extracting request body: {error}");
    if matches!(route, Route::Traces(_)) {
        // Usual where the sandbox was frozen while a tracer sent.
        let text = format!("TRACE_AGENT | handle_traces | {text}");
        log::debug!("{text}");
        return (status, text).into_response();
    }
    log::warn!("TRACE_AGENT | {text}");
    (status, text).into_response()
}

fn failed(text: String) -> Response {
    log::debug!("TRACE_AGENT | {text}");
    (StatusCode::INTERNAL_SERVER_ERROR, text).into_response()
}

fn json(text: String) -> Response {
    ([(header::CONTENT_TYPE, "application/json")], text).into_response()
}
