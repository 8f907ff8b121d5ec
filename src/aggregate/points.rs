//! Aggregates of the enhanced metrics: points merged by metric, tags and time bucket.

use std::{
    collections::{HashMap, hash_map::Entry},
    sync::Arc,
};

use super::{
    Sketch,
    capacity::{self, BIN_BYTES, Capacity},
};
use crate::process::metric::{MAX_POINT_AGE_MS, Point};

/// Width of a bucket in milliseconds: the resolution of Datadog's backend.
const BUCKET_MS: i64 = 10_000;

/// Maximum number of distinct series. Points of further series are dropped and counted.
pub const MAX_SERIES: usize = capacity::MAX_ENTRIES;

/// The key under which points are merged.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Series {
    /// The metric name.
    pub name: &'static str,
    /// Tags in addition to the function's.
    pub tags: Arc<[String]>,
    /// Start of the time bucket in seconds since the epoch.
    pub second: i64,
}

/// A series with its distribution of values.
#[derive(Debug, Clone, PartialEq)]
pub struct Distribution {
    /// The series.
    pub series: Series,
    /// The distribution of its values.
    pub sketch: Sketch,
}

/// The aggregated points.
#[derive(Debug, Default)]
pub struct Points {
    series: HashMap<Series, Sketch>,
    capacity: Capacity,
    dropped: u64,
}

impl Points {
    /// Merges a point into its series.
    pub fn push(&mut self, point: &Point) {
        let second = bucket(point.time);
        let series = Series { name: point.name, tags: point.tags.clone(), second };
        let capacity = &mut self.capacity;
        let sketch = match self.series.entry(series) {
            Entry::Occupied(known) => {
                let known = known.into_mut();
                (!known.grows_with(point.value) || capacity.take(BIN_BYTES)).then_some(known)
            }
            Entry::Vacant(new) => {
                let text = new.key().tags.iter().map(|tag| size_of::<String>() + tag.len()).sum();
                capacity.take_entry(text).then(|| new.insert(Sketch::default()))
            }
        };
        match sketch {
            Some(sketch) => sketch.insert(point.value),
            None => self.dropped += 1,
        }
    }

    /// Whether there will soon be no room for further series.
    pub fn is_nearly_full(&self) -> bool {
        self.capacity.is_nearly_taken()
    }

    /// Removes and returns all distributions, sorted, so that equal points produce equal payloads. `now`: milliseconds since the epoch. A report comes with the
    /// next event, which may be hours later: older points get the time of [`MAX_POINT_AGE_MS`] ago, because Datadog would not accept them.
    pub fn drain(&mut self, now: i64) -> Vec<Distribution> {
        self.capacity = Capacity::default();
        let oldest = bucket(now.saturating_sub(MAX_POINT_AGE_MS));
        let all = self.series.drain().map(|(series, sketch)| Distribution { series, sketch });
        let mut all: Vec<_> = all.collect();
        // Before times change, so that those that become the same are merged in the order of their own: sums depend on it in their last bit.
        all.sort_by(|left, right| left.series.cmp(&right.series));
        for it in &mut all {
            it.series.second = it.series.second.max(oldest);
        }
        all.dedup_by(|later, kept| {
            let is_same = later.series == kept.series;
            if is_same {
                kept.sketch.merge(std::mem::take(&mut later.sketch));
            }
            is_same
        });
        all
    }

    /// Number of points dropped since the last call.
    pub fn take_dropped(&mut self) -> u64 {
        std::mem::take(&mut self.dropped)
    }
}

/// Start of the bucket of a time in milliseconds, in seconds.
fn bucket(time: i64) -> i64 {
    time.div_euclid(BUCKET_MS) * (BUCKET_MS / 1000)
}

#[cfg(test)]
mod tests {
    use rand::{RngExt as _, SeedableRng as _, rngs::StdRng};

    use super::*;

    fn point(name: &'static str, tag: &str, time: i64, value: f64) -> Point {
        Point { name, value, time, tags: Arc::from([tag.to_owned()]) }
    }

    #[test]
    fn points_merge_by_name_tags_and_bucket() {
        let mut points = Points::default();
        points.push(&point("a", "x:1", 19_999, 1.0));
        points.push(&point("a", "x:1", 10_000, 3.0));
        points.push(&point("a", "x:1", 20_000, 5.0));
        points.push(&point("a", "x:2", 19_999, 7.0));
        let told: Vec<_> = points
            .drain(0)
            .into_iter()
            .map(|it| {
                format!(
                    "{}{}@{} n={} sum={}",
                    it.series.name,
                    it.series.tags[0],
                    it.series.second,
                    it.sketch.count(),
                    it.sketch.sum()
                )
            })
            .collect();
        assert_eq!(told, ["ax:1@10 n=2 sum=4", "ax:1@20 n=1 sum=5", "ax:2@10 n=1 sum=7"]);
        assert!(points.drain(0).is_empty());
    }

    #[test]
    fn points_older_than_55_minutes_leave_with_the_oldest_accepted_time() {
        let mut points = Points::default();
        let now = 10_000_000;
        let oldest = now - MAX_POINT_AGE_MS;
        for (time, value) in [(0, 1.0), (20_000, 3.0), (oldest, 5.0), (oldest + 10_000, 7.0)] {
            points.push(&point("a", "x", time, value));
        }
        let left = points.drain(now);
        let left: Vec<_> = left.iter().map(|it| (it.series.second, it.sketch.sum(), it.sketch.min())).collect();
        assert_eq!(left, [(oldest / 1000, 9.0, 1.0), (oldest / 1000 + 10, 7.0, 7.0)]);
    }

    #[test]
    fn equal_old_points_produce_equal_sums_to_the_last_bit() {
        let sum = || {
            let mut points = Points::default();
            for (time, value) in (0..).step_by(10_000).zip([1e16, 1.0, 0.1, 3.0, -1e16, 5.0, 0.7]) {
                points.push(&point("a", "x", time, value));
            }
            let all = points.drain(10_000_000_000);
            assert_eq!(all.len(), 1);
            all[0].sketch.sum().to_bits()
        };
        let sums: std::collections::HashSet<_> = (0..64).map(|_| sum()).collect();
        assert_eq!(sums.len(), 1, "{sums:?}");
    }

    #[test]
    fn new_series_are_refused_when_full_and_known_ones_are_not() {
        let mut points = Points::default();
        for number in 0..10_241 {
            points.push(&point("a", &number.to_string(), 0, 1.0));
        }
        points.push(&point("a", "0", 0, 1.0));
        assert_eq!(points.take_dropped(), 1);
        let all = points.drain(0);
        assert_eq!(all.len(), 10_240);
        assert_eq!(all.iter().map(|it| it.sketch.count()).sum::<u64>(), 10_241);
    }

    #[test]
    fn exhausted_memory_takes_only_values_without_allocation() {
        let mut points = Points::default();
        points.push(&point("a", "x", 0, 1.0));
        points.capacity = Capacity::with_bytes_left(BIN_BYTES);
        for (value, dropped) in [(1.0, 0), (100.0, 0), (100.0, 0), (1.0, 0), (10_000.0, 1)] {
            points.push(&point("a", "x", 0, value));
            assert_eq!(points.take_dropped(), dropped, "{value}");
        }
    }

    #[test]
    fn points_of_mixed_sizes_stay_within_both_bounds_and_are_all_accounted_for() {
        let mut random = StdRng::seed_from_u64(12);
        let mut points = Points::default();
        for number in 0..60_000_i64 {
            let tag = "t".repeat(1 << random.random_range(0..14));
            let value = random.random_range(-300.0_f64..300.0).exp();
            points.push(&point("a", &tag, number % 2_000 * BUCKET_MS, value));
            assert!(points.series.len() <= 10_240 && points.capacity.bytes() <= 10 << 20);
        }
        let dropped = points.take_dropped();
        let kept = points.drain(0).iter().map(|it| it.sketch.count()).sum::<u64>();
        assert!(dropped > 0 && kept > 0, "{dropped} {kept}");
        assert_eq!(dropped + kept, 60_000);
        assert_eq!(points.capacity.bytes(), 0);
    }
}
