//! The output of the function and the extensions.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use super::setup::Origin;

/// A line as it was written, without its line feed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    /// The time at which it was read, since the start of the sandbox.
    pub at: Duration,
    /// The writer.
    pub origin: Origin,
    /// The bytes, which need not be text.
    pub bytes: Vec<u8>,
}

/// All lines so far.
#[derive(Debug, Default)]
pub(crate) struct Printed(Mutex<Vec<Line>>);

impl Printed {
    pub(crate) fn add(&self, at: Duration, origin: Origin, bytes: &[u8]) {
        let line = Line { at, origin, bytes: bytes.to_vec() };
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(line);
    }

    pub(crate) fn read(&self) -> Vec<Line> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}
