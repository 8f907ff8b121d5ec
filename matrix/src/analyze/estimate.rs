//! Questions of one family become estimates.

use rand::SeedableRng as _;
use rand::rngs::Xoshiro256PlusPlus;

use super::holm::adjusted;
use super::interval::{Ends, Interval, student};
use super::location::to_f64;
use super::signed_rank;
use super::{Estimate, Verdict};

/// Chance of a false alarm in a family of questions.
const FAMILY_WISE: f64 = 0.05;
/// Of the intervals that are shown.
const LEVEL: f64 = 0.95;
/// How often the smallest detectable difference would have been found.
const POWER: f64 = 0.8;

/// One value for each block, of which it is asked whether they lie off zero.
#[derive(Clone, Debug, PartialEq)]
pub struct Question {
    pub values: Vec<f64>,
    /// See [`crate::measure::sample::Measure::counted`].
    pub counted: bool,
    pub scale: Scale,
}

/// What the values are.
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

/// Where the random numbers of one question come from, and how many resamples are drawn with them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bootstrap {
    /// The plan's seed.
    pub seed: u64,
    /// One less than a multiple of 40 gives the nominal level exactly.
    pub resamples: usize,
}

impl Bootstrap {
    /// A generator of its own for each question, so that what is asked beside it does not change an answer.
    ///
    /// Xoshiro256++ is the same in every version of `rand`, which does not promise that of its standard generator.
    pub fn generator(self, names: &[&str]) -> Xoshiro256PlusPlus {
        // FNV-1a, because the standard library's hash may change with the compiler.
        let bytes = names.iter().flat_map(|name| name.bytes().chain([0]));
        let mixed = bytes
            .fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3));
        Xoshiro256PlusPlus::seed_from_u64(self.seed ^ mixed)
    }

    pub fn interval(self, question: &Question, names: &[&str]) -> Option<Interval> {
        let mut sorted = question.values.clone();
        sorted.sort_unstable_by(f64::total_cmp);
        Interval::of(&sorted, self.resamples, &mut self.generator(names))
    }
}

/// A question with what was computed of it alone.
#[derive(Clone, Debug)]
pub struct Answer {
    interval: Interval,
    p: f64,
    scale: Scale,
}

impl Answer {
    /// None of fewer than two blocks: their spread is unknown.
    pub fn of(question: &Question, bootstrap: Bootstrap, names: &[&str]) -> Option<Self> {
        let interval = bootstrap.interval(question, names)?;
        Some(Self { interval, p: p_value(question), scale: question.scale })
    }
}

/// Estimates of all questions of a family that have an answer, in their places, with p values that are adjusted for their number.
pub fn family(answers: &[Option<Answer>]) -> Vec<Option<Estimate>> {
    let p_values: Vec<f64> = answers.iter().flatten().map(|answer| answer.p).collect();
    let mut adjusted = adjusted(&p_values).into_iter();
    let mut next = |answer: &Answer| adjusted.next().map(|p| estimate(answer, p, p_values.len()));
    answers.iter().map(|answer| next(answer.as_ref()?)).collect()
}

/// How many blocks it takes before any of so many questions can be answered with more than "no detectable change".
pub fn blocks_needed(asked: usize) -> usize {
    let shows = |blocks: &usize| signed_rank::smallest(*blocks) * to_f64(asked) <= FAMILY_WISE;
    (1..=usize::MAX).find(shows).unwrap_or(usize::MAX)
}

/// A counter that shows the same difference in every block is certain: how often it was counted adds nothing.
fn p_value(question: &Question) -> f64 {
    let first = question.values.first().copied().unwrap_or_default();
    #[expect(clippy::float_cmp, reason = "counters that are the same")]
    let same = question.values.iter().all(|&value| value == first);
    match (question.counted && same, first == 0.0) {
        (true, true) => 1.0,
        (true, false) => 0.0,
        (false, _) => signed_rank::p_value(&question.values),
    }
}

fn estimate(answer: &Answer, p: f64, asked: usize) -> Estimate {
    let location = answer.interval.location;
    let Ends { low, high } = answer.interval.ends(LEVEL);
    let detectable = location.error * reach(asked, location.freedom);
    let verdict = match () {
        () if p > FAMILY_WISE || (Ends { low, high }).contains(0.0) => Verdict::NoDetectableChange,
        () if location.mean < 0.0 => Verdict::Faster,
        () => Verdict::Slower,
    };
    match answer.scale {
        Scale::Difference => Estimate { value: location.mean, low, high, p, detectable, verdict },
        Scale::LogRatio => Estimate {
            value: finite(location.mean.exp()),
            low: finite(low.exp()),
            high: finite(high.exp()),
            p,
            detectable: finite(detectable.exp_m1()),
            verdict,
        },
    }
}

/// How many standard errors a difference has to have, so that it is found with [`POWER`] when `asked` questions share
/// [`FAMILY_WISE`].
fn reach(asked: usize, freedom: f64) -> f64 {
    student(1.0 - FAMILY_WISE / (2.0 * to_f64(asked)), freedom) + student(POWER, freedom)
}

/// JSON knows no infinity, which a ratio of two noisy blocks can reach.
fn finite(value: f64) -> f64 {
    value.min(f64::MAX)
}
