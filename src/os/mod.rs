//! The machine: what time it is, and where our own log lines go.

pub mod clock;
pub mod log;
