//! Datadog's side: what is to be sent becomes a payload here, and the client carries it over.

mod aws;
pub mod client;
pub mod key;
pub mod logs;
pub mod metrics;
mod payload;
pub mod tls;

pub use aws::Aws;
pub use client::{Client, Failure};
pub use payload::{Draft, Kind, Payload, To};
