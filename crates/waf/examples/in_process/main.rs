//! The yardstick of the benchmark `load`: evaluates with the library as the worker does, with no border of a process between a caller and the library.
//!
//! It takes the worker's messages over the same kind of socket. `Configure` builds the rules. `Evaluate` is repeated as often as the number of its context says, each time in
//! a new context; its outcome has the status of the last evaluation, and as the result the nanoseconds of each. It gives up nothing, because a program that links the library
//! itself could not. It is part of no layer, and only the benchmark builds it.
#![no_std]
#![no_main]

extern crate alloc;

#[path = "../../src/entry.rs"]
#[expect(dead_code, reason = "only the worker closes descriptors and installs its filter")]
mod entry;
#[path = "../../src/filter.rs"]
#[expect(dead_code, reason = "as above")]
mod filter;
#[path = "../../src/library.rs"]
mod library;
mod serve;
