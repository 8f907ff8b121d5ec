//! Judges one budget check.

use super::Outcome;
use super::budget_checks::{BudgetCheck, Growth, Reference};
use super::decision::Judgement;
use crate::analyze::Verdict;
use crate::analyze::estimate::ENOUGH;
use crate::report::number::Scale;

/// The unit of a comparison with a baseline: a factor less one.
const RATIO: &str = "ratio";

/// Judges a budget check.
///
/// The first that applies decides: a failed check of a program, which is not judged by its times then; two identical programs, which pass on any machine; an
/// invalid run; the growth.
pub fn judge(check: &BudgetCheck<'_>) -> Judgement {
    let (outcome, reason) = match (&check.finding, check.verdict, check.growth) {
        (Some((outcome, reason)), _, _) if *outcome != Outcome::InvalidRun => (*outcome, reason.clone()),
        (_, Some(Verdict::NoOp), _) => (Outcome::Pass, "it is the same program".to_owned()),
        (Some((outcome, reason)), _, _) => (*outcome, reason.clone()),
        (None, Some(Verdict::InvalidRun), _) => {
            (Outcome::InvalidRun, format!("the control differs in {}: the measurement is biased", check.gate))
        }
        (None, _, Some(growth)) => weigh(check, growth),
        (None, _, None) => (Outcome::Inconclusive, format!("too few starts count that have {}", check.gate)),
    };
    Judgement {
        condition: check.condition.clone(),
        candidate: check.candidate.to_owned(),
        against: match check.reference {
            Reference::Cell(cell) => cell.to_owned(),
            Reference::Baseline => "the baseline".to_owned(),
        },
        gate: check.gate,
        outcome,
        growth: check.growth.filter(|_| matches!(outcome, Outcome::Pass | Outcome::Regressed | Outcome::Inconclusive)),
        limit: check.limit,
        unit: check.unit,
        reason,
    }
}

fn weigh(check: &BudgetCheck<'_>, growth: Growth) -> (Outcome, String) {
    let BudgetCheck { unit, limit, .. } = *check;
    let found = format!("{} against a budget of {}", growth_text(unit, growth), amount(unit, limit));
    let varies = unit != RATIO && (growth.high - growth.low).abs() > 0.0;
    let is_too_short = check.blocks < ENOUGH && check.reference != Reference::Baseline;
    if is_too_short && (varies || check.verdict == Some(Verdict::Inconclusive)) {
        let reason = format!("{found}, of {} blocks: fewer than {ENOUGH} give no verdict", check.blocks);
        return (Outcome::Inconclusive, reason);
    }
    if growth.low > limit {
        return (Outcome::Regressed, found);
    }
    // A significant improvement is no growth, even if the minimum detectable effect is large.
    if growth.high <= 0.0 {
        return (Outcome::Pass, found);
    }
    if growth.detectable > limit {
        let seen = amount(unit, growth.detectable);
        return (Outcome::Inconclusive, format!("{found}; MDE {seen}{}", remedy(check, growth, limit)));
    }
    if growth.high > limit {
        // Growth close to the budget stays inside every interval, however narrow.
        let distance = (limit - growth.value).abs();
        let reach = (growth.high - growth.low) / 2.0;
        let more = remedy(check, Growth { detectable: reach.max(0.0), ..growth }, distance);
        return (Outcome::Inconclusive, format!("{found}, which lies inside the interval{more}"));
    }
    (Outcome::Pass, found)
}

/// Says how many blocks it takes to detect `wanted`. The minimum detectable effect shrinks with the square root of the number of blocks. More blocks do not
/// make a stored baseline more precise.
fn remedy(check: &BudgetCheck<'_>, growth: Growth, wanted: f64) -> String {
    let factor = (growth.detectable / wanted).powi(2);
    let blocks = crate::report::number::float(check.blocks) * factor;
    // At least one block more than there were, because those were not enough.
    let blocks = ((blocks / 10.0).ceil() * 10.0).max(crate::report::number::float(check.blocks + 1));
    match () {
        () if check.reference == Reference::Baseline => String::new(),
        () if blocks.is_finite() && blocks < 10_000.0 => format!("; needs {blocks:.0} blocks"),
        () => "; needs more than 10,000 blocks".to_owned(),
    }
}

/// Formats growth: `+0.31 ms [0.12, 0.50]`, `+64.0 KiB` if it does not vary, or `× 1.05 [1.01, 1.09]` for a ratio.
fn growth_text(unit: &'static str, growth: Growth) -> String {
    let Growth { value, low, high, .. } = growth;
    if unit == RATIO {
        return format!("× {:.3} [{:.3}, {:.3}]", 1.0 + value, 1.0 + low, 1.0 + high);
    }
    let scale = scale(unit, value, high - low, &[value, low, high]);
    let sign = if value > 0.0 { "+" } else { "" };
    let found = format!("{sign}{}", scale.quantity(value));
    // A difference that is the same in every start has an interval of zero width, which is not shown.
    if (high - low).abs() > 0.0 { format!("{found} [{}, {}]", scale.number(low), scale.number(high)) } else { found }
}

fn amount(unit: &'static str, growth: f64) -> String {
    match unit {
        RATIO => format!("× {:.3}", 1.0 + growth),
        "ms" => format!("{growth:.2} ms"),
        _ => scale(unit, growth, 0.0, &[growth]).quantity(growth),
    }
}

/// The scale for values of a measure. The mean of counts need not be a whole number.
fn scale(unit: &'static str, magnitude: f64, spread: f64, values: &[f64]) -> Scale {
    let scale = Scale::of(unit, magnitude, spread);
    let counts = !["ms", "bytes", "KiB"].contains(&unit);
    if counts && values.iter().any(|value| value.fract() != 0.0) { Scale { decimals: 2, ..scale } } else { scale }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::Condition;

    const CALM: Growth = Growth { value: 0.1, low: 0.0, high: 0.2, detectable: 0.3 };

    fn budget_check(condition: &Condition) -> BudgetCheck<'_> {
        BudgetCheck {
            condition,
            candidate: "ship",
            reference: Reference::Cell("main"),
            gate: "ready",
            unit: "ms",
            limit: 0.5,
            growth: Some(CALM),
            verdict: Some(Verdict::NoDetectableChange),
            finding: None,
            blocks: 30,
        }
    }

    fn outcome(change: impl FnOnce(&mut BudgetCheck<'_>)) -> (Outcome, String) {
        let condition = Condition::default();
        let mut check = budget_check(&condition);
        change(&mut check);
        let judged = judge(&check);
        (judged.outcome, judged.reason)
    }

    fn grown(value: f64, reach: f64, detectable: f64) -> Outcome {
        outcome(|check| {
            check.growth = Some(Growth { value, low: value - reach, high: value + reach, detectable });
        })
        .0
    }

    #[test]
    fn only_an_interval_beyond_the_budget_is_a_regression() {
        assert_eq!(grown(0.1, 0.1, 0.3), Outcome::Pass);
        assert_eq!(grown(0.7, 0.1, 0.3), Outcome::Regressed);
        assert_eq!(grown(0.45, 0.1, 0.3), Outcome::Inconclusive, "the interval has the budget in it");
        assert_eq!(grown(0.1, 0.1, 0.6), Outcome::Inconclusive, "the budget could not have been seen");
        assert_eq!(grown(2.0, 0.8, 0.9), Outcome::Regressed, "it was seen all the same");
        assert_eq!(grown(-3.0, 0.1, 0.6), Outcome::Pass, "faster beyond doubt");
    }

    #[test]
    fn other_measures_are_judged_in_their_units_and_exactly_where_nothing_varies() {
        let exact = |value: f64| Growth { value, low: value, high: value, detectable: 0.0 };
        let size = |growth| {
            outcome(move |check| {
                (check.gate, check.unit, check.limit) = ("file_size", "bytes", 65_536.0);
                check.growth = Some(growth);
            })
        };
        assert_eq!(size(exact(65_536.0)), (Outcome::Pass, "+64.0 KiB against a budget of 64.0 KiB".to_owned()));
        assert_eq!(size(exact(65_537.0)).0, Outcome::Regressed, "one byte too many is one too many");
        let threads = |growth| {
            outcome(move |check| {
                (check.gate, check.unit, check.limit) = ("threads", "threads", 0.5);
                check.growth = Some(growth);
            })
        };
        let varying = Growth { value: 0.25, low: 0.0, high: 0.5, detectable: 0.4 };
        let expected = "+0.25 threads [0.00, 0.50] against a budget of 0.50 threads";
        assert_eq!(threads(varying), (Outcome::Pass, expected.to_owned()));
        assert_eq!(threads(exact(1.0)).0, Outcome::Regressed);
        let biased = outcome(|check| (check.gate, check.verdict) = ("threads", Some(Verdict::InvalidRun)));
        assert_eq!(biased.0, Outcome::InvalidRun);
    }

    #[test]
    fn what_is_known_otherwise_goes_before_the_numbers() {
        let slow = Growth { value: 9.0, low: 8.0, high: 10.0, detectable: 0.3 };
        let found = |outcome: Outcome| Some((outcome, "so it is".to_owned()));
        for wrong in [Outcome::InvalidRun, Outcome::PayloadMismatch, Outcome::DidNotStart, Outcome::HarnessFailure] {
            let judged = outcome(|check| (check.growth, check.finding) = (Some(slow), found(wrong)));
            assert_eq!(judged, (wrong, "so it is".to_owned()));
        }
        let same = |finding| {
            move |check: &mut BudgetCheck<'_>| (check.verdict, check.finding) = (Some(Verdict::NoOp), finding)
        };
        assert_eq!(outcome(same(found(Outcome::InvalidRun))).0, Outcome::Pass, "a program is itself on any machine");
        assert_eq!(outcome(same(found(Outcome::PayloadMismatch))).0, Outcome::PayloadMismatch);
        assert_eq!(outcome(|check| check.verdict = Some(Verdict::NoOp)).0, Outcome::Pass);
        assert_eq!(outcome(|check| (check.growth, check.verdict) = (None, None)).0, Outcome::Inconclusive);
    }

    #[test]
    fn inconclusive_run_names_the_blocks_it_needs() {
        let (_, reason) = outcome(|check| check.growth = Some(Growth { detectable: 1.0, ..CALM }));
        let expected = "+0.10 ms [0.00, 0.20] against a budget of 0.50 ms; MDE 1.00 ms; needs 120 blocks";
        assert_eq!(reason, expected);
        let (_, reason) = outcome(|check| {
            (check.reference, check.unit, check.limit) = (Reference::Baseline, RATIO, 0.2);
        });
        assert_eq!(reason, "× 1.100 [1.000, 1.200] against a budget of × 1.200; MDE × 1.300");
    }
}
