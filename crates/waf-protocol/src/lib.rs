//! The messages between the agent and the WAF worker, over a stream socket that nobody else has.
//!
//! A frame is a length in bytes (u32, little-endian, of what follows), a tag of one byte, and fields. Integers are little-endian, byte strings have their length (u32) before
//! them. The agent sends [`Request`]s; the worker answers `Configure` with [`Reply::Ready`] or [`Reply::Refused`], each `Evaluate` with [`Reply::Outcome`], in order, and nothing else.
//!
//! Whoever reads trusts nobody: lengths are bounded, values have a maximum depth, and what does not fit is an [`Error`].
#![cfg_attr(not(test), no_std)]

extern crate alloc;

mod message;
mod reader;
#[cfg(test)]
mod tests;
mod value;

pub use message::{Frames, Reply, Request, WafStatus};
pub use reader::{Error, Reader};
pub use value::{Token, Value, write_array, write_map, write_text, write_token};

/// The version of the messages. A worker of another one is not used.
pub const VERSION: u8 = 1;
/// Maximum length of a frame in bytes, without its length field.
pub const MAX_FRAME_BYTES: usize = 16 << 20;
/// Maximum length in bytes of a frame that the worker sends, without its length field.
pub const MAX_REPLY_BYTES: usize = 1 << 20;
/// Maximum number of values in a value that is read, itself among them.
pub const MAX_VALUES: usize = 64 << 10;
/// Maximum depth of arrays and maps in a value.
pub const MAX_DEPTH: usize = 64;
