//! Measures cold starts: one after the other, each in two sandboxes.
//!
//! ```text
//!   plan, programs ──▶ run: blocks in random order ──▶ start: two sandboxes ──▶ samples.jsonl
//!                        │                               │
//!                        measured_cell, scenario         digest, phases, page cache, ELF
//! ```

mod run;
pub mod sample;

mod measured_cell;
mod scenario;
mod serving;
mod start;
mod steady;

mod digest;
mod exercise;
mod expected;
mod lock;
mod phases;
mod produced;
mod trust;

mod machine;
mod record;

mod files;
mod progress;

use std::path::PathBuf;

use crate::terminal;

pub use digest::digest;
pub use files::{read_plan, run_files};
pub use lock::DirectoryLock;
pub use machine::{Certificates, INSTRUMENT, Machine, Run, SkippedCondition};
pub use produced::not_produced_here;
pub use record::Samples;
pub use run::{LOCK, Options, Step, Summary, run};
pub use steady::next_after_done;
pub use trust::mounts as trust_store_mounts;

/// The name with which the extension registers; it has to be the name of its file.
const AGENT: &str = "datadog-agent";

/// Why a run could not begin or had to end. A failed start is not an error; it is recorded.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A file could not be read.
    #[error("cannot read {}", path.display())]
    Read { path: PathBuf, source: std::io::Error },
    /// A file could not be written.
    #[error("cannot write {}", path.display())]
    Write { path: PathBuf, source: std::io::Error },
    /// A file cannot be parsed.
    #[error("{} is not what it should be, in line {line}", path.display())]
    Malformed { path: PathBuf, line: usize, source: serde_json::Error },
    /// A file was written by another version.
    #[error("{} has schema {found}, and this program reads {}", path.display(), crate::plan::SCHEMA)]
    Schema { path: PathBuf, found: u32 },
    /// A cell names a cell that does not exist, or itself.
    #[error("the cell {cell} is the same as {of}, which the plan does not have")]
    NoSuchCell { cell: String, of: String },
    /// No cell has a program.
    #[error("there is nothing to measure: no cell of the plan has a program")]
    NothingToMeasure,
    /// A cell's program changed after it was built.
    #[error("the program of {cell} is not the one that was built; build it again")]
    Changed { cell: String },
    /// A condition has App & API Protection, and nobody has built the worker.
    #[error(
        "a condition has App & API Protection on, and no WAF worker is beside the programs; `cargo matrix build` of this plan makes it"
    )]
    NoWaf,
    /// Another run has the lock of the output directory.
    #[error("{} is in use by another run, of process {owner}; wait for it, or choose another --out", path.display())]
    Busy { path: PathBuf, owner: String },
    /// This machine does not produce a condition that the run requires.
    #[error("{condition} cannot be measured here: {reason}; run as root, or plan without that condition")]
    NotProduced { condition: String, reason: String },
    /// This machine produces none of the conditions.
    #[error(
        "no condition of the plan can be measured here: {reason}; run as root, or plan others, such as --regime boosted --trust-store host"
    )]
    NothingProduced { reason: String },
    /// The output directory holds another run.
    #[error("{} holds samples of another {what}; choose another --out, or move its samples.jsonl away", path.display())]
    OtherRun { path: PathBuf, what: &'static str },
    /// A condition names an unknown runtime.
    #[error("the runtime \"{0}\" is none of null, python and sleep:<ms>")]
    Runtime(String),
    /// There is no Python runtime, and it could not be installed.
    #[error(transparent)]
    Python(#[from] crate::venv::Error),
    /// There are no certificates to make a trust store from.
    #[error("{} has no certificates, and the trust stores are made from it; install it with: apt-get install ca-certificates", .0.display())]
    NoCertificates(PathBuf),
    /// The sandbox could not make a start, in several attempts.
    #[error(
        "{cell} could not be started in block {block}, and that is not its fault: {reason}; the same command goes on from here"
    )]
    Harness { cell: String, block: u32, reason: String },
    /// A start could not be recorded.
    #[error("a start cannot be recorded; the same command goes on from here")]
    Unrecorded(#[source] Box<Error>),
    /// A sandbox could not be set up.
    #[error("the sandbox does not work here")]
    Sandbox(#[from] crate::sandbox::Error),
}

impl Error {
    /// The exit status, as in the help of `bench`.
    pub fn status(&self) -> u8 {
        match self {
            Self::Harness { .. } => terminal::HARNESS_FAILED,
            Self::Unrecorded(_)
            | Self::Sandbox(_)
            | Self::Python(_)
            | Self::NoCertificates(_)
            | Self::NotProduced { .. }
            | Self::NothingProduced { .. }
            | Self::Read { .. }
            | Self::Write { .. } => terminal::SETUP_FAILED,
            _ => terminal::USAGE,
        }
    }
}

/// Lower-case hexadecimal digits.
fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |text, byte| text + &format!("{byte:02x}"))
}

/// Adds the path to an error of writing.
fn writing(path: &std::path::Path) -> impl FnOnce(std::io::Error) -> Error {
    let path = path.to_owned();
    move |source| Error::Write { path, source }
}

/// Adds the path to an error of reading.
fn reading(path: &std::path::Path) -> impl FnOnce(std::io::Error) -> Error {
    let path = path.to_owned();
    move |source| Error::Read { path, source }
}
