//! Errors of `cargo matrix plan`.

use std::io;
use std::path::PathBuf;

use super::design;
use crate::files::Overwrites;
use crate::manifest::WrongChoice;

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("the manifest is wrong; `cargo matrix check` says where")]
    Manifest,
    #[error(transparent)]
    Choice(#[from] WrongChoice),
    #[error("there is no set \"{name}\"; there are {}", known.join(", "))]
    Set { name: String, known: Vec<String> },
    #[error("\"{cell}\": {reason}")]
    Cell { cell: String, reason: String },
    #[error("the design {design} has no use for --{option}")]
    Option { design: &'static str, option: &'static str },
    #[error("--shards is for the formats github and gitlab; say which with --format")]
    Shards,
    #[error("the design cells needs --cells")]
    NoCells,
    #[error(transparent)]
    Design(#[from] design::Error),
    #[error("{factor} has several values; say which with --factors {factor}=<value>")]
    Axis { factor: String },
    #[error("{choice} is what the base has already: it would not vary")]
    Same { choice: String },
    #[error("--{option} names {name}, which no --external brings in")]
    ExternalName { option: &'static str, name: String },
    #[error("{}: it has to be an executable file, a layer, or a folder with what comes to stand below /opt, and in both exactly one extension", .0.display())]
    ExternalPath(PathBuf),
    #[error("the plan would contradict itself: {}", .0.join("; "))]
    Contradiction(Vec<String>),
    #[error("{} cannot be read", path.display())]
    Read { path: PathBuf, source: io::Error },
    #[error("{} is no plan of this version", path.display())]
    Parse { path: PathBuf, source: serde_json::Error },
    #[error("{} is of schema {found}, not {}", path.display(), super::SCHEMA)]
    Schema { path: PathBuf, found: u32 },
    #[error("{} is there, and no plan has made it; move it away, or choose another --out", .0.display())]
    NotCopied(PathBuf),
    #[error(transparent)]
    Overwrites(#[from] Overwrites),
    #[error("{} cannot be written", path.display())]
    Write { path: PathBuf, source: io::Error },
    #[error("{} already has samples of another plan; choose another --name, or remove that folder", .0.display())]
    Taken(PathBuf),
}

impl Error {
    /// Whether another command line would help.
    pub fn is_usage(&self) -> bool {
        !matches!(self, Self::Manifest | Self::Read { .. } | Self::Write { .. })
    }
}
