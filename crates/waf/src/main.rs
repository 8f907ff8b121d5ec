//! The WAF worker: evaluates requests for attacks with libddwaf, for the agent that has started it.
//!
//! Its standard input is one end of a socket pair, over which it receives rules and addresses and returns results (`waf-protocol`). It opens no file and no socket, and
//! whatever happens to it happens to no other process: the library parses what attackers send. When the agent closes its end, or is gone, it ends.
//!
//! Dynamically linked, because libddwaf is; without Rust's standard library, which would need a newer C library than Lambda has everywhere.
#![no_std]
#![no_main]

extern crate alloc;

mod confine;
mod entry;
mod filter;
mod library;
mod serve;
