//! The floor: the least that an extension can do, with which all times of the benchmark are compared, in the same run on the same machine.
//!
//! It registers, binds a port while the platform answers, subscribes and asks for the first event in one write, on one connection and one thread. Only then does
//! it accept telemetry, which it answers and discards, and ask for one event after the other until SHUTDOWN. It has no C library and no standard library, and
//! allocates nothing.
#![no_std]
#![no_main]
#![allow(dead_code, reason = "the files that it shares with the launcher have more than it needs")]

mod api;
mod connection;
mod descriptors;
mod idle;
mod log;
mod process;
#[path = "floor/startup.rs"]
mod startup;
#[path = "floor/telemetry.rs"]
mod telemetry;
mod text;
