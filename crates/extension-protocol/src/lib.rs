//! What the launcher and the agent both say to AWS Lambda, and what the launcher hands over to the agent.
//!
//! The launcher has no C library and allocates nothing, so nothing here needs more than `core`: texts are given to a [`Sink`] part by part, responses
//! are parsed where they were read. No I/O.
//!
//! ```text
//! initialization ─▶ request ─▶ (a socket) ─▶ response ─▶ reply       listeners, handover: from launcher to agent
//!                   register, subscribe, next             json        backoff: the pauses between attempts
//! ```
#![no_std]

#[cfg(test)]
extern crate std;

pub mod ascii;
pub mod backoff;
pub mod decimal;
pub mod handover;
mod initialization;
pub mod json;
pub mod listeners;
pub mod log_line;
mod logs_switch;
pub mod reply;
pub mod request;
pub mod response;
mod subscription;

pub use backoff::{Backoff, INIT_RETRIES};
pub use handover::{Handover, SubscriptionState};
pub use initialization::{INITIALIZATION_TYPE, Initialization};
pub use listeners::{LISTENERS, Listener, Service};
pub use logs_switch::wants_logs;
pub use request::{EXTENSION_NAME, Header, IDENTIFIER, RUNTIME_API, Request};
pub use response::{MAX_RESPONSE_BYTES, ParsedResponse, Response, ResponseError};
pub use subscription::Subscription;

/// Takes a text, part by part. It never fails: what becomes of a part that has no room is up to it. Neither generic nor with a result, because either would
/// make the launcher a tenth larger.
pub type Sink<'a> = &'a mut dyn FnMut(&str);
