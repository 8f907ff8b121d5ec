//! Why a flavour cannot be built here.

use std::path::PathBuf;

use super::{Architecture, Libc, Links};
use crate::elf::Glibc;
use crate::manifest::Choice;
use crate::{terminal, venv};

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("matrix/flavours.toml cannot be read")]
    Table(#[source] toml::de::Error),
    #[error(
        "matrix/flavours.toml has nothing that builds a {links} program for {architecture} with {libc} on a machine of {machine}, \
         if it has to start with glibc {glibc_floor}"
    )]
    NotHere { architecture: Architecture, libc: Libc, links: Links, glibc_floor: Glibc, machine: Architecture },
    #[error("{choice} cannot be had in this flavour: {reason}")]
    Exclusion { choice: Choice, reason: String },
    #[error("not installed: {}; install with: {}", packages.join(", "), installation(packages))]
    Missing { packages: Vec<String> },
    #[error(
        "this would be built with {found}, and the toolchain of this workspace is {pinned}\n  \
         install it with `rustup toolchain install {pinned}`, and unset RUSTUP_TOOLCHAIN, which overrides rust-toolchain.toml"
    )]
    Toolchain { pinned: String, found: String },
    #[error(
        "this would be built with {} of {found}, and what matrix/flavours.toml names is {pinned}\n  {}, or write there which one it is to be, and build all of its layers again",
        path.display(),
        installation(packages)
    )]
    Distribution { path: PathBuf, pinned: String, found: String, packages: Vec<String> },
    #[error(transparent)]
    Zig(#[from] venv::Error),
    #[error("{} cannot be read or written", path.display())]
    File { path: PathBuf, source: std::io::Error },
}

impl Error {
    /// The status of the process.
    pub fn status(&self) -> u8 {
        match self {
            Self::NotHere { .. } | Self::Exclusion { .. } => terminal::USAGE,
            _ => terminal::SETUP_FAILED,
        }
    }
}

/// The one command that installs packages of the distribution.
pub(super) fn installation(packages: &[String]) -> String {
    let foreign = packages.iter().find_map(|package| package.split_once(':')).map(|(_, architecture)| architecture);
    let adopt = foreign.map(|architecture| format!("dpkg --add-architecture {architecture} && ")).unwrap_or_default();
    format!("{adopt}apt-get update && apt-get install --no-install-recommends {}", packages.join(" "))
}
