//! Errors of `cargo matrix gate`. A run that cannot tell is not an error but an outcome.

use std::io;
use std::path::PathBuf;

use crate::files::Overwrites;
use crate::measure::INSTRUMENT;
use crate::plan::SCHEMA;
use crate::report;

/// What the versions of [`INSTRUMENT`] are.
const VERSIONS: &str =
    "since version 2 gates leave out the sandbox's own time, and since version 3 the floor has no C library";

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error(transparent)]
    Experiment(#[from] report::Error),
    #[error("{} cannot be read", path.display())]
    Read { path: PathBuf, source: io::Error },
    #[error("{} cannot be written", path.display())]
    Write { path: PathBuf, source: io::Error },
    #[error(transparent)]
    Overwrites(#[from] Overwrites),
    #[error("{} is no file of budgets", path.display())]
    Budgets { path: PathBuf, source: toml::de::Error },
    #[error("{}: {what}", path.display())]
    Limit { path: PathBuf, what: String },
    #[error("{} is no baseline", path.display())]
    Baseline { path: PathBuf, source: serde_json::Error },
    #[error("{} has schema {found}, and this version reads {SCHEMA}; store it anew with --save-baseline", path.display())]
    Schema { path: PathBuf, found: u32 },
    #[error(
        "{} has ratios of version {found}, and this is version {INSTRUMENT}: {VERSIONS}; measure anew with `bench`, and store that run with --save-baseline",
        path.display()
    )]
    Instrument { path: PathBuf, found: u32 },
    #[error(
        "the run was measured with version {found}, and this is version {INSTRUMENT}: {VERSIONS}; measure anew with `bench`, because the run can neither be stored nor be \
         compared with a baseline"
    )]
    RunInstrument { found: u32 },
    #[error(
        "run.json is not beside the analysis, and only it has the version with which the run was measured; put it there, because without it the run can neither be stored \
         nor be compared with a baseline"
    )]
    NoRecord,
    #[error("there is no budget in {unit} for the {gate} gate under {condition}; add one to the file of budgets")]
    NoBudget { gate: &'static str, unit: &'static str, condition: String },
    #[error("the baseline has nothing about {cell} under {condition}; store it anew with --save-baseline")]
    NotInBaseline { cell: String, condition: String },
    #[error("the baseline does not say what {cell} delivers under {condition}; store it anew with --save-baseline")]
    NoDigestInBaseline { cell: String, condition: String },
    #[error("the plan has no cell {cell} that could be compared; there are {}", known.join(", "))]
    NoCell { cell: String, known: Vec<String> },
    #[error("the plan has no comparison of {candidate} with {reference}; make one of them the plan's first cell")]
    NotCompared { candidate: String, reference: String },
    #[error("the plan has one cell only: name a --baseline to compare it with, or store one with --save-baseline")]
    NothingToCompare,
    #[error("the run has no floor, and without it nothing can be compared with another run")]
    NoFloor,
    #[error("the decision cannot be written as JSON")]
    Json(#[source] serde_json::Error),
}

impl Error {
    /// Whether another command line or other files would resolve the error.
    pub fn is_usage(&self) -> bool {
        match self {
            Self::Experiment(error) => error.is_usage(),
            Self::Read { .. } | Self::Write { .. } | Self::Json(_) => false,
            _ => true,
        }
    }
}
