//! All judgements together.

use serde::Serialize;

use super::Outcome;
use super::checks::Check;
use super::questions::Growth;
use crate::plan::{Condition, SCHEMA};
use crate::report::Experiment;
use crate::report::number::counted;

/// What is decided: `gate.json`.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Decision {
    /// [`SCHEMA`].
    pub schema: u32,
    /// The worst of all.
    pub outcome: Outcome,
    /// The outcome in one sentence, with what can be done.
    pub sentence: String,
    pub judgements: Vec<Judgement>,
    /// What is wrong besides: with what a candidate or the reference delivers, and with the control.
    pub findings: Vec<Finding>,
    /// Cells without a program.
    pub builds: Vec<FailedBuild>,
    /// What has to be known beside the numbers.
    pub notes: Vec<String>,
    /// Where it was measured, if that is known.
    pub measured_on: Option<String>,
}

/// What is said of one gate, or another measure, of one candidate.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Judgement {
    pub condition: Condition,
    pub candidate: String,
    pub against: String,
    pub gate: &'static str,
    pub outcome: Outcome,
    /// None where no number may be believed.
    pub growth: Option<Growth>,
    /// The largest growth that is allowed.
    pub limit: f64,
    /// Of the growth and the limit: the measure's, such as `ms`, or `ratio` for a factor less one.
    pub unit: &'static str,
    pub reason: String,
}

/// Something that is wrong whatever the numbers are.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Finding {
    pub condition: Condition,
    /// None where it concerns the whole condition.
    pub cell: Option<String>,
    pub outcome: Outcome,
    pub reason: String,
}

#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct FailedBuild {
    pub cell: String,
    /// Copy, paste, see.
    pub command: String,
    /// The end of what the compiler said.
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
        // A program that is compared with itself passes on any machine; otherwise an invalid condition is the judgement of its comparisons already.
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

    /// Whether others may be held to this run. An invalid or inconclusive one never becomes a baseline, whatever else it contains.
    pub fn may_be_stored(&self) -> bool {
        let outcomes = self.judgements.iter().map(|judgement| judgement.outcome);
        let mut all = outcomes.chain(self.findings.iter().map(|finding| finding.outcome)).chain([self.outcome]);
        all.all(|outcome| matches!(outcome, Outcome::Pass | Outcome::Regressed))
    }

    /// The judgements that do not only repeat a finding.
    pub fn own_judgements(&self) -> impl Iterator<Item = &Judgement> {
        let repeats = |judgement: &Judgement, finding: &Finding| {
            finding.condition == judgement.condition && finding.outcome == judgement.outcome
        };
        self.judgements.iter().filter(move |judgement| !self.findings.iter().any(|finding| repeats(judgement, finding)))
    }

    /// What is compared, in one line.
    pub fn title(&self) -> String {
        format!("{}: {}", self.outcome.name(), counted(self.judgements.len(), "comparison"))
    }
}

impl Judgement {
    /// Who is compared with whom, and by what.
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
