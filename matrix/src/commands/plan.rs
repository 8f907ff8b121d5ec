//! `cargo matrix plan`: plans an experiment, and says what it costs and how small an effect it can see.

use std::process::ExitCode;

use crate::estimate::{self, hosted};
use crate::plan::arguments::Format;
use crate::plan::{Arguments, Error};
use crate::terminal;

/// Runs the command and returns its exit status.
pub fn run(arguments: &Arguments) -> ExitCode {
    match print(arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            terminal::exit_with_error(&error, if error.is_usage() { terminal::USAGE } else { terminal::SETUP_FAILED })
        }
    }
}

fn print(arguments: &Arguments) -> Result<(), Error> {
    let planned = estimate::plan(arguments)?;
    match arguments.format {
        Format::Json => {
            terminal::print_json(&planned);
        }
        Format::Github | Format::Gitlab => {
            eprint!("{}", planned.text()?);
            let matrix = if arguments.format == Format::Github { hosted::github } else { hosted::gitlab };
            terminal::print(&(matrix(planned.shards) + "\n"));
        }
        Format::Text => {
            terminal::print(&planned.text()?);
            if let Some(written) = planned.written {
                terminal::print(&format!("\nwritten to {}\n", written.display()));
            }
        }
    }
    Ok(())
}
