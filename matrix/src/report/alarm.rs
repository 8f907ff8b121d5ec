//! Alarms: what a reader has to know before any number.

use super::input::Experiment;
use crate::analyze::{CellSummary, Comparison, ConditionAnalysis, Delivery, DeliveryOutcome, Verdict};
use crate::plan::circumstances::describe;

/// A statement about whether a number can be trusted, or why there is none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Alarm {
    pub weight: Severity,
    pub sentence: String,
    /// A long explanation, such as the output of a compiler.
    pub detail: Option<String>,
}

/// The severity of an alarm.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// Numbers are wrong or missing.
    Broken,
    /// Numbers are right; the alarm says how to read them or why some are absent.
    Note,
}

impl Alarm {
    fn broken(sentence: String) -> Self {
        Self { weight: Severity::Broken, sentence, detail: None }
    }

    fn note(sentence: String) -> Self {
        Self { weight: Severity::Note, sentence, detail: None }
    }
}

/// Alarms about builds: failed builds, and cells whose program is the same as another's.
pub fn of_builds(experiment: &Experiment) -> Vec<Alarm> {
    let mut alarms = Vec::new();
    for built in &experiment.builds {
        if let Some(failure) = &built.failure {
            alarms.push(Alarm {
                weight: Severity::Broken,
                sentence: format!("{} could not be built and is missing; {} shows why.", built.cell, failure.command),
                detail: Some(failure.output.clone()).filter(|output| !output.trim().is_empty()),
            });
        }
        if let Some(other) = &built.same_as {
            alarms.push(Alarm::note(format!(
                "{} is a no-op: its program is the same as that of {other}, and was measured once.",
                built.cell
            )));
        }
    }
    if experiment.analysis.conditions.is_empty() {
        alarms.push(Alarm::broken("Nothing was measured: the analysis holds no condition.".to_owned()));
    }
    alarms
}

/// Alarms about payloads that untimed starts did not deliver.
pub fn of_untimed(experiment: &Experiment) -> Vec<Alarm> {
    let conditions = &experiment.analysis.conditions;
    let is_untimed = |delivery: &&Delivery| !conditions.iter().any(|found| found.condition == delivery.condition);
    let untimed = experiment.analysis.deliveries.iter().filter(is_untimed);
    untimed.filter_map(|delivery| of_delivery(delivery, &format!(" ({})", describe(&delivery.condition)))).collect()
}

fn of_delivery(delivery: &Delivery, place: &str) -> Option<Alarm> {
    let times = match delivery.outcome {
        DeliveryOutcome::PayloadMismatch => ", so its times do not count: faster that loses data is a failure",
        outcome if outcome.is_failure() => "",
        _ => return None,
    };
    let sentence = delivery.sentence();
    Some(Alarm::broken(format!("{}{place}{times}.", sentence.trim_end_matches('.'))))
}

/// The notes of the analysis.
pub fn of_notes(experiment: &Experiment) -> Vec<Alarm> {
    experiment.analysis.notes.iter().map(|note| Alarm::note(note.clone())).collect()
}

/// The alarm that one of several conditions is invalid.
pub fn of_invalid(found: &ConditionAnalysis) -> Alarm {
    Alarm::broken(format!("Invalid run: do not use the numbers under {}.", describe(&found.condition)))
}

/// The alarms of one condition.
pub fn of_condition(experiment: &Experiment, found: &ConditionAnalysis, reference: Option<&str>) -> Vec<Alarm> {
    let mut alarms = Vec::new();
    if let Some(reason) = &found.invalid {
        alarms.push(Alarm::broken(format!(
            "Invalid run: {}. Do not use the numbers below; they are here only to find the cause.",
            reason.trim_end_matches('.')
        )));
    }
    let judged: Vec<&Delivery> =
        experiment.analysis.deliveries.iter().filter(|delivery| delivery.condition == found.condition).collect();
    if judged.is_empty() {
        alarms.extend(found.cells.iter().filter_map(|cell| mismatch(found, cell, reference)));
    }
    // Failed starts have their own alarm below.
    let has_alarm = |delivery: &&&Delivery| delivery.outcome == DeliveryOutcome::DidNotStart && delivery.failed > 0;
    alarms
        .extend(judged.iter().filter(|delivery| !has_alarm(delivery)).filter_map(|delivery| of_delivery(delivery, "")));
    alarms.extend(found.cells.iter().filter_map(failed));
    if found.cells.is_empty() {
        alarms.push(Alarm::broken("No start counts under this condition, so there is nothing to compare.".to_owned()));
    }
    // The alarms about builds report identical programs once for all conditions.
    let has_alarm = |name: &str| experiment.builds.iter().any(|built| built.cell == name && built.same_as.is_some());
    for comparison in found.comparisons.iter().filter(|comparison| !has_alarm(&comparison.cell)) {
        if has(comparison, Verdict::NoOp) {
            let (cell, reference) = (&comparison.cell, &comparison.reference);
            alarms.push(Alarm::note(format!("{cell} is a no-op: its program is the same as that of {reference}.")));
        }
    }
    for effect in &found.effects {
        if effect.estimates.values().any(|estimate| estimate.verdict == Verdict::NoOp) {
            alarms.push(Alarm::note(format!("{} is a no-op: it changes nothing in the program.", effect.name)));
        }
    }
    alarms
}

fn mismatch(found: &ConditionAnalysis, cell: &CellSummary, reference: Option<&str>) -> Option<Alarm> {
    let said = found.comparisons.iter().find(|one| one.cell == cell.cell && has(one, Verdict::DigestMismatch));
    let with = said.map(|comparison| comparison.reference.as_str()).or_else(|| {
        // A designed experiment has no comparisons, but its cells must deliver the reference's payload all the same.
        let standard = found.cells.iter().find(|other| Some(other.cell.as_str()) == reference)?;
        let differs = cell.digest.is_some() && standard.digest.is_some() && cell.digest != standard.digest;
        differs.then_some(standard.cell.as_str())
    })?;
    Some(Alarm::broken(format!(
        "{} does not deliver what {with} delivers (digest mismatch), so its times do not count: faster that loses \
         data is a failure.",
        cell.cell
    )))
}

fn failed(cell: &CellSummary) -> Option<Alarm> {
    let reason = cell.failures.as_ref()?;
    let left = super::number::counted(cell.starts, "start");
    Some(Alarm::broken(format!("{} did not always start; {left} can be used. The first failure: {reason}", cell.cell)))
}

fn has(comparison: &Comparison, verdict: Verdict) -> bool {
    comparison.differences.values().any(|estimate| estimate.verdict == verdict)
}
