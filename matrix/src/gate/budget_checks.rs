//! The budget checks of the gate: how much each gate and each budgeted measure of a candidate has grown, and how much it may.

use serde::Serialize;

use super::baseline::{Baseline, Ratio};
use super::checks::Check;
use super::machines::StoredRatio;
use super::{Budgets, Error, Outcome};
use crate::analyze::{Comparison, ConditionAnalysis, Estimate, Verdict};
use crate::measure::Machine;
use crate::plan::circumstances::describe;
use crate::plan::{CellKind, Condition, Plan};
use crate::report::{Experiment, GATES};

/// The two sides of the comparison.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ComparedCells {
    pub candidates: Vec<String>,
    /// `None` if there is only a stored baseline to compare with.
    pub reference: Option<String>,
}

/// A budget check: one gate or measure of one candidate under one condition.
#[derive(Clone, Debug)]
pub struct BudgetCheck<'a> {
    pub condition: &'a Condition,
    pub candidate: &'a str,
    pub reference: Reference<'a>,
    /// A gate, or another measure with a budget.
    pub gate: &'static str,
    /// The unit of limit and growth: the measure's, or `ratio` for a factor less one.
    pub unit: &'static str,
    /// The largest allowed growth.
    pub limit: f64,
    /// `None` if no start counts.
    pub growth: Option<Growth>,
    /// The verdict of the analysis; `None` if there is no estimate.
    pub verdict: Option<Verdict>,
    /// The worst failed check that concerns this one, with its reason.
    pub finding: Option<(Outcome, String)>,
    /// Number of blocks behind the growth: those in which both sides have a start that counts.
    pub blocks: usize,
}

/// What a candidate is compared with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reference<'a> {
    /// A cell of the same run; growth is in the measure's unit.
    Cell(&'a str),
    /// A stored ratio to the floor; growth is a factor less one.
    Baseline,
}

/// Growth, in the measure's unit or as a factor less one; 0 is no growth.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Growth {
    pub value: f64,
    /// The ends of the 95 % confidence interval.
    pub low: f64,
    pub high: f64,
    /// The minimum detectable growth at 80 % power.
    pub detectable: f64,
}

impl ComparedCells {
    /// The sides that the command line names; the default comes from the plan.
    pub fn of(plan: &Plan, candidates: &[String], reference: Option<&str>) -> Result<Self, Error> {
        let kinds = plan.cells.iter().filter(|cell| matches!(cell.kind, CellKind::Build | CellKind::External { .. }));
        let known: Vec<String> = kinds.map(|cell| cell.id.clone()).collect();
        if let Some(cell) = candidates.iter().map(String::as_str).chain(reference).find(|cell| !knows(&known, cell)) {
            return Err(Error::NoCell { cell: cell.to_owned(), known });
        }
        let first = plan.cells.first().map(|cell| cell.id.as_str()).filter(|first| knows(&known, first));
        let usual = first.filter(|first| known.len() > 1 && !knows(candidates, first));
        let reference = reference.or(usual).map(str::to_owned);
        let others = known.into_iter().filter(|cell| Some(cell) != reference.as_ref());
        let candidates = if candidates.is_empty() { others.collect() } else { candidates.to_vec() };
        Ok(Self { candidates, reference })
    }
}

fn knows(names: &[String], name: &str) -> bool {
    names.iter().any(|known| known == name)
}

/// Every budget check, in the order of the conditions, with the worst failed check that concerns it.
pub fn all<'a>(
    experiment: &'a Experiment,
    sides: &'a ComparedCells,
    budgets: &Budgets,
    baseline: Option<&Baseline>,
    checks: &[Check<'_>],
) -> Result<Vec<BudgetCheck<'a>>, Error> {
    let mut budget_checks = Vec::new();
    for found in &experiment.analysis.conditions {
        let measures = budgets.measures(&found.condition);
        for candidate in &sides.candidates {
            for gate in GATES {
                if let Some(reference) = &sides.reference {
                    let limit = budgets.of(&found.condition, gate).ms.ok_or_else(|| no_budget(found, gate, "ms"))?;
                    budget_checks.push(in_this_run(found, [candidate, reference], gate, "ms", limit)?);
                }
                if let Some(baseline) = baseline {
                    budget_checks.extend(since(baseline, experiment.machine(), found, candidate, gate, budgets)?);
                }
            }
            if let Some(reference) = &sides.reference {
                for (measure, limit) in &measures {
                    budget_checks.push(in_this_run(found, [candidate, reference], measure.name, measure.unit, *limit)?);
                }
            }
        }
    }
    for budget_check in &mut budget_checks {
        let concerns = |check: &&Check<'_>| {
            let sides = [Some(budget_check.candidate), budget_check.reference.cell()];
            check.condition == budget_check.condition && check.cell.is_none_or(|cell| sides.contains(&Some(cell)))
        };
        let worst = checks.iter().filter(concerns).max_by_key(|check| check.outcome);
        budget_check.finding = worst.map(|check| (check.outcome, check.sentence()));
    }
    Ok(budget_checks)
}

impl<'a> Reference<'a> {
    fn cell(self) -> Option<&'a str> {
        match self {
            Self::Cell(cell) => Some(cell),
            Self::Baseline => None,
        }
    }
}

fn in_this_run<'a>(
    found: &'a ConditionAnalysis,
    [candidate, reference]: [&'a str; 2],
    gate: &'static str,
    unit: &'static str,
    limit: f64,
) -> Result<BudgetCheck<'a>, Error> {
    let pair = |one: &str, other: &str| {
        found.comparisons.iter().find(|comparison| comparison.cell == one && comparison.reference == other)
    };
    let of = |comparison: &Comparison| comparison.differences.get(gate).cloned();
    let estimate = match (pair(candidate, reference), pair(reference, candidate)) {
        (Some(comparison), _) => of(comparison),
        (None, Some(comparison)) => of(comparison).map(|estimate| turned(&estimate)),
        (None, None) => {
            return Err(Error::NotCompared { candidate: candidate.to_owned(), reference: reference.to_owned() });
        }
    };
    let growth = estimate.as_ref().map(|Estimate { value, low, high, detectable, .. }| Growth {
        value: *value,
        low: *low,
        high: *high,
        detectable: *detectable,
    });
    let pairs = estimate.as_ref().map_or(0, |estimate| estimate.pairs);
    let verdict = estimate.map(|estimate| estimate.verdict);
    let budget_check = budget_check(found, candidate, Reference::Cell(reference), gate);
    Ok(BudgetCheck { unit, limit, growth, verdict, blocks: pairs, ..budget_check })
}

/// The check against the baseline; `None` if its ratio is not known to hold on this machine.
fn since<'a>(
    baseline: &Baseline,
    here: Option<&Machine>,
    found: &'a ConditionAnalysis,
    candidate: &'a str,
    gate: &'static str,
    budgets: &Budgets,
) -> Result<Option<BudgetCheck<'a>>, Error> {
    let limit = budgets.of(&found.condition, gate).ratio.ok_or_else(|| no_budget(found, gate, "ratio"))?;
    let comparison = found.to_floor.iter().find(|comparison| comparison.cell == candidate).ok_or(Error::NoFloor)?;
    let stored = baseline.stored(here, &found.condition, candidate, gate, limit - 1.0)?;
    let StoredRatio::Held(before) = stored else { return Ok(None) };
    let estimate = comparison.ratios.get(gate);
    let growth = estimate.map(|estimate| grown(Ratio::from(estimate), before));
    let verdict = estimate.map(|estimate| estimate.verdict);
    let budget_check = budget_check(found, candidate, Reference::Baseline, gate);
    Ok(Some(BudgetCheck { limit: limit - 1.0, growth, verdict, ..budget_check }))
}

fn budget_check<'a>(
    found: &'a ConditionAnalysis,
    candidate: &'a str,
    against: Reference<'a>,
    gate: &'static str,
) -> BudgetCheck<'a> {
    BudgetCheck {
        condition: &found.condition,
        candidate,
        reference: against,
        gate,
        unit: "ratio",
        limit: 0.0,
        growth: None,
        verdict: None,
        finding: None,
        blocks: found.blocks,
    }
}

fn no_budget(found: &ConditionAnalysis, gate: &'static str, unit: &'static str) -> Error {
    Error::NoBudget { gate, unit, condition: describe(&found.condition) }
}

/// Negates an estimate: the reference's decrease is the candidate's increase.
fn turned(estimate: &Estimate) -> Estimate {
    Estimate { value: -estimate.value, low: -estimate.high, high: -estimate.low, ..estimate.clone() }
}

/// The growth from a stored ratio to the present one. The two runs are independent, so the distances from estimate to interval ends add in quadrature on the
/// log scale, where a ratio of ratios is a difference (Zou and Donner 2008, "Construction of confidence limits about effect measures").
pub fn grown(now: Ratio, before: Ratio) -> Growth {
    let ratio = (now.value / before.value).ln();
    let below = (now.value / now.low).ln().hypot((before.high / before.value).ln());
    let above = (now.high / now.value).ln().hypot((before.value / before.low).ln());
    Growth {
        value: ratio.exp_m1(),
        low: (ratio - below).exp_m1(),
        high: (ratio + above).exp_m1(),
        detectable: now.detectable.ln_1p().hypot(before.detectable.ln_1p()).exp_m1(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_runs_are_less_certain_than_one() {
        let ratio = |value: f64| Ratio { value, low: value / 1.03, high: value * 1.03, detectable: 0.04 };
        let growth = grown(ratio(1.8), ratio(1.5));
        assert!((growth.value - 0.2).abs() < 1e-9, "{growth:?}");
        let spread = (1.03_f64.ln() * 2.0_f64.sqrt()).exp();
        assert!((growth.low - (1.2 / spread - 1.0)).abs() < 1e-9, "{growth:?}");
        assert!((growth.high - (1.2 * spread - 1.0)).abs() < 1e-9, "{growth:?}");
        assert!(growth.detectable > 0.055 && growth.detectable < 0.058, "{growth:?}");
    }
}
