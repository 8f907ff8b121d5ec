//! Errors of `cargo matrix analyze`.

use std::io;
use std::path::PathBuf;

use crate::files::Overwrites;
use crate::plan::SCHEMA;

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("{} cannot be read", path.display())]
    Read { path: PathBuf, source: io::Error },
    #[error("{}:{line} is not a record of this version", path.display())]
    Line { path: PathBuf, line: usize, source: serde_json::Error },
    #[error("{} has schema {found}, and this version reads {SCHEMA}; analyze it with the version that wrote it", path.display())]
    Schema { path: PathBuf, found: u32 },
    #[error("{} names no cells", .0.display())]
    NoCells(PathBuf),
    #[error("there is no start in {}", .0.iter().map(|path| path.display().to_string()).collect::<Vec<_>>().join(", "))]
    NoSamples(Vec<PathBuf>),
    #[error("{} contradicts itself: {}", path.display(), complaints.join("; "))]
    Plan { path: PathBuf, complaints: Vec<String> },
    #[error("{cell} has two programs: starts of different builds do not belong together")]
    Program { cell: String },
    #[error("{again} is to be the same program as {of}, and is another one: it controls nothing")]
    Control { again: String, of: String },
    #[error("{cell} has two different starts in block {block} of one condition")]
    Twice { cell: String, block: u32 },
    #[error("{cell} has a negative {measure} in block {block}: {value}")]
    Negative { cell: String, block: u32, measure: String, value: f64 },
    #[error(transparent)]
    Overwrites(#[from] Overwrites),
    #[error("{} cannot be written", path.display())]
    Write { path: PathBuf, source: io::Error },
    #[error("the analysis cannot be written as JSON")]
    Json(#[from] serde_json::Error),
}

impl Error {
    /// Whether another command line or other files would resolve the error.
    pub fn is_usage(&self) -> bool {
        !matches!(self, Self::Read { .. } | Self::Write { .. } | Self::Json(_))
    }
}
