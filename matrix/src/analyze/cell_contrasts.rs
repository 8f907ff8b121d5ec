//! Contrasts of cells: one value for each block, and the exactness of counts.

use super::Estimate;
use super::blocks::Blocks;
use super::context::Context;
use super::estimate::{Exactness, PairedDifferences, Scale, UncorrectedEstimate, family};
use crate::measure::sample::{MEASURES, Repeat};

/// The two gates that a condition is judged by, in the headline table of every report.
pub const GATES: [&str; 2] = ["register", "ready"];

/// Relative threshold below which a difference is a rounding error.
pub const ROUNDING: f64 = 1e-9;

/// A weighted sum of cells. A comparison is one cell minus another.
#[derive(Clone, Debug)]
pub struct CellContrast<'a> {
    /// Names that seed the random numbers of its intervals.
    pub names: Vec<&'a str>,
    /// The cells; empty if all of them have the same program.
    pub cells: Vec<&'a str>,
    pub weights: Vec<f64>,
}

/// The estimates of all these sums, by measure, at the indexes of the sums. Both gates are one family and all other measures another; `parts` is that of
/// [`family`].
pub fn estimate_contrasts<'a>(
    context: &Context<'_>,
    blocks: &Blocks<'a>,
    contrasts: &[CellContrast<'_>],
    scale: Scale,
    parts: usize,
) -> Vec<(&'a str, Vec<Option<Estimate>>)> {
    let (gates, others): (Vec<&str>, Vec<&str>) = blocks.measures().into_iter().partition(|name| GATES.contains(name));
    let mut estimates = Vec::new();
    for measures in [gates, others] {
        let estimate = |measure: &str, sum: &CellContrast<'_>| {
            let differences = paired_differences(blocks, sum, measure, scale)?;
            let names = [&sum.names[..], &[measure, scale.name()]].concat();
            UncorrectedEstimate::of(&differences, context.bootstrap, &names)
        };
        let uncorrected = measures.iter().flat_map(|measure| contrasts.iter().map(move |sum| estimate(measure, sum)));
        let mut all = family(&uncorrected.collect::<Vec<_>>(), parts).into_iter();
        estimates.extend(measures.into_iter().map(|measure| (measure, all.by_ref().take(contrasts.len()).collect())));
    }
    estimates
}

/// The paired differences of one sum in one measure. `None` if there is nothing to compare, or if the scale is a ratio and a value is zero.
pub fn paired_differences(
    blocks: &Blocks<'_>,
    sum: &CellContrast<'_>,
    measure: &str,
    scale: Scale,
) -> Option<PairedDifferences> {
    if sum.cells.is_empty() {
        return None;
    }
    let rows = blocks.rows(&sum.cells, measure);
    let transformed = |value: f64| match scale {
        Scale::Difference => Some(value),
        // A ratio to zero is undefined.
        Scale::LogRatio => (value > 0.0).then(|| value.ln()),
    };
    let row = |row: &Vec<f64>| row.iter().map(|&value| transformed(value)).collect();
    let rows: Vec<Vec<f64>> = rows.iter().map(row).collect::<Option<_>>()?;
    // All starts of a cell, not only the paired ones: an exact count is the same in all of them.
    let starts = |cell: &&str| blocks.starts(cell).map(|starts| starts.values(measure)).unwrap_or_default();
    let columns = sum.cells.iter().map(|cell| starts(cell).into_iter().filter_map(transformed).collect());
    let step = step(columns, &sum.weights);
    let repeat = MEASURES.iter().find(|known| known.name == measure).map(|known| known.repeat);
    let exactness = match repeat {
        Some(Repeat::Fixed) if step == 0.0 => Exactness::Fixed,
        Some(Repeat::Counted) if step == 0.0 => Exactness::Counted,
        _ => Exactness::Measured,
    };
    let values = rows.iter().map(|row| weighted(row, &sum.weights)).collect();
    Some(PairedDifferences { values, exactness, step, scale })
}

fn weighted(row: &[f64], weights: &[f64]) -> f64 {
    let products = || row.iter().zip(weights).map(|(value, weight)| value * weight);
    let (sum, size): (f64, f64) = (products().sum(), products().map(f64::abs).sum());
    if sum.abs() <= ROUNDING * size { 0.0 } else { sum }
}

/// The smallest step between two values of each cell, combined as errors are.
fn step(columns: impl Iterator<Item = Vec<f64>>, weights: &[f64]) -> f64 {
    let of_cell = |mut values: Vec<f64>| {
        values.sort_unstable_by(f64::total_cmp);
        let steps = values.windows(2).filter_map(|pair| Some((pair.last()? - pair.first()?, pair.last()?.abs())));
        let real = steps.filter(|(step, size)| *step > ROUNDING * size).map(|(step, _)| step);
        real.min_by(f64::total_cmp).unwrap_or(0.0)
    };
    columns.zip(weights).map(|(values, weight)| (weight * of_cell(values)).powi(2)).sum::<f64>().sqrt()
}
