//! Datadog's side: what is to be sent becomes a payload here, and the client carries it over.

mod aws;
pub mod client;
mod http;
pub mod key;
pub mod logs;
pub mod metrics;
mod payload;
mod timeout;
pub mod tls;

pub use aws::Aws;
pub use client::{Client, SendError};
pub use http::{ErrorStatus, HttpClient};
pub use payload::{Draft, Kind, Payload, To};
