//! The machine: its memory, its clocks and files, our own log, host names, and what its processes use.

mod allocator;
pub mod clock;
pub mod file;
pub mod log;
pub mod names;
pub mod proc;
pub mod tmp;
pub mod trace;
