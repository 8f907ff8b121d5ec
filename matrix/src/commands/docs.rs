//! `cargo matrix docs`: writes the table of switches in `docs/switches.md`.

use std::fs;
use std::process::ExitCode;

use clap::Args;

use crate::manifest::{Manifest, docs};
use crate::{files, terminal, workspace};

const AFTER: &str = "\
Examples:
  cargo matrix docs
  cargo matrix docs --write

Exit status:
  0  done
  2  the command line is wrong
  6  the page cannot be read or written, or has no markers";

/// Print the table of switches as Markdown
#[derive(Args, Debug)]
#[command(after_help = AFTER)]
pub struct Arguments {
    /// Write the table between the markers of docs/switches.md instead
    #[arg(long)]
    pub write: bool,
}

/// Runs the command and returns its exit status.
pub fn run(arguments: &Arguments) -> ExitCode {
    let manifest = match Manifest::embedded() {
        Ok(manifest) => manifest,
        Err(error) => return terminal::exit_with_error(error, terminal::SETUP_FAILED),
    };
    if !arguments.write {
        terminal::print(&docs::table(manifest));
        return ExitCode::SUCCESS;
    }
    let path = workspace::root().join(docs::PAGE);
    let written = fs::read_to_string(&path).map_err(|error| error.to_string()).and_then(|text| {
        let text = docs::with_table(&text, &docs::table(manifest)).ok_or(format!(
            "there are no lines {} and {}",
            docs::BEGIN,
            docs::END
        ))?;
        files::write(&path, text).map_err(|error| error.to_string())
    });
    match written {
        Ok(()) => ExitCode::SUCCESS,
        Err(reason) => {
            eprintln!("error: {}: {reason}", path.display());
            terminal::SETUP_FAILED.into()
        }
    }
}
