//! What was given up, wherever on the way to Datadog.

use std::fmt;

use crate::intake::{Kind, Payload};

/// Counts of what was given up.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Dropped {
    /// Logs.
    pub logs: u64,
    /// Distributions.
    pub sketches: u64,
    /// Counts and gauges.
    pub series: u64,
    /// Values of the customer's metrics, before they could become one of the above.
    pub values: u64,
    /// Datagrams that nobody could read in time.
    pub datagrams: u64,
}

impl Dropped {
    /// So many items of a payload.
    pub(super) fn one(kind: Kind, items: u64) -> Self {
        match kind {
            Kind::Logs => Self { logs: items, ..Self::default() },
            Kind::Sketches => Self { sketches: items, ..Self::default() },
            Kind::Series => Self { series: items, ..Self::default() },
        }
    }

    /// What a payload holds.
    pub(super) fn of(payload: &Payload) -> Self {
        Self::one(payload.kind, payload.items)
    }

    pub(super) fn add(&mut self, other: Self) {
        self.logs += other.logs;
        self.sketches += other.sketches;
        self.series += other.series;
        self.values += other.values;
        self.datagrams += other.datagrams;
    }

    pub(super) fn remove(&mut self, other: Self) {
        self.logs -= other.logs;
        self.sketches -= other.sketches;
        self.series -= other.series;
        self.values -= other.values;
        self.datagrams -= other.datagrams;
    }
}

impl fmt::Display for Dropped {
    /// Lists what there is any of.
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        let all = [
            (self.logs, "logs"),
            (self.sketches, "distributions"),
            (self.series, "series"),
            (self.values, "values of metrics"),
            (self.datagrams, "datagrams"),
        ];
        let mut before = "";
        for (count, what) in all.into_iter().filter(|(count, _)| *count > 0) {
            write!(f, "{before}{count} {what}")?;
            before = ", ";
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_there_is_any_of_is_listed() {
        let mut dropped = Dropped::one(Kind::Series, 4);
        assert_eq!(dropped.to_string(), "4 series");
        dropped.add(Dropped { logs: 2, datagrams: 7, ..Dropped::default() });
        assert_eq!(dropped.to_string(), "2 logs, 4 series, 7 datagrams");
        dropped.remove(Dropped { logs: 2, series: 1, ..Dropped::default() });
        assert_eq!(dropped.to_string(), "3 series, 7 datagrams");
    }
}
