//! Which requests schemas are extracted for: one of each method, route and status in a while.

use std::{collections::HashMap, time::Duration};

/// Maximum number of routes that are remembered. Beyond it, the one that was sampled longest ago is forgotten.
const MAX_ROUTES: usize = 4096;

/// When each route was sampled last.
#[derive(Debug)]
pub struct Sampler {
    interval_ms: i64,
    /// Milliseconds since the epoch, by the hash of method, route and status.
    sampled: HashMap<u64, i64>,
}

impl Sampler {
    /// Samples each route once in `interval`.
    pub fn new(interval: Duration) -> Self {
        Self { interval_ms: i64::try_from(interval.as_millis()).unwrap_or(i64::MAX), sampled: HashMap::new() }
    }

    /// Whether this request is one for which schemas are extracted, at `now` in milliseconds since the epoch.
    pub fn sample(&mut self, method: &str, route: &str, status: u16, now: i64) -> bool {
        let status = status.to_string();
        let key = hash([method, route, &status]);
        if self.sampled.get(&key).is_some_and(|last| now.saturating_sub(*last) < self.interval_ms) {
            return false;
        }
        if self.sampled.len() >= MAX_ROUTES && !self.sampled.contains_key(&key) {
            let oldest = self.sampled.iter().min_by_key(|(_, last)| **last).map(|(key, _)| *key);
            oldest.and_then(|oldest| self.sampled.remove(&oldest));
        }
        self.sampled.insert(key, now);
        true
    }
}

/// FNV-1a, with a zero byte between the parts.
fn hash(parts: [&str; 3]) -> u64 {
    const OFFSET: u64 = 0xcbf2_9ce4_8422_2325;
    const PRIME: u64 = 0x0000_0100_0000_01b3;
    let bytes = parts.iter().flat_map(|part| part.bytes().chain([0]));
    bytes.fold(OFFSET, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(PRIME))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_route_is_sampled_once_in_the_interval() {
        let mut sampler = Sampler::new(Duration::from_secs(30));
        for (method, route, status, now, expected) in [
            ("GET", "/a", 200, 0, true),
            ("GET", "/a", 200, 29_999, false),
            ("GET", "/a", 404, 29_999, true),
            ("POST", "/a", 200, 29_999, true),
            ("GET", "/b", 200, 29_999, true),
            ("GET", "/a", 200, 30_000, true),
            ("GET", "/a", 200, 30_001, false),
        ] {
            assert_eq!(sampler.sample(method, route, status, now), expected, "{method} {route} {status} at {now}");
        }
        let mut always = Sampler::new(Duration::ZERO);
        assert!(always.sample("", "", 0, 0) && always.sample("", "", 0, 0));
    }

    #[test]
    fn the_route_that_was_sampled_longest_ago_is_forgotten() {
        let mut sampler = Sampler::new(Duration::MAX);
        let last = i64::try_from(MAX_ROUTES).unwrap();
        for now in 0..=last {
            assert!(sampler.sample("GET", &now.to_string(), 200, now));
        }
        assert_eq!(sampler.sampled.len(), MAX_ROUTES);
        assert!(!sampler.sample("GET", "1", 200, last));
        assert!(sampler.sample("GET", "0", 200, last));
    }
}
