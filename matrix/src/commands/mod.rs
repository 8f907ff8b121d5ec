//! The command line: one module a command, with its options and its exit statuses.

pub mod analyze;
pub mod bench;
pub mod build;
pub mod check;
pub mod compare;
pub mod comparison;
pub mod docs;
pub mod gate;
mod help;
pub mod inspect;
pub mod list;
pub mod merge;
pub mod plan;
pub mod report;
pub mod steps;

use std::process::ExitCode;

use clap::{Command, CommandFactory, FromArgMatches, Parser, Subcommand};

use crate::sandbox::users;
use crate::{fips_report, invoke, layer, terminal};

/// The version and the panic strategy: a tool built with the extension's profile aborts on a panic instead of cleaning up.
const VERSION: &str = if cfg!(panic = "unwind") {
    concat!(env!("CARGO_PKG_VERSION"), " (panic=unwind)")
} else {
    concat!(env!("CARGO_PKG_VERSION"), " (panic=abort)")
};

/// Test and measure bottlecap in a local Lambda
#[derive(Debug, Parser)]
#[command(name = "cargo matrix", bin_name = "cargo matrix", version, long_version = VERSION, arg_required_else_help = true)]
struct Cli {
    #[command(subcommand)]
    command: MatrixCommand,
}

#[derive(Debug, Subcommand)]
enum MatrixCommand {
    Invoke(Box<invoke::Arguments>),
    List(list::Arguments),
    Plan(Box<crate::plan::Arguments>),
    Build(build::Arguments),
    Layer(layer::Arguments),
    Inspect(inspect::Arguments),
    Bench(bench::Arguments),
    Compare(compare::Arguments),
    Merge(merge::Arguments),
    Analyze(analyze::Arguments),
    Report(report::Arguments),
    Gate(gate::Arguments),
    FipsReport(fips_report::Arguments),
    Check(check::Arguments),
    Docs(docs::Arguments),
}

impl MatrixCommand {
    fn starts_sandboxes(&self) -> bool {
        matches!(self, Self::Invoke(_) | Self::Bench(_) | Self::Compare(_))
    }
}

/// Runs the command line. If it is wrong, clap prints a message and ends the process with status 2.
pub fn run() -> ExitCode {
    let matches = help::fitted(command()).get_matches();
    let code = match Cli::from_arg_matches(&matches) {
        Ok(cli) => {
            // It requires that the process has one thread.
            if cli.command.starts_sandboxes()
                && let Err(error) = users::gain_namespaces()
            {
                return terminal::exit_with_error(&error, terminal::SETUP_FAILED);
            }
            dispatch(cli)
        }
        Err(error) => error.exit(),
    };
    // A verdict takes precedence over lost output.
    if terminal::has_lost_output() && code == ExitCode::SUCCESS { terminal::SETUP_FAILED.into() } else { code }
}

/// The definition of the command line.
pub fn command() -> Command {
    Cli::command()
}

fn dispatch(cli: Cli) -> ExitCode {
    match cli.command {
        MatrixCommand::Invoke(arguments) => invoke::run(&arguments),
        MatrixCommand::List(arguments) => list::run(&arguments),
        MatrixCommand::Plan(arguments) => plan::run(&arguments),
        MatrixCommand::Build(arguments) => build::run(&arguments),
        MatrixCommand::Layer(arguments) => layer::run(&arguments),
        MatrixCommand::Inspect(arguments) => inspect::run(&arguments),
        MatrixCommand::Bench(arguments) if arguments.is_planned() => bench::run(&arguments),
        MatrixCommand::Bench(arguments) => comparison::run(arguments.blocks, arguments.require),
        MatrixCommand::Compare(arguments) => compare::run(&arguments),
        MatrixCommand::Merge(arguments) => merge::run(&arguments),
        MatrixCommand::Analyze(arguments) => analyze::run(&arguments),
        MatrixCommand::Report(arguments) => report::run(&arguments),
        MatrixCommand::Gate(arguments) => gate::run(&arguments),
        MatrixCommand::FipsReport(arguments) => fips_report::run(&arguments),
        MatrixCommand::Check(arguments) => check::run(&arguments),
        MatrixCommand::Docs(arguments) => docs::run(&arguments),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_well_formed() {
        Cli::command().debug_assert();
    }

    #[test]
    fn every_command_has_a_short_first_line_and_examples() {
        for command in Cli::command().get_subcommands() {
            let about = command.get_about().unwrap().to_string();
            assert!(about.split(' ').count() <= 8 && !about.ends_with('.'), "{about}");
            let after = command.get_after_help().unwrap().to_string();
            assert!(after.contains("Examples:\n  cargo matrix ") && after.contains("Exit status"), "{about}: {after}");
        }
    }
}
