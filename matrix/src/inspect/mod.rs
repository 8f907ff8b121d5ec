//! `cargo matrix inspect`: what a layer or a program is, whoever has made it, and whether it is what it says.

mod ask;
mod look;
mod text;

use std::fs;
use std::io;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;

use crate::cli;
use crate::layer::archive;

pub use look::{Document, Kind, Program, Seen, Start, look};

const AFTER: &str = "\
Examples:
  cargo matrix inspect target/matrix/layers/ship-x86_64.zip
  cargo matrix inspect ./downloaded-layer.zip --json
  cargo matrix inspect target/release/bottlecap

A layer of ours has a manifest, and every file of it is held to that. Its programs, or a program of ours by itself, are asked for their switches if this
machine can run them, unless --no-run is given. Of other layers is told what their files tell; nothing of them is started.

Exit status:
  0  nothing is wrong
  1  a file is not what the manifest says, or Lambda would not take the layer
  2  it is neither a zip file nor a program
  6  the file cannot be read";

/// Says what a layer or a program is, and checks it against its manifest
#[derive(Args, Debug)]
#[command(after_help = AFTER)]
pub struct Arguments {
    /// A layer's zip file, or a program
    #[arg(value_name = "FILE")]
    pub file: PathBuf,

    /// Never starts a program of the file
    #[arg(long)]
    pub no_run: bool,

    /// Writes one JSON document to standard output
    #[arg(long)]
    pub json: bool,
}

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("{} cannot be read", path.display())]
    Read { path: PathBuf, source: io::Error },
    #[error("it is neither a zip file nor a program of 64 bits")]
    Unknown,
    #[error("the layer must not be used")]
    Archive(#[from] archive::Error),
}

impl Error {
    fn status(&self) -> u8 {
        match self {
            Self::Read { .. } => cli::SETUP_FAILED,
            Self::Unknown | Self::Archive(archive::Error::Zip(_)) => cli::USAGE,
            Self::Archive(_) => cli::REFUSED,
        }
    }
}

/// Runs the verb.
pub fn run(arguments: &Arguments) -> ExitCode {
    let file = &arguments.file;
    let bytes = fs::read(file).map_err(|source| Error::Read { path: file.clone(), source });
    let document = bytes.and_then(|bytes| look(&file.display().to_string(), &bytes, !arguments.no_run));
    let document = match document {
        Ok(document) => document,
        Err(error) => return cli::complain(&error, error.status()),
    };
    if arguments.json {
        let _ = cli::print_json(&document);
    } else {
        cli::print(&text::page(&document));
    }
    if document.problems.is_empty() { ExitCode::SUCCESS } else { cli::REFUSED.into() }
}
