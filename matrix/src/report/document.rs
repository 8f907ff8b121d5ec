//! The report as JSON: the analysis, with the sentences that the other formats show.

use serde::Serialize;

use super::Error;
use super::alarm::{Alarm, Severity};
use super::provenance::Provenance;
use super::sections::{ConditionSection, Finding, Kind, Report};
use super::words;
use crate::analyze::{Analysis, Direction, Verdict};
use crate::plan::SCHEMA;

#[derive(Serialize)]
struct Document<'a> {
    schema: u32,
    summary: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    measured_on: Option<Provenance<'a>>,
    alarms: Vec<AlarmRow<'a>>,
    conditions: Vec<Condition<'a>>,
    /// The analysis, with its conditions in the same order.
    analysis: &'a Analysis,
}

#[derive(Serialize)]
struct AlarmRow<'a> {
    weight: &'static str,
    sentence: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    detail: Option<&'a str>,
}

#[derive(Serialize)]
struct Condition<'a> {
    title: &'a str,
    alarms: Vec<AlarmRow<'a>>,
    reference: Option<&'a str>,
    cells: Vec<Row<'a>>,
    findings: Vec<FindingRow<'a>>,
}

#[derive(Serialize)]
struct Row<'a> {
    cell: &'a str,
    title: String,
    /// The ratio of the cell's median to the floor's, by gate.
    to_floor: &'a std::collections::BTreeMap<&'static str, f64>,
}

#[derive(Serialize)]
struct FindingRow<'a> {
    kind: &'static str,
    subject: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    against: Option<&'a str>,
    measure: &'a str,
    verdict: Verdict,
    /// The two levels that a main effect leads between.
    #[serde(skip_serializing_if = "Option::is_none")]
    direction: Option<&'a Direction>,
    sentence: &'a str,
    /// Value and interval with sign and unit, also where the sentence has no number.
    estimate: String,
    /// Effects that may explain the estimate as well.
    #[serde(skip_serializing_if = "<[String]>::is_empty")]
    aliases: &'a [String],
}

/// Writes the whole report.
pub fn write(report: &Report) -> Result<String, Error> {
    let document = Document {
        schema: SCHEMA,
        summary: report.summary(),
        measured_on: report.provenance(),
        alarms: report.alarms.iter().map(said).collect(),
        conditions: report.sections.iter().map(condition).collect(),
        analysis: &report.experiment.analysis,
    };
    let mut text = serde_json::to_string_pretty(&document).map_err(Error::Json)?;
    text.push('\n');
    Ok(text)
}

fn condition<'a>(section: &'a ConditionSection) -> Condition<'a> {
    let cells = section.rows.iter();
    Condition {
        title: &section.title,
        alarms: section.alarms.iter().map(said).collect(),
        reference: section.reference,
        cells: cells.map(|row| Row { cell: row.name(), title: row.title(), to_floor: &row.to_floor }).collect(),
        findings: section.findings.iter().map(sentence).collect(),
    }
}

fn sentence<'a>(finding: &'a Finding) -> FindingRow<'a> {
    FindingRow {
        kind: match finding.kind {
            Kind::Comparison => "comparison",
            Kind::Effect => "effect",
            Kind::Interaction => "interaction",
        },
        subject: finding.subject,
        against: finding.against,
        measure: finding.measure,
        verdict: finding.estimate.verdict,
        direction: finding.direction,
        sentence: &finding.sentence,
        estimate: words::signed(finding.measure, finding.estimate),
        aliases: finding.aliases,
    }
}

fn said(alarm: &Alarm) -> AlarmRow<'_> {
    let weight = match alarm.weight {
        Severity::Broken => "broken",
        Severity::Note => "note",
    };
    AlarmRow { weight, sentence: &alarm.sentence, detail: alarm.detail.as_deref() }
}
