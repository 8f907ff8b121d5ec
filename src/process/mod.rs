//! Pure processing: converts telemetry events and datagrams to logs, metric points and metrics. No sockets, no files, no clock.

pub mod dogstatsd;
pub mod event;
pub mod invocation;
pub mod log;
pub mod metric;
pub mod runtime;
pub mod tags;
pub mod usage;
