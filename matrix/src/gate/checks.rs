//! Checks that are independent of times: what is delivered, and the control (A/A).

use super::baseline::Baseline;
use super::budget_checks::ComparedCells;
use super::{Budgets, Error, Outcome};
use crate::analyze::{Comparison, ConditionAnalysis, Delivery};
use crate::plan::{Cell, CellKind, Condition, Plan};
use crate::report::{Experiment, GATES};

/// A failed check.
#[derive(Clone, Debug)]
pub struct Check<'a> {
    pub condition: &'a Condition,
    /// `None` if it concerns the whole condition.
    pub cell: Option<&'a str>,
    pub outcome: Outcome,
    pub reason: String,
}

impl Check<'_> {
    pub fn sentence(&self) -> String {
        self.cell.map_or_else(|| self.reason.clone(), |cell| format!("{cell}: {}", self.reason))
    }
}

/// All failed checks: the payloads of candidates and reference under every condition and in the untimed starts, against each other and against the baseline,
/// and the control.
pub fn all<'a>(
    experiment: &'a Experiment,
    sides: &'a ComparedCells,
    budgets: &Budgets,
    baseline: Option<&Baseline>,
) -> Result<Vec<Check<'a>>, Error> {
    let mut checks: Vec<Check<'a>> = Vec::new();
    // A control is the same program as one of the sides, so what it loses, they lose. A control that was never started is reported as missing below.
    let is_control = |cell: &Cell| matches!(cell.kind, CellKind::Again { .. });
    let compared = |delivery: &&Delivery| {
        let control = experiment.plan.cells.iter().any(|cell| cell.id == delivery.cell && is_control(cell));
        let is_side = sides.candidates.iter().chain(&sides.reference).any(|side| *side == delivery.cell);
        is_side || control && delivery.starts + delivery.failed > 0
    };
    for delivery in experiment.analysis.deliveries.iter().filter(compared) {
        let check =
            |outcome, reason| Check { condition: &delivery.condition, cell: Some(&delivery.cell), outcome, reason };
        if delivery.outcome.is_failure() {
            checks.push(check(delivery.outcome.into(), delivery.reason.clone().unwrap_or_default()));
        } else if let Some(baseline) = baseline
            && sides.candidates.contains(&delivery.cell)
            && baseline.digest(delivery)? != delivery.digest.as_deref()
        {
            let reason = "it does not deliver what the baseline's program delivered".to_owned();
            checks.push(check(Outcome::PayloadMismatch, reason));
        }
    }
    for found in &experiment.analysis.conditions {
        let check = |cell, outcome, reason| Check { condition: &found.condition, cell, outcome, reason };
        checks.extend(control(&experiment.plan, found).map(|reason| check(None, Outcome::InvalidRun, reason)));
        if sides.reference.is_none() && baseline.is_none() {
            let unsure = |cell: &&'a String| Some((cell.as_str(), uncertain(found, cell, budgets)?));
            let unsure = sides.candidates.iter().filter_map(|cell| unsure(&cell));
            checks.extend(unsure.map(|(cell, reason)| check(Some(cell), Outcome::Inconclusive, reason)));
        }
    }
    Ok(checks)
}

/// Why the control invalidates this condition.
fn control(plan: &Plan, found: &ConditionAnalysis) -> Option<String> {
    if found.invalid.is_some() {
        return found.invalid.clone();
    }
    let is_control =
        |id: &str| plan.cells.iter().any(|cell| cell.id == id && matches!(cell.kind, CellKind::Again { .. }));
    let (controls, others): (Vec<&Comparison>, Vec<&Comparison>) =
        found.comparisons.iter().partition(|comparison| is_control(&comparison.cell));
    if controls.is_empty() {
        return Some("the control is missing: no program was started under two names".to_owned());
    }
    let controlled = controls.into_iter().filter_map(blocks).max();
    let compared = others.into_iter().chain(&found.to_floor).filter_map(blocks).max().unwrap_or_default();
    match controlled {
        None => Some("the control is missing: too few starts of it count".to_owned()),
        // The control says nothing about blocks in which it was not started.
        Some(blocks) if blocks * 2 < compared => {
            Some(format!("the control is missing from most blocks: it has {blocks}, and the others have {compared}"))
        }
        Some(_) => None,
    }
}

/// The number of blocks in which both gates of both cells were measured; `None` if a gate has no estimate.
fn blocks(comparison: &Comparison) -> Option<usize> {
    let pairs = GATES.iter().map(|gate| Some(comparison.differences.get(*gate)?.pairs));
    pairs.collect::<Option<Vec<_>>>()?.into_iter().min()
}

/// Why the ratios of a cell to the floor are too uncertain for a baseline.
fn uncertain(found: &ConditionAnalysis, cell: &str, budgets: &Budgets) -> Option<String> {
    let comparison = found.to_floor.iter().find(|comparison| comparison.cell == cell)?;
    GATES.into_iter().find_map(|gate| {
        let Some(estimate) = comparison.ratios.get(gate) else {
            return Some(format!("too few starts count for the ratio of its {gate} gate to the floor's"));
        };
        let limit = budgets.of(&found.condition, gate).ratio? - 1.0;
        (estimate.detectable > limit).then(|| {
            let (seen, limit) = (1.0 + estimate.detectable, 1.0 + limit);
            format!("growth of its {gate} gate by less than × {seen:.3} cannot be seen, and the budget is × {limit:.3}")
        })
    })
}
