//! The Datadog agent's sketch: a distribution in logarithmic bins. All senders use the same bins, so the backend can merge sketches.
//!
//! Source: C. Masson et al., "`DDSketch`", VLDB 2019, with the parameters that Datadog's intake documents for `/api/beta/sketches`.

use std::collections::BTreeMap;

/// Natural logarithm of the ratio of adjacent bins. A bin is 1/64 wider than the one below it, so its middle deviates by at most 1/128.
const GAMMA_LN: f64 = 0.015_504_186_535_965_254;
/// Offset of the logarithm, so that the smallest value of interest has key 1.
const BIAS: i32 = 1338;
/// The smallest magnitude that is distinguished from zero.
const MIN_VALUE: f64 = 9.941_854_089_121_45e-10;
/// Maximum number of bins of a sketch, in memory and on the wire. Beyond it, the lowest bins are merged.
pub const MAX_BINS: usize = 4096;
/// Maximum count of a bin on the wire, as in the Datadog agent. A higher count is split into several bins of the same key.
const MAX_BIN_COUNT: u32 = 65_535;

/// A distribution.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Sketch {
    bins: BTreeMap<i16, u64>,
    count: u64,
    min: f64,
    max: f64,
    sum: f64,
}

impl Sketch {
    /// Adds a value. NaN and infinite values are ignored.
    pub fn insert(&mut self, value: f64) {
        self.insert_times(value, 1);
    }

    /// Adds a value that represents `times` occurrences.
    pub fn insert_times(&mut self, value: f64, times: u32) {
        if !value.is_finite() || times == 0 {
            return;
        }
        let bin = self.bins.entry(key(value)).or_default();
        *bin = bin.saturating_add(times.into());
        (self.min, self.max) =
            if self.count == 0 { (value, value) } else { (self.min.min(value), self.max.max(value)) };
        self.count = self.count.saturating_add(times.into());
        // An infinite sum would make the intake reject the whole request.
        self.sum = (self.sum + value * f64::from(times)).clamp(f64::MIN, f64::MAX);
        self.trim();
    }

    /// Adds all values of another distribution.
    pub fn merge(&mut self, other: Self) {
        if self.count == 0 {
            *self = other;
            return;
        }
        if other.count == 0 {
            return;
        }
        for (key, count) in other.bins {
            let bin = self.bins.entry(key).or_default();
            *bin = bin.saturating_add(count);
        }
        (self.min, self.max) = (self.min.min(other.min), self.max.max(other.max));
        self.count = self.count.saturating_add(other.count);
        self.sum = (self.sum + other.sum).clamp(f64::MIN, f64::MAX);
        self.trim();
    }

    /// Whether adding this value would take more memory.
    pub fn grows_with(&self, value: f64) -> bool {
        self.bins.len() < MAX_BINS && !self.bins.contains_key(&key(value))
    }

    /// Number of values.
    pub fn count(&self) -> u64 {
        self.count
    }

    /// The minimum; zero if there are no values.
    pub fn min(&self) -> f64 {
        self.min
    }

    /// The maximum; zero if there are no values.
    pub fn max(&self) -> f64 {
        self.max
    }

    /// The sum of all values.
    pub fn sum(&self) -> f64 {
        self.sum
    }

    /// The mean; zero if there are no values.
    #[expect(clippy::cast_precision_loss, reason = "exact up to 2^53 values")]
    pub fn average(&self) -> f64 {
        if self.count == 0 { 0.0 } else { self.sum / self.count as f64 }
    }

    /// The bins for the wire in ascending order of key, at most [`MAX_BINS`]. A count above [`MAX_BIN_COUNT`] is split into several bins of the same
    /// key, the remainder first. If they would be too many, as with a sample rate of one in a million, each bin holds as much as the wire's 32 bits
    /// can; what exceeds that is only in the total count.
    pub fn bins(&self) -> Vec<Bin> {
        let usual: u64 = self.bins.values().map(|count| count.div_ceil(MAX_BIN_COUNT.into())).sum();
        let most = if usual <= MAX_BINS as u64 { MAX_BIN_COUNT } else { u32::MAX };
        let mut spare = MAX_BINS.saturating_sub(self.bins.len());
        let mut bins = Vec::with_capacity(self.bins.len());
        for (&key, &count) in &self.bins {
            let full = count.saturating_sub(1) / u64::from(most);
            let remainder = u32::try_from(count - full * u64::from(most)).unwrap_or(most);
            let full = usize::try_from(full).unwrap_or(usize::MAX).min(spare);
            spare -= full;
            bins.push(Bin { key, count: remainder });
            bins.extend(std::iter::repeat_n(Bin { key, count: most }, full));
        }
        bins
    }

    /// Merges the lowest bins into the first bin that is kept.
    fn trim(&mut self) {
        while self.bins.len() > MAX_BINS
            && let Some((_, lowest)) = self.bins.pop_first()
            && let Some(mut next) = self.bins.first_entry()
        {
            *next.get_mut() = next.get().saturating_add(lowest);
        }
    }
}

/// A bin.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bin {
    /// Key of the bin; negative for negative values.
    pub key: i16,
    /// Number of values in the bin.
    pub count: u32,
}

/// The key of a value's bin. Rounds half to even, as the Datadog agent does.
#[expect(clippy::cast_possible_truncation, reason = "clamped to the key's range first")]
fn key(value: f64) -> i16 {
    let magnitude = value.abs();
    if magnitude < MIN_VALUE {
        return 0;
    }
    let key = (magnitude.ln() / GAMMA_LN).round_ties_even() + f64::from(BIAS);
    let key = key.clamp(1.0, f64::from(i16::MAX)) as i16;
    if value < 0.0 { -key } else { key }
}

#[cfg(test)]
mod tests {
    use rand::{RngExt as _, SeedableRng as _, rngs::StdRng};

    use super::*;

    #[test]
    fn keys_are_the_backends() {
        for (value, expected) in [
            (1e-9, 1),
            (0.001, 892),
            (0.1, 1189),
            (0.5, 1293),
            (1.0, 1338),
            (2.0, 1383),
            (3.15, 1412),
            (10.0, 1487),
            (42.0, 1579),
            (100.0, 1635),
            (128.0, 1651),
            (256.0, 1696),
            (1000.0, 1784),
            (1e6, 2229),
            (1e9, 2675),
            (1e12, 3120),
            (-1.0, -1338),
            (0.0, 0),
        ] {
            assert_eq!(key(value), expected, "{value}");
        }
    }

    #[test]
    fn extreme_values_keep_within_the_keys_range() {
        assert_eq!(key(f64::MAX), i16::MAX);
        assert_eq!(key(f64::MIN), -i16::MAX);
        assert_eq!(key(f64::MIN_POSITIVE), 0);
    }

    #[test]
    fn a_sum_stays_a_number() {
        let mut sketch = Sketch::default();
        sketch.insert_times(f64::MAX, 1000);
        assert_eq!((sketch.sum(), sketch.count()), (f64::MAX, 1000));
    }

    #[test]
    fn one_value_is_all_of_it() {
        let mut sketch = Sketch::default();
        sketch.insert(3.15);
        assert_eq!((sketch.count(), sketch.min(), sketch.max()), (1, 3.15, 3.15));
        assert_eq!((sketch.average(), sketch.sum()), (3.15, 3.15));
        assert_eq!(sketch.bins(), [Bin { key: 1412, count: 1 }]);
    }

    #[test]
    fn values_that_are_no_number_leave_no_trace() {
        let mut sketch = Sketch::default();
        for value in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
            sketch.insert(value);
        }
        assert_eq!(sketch, Sketch::default());
    }

    #[test]
    fn overflowing_bin_is_split() {
        let mut sketch = Sketch::default();
        sketch.insert_times(1.0, 65_535 * 2);
        for _ in 0..3 {
            sketch.insert(1.0);
        }
        assert_eq!(counts(&sketch), [3, 65_535, 65_535]);
    }

    #[test]
    fn a_value_that_stands_for_many_counts_as_often() {
        let mut once = Sketch::default();
        let mut each = Sketch::default();
        once.insert_times(2.5, 4);
        (0..4).for_each(|_| each.insert(2.5));
        assert_eq!(once, each);
        once.insert_times(7.0, 0);
        assert_eq!(once, each);
        assert!(!once.grows_with(2.5) && once.grows_with(7.0));
    }

    /// Values of every magnitude and sign, in shapes that occur in practice: round, spread over orders of magnitude, and all equal.
    fn samples(random: &mut StdRng) -> Vec<f64> {
        let shape = random.random_range(0..4);
        (0..random.random_range(1..3000))
            .map(|_| match shape {
                0 => f64::from(random.random_range(0..500_u32)),
                1 => random.random_range(-20.0_f64..20.0).exp(),
                2 => random.random_range(-1000.0..1000.0),
                _ => 42.0,
            })
            .collect()
    }

    #[test]
    fn every_quantile_is_within_the_promised_error_of_the_exact_one() {
        let mut random = StdRng::seed_from_u64(128);
        for _ in 0..40 {
            let mut values = samples(&mut random);
            let mut sketch = Sketch::default();
            for value in &values {
                sketch.insert(*value);
            }
            values.sort_by(f64::total_cmp);
            for percent in (0..=100).step_by(5) {
                let rank = (values.len() - 1) * percent / 100;
                let (exact, told) = (values[rank], at(&sketch, rank as u64));
                // A bin's middle deviates by at most 1/128. Values closer to zero than the smallest bin count as zero.
                assert!(
                    (exact - told).abs() <= exact.abs() / 127.0 + MIN_VALUE,
                    "{percent}: {told} instead of {exact}"
                );
            }
        }
    }

    /// The value that the bins give for a zero-based rank.
    fn at(sketch: &Sketch, rank: u64) -> f64 {
        let mut seen = 0;
        let bin = sketch.bins().into_iter().find(|bin| {
            seen += u64::from(bin.count);
            seen > rank
        });
        let key = bin.unwrap().key;
        let magnitude = ((f64::from(key).abs() - f64::from(BIAS)) * GAMMA_LN).exp();
        if key == 0 { 0.0 } else { magnitude.copysign(f64::from(key)) }
    }

    #[test]
    fn the_lowest_bins_are_merged_when_there_are_too_many() {
        let mut sketch = Sketch::default();
        for number in -3000..3000 {
            let sign = if number < 0 { -1.0 } else { 1.0 };
            sketch.insert(sign * (f64::from(number).abs() * GAMMA_LN - 20.0).exp());
        }
        assert_eq!(sketch.bins().len(), 4096);
        assert_eq!(total(&sketch), sketch.count());
        assert!(sketch.bins()[0].count > 1);
        assert!(!sketch.grows_with(f64::MAX), "whatever comes, the lowest make room");
        sketch.insert(f64::MAX);
        assert_eq!(sketch.bins().len(), 4096);
        assert_eq!(total(&sketch), sketch.count());
    }

    #[test]
    fn wire_bins_stay_within_their_bound_at_any_weight() {
        let mut random = StdRng::seed_from_u64(4096);
        for (values, keys) in [(10, 1), (4_000, 1), (4_000, 300), (20_000, 3_000), (20_000, 20_000)] {
            let mut sketch = Sketch::default();
            for _ in 0..values {
                let weight = if random.random() { 1_000_000 } else { random.random_range(1..100_000) };
                sketch.insert_times((f64::from(random.random_range(0..keys)) * GAMMA_LN - 20.0).exp(), weight);
            }
            let bins = sketch.bins();
            assert!(bins.len() <= 4096, "{} bins", bins.len());
            assert!(bins.is_sorted_by_key(|bin| bin.key) && bins.iter().all(|bin| bin.count > 0));
            // Where every bin is used, the lowest cannot move the count that exceeds the wire's 32 bits to another bin.
            let whole = total(&sketch) == sketch.count() || sketch.bins.len() == 4096;
            assert!(whole && total(&sketch) <= sketch.count(), "{values} values in {keys} bins");
        }
    }

    #[test]
    fn the_least_value_that_counts_has_a_bin_of_its_own() {
        assert_eq!((key(MIN_VALUE), key(-MIN_VALUE)), (1, -1));
        assert_eq!(key(MIN_VALUE / 2.0), 0);
    }

    #[test]
    fn bins_of_more_than_the_wire_can_count_saturate() {
        let mut sketch = Sketch { count: u64::MAX, max: 1.0, ..Sketch::default() };
        sketch.bins.extend([(1, u64::MAX), (2, 5)]);
        let bins = sketch.bins();
        assert_eq!(bins.len(), 4096);
        assert_eq!(bins.last(), Some(&Bin { key: 2, count: 5 }));
        // The second bin is limited to what the first bin leaves of the maximum number of bins.
        sketch.bins.extend([(1, 3000 * u64::from(u32::MAX)), (2, u64::MAX)]);
        assert_eq!(sketch.bins().len(), 4096);
    }

    fn counts(sketch: &Sketch) -> Vec<u32> {
        sketch.bins().iter().map(|bin| bin.count).collect()
    }

    fn total(sketch: &Sketch) -> u64 {
        sketch.bins().iter().map(|bin| u64::from(bin.count)).sum()
    }
}
