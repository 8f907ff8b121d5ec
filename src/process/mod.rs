//! Pure: a telemetry event, a datagram or a trace goes in, logs, points, metrics and encoded spans come out. No sockets, no files, no clock.

pub mod appsec;
pub mod data_streams;
pub mod dogstatsd;
pub mod event;
mod form;
pub mod invocation;
pub mod log;
pub mod metric;
mod msgpack;
pub mod otlp;
pub mod propagation;
mod protobuf;
pub mod proxied;
pub mod runtime;
pub mod tags;
pub mod trace;
pub mod trigger;
pub mod usage;

/// SHA-256 of the TLS provider, so that no second cryptographic library is needed. `None` if the provider has none; the ids that follow from a hash are omitted then.
pub type Digest = fn(&[u8]) -> Option<[u8; 32]>;
