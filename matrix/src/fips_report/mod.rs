//! `cargo matrix fips-report`: what can be shown of a program with a build of the cryptographic module that was validated, for an auditor.
//!
//! ```text
//!   zip file ─▶ layer ───────────┐
//!   tree, sources, archives,     │
//!   compiled, graph (allowed),   ├─▶ proof: holds, fails or was not run ─▶ document ─▶ markdown
//!   tools, distribution,         │
//!   module_build, symbols,       │                                          ▲
//!   launcher, worker,            │                        procedure ────────┘
//!   build_report,                │
//!   integrity, handshake, roots ─┤
//!   cold starts ─▶ benchmark ────┘
//! ```
//!
//! Every judgement is a pure function of what was found; `gather` finds it, before the build, by the build and after it.

mod algorithms;
pub mod allowed;
mod archives;
pub mod benchmark;
pub mod build_report;
pub mod certificate;
pub mod clients;
mod compiled;
pub mod concurrency;
mod context;
mod distribution;
pub mod document;
mod error;
pub mod gather;
pub mod graph;
pub mod handshake;
pub mod hello;
pub mod integrity;
mod launcher;
pub mod layer;
mod lenient;
mod linker_inputs;
pub mod markdown;
pub mod module_build;
mod more_than_rust;
pub mod procedure;
pub mod proof;
pub mod roots;
mod runs;
mod rust_tools;
mod sandbox_run;
pub mod server;
pub mod sources;
pub mod symbols;
pub mod tools;
pub mod tree;
mod worker;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use clap::Args;

use crate::build::{self, BuildRecord, End};
use crate::measure::{self, Options};
use crate::plan::{self, DesignName};
use crate::target::Architecture;
use crate::workspace::{Profile, target_directory};
use crate::{estimate, files, interrupt, terminal};

pub use error::Error;

use benchmark::Cells;
use document::Document;
use gather::Request;

const AFTER: &str = "\
Examples:
  cargo matrix fips-report
  cargo matrix fips-report --no-benchmark --allow-dirty --out target/audit
  cargo matrix fips-report --no-benchmark --layer target/matrix/layers/ship-fips-x86_64.zip
  cargo matrix fips-report --no-benchmark --arch arm64
  cargo matrix fips-report --blocks 60
  cargo matrix fips-report --measured target/matrix/fips-report

Builds the set in an empty target directory, hashes sources and tools before and after, and proves:
  layer                   with --layer: the zip file is, byte for byte, the one that is made here
  tree                    the sources did not change during the report
  source                  every package's sources are those of its archive
  compiled                only those sources and files of the commit were compiled
  graph                   the programs consist of listed packages
  build                   the module was built from pinned sources, with pinned flags and tools
  symbols                 the symbols of the agent name no other cryptographic library
  launcher, worker        launcher and WAF worker are those of these sources, without cryptography
  integrity               the agent aborts if a bit of the module changes
  module                  version and FIPS mode of the module in the running agent
  offer                   what every client offers in a handshake
  accepted                servers with approved TLS get data of every client
  chacha, x25519          servers with other algorithms get none
  extended-master-secret  servers without it get none
  roots                   which certificate authorities each client trusts
A benchmark compares the program with others that differ only in their cryptography. fips-report.json has all results, fips-report.md the text for readers.

With --layer the proofs are about the zip file: it is inspected first, and refused unless it is, byte for byte, the layer that is made here. With --arch of another processor
the program runs in an emulator; proofs that nothing here can run, and that of a build for which no flags are
pinned, are marked as not run, and do not hold.

Sources that differ from their commit are refused, because a proof of them is about no commit. With --allow-dirty they are proven to see whether the proofs hold, and the
verdict says first that it is about no commit.

Exit status:
  0    every proof holds
  1    the layer is refused, or the sources differ from their commit; nothing was proven
  2    the command line asks for something that cannot be, or the measurement is another one
  3    something could not be built
  5    a proof fails or was not run; the report is written, and the last line names the proof
  6    something is missing on this machine
  130  interrupted";

/// The files in the folder of `--out`.
const JSON: &str = "fips-report.json";
const MARKDOWN: &str = "fips-report.md";

/// Report the proofs of a FIPS build
#[derive(Args, Debug)]
#[command(after_help = AFTER)]
pub struct Arguments {
    /// A set with a build of the module that was validated, with the launcher or without
    #[arg(long, value_name = "SET", default_value = "ship-fips")]
    pub set: String,

    /// A layer's zip file, which must be byte for byte what is made here
    #[arg(long, value_name = "ZIP")]
    pub layer: Option<PathBuf>,

    /// The processor of the program [default: that of this machine]
    #[arg(long, value_enum)]
    pub arch: Option<Architecture>,

    /// Prove sources that differ from their commit, or have none; the verdict is about no commit then
    #[arg(long)]
    pub allow_dirty: bool,

    /// Write matrix/fips-packages.toml and what cargo-deny has of it for the packages of the lock files, to be reviewed before they are committed, and do nothing else
    #[arg(long, exclusive = true)]
    pub write_packages: bool,

    /// The folder for fips-report.json and fips-report.md [default: target/matrix/fips-report]
    #[arg(long, value_name = "DIR")]
    pub out: Option<PathBuf>,

    /// Number of starts of each program in the benchmark of the module
    #[arg(long, value_name = "N", default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..))]
    pub blocks: u32,

    /// Skip the benchmark
    #[arg(long, conflicts_with_all = ["blocks", "measured"])]
    pub no_benchmark: bool,

    /// Take the benchmark from a folder with plan.json, builds.jsonl and samples.jsonl, instead of measuring
    #[arg(long, value_name = "DIR", conflicts_with = "blocks")]
    pub measured: Option<PathBuf>,
}

/// Runs the command and returns its exit status.
pub fn run(arguments: &Arguments) -> ExitCode {
    if arguments.write_packages {
        return match gather::write_packages(&arguments.set) {
            Ok(files) => {
                for file in &files {
                    terminal::print(&format!("{}\n", file.display()));
                }
                ExitCode::SUCCESS
            }
            Err(error) => terminal::exit_with_error(&error, error.status()),
        };
    }
    match report(arguments) {
        Ok(document) => verdict(&document),
        Err(error) => terminal::exit_with_error(&error, error.status()),
    }
}

fn verdict(document: &Document) -> ExitCode {
    let (failed, not_run) = (document.failed(), document.not_run());
    if !document.tree.is_clean() {
        eprintln!(
            "warning: the sources differ from their commit ({}): none of this is about a commit",
            document.tree.sources
        );
    }
    if document.holds {
        eprintln!("{}: all {} proofs hold", document.subject.cell, document.proofs.len());
        return ExitCode::SUCCESS;
    }
    for proof in document.proofs.iter().filter(|proof| !proof.holds) {
        let reason = proof.not_run.clone().unwrap_or_else(|| proof.against.join("; "));
        eprintln!("{}: {}: {reason}", proof.name, proof.outcome());
    }
    eprintln!("error: {}: not proven: {}", document.subject.cell, [failed, not_run].concat().join(", "));
    terminal::UNPROVEN.into()
}

fn report(arguments: &Arguments) -> Result<Document, Error> {
    let folder = target_directory().join("matrix/fips-report");
    let out = arguments.out.as_ref().unwrap_or(&folder);
    let outputs = [JSON, MARKDOWN].map(|name| out.join(name));
    files::keep_inputs("--out", outputs, &arguments.layer)?;
    let interrupted = interrupt::watch();
    let cells = Cells::of_set(&arguments.set)?;
    let architecture = arguments.arch.unwrap_or_else(Architecture::of_this_machine);
    let (set, layer, allow_dirty) = (arguments.set.clone(), arguments.layer.clone(), arguments.allow_dirty);
    let request = Request { set, layer, architecture, allow_dirty };
    let mut found = gather::proofs(&request, &interrupted)?;
    let benchmark = match &arguments.measured {
        // What another processor costs, an emulator cannot tell.
        _ if arguments.no_benchmark || architecture != Architecture::of_this_machine() => None,
        Some(measured) => Some(benchmark::read(measured, &cells, &found.certified.module)?),
        None => {
            measure(&folder, &cells, arguments.blocks, &interrupted)?;
            Some(benchmark::read(&folder, &cells, &found.certified.module)?)
        }
    };
    let benchmark = benchmark.map(|benchmark| benchmark.beside(&found.subject.cell, &found.subject.sha256));
    found.proofs.extend(benchmark.as_ref().map(|benchmark| benchmark.proof(&cells)));
    let document = found.document(benchmark);
    write(out, JSON, &(serde_json::to_string_pretty(&document)? + "\n"))?;
    write(out, MARKDOWN, &markdown::write(&document))?;
    terminal::print(&format!("{}\n", out.join(MARKDOWN).display()));
    Ok(document)
}

/// Plans the benchmark of these cells in a folder, builds them and makes the starts.
fn measure(folder: &Path, cells: &Cells, blocks: u32, interrupted: &Arc<AtomicBool>) -> Result<(), Error> {
    // Samples of other programs are no part of this measurement.
    match fs::remove_file(folder.join("samples.jsonl")) {
        Err(source) if source.kind() != std::io::ErrorKind::NotFound => {
            return Err(Error::File { path: folder.join("samples.jsonl"), source });
        }
        _ => {}
    }
    let list = cells.list().split(',').map(str::to_owned).collect();
    estimate::plan(&plan::Arguments { cells: list, blocks, ..plan::Arguments::new(DesignName::Cells, folder) })?;
    let built = build::build(&folder.display().to_string(), Profile::Release, &estimate::build_minutes)?;
    let End::All(built) = built else { return Err(Error::Interrupted) };
    all_built(built)?;
    let (out, stop) = (folder.to_owned(), Arc::clone(interrupted));
    let options = Options { out, blocks: None, shard: None, require: false, stop, waf: None, deliveries: true };
    let summary = measure::run_files(&folder.join("plan.json"), &folder.join(build::FILE), &options);
    // The signal reached the start in progress as well, so its failure means nothing.
    if interrupted.load(Ordering::Relaxed) {
        return Err(Error::Interrupted);
    }
    Ok(summary.map(drop)?)
}

fn all_built(built: Vec<BuildRecord>) -> Result<(), Error> {
    match built.into_iter().find_map(|built| Some((built.cell, built.failure?))) {
        Some((cell, failure)) => Err(Error::Failed { cell, failure }),
        None => Ok(()),
    }
}

fn write(folder: &Path, name: &str, text: &str) -> Result<(), Error> {
    let path = folder.join(name);
    files::write(&path, text).map_err(|source| Error::File { path, source })
}

#[cfg(test)]
mod tests {
    use super::*;
    use document::sample;

    #[test]
    fn a_proof_that_fails_is_a_status_of_its_own() {
        assert_eq!(verdict(&sample(true)), ExitCode::SUCCESS);
        assert_eq!(verdict(&sample(false)), terminal::UNPROVEN.into());
        let not_run = proof::Proof::not_run("roots", "claim", "how", "no such processor");
        let document = Document { holds: false, proofs: vec![not_run], ..sample(true) };
        assert_eq!(verdict(&document), terminal::UNPROVEN.into(), "what was not run is not proven");
    }

    #[test]
    fn unknown_set_and_unmeasured_set_have_different_errors() {
        let interrupted = AtomicBool::new(false);
        let architecture = Architecture::of_this_machine();
        let request = Request { set: "no-such-set".to_owned(), layer: None, architecture, allow_dirty: true };
        let error = gather::proofs(&request, &interrupted).err().unwrap();
        assert_eq!(error.status(), terminal::USAGE, "{error}");
        let line = r#"{"schema":3,"cell":"ship-fips","program":null,"agent":null,"sha256":"","bytes":0,"seconds":1.0,"cached":false,"origin":null,"same_as":null,"failure":{"command":"","output":""}}"#;
        let error = all_built(vec![serde_json::from_str(line).unwrap()]).unwrap_err();
        assert_eq!(error.status(), terminal::BUILD_FAILED, "{error}");
        assert_eq!(Error::from(measure::Error::NothingToMeasure).status(), terminal::USAGE);
    }
}
