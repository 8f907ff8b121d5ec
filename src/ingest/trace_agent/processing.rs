//! What becomes of a request once its body is here: it is decoded and processed, and goes to the loop.

use std::{io, sync::Arc, time::Duration};

use axum::{
    http::{HeaderMap, HeaderValue, StatusCode, header::HeaderName, request::Parts},
    response::{IntoResponse as _, Response},
};
use tokio::{sync::OwnedSemaphorePermit, time::sleep};

use super::{
    MAX_ENCODED_BYTES, QueuedRequest, TracerData,
    refusals::{Cause, Endpoint},
    room,
    routes::{self, Route},
    server::{Agent, ReceivedBody, failed, json},
};
use crate::{
    os::{
        allocator::release_free_memory,
        clock,
        thread::{self, Job, run_blocking},
    },
    process::{
        proxied::{ProxiedRequest, ProxiedRoute},
        trace::{
            Output, RecentSpans, Source, SpanObservations, TracerHeaders,
            decode::{self, DecodeError, Version},
            stats,
        },
    },
};

/// Maximum length in bytes of a body that is processed on a worker of the async runtime, which has one on most functions: the loop, on which the function's
/// time depends, waits meanwhile. A longer one gets a thread of its own.
const MAX_INLINE_BYTES: usize = 64 << 10;
/// The same for traces of version 0.5, in which a string of many bytes is a number of one byte wherever it is repeated.
const MAX_INLINE_BYTES_V05: usize = 4 << 10;
/// For how long, and how often, spans wait for an event that is being decoded: one of the maximal length takes some 20 ms.
const EVENT_PAUSE: Duration = Duration::from_millis(1);
const EVENT_PAUSES: usize = 50;
/// Length in bytes of a body after which free memory is given back: its spans have taken a few times as much, for which the function may have better use until the
/// next body of such a length comes.
pub const MAX_KEPT_BYTES: usize = 1 << 20;

impl Agent {
    /// Processes a request whose body is here, and gives the answer.
    pub async fn process(self: Arc<Self>, route: Route, head: Parts, received: ReceivedBody) -> Response {
        match route {
            Route::Traces(version) => {
                let headers = tracer_headers(&head.headers);
                self.traces(version, headers, received, |job| thread::start("traces", job).map(drop)).await
            }
            Route::Stats => self.stats(received).await,
            Route::Proxied(route) => self.proxied(route, head, received).await,
            Route::Info => json(routes::info()),
        }
    }

    /// `start` starts a thread.
    async fn traces(
        self: Arc<Self>,
        version: Version,
        headers: TracerHeaders,
        received: ReceivedBody,
        start: impl FnOnce(Job) -> io::Result<()> + Send,
    ) -> Response {
        let ReceivedBody { bytes, room } = received;
        let is_inline = is_inline(Route::Traces(version), bytes.len());
        self.wait_for_events().await;
        // Before there is a thread: there is at most one then, and where none can be started, nothing may block this one.
        let mut recent = Arc::clone(&self.recent).lock_owned().await;
        let agent = Arc::clone(&self);
        let work = move || {
            let output = agent.decode(version, &bytes, &headers, &mut recent);
            let is_large = bytes.len() > MAX_KEPT_BYTES;
            drop(bytes);
            if is_large {
                release_free_memory();
            }
            (recent, output)
        };
        let output = if is_inline { Ok(work()) } else { thread::run_on(start, work).await };
        let (recent, output) = match output {
            Ok((recent, Ok(output))) => (recent, output),
            Ok((_, Err(error))) => {
                let text = format!("Error deserializing trace from request body: {error}");
                return self.undecodable(routes::path(version), &error, text);
            }
            Err(error) => return failed(format!("Error processing traces: {error}")),
        };
        drop(room);
        tracing::debug!("TRACES | trace payload size after enrichment: {} bytes", output.counts.bytes);
        // What the spans say about invocations waits with them, and placeholders are not among those that are encoded.
        let room = self.room_for_encoded(output.counts.bytes + output.observed.bytes).await;
        drop(recent);
        if self.send(Endpoint::trace_agent(routes::path(version)), TracerData::Traces(Box::new(output)), room).await {
            json("{\"rate_by_service\":{}}".to_owned())
        } else {
            failed("Error sending traces to the trace aggregator: it is closed".to_owned())
        }
    }

    /// Waits a little for events that the function has got and that are not decoded yet: its spans may belong below theirs.
    async fn wait_for_events(&self) {
        for _ in 0..EVENT_PAUSES {
            if !self.span_parents.are_arriving() {
                return;
            }
            sleep(EVENT_PAUSE).await;
        }
    }

    /// Decodes and processes all traces, or none of them.
    fn decode(
        &self,
        version: Version,
        body: &[u8],
        headers: &TracerHeaders,
        recent: &mut RecentSpans,
    ) -> Result<Output, DecodeError> {
        let mut seen = recent.clone();
        let (mut repeated, mut observed) = (0, SpanObservations::default());
        let now = clock::epoch_ms().saturating_mul(1_000_000);
        let traces = decode::traces(version, body)?.map(|trace| {
            trace.map(|mut spans| {
                repeated += seen.retain_new(&mut spans);
                observed.look(&mut spans, &self.span_parents, headers.computed_stats);
                spans
            })
        });
        let run = self.pipeline.run(Source { headers, now, room: MAX_ENCODED_BYTES }, traces);
        let mut output = run.inspect_err(|_| self.span_parents.invocations.take_back(&observed.traced))?;
        output.observed = observed;
        *recent = seen;
        if repeated > 0 {
            tracing::debug!("TRACE_AGENT | {repeated} spans came twice");
        }
        Ok(output)
    }

    async fn stats(&self, received: ReceivedBody) -> Response {
        let ReceivedBody { bytes, room } = received;
        let now = u64::try_from(clock::epoch_ms()).unwrap_or_default().saturating_mul(1_000_000);
        let is_inline = is_inline(Route::Stats, bytes.len());
        let turn = self.recent.lock().await;
        let work = move || stats::client::read(&bytes, now);
        let stats = if is_inline { Ok(work()) } else { run_blocking("stats", work).await };
        let stats = match stats {
            Ok(Ok(Some(stats))) => stats,
            Ok(Ok(None)) => {
                return (StatusCode::ACCEPTED, "Empty stats payload; nothing to aggregate.").into_response();
            }
            Ok(Err(error)) => {
                let text = format!("Error deserializing trace stats from request body: {error}");
                return self.undecodable(routes::STATS_PATH, &error, text);
            }
            Err(error) => return failed(format!("Error processing trace stats: {error}")),
        };
        drop(room);
        let room = self.room_for_encoded(stats.bytes().len()).await;
        drop(turn);
        if self.send(Endpoint::trace_agent(routes::STATS_PATH), TracerData::Stats(stats), room).await {
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
        if self.send(Endpoint::trace_agent(route.path), TracerData::Proxied(request), Some(room)).await {
            (StatusCode::OK, format!("Acknowledged request for {}", route.context)).into_response()
        } else {
            failed(format!("Error queueing request for {}: the queue is closed", route.context))
        }
    }

    /// Waits until there is room for so many encoded bytes beside those that wait for the loop. None if there never will be any.
    pub async fn room_for_encoded(&self, bytes: usize) -> Option<OwnedSemaphorePermit> {
        // A request of the maximum and the heads of its payloads may be a little longer.
        Arc::clone(&self.encoded).acquire_many_owned(room::permits(bytes.min(MAX_ENCODED_BYTES))).await.ok()
    }

    /// Waits for a place in the queue; false if nobody takes anything out of it any more.
    pub async fn send(&self, endpoint: Endpoint<'_>, received: TracerData, room: Option<OwnedSemaphorePermit>) -> bool {
        if let Some(room) = room
            && self.sender.send(QueuedRequest { received, _room: room }).await.is_ok()
        {
            return true;
        }
        self.refusals.record(Cause::Closed, endpoint, "nothing is taken in any more");
        false
    }
}

/// Whether a body of so many bytes is processed without a thread of its own.
fn is_inline(route: Route, bytes: usize) -> bool {
    let max = if route == Route::Traces(Version::V05) { MAX_INLINE_BYTES_V05 } else { MAX_INLINE_BYTES };
    bytes <= max
}

fn tracer_headers(headers: &HeaderMap) -> TracerHeaders {
    TracerHeaders::read(|name| headers.get(name).and_then(|value| value.to_str().ok()))
}

#[cfg(test)]
#[path = "processing_tests.rs"]
mod tests;
