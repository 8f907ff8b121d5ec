//! What both protocols do with a request: its body is read, decompressed, decoded and converted, and goes to the loop.

use std::sync::Arc;

use axum::body::Body;
use tokio::sync::OwnedSemaphorePermit;

use super::gzip::{self, InflateError};
use crate::{
    ingest::{
        body::{self, Limits, ReadError},
        trace_agent::{
            Agent, Cause, Endpoint, MAX_ENCODED_BYTES, MAX_KEPT_BYTES, MAX_TRACE_BODY_BYTES, OpenRequest, SILENCE,
            TOTAL, TracerData, room,
        },
    },
    os::{allocator::release_free_memory, clock, error::chain, thread::run_blocking},
    process::{
        otlp::{
            Encoding, Settings, Traces,
            convert::invalid_spans,
            decode::{self, DecodeError},
        },
        trace::{Output, Source, TracerHeaders},
    },
};

/// Maximum length in bytes of a body that is processed on a worker of the async runtime. A longer one gets a thread of its own, because the loop, on which the
/// function's time depends, waits meanwhile: the attributes of a resource become tags of each of its spans.
const MAX_INLINE_BYTES: usize = 4 << 10;

/// State shared by all export requests.
pub struct Receiver {
    pub agent: Arc<Agent>,
    pub settings: Settings,
}

/// A request whose body is here.
pub struct Export {
    pub encoding: Encoding,
    pub is_gzip: bool,
    /// Maximum length in bytes once it is decompressed.
    pub max_bytes: usize,
    pub headers: TracerHeaders,
    /// The endpoint, for log lines and telemetry.
    pub endpoint: Endpoint<'static>,
    pub body: ReceivedBody,
}

/// A body, and its share of the memory.
pub struct ReceivedBody {
    pub bytes: Vec<u8>,
    /// Offset of the message, protobuf or JSON: 5 after a gRPC frame head, else 0.
    pub start: usize,
    pub room: OwnedSemaphorePermit,
}

/// Why a request is refused.
#[derive(Debug)]
pub struct Refusal {
    pub cause: Option<Cause>,
    pub message: String,
}

impl Refusal {
    pub fn new(cause: Cause, message: impl Into<String>) -> Self {
        Self { cause: Some(cause), message: message.into() }
    }
}

impl Receiver {
    /// Reads a body of at most so many bytes.
    pub async fn read(&self, body: Body, max_bytes: usize) -> Result<ReceivedBody, Refusal> {
        let limits = Limits { bytes: max_bytes, silence: SILENCE, total: TOTAL };
        let refuse = |body: Body, cause: Cause, why: String| {
            // The sender is answered at once, and what it still writes is taken and thrown away.
            tokio::spawn(body::drain(body, limits));
            Refusal::new(cause, format!("Failed to extract request body: {why}"))
        };
        if self.agent.is_closed() {
            return Err(refuse(body, Cause::Closed, "the extension is shutting down".to_owned()));
        }
        let declared = body::declared_bytes(&body).map(|bytes| usize::try_from(bytes).unwrap_or(usize::MAX));
        if declared.is_some_and(|declared| declared > max_bytes) {
            return Err(refuse(body, Cause::TooLong, ReadError::TooLong { limit: max_bytes }.to_string()));
        }
        let Some(mut room) = self.agent.room_for_body(declared.unwrap_or(room::FIRST_BYTES).min(max_bytes)).await
        else {
            return Err(refuse(body, Cause::NoMemory, ReadError::NoRoom.to_string()));
        };
        match body::read_within(body, limits, |bytes| room::resize(&mut room, bytes)).await {
            Ok(bytes) => {
                room::shrink(&mut room, bytes.capacity());
                Ok(ReceivedBody { bytes, start: 0, room })
            }
            Err(error) => {
                let cause = match error {
                    ReadError::TooLong { .. } => Cause::TooLong,
                    ReadError::NoMemory(_) | ReadError::NoRoom => Cause::NoMemory,
                    ReadError::Stalled { .. } => Cause::Stalled,
                    ReadError::Transport(_) => Cause::Malformed,
                };
                Err(Refusal::new(cause, format!("Failed to extract request body: {error}")))
            }
        }
    }

    /// Processes a request, and gives the number of its spans that are not sent. As a task of its own: when a client gives up on its answer, this future is
    /// dropped, and what it has sent would be lost.
    pub async fn start(self: Arc<Self>, export: Export, open: OpenRequest) -> Result<usize, Refusal> {
        let work = tokio::spawn(async move {
            let _open = open;
            self.export(export).await
        });
        work.await.unwrap_or_else(|error| Err(Refusal { cause: None, message: error.to_string() }))
    }

    async fn export(self: Arc<Self>, export: Export) -> Result<usize, Refusal> {
        let (agent, endpoint) = (Arc::clone(&self.agent), export.endpoint);
        let is_inline = is_inline(export.is_gzip, export.body.bytes.len());
        // One request is decoded at a time, the trace agent's too.
        let turn = Arc::clone(&agent.recent).lock_owned().await;
        let work = move || self.process(export);
        let processed = if is_inline { Ok(work()) } else { run_blocking("otlp", work).await };
        let ExportOutput { output, invalid } =
            processed.unwrap_or_else(|error| Err(Refusal { cause: None, message: error.to_string() })).map_err(
                |refusal| Refusal { message: format!("Failed to process request: {}", refusal.message), ..refusal },
            )?;
        let counts = output.counts;
        tracing::debug!("TRACES | trace payload size after enrichment: {} bytes", counts.bytes);
        let room = agent.room_for_encoded(counts.bytes).await;
        drop(turn);
        if agent.send(endpoint, TracerData::Traces(Box::new(output)), room).await {
            Ok(invalid + counts.oversized + counts.without_room)
        } else {
            Err(Refusal {
                cause: None,
                message: "Error sending traces to the trace aggregator: it is closed".to_owned(),
            })
        }
    }

    fn process(&self, export: Export) -> Result<ExportOutput, Refusal> {
        let mut taken = export.body.bytes.len();
        let processed = self.convert(export, &mut taken);
        if taken > MAX_KEPT_BYTES {
            release_free_memory();
        }
        processed
    }

    /// Decompresses, decodes and converts a body. `taken` becomes the bytes that it took, decompressed if it is compressed.
    fn convert(&self, export: Export, taken: &mut usize) -> Result<ExportOutput, Refusal> {
        let Export { encoding, is_gzip, max_bytes, headers, body, .. } = export;
        let ReceivedBody { mut bytes, mut start, mut room } = body;
        if is_gzip {
            let packed = bytes.len();
            let limit = max_bytes.min(MAX_TRACE_BODY_BYTES - packed.min(MAX_TRACE_BODY_BYTES));
            let resize = |bytes| {
                *taken = packed + bytes;
                room::resize(&mut room, packed + bytes)
            };
            bytes = gzip::inflate(bytes.get(start..).unwrap_or_default(), limit, resize).map_err(Refusal::from)?;
            start = 0;
        }
        let request = decode::request(encoding, bytes.get(start..).unwrap_or_default()).map_err(Refusal::from)?;
        let invalid = invalid_spans(&request);
        let now = clock::epoch_ms().saturating_mul(1_000_000);
        let source = Source { headers: &headers, now, room: MAX_ENCODED_BYTES };
        let traces = Traces::new(request, &self.settings);
        let output =
            self.agent.pipeline.run(source, traces).map_err(|error| Refusal::from(DecodeError::from(error)))?;
        Ok(ExportOutput { output, invalid })
    }
}

/// Whether a body of so many bytes is processed without a thread of its own. Nobody knows how long a compressed one will be.
pub(super) fn is_inline(is_gzip: bool, bytes: usize) -> bool {
    !is_gzip && bytes <= MAX_INLINE_BYTES
}

struct ExportOutput {
    output: Output,
    /// Number of spans without a valid trace id.
    invalid: usize,
}

impl From<InflateError> for Refusal {
    fn from(error: InflateError) -> Self {
        let cause = match error {
            InflateError::TooLong { .. } => Cause::TooLong,
            InflateError::NoRoom => Cause::NoMemory,
            InflateError::Malformed(_) => Cause::Malformed,
        };
        Self::new(cause, chain(&error))
    }
}

impl From<DecodeError> for Refusal {
    fn from(error: DecodeError) -> Self {
        let cause = if matches!(error, DecodeError::TooLarge(_)) { Cause::TooLarge } else { Cause::Malformed };
        Self::new(cause, chain(&error))
    }
}
