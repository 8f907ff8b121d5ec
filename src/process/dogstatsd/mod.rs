//! DogStatsD: what the function's own code measures, as lines of text in datagrams.

mod line;
#[cfg(test)]
mod line_tests;

use std::fmt;

pub use line::{Fault, Line, Metric, Value, parse};

/// How much of a line that makes no sense is shown, in characters.
const SHOWN: usize = 100;

/// What else was among the lines.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Tally {
    /// Events, which nobody takes.
    pub events: u64,
    /// Service checks, which nobody takes.
    pub service_checks: u64,
    /// Lines that make no sense.
    pub malformed: u64,
    /// The first of those, and why.
    pub first_malformed: Option<String>,
}

/// Reads datagrams that stand one after the other with a line end between them, and hands on every metric. `now` is in seconds since the epoch;
/// `namespace` goes in front of every name, with a dot between the two.
pub fn read(datagrams: &[u8], now: i64, namespace: Option<&str>, mut take: impl FnMut(&Metric)) -> Tally {
    let mut tally = Tally::default();
    for text in datagrams.split(|byte| *byte == b'\n').map(<[u8]>::trim_ascii).filter(|text| !text.is_empty()) {
        match parse(text, now) {
            Ok(Line::Metric(mut metric)) => {
                if let Some(namespace) = namespace {
                    metric.name = format!("{namespace}.{}", metric.name).into();
                }
                take(&metric);
            }
            Ok(Line::Event) => tally.events += 1,
            Ok(Line::ServiceCheck) => tally.service_checks += 1,
            Ok(Line::Invocations) => {}
            Err(fault) => {
                tally.malformed += 1;
                tally.first_malformed.get_or_insert_with(|| {
                    let shown: String = String::from_utf8_lossy(text).chars().take(SHOWN).collect();
                    format!("{shown:?} {fault}")
                });
            }
        }
    }
    tally
}

impl fmt::Display for Tally {
    /// As our log names it.
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        let Self { events, service_checks, malformed, first_malformed } = self;
        write!(f, "{events} events and {service_checks} service checks are not supported and ignored")?;
        match first_malformed {
            Some(first) => write!(f, ", and so are {malformed} lines that make no sense; the first: {first}"),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(datagrams: &[u8], namespace: Option<&str>) -> (Vec<String>, Tally) {
        let mut names = Vec::new();
        let tally = read(datagrams, 0, namespace, |metric| names.push(metric.name.to_string()));
        (names, tally)
    }

    #[test]
    fn every_line_counts_for_itself() {
        let datagrams = b"a:1|c\r\n\n_e{1,1}:t|x\nnonsense\n  b:2|g \n_sc|check|0\n\xff:1|c\n_sc|check|1\nc:3|d";
        let (names, tally) = names(datagrams, None);
        assert_eq!(names, ["a", "b", "c"]);
        let first_malformed = Some("\"nonsense\" has no name".to_owned());
        assert_eq!(tally, Tally { events: 1, service_checks: 2, malformed: 2, first_malformed });
        let told = tally.to_string();
        assert!(told.contains("1 events and 2 service checks") && told.ends_with("has no name"), "{told}");
    }

    #[test]
    fn a_namespace_goes_in_front_of_every_name() {
        assert_eq!(names(b"a.b:1|c\nc:1|g", Some("shop")).0, ["shop.a.b", "shop.c"]);
    }

    #[test]
    fn the_extensions_own_count_of_invocations_is_not_taken_from_others() {
        let (names, tally) = names(b"aws.lambda.enhanced.invocations:1|d|#a:b\naws.lambda.enhanced.other:1|d", None);
        assert_eq!(names, ["aws.lambda.enhanced.other"]);
        assert_eq!(tally, Tally::default());
    }

    #[test]
    fn a_long_line_is_shown_in_part() {
        let (_, tally) = names("é".repeat(5000).as_bytes(), None);
        assert_eq!(tally.first_malformed.unwrap().chars().filter(|c| *c == 'é').count(), SHOWN);
    }
}
