//! Operating system interfaces: allocator, clocks, files, logging, signals, threads, name resolution, and resource usage of processes.

pub mod allocator;
pub mod checkpoints;
pub mod clock;
pub mod descriptors;
pub mod error;
pub mod file;
pub mod log;
pub mod nss;
pub mod proc;
pub mod processes;
pub mod random;
mod read;
pub mod signal;
pub mod streams;
pub mod thread;
pub mod timeout;
pub mod tmp;
