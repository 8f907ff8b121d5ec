//! Where the values of many blocks lie, and how far off that may be.
//!
//! The estimator is the mean of the middle three fifths. A start now and then is several milliseconds late on every machine, which
//! a mean does not survive; a median survives it but throws away a third of the blocks' information on the rest, and jumps where
//! values are counted. The trimmed mean survives one start in five and loses a twelfth.

use rand::Rng;

/// How much of each end is left out.
const TRIM: f64 = 0.2;

/// A trimmed mean.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Location {
    /// The mean of the middle three fifths.
    pub mean: f64,
    /// Its standard error, from the winsorized variance (Yuen 1974). Zero if the middle three fifths are all equal.
    pub error: f64,
    /// Degrees of freedom of that error.
    pub freedom: f64,
}

/// The trimmed mean of at least two values in ascending order; none of fewer, whose error is unknown.
pub fn location(sorted: &[f64]) -> Option<Location> {
    repeated(sorted, &vec![1; sorted.len()])
}

/// The same location with an error that is not zero, for values of which the middle three fifths are equal though what they come from varies: the plain
/// standard error, and at least that of rounding to `step`.
pub fn widened(location: Location, sorted: &[f64], step: f64) -> Location {
    let count = to_f64(sorted.len());
    let mean = sorted.iter().sum::<f64>() / count;
    let variance = sorted.iter().map(|value| (value - mean).powi(2)).sum::<f64>() / (count - 1.0);
    Location { error: (variance.max(step * step / 12.0) / count).sqrt(), freedom: count - 1.0, ..location }
}

/// How many of so many values are kept, less one.
pub fn freedom(count: usize) -> f64 {
    let count = to_f64(count);
    count - 2.0 * (TRIM * count).floor() - 1.0
}

/// Trimmed means of samples of the same size drawn from `sorted` with replacement.
pub fn resampled<'a, R: Rng>(sorted: &'a [f64], rng: &'a mut R) -> impl Iterator<Item = Location> + 'a {
    let mut times = vec![0; sorted.len()];
    std::iter::from_fn(move || {
        times.fill(0);
        draw(&mut times, rng);
        repeated(sorted, &times)
    })
}

/// Draws as often as there are places. Two draws share one random number; what scaling 32 bits favours is one in ten million.
fn draw<R: Rng>(times: &mut [u32], rng: &mut R) {
    let places = times.len() as u64;
    let mut bits = 0;
    for left in 0..places {
        bits = if left % 2 == 0 { rng.next_u64() } else { bits << 32 };
        let place = ((bits >> 32) * places) >> 32;
        if let Some(times) = times.get_mut(place as usize) {
            *times += 1;
        }
    }
}

/// One pass over values in ascending order, each so many times, as sorting every resample again would cost most of the time.
fn repeated(sorted: &[f64], times: &[u32]) -> Option<Location> {
    let count = to_f64(sorted.len());
    if count < 2.0 {
        return None;
    }
    let cut = (TRIM * count).floor();
    let (kept, end) = (count - 2.0 * cut, count - cut);
    let (mut before, mut first, mut last) = (0.0_f64, f64::NAN, 0.0);
    let (mut sum, mut squares) = (0.0, 0.0);
    for (&value, &times) in sorted.iter().zip(times) {
        if times == 0 {
            continue;
        }
        let after = before + f64::from(times);
        if after > cut && before < end {
            let inside = after.min(end) - before.max(cut);
            // Distances from the first kept value, so that large values that hardly differ lose no digits.
            if first.is_nan() {
                first = value;
            }
            last = value - first;
            sum += inside * last;
            squares += inside * last * last;
        }
        before = after;
    }
    // Winsorizing replaces the lowest by the first kept value, whose distance is zero, and the highest by the last.
    let (all, all_squares) = (sum + cut * last, squares + cut * last * last);
    let variance = (all_squares - all * all / count).max(0.0);
    let error = if last == 0.0 { 0.0 } else { (variance / (kept * (kept - 1.0))).sqrt() };
    Some(Location { mean: first + sum / kept, error, freedom: kept - 1.0 })
}

/// Counts of starts are far below 2⁵².
#[expect(clippy::cast_precision_loss, reason = "counts of starts are far below 2^52")]
pub fn to_f64(count: usize) -> f64 {
    count as f64
}
