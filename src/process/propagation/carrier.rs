//! The headers of a request or a message that are about its trace.

/// Bytes of a value that are kept: none that means anything is as long.
const MAX_VALUE_BYTES: usize = 8 << 10;

/// Baggage headers that are kept, the number that W3C's baggage guarantees.
const MAX_BAGGAGE: usize = 64;

const BAGGAGE: &str = "ot-baggage-";

/// Every other header that is kept, in lower case.
const NAMES: [&str; 16] = [
    "x-datadog-trace-id",
    "x-datadog-parent-id",
    "x-datadog-sampling-priority",
    "x-datadog-origin",
    "x-datadog-tags",
    "x-datadog-resource-name",
    "x-datadog-start-time",
    "traceparent",
    "tracestate",
    "b3",
    "x-b3-traceid",
    "x-b3-spanid",
    "x-b3-sampled",
    "x-b3-flags",
    "dd-pathway-ctx-base64",
    "dd-pathway-ctx",
];

/// Names in lower case and values of the headers that propagation and data streams know; others are left out, so that a carrier takes at most some hundred KiB
/// whatever it was collected from.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Carrier(Vec<(String, String)>);

impl Carrier {
    /// Collects headers with names in any case. Of a name that comes twice the last value counts.
    pub fn collect<N: AsRef<str>, V: AsRef<str>>(headers: impl IntoIterator<Item = (N, V)>) -> Self {
        let mut carrier = Self::default();
        for (name, value) in headers {
            carrier.add(name.as_ref(), value.as_ref());
        }
        carrier
    }

    /// Adds one header if it is one that is kept.
    pub fn add(&mut self, name: &str, value: &str) {
        let Some(name) = known(name) else { return };
        let value = value.trim();
        let value = value.get(..value.floor_char_boundary(MAX_VALUE_BYTES)).unwrap_or(value).to_owned();
        if let Some((_, known)) = self.0.iter_mut().find(|(known, _)| *known == name) {
            *known = value;
        } else if !name.starts_with(BAGGAGE) || self.baggage().count() < MAX_BAGGAGE {
            self.0.push((name, value));
        }
    }

    /// Whether headers of this name, in any case, are kept.
    pub fn keeps(name: &str) -> bool {
        known(name).is_some()
    }

    /// The value of a header by its name in lower case.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(known, _)| known == name).map(|(_, value)| &**value)
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Keys, without the prefix of their headers, and values of what travels with the trace on the customer's behalf.
    pub fn baggage(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().filter_map(|(name, value)| Some((name.strip_prefix(BAGGAGE)?, &**value)))
    }
}

/// The name in lower case if headers of this name are kept.
fn known(name: &str) -> Option<String> {
    // The longest name of baggage is that of a long tag.
    if name.len() > 200 + BAGGAGE.len() {
        return None;
    }
    let is_baggage = name.get(..BAGGAGE.len()).is_some_and(|start| start.eq_ignore_ascii_case(BAGGAGE))
        && name.len() > BAGGAGE.len();
    let is_known = || NAMES.iter().any(|known| known.eq_ignore_ascii_case(name));
    (is_baggage || is_known()).then(|| name.to_ascii_lowercase())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_found_in_any_case_and_the_last_value_counts() {
        let carrier = Carrier::collect([("X-Datadog-Trace-Id", "1"), ("accept", "x"), ("x-datadog-trace-id", " 2 ")]);
        assert_eq!(carrier.get("x-datadog-trace-id"), Some("2"));
        assert_eq!((carrier.get("accept"), carrier.0.len()), (None, 1));
    }

    #[test]
    fn a_hostile_carrier_is_bounded() {
        let long = "é".repeat(1 << 20);
        let baggage = (0..1_000).map(|index| format!("ot-baggage-{index}"));
        let mut carrier = Carrier::collect(baggage.map(|name| (name, "v".to_owned())));
        carrier.add("tracestate", &long);
        carrier.add(&format!("ot-baggage-{long}"), "v");
        assert_eq!(carrier.baggage().count(), MAX_BAGGAGE);
        assert_eq!(carrier.get("tracestate").map(str::len), Some(MAX_VALUE_BYTES));
    }
}
