//! Compares each cell with its reference.

use std::collections::BTreeMap;

use super::blocks::Blocks;
use super::cell_contrasts::{CellContrast, estimate_contrasts};
use super::context::Context;
use super::estimate::Scale;
use super::{Comparison, Estimate, Verdict};
use crate::plan::CellKind;

/// A cell and its reference.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pair<'a> {
    pub cell: &'a str,
    pub reference: &'a str,
}

/// All pairs of cell and reference, in the plan's order.
pub fn pairs<'a>(context: &Context<'a>) -> Vec<Pair<'a>> {
    let cells = context.plan.cells.iter();
    cells.filter_map(|cell| Some(Pair { cell: &cell.id, reference: context.reference_of(cell)? })).collect()
}

/// Each built or external cell paired with the floor. Empty if the plan has no floor.
pub fn pairs_with_floor<'a>(context: &Context<'a>) -> Vec<Pair<'a>> {
    let cells = &context.plan.cells;
    let Some(floor) = cells.iter().find(|cell| cell.kind == CellKind::Floor) else { return Vec::new() };
    let compared = cells.iter().filter(|cell| matches!(cell.kind, CellKind::Build | CellKind::External { .. }));
    compared.map(|cell| Pair { cell: &cell.id, reference: &floor.id }).collect()
}

/// The comparisons of these pairs. Both gates of all pairs are one family; cells that share a program count once.
pub fn comparisons(context: &Context<'_>, condition: &str, blocks: &Blocks<'_>, pairs: &[Pair<'_>]) -> Vec<Comparison> {
    let mut programs: Vec<[&str; 2]> = Vec::new();
    for pair in pairs.iter().map(|pair| started(context, pair)).filter(|[cell, reference]| cell != reference) {
        if !programs.contains(&pair) {
            programs.push(pair);
        }
    }
    let sums: Vec<CellContrast<'_>> = programs
        .iter()
        .map(|pair| CellContrast {
            names: [&[condition], &pair[..]].concat(),
            cells: pair.to_vec(),
            weights: vec![1.0, -1.0],
        })
        .collect();
    let mut comparisons: Vec<Comparison> = pairs.iter().map(empty).collect();
    for scale in [Scale::Difference, Scale::LogRatio] {
        for (measure, estimates) in estimate_contrasts(context, blocks, &sums, scale, 1) {
            for (comparison, pair) in comparisons.iter_mut().zip(pairs) {
                let place = programs.iter().position(|program| *program == started(context, pair));
                let estimate = match place {
                    Some(place) => estimates.get(place).cloned().flatten(),
                    None => Some(no_op(scale)),
                };
                if let Some(estimate) = estimate {
                    side(comparison, scale).insert(measure.to_owned(), estimate);
                }
            }
        }
    }
    comparisons
}

/// The ids of the two cells that were started for a pair. They differ from the pair's own where several cells share a program.
fn started<'b>(context: &'b Context<'_>, pair: &Pair<'b>) -> [&'b str; 2] {
    [context.measured_as(pair.cell), context.measured_as(pair.reference)]
}

/// The estimate for two cells that have the same program; it needs no measurement.
pub fn no_op(scale: Scale) -> Estimate {
    let value = match scale {
        Scale::Difference => 0.0,
        Scale::LogRatio => 1.0,
    };
    Estimate {
        value,
        low: value,
        high: value,
        p: 1.0,
        detectable: 0.0,
        verdict: Verdict::NoOp,
        pairs: 0,
        family: 0,
        needed: None,
    }
}

fn empty(pair: &Pair<'_>) -> Comparison {
    Comparison {
        cell: pair.cell.to_owned(),
        reference: pair.reference.to_owned(),
        differences: BTreeMap::new(),
        ratios: BTreeMap::new(),
    }
}

fn side(comparison: &mut Comparison, scale: Scale) -> &mut BTreeMap<String, Estimate> {
    match scale {
        Scale::Difference => &mut comparison.differences,
        Scale::LogRatio => &mut comparison.ratios,
    }
}
