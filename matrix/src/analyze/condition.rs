//! Everything about one condition.

use std::collections::{BTreeMap, BTreeSet};

use super::blocks::{Blocks, Starts};
use super::comparisons::{Pair, comparisons, pairs, pairs_with_floor};
use super::context::Context;
use super::control;
use super::delivery::{Delivery, DeliveryOutcome, failures, outcomes};
use super::design::{Contrasts, contrasts};
use super::effects::effects;
use super::estimate::blocks_needed;
use super::summary::summary;
use super::{CellSummary, ConditionAnalysis, Estimate, Verdict};
use crate::measure::sample::Phase;
use crate::plan::{Cell, CellKind, Condition};

/// The analysis of one condition; what a reader has to know beside it is added to `notes`.
pub fn analysis(
    context: &Context<'_>,
    condition: &Condition,
    blocks: &Blocks<'_>,
    delivered: &[Delivery],
    notes: &mut Vec<String>,
) -> ConditionAnalysis {
    let cells = &context.plan.cells;
    let void = control::void(context, condition, blocks);
    let all: Vec<Pair<'_>> = pairs(context);
    let seed = format!("{condition:?}");
    let mut analysis = ConditionAnalysis {
        condition: condition.clone(),
        blocks: blocks.complete(&started(context, blocks)).len(),
        cells: cells.iter().map(|cell| cell_summary(cell, blocks, delivered)).collect(),
        comparisons: comparisons(context, &seed, blocks, &all),
        to_floor: comparisons(context, &seed, blocks, &pairs_with_floor(context)),
        effects: Vec::new(),
        interactions: Vec::new(),
        void,
    };
    let outcomes = outcomes(delivered);
    let found = designed(context, blocks, &outcomes, notes);
    analysis.effects = effects(context, &seed, blocks, &found.mains);
    analysis.interactions = effects(context, &seed, blocks, &found.interactions);
    notes.extend(found.directions.iter().cloned());
    notes.extend(lost(&found.lost));
    notes.extend(too_few(&analysis));
    overrule(&mut analysis, &outcomes);
    analysis
}

/// The cells that have a start that counts.
fn started<'a>(context: &'a Context<'_>, blocks: &Blocks<'_>) -> Vec<&'a str> {
    let ids = context.plan.cells.iter().map(|cell| cell.id.as_str());
    ids.filter(|id| blocks.starts(id).is_some_and(|starts| !starts.good.is_empty())).collect()
}

fn cell_summary(cell: &Cell, blocks: &Blocks<'_>, delivered: &[Delivery]) -> CellSummary {
    let none = Starts::default();
    let starts = blocks.starts(&cell.id).unwrap_or(&none);
    let first = starts.good.values().chain(starts.failed.values()).next();
    let measures = blocks.measures().into_iter();
    CellSummary {
        cell: cell.id.clone(),
        program: first.map(|start| start.program.clone()).unwrap_or_default(),
        starts: starts.good.len(),
        failures: failures(starts),
        digest: delivered.iter().find(|delivery| delivery.cell == cell.id).and_then(|delivery| delivery.digest.clone()),
        measures: measures.filter_map(|name| Some((name.to_owned(), summary(starts.values(name))?))).collect(),
        phases: phases(starts),
    }
}

/// The mean of each checkpoint over the starts that have it, in the order in which they are first met.
fn phases(starts: &Starts<'_>) -> Vec<Phase> {
    let mut names: Vec<&str> = Vec::new();
    let mut times: BTreeMap<&str, Vec<f64>> = BTreeMap::new();
    for phase in starts.good.values().flat_map(|start| &start.phases) {
        let of_phase = times.entry(&phase.name).or_default();
        if of_phase.is_empty() {
            names.push(&phase.name);
        }
        of_phase.push(phase.at_ms);
    }
    let mean = |name: &str| Some(summary(times.get(name)?.clone())?.mean);
    names.into_iter().filter_map(|name| Some(Phase { name: name.to_owned(), at_ms: mean(name)? })).collect()
}

/// What the design can tell of the cells that are left: those that were started in at least every other block, and that deliver what
/// the reference delivers.
fn designed(
    context: &Context<'_>,
    blocks: &Blocks<'_>,
    outcomes: &BTreeMap<&str, DeliveryOutcome>,
    notes: &mut Vec<String>,
) -> Contrasts {
    let plan = context.plan;
    if plan.factors.is_empty() {
        return Contrasts::default();
    }
    let all = blocks.all().len();
    let enough = |cell: &Cell| blocks.complete(&[context.measured_as(&cell.id)]).len() * 2 >= all.max(1);
    let (kept, dropped): (Vec<&Cell>, Vec<&Cell>) = plan
        .cells
        .iter()
        .filter(|cell| cell.kind == CellKind::Build)
        .partition(|cell| enough(cell) && !mismatches(outcomes, &cell.id));
    if !dropped.is_empty() {
        let names: Vec<&str> = dropped.iter().map(|cell| cell.id.as_str()).collect();
        notes.push(format!("Effects were estimated without {}: too few starts, or another digest.", names.join(", ")));
    }
    contrasts(&plan.factors, &kept, &plan.aliases)
}

fn mismatches(outcomes: &BTreeMap<&str, DeliveryOutcome>, id: &str) -> bool {
    outcomes.get(id) == Some(&DeliveryOutcome::PayloadMismatch)
}

fn lost(effects: &[String]) -> Option<String> {
    const SHOWN: usize = 6;
    let shown: Vec<&str> = effects.iter().map(String::as_str).take(SHOWN).collect();
    let more = match effects.len().checked_sub(SHOWN) {
        Some(more @ 1..) => format!(" and {more} more"),
        _ => String::new(),
    };
    let names = shown.join(", ");
    (!shown.is_empty())
        .then(|| format!("The cells do not tell these effects apart, and they are left out: {names}{more}."))
}

/// Flipping the signs of a few blocks gives too few arrangements for any of them to be surprising.
fn too_few(analysis: &ConditionAnalysis) -> Option<String> {
    let estimated = |estimate: &Estimate| estimate.verdict != Verdict::NoOp;
    let compared =
        analysis.comparisons.iter().filter(|comparison| comparison.differences.values().any(estimated)).count();
    let asked = compared.max(analysis.effects.len()).max(analysis.interactions.len());
    let needed = blocks_needed(asked);
    let few = asked > 0 && (1..needed).contains(&analysis.blocks);
    few.then(|| {
        format!(
            "Complete blocks: {}. Before any of {asked} timed differences can be told from chance, however large, it takes {needed}.",
            analysis.blocks
        )
    })
}

/// What is known beside the numbers goes before them. A digest goes before noise, as no quiet machine would change it.
fn overrule(analysis: &mut ConditionAnalysis, outcomes: &BTreeMap<&str, DeliveryOutcome>) {
    let void = analysis.void.is_some();
    let overruled = |estimate: &mut Estimate, mismatch: bool| match estimate.verdict {
        Verdict::NoOp => {}
        _ if mismatch => estimate.verdict = Verdict::DigestMismatch,
        _ if void => estimate.verdict = Verdict::Void,
        _ => {}
    };
    for comparison in &mut analysis.comparisons {
        let mismatch = mismatches(outcomes, &comparison.cell) || mismatches(outcomes, &comparison.reference);
        let estimates = comparison.differences.values_mut().chain(comparison.ratios.values_mut());
        estimates.for_each(|estimate| overruled(estimate, mismatch));
    }
    for comparison in &mut analysis.to_floor {
        let estimates = comparison.differences.values_mut().chain(comparison.ratios.values_mut());
        estimates.for_each(|estimate| overruled(estimate, false));
    }
    for effect in analysis.effects.iter_mut().chain(&mut analysis.interactions) {
        effect.estimates.values_mut().for_each(|estimate| overruled(estimate, false));
    }
}

/// Cells that were to be started and have no start that counts.
pub fn missing(context: &Context<'_>, blocks: &Blocks<'_>) -> Option<String> {
    let started: BTreeSet<&str> = started(context, blocks).into_iter().collect();
    let ids = context.plan.cells.iter().map(|cell| cell.id.as_str());
    let missing: Vec<&str> = ids.filter(|id| !started.contains(context.measured_as(id))).collect();
    (!missing.is_empty()).then(|| format!("No start counts of {}.", missing.join(", ")))
}
