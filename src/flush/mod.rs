//! Flushing: when data is sent, and what happens to data that cannot be sent. docs/flushing.md states the policy.

mod api_key_cache;
mod backoff;
mod destination;
mod drops;
mod flusher;
mod request;
mod send_queue;
pub mod strategy;
#[cfg(test)]
mod test_intake;
mod worker;

pub use destination::{Hold, HoldEnd};
pub use drops::{DropCounts, DropReason};
pub use flusher::Flusher;
pub use strategy::{Decision, FlushDecider};

/// Memory limit for data between the aggregates and the network, in bytes: batches, compressed or not, and payloads, queued or in flight. A body that
/// several destinations share counts once.
pub const MAX_BYTES: usize = 24 << 20;
