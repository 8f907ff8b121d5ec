//! The machine: its memory, what time it is, where our own words go, the signals that it gets, who is behind a name, and what its processes use.

mod allocator;
pub mod clock;
pub mod log;
pub mod names;
pub mod proc;
pub mod processes;
mod read;
pub mod signal;
pub mod streams;
pub mod tmp;
pub mod trace;
