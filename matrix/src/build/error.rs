//! Errors of `cargo matrix build`. A cell that fails to build is no error but a [`super::Failure`].

use std::io;
use std::path::PathBuf;

use crate::{flavour, plan};

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error(transparent)]
    Plan(#[from] plan::Error),
    #[error("the plan does not fit the manifest:\n  {}", .0.join("\n  "))]
    Misfit(Vec<String>),
    #[error("cannot read the state of the sources; git must be installed and the sources in a repository")]
    Sources(#[source] io::Error),
    #[error(transparent)]
    Flavour(#[from] flavour::Error),
    #[error(
        "{cell} cannot be built, because a disk is full: {said}\n  make room where {} is; the same command goes on from there",
        folder.display()
    )]
    FullDisk { cell: String, folder: PathBuf, said: String },
    #[error("the WAF worker could not be built:\n{}\n\nto see it again:\n  {}", .0.output, .0.command)]
    Waf(super::Failure),
    #[error("{} cannot be read or written", path.display())]
    File { path: PathBuf, source: io::Error },
}
