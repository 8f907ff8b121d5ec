//! Summary statistics of one measure.

use super::Summary;
use super::location::to_f64;

/// Minimum number of values for a 99th percentile: five values lie beyond it then, so it is not just the maximum.
const ENOUGH_FOR_P99: usize = 500;

/// The summary of these values; `None` for none.
pub fn summary(mut values: Vec<f64>) -> Option<Summary> {
    values.sort_unstable_by(f64::total_cmp);
    let mean = values.iter().sum::<f64>() / to_f64(values.len());
    let p99 = if values.len() >= ENOUGH_FOR_P99 { quantile(&values, 0.99) } else { None };
    Some(Summary {
        p10: quantile(&values, 0.1)?,
        p50: quantile(&values, 0.5)?,
        p90: quantile(&values, 0.9)?,
        p99,
        mean,
        values,
    })
}

/// The quantile of values in ascending order, interpolated linearly between the two nearest; 0 is the minimum and 1 the maximum (definition 7 of Hyndman and
/// Fan 1996, the default of R and `NumPy`).
pub fn quantile(sorted: &[f64], probability: f64) -> Option<f64> {
    let place = to_f64(sorted.len().checked_sub(1)?) * probability;
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a place among the values")]
    let below = place.floor() as usize;
    let low = sorted.get(below)?;
    let high = sorted.get(below + 1).unwrap_or(low);
    Some(low + (high - low) * (place - place.floor()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_linear_between_values() {
        let summary = summary(vec![4.0, 1.0, 3.0, 2.0, 5.0]).unwrap();
        assert!((summary.p10 - 1.4).abs() < 1e-12 && (summary.p90 - 4.6).abs() < 1e-12, "{summary:?}");
        assert!((summary.p50 - 3.0).abs() < 1e-12 && (summary.mean - 3.0).abs() < 1e-12);
        assert_eq!(summary.values, [1.0, 2.0, 3.0, 4.0, 5.0]);
    }

    #[test]
    fn one_in_a_hundred_needs_five_hundred() {
        let values = |count: u32| (0..count).map(f64::from).collect();
        assert_eq!(summary(values(499)).unwrap().p99, None);
        assert!((summary(values(501)).unwrap().p99.unwrap() - 495.0).abs() < 1e-9);
    }

    #[test]
    fn nothing_has_no_summary() {
        assert_eq!(summary(Vec::new()), None);
    }
}
