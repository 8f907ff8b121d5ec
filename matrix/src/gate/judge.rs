//! One question, one outcome.

use super::Outcome;
use super::decision::Judgement;
use super::questions::{Against, Growth, Question};
use crate::analyze::Verdict;
use crate::report::number::Scale;

/// What a question amounts to. A run that cannot be believed is not asked anything else; a program that does not do its work is not asked how fast it is.
pub fn judge(question: &Question<'_>) -> Judgement {
    let (outcome, reason) = match (&question.finding, question.verdict, question.growth) {
        (Some((outcome, reason)), _, _) if *outcome != Outcome::InvalidRun => (*outcome, reason.clone()),
        (_, Some(Verdict::NoOp), _) => (Outcome::Pass, "it is the same program".to_owned()),
        (Some((outcome, reason)), _, _) => (*outcome, reason.clone()),
        (None, _, Some(growth)) => weigh(question, growth),
        (None, _, None) => (Outcome::Inconclusive, "too few starts count".to_owned()),
    };
    Judgement {
        condition: question.condition.clone(),
        candidate: question.candidate.to_owned(),
        against: match question.against {
            Against::Cell(cell) => cell.to_owned(),
            Against::Baseline => "the baseline".to_owned(),
        },
        gate: question.gate,
        outcome,
        growth: question
            .growth
            .filter(|_| matches!(outcome, Outcome::Pass | Outcome::Regressed | Outcome::Inconclusive)),
        limit: question.limit,
        unit: match question.against {
            Against::Cell(_) => "ms",
            Against::Baseline => "ratio",
        },
        reason,
    }
}

fn weigh(question: &Question<'_>, growth: Growth) -> (Outcome, String) {
    let limit = question.limit;
    let found = format!("{} against a budget of {}", told(question.against, growth), amount(question.against, limit));
    if growth.low > limit {
        return (Outcome::Regressed, found);
    }
    // What is faster beyond doubt has not grown, however little else such a run could have seen.
    if growth.high <= 0.0 {
        return (Outcome::Pass, found);
    }
    if growth.detectable > limit {
        let seen = amount(question.against, growth.detectable);
        return (
            Outcome::Inconclusive,
            format!("{found}, and only {seen} would have been seen{}", remedy(question, growth)),
        );
    }
    if growth.high > limit {
        return (Outcome::Inconclusive, format!("{found}, which the interval has in it"));
    }
    (Outcome::Pass, found)
}

/// How many blocks would do: what can be seen shrinks with the square root of their number. A stored baseline does not get better by that.
fn remedy(question: &Question<'_>, growth: Growth) -> String {
    let factor = (growth.detectable / question.limit).powi(2);
    let blocks = crate::report::number::float(question.blocks) * factor;
    // Less than there was would not do: it did not.
    let blocks = ((blocks / 10.0).ceil() * 10.0).max(crate::report::number::float(question.blocks + 1));
    let tells = question.against != Against::Baseline && blocks.is_finite() && blocks < 10_000.0;
    if tells { format!("; {blocks:.0} blocks would do") } else { String::new() }
}

/// `+0.31 ms [0.12, 0.50]`, or for a ratio `× 1.05 [1.01, 1.09]`.
fn told(against: Against<'_>, growth: Growth) -> String {
    let Growth { value, low, high, .. } = growth;
    match against {
        Against::Cell(_) => {
            let scale = Scale::of("ms", value, high - low);
            let sign = if value > 0.0 { "+" } else { "" };
            format!("{sign}{} [{}, {}]", scale.quantity(value), scale.number(low), scale.number(high))
        }
        Against::Baseline => format!("× {:.3} [{:.3}, {:.3}]", 1.0 + value, 1.0 + low, 1.0 + high),
    }
}

fn amount(against: Against<'_>, growth: f64) -> String {
    match against {
        Against::Cell(_) => format!("{growth:.2} ms"),
        Against::Baseline => format!("× {:.3}", 1.0 + growth),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::Condition;

    const CALM: Growth = Growth { value: 0.1, low: 0.0, high: 0.2, detectable: 0.3 };

    fn asked(condition: &Condition) -> Question<'_> {
        Question {
            condition,
            candidate: "ship",
            against: Against::Cell("main"),
            gate: "ready",
            limit: 0.5,
            growth: Some(CALM),
            verdict: Some(Verdict::NoDetectableChange),
            finding: None,
            blocks: 30,
        }
    }

    fn outcome(change: impl FnOnce(&mut Question<'_>)) -> (Outcome, String) {
        let condition = Condition::default();
        let mut question = asked(&condition);
        change(&mut question);
        let judged = judge(&question);
        (judged.outcome, judged.reason)
    }

    fn grown(value: f64, reach: f64, detectable: f64) -> Outcome {
        outcome(|question| {
            question.growth = Some(Growth { value, low: value - reach, high: value + reach, detectable });
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
    fn what_is_known_otherwise_goes_before_the_numbers() {
        let slow = Growth { value: 9.0, low: 8.0, high: 10.0, detectable: 0.3 };
        let found = |outcome: Outcome| Some((outcome, "so it is".to_owned()));
        for wrong in [Outcome::InvalidRun, Outcome::PayloadMismatch, Outcome::DidNotStart, Outcome::HarnessFailure] {
            let judged = outcome(|question| (question.growth, question.finding) = (Some(slow), found(wrong)));
            assert_eq!(judged, (wrong, "so it is".to_owned()));
        }
        let same = |finding| {
            move |question: &mut Question<'_>| (question.verdict, question.finding) = (Some(Verdict::NoOp), finding)
        };
        assert_eq!(outcome(same(found(Outcome::InvalidRun))).0, Outcome::Pass, "a program is itself on any machine");
        assert_eq!(outcome(same(found(Outcome::PayloadMismatch))).0, Outcome::PayloadMismatch);
        assert_eq!(outcome(|question| question.verdict = Some(Verdict::NoOp)).0, Outcome::Pass);
        assert_eq!(outcome(|question| (question.growth, question.verdict) = (None, None)).0, Outcome::Inconclusive);
    }

    #[test]
    fn a_run_that_is_too_short_says_how_long_it_had_to_be() {
        let (_, reason) = outcome(|question| question.growth = Some(Growth { detectable: 1.0, ..CALM }));
        let expected = "+0.10 ms [0.00, 0.20] against a budget of 0.50 ms, and only 1.00 ms would have been seen; \
                        120 blocks would do";
        assert_eq!(reason, expected);
        let (_, reason) = outcome(|question| (question.against, question.limit) = (Against::Baseline, 0.2));
        assert_eq!(reason, "× 1.100 [1.000, 1.200] against a budget of × 1.200, and only × 1.300 would have been seen");
    }
}
