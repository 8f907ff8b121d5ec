//! All judgements together.

use serde::Serialize;

use super::questions::{Growth, Sides};
use super::{INCONCLUSIVE, REGRESSED, VOID};
use crate::cli;
use crate::plan::{CellKind, Condition, SCHEMA};
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
    /// Cells without a program.
    pub builds: Vec<FailedBuild>,
    /// What has to be known beside the numbers.
    pub notes: Vec<String>,
    /// Where it was measured, if that is known.
    pub measured_on: Option<String>,
}

/// What a run says of a change, from the best to the worst.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Outcome {
    Pass,
    Inconclusive,
    Void,
    Regressed,
    Differs,
    BuildFailed,
}

/// What is said of one gate of one candidate.
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
    /// Of the growth and the limit: `ms`, or `ratio` for a factor less one.
    pub unit: &'static str,
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

impl Outcome {
    /// Of the process.
    pub fn status(self) -> u8 {
        match self {
            Self::Pass => 0,
            Self::Inconclusive => INCONCLUSIVE,
            Self::Void => VOID,
            Self::Regressed => REGRESSED,
            Self::Differs => cli::DELIVERS_DIFFERENTLY,
            Self::BuildFailed => cli::BUILD_FAILED,
        }
    }

    /// As in JSON and in the help.
    pub fn name(self) -> &'static str {
        match self {
            Self::Pass => "pass",
            Self::Inconclusive => "inconclusive",
            Self::Void => "void",
            Self::Regressed => "regressed",
            Self::Differs => "differs",
            Self::BuildFailed => "build-failed",
        }
    }

    fn sentence(self) -> &'static str {
        match self {
            Self::Pass => "Nothing has grown by more than its budget.",
            Self::Inconclusive => {
                "This run cannot tell whether the budget is kept: start every cell more often with `--blocks`, or allow more."
            }
            Self::Void => {
                "The same program under two names differed, so nothing here may be believed: run it again on a quieter machine."
            }
            Self::Regressed => {
                "More has grown than the budget allows: find out which part of the change it is, or raise the budget and say what for."
            }
            Self::Differs => {
                "A candidate does not do its work, and its times do not count: `cargo matrix invoke` shows what arrives of it."
            }
            Self::BuildFailed => "There is no program to measure: the command below shows why.",
        }
    }
}

impl Decision {
    pub fn of(experiment: &Experiment, sides: &Sides, judgements: Vec<Judgement>) -> Self {
        let failed = experiment.builds.iter().filter_map(|built| {
            let failure = built.failure.as_ref()?;
            let (command, output) = (failure.command.clone(), failure.output.clone());
            Some(FailedBuild { cell: built.cell.clone(), command, output })
        });
        let builds: Vec<FailedBuild> = failed.collect();
        let worst = judgements.iter().map(|judgement| judgement.outcome).max().unwrap_or(Outcome::Pass);
        let outcome = if builds.is_empty() { worst } else { Outcome::BuildFailed };
        let nothing = judgements.is_empty() && builds.is_empty();
        Self {
            schema: SCHEMA,
            outcome,
            sentence: if nothing { "Nothing was compared." } else { outcome.sentence() }.to_owned(),
            judgements,
            builds,
            notes: notes(experiment, sides),
            measured_on: experiment.measured_on(),
        }
    }

    /// What is compared, in one line.
    pub fn title(&self) -> String {
        format!("{}: {}", self.outcome.name(), counted(self.judgements.len(), "comparison"))
    }
}

fn notes(experiment: &Experiment, sides: &Sides) -> Vec<String> {
    let mut notes = experiment.analysis.notes.clone();
    let controlled = |cell: &str| {
        experiment.plan.cells.iter().any(|again| matches!(&again.kind, CellKind::Again { of } if of == cell))
    };
    let compared = sides.candidates.iter().chain(&sides.reference);
    if !compared.map(String::as_str).any(controlled) {
        notes.push("No program was started under two names, so that a biased measurement would not show.".to_owned());
    }
    notes
}
