//! Inspects a layer or program from any builder, and checks it against its manifest.

mod ask;
mod check;
mod look;
mod materials;
mod pid_namespace;
mod text;

use std::io;
use std::path::PathBuf;

use crate::archive;
use crate::terminal;

pub use ask::Error as AskError;
pub use look::{Document, InspectedFile, Kind, Program, Start, look};
pub use materials::Materials;
pub use text::page;

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("{} cannot be read", path.display())]
    Read { path: PathBuf, source: io::Error },
    #[error("{0} is neither a zip file nor a 64-bit ELF program")]
    Unknown(String),
    #[error("--run starts a stranger's program as the user nobody, which only root can: run the same with sudo")]
    NotRoot,
    /// This machine cannot start it, which says nothing about the file.
    #[error("{place} was not asked what it is, because of this machine")]
    NotAsked { place: String, source: ask::Error },
    #[error("the layer must not be used")]
    Archive(#[from] archive::Error),
}

impl Error {
    /// The exit status.
    pub fn status(&self) -> u8 {
        match self {
            Self::Read { .. } | Self::NotRoot | Self::NotAsked { .. } => terminal::SETUP_FAILED,
            Self::Unknown(_) | Self::Archive(archive::Error::Zip(_)) => terminal::USAGE,
            Self::Archive(_) => terminal::REFUSED,
        }
    }
}
