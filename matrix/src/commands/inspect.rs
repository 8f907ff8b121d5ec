//! `cargo matrix inspect`: what a layer or a program is, whoever has made it, and whether it is what it says.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;
use rustix::process::geteuid;

use crate::inspect::{self, Document, Error};
use crate::{files, terminal};

const AFTER: &str = "\
Examples:
  cargo matrix inspect target/matrix/layers/ship-x86_64.zip
  cargo matrix inspect --run target/release/bottlecap
  cargo matrix inspect --require-manifest --expect-sha256 SHA256 --json layer.zip

Checks of every layer: its size, the modes of its files and directories, that extensions stand where Lambda looks for them. A layer of ours has a manifest, and every file,
the build and the bill of materials are held to that. Nothing of the file is started, unless --run is given: then programs that the manifest lists, or a program of ours by
itself, are asked for their switches, as the user nobody, without a network. That needs root.

Exit status:
  0  no problem was found
  1  there is a problem: a file is not what the manifest says, Lambda would not take or start the layer, or it is not the one that was expected
  2  the file is neither a zip file nor a 64-bit ELF program
  6  the file cannot be read, is a device or a pipe, or larger than any layer or program; --run is given by somebody else than root, or this machine cannot start a program so (no user namespaces, no space for it, no emulator of its processor)";

/// Inspect and check a layer or a program
#[derive(Args, Debug)]
#[command(after_help = AFTER)]
pub struct Arguments {
    /// A layer's zip file, or a program
    #[arg(value_name = "FILE")]
    pub file: PathBuf,

    /// Run programs of ours to ask for their switches, as the user nobody and without a network
    #[arg(long)]
    pub run: bool,

    /// Fail if the layer has no manifest
    #[arg(long)]
    pub require_manifest: bool,

    /// Fail if the file has another SHA-256
    #[arg(long, value_name = "HEX")]
    pub expect_sha256: Option<String>,

    /// Write one JSON document to standard output
    #[arg(long)]
    pub json: bool,
}

/// Runs the command and returns its exit status.
pub fn run(arguments: &Arguments) -> ExitCode {
    // A user namespace of its own would leave a program all rights that its user has to files.
    if arguments.run && !geteuid().is_root() {
        return terminal::exit_with_error(&Error::NotRoot, Error::NotRoot.status());
    }
    let file = &arguments.file;
    let bytes = files::read(file).map_err(|source| Error::Read { path: file.clone(), source });
    let document = bytes.and_then(|bytes| inspect::look(&file.display().to_string(), &bytes, arguments.run));
    let mut document = match document {
        Ok(document) => document,
        Err(error) => return terminal::exit_with_error(&error, error.status()),
    };
    document.problems.extend(arguments.unmet(&document));
    if arguments.json {
        let _ = terminal::print_json(&document);
    } else {
        terminal::print(&inspect::page(&document));
    }
    if document.problems.is_empty() { ExitCode::SUCCESS } else { terminal::REFUSED.into() }
}

impl Arguments {
    /// What was asked for and is not so.
    fn unmet(&self, document: &Document) -> Vec<String> {
        let lacks = self.require_manifest && document.manifest.is_none();
        let manifest = lacks.then(|| "there is no manifest in it, and one is required".to_owned());
        let is_other = |expected: &&String| !expected.eq_ignore_ascii_case(&document.sha256);
        let sha256 = self.expect_sha256.as_ref().filter(is_other);
        let sha256 = sha256.map(|expected| format!("its SHA-256 is {}, and {expected} was expected", document.sha256));
        manifest.into_iter().chain(sha256).collect()
    }
}
