//! The decision: all judgements together.

use serde::Serialize;

use super::Outcome;
use super::budget_checks::Growth;
use super::checks::Check;
use crate::plan::{Condition, SCHEMA};
use crate::report::Experiment;
use crate::report::number::counted;

/// The decision of the gate: `gate.json`.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Decision {
    /// The schema version, [`SCHEMA`].
    pub schema: u32,
    /// The worst outcome.
    pub outcome: Outcome,
    /// The outcome in one sentence, with the next step.
    pub sentence: String,
    pub judgements: Vec<Judgement>,
    /// Failed checks: the payloads of the candidates and the reference, and the control.
    pub findings: Vec<Finding>,
    /// Cells that could not be built.
    pub builds: Vec<FailedBuild>,
    /// Notes of the analysis and of the gate.
    pub notes: Vec<String>,
    /// The machine, if it was recorded.
    pub measured_on: Option<String>,
}

/// The judgement of one gate or other measure of one candidate.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Judgement {
    pub condition: Condition,
    pub candidate: String,
    pub against: String,
    pub gate: &'static str,
    pub outcome: Outcome,
    /// `None` if no number can be trusted.
    pub growth: Option<Growth>,
    /// The largest allowed growth.
    pub limit: f64,
    /// The unit of growth and limit: the measure's, such as `ms`, or `ratio` for a factor less one.
    pub unit: &'static str,
    pub reason: String,
}

/// A failed check, which is independent of the numbers.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Finding {
    pub condition: Condition,
    /// `None` if it concerns the whole condition.
    pub cell: Option<String>,
    pub outcome: Outcome,
    pub reason: String,
}

#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct FailedBuild {
    pub cell: String,
    /// A command that reproduces the failure.
    pub command: String,
    /// The end of the compiler's output.
    pub output: String,
}

impl Decision {
    pub fn of(experiment: &Experiment, judgements: Vec<Judgement>, checks: Vec<Check<'_>>) -> Self {
        let failed = experiment.builds.iter().filter_map(|built| {
            let failure = built.failure.as_ref()?;
            let (command, output) = (failure.command.clone(), failure.output.clone());
            Some(FailedBuild { cell: built.cell.clone(), command, output })
        });
        let builds: Vec<FailedBuild> = failed.collect();
        let findings: Vec<Finding> = checks.into_iter().map(Finding::from).collect();
        // An invalid condition counts through its judgements, where a program compared with itself passes on any machine. It counts by itself only if there are
        // no judgements.
        let weighs = |finding: &&Finding| finding.outcome != Outcome::InvalidRun || judgements.is_empty();
        let found = findings.iter().filter(weighs).map(|finding| finding.outcome);
        let worst = judgements.iter().map(|judgement| judgement.outcome).chain(found).max().unwrap_or(Outcome::Pass);
        let outcome = if builds.is_empty() { worst } else { Outcome::BuildFailed };
        let nothing = judgements.is_empty() && outcome == Outcome::Pass;
        Self {
            schema: SCHEMA,
            outcome,
            sentence: if nothing { "Nothing was compared." } else { outcome.sentence() }.to_owned(),
            judgements,
            findings,
            builds,
            notes: experiment.analysis.notes.clone(),
            measured_on: experiment.measured_on(),
        }
    }

    /// Whether the run may become a baseline. An invalid or inconclusive run may not, whatever else it contains.
    pub fn may_be_stored(&self) -> bool {
        let outcomes = self.judgements.iter().map(|judgement| judgement.outcome);
        let mut all = outcomes.chain(self.findings.iter().map(|finding| finding.outcome)).chain([self.outcome]);
        all.all(|outcome| matches!(outcome, Outcome::Pass | Outcome::Regressed))
    }

    /// The judgements that do not merely repeat a failed check.
    pub fn own_judgements(&self) -> impl Iterator<Item = &Judgement> {
        let repeats = |judgement: &Judgement, finding: &Finding| {
            finding.condition == judgement.condition && finding.outcome == judgement.outcome
        };
        self.judgements.iter().filter(move |judgement| !self.findings.iter().any(|finding| repeats(judgement, finding)))
    }

    /// One line with the outcome and the number of comparisons.
    pub fn title(&self) -> String {
        format!("{}: {}", self.outcome.name(), counted(self.judgements.len(), "comparison"))
    }
}

impl Judgement {
    /// The candidate, what it is compared with, and the gate.
    pub fn title(&self) -> String {
        format!("{} against {}, {}", self.candidate, self.against, self.gate)
    }
}

impl From<Check<'_>> for Finding {
    fn from(check: Check<'_>) -> Self {
        let Check { condition, cell, outcome, reason } = check;
        Self { condition: condition.clone(), cell: cell.map(str::to_owned), outcome, reason }
    }
}
