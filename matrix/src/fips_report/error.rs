//! Errors of `cargo matrix fips-report`. A failed proof is no error: it is in the report.

use std::io;
use std::path::PathBuf;

use super::{layer, server};
use crate::build::{self, Failure, waf};
use crate::files::Overwrites;
use crate::layer::bundled;
use crate::materials::packages;
use crate::{analyze, measure, plan, sandbox, terminal};

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error(transparent)]
    Plan(#[from] plan::Error),
    #[error(transparent)]
    Build(#[from] build::Error),
    #[error("{cell} could not be built:\n{}\n\nto see it again:\n  {}", failure.output, failure.command)]
    Failed { cell: String, failure: Failure },
    #[error("cannot read matrix/fips.toml")]
    Certified(#[from] toml::de::Error),
    #[error("cannot read matrix/fips-packages.toml")]
    Allowed(#[source] toml::de::Error),
    #[error(transparent)]
    Packages(#[from] packages::Error),
    #[error(transparent)]
    Bundled(#[from] bundled::Error),
    #[error(transparent)]
    Layer(#[from] layer::Error),
    #[error("the layer cannot be made anew, to compare the zip file with it")]
    Made(#[from] crate::layer::Error),
    #[error(
        "the sources differ from their commit, or have none: {sources}; a proof of them would be about no commit; commit them, or try it with --allow-dirty"
    )]
    Dirty { sources: String },
    #[error(transparent)]
    Waf(#[from] waf::Error),
    #[error(
        "no build of the Rust toolchain that is here could be proven:\n  {}\ninstall what is pinned with `rustup toolchain install {toolchain} --profile minimal`, without components that add files to it such as rustc-dev, and unset RUSTUP_TOOLCHAIN",
        problems.join("\n  ")
    )]
    Toolchain { toolchain: String, problems: Vec<String> },
    #[error("{} has no list of packages that begins with bottlecap", .0.display())]
    NoList(PathBuf),
    #[error("cannot determine how the module was built: {0}")]
    ModuleBuild(String),
    #[error("{} is no program of 64 bits", .0.display())]
    Program(PathBuf),
    #[error("{} cannot be asked what it is: {reason}", program.display())]
    Mute { program: PathBuf, reason: String },
    #[error(transparent)]
    Server(#[from] server::Error),
    #[error("the sandbox does not work here")]
    Sandbox(#[from] sandbox::Error),
    #[error("cannot create or read a file of the report")]
    Directory(#[source] io::Error),
    #[error("the measurement cannot be used")]
    Measured(#[from] analyze::Error),
    #[error("{0} is not among the cells that were measured")]
    NotMeasured(String),
    #[error("the benchmark of the module cannot be made")]
    Measure(#[from] measure::Error),
    #[error("{} cannot be read or written", path.display())]
    File { path: PathBuf, source: io::Error },
    #[error(transparent)]
    Overwrites(#[from] Overwrites),
    #[error("the report cannot be written as JSON")]
    Json(#[from] serde_json::Error),
    #[error("interrupted")]
    Interrupted,
}

impl Error {
    /// The status of the process.
    pub fn status(&self) -> u8 {
        match self {
            Self::Plan(error) | Self::Build(build::Error::Plan(error)) if error.is_usage() => terminal::USAGE,
            Self::Measured(error) if error.is_usage() => terminal::USAGE,
            Self::NotMeasured(_) | Self::Overwrites(_) => terminal::USAGE,
            Self::Layer(error) => error.status(),
            Self::Measure(error) => error.status(),
            Self::Made(error) => error.status(),
            Self::Dirty { .. } => terminal::REFUSED,
            Self::Failed { .. } => terminal::BUILD_FAILED,
            Self::Interrupted => terminal::INTERRUPTED,
            _ => terminal::SETUP_FAILED,
        }
    }
}
