//! The report as CSV: one number a line, unrounded.

use csv::Writer;

use super::Error;
use super::sections::{ConditionSection, Report};
use crate::analyze::{Effect, Estimate, Summary};

/// One line of the file.
struct Line<'a> {
    condition: &'a str,
    /// The cell, or for effects and interactions the factors.
    cell: &'a str,
    measure: &'a str,
    statistic: &'a str,
    value: String,
}

/// Writes the whole report: condition, cell, measure, statistic, value.
pub fn write(report: &Report) -> Result<String, Error> {
    let mut sheet = CsvWriter { writer: Writer::from_writer(Vec::new()) };
    sheet.writer.write_record(["condition", "cell", "measure", "statistic", "value"]).map_err(Error::Csv)?;
    for (number, note) in (1_u32..).zip(&report.experiment.analysis.notes) {
        let statistic = format!("note {number}");
        sheet.line(&Line { condition: "", cell: "", measure: "", statistic: &statistic, value: note.clone() })?;
    }
    for section in &report.sections {
        sheet.section(section)?;
    }
    let bytes = sheet.writer.into_inner().map_err(|error| Error::Csv(error.into_error().into()))?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

struct CsvWriter {
    writer: Writer<Vec<u8>>,
}

impl CsvWriter {
    fn section(&mut self, section: &ConditionSection) -> Result<(), Error> {
        let condition = section.title.as_str();
        for row in &section.rows {
            let cell = row.name();
            let starts = row.summary.starts.to_string();
            self.line(&Line { condition, cell, measure: "", statistic: "starts", value: starts })?;
            for (measure, summary) in &row.summary.measures {
                self.summary(condition, cell, measure, summary)?;
            }
            for (measure, ratio) in &row.to_floor {
                let value = ratio.to_string();
                self.line(&Line { condition, cell, measure, statistic: "ratio to floor", value })?;
            }
        }
        for comparison in &section.found.comparisons {
            let cell = comparison.cell.as_str();
            for (measure, estimate) in &comparison.differences {
                let what = format!("difference to {}", comparison.reference);
                self.estimate(&Line { condition, cell, measure, statistic: &what, value: String::new() }, estimate)?;
            }
            for (measure, estimate) in &comparison.ratios {
                let what = format!("ratio to {}", comparison.reference);
                self.estimate(&Line { condition, cell, measure, statistic: &what, value: String::new() }, estimate)?;
            }
        }
        self.effects(condition, "effect", &section.found.effects)?;
        self.effects(condition, "interaction", &section.found.interactions)
    }

    fn effects(&mut self, condition: &str, statistic: &str, effects: &[Effect]) -> Result<(), Error> {
        for effect in effects {
            let cell = effect.name.as_str();
            for (measure, estimate) in &effect.estimates {
                self.estimate(&Line { condition, cell, measure, statistic, value: String::new() }, estimate)?;
            }
        }
        Ok(())
    }

    fn summary(&mut self, condition: &str, cell: &str, measure: &str, summary: &Summary) -> Result<(), Error> {
        let statistics = [
            ("p10", Some(summary.p10)),
            ("p50", Some(summary.p50)),
            ("p90", Some(summary.p90)),
            ("p99", summary.p99),
            ("mean", Some(summary.mean)),
        ];
        for (statistic, value) in statistics {
            if let Some(value) = value {
                self.line(&Line { condition, cell, measure, statistic, value: value.to_string() })?;
            }
        }
        Ok(())
    }

    fn estimate(&mut self, line: &Line, estimate: &Estimate) -> Result<(), Error> {
        // The same verdict names as in the analysis.
        let verdict = serde_json::to_value(estimate.verdict).map_err(Error::Json)?;
        let parts = [
            ("", estimate.value.to_string()),
            (", low", estimate.low.to_string()),
            (", high", estimate.high.to_string()),
            (", p", estimate.p.to_string()),
            (", detectable", estimate.detectable.to_string()),
            (", verdict", verdict.as_str().unwrap_or_default().to_owned()),
            (", pairs", estimate.pairs.to_string()),
            (", family", estimate.family.to_string()),
        ];
        for (part, value) in parts {
            let statistic = format!("{}{part}", line.statistic);
            self.line(&Line { statistic: &statistic, value, ..*line })?;
        }
        Ok(())
    }

    fn line(&mut self, line: &Line) -> Result<(), Error> {
        let fields = [line.condition, line.cell, line.measure, line.statistic, &line.value];
        self.writer.write_record(fields).map_err(Error::Csv)
    }
}
