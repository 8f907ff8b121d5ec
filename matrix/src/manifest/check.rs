//! `cargo matrix check`: whether the manifest, the package, the tests and the README agree, and whether plans can be carried out.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Args;

use super::{Manifest, agreement, code};
use crate::plan::{Plan, file};
use crate::workspace;

const AFTER: &str = "\
Examples:
  cargo matrix check
  cargo matrix check target/matrix/sets/plan.json

Exit status:
  0  everything agrees
  1  something does not
  2  the command line is wrong";

/// Looks for contradictions in the manifest and in plans
#[derive(Args, Debug)]
#[command(after_help = AFTER)]
pub struct Arguments {
    /// Plans to look at as well
    #[arg(value_name = "PLAN")]
    pub plans: Vec<PathBuf>,
}

/// Runs the verb.
pub fn run(arguments: &Arguments) -> ExitCode {
    let manifest = match Manifest::embedded() {
        Ok(manifest) => manifest,
        Err(error) => return crate::cli::complain(error, 1),
    };
    let mut complaints = repository(manifest, &workspace::root());
    for path in &arguments.plans {
        let about = |complaint: String| format!("{}: {complaint}", path.display());
        match file::read(path) {
            Ok(plan) => complaints.extend(self::plan(manifest, &plan).into_iter().map(about)),
            Err(error) => complaints.push(crate::cli::chain(&error)),
        }
    }
    for complaint in &complaints {
        eprintln!("error: {complaint}");
    }
    if !complaints.is_empty() {
        return ExitCode::FAILURE;
    }
    crate::cli::print(&format!(
        "{} factors, {} sets, {} plans: all agree\n",
        manifest.factors.len(),
        manifest.sets.len(),
        arguments.plans.len()
    ));
    ExitCode::SUCCESS
}

fn repository(manifest: &Manifest, root: &Path) -> Vec<String> {
    let read = |name: &str| fs::read_to_string(root.join(name)).map_err(|error| format!("{name}: {error}"));
    let package = read("Cargo.toml")
        .and_then(|text| agreement::Package::parse(&text).map_err(|error| format!("Cargo.toml: {error}")));
    let mut complaints = package.map_or_else(|error| vec![error], |package| agreement::features(manifest, &package));
    complaints.extend(agreement::proofs(manifest, root));
    complaints
        .extend(code::Sources::read(root).map_or_else(|error| vec![error], |sources| sources.complaints(manifest)));
    complaints.extend(read("README.md").map_or_else(|error| vec![error], |text| agreement::readme(manifest, &text)));
    complaints
}

/// What keeps a plan from being carried out with this manifest.
pub fn plan(manifest: &Manifest, plan: &Plan) -> Vec<String> {
    let mut complaints = plan.contradictions();
    for cell in plan.cells.iter().filter(|cell| !cell.levels.is_empty()) {
        let mut complain = |what: String| complaints.push(format!("cell {}: {what}", cell.id));
        for (factor, level) in &cell.levels {
            if let Err(error) = manifest.offers(&super::Choice::new(factor, level)) {
                complain(error.to_string());
            }
        }
        let missing = manifest.factors.iter().filter(|factor| !cell.levels.contains_key(&factor.name));
        missing.for_each(|factor| complain(format!("the level of {} is missing", factor.name)));
        if let Some(reason) = manifest.illegal(&cell.levels) {
            complain(reason);
        }
    }
    complaints
}
