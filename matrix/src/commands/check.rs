//! `cargo matrix check`: checks that the manifest, the package, the tests and the table of switches agree, and that plans can be executed.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Args;

use crate::manifest::{Manifest, agreement, code, docs};
use crate::plan::{self, file};
use crate::{terminal, workspace};

const AFTER: &str = "\
Examples:
  cargo matrix check
  cargo matrix check target/matrix/sets/plan.json

Exit status:
  0  everything agrees
  1  something does not
  2  the command line is wrong, or a file is no plan of this version
  6  a file cannot be read";

/// Check the manifest and plans for contradictions
#[derive(Args, Debug)]
#[command(after_help = AFTER)]
pub struct Arguments {
    /// Plans to check as well
    #[arg(value_name = "PLAN")]
    pub plans: Vec<PathBuf>,
}

/// Runs the command and returns its exit status.
pub fn run(arguments: &Arguments) -> ExitCode {
    let manifest = match Manifest::embedded() {
        Ok(manifest) => manifest,
        Err(error @ crate::manifest::Error::File { .. }) => {
            return terminal::exit_with_error(error, terminal::SETUP_FAILED);
        }
        Err(error) => return terminal::exit_with_error(error, terminal::REFUSED),
    };
    let Findings { mut complaints, unreadable } = repository(manifest, &workspace::root());
    let mut unusable = None;
    for path in &arguments.plans {
        let about = |complaint: String| format!("{}: {complaint}", path.display());
        match file::read(path) {
            Ok(plan) => complaints.extend(plan::check::plan(manifest, &plan).into_iter().map(about)),
            Err(error) => {
                let status = if error.is_usage() { terminal::USAGE } else { terminal::SETUP_FAILED };
                let _ = terminal::exit_with_error(&error, status);
                unusable = unusable.max(Some(status));
            }
        }
    }
    for complaint in complaints.iter().chain(&unreadable) {
        eprintln!("error: {complaint}");
    }
    // A contradiction decides the status, even if some file could not be read.
    if !complaints.is_empty() {
        return terminal::REFUSED.into();
    }
    if let Some(status) = unusable.max((!unreadable.is_empty()).then_some(terminal::SETUP_FAILED)) {
        return status.into();
    }
    terminal::print(&format!(
        "{} factors, {} sets, {} plans: all agree\n",
        manifest.factors.len(),
        manifest.sets.len(),
        arguments.plans.len()
    ));
    ExitCode::SUCCESS
}

/// The results of checking the repository.
#[derive(Default)]
struct Findings {
    complaints: Vec<String>,
    /// Files that could not be read.
    unreadable: Vec<String>,
}

impl Findings {
    fn add(&mut self, found: Result<Vec<String>, String>) {
        match found {
            Ok(complaints) => self.complaints.extend(complaints),
            Err(file) => self.unreadable.push(file),
        }
    }
}

fn repository(manifest: &Manifest, root: &Path) -> Findings {
    let read = |name: &str| {
        let path = root.join(name);
        fs::read_to_string(&path).map_err(|error| format!("{} cannot be read\n  because {error}", path.display()))
    };
    let features = |text: String| match agreement::Package::parse(&text) {
        Ok(package) => agreement::features(manifest, &package),
        Err(error) => vec![format!("Cargo.toml: {error}")],
    };
    let mut findings = Findings::default();
    let package = read("Cargo.toml");
    let is_here = package.is_ok();
    findings.add(package.map(features));
    // Outside of the repository the other files do not exist, either.
    if !is_here {
        return findings;
    }
    findings.add(Ok(agreement::proofs(manifest, root)));
    findings.add(code::Sources::read(root).map(|sources| sources.complaints(manifest)));
    findings.add(read(docs::PAGE).map(|text| agreement::page(manifest, &text)));
    findings
}
