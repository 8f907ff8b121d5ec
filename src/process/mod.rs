//! Pure: a telemetry event or a datagram goes in, logs, points and metrics come out. No sockets, no files, no clock.

pub mod dogstatsd;
pub mod event;
pub mod invocation;
pub mod log;
pub mod metric;
pub mod runtime;
pub mod tags;
pub mod usage;
