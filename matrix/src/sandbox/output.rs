//! The output of the function and the extensions.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::setup::Origin;

/// A line as it was written, without its line feed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OutputLine {
    /// The time at which it was read, since the start of the sandbox.
    pub at: Duration,
    /// The writer.
    pub origin: Origin,
    /// The bytes, which need not be text.
    pub bytes: Vec<u8>,
}

/// The times of a function's output. Of log records it is known when they were written, and of lines when they were read.
///
/// A read that ends between a line and a record gives the line a later time than the record, which was written after it. Readers sort logs by time, so the
/// record gets the time of the line then.
#[derive(Debug, Default)]
pub(crate) struct OutputTimes {
    /// The time of the last line that was read.
    last: Mutex<Option<Instant>>,
}

impl OutputTimes {
    /// The time of what comes next in the pipe: of a line that is read `now`, or of a record with the time at which it was written.
    pub(crate) fn next(&self, written: Option<Instant>, now: Instant) -> Instant {
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        match written {
            Some(written) => last.map_or(written, |last| written.max(last)),
            None => *last.insert(now),
        }
    }
}

/// All lines so far.
#[derive(Debug, Default)]
pub(crate) struct OutputLog(Mutex<Vec<OutputLine>>);

impl OutputLog {
    pub(crate) fn add(&self, at: Duration, origin: Origin, bytes: &[u8]) {
        let line = OutputLine { at, origin, bytes: bytes.to_vec() };
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(line);
    }

    pub(crate) fn read(&self) -> Vec<OutputLine> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_has_its_own_time_unless_a_line_before_it_has_a_later_one() {
        let (times, start) = (OutputTimes::default(), Instant::now());
        let at = |seconds| start + Duration::from_secs(seconds);
        assert_eq!(times.next(Some(at(1)), at(9)), at(1));
        assert_eq!(times.next(None, at(3)), at(3));
        assert_eq!(times.next(Some(at(2)), at(9)), at(3));
        assert_eq!(times.next(Some(at(5)), at(9)), at(5));
        assert_eq!(times.next(Some(at(4)), at(9)), at(4), "records of two threads may overtake each other");
    }
}
