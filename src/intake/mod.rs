//! Datadog's intakes: encodes and compresses payloads, and sends them over HTTP.

mod aws;
pub mod client;
pub mod compression;
mod http;
pub mod key;
pub mod logs;
mod memory;
pub mod metrics;
mod payload;
mod timeout;
pub mod tls;
mod written;

pub use aws::Aws;
pub use client::{Client, SendError};
pub use http::{ErrorStatus, HttpClient};
pub use memory::{Body, MemoryBudget};
pub use payload::{Kind, Payload, Target, UnsealedPayload};
