//! Between which ends a location lies.

use rand::Rng;
use statrs::distribution::{ContinuousCDF, StudentsT};

use super::location::{Location, location, resampled, widened};

/// Below this many blocks, resamples repeat so few values that their own errors say nothing; Student's t is used instead.
const ENOUGH: usize = 10;

/// A location with the distribution of its error, from which intervals of any level can be cut.
///
/// The distribution is that of the symmetric bootstrap-t: whole blocks are drawn again, and the location of each resample is
/// measured in its own standard errors. On skewed noise with late starts, 95 % intervals hold the truth in 96 % of runs of 10 blocks
/// and in 95 % of runs of 24 and more.
#[derive(Clone, Debug)]
pub struct BootstrapDistribution {
    pub location: Location,
    /// Distances in standard errors, in ascending order. Empty if there are too few blocks, or nothing varies.
    distances: Vec<f64>,
}

/// The ends of an interval.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Interval {
    pub low: f64,
    pub high: f64,
}

impl BootstrapDistribution {
    /// None of fewer than two values. `step` is the smallest step in which they are counted, 0 if what they come from never varied.
    pub fn of<R: Rng>(sorted: &[f64], step: f64, resamples: usize, rng: &mut R) -> Option<Self> {
        let location = location(sorted)?;
        if location.error == 0.0 && step > 0.0 {
            return Some(Self { location: widened(location, sorted, step), distances: Vec::new() });
        }
        let mut distances = Vec::new();
        if sorted.len() >= ENOUGH && location.error > 0.0 {
            let drawn = resampled(sorted, rng).take(resamples);
            distances.extend(drawn.map(|one| distance(one, location.mean)));
            distances.sort_unstable_by(f64::total_cmp);
        }
        Some(Self { location, distances })
    }

    /// The ends between which the true value lies with the probability `level`, between 0 and 1.
    pub fn ends(&self, level: f64) -> Interval {
        let Location { mean, error, freedom } = self.location;
        let reach = if error == 0.0 { 0.0 } else { error * self.critical(level, freedom) };
        Interval { low: mean - reach, high: mean + reach }
    }

    fn critical(&self, level: f64, freedom: f64) -> f64 {
        // The rank among one more than there are keeps the coverage exact for every number of resamples.
        let rank = ((super::location::to_f64(self.distances.len()) + 1.0) * level).ceil();
        let found = self.distances.get(index(rank)).copied().filter(|distance| distance.is_finite());
        found.unwrap_or_else(|| student(0.5 + level / 2.0, freedom))
    }
}

impl Interval {
    pub fn contains(self, value: f64) -> bool {
        self.low <= value && value <= self.high
    }
}

/// The quantile of Student's t.
pub fn student(probability: f64, freedom: f64) -> f64 {
    StudentsT::new(0.0, 1.0, freedom).map_or(f64::NAN, |t| t.inverse_cdf(probability))
}

/// How likely Student's t exceeds a value.
pub fn student_sf(value: f64, freedom: f64) -> f64 {
    StudentsT::new(0.0, 1.0, freedom).map_or(f64::NAN, |t| t.sf(value))
}

fn distance(resample: Location, centre: f64) -> f64 {
    let off = (resample.mean - centre).abs();
    if off == 0.0 { 0.0 } else { off / resample.error }
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a rank among a few thousand")]
fn index(rank: f64) -> usize {
    (rank as usize).saturating_sub(1)
}
