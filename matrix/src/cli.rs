//! The command line and its exit statuses.

use std::error::Error;
use std::io::Write as _;
use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, Ordering};

use clap::{Command, CommandFactory, FromArgMatches, Parser, Subcommand};
use serde::Serialize;

use crate::manifest::{check, docs, list};
use crate::sandbox::users;
use crate::{
    analyze, bench, build, compare, fips_report, gate, help, inspect, invoke, layer, measure, merge, plan, report,
};

/// What was made or checked is not valid: a layer, a program, the manifest or a plan.
pub const REFUSED: u8 = 1;
/// The command line is wrong.
pub const USAGE: u8 = 2;
/// A build failed.
pub const BUILD_FAILED: u8 = 3;
/// A cell does not deliver what its function printed and sent, or not what the reference delivers.
pub const PAYLOAD_MISMATCH: u8 = 4;
/// A proof failed or was not run.
pub const UNPROVEN: u8 = 5;
/// Something is missing, or cannot be read or written.
pub const SETUP_FAILED: u8 = 6;
/// The sandbox could not make a start in several attempts; this is no failure of a program.
pub const HARNESS_FAILED: u8 = 7;
/// A cell did not start, or not often enough.
pub const DID_NOT_START: u8 = 8;
/// A candidate has grown by more than its budget.
pub const REGRESSED: u8 = 10;
/// The run cannot tell: it has too few starts, or they vary too much.
pub const INCONCLUSIVE: u8 = 11;
/// The control differs or is missing, so no result of the run is valid.
pub const INVALID_RUN: u8 = 12;
/// The status with which shells report a process that SIGINT has ended.
pub const INTERRUPTED: u8 = 130;

/// Whether output was lost because standard output could not be written.
static LOST: AtomicBool = AtomicBool::new(false);

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
    verb: MatrixCommand,
}

#[derive(Debug, Subcommand)]
enum MatrixCommand {
    Invoke(Box<invoke::Arguments>),
    List(list::Arguments),
    Plan(Box<plan::Arguments>),
    Build(build::Arguments),
    Layer(layer::Arguments),
    Inspect(inspect::Arguments),
    Bench(measure::Arguments),
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
            if cli.verb.starts_sandboxes()
                && let Err(error) = users::gain_namespaces()
            {
                return exit_with_error(&error, SETUP_FAILED);
            }
            dispatch(cli)
        }
        Err(error) => error.exit(),
    };
    // A verdict takes precedence over lost output.
    if LOST.load(Ordering::Relaxed) && code == ExitCode::SUCCESS { SETUP_FAILED.into() } else { code }
}

/// The definition of the command line.
pub fn command() -> Command {
    Cli::command()
}

fn dispatch(cli: Cli) -> ExitCode {
    match cli.verb {
        MatrixCommand::Invoke(arguments) => invoke::run(&arguments),
        MatrixCommand::List(arguments) => list::run(&arguments),
        MatrixCommand::Plan(arguments) => plan::run(&arguments),
        MatrixCommand::Build(arguments) => build::run(&arguments),
        MatrixCommand::Layer(arguments) => layer::run(&arguments),
        MatrixCommand::Inspect(arguments) => inspect::run(&arguments),
        MatrixCommand::Bench(arguments) if arguments.is_planned() => measure::bench(&arguments),
        MatrixCommand::Bench(arguments) => bench::run(arguments.blocks, arguments.require, &typed),
        MatrixCommand::Compare(arguments) => compare::run(&arguments, &typed),
        MatrixCommand::Merge(arguments) => merge::run(&arguments),
        MatrixCommand::Analyze(arguments) => analyze::run(&arguments),
        MatrixCommand::Report(arguments) => report::run(&arguments),
        MatrixCommand::Gate(arguments) => gate::run(&arguments),
        MatrixCommand::FipsReport(arguments) => fips_report::run(&arguments, &typed),
        MatrixCommand::Check(arguments) => check::run(&arguments),
        MatrixCommand::Docs(arguments) => docs::run(&arguments),
    }
}

/// Runs a command line as if it were typed after `cargo matrix`.
fn typed(line: &[String]) -> ExitCode {
    let words = std::iter::once("matrix").chain(line.iter().map(String::as_str));
    match Cli::try_parse_from(words) {
        Ok(cli) => dispatch(cli),
        // Clap's message contains "error" already.
        Err(error) => {
            let _ = error.print();
            USAGE.into()
        }
    }
}

/// Prints an error with its sources and returns its exit status.
pub fn exit_with_error(error: &dyn Error, status: u8) -> ExitCode {
    eprintln!("error: {}", chain(error));
    status.into()
}

/// An error and its sources, one a line.
pub fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        text += &format!("\n  because {error}");
        source = error.source();
    }
    text
}

/// Writes to standard output. A closed pipe, such as that of `head`, is not an error. Any other failure, such as a full disk, makes the process end with
/// [`SETUP_FAILED`].
pub fn print(text: &str) {
    let mut out = std::io::stdout();
    remember_loss(out.write_all(text.as_bytes()).and_then(|()| out.flush()));
}

/// Records the result of writing to standard output; a failure makes the process end as with [`print`].
pub fn remember_loss(written: std::io::Result<()>) {
    if let Err(error) = written
        && error.kind() != std::io::ErrorKind::BrokenPipe
        && !LOST.swap(true, Ordering::Relaxed)
    {
        eprintln!("error: standard output cannot be written\n  because {error}");
    }
}

/// Writes one JSON document to standard output.
pub fn print_json(document: &impl Serialize) -> ExitCode {
    match serde_json::to_string_pretty(document) {
        Ok(text) => {
            print(&(text + "\n"));
            ExitCode::SUCCESS
        }
        Err(error) => exit_with_error(&error, SETUP_FAILED),
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
    fn an_error_is_told_with_its_sources() {
        let source = std::io::Error::other("the disk is full");
        let error = plan::Error::Write { path: "plan.json".into(), source };
        assert_eq!(chain(&error), "plan.json cannot be written\n  because the disk is full");
    }
}
