//! Analyzes the starts of one condition.

use std::collections::{BTreeMap, BTreeSet};

use super::blocks::{Blocks, Starts};
use super::comparisons::{Pair, comparisons, pairs, pairs_with_floor};
use super::context::Context;
use super::control::{self, Bias};
use super::delivery::{Delivery, DeliveryOutcome, failures, outcomes};
use super::design::{EstimableEffects, contrasts};
use super::effects::effects;
use super::estimate::ENOUGH;
use super::summary::summary;
use super::{CellSummary, ConditionAnalysis, Direction, Estimate, Verdict};
use crate::measure::sample::Phase;
use crate::plan::{Alias, AppSec, Cell, CellKind, Condition};

/// Analyzes one condition and appends notes for the reader to `notes`.
pub fn analysis(
    context: &Context<'_>,
    condition: &Condition,
    blocks: &Blocks<'_>,
    delivered: &[Delivery],
    notes: &mut Vec<String>,
) -> ConditionResult {
    let cells = &context.plan.cells;
    let biases = control::biases(context, condition, blocks);
    let all: Vec<Pair<'_>> = pairs(context);
    let seed = seed(condition);
    let mut analysis = ConditionAnalysis {
        condition: condition.clone(),
        blocks: blocks.complete(&started(context, blocks)).len(),
        cells: cells.iter().map(|cell| cell_summary(cell, blocks, delivered)).collect(),
        comparisons: comparisons(context, &seed, blocks, &all),
        to_floor: comparisons(context, &seed, blocks, &pairs_with_floor(context)),
        effects: Vec::new(),
        interactions: Vec::new(),
        invalid: biases.first().filter(|bias| bias.is_of_a_gate()).map(|bias| bias.reason.clone()),
    };
    let outcomes = outcomes(delivered);
    let found = designed(context, blocks, &outcomes, notes);
    // Effects and interactions are read as one list of results, so they share the false alarm rate.
    let parts = 1 + usize::from(!found.interactions.is_empty());
    analysis.effects = effects(context, &seed, blocks, &found.mains, parts);
    analysis.interactions = effects(context, &seed, blocks, &found.interactions, parts);
    notes.extend(directions(&analysis));
    notes.extend(lost(context, &found));
    notes.extend(confounded(&found));
    notes.extend(too_few(&analysis));
    let others = biases.iter().filter(|bias| analysis.invalid.is_none() && !bias.is_of_a_gate());
    notes.extend(others.map(|bias| format!("No verdict about {}: {}", bias.measure, bias.reason)));
    apply_controls(context, &mut analysis);
    overrule(&mut analysis, &outcomes, &biases);
    ConditionResult { analysis, aliases: found.aliases }
}

/// The text that the random draws of a condition are seeded with. It keeps this form, so that the same files give the same analysis in every version.
fn seed(condition: &Condition) -> String {
    let Condition { memory_mb, regime, cache, platform, trust_store, runtime, fault, appsec } = condition;
    let appsec = if *appsec == AppSec::On { ", appsec: On" } else { "" };
    format!(
        "Condition {{ memory_mb: {memory_mb}, regime: {regime:?}, cache: {cache:?}, platform: {platform:?}, \
         trust_store: {trust_store:?}, runtime: {runtime:?}, disturbance: {fault:?}{appsec} }}"
    )
}

/// The results of one condition, with the aliases of its cells.
pub struct ConditionResult {
    pub analysis: ConditionAnalysis,
    pub aliases: Vec<Alias>,
}

/// The cells with at least one start that counts.
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

/// The mean of each checkpoint over the starts that have it, in the order of first appearance.
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

/// The effects that the design can estimate from the remaining cells: those that were started in at least every other block and deliver what the reference
/// delivers.
fn designed(
    context: &Context<'_>,
    blocks: &Blocks<'_>,
    outcomes: &BTreeMap<&str, DeliveryOutcome>,
    notes: &mut Vec<String>,
) -> EstimableEffects {
    let plan = context.plan;
    if plan.factors.is_empty() {
        return EstimableEffects::default();
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
    contrasts(&plan.factors, plan.cells.first(), &kept)
}

fn mismatches(outcomes: &BTreeMap<&str, DeliveryOutcome>, id: &str) -> bool {
    outcomes.get(id) == Some(&DeliveryOutcome::PayloadMismatch)
}

/// Notes that state the direction of the effect of each factor whose levels are values instead of on and off.
fn directions(analysis: &ConditionAnalysis) -> Vec<String> {
    let directions = analysis.effects.iter().filter_map(|effect| Some((&effect.name, effect.direction.as_ref()?)));
    let axes = directions.filter(|(_, direction)| direction.to != "on" || direction.from != "off");
    axes.map(|(name, Direction { from, to })| format!("The effect of {name} is that of going from {from} to {to}."))
        .collect()
}

/// A note that names the effects which the plan could estimate and these cells cannot.
fn lost(context: &Context<'_>, found: &EstimableEffects) -> Option<String> {
    let is_known = |name: &str| name.contains('*') && context.plan.aliases.iter().any(|alias| alias.effect == name);
    let lost: Vec<&str> = found.lost.iter().map(String::as_str).filter(|name| !is_known(name)).collect();
    (!lost.is_empty()).then(|| {
        format!("These effects can't be estimated from the cells that count, and are left out: {}.", lost.join(", "))
    })
}

/// A note that names the main effects which are confounded with an interaction.
fn confounded(found: &EstimableEffects) -> Option<String> {
    let names: Vec<&str> =
        found.mains.iter().filter(|main| main.is_confounded()).map(|main| main.name.as_str()).collect();
    (!names.is_empty()).then(|| {
        format!(
            "The cells that count do not separate these main effects from interactions, so none of them is called found: {}.",
            names.join(", ")
        )
    })
}

/// A note about comparisons and effects with fewer than [`ENOUGH`] blocks: with so few, all differences have the same sign by chance too often.
fn too_few(analysis: &ConditionAnalysis) -> Option<String> {
    let compared =
        analysis.comparisons.iter().map(|one| (format!("{} against {}", one.cell, one.reference), &one.differences));
    let effects = analysis.effects.iter().chain(&analysis.interactions);
    let all = compared.chain(effects.map(|effect| (format!("the effect of {}", effect.name), &effect.estimates)));
    let few: Vec<String> = all
        .filter_map(|(name, estimates)| {
            let pairs =
                estimates.values().filter(|estimate| estimate.family > 0).map(|estimate| estimate.pairs).min()?;
            (pairs < ENOUGH).then(|| format!("{name} ({pairs})"))
        })
        .collect();
    (!few.is_empty()).then(|| {
        format!(
            "A measured difference has no verdict before it has {ENOUGH} blocks with a start of each of its cells. \
             There are fewer of: {}.",
            few.join(", ")
        )
    })
}

/// Replaces "faster" and "slower" of controls. [`biases`](super::control::biases) tests the controls at their own level; a verdict of another test does not
/// count.
fn apply_controls(context: &Context<'_>, analysis: &mut ConditionAnalysis) {
    let is_control =
        |id: &str| context.plan.cells.iter().any(|cell| cell.id == id && matches!(cell.kind, CellKind::Again { .. }));
    for comparison in analysis.comparisons.iter_mut().filter(|comparison| is_control(&comparison.cell)) {
        for estimate in comparison.differences.values_mut().chain(comparison.ratios.values_mut()) {
            if matches!(estimate.verdict, Verdict::Faster | Verdict::Slower) {
                estimate.verdict = Verdict::NoDetectableChange;
            }
        }
    }
}

/// Replaces verdicts that a payload mismatch or a biased control overrules. A payload mismatch comes first, because a quieter machine would not change it.
fn overrule(analysis: &mut ConditionAnalysis, outcomes: &BTreeMap<&str, DeliveryOutcome>, biases: &[Bias]) {
    let is_invalid = analysis.invalid.is_some();
    let is_biased = |measure: &str| is_invalid || biases.iter().any(|bias| bias.measure == measure);
    let overruled = |(measure, estimate): (&String, &mut Estimate), mismatch: bool| match estimate.verdict {
        Verdict::NoOp => {}
        _ if mismatch => estimate.verdict = Verdict::DigestMismatch,
        _ if is_biased(measure) => estimate.verdict = Verdict::InvalidRun,
        _ => {}
    };
    for comparison in &mut analysis.comparisons {
        let mismatch = mismatches(outcomes, &comparison.cell) || mismatches(outcomes, &comparison.reference);
        let estimates = comparison.differences.iter_mut().chain(&mut comparison.ratios);
        estimates.for_each(|estimate| overruled(estimate, mismatch));
    }
    for comparison in &mut analysis.to_floor {
        let estimates = comparison.differences.iter_mut().chain(&mut comparison.ratios);
        estimates.for_each(|estimate| overruled(estimate, false));
    }
    for effect in analysis.effects.iter_mut().chain(&mut analysis.interactions) {
        effect.estimates.iter_mut().for_each(|estimate| overruled(estimate, false));
    }
}

/// A note that names the cells that were planned and have no start that counts.
pub fn missing(context: &Context<'_>, blocks: &Blocks<'_>) -> Option<String> {
    let started: BTreeSet<&str> = started(context, blocks).into_iter().collect();
    let ids = context.plan.cells.iter().map(|cell| cell.id.as_str());
    let missing: Vec<&str> = ids.filter(|id| !started.contains(context.measured_as(id))).collect();
    (!missing.is_empty()).then(|| format!("No start counts of {}.", missing.join(", ")))
}
