//! Removes ids and measurements, which differ between runs, from text.

use std::sync::LazyLock;

use regex::Regex;

/// A text whose ids were blanked.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct TextWithoutIds {
    pub text: String,
    /// The ids of the text in order, with repetitions.
    pub ids: Vec<String>,
}

/// Request ids, and trace and span ids in hexadecimal, with or without the dashes of AWS X-Ray.
static IDS: LazyLock<Option<Regex>> = LazyLock::new(|| {
    let uuid = "[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{12}";
    pattern(&format!("{uuid}|1-[0-9a-f]{{8}}-[0-9a-f]{{24}}|[0-9a-f]{{32}}|[0-9a-f]{{16}}"))
});

/// Times since the epoch in seconds to nanoseconds, dates with a time, and numbers with a unit of time or memory.
static MEASUREMENTS: LazyLock<Option<Regex>> = LazyLock::new(|| {
    let date = r"[0-9]{4}-[0-9]{2}-[0-9]{2}[T ][0-9]{2}:[0-9]{2}:[0-9]{2}([.,][0-9]+)?(Z|[+-][0-9]{2}:?[0-9]{2})?";
    let epoch = r"(?-u:\b)1[5-9][0-9]{8}([0-9]{3}){0,3}(?-u:\b)";
    let quantity = r"[0-9]+([.][0-9]+)?(?P<unit> ?(ns|us|ms|s|seconds|KB|MB|GB)(?-u:\b))";
    pattern(&format!("{date}|{epoch}|{quantity}"))
});

/// Names of fields whose numbers are times, durations or memory.
static NAMES: LazyLock<Option<Regex>> =
    LazyLock::new(|| pattern("^(time|date|t|ts)$|[tT]imestamp|[dD]uration|[lL]atency|[mM]emory|(_ms|Ms|_mb|MB)$"));

/// An invalid pattern matches nothing; the tests of this module would fail.
fn pattern(text: &str) -> Option<Regex> {
    Regex::new(text).ok()
}

/// Blanks the ids.
pub(super) fn blank(text: &str) -> TextWithoutIds {
    let Some(pattern) = IDS.as_ref() else { return TextWithoutIds { text: text.to_owned(), ids: Vec::new() } };
    let ids = pattern.find_iter(text).map(|id| id.as_str().to_owned()).collect();
    TextWithoutIds { text: pattern.replace_all(text, "(id)").into_owned(), ids }
}

/// Removes the numbers of measurements and keeps their units.
pub(super) fn without_measurements(text: &str) -> String {
    MEASUREMENTS
        .as_ref()
        .map_or_else(|| text.to_owned(), |pattern| pattern.replace_all(text, "(measured)$unit").into_owned())
}

/// Whether a number in a field of this name is a measurement.
pub(super) fn names_a_measurement(key: &str) -> bool {
    NAMES.as_ref().is_some_and(|pattern| pattern.is_match(key))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_replaced_and_returned() {
        let without_ids =
            blank("START RequestId: 0f8c1d2e-aaaa-bbbb-cccc-0123456789ab trace 1-5759e988-bd862e3fe1be46a994272793 x");
        assert_eq!(without_ids.text, "START RequestId: (id) trace (id) x");
        assert_eq!(without_ids.ids, ["0f8c1d2e-aaaa-bbbb-cccc-0123456789ab", "1-5759e988-bd862e3fe1be46a994272793"]);
        assert_eq!(blank("account 123456789012, deadbeef").text, "account 123456789012, deadbeef");
    }

    #[test]
    fn measurements_are_taken_out_and_other_numbers_stay() {
        let report =
            "Duration: 12.50 ms Billed Duration: 13 ms Memory Size: 128 MB, answer 42 on python3.13, 7 segments";
        assert_eq!(
            without_measurements(report),
            "Duration: (measured) ms Billed Duration: (measured) ms Memory Size: (measured) MB, answer 42 on python3.13, 7 segments"
        );
        assert_eq!(
            without_measurements("at 2026-01-02T03:04:05.678Z or 1767323045678, 123456789012"),
            "at (measured) or (measured), 123456789012"
        );
    }

    #[test]
    fn fields_of_time_and_memory_are_known_by_their_names() {
        for name in ["timestamp", "time", "duration_ms", "durationMs", "initDuration", "max_memory_used_mb"] {
            assert!(names_a_measurement(name), "{name}");
        }
        for name in ["status", "items", "count", "times", "mystery"] {
            assert!(!names_a_measurement(name), "{name}");
        }
    }
}
