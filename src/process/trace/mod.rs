//! Traces: from a request body to the bytes that the intake takes.
//!
//! ```text
//! body ──▶ decode ──▶ recent ──▶ Pipeline::run ────────────────────────────────────────────────▶ TracerPayload
//!          one trace  spans seen  normalize, chunk, filter, self-traffic, tags, obfuscate, encode    │
//!          at a time  before                                             └──▶ stats::Groups          ▼
//!                                                                                               agent_payload
//! ```
//!
//! Everything runs on the task that serves the request: what leaves is encoded, so that a span that waits to be sent takes the bytes that it will take on the wire
//! and no more. A [`Pipeline`] is compiled once from [`TraceSettings`].

pub mod decode;
pub mod headers;
pub mod map;
pub mod observe;
pub mod recent;
pub mod settings;
pub mod span;
pub mod stats;

mod adoption;
mod chunk;
mod encode;
mod filter;
mod ids;
pub(in crate::process) mod normalize;
mod obfuscate;
mod pipeline;
mod replace;
mod self_traffic;
mod tags;
mod wire;

#[cfg(test)]
mod test_messages;

pub use adoption::{InvocationSpan, TraceMatch};
pub use encode::{MAX_PAYLOAD_BYTES, OVERHEAD, TracerPayload, agent_payload};
pub use headers::TracerHeaders;
pub use observe::{DurableContext, Placeholder, SpanObservations, SpanParents};
pub use pipeline::{Counts, Output, Pipeline, Source};
pub use recent::RecentSpans;
pub use replace::BadPattern;
pub use settings::TraceSettings;
pub use span::Span;
