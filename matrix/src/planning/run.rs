//! `cargo matrix plan`.

use std::fs;
use std::path::PathBuf;
use std::process::ExitCode;

use serde::Serialize;

use super::estimate::{Estimate, compiled, earlier_builds, lines};
use super::{externals, hosted, text};
use crate::build::load;
use crate::manifest::Manifest;
use crate::measure::sample::Sample;
use crate::plan::arguments::Format;
use crate::plan::{Arguments, DesignName, Error, InjectedFault, Plan, cells, file};
use crate::terminal;
use crate::workspace::target_directory;

/// The summary for programs.
#[derive(Serialize)]
struct Document<'d> {
    plan: &'d Plan,
    notes: &'d [String],
    estimate: &'d Estimate,
    /// Where the plan was written; nowhere in a dry run.
    written: Option<PathBuf>,
}

/// Runs the verb.
pub fn run(arguments: &Arguments) -> ExitCode {
    match decide(arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            terminal::exit_with_error(&error, if error.is_usage() { terminal::USAGE } else { terminal::SETUP_FAILED })
        }
    }
}

fn decide(arguments: &Arguments) -> Result<(), Error> {
    if arguments.shards > 1 && matches!(arguments.format, Format::Text | Format::Json) {
        return Err(Error::Shards);
    }
    let manifest = Manifest::embedded().map_err(|_| Error::Manifest)?;
    let (plan, mut notes) = cells::plan(manifest, arguments)?;
    let experiments = target_directory().join("matrix");
    let samples: Vec<Sample> = match &arguments.history {
        None => Vec::new(),
        Some(path) => lines(&fs::read_to_string(path).map_err(|source| Error::Read { path: path.clone(), source })?),
    };
    let there = |group: &_| compiled(&experiments, group);
    let estimate = Estimate::of(manifest, &plan, &earlier_builds(&experiments), there, &samples);
    let estimate = estimate.slowed(load::slowdown());
    notes.extend(undecided(arguments, &plan, &estimate));
    let shards = arguments.shards.min(plan.blocks);
    if shards < arguments.shards {
        let asked = arguments.shards;
        notes.push(format!(
            "--shards {asked} is cut to {shards}: a machine runs whole blocks, and there are no more of them"
        ));
    }
    let folder = arguments
        .out
        .clone()
        .unwrap_or_else(|| experiments.join(arguments.name.as_deref().unwrap_or(arguments.design.as_str())));
    let packed = externals::packed(&plan);
    if !arguments.dry_run {
        file::check(&packed, &folder)?;
        externals::copy(&plan, &folder)?;
        file::write(&packed, &folder)?;
    }
    let written = (!arguments.dry_run).then(|| folder.join(file::NAME));
    match arguments.format {
        Format::Json => {
            let plan = if arguments.dry_run { &plan } else { &packed };
            terminal::print_json(&Document { plan, notes: &notes, estimate: &estimate, written });
        }
        Format::Github | Format::Gitlab => {
            eprint!("{}", text::render(manifest, &plan, &notes, &estimate));
            let matrix = if arguments.format == Format::Github { hosted::github } else { hosted::gitlab };
            terminal::print(&(matrix(shards) + "\n"));
        }
        Format::Text => {
            terminal::print(&text::render(manifest, &plan, &notes, &estimate));
            if let Some(written) = written {
                terminal::print(&format!("\nwritten to {}\n", written.display()));
            }
        }
    }
    Ok(())
}

/// A warning, before anything is built, where times are to be compared and the run can decide nothing about them.
fn undecided(arguments: &Arguments, plan: &Plan, estimate: &Estimate) -> Option<String> {
    let is_timed = arguments.design != DesignName::Subsets
        && plan.conditions.iter().any(|condition| condition.fault == InjectedFault::None);
    (is_timed && estimate.detectable_ms.is_none()).then(|| {
        format!("WARNING: every difference in time will be inconclusive: {}; see --blocks", estimate.detectable_basis)
    })
}
