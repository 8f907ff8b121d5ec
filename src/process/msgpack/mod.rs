//! The binary format in which tracers send traces and stats, and in which stats leave.
//!
//! Source: the msgpack specification.

mod reader;
mod writer;

pub use reader::DecodeError;
pub(crate) use reader::{Reader, Unreadable};
pub(crate) use writer::Writer;
