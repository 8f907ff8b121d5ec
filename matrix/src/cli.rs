//! The command line.

use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::invoke;

/// Runs the bottlecap extension in a local Lambda sandbox and says what arrived.
#[derive(Debug, Parser)]
#[command(name = "cargo matrix", bin_name = "cargo matrix", version, arg_required_else_help = true)]
struct Cli {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    Invoke(Box<invoke::Arguments>),
}

/// Does what the command line says. A wrong command line ends the process here, with clap's own message and status 2.
pub fn run() -> ExitCode {
    match Cli::parse().verb {
        Verb::Invoke(arguments) => invoke::run(&arguments),
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_well_formed() {
        Cli::command().debug_assert();
    }
}
