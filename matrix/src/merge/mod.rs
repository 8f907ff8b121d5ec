//! Merges the shards of one plan, measured on several machines, into one run.

mod error;
mod shard;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use clap::ValueEnum as _;
use serde::Serialize;

pub use error::Error;

use shard::{Shard, Start};

use crate::build::{BuildRecord, FILE};
use crate::files;
use crate::measure::Run;
use crate::plan::{Cell, CellKind, Condition, DELIVERY, InjectedFault, Plan, file};

/// The files of a run.
const FILES: [&str; 4] = [file::NAME, FILE, "run.json", "samples.jsonl"];

/// Merges the folders of shards into the folder `out`. With `partial`, planned starts may be missing. Returns a sentence about the merged run.
pub fn merge(folders: &[PathBuf], out: &Path, partial: bool) -> Result<String, Error> {
    let files_of = |folder: &Path| FILES.map(|name| folder.join(name));
    files::keep_inputs("--out", files_of(out), folders.iter().flat_map(|folder| files_of(folder)))?;
    let shards = folders.iter().map(|folder| Shard::read(folder)).collect::<Result<Vec<_>, _>>()?;
    let plan = plan(&shards)?;
    same_instrument(&shards)?;
    let starts = starts(&plan, &shards)?;
    if !partial {
        if let Some(empty) = shards.iter().find(|shard| shard.starts.is_empty()) {
            return Err(Error::Empty(empty.folder.clone()));
        }
        all_cells(&plan, &starts, &builds(&shards))?;
        complete(&plan, &starts, &left_out(&shards))?;
    }
    file::write(&plan, out)?;
    let lines = starts.values().map(|start| format!("{}\n", start.line));
    write(&out.join("samples.jsonl"), &lines.collect::<String>())?;
    let built = builds(&shards).into_iter().map(|built| Ok(serde_json::to_string(built)? + "\n"));
    let built = built.collect::<Result<String, serde_json::Error>>().map_err(Error::Json)?;
    write(&out.join(FILE), &built)?;
    if let Some(run) = run_of(&shards) {
        write(&out.join("run.json"), &(serde_json::to_string_pretty(&run).map_err(Error::Json)? + "\n"))?;
    }
    Ok(summary(&shards, starts.len(), out))
}

fn summary(shards: &[Shard], starts: usize, out: &Path) -> String {
    let machines: BTreeSet<&str> =
        shards.iter().filter_map(|shard| shard.run.as_ref()).map(|run| run.machine.cpu.as_str()).collect();
    let kinds = match machines.len() {
        0 | 1 => String::new(),
        kinds => format!(", on {kinds} kinds of machines"),
    };
    format!("{starts} starts of {} folders put together{kinds}: {}", shards.len(), out.display())
}

/// The plan of all shards. They may differ only in the shard that each one ran.
fn plan(shards: &[Shard]) -> Result<Plan, Error> {
    let whole = |shard: &Shard| Plan { shard: None, ..shard.plan.clone() };
    let (first, rest) = shards.split_first().ok_or(Error::Nothing)?;
    let plan = whole(first);
    match rest.iter().find(|shard| whole(shard) != plan) {
        Some(other) => Err(Error::Plan { one: first.folder.clone(), other: other.folder.clone() }),
        None => Ok(plan),
    }
}

/// Returns an error if shards were measured in different ways, as far as that is recorded.
fn same_instrument(shards: &[Shard]) -> Result<(), Error> {
    let mut recorded = shards.iter().filter_map(|shard| Some((&shard.folder, shard.run.as_ref()?.instrument)));
    let Some((one, version)) = recorded.next() else { return Ok(()) };
    match recorded.find(|(_, other)| *other != version) {
        Some((other, found)) => Err(Error::Instrument { one: one.clone(), version, other: other.clone(), found }),
        None => Ok(()),
    }
}

/// The position of a start in the schedule. Starts of one machine run in this order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
struct ScheduledStart {
    block: u32,
    condition: usize,
    position: u32,
}

fn starts<'a>(plan: &Plan, shards: &'a [Shard]) -> Result<BTreeMap<ScheduledStart, &'a Start>, Error> {
    let mut starts = BTreeMap::new();
    let mut programs: BTreeMap<&str, &Start> = BTreeMap::new();
    for (shard, start) in shards.iter().flat_map(|shard| shard.starts.iter().map(move |start| (shard, start))) {
        let sample = &start.sample;
        let stranger = || Error::Stranger { folder: shard.folder.clone(), cell: sample.cell.clone() };
        let condition = place(plan, &sample.condition);
        let condition = condition.filter(|_| plan.cells.iter().any(|cell| cell.id == sample.cell));
        let scheduled = ScheduledStart {
            block: sample.block,
            condition: condition.ok_or_else(stranger)?,
            position: sample.position,
        };
        // A start that the sandbox could not make may have been repeated.
        let before = starts.get(&scheduled).is_some_and(|before: &&Start| !before.sample.harness);
        if sample.harness && starts.contains_key(&scheduled) {
            continue;
        }
        if before {
            return Err(Error::Twice { folder: shard.folder.clone(), cell: sample.cell.clone(), block: sample.block });
        }
        starts.insert(scheduled, start);
        if programs.entry(&sample.cell).or_insert(start).sample.program != sample.program {
            return Err(Error::Program { folder: shard.folder.clone(), cell: sample.cell.clone() });
        }
    }
    Ok(starts)
}

/// The index of a condition. The conditions of untimed starts follow those of the plan.
fn place(plan: &Plan, condition: &Condition) -> Option<usize> {
    let planned = plan.conditions.iter().position(|planned| planned == condition);
    let fault = || InjectedFault::value_variants().iter().position(|fault| *fault == condition.fault);
    let untimed = || fault().filter(|_| condition.runtime == DELIVERY).map(|fault| plan.conditions.len() + fault);
    planned.or_else(untimed)
}

/// Returns an error unless every cell that has a program was started. Yardsticks are exempt, because only the machine that built them starts them. Of cells with the
/// same program, one is enough.
fn all_cells(plan: &Plan, starts: &BTreeMap<ScheduledStart, &Start>, builds: &[&BuildRecord]) -> Result<(), Error> {
    let started: BTreeSet<&str> = starts.values().map(|start| start.sample.cell.as_str()).collect();
    let has_program = |cell: &str| !builds.iter().any(|built| built.cell == cell && built.failure.is_some());
    let is_twin = |cell: &str| builds.iter().any(|built| built.cell == cell && built.same_as.is_some());
    let is_due = |cell: &Cell| match &cell.kind {
        CellKind::Floor | CellKind::StdFloor => false,
        CellKind::Again { of } => has_program(of),
        CellKind::Build | CellKind::External { .. } => has_program(&cell.id) && !is_twin(&cell.id),
    };
    let missing = plan.cells.iter().filter(|cell| is_due(cell) && !started.contains(cell.id.as_str()));
    let cells: Vec<String> = missing.map(|cell| cell.id.clone()).collect();
    if cells.is_empty() { Ok(()) } else { Err(Error::MissingCells { cells }) }
}

/// Returns an error unless every cell that was started was started as often as planned.
///
/// A condition that a machine left out, because it does not produce it, is complete if no machine has starts under it; the merged run leaves it out, too.
fn complete(plan: &Plan, starts: &BTreeMap<ScheduledStart, &Start>, left_out: &[&Condition]) -> Result<(), Error> {
    let there: BTreeSet<(usize, u32, &str)> = starts
        .iter()
        .map(|(scheduled, start)| (scheduled.condition, scheduled.block, start.sample.cell.as_str()))
        .collect();
    let cells: BTreeSet<&str> = there.iter().map(|(_, _, cell)| *cell).collect();
    let is_started = |condition: usize| there.iter().any(|(started, _, _)| *started == condition);
    let conditions = plan.conditions.iter().enumerate();
    let scheduled = conditions.filter(|(index, condition)| is_started(*index) || !left_out.contains(condition));
    let scheduled: Vec<usize> = scheduled.map(|(index, _)| index).collect();
    let lacks = |block: &u32| {
        let all = |condition| cells.iter().all(|cell| there.contains(&(condition, *block, *cell)));
        !scheduled.iter().all(|condition| all(*condition))
    };
    let missing: Vec<u32> = (0..plan.blocks).filter(lacks).collect();
    if missing.is_empty() { Ok(()) } else { Err(Error::Missing { missing, planned: plan.blocks }) }
}

/// The build record of each cell, in the plan's order. A cell counts as built only if every shard that tried could build it.
fn builds(shards: &[Shard]) -> Vec<&BuildRecord> {
    let mut builds: Vec<&BuildRecord> = Vec::new();
    for built in shards.iter().flat_map(|shard| &shard.builds) {
        match builds.iter_mut().find(|known| known.cell == built.cell) {
            Some(known) if known.failure.is_none() && built.failure.is_some() => *known = built,
            Some(_) => {}
            None => builds.push(built),
        }
    }
    builds
}

/// The conditions that any machine left out.
fn left_out(shards: &[Shard]) -> Vec<&Condition> {
    let runs = shards.iter().filter_map(|shard| shard.run.as_ref());
    runs.flat_map(|run| &run.left_out).map(|left_out| &left_out.condition).collect()
}

/// The merged machine record: facts that all machines share, and everything that any of them refused.
fn run_of(shards: &[Shard]) -> Option<Run> {
    let mut runs = shards.iter().filter_map(|shard| shard.run.clone());
    let mut first = runs.next()?;
    for run in runs {
        first.machine = first.machine.and(&run.machine);
        for refused in run.refused {
            if !first.refused.contains(&refused) {
                first.refused.push(refused);
            }
        }
        for left_out in run.left_out {
            if first.left_out.iter().all(|known| known.condition != left_out.condition) {
                first.left_out.push(left_out);
            }
        }
    }
    Some(first)
}

fn write(path: &Path, text: &str) -> Result<(), Error> {
    files::write(path, text).map_err(|source| Error::Write { path: path.to_owned(), source })
}
