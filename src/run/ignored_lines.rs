//! Rate-limited warnings about ignored DogStatsD lines.

use std::time::Duration;

use tokio::time::Instant;

use crate::process::dogstatsd::ParseStats;

/// Minimum time between two warnings about lines that cannot be parsed.
const INTERVAL: Duration = Duration::from_secs(10);

/// Ignored lines without a warning yet.
#[derive(Debug, Default)]
pub struct IgnoredLines {
    unparsable: u64,
    /// The first malformed line, and the reason.
    example: Option<String>,
    last_warning: Option<Instant>,
    events: OnceWarning,
    service_checks: OnceWarning,
}

/// A condition that is logged once per sandbox.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum OnceWarning {
    #[default]
    NotSeen,
    Due,
    Given,
}

impl OnceWarning {
    fn see(&mut self, count: u64) {
        if count > 0 && *self == Self::NotSeen {
            *self = Self::Due;
        }
    }

    fn take(&mut self) -> bool {
        let due = *self == Self::Due;
        if due {
            *self = Self::Given;
        }
        due
    }
}

impl IgnoredLines {
    /// Adds the counts of one call of the parser.
    pub fn add(&mut self, tally: ParseStats) {
        self.unparsable += tally.malformed;
        self.example = self.example.take().or(tally.first_malformed);
        self.events.see(tally.events);
        self.service_checks.see(tally.service_checks);
    }

    /// The warnings that are due: at most one every 10 s about malformed lines, and one per sandbox about events and about service checks.
    pub fn take_warnings(&mut self, now: Instant) -> Vec<String> {
        let mut warnings = Vec::new();
        for (once, what) in [(&mut self.events, "events"), (&mut self.service_checks, "service checks")] {
            if once.take() {
                warnings.push(format!("DOGSTATSD | {what} are not supported and are ignored"));
            }
        }
        let early = self.last_warning.is_some_and(|last| now.duration_since(last) < INTERVAL);
        if !early && let Some(example) = self.example.take() {
            let others = match std::mem::take(&mut self.unparsable) {
                0 | 1 => String::new(),
                2 => ", and so is 1 other line".to_owned(),
                all => format!(", and so are {} other lines", all - 1),
            };
            warnings.push(format!("DOGSTATSD | the line {example} and is ignored{others}"));
            self.last_warning = Some(now);
        }
        warnings
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::process::dogstatsd::read;

    fn add(ignored: &mut IgnoredLines, lines: &str) {
        ignored.add(read(lines.as_bytes(), 0, None, |_| {}));
    }

    #[test]
    fn unparsable_lines_are_one_warning_in_ten_seconds() {
        let (mut ignored, now) = (IgnoredLines::default(), Instant::now());
        add(&mut ignored, "a:1|c\nfirst\nb:x|c");
        add(&mut ignored, "c:1");
        assert_eq!(
            ignored.take_warnings(now),
            [r#"DOGSTATSD | the line "first" has no name and is ignored, and so are 2 other lines"#]
        );
        assert!(ignored.take_warnings(now + INTERVAL).is_empty(), "nothing new");
        add(&mut ignored, "second\nthird");
        assert!(ignored.take_warnings(now + INTERVAL / 2).is_empty());
        assert_eq!(
            ignored.take_warnings(now + INTERVAL),
            [r#"DOGSTATSD | the line "second" has no name and is ignored, and so is 1 other line"#]
        );
        add(&mut ignored, "fourth");
        assert_eq!(
            ignored.take_warnings(now + INTERVAL * 2),
            [r#"DOGSTATSD | the line "fourth" has no name and is ignored"#]
        );
    }

    #[test]
    fn events_and_service_checks_are_one_warning_each() {
        let (mut ignored, now) = (IgnoredLines::default(), Instant::now());
        add(&mut ignored, "_e{1,1}:t|x\n_e{1,1}:t|x");
        assert_eq!(ignored.take_warnings(now), ["DOGSTATSD | events are not supported and are ignored"]);
        add(&mut ignored, "_e{1,1}:t|x\n_sc|up|0");
        assert_eq!(ignored.take_warnings(now), ["DOGSTATSD | service checks are not supported and are ignored"]);
        add(&mut ignored, "_e{1,1}:t|x\n_sc|up|0");
        assert!(ignored.take_warnings(now + INTERVAL * 9).is_empty());
    }
}
