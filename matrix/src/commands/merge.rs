//! `cargo matrix merge`: merges the shards of one plan, measured on several machines, into one run.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;

use crate::{merge, terminal};

const AFTER: &str = "\
Examples:
  cargo matrix merge shard-0 shard-1 shard-2 --out merged
  cargo matrix analyze merged/plan.json merged/samples.jsonl --out merged/analysis.json

Every folder is one that `bench --shard M/N --out` has left. Together they are what one machine would have left: the same starts in the same order, in
plan.json, builds.jsonl, run.json and samples.jsonl. Blocks are never split, so that differences stay within a machine.

Exit status:
  0  the folders are put together
  2  they are of different plans or programs, have a start twice, or lack a start that was planned: a folder without any, a cell, a block
  6  a file cannot be read or written";

/// Merge the shards of a run
#[derive(Args, Debug)]
#[command(after_help = AFTER)]
pub struct Arguments {
    /// The folders of the shards
    #[arg(required = true, value_name = "DIR")]
    pub shards: Vec<PathBuf>,

    /// The folder for the merged run
    #[arg(long, value_name = "DIR")]
    pub out: PathBuf,

    /// Accept that planned starts, whole cells or all starts of a folder are missing
    #[arg(long)]
    pub partial: bool,
}

/// Runs the command and returns its exit status.
pub fn run(arguments: &Arguments) -> ExitCode {
    match merge::merge(&arguments.shards, &arguments.out, arguments.partial) {
        Ok(summary) => {
            eprintln!("{summary}");
            ExitCode::SUCCESS
        }
        Err(error) => {
            terminal::exit_with_error(&error, if error.is_usage() { terminal::USAGE } else { terminal::SETUP_FAILED })
        }
    }
}
