//! What stands in `/opt/extensions`: a small program that does what Lambda waits for, and then becomes the agent.
//!
//! It registers, binds the listening sockets, subscribes and asks for the first event. After that Lambda waits for nobody any more, however long the agent takes
//! to be loaded. The process stays the same, so that Lambda sees one extension; the sockets stay open, so that nothing that arrives in between is lost.
//!
//! It has no C library and no standard library, because what is loaded before the registration is what every function pays for. It allocates nothing.
#![cfg_attr(not(test), no_std)]
#![cfg_attr(not(test), no_main)]
#![cfg_attr(test, allow(dead_code, reason = "tests do not begin where the program does"))]

mod agent;
mod api;
mod connection;
mod descriptors;
mod idle;
mod listeners;
mod log;
mod process;
mod registration;
mod startup;
mod text;
