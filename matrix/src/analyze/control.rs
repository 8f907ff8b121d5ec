//! The control (A/A): the same program under two names must not differ. If it does, the measurement is biased.
//!
//! The control shows bias and nothing else. Noise that affects both names alike does not make them differ; it widens the confidence intervals.

use super::blocks::Blocks;
use super::cell_contrasts::{CellContrast, GATES, paired_differences};
use super::context::Context;
use super::estimate::{ENOUGH, Exactness, Scale, p_value};
use super::interval::BootstrapDistribution;
use crate::measure::sample::MEASURES;
use crate::plan::{Cell, CellKind, Condition};

/// Upper bound of the rate at which a condition of an unbiased run is invalidated. All checks of the condition share it.
const FALSE_ALARMS: f64 = 0.01;

/// A measure in which a control differs from its original.
#[derive(Clone, Debug, PartialEq)]
pub struct Bias {
    pub measure: String,
    pub reason: String,
}

impl Bias {
    /// Whether the measure is a gate; a biased gate invalidates the condition.
    pub fn is_of_a_gate(&self) -> bool {
        GATES.contains(&self.measure.as_str())
    }
}

/// Every measure in which a control differs from its original, gates first.
pub fn biases(context: &Context<'_>, condition: &Condition, blocks: &Blocks<'_>) -> Vec<Bias> {
    let checks: Vec<Check<'_>> = checks(context, condition, blocks);
    let level = FALSE_ALARMS / super::location::to_f64(checks.len().max(1));
    let mut biases: Vec<Bias> =
        checks.iter().filter(|check| p_value(&check.interval) <= level).map(|check| check.bias(level)).collect();
    biases.sort_by_key(|bias| !bias.is_of_a_gate());
    biases
}

struct Check<'a> {
    again: &'a str,
    of: &'a str,
    measure: &'a str,
    interval: BootstrapDistribution,
}

impl Check<'_> {
    fn bias(&self, level: f64) -> Bias {
        let Self { again, of, measure, interval } = self;
        let unit = MEASURES.iter().find(|known| known.name == *measure).map_or("", |known| known.unit);
        let reason = format!(
            "{again} is the same program as {of}, but its {measure} differs by {:.3} {unit} (p = {:.1e}, and {level:.1e} is little enough): the \
             measurement is biased.",
            interval.location.mean,
            p_value(interval),
        );
        Bias { measure: (*measure).to_owned(), reason }
    }
}

fn checks<'a>(context: &Context<'a>, condition: &Condition, blocks: &Blocks<'a>) -> Vec<Check<'a>> {
    let controls = context.plan.cells.iter().filter_map(|Cell { id, kind, .. }| match kind {
        CellKind::Again { of } => Some((id.as_str(), of.as_str())),
        _ => None,
    });
    let seed = format!("{condition:?}");
    let mut checks = Vec::new();
    for (again, of) in controls {
        let names = vec!["control", seed.as_str(), again];
        let pair = CellContrast { names, cells: vec![again, context.measured_as(of)], weights: vec![1.0, -1.0] };
        for measure in blocks.measures() {
            let interval = paired_differences(blocks, &pair, measure, Scale::Difference).and_then(|differences| {
                let names = [&pair.names[..], &[measure]].concat();
                let interval = context.bootstrap.interval(&differences, &names)?;
                // Two equal starts do not prove that a third is equal.
                let shows = differences.exactness == Exactness::Fixed
                    || interval.location.error > 0.0
                    || differences.values.len() >= ENOUGH;
                shows.then_some(interval)
            });
            checks.extend(interval.map(|interval| Check { again, of, measure, interval }));
        }
    }
    checks
}
