//! What each factor is worth in a designed experiment.

use std::collections::BTreeMap;

use super::Effect;
use super::blocks::{Blocks, is_counted};
use super::comparisons::no_op;
use super::context::Context;
use super::design::Contrast;
use super::estimate::{Answer, Question, Scale, family};

/// What is smaller than this share of the values it is computed from comes from rounding.
const ROUNDING: f64 = 1e-9;

/// The effects of these contrasts. All of one measure are one family.
pub fn effects(context: &Context<'_>, condition: &str, blocks: &Blocks<'_>, contrasts: &[Contrast]) -> Vec<Effect> {
    let started: Vec<Started<'_>> = contrasts.iter().map(|contrast| Started::of(context, contrast)).collect();
    let mut effects: Vec<Effect> = contrasts.iter().map(empty).collect();
    for measure in blocks.measures() {
        let answer = |started: &Started<'_>| {
            let question = started.question(blocks, measure)?;
            Answer::of(&question, context.bootstrap, &[condition, started.name, measure])
        };
        let estimates = family(&started.iter().map(answer).collect::<Vec<_>>());
        for ((effect, started), estimate) in effects.iter_mut().zip(&started).zip(estimates) {
            let same = started.cells.is_empty().then(|| no_op(Scale::Difference));
            if let Some(estimate) = same.or(estimate) {
                effect.estimates.insert(measure.to_owned(), estimate);
            }
        }
    }
    effects
}

/// A contrast of the cells that were started.
struct Started<'a> {
    name: &'a str,
    /// Empty if the factor changes no program.
    cells: Vec<&'a str>,
    weights: Vec<f64>,
}

impl<'a> Started<'a> {
    fn of(context: &'a Context<'_>, contrast: &'a Contrast) -> Self {
        let mut weights: BTreeMap<&str, f64> = BTreeMap::new();
        for (cell, weight) in &contrast.weights {
            *weights.entry(context.measured_as(cell)).or_default() += weight;
        }
        weights.retain(|_, weight| weight.abs() > ROUNDING);
        let (cells, weights) = weights.into_iter().unzip();
        Self { name: &contrast.name, cells, weights }
    }

    fn question(&self, blocks: &Blocks<'_>, measure: &str) -> Option<Question> {
        if self.cells.is_empty() {
            return None;
        }
        let values = blocks.rows(&self.cells, measure).iter().map(|row| self.sum(row)).collect();
        Some(Question { values, counted: is_counted(measure), scale: Scale::Difference })
    }

    fn sum(&self, row: &[f64]) -> f64 {
        let products = || row.iter().zip(&self.weights).map(|(value, weight)| value * weight);
        let (sum, size): (f64, f64) = (products().sum(), products().map(f64::abs).sum());
        if sum.abs() <= ROUNDING * size { 0.0 } else { sum }
    }
}

fn empty(contrast: &Contrast) -> Effect {
    Effect { name: contrast.name.clone(), estimates: BTreeMap::new() }
}
