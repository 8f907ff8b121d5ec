//! Flushing: when data is sent, and what happens to data that cannot be sent. docs/flushing.md states the policy.

mod api_key_cache;
mod backoff;
mod destination;
mod dropped;
mod flusher;
mod request;
mod send_queue;
pub mod strategy;
#[cfg(test)]
mod test_intake;
mod worker;

pub use destination::{Hold, HoldEnd};
pub use dropped::Dropped;
pub use flusher::Flusher;
pub use strategy::{Decision, FlushDecider};
