//! Random orders of telemetry that the schema allows.

use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};

/// The sequences that an event belongs to. Within each of them, events keep their order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Chains(Vec<String>);

impl Chains {
    /// The sequences of an event of type `kind`, which may belong to a request.
    pub(crate) fn of(kind: &str, request_id: Option<&str>) -> Self {
        let request = || format!("request {}", request_id.unwrap_or_default());
        Self(match kind {
            "function" => vec!["function".to_owned()],
            "extension" => vec!["extension".to_owned()],
            // A line of the function never precedes its `platform.start`.
            "platform.start" => vec![request(), "function".to_owned()],
            "platform.runtimeDone" | "platform.report" => vec![request()],
            kind if kind.starts_with("platform.init") => vec!["init".to_owned()],
            kind if kind.starts_with("platform.restore") => vec!["restore".to_owned()],
            _ => Vec::new(),
        })
    }

    fn overlaps(&self, other: &Self) -> bool {
        self.0.iter().any(|chain| other.0.contains(chain))
    }
}

/// A random order in which no event overtakes another one of the same sequence.
pub(crate) fn shuffle<T>(items: Vec<T>, chains: impl Fn(&T) -> &Chains, seed: u64) -> Vec<T> {
    let mut random = StdRng::seed_from_u64(seed);
    let mut waiting = items;
    let mut order = Vec::with_capacity(waiting.len());
    while !waiting.is_empty() {
        let free: Vec<usize> = waiting
            .iter()
            .enumerate()
            .filter(|(place, item)| !waiting.iter().take(*place).any(|earlier| chains(earlier).overlaps(chains(item))))
            .map(|(place, _)| place)
            .collect();
        // The first remaining event is always free.
        let place = free.get(random.random_range(0..free.len().max(1))).copied().unwrap_or_default();
        order.push(waiting.remove(place));
    }
    order
}

#[cfg(test)]
mod tests {
    use super::*;

    fn events() -> Vec<(usize, Chains)> {
        let kinds = [
            ("platform.initStart", None),
            ("platform.start", Some("a")),
            ("function", None),
            ("extension", None),
            ("platform.runtimeDone", Some("a")),
            ("platform.initReport", None),
            ("platform.report", Some("a")),
            ("platform.start", Some("b")),
        ];
        kinds.iter().map(|(kind, id)| Chains::of(kind, *id)).enumerate().collect()
    }

    fn shuffled(seed: u64) -> Vec<usize> {
        shuffle(events(), |event| &event.1, seed).into_iter().map(|event| event.0).collect()
    }

    #[test]
    fn every_order_keeps_what_the_schema_promises() {
        for seed in 0..200 {
            let order = shuffled(seed);
            let place = |event| order.iter().position(|other| *other == event).unwrap();
            assert!(place(1) < place(4) && place(4) < place(6), "one request: {order:?}");
            assert!(place(0) < place(5), "init: {order:?}");
            assert!(place(1) < place(2) && place(2) < place(7), "lines and starts: {order:?}");
            assert_eq!(order.len(), 8);
        }
    }

    #[test]
    fn seeds_repeat_and_differ() {
        assert_eq!(shuffled(7), shuffled(7));
        assert!((0..20).any(|seed| shuffled(seed) != shuffled(7)));
    }
}
