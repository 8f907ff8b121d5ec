//! What listens: bytes come in, typed events go on.

pub mod dogstatsd;
pub mod telemetry;
