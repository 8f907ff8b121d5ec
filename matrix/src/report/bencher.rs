//! The gates in Bencher's JSON for `--adapter json`: one benchmark for each cell and condition, one measure for each gate, with the ends of the interval.
//!
//! <https://bencher.dev/docs/reference/bencher-metric-format>: a benchmark name has at most 1024 characters, a measure name 64. Bencher creates a measure that
//! it does not know.

use std::collections::BTreeMap;

use serde::Serialize;

use super::Error;
use super::benchstat::{delivers, parts};
use super::sections::{ConditionSection, GATES, Report, Row};
use crate::analyze::Estimate;

/// Metrics by measure name.
type Measures = BTreeMap<String, Metric>;

#[derive(Serialize)]
struct Metric {
    value: f64,
    lower_value: f64,
    upper_value: f64,
}

/// Writes the cells that deliver under valid conditions. Each gate gets its median, with the 10th and 90th percentiles as bounds, and its ratio to the floor,
/// with the confidence interval. Only the ratios can be compared between machines.
pub fn write(report: &Report) -> Result<String, Error> {
    let sections = report.sections.iter().filter(|section| section.found.invalid.is_none());
    let benchmarks: BTreeMap<String, Measures> = sections.flat_map(|section| of_section(report, section)).collect();
    Ok(serde_json::to_string_pretty(&benchmarks).map_err(Error::Json)? + "\n")
}

fn of_section<'a>(
    report: &'a Report,
    section: &'a ConditionSection<'_>,
) -> impl Iterator<Item = (String, Measures)> + 'a {
    let place = parts(&section.found.condition);
    let rows = section
        .rows
        .iter()
        .filter(|row| delivers(report, row.name()))
        .map(move |row| (format!("{}{place}", row.name()), of_row(section, row)));
    rows.filter(|(_, measures)| !measures.is_empty())
}

fn of_row(section: &ConditionSection, row: &Row) -> Measures {
    let to_floor = section.found.to_floor.iter().find(|comparison| comparison.cell == row.name());
    let mut measures = Measures::new();
    for gate in GATES {
        if let Some(summary) = row.measure(gate) {
            let metric = Metric { value: summary.p50, lower_value: summary.p10, upper_value: summary.p90 };
            measures.insert(format!("{gate}-ms"), metric);
        }
        if let Some(Estimate { value, low, high, .. }) = to_floor.and_then(|comparison| comparison.ratios.get(gate)) {
            let metric = Metric { value: *value, lower_value: *low, upper_value: *high };
            measures.insert(format!("{gate}-to-floor"), metric);
        }
    }
    measures
}
