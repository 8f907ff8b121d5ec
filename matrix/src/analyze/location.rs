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
    of(sorted.iter().map(|&value| Repeated { value, times: 1 }), sorted.len())
}

/// Trimmed means of samples of the same size drawn from `sorted` with replacement.
pub fn resampled<'a, R: Rng>(sorted: &'a [f64], rng: &'a mut R) -> impl Iterator<Item = Location> + 'a {
    let mut drawn = vec![0_usize; sorted.len()];
    std::iter::from_fn(move || {
        drawn.fill(0);
        draw(&mut drawn, rng);
        let repeated = sorted.iter().zip(&drawn).map(|(&value, &times)| Repeated { value, times });
        of(repeated.filter(|one| one.times > 0), sorted.len())
    })
}

#[derive(Clone, Copy)]
struct Repeated {
    value: f64,
    times: usize,
}

/// Draws as often as there are places. Two draws share one random number; what scaling 32 bits favours is one in ten million.
fn draw<R: Rng>(drawn: &mut [usize], rng: &mut R) {
    let places = drawn.len() as u64;
    let mut hit = |bits: u64| {
        if let Some(times) = usize::try_from((bits * places) >> 32).ok().and_then(|place| drawn.get_mut(place)) {
            *times += 1;
        }
    };
    for first in (0..places).step_by(2) {
        let bits = rng.next_u64();
        hit(bits >> 32);
        if first + 1 < places {
            hit(bits & u64::from(u32::MAX));
        }
    }
}

/// One pass over runs of equal values in ascending order, as sorting every resample again would cost most of the time.
fn of(runs: impl Iterator<Item = Repeated>, count: usize) -> Option<Location> {
    if count < 2 {
        return None;
    }
    let cut = (TRIM * to_f64(count)).floor();
    let kept = to_f64(count) - 2.0 * cut;
    let (mut before, mut first, mut last) = (0.0, None, 0.0);
    let (mut sum, mut squares) = (0.0, 0.0);
    for Repeated { value, times } in runs {
        let after = before + to_f64(times);
        let inside = after.min(to_f64(count) - cut) - before.max(cut);
        if inside > 0.0 {
            // Distances from the first kept value, so that large values that hardly differ lose no digits.
            let origin = *first.get_or_insert(value);
            last = value - origin;
            sum += inside * last;
            squares += inside * last * last;
        }
        before = after;
    }
    let origin = first?;
    // Winsorizing replaces the lowest by the first kept value, whose distance is zero, and the highest by the last.
    let (all, all_squares) = (sum + cut * last, squares + cut * last * last);
    let variance = (all_squares - all * all / to_f64(count)).max(0.0);
    let error = if last == 0.0 { 0.0 } else { (variance / (kept * (kept - 1.0))).sqrt() };
    Some(Location { mean: origin + sum / kept, error, freedom: kept - 1.0 })
}

/// Counts of starts are far below 2⁵².
#[expect(clippy::cast_precision_loss, reason = "counts of starts are far below 2^52")]
pub fn to_f64(count: usize) -> f64 {
    count as f64
}
