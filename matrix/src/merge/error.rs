//! Errors of `cargo matrix merge`.

use std::io;
use std::path::PathBuf;

use crate::files::Overwrites;
use crate::plan::{self, SCHEMA};

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("there is nothing to put together")]
    Nothing,
    #[error(transparent)]
    Planned(#[from] plan::Error),
    #[error("{} cannot be read", path.display())]
    Read { path: PathBuf, source: io::Error },
    #[error(transparent)]
    Overwrites(#[from] Overwrites),
    #[error("{} cannot be written", path.display())]
    Write { path: PathBuf, source: io::Error },
    #[error("{}:{line} is not a record of this version", path.display())]
    Content { path: PathBuf, line: usize, source: serde_json::Error },
    #[error("{} has schema {found}, and this version reads {SCHEMA}", path.display())]
    Schema { path: PathBuf, found: u32 },
    #[error("{} and {} are of different plans", one.display(), other.display())]
    Plan { one: PathBuf, other: PathBuf },
    #[error("{} was measured with version {version} and {} with version {found}; measure all shards with the same version of this program", one.display(), other.display())]
    Instrument { one: PathBuf, version: u32, other: PathBuf, found: u32 },
    #[error("{} has a start of {cell} that is not in the plan", folder.display())]
    Stranger { folder: PathBuf, cell: String },
    #[error("{} has the start of {cell} in block {block}, which another folder has as well: each shard is run once", folder.display())]
    Twice { folder: PathBuf, cell: String, block: u32 },
    #[error("{} has started another program as {cell} than the folders before: build once, or from the same sources", folder.display())]
    Program { folder: PathBuf, cell: String },
    #[error("{} has no start; add a folder with starts in its stead, or say --partial", .0.display())]
    Empty(PathBuf),
    #[error("no folder has a start of {}, which the plan has; run what is missing, or say --partial", cells.join(", "))]
    MissingCells { cells: Vec<String> },
    #[error("{} of {planned} blocks are missing or not complete, the first is {}; add the folder that has them, or say --partial", missing.len(), missing.first().copied().unwrap_or_default())]
    Missing { missing: Vec<u32>, planned: u32 },
    #[error("a file cannot be written as JSON")]
    Json(#[source] serde_json::Error),
}

impl Error {
    /// Whether other folders or another command line would resolve the error.
    pub fn is_usage(&self) -> bool {
        match self {
            Self::Planned(error) => error.is_usage(),
            Self::Read { .. } | Self::Write { .. } | Self::Json(_) => false,
            _ => true,
        }
    }
}
