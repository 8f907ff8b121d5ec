//! What listens: bytes come in, typed events go on.

mod body;
pub mod dogstatsd;
mod http1;
pub mod lifecycle;
pub mod otlp;
pub mod telemetry;
pub mod trace_agent;
