//! Datadog's intakes: encodes and compresses payloads, and sends them over HTTP.

mod aws;
pub mod client;
pub mod compression;
mod descriptor;
mod http;
pub mod key;
mod kind;
pub mod logs;
mod memory;
pub mod metrics;
mod payload;
pub mod proxied;
mod send_error;
pub mod stats;
pub mod tls;
pub mod traces;
mod written;

pub use aws::Aws;
pub use client::Client;
pub use http::{ErrorStatus, HttpClient};
pub use kind::Kind;
pub use memory::{Body, MemoryBudget};
pub use payload::{Payload, RequestHead, Target, UnsealedPayload};
pub use send_error::SendError;
