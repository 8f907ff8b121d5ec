//! Listeners: telemetry, DogStatsD, trace agent, lifecycle calls and OTLP. They receive bytes and pass on typed events.

mod body;
pub mod dogstatsd;
mod http1;
pub mod lifecycle;
pub mod otlp;
pub mod telemetry;
pub mod trace_agent;
