//! Provenance: the machine and the sources. Numbers without it cannot be compared with others.

use std::collections::BTreeSet;

use serde::Serialize;

use super::input::Experiment;
use super::number::counted;
use crate::build::Origin;
use crate::measure::{Machine, Run, SkippedCondition};
use crate::plan::circumstances::describe;
use crate::workspace::sources;

/// Number of hexadecimal digits that identify a commit.
const COMMIT: usize = 12;

/// Where the numbers come from.
#[derive(Clone, Debug, Serialize)]
pub struct Provenance<'a> {
    /// The provenance as one sentence.
    pub sentence: String,
    pub run: &'a Run,
    /// The origins of the programs: one, unless some were built at another time.
    pub built_from: Vec<&'a Origin>,
}

impl<'a> Provenance<'a> {
    /// The provenance. `None` if it was not recorded, or only for another plan.
    pub fn of(experiment: &'a Experiment) -> Option<Self> {
        let run = experiment.run.as_ref().filter(|run| run.seed == experiment.analysis.seed)?;
        let origins: BTreeSet<&Origin> = experiment.builds.iter().filter_map(|built| built.origin.as_ref()).collect();
        let built_from: Vec<&Origin> = origins.into_iter().collect();
        Some(Self { sentence: sentence(run, &built_from), run, built_from })
    }
}

fn sentence(run: &Run, built_from: &[&Origin]) -> String {
    let mut parts = vec![format!("Measured on {}, seed {}.", machine(&run.machine), run.seed)];
    parts.extend(
        built_from.iter().map(|origin| format!("Built from {} by {}.", source(&origin.sources), origin.compiler)),
    );
    let commit = run.commit.as_deref().map(|commit| format!(" at {}", source(commit))).unwrap_or_default();
    parts.push(format!("Measured by matrix {}{commit}.", run.matrix));
    if !run.refused.is_empty() {
        parts.push(format!("The machine refused: {}.", run.refused.join("; ")));
    }
    parts.extend(run.left_out.iter().map(|SkippedCondition { condition, reason }| {
        format!("Not measured: {}, because the machine has {reason}.", describe(condition))
    }));
    parts.join(" ")
}

fn machine(machine: &Machine) -> String {
    let Machine { cpu, cores, kernel, architecture, governor, memory_mb, control_groups, .. } = machine;
    let governor = governor.as_ref().map(|governor| format!(" (governor {governor})")).unwrap_or_default();
    let groups = match control_groups {
        Some(version) => format!("control groups version {version}"),
        None => "no control groups".to_owned(),
    };
    let cpus = counted(*cores, "visible CPU");
    format!("{cpu}{governor}, {cpus}, {memory_mb} MB, {architecture}, {kernel}, {groups}")
}

/// A commit, and whether the sources differed from it. The two records mark that differently.
fn source(name: &str) -> String {
    let end = name.find(['-', '+']);
    let commit = name.get(..end.unwrap_or(name.len())).unwrap_or_default();
    let short = commit.get(..COMMIT).unwrap_or(commit);
    // The text after the mark.
    let changes = end.and_then(|end| name.get(end + 1..));
    format!("{short}{}", sources::remark(changes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commit_is_abbreviated_and_marked_if_dirty() {
        let commit = "51c92f8a0d1e2f3a4b5c6d7e8f9a0b1c2d3e4f5a";
        assert_eq!(source(commit), "51c92f8a0d1e");
        assert_eq!(source(&format!("{commit}-dirty")), "51c92f8a0d1e with changes");
        assert_eq!(source(&format!("{commit}+00ff")), "51c92f8a0d1e with changes");
        assert_eq!(source(&format!("{commit}+all-00ff")), "51c92f8a0d1e without history");
        assert_eq!(source("unknown"), "unknown");
    }
}
