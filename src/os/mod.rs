//! The machine: its memory, its clocks and files, our own log, signals, threads, host names, and what its processes use.

pub mod allocator;
pub mod checkpoints;
pub mod clock;
pub mod file;
pub mod log;
pub mod nss;
pub mod proc;
pub mod processes;
mod read;
pub mod signal;
pub mod streams;
pub mod thread;
pub mod tmp;
