//! Errors of `cargo matrix layer`.

use std::io;
use std::path::PathBuf;

use super::{bundled, licences};
use crate::archive;
use crate::build::{self, Failure, waf};
use crate::elf::{Glibc, Relro};
use crate::files::Overwrites;
use crate::materials::packages;
use crate::{flavour, plan, terminal};

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error(
        "the set of --set and --features is not possible; `cargo matrix list` shows what each switch needs and excludes"
    )]
    Plan(#[from] plan::Error),
    #[error(transparent)]
    Build(#[from] build::Error),
    #[error("{cell} could not be built:\n{}\n\nto see it again:\n  {}", failure.output, failure.command)]
    Failed { cell: String, failure: Failure },
    #[error("interrupted")]
    Interrupted,
    #[error(transparent)]
    Flavour(#[from] flavour::Error),
    #[error("--glibc-floor does not apply to --libc musl, which is linked into the program: leave one of them out")]
    FloorOfMusl,
    #[error("--glibc-floor {0}: the newest glibc on Lambda is {newest} (Amazon Linux 2023)", newest = crate::elf::newest())]
    Floor(Glibc),
    #[error("{}", .0.join("\n"))]
    WouldNotStart(Vec<String>),
    #[error(
        "the layer of {cell} is too large:\n  {}\n  take away what makes it so, or raise its budget in matrix/layer-budgets.toml and say why",
        complaints.join("\n  ")
    )]
    TooLarge { cell: String, complaints: Vec<String> },
    #[error("{place} is for {found}, and the layer for {wanted}")]
    Architecture { place: String, found: String, wanted: String },
    #[error(
        "{place} has {relro} RELRO, so that addresses which it calls by stay writable, and a layer has full RELRO: see which flags the linker was given"
    )]
    Writable { place: String, relro: Relro },
    #[error(
        "{place} names {folder}, a directory of this machine, so that it would be another program if it were built elsewhere; \
         a path with a blank in it cannot be kept out: build where there is none"
    )]
    NamesItsPlace { place: String, folder: String },
    #[error(
        "the sources have changed while {cell} was built, so that nobody could say what it was made from; the same command builds it again"
    )]
    Moved { cell: String },
    #[error(
        "the sources are not those of a commit ({sources}); build a checkout without changes, or leave out --refuse-dirty: the manifest of the layer then names the changes"
    )]
    Dirty { sources: String },
    #[error("cannot read the time of the last commit")]
    Time(#[source] io::Error),
    #[error("{place} does not say what it is: {reason}")]
    Silent { place: String, reason: String },
    #[error(transparent)]
    Packages(#[from] packages::Error),
    #[error(transparent)]
    Waf(#[from] waf::Error),
    #[error(transparent)]
    Bundled(#[from] bundled::Error),
    #[error(
        "SOURCE_DATE_EPOCH={0:?} is not a number of seconds since 1970 that a date can be of; unset it, or set it to that of the sources"
    )]
    Epoch(String),
    #[error(transparent)]
    Licences(#[from] licences::Error),
    #[error("the layer cannot be written")]
    Archive(#[from] archive::Error),
    #[error(
        "{} does not say which files are of the layer that it came with: {reason}; empty that directory, or name another one with --opt",
        path.display()
    )]
    Earlier { path: PathBuf, reason: String },
    #[error(transparent)]
    Overwrites(#[from] Overwrites),
    #[error("a document cannot be written")]
    Document(#[from] serde_json::Error),
    #[error("matrix/layer-budgets.toml cannot be read")]
    Budgets(#[from] toml::de::Error),
    #[error("{} cannot be read or written", path.display())]
    File { path: PathBuf, source: io::Error },
}

impl Error {
    /// The status of the process, as in the help.
    pub fn status(&self) -> u8 {
        match self {
            Self::Plan(error) if error.is_usage() => terminal::USAGE,
            Self::Floor(_) | Self::FloorOfMusl | Self::Epoch(_) | Self::Earlier { .. } | Self::Overwrites(_) => {
                terminal::USAGE
            }
            Self::Flavour(error) => error.status(),
            Self::Failed { .. } => terminal::BUILD_FAILED,
            Self::Interrupted => terminal::INTERRUPTED,
            Self::WouldNotStart(_)
            | Self::TooLarge { .. }
            | Self::Architecture { .. }
            | Self::Writable { .. }
            | Self::NamesItsPlace { .. }
            | Self::Moved { .. }
            | Self::Dirty { .. }
            | Self::Licences(_)
            | Self::Bundled(bundled::Error::Unknown(_) | bundled::Error::Licence { .. }) => terminal::REFUSED,
            _ => terminal::SETUP_FAILED,
        }
    }
}
