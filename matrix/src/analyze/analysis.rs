//! Computes the analysis of a run from its samples.

use std::collections::BTreeSet;

use super::blocks::Blocks;
use super::condition;
use super::context::Context;
use super::delivery;
use super::estimate::Bootstrap;
use super::{Analysis, Delivery};
use crate::build::BuildRecord;
use crate::measure::sample::Sample;
use crate::plan::circumstances::describe;
use crate::plan::{Alias, Condition, DELIVERY, Plan, SCHEMA};

/// Number of bootstrap resamples behind each confidence interval. A simulation that needs thousands of analyses may pass fewer to [`analyze`].
pub const RESAMPLES: usize = 3999;

/// Analyzes the samples of a run. `builds` says which cells have identical programs, and may be empty.
///
/// All randomness is drawn from the plan's seed: the same files give the same analysis.
pub fn analyze(plan: &Plan, builds: &[BuildRecord], samples: &[Sample], resamples: usize) -> Analysis {
    let context = Context::new(plan, builds, Bootstrap { seed: plan.seed, resamples });
    let mut notes = strangers(plan, samples);
    let mut deliveries = Vec::new();
    let mut aliases: Vec<Alias> = Vec::new();
    let conditions = plan.conditions.iter().map(|one| {
        let mut own = Vec::new();
        let blocks = sorted(plan, one, samples, &mut own);
        own.extend(interrupted(plan, &blocks));
        own.extend(condition::missing(&context, &blocks));
        let delivered = delivery::deliveries(&context, one, &blocks);
        let found = condition::analysis(&context, one, &blocks, &delivered, &mut own);
        merge(&mut aliases, found.aliases);
        deliveries.extend(delivered);
        let prefix = if plan.conditions.len() > 1 { format!("{}: ", describe(one)) } else { String::new() };
        notes.extend(own.into_iter().map(|note| format!("{prefix}{note}")));
        found.analysis
    });
    let conditions = conditions.collect();
    for untimed in untimed(samples) {
        let mut own = Vec::new();
        let blocks = sorted(plan, untimed, samples, &mut own);
        notes.extend(own.into_iter().map(|note| format!("{}: {note}", describe(untimed))));
        deliveries.extend(delivery::deliveries(&context, untimed, &blocks));
    }
    notes.extend(deliveries.iter().filter_map(tolerated));
    let (design, seed) = (plan.design.clone(), plan.seed);
    let plan_cells = plan.cells.iter().map(|cell| cell.id.clone()).collect();
    Analysis { schema: SCHEMA, design, seed, plan_cells, conditions, aliases, deliveries, notes }
}

/// Adds aliases that are not known yet. Other cells may be missing under another condition, so its aliases may differ.
fn merge(aliases: &mut Vec<Alias>, others: Vec<Alias>) {
    for other in others {
        match aliases.iter_mut().find(|alias| alias.effect == other.effect) {
            Some(alias) => {
                let new: Vec<String> = other.with.into_iter().filter(|name| !alias.with.contains(name)).collect();
                alias.with.extend(new);
            }
            None => aliases.push(other),
        }
    }
}

/// The conditions of the untimed (delivery) starts.
fn untimed(samples: &[Sample]) -> BTreeSet<&Condition> {
    samples.iter().map(|sample| &sample.condition).filter(|condition| condition.runtime == DELIVERY).collect()
}

/// A note about a failed start that does not count against its cell.
fn tolerated(delivery: &Delivery) -> Option<String> {
    let reason = delivery.reason.as_deref().filter(|_| !delivery.outcome.is_failure())?;
    Some(format!("{}, {}: {reason}.", describe(&delivery.condition), delivery.cell))
}

fn sorted<'a>(plan: &Plan, condition: &Condition, samples: &'a [Sample], notes: &mut Vec<String>) -> Blocks<'a> {
    let mut blocks = Blocks::default();
    let mut twice = 0_usize;
    for sample in samples.iter().filter(|sample| sample.condition == *condition && knows(plan, sample)) {
        twice += usize::from(blocks.add(sample).is_err());
    }
    if twice > 0 {
        notes.push(format!("Starts left out because their cell was started before in the same block: {twice}."));
    }
    blocks
}

/// A note about a run that was stopped, or of which a shard is missing.
fn interrupted(plan: &Plan, blocks: &Blocks<'_>) -> Option<String> {
    let (started, planned) = (blocks.all().len(), plan.blocks_here().count());
    (0 < started && started < planned).then(|| format!("Only {started} of {planned} planned blocks were started."))
}

fn knows(plan: &Plan, sample: &Sample) -> bool {
    plan.cells.iter().any(|cell| cell.id == sample.cell)
}

/// A note about samples whose cell or condition is not in the plan.
fn strangers(plan: &Plan, samples: &[Sample]) -> Vec<String> {
    let known = |sample: &&Sample| {
        let condition = &sample.condition;
        knows(plan, sample) && (condition.runtime == DELIVERY || plan.conditions.contains(condition))
    };
    let cells: BTreeSet<&str> =
        samples.iter().filter(|sample| !known(sample)).map(|sample| sample.cell.as_str()).collect();
    let names: Vec<&str> = cells.into_iter().collect();
    if names.is_empty() {
        return Vec::new();
    }
    vec![format!("Starts whose cell or condition is not in the plan were left out: {}.", names.join(", "))]
}
