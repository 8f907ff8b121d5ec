//! `cargo matrix build`: builds a set, or the cells of a plan.

use std::process::ExitCode;

use clap::Args;

use crate::build::{self, BuildRecord, End, Error};
use crate::workspace::Profile;
use crate::{estimate, terminal};

const AFTER: &str = "\
Examples:
  cargo matrix build ship
  cargo matrix build ship+jemalloc-tag-cache
  cargo matrix build target/matrix/sets
  cargo matrix build target/matrix/leave-one-out/plan.json
  cargo matrix build target/matrix/subsets --profile dev

A set, with `+` before added switches and `-` before removed ones, is built under `target/matrix/single`. Programs of a plan are
written to `programs/` beside it, with a record for each in `builds.jsonl`. An up-to-date program is not rebuilt, so an interrupted build resumes.

Exit status:
  0    every cell has a program
  2    the plan does not fit
  3    a cell could not be built; its line has the command that shows why
  6    something is missing on this machine, or a disk is full
  130  interrupted";

/// Build a set, or a plan's cells
#[derive(Args, Debug)]
#[command(after_help = AFTER)]
pub struct Arguments {
    /// A set with `+` before added switches and `-` before removed ones, `floor`, or the file or folder of a plan
    #[arg(value_name = "SET|PLAN")]
    pub what: String,

    /// The cargo profile; `dev` builds many times faster and only shows whether a combination works, never use it to measure
    #[arg(long, value_enum, default_value_t, value_name = "PROFILE")]
    pub profile: Profile,
}

/// Runs the command and returns its exit status.
pub fn run(arguments: &Arguments) -> ExitCode {
    match build::build(&arguments.what, arguments.profile, &estimate::build_minutes) {
        Ok(End::All(lines)) => summary(&lines),
        Ok(End::Interrupted(lines)) => {
            eprintln!("interrupted; {} cells are built, and the same command resumes", lines.len());
            terminal::INTERRUPTED.into()
        }
        Err(error) => {
            let is_usage = matches!(&error, Error::Misfit(_)) || matches!(&error, Error::Plan(plan) if plan.is_usage());
            terminal::exit_with_error(&error, if is_usage { terminal::USAGE } else { terminal::SETUP_FAILED })
        }
    }
}

fn summary(lines: &[BuildRecord]) -> ExitCode {
    for built in lines {
        if let Some(same) = &built.same_as {
            terminal::print(&format!(
                "{} is the same program as {same}: their differences change nothing\n",
                built.cell
            ));
        }
    }
    let failed: Vec<&BuildRecord> = lines.iter().filter(|built| built.failure.is_some()).collect();
    for built in &failed {
        if let Some(failure) = &built.failure {
            terminal::print(&format!(
                "\n{} could not be built:\n{}\n\nto see it again:\n  {}\n",
                built.cell, failure.output, failure.command
            ));
        }
    }
    if let ([BuildRecord { program: Some(program), .. }], []) = (lines, failed.as_slice()) {
        terminal::print(&format!("{}\n", program.display()));
        return ExitCode::SUCCESS;
    }
    terminal::print(&format!("\n{} of {} cells are built\n", lines.len() - failed.len(), lines.len()));
    if failed.is_empty() { ExitCode::SUCCESS } else { terminal::BUILD_FAILED.into() }
}
