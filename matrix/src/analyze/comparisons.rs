//! Each cell against the reference.

use std::collections::BTreeMap;

use super::blocks::{Blocks, is_counted};
use super::context::Context;
use super::estimate::{Answer, Question, Scale, family};
use super::{Comparison, Estimate, Verdict};
use crate::plan::CellKind;

/// A cell and what it is compared with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pair<'a> {
    pub cell: &'a str,
    pub reference: &'a str,
}

/// All pairs of a plan, in its order.
pub fn pairs<'a>(context: &Context<'a>) -> Vec<Pair<'a>> {
    let cells = context.plan.cells.iter();
    cells.filter_map(|cell| Some(Pair { cell: &cell.id, reference: context.reference_of(cell)? })).collect()
}

/// Every cell that is built or from elsewhere, with the floor. None where there is no floor in the plan.
pub fn pairs_with_floor<'a>(context: &Context<'a>) -> Vec<Pair<'a>> {
    let cells = &context.plan.cells;
    let Some(floor) = cells.iter().find(|cell| cell.kind == CellKind::Floor) else { return Vec::new() };
    let compared = cells.iter().filter(|cell| matches!(cell.kind, CellKind::Build | CellKind::External { .. }));
    compared.map(|cell| Pair { cell: &cell.id, reference: &floor.id }).collect()
}

/// The comparisons of these pairs. All of one measure are one family; a program that stands for several cells counts once.
pub fn comparisons(context: &Context<'_>, condition: &str, blocks: &Blocks<'_>, pairs: &[Pair<'_>]) -> Vec<Comparison> {
    let mut asked: Vec<[&str; 2]> = Vec::new();
    for pair in pairs.iter().map(|pair| started(context, pair)).filter(|[cell, reference]| cell != reference) {
        if !asked.contains(&pair) {
            asked.push(pair);
        }
    }
    let mut comparisons: Vec<Comparison> = pairs.iter().map(empty).collect();
    for measure in blocks.measures() {
        for scale in [Scale::Difference, Scale::LogRatio] {
            let answer = |pair: &[&str; 2]| {
                let question = question(blocks, *pair, measure, scale)?;
                Answer::of(&question, context.bootstrap, &[condition, pair[0], pair[1], measure, scale.name()])
            };
            let answers: Vec<Option<Answer>> = asked.iter().map(answer).collect();
            let estimates = family(&answers);
            for (comparison, pair) in comparisons.iter_mut().zip(pairs) {
                let place = asked.iter().position(|asked| *asked == started(context, pair));
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

/// Which two programs stand for a pair.
fn started<'b>(context: &'b Context<'_>, pair: &Pair<'b>) -> [&'b str; 2] {
    [context.measured_as(pair.cell), context.measured_as(pair.reference)]
}

fn question(blocks: &Blocks<'_>, pair: [&str; 2], measure: &str, scale: Scale) -> Option<Question> {
    let paired = |row: &Vec<f64>| match (row.first(), row.last(), scale) {
        (Some(cell), Some(reference), Scale::Difference) => Some(cell - reference),
        // Nothing is a multiple of nothing.
        (Some(&cell), Some(&reference), Scale::LogRatio) if cell > 0.0 && reference > 0.0 => {
            Some(cell.ln() - reference.ln())
        }
        _ => None,
    };
    let values: Option<Vec<f64>> = blocks.rows(&pair, measure).iter().map(paired).collect();
    Some(Question { values: values?, counted: is_counted(measure), scale })
}

/// What is known of two cells that are one program, without a measurement.
pub fn no_op(scale: Scale) -> Estimate {
    let value = match scale {
        Scale::Difference => 0.0,
        Scale::LogRatio => 1.0,
    };
    Estimate { value, low: value, high: value, p: 1.0, detectable: 0.0, verdict: Verdict::NoOp }
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
