//! The machine: its memory, what time it is, and where our own words go.

mod allocator;
pub mod clock;
pub mod log;
pub mod trace;
