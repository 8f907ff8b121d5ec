//! OTLP: from a request of an OpenTelemetry SDK to spans of ours, and the replies in its encodings.
//!
//! ```text
//! body ──▶ decode::request ──▶ message::Request ──▶ convert::Traces ──▶ trace::Pipeline
//!          protobuf or JSON    borrows the body     one trace at a time
//! ```
//!
//! Source: the OTLP 1.x specification and its `.proto` files; what becomes of a span follows the public extension.

pub mod convert;
pub mod decode;
pub mod message;
pub mod reply;

mod attributes;
mod naming;
mod tagging;

#[cfg(test)]
mod tests;

pub use convert::{NameRules, Settings, Traces};

/// The encoding of a request and its reply.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Encoding {
    Protobuf,
    /// The JSON mapping of OTLP: ids in hexadecimal, 64-bit numbers as text or number.
    Json,
}

/// What a request takes more memory or work than there is for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("its spans take more memory than there is for them")]
pub struct TooLarge;
