//! The location of many blocks' values, with its standard error.
//!
//! The estimator is the 20 % trimmed mean: the mean of the middle three fifths. On every machine an occasional start is several milliseconds late. A mean does
//! not tolerate that. A median does, but discards a third of the information of the other blocks and jumps where values are counts. The trimmed mean tolerates
//! one start in five and loses a twelfth of the information.

use rand::Rng;

/// Share of the values that is trimmed at each end.
const TRIM: f64 = 0.2;

/// A trimmed mean with its standard error.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Location {
    /// The mean of the middle three fifths.
    pub mean: f64,
    /// The standard error, from the winsorized variance (Yuen 1974). Zero if the middle three fifths are all equal.
    pub error: f64,
    /// Degrees of freedom of the standard error.
    pub freedom: f64,
}

/// The trimmed mean of values in ascending order. `None` for fewer than two, whose standard error is unknown.
pub fn location(sorted: &[f64]) -> Option<Location> {
    repeated(sorted, &vec![1; sorted.len()])
}

/// The same location with a standard error above zero, for varying data whose middle three fifths are equal. The error is the plain standard error, and at
/// least that of rounding to `step`.
pub fn widened(location: Location, sorted: &[f64], step: f64) -> Location {
    let count = to_f64(sorted.len());
    let mean = sorted.iter().sum::<f64>() / count;
    let variance = sorted.iter().map(|value| (value - mean).powi(2)).sum::<f64>() / (count - 1.0);
    Location { error: (variance.max(step * step / 12.0) / count).sqrt(), freedom: count - 1.0, ..location }
}

/// Degrees of freedom of the trimmed mean of `count` values: the number of values kept, less one.
pub fn freedom(count: usize) -> f64 {
    let count = to_f64(count);
    count - 2.0 * (TRIM * count).floor() - 1.0
}

/// The trimmed means of resamples of the same size, drawn from `sorted` with replacement.
pub fn resampled<'a, R: Rng>(sorted: &'a [f64], rng: &'a mut R) -> impl Iterator<Item = Location> + 'a {
    let mut times = vec![0; sorted.len()];
    std::iter::from_fn(move || {
        times.fill(0);
        draw(&mut times, rng);
        repeated(sorted, &times)
    })
}

/// Draws as many values as there are, and counts how often each is drawn. Two draws share one random number; the bias of scaling 32 bits is one in ten million.
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

/// The trimmed mean of values in ascending order, each repeated so many times. One pass, because sorting every resample would take most of the time.
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
            // Distances from the first kept value, so that large values that hardly differ keep their precision.
            if first.is_nan() {
                first = value;
            }
            last = value - first;
            sum += inside * last;
            squares += inside * last * last;
        }
        before = after;
    }
    // Winsorizing replaces the lowest values by the first kept one, whose distance is zero, and the highest by the last kept one.
    let (all, all_squares) = (sum + cut * last, squares + cut * last * last);
    let variance = (all_squares - all * all / count).max(0.0);
    let error = if last == 0.0 { 0.0 } else { (variance / (kept * (kept - 1.0))).sqrt() };
    Some(Location { mean: first + sum / kept, error, freedom: kept - 1.0 })
}

/// A count as `f64`. Counts of starts are far below 2⁵².
#[expect(clippy::cast_precision_loss, reason = "counts of starts are far below 2^52")]
pub fn to_f64(count: usize) -> f64 {
    count as f64
}
