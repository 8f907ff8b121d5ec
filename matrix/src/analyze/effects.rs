//! Estimates the effects of a designed experiment.

use std::collections::BTreeMap;

use super::blocks::Blocks;
use super::cell_contrasts::{CellContrast, ROUNDING, estimate_contrasts};
use super::comparisons::no_op;
use super::context::Context;
use super::design::Contrast;
use super::estimate::Scale;
use super::{Effect, Verdict};

/// The effects of these contrasts. Both gates of all contrasts are one family, which gets one of `parts` equal shares of the false alarm rate.
pub fn effects(
    context: &Context<'_>,
    condition: &str,
    blocks: &Blocks<'_>,
    contrasts: &[Contrast],
    parts: usize,
) -> Vec<Effect> {
    let sums: Vec<CellContrast<'_>> = contrasts.iter().map(|contrast| started(context, condition, contrast)).collect();
    let mut effects: Vec<Effect> = contrasts.iter().map(empty).collect();
    for (measure, estimates) in estimate_contrasts(context, blocks, &sums, Scale::Difference, parts) {
        for (((effect, contrast), sums), estimate) in effects.iter_mut().zip(contrasts).zip(&sums).zip(estimates) {
            // The factor changes no program.
            let same = sums.cells.is_empty().then(|| no_op(Scale::Difference));
            if let Some(mut estimate) = same.or(estimate) {
                // A confounded effect may be its alias, and an alias may cancel a real effect.
                let is_decided = !matches!(estimate.verdict, Verdict::NoOp | Verdict::Inconclusive);
                if contrast.is_confounded() && is_decided {
                    (estimate.verdict, estimate.needed) = (Verdict::Inconclusive, None);
                }
                effect.estimates.insert(measure.to_owned(), estimate);
            }
        }
    }
    effects
}

/// A contrast in terms of the programs that were started.
fn started<'a>(context: &'a Context<'_>, condition: &'a str, contrast: &'a Contrast) -> CellContrast<'a> {
    let mut weights: BTreeMap<&str, f64> = BTreeMap::new();
    for (cell, weight) in &contrast.weights {
        *weights.entry(context.measured_as(cell)).or_default() += weight;
    }
    weights.retain(|_, weight| weight.abs() > ROUNDING);
    let (cells, weights) = weights.into_iter().unzip();
    CellContrast { names: vec![condition, &contrast.name], cells, weights }
}

fn empty(contrast: &Contrast) -> Effect {
    Effect {
        name: contrast.name.clone(),
        direction: contrast.direction.clone(),
        aliases: contrast.aliases.iter().map(|alias| alias.name.clone()).collect(),
        estimates: BTreeMap::new(),
    }
}
