//! Estimates with intervals and verdicts, corrected for the tests of one family.

use std::collections::BTreeMap;

use rand::SeedableRng as _;
use rand::rngs::Xoshiro256PlusPlus;

use super::interval::{BootstrapDistribution, Interval, student_sf};
use super::location::{Location, freedom, to_f64};
use super::power::{critical, detectable, heavier};
use super::{Estimate, Verdict};

/// Family-wise error rate: the probability of a false alarm among all tests of a family.
pub const FAMILY_WISE: f64 = 0.05;
/// Level of the confidence intervals that are shown.
const LEVEL: f64 = 0.95;
/// Power: the probability with which the minimum detectable effect is found.
const POWER: f64 = 0.8;
/// Minimum number of blocks for a verdict. With fewer, 5 % of runs have differences of one sign by chance alone, and no late start is trimmed.
pub const ENOUGH: usize = 6;
/// Upper limit for the number of blocks that is recommended.
const MOST: usize = 100_000;

/// The differences of two cells, or a contrast of several: one value for each block. The test asks whether their location differs from zero.
#[derive(Clone, Debug, PartialEq)]
pub struct PairedDifferences {
    pub values: Vec<f64>,
    pub exactness: Exactness,
    /// The smallest step between any two values of a cell behind the differences; 0 if they never varied.
    pub step: f64,
    pub scale: Scale,
}

/// How certain a difference is without a test.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exactness {
    /// A property of the program file: one start shows it.
    Fixed,
    /// A count that is the same in every start of each cell.
    Counted,
    /// A measurement, or a count that varies.
    Measured,
}

/// The scale of the values.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scale {
    /// Differences, in the measure's unit.
    Difference,
    /// Natural logarithms of ratios.
    LogRatio,
}

impl Scale {
    pub fn name(self) -> &'static str {
        match self {
            Self::Difference => "difference",
            Self::LogRatio => "ratio",
        }
    }
}

/// The source of random numbers for the bootstrap, and the number of resamples.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bootstrap {
    /// The plan's seed.
    pub seed: u64,
    /// Number of resamples. One less than a multiple of 40 gives the nominal level exactly.
    pub resamples: usize,
}

impl Bootstrap {
    /// A random number generator for one test. Each test has its own, so that other tests do not change its result.
    ///
    /// Xoshiro256++ is the same in every version of `rand`; `rand` does not promise that for its standard generator.
    pub fn generator(self, names: &[&str]) -> Xoshiro256PlusPlus {
        // FNV-1a, because the standard library's hash may change with the compiler.
        let bytes = names.iter().flat_map(|name| name.bytes().chain([0]));
        let mixed = bytes
            .fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3));
        Xoshiro256PlusPlus::seed_from_u64(self.seed ^ mixed)
    }

    pub fn interval(self, differences: &PairedDifferences, names: &[&str]) -> Option<BootstrapDistribution> {
        let mut sorted = differences.values.clone();
        sorted.sort_unstable_by(f64::total_cmp);
        BootstrapDistribution::of(&sorted, differences.step, self.resamples, &mut self.generator(names))
    }
}

/// An estimate with its interval, before the correction for its family.
#[derive(Clone, Debug)]
pub struct UncorrectedEstimate {
    interval: BootstrapDistribution,
    pairs: usize,
    /// Whether the difference needs no test.
    is_certain: bool,
    scale: Scale,
}

impl UncorrectedEstimate {
    /// The estimate of these differences. `None` for fewer than two blocks, whose spread is unknown.
    pub fn of(differences: &PairedDifferences, bootstrap: Bootstrap, names: &[&str]) -> Option<Self> {
        let interval = bootstrap.interval(differences, names)?;
        let is_certain = match differences.exactness {
            Exactness::Fixed => interval.location.error == 0.0,
            Exactness::Counted => interval.location.error == 0.0 && differences.values.len() >= ENOUGH,
            Exactness::Measured => false,
        };
        Some(Self { interval, pairs: differences.values.len(), is_certain, scale: differences.scale })
    }
}

/// The p value of the null hypothesis of no difference, not adjusted for the family.
pub fn p_value(interval: &BootstrapDistribution) -> f64 {
    let location = interval.location;
    match (location.mean == 0.0, location.error == 0.0) {
        (true, _) => 1.0,
        (false, true) => 0.0,
        (false, false) => {
            let statistic = (location.mean / location.error).abs() / heavier(location.freedom);
            2.0 * student_sf(statistic, location.freedom)
        }
    }
}

/// The estimates of a family, at the indexes of their uncorrected estimates; `None` where there is none. The tests share [`FAMILY_WISE`] equally with each other and
/// with `parts` − 1 families of the same size.
pub fn family(uncorrected: &[Option<UncorrectedEstimate>], parts: usize) -> Vec<Option<Estimate>> {
    let tests = uncorrected.iter().flatten().filter(|estimate| !estimate.is_certain).count() * parts;
    let mut family = Family::new(tests);
    uncorrected.iter().map(|estimate| Some(family.estimate(estimate.as_ref()?))).collect()
}

/// The Bonferroni correction of a family, with its minimum detectable effects by degrees of freedom.
pub struct Family {
    tests: usize,
    reaches: BTreeMap<u64, f64>,
}

impl Family {
    pub fn new(tests: usize) -> Self {
        Self { tests, reaches: BTreeMap::new() }
    }

    /// The minimum detectable effect in estimated standard errors: a difference of this size is found with probability [`POWER`].
    pub fn reach(&mut self, freedom: f64) -> f64 {
        let level = FAMILY_WISE / to_f64(self.tests.max(1));
        // The standard error of a trimmed mean varies more than the root of a χ². That holds for the power as it does for the critical value.
        let compute = || detectable(critical(level, freedom), freedom, POWER) * heavier(freedom);
        *self.reaches.entry(freedom.to_bits()).or_insert_with(compute)
    }

    fn estimate(&mut self, uncorrected: &UncorrectedEstimate) -> Estimate {
        let Location { mean, error, freedom } = uncorrected.interval.location;
        let Interval { low, high } = uncorrected.interval.ends(LEVEL);
        let detectable = if error == 0.0 { 0.0 } else { error * self.reach(freedom) };
        let p = (p_value(&uncorrected.interval) * to_f64(self.tests.max(1))).min(1.0);
        let clear = !(Interval { low, high }).contains(0.0);
        let verdict = match () {
            () if uncorrected.is_certain && mean == 0.0 => Verdict::NoDetectableChange,
            () if !uncorrected.is_certain && uncorrected.pairs < ENOUGH => Verdict::Inconclusive,
            () if clear && p > FAMILY_WISE => Verdict::Inconclusive,
            () if !clear => Verdict::NoDetectableChange,
            () if mean < 0.0 => Verdict::Faster,
            () => Verdict::Slower,
        };
        let needed = (verdict == Verdict::Inconclusive).then(|| self.needed(uncorrected)).flatten();
        let estimate = Estimate {
            value: mean,
            low,
            high,
            p: if uncorrected.is_certain && mean != 0.0 { 0.0 } else { p },
            detectable,
            verdict,
            pairs: uncorrected.pairs,
            family: if uncorrected.is_certain { 0 } else { self.tests },
            needed,
        };
        match uncorrected.scale {
            Scale::Difference => estimate,
            Scale::LogRatio => Estimate {
                value: finite(mean.exp()),
                low: finite(low.exp()),
                high: finite(high.exp()),
                detectable: finite(detectable.exp_m1()),
                ..estimate
            },
        }
    }

    /// The number of blocks needed to find a difference of this size: more than there were, and at least [`ENOUGH`]. `None` above [`MOST`].
    fn needed(&mut self, uncorrected: &UncorrectedEstimate) -> Option<usize> {
        let Location { mean, error, .. } = uncorrected.interval.location;
        let mut blocks = (uncorrected.pairs + 1).max(ENOUGH);
        // The standard error of so few blocks is too uncertain to extrapolate from.
        if uncorrected.pairs < ENOUGH {
            return Some(blocks);
        }
        while blocks < MOST {
            let error = error * (to_f64(uncorrected.pairs) / to_f64(blocks)).sqrt();
            if error * self.reach(freedom(blocks)) <= mean.abs() {
                return Some(blocks);
            }
            blocks += (blocks / 20).max(1);
        }
        None
    }
}

/// Limits a value to finite numbers: JSON has no infinity, and a ratio of two noisy blocks can overflow.
fn finite(value: f64) -> f64 {
    value.min(f64::MAX)
}
