//! DogStatsD: custom metrics that the function's code sends as lines of text in datagrams.

mod line;
#[cfg(test)]
mod line_tests;

pub use line::{DogStatsdLine, Metric, ParseError, Value, parse};

/// Maximum number of characters of a malformed line that the log shows.
const SHOWN: usize = 100;

/// Counts of the lines that are not metrics.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ParseStats {
    /// Events; not supported.
    pub events: u64,
    /// Service checks; not supported.
    pub service_checks: u64,
    /// Lines that cannot be parsed.
    pub malformed: u64,
    /// The first malformed line, and the reason.
    pub first_malformed: Option<String>,
}

/// Parses datagrams that are joined by line ends, and passes each metric to `take`. `now` is in seconds since the epoch. `namespace`, followed by a
/// dot, is prepended to every name.
pub fn read(datagrams: &[u8], now: i64, namespace: Option<&str>, mut take: impl FnMut(&Metric)) -> ParseStats {
    let mut tally = ParseStats::default();
    for text in datagrams.split(|byte| *byte == b'\n').map(<[u8]>::trim_ascii).filter(|text| !text.is_empty()) {
        match parse(text, now) {
            Ok(DogStatsdLine::Metric(mut metric)) => {
                if let Some(namespace) = namespace {
                    metric.name = format!("{namespace}.{}", metric.name).into();
                }
                take(&metric);
            }
            Ok(DogStatsdLine::Event) => tally.events += 1,
            Ok(DogStatsdLine::ServiceCheck) => tally.service_checks += 1,
            Ok(DogStatsdLine::Invocations) => {}
            Err(fault) => {
                tally.malformed += 1;
                tally.first_malformed.get_or_insert_with(|| format!("{} {fault}", shown(text)));
            }
        }
    }
    tally
}

/// The first characters of a line, in quotes and with non-printable characters escaped.
fn shown(line: &[u8]) -> String {
    let line = String::from_utf8_lossy(line);
    match line.char_indices().nth(SHOWN) {
        Some((end, _)) => format!("{:?}…", line.get(..end).unwrap_or_default()),
        None => format!("{line:?}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(datagrams: &[u8], namespace: Option<&str>) -> (Vec<String>, ParseStats) {
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
        assert_eq!(tally, ParseStats { events: 1, service_checks: 2, malformed: 2, first_malformed });
    }

    #[test]
    fn a_namespace_goes_in_front_of_every_name() {
        assert_eq!(names(b"a.b:1|c\nc:1|g", Some("shop")).0, ["shop.a.b", "shop.c"]);
    }

    #[test]
    fn the_extensions_own_count_of_invocations_is_not_taken_from_others() {
        let (names, tally) = names(b"aws.lambda.enhanced.invocations:1|d|#a:b\naws.lambda.enhanced.other:1|d", None);
        assert_eq!(names, ["aws.lambda.enhanced.other"]);
        assert_eq!(tally, ParseStats::default());
    }

    #[test]
    fn a_long_line_is_shown_in_part_and_control_characters_are_escaped() {
        let first = |line: &[u8]| names(line, None).1.first_malformed.unwrap();
        assert_eq!(first("é".repeat(SHOWN).as_bytes()), format!("\"{}\" has no name", "é".repeat(SHOWN)));
        assert_eq!(first("é".repeat(5000).as_bytes()), format!("\"{}\"… has no name", "é".repeat(SHOWN)));
        assert_eq!(first(b"a\x1b[2J\0\r\"\xff"), "\"a\\u{1b}[2J\\0\\r\\\"\u{fffd}\" is not UTF-8");
    }
}
