//! Pure: a telemetry event goes in, logs and points come out. No sockets, no files, no clock.

pub mod event;
pub mod invocation;
pub mod log;
pub mod metric;
pub mod runtime;
pub mod tags;
pub mod usage;
