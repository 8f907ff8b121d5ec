//! Builds the program of each cell with cargo.
//!
//! Cells whose flags are the same share a target directory, in which only our own crate is compiled again for another combination of
//! features. What is built is asked what it is, copied away, hashed, and told in a line of `builds.jsonl`.

mod build_log;
mod build_report;
pub(crate) mod cargo;
pub mod dependencies;
mod error;
mod file_report;
pub mod launcher;
mod link_report;
pub mod load;
pub mod paths;
pub mod pinned;
pub mod profile;
mod progress;
pub mod recipe;
mod run;
mod sameness;
pub mod waf;
mod waf_artefact;
mod work;
pub mod yardstick;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

pub use build_report::BuildReport;
pub use cargo::Outcome;
pub use error::Error;
pub use link_report::LinkReport;
pub use run::{End, Estimate, anew, build, command, directory, named, one, program};

/// The name of the file beside the plan that has a line for each cell. If a cell has several, the last one counts.
pub const FILE: &str = "builds.jsonl";

/// The part of a build that made the launcher.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LauncherTime {
    pub seconds: f64,
    /// The number of crates that were compiled.
    pub compiled: usize,
}

/// The build record of one cell: a line of `builds.jsonl`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BuildRecord {
    /// [`crate::plan::SCHEMA`].
    pub schema: u32,
    /// The cell's id in the plan.
    pub cell: String,
    /// What stands in `/opt/extensions`, relative to the file with this line if it lies beside it; none if the build failed.
    pub program: Option<PathBuf>,
    /// The agent behind a launcher; stands beside `/opt/extensions`, as `/opt/bottlecap/agent`.
    pub agent: Option<PathBuf>,
    /// The SHA-256 of the program, and of the agent if there is one, in hexadecimal.
    pub sha256: String,
    /// The bytes of both.
    pub bytes: u64,
    /// The duration of the build in seconds.
    pub seconds: f64,
    /// Whether nothing had to be compiled.
    pub cached: bool,
    /// How many crates of the agent that took, of a build of the extension as it is measured.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub compiled: Option<usize>,
    /// The name of its group of flags: builds of one group take as long as each other.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub group: Option<String>,
    /// How many times as long as on an idle machine it was expected to take, by what ran beside it when the builds began.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub slowdown: Option<f64>,
    /// The part of the duration that was spent on the launcher; `None` without one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub launcher: Option<LauncherTime>,
    /// The features whose crates were not compiled yet where it was built.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub brought: BTreeSet<String>,
    /// What it was built from; none of what is not a build of the extension.
    pub origin: Option<Origin>,
    /// Another cell of the plan that has the same program, but for what each says of its compiler flags, and is measured in this one's stead. A feature that changes no
    /// code makes another program all the same: cargo mixes it into the name of every symbol, and those decide the order of what is compiled. That such a switch is worth
    /// nothing, only measuring can tell.
    pub same_as: Option<String>,
    /// The output of a failed build, with the command that reproduces it.
    pub failure: Option<Failure>,
}

/// Sources and compiler of a program.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Origin {
    /// The commit; where the sources differ from it, `+` and a hash of the differences follow.
    pub sources: String,
    /// As in `rustc --version`.
    pub compiler: String,
}

/// A build that failed.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Failure {
    /// A shell command that reproduces the failure.
    pub command: String,
    /// The end of what the compiler said.
    pub output: String,
}

/// Messages of compilers, linkers and the shell if a disk is full.
const FULL_DISK: [&str; 2] = ["No space left on device", "NoSpaceLeft"];

impl Failure {
    /// The line that says that a disk is full, which says nothing about the cell.
    pub fn full_disk(&self) -> Option<&str> {
        self.output.lines().find(|line| tells_of_full_disk(line)).map(str::trim)
    }
}

fn tells_of_full_disk(line: &str) -> bool {
    FULL_DISK.iter().any(|words| line.contains(words))
}

impl BuildRecord {
    /// With the places of its files on this machine, where the line is from this folder.
    #[must_use]
    pub fn located(mut self, folder: &Path) -> Self {
        for file in self.program.iter_mut().chain(&mut self.agent) {
            *file = folder.join(&*file);
        }
        self
    }

    /// As it is written in this folder: what lies in it is named relative to it, so that the folder can be moved and sent to other machines.
    #[must_use]
    pub fn beside(mut self, folder: &Path) -> Self {
        for file in self.program.iter_mut().chain(&mut self.agent) {
            if let Ok(relative) = file.strip_prefix(folder) {
                *file = relative.to_owned();
            }
        }
        self
    }
}

/// The last line of each cell, in the order of those lines: a build that was cut off leaves the earlier ones in the file.
pub fn latest(lines: Vec<BuildRecord>) -> Vec<BuildRecord> {
    let mut seen = BTreeSet::new();
    let mut kept: Vec<BuildRecord> = lines.into_iter().rev().filter(|built| seen.insert(built.cell.clone())).collect();
    kept.reverse();
    kept
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_line_of_a_cell_counts() {
        let line = |cell: &str, bytes| BuildRecord {
            schema: crate::plan::SCHEMA,
            cell: cell.to_owned(),
            program: None,
            agent: None,
            sha256: String::new(),
            bytes,
            seconds: 0.0,
            cached: false,
            compiled: None,
            group: None,
            slowdown: None,
            launcher: None,
            brought: BTreeSet::new(),
            origin: None,
            same_as: None,
            failure: None,
        };
        let kept = latest(vec![line("a", 1), line("b", 2), line("a", 3)]);
        let sizes: Vec<_> = kept.iter().map(|built| (built.cell.as_str(), built.bytes)).collect();
        assert_eq!(sizes, [("b", 2), ("a", 3)]);
    }
}
