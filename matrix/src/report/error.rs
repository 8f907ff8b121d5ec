//! Errors of `cargo matrix report`.

use std::io;
use std::path::PathBuf;

use crate::files::Overwrites;

/// Why a report could not be written.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("{} cannot be read", path.display())]
    Read { path: PathBuf, source: io::Error },
    #[error("{} is not {what}", path.display())]
    Content { path: PathBuf, what: &'static str, source: serde_json::Error },
    #[error("{} has schema {found}; this program knows {known}: run the earlier commands again", path.display())]
    Schema { path: PathBuf, found: u32, known: u32 },
    #[error("{} is not the analysis of {}: analyze its samples again", analysis.display(), plan.display())]
    OtherPlan { analysis: PathBuf, plan: PathBuf },
    #[error("one format fits on standard output; name a directory for several with --out")]
    SeveralFormats,
    #[error(transparent)]
    Overwrites(#[from] Overwrites),
    #[error("{} cannot be written", path.display())]
    Write { path: PathBuf, source: io::Error },
    #[error("the numbers cannot be written as JSON")]
    Json(#[source] serde_json::Error),
    #[error("the numbers cannot be written as CSV")]
    Csv(#[source] csv::Error),
}

impl Error {
    /// Whether another command line or other files would resolve the error.
    pub fn is_usage(&self) -> bool {
        !matches!(self, Self::Read { .. } | Self::Write { .. } | Self::Json(_) | Self::Csv(_))
    }
}
