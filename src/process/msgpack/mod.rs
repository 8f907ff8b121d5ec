//! The binary format in which tracers send traces and stats, and in which stats leave.
//!
//! Source: the msgpack specification.

mod error;
mod plain;
mod reader;
mod writer;

pub use error::DecodeError;
pub(crate) use error::Unreadable;
pub(crate) use reader::Reader;
pub(crate) use writer::Writer;
