//! Cells become programs.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// What became of one cell: a line of `builds.jsonl`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Built {
    /// [`crate::plan::SCHEMA`].
    pub schema: u32,
    /// The cell's id in the plan.
    pub cell: String,
    /// What stands in `/opt/extensions`; none if the build failed.
    pub program: Option<PathBuf>,
    /// What a launcher executes; stands beside `/opt/extensions`, as `/opt/bottlecap/agent`.
    pub agent: Option<PathBuf>,
    /// The SHA-256 of the program, and of the agent if there is one, in hexadecimal.
    pub sha256: String,
    /// The bytes of both.
    pub bytes: u64,
    /// How long the build took.
    pub seconds: f64,
    /// Whether nothing had to be compiled.
    pub cached: bool,
    /// Another cell of the plan that has the same program, and is measured in this one's stead.
    pub same_as: Option<String>,
    /// Why there is no program, with the command that shows it again.
    pub failure: Option<Failure>,
}

/// A build that failed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Failure {
    /// Copy, paste, see.
    pub command: String,
    /// The end of what the compiler said.
    pub output: String,
}
