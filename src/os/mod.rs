//! The machine: its memory, what time it is, where our own words go, and who is behind a name.

mod allocator;
pub mod clock;
pub mod log;
pub mod names;
pub mod trace;
