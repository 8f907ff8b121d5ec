//! Judges whether each cell delivers its payload: start by start, from what arrived at the intake, independent of times.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::blocks::{Blocks, Starts};
use super::context::Context;
use crate::build::BuildRecord;
use crate::measure::sample::Sample;
use crate::plan::{Cell, CellKind, Condition, DELIVERY, Plan};

/// Number of starts of a cell under a condition for which one failed start is tolerated. With fewer starts, none is.
pub const TOLERATED_IN: usize = 50;

/// What a cell delivered under one condition.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Delivery {
    pub condition: Condition,
    /// The cell's id.
    pub cell: String,
    /// Starts that count.
    pub starts: usize,
    /// Starts that failed.
    pub failed: usize,
    /// The digest of the delivered payload, if all starts that count agree on it.
    pub digest: Option<String>,
    pub outcome: DeliveryOutcome,
    /// What is wrong, with counts, or which failures were tolerated.
    pub reason: Option<String>,
}

/// The delivery outcome of a cell's starts, from best to worst.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum DeliveryOutcome {
    /// Everything arrived in every start and equals what the reference delivers.
    Delivered,
    /// The cell sends another payload by design, or what arrived was not recorded.
    NotCompared,
    /// The sandbox could not make a start.
    HarnessFailure,
    /// The cell never started, or less often than it had to.
    DidNotStart,
    /// Something is missing, differs from what the reference delivers, or changes from start to start.
    PayloadMismatch,
}

impl DeliveryOutcome {
    /// The name in JSON and in the help.
    pub fn name(self) -> &'static str {
        match self {
            Self::Delivered => "delivered",
            Self::NotCompared => "not-compared",
            Self::HarnessFailure => "harness-failure",
            Self::DidNotStart => "did-not-start",
            Self::PayloadMismatch => "payload-mismatch",
        }
    }

    /// Whether the outcome is an error: the cell does not deliver, or it is unknown whether it does.
    pub fn is_failure(self) -> bool {
        self > Self::NotCompared
    }
}

impl Delivery {
    /// One sentence that names the cell and says what is wrong.
    pub fn sentence(&self) -> String {
        let reason = self.reason.as_deref().unwrap_or("nothing is wrong");
        format!("{}: {}: {reason}", self.cell, self.outcome.name())
    }
}

/// The delivery of every cell that has a program, in the plan's order. Empty for a condition that was left out.
pub fn deliveries(context: &Context<'_>, condition: &Condition, blocks: &Blocks<'_>) -> Vec<Delivery> {
    if blocks.is_empty() {
        return Vec::new();
    }
    let standards = Standards::of(context, blocks);
    let none = Starts::default();
    let most = context.plan.cells.iter().filter_map(|cell| Some(made(blocks.starts(&cell.id)?))).max();
    let of = |cell: &Cell| {
        let starts = blocks.starts(context.measured_as(&cell.id)).unwrap_or(&none);
        let is_absent = starts.good.is_empty() && starts.failed.is_empty() && starts.harness.is_empty();
        let held = is_held(context, cell).then(|| DeliveryRequirement { standard: standards.of_cell(context, cell) });
        // A machine starts only the yardsticks that it built. A cell whose payload differs by design is started for its times only.
        if is_absent && (cell.kind.is_yardstick() || condition.runtime == DELIVERY && held.is_none()) {
            return None;
        }
        // The number of starts is checked for built and external cells only: not every machine starts the yardsticks, and the control has its own check. An
        // interrupted run lacks the end of its last block.
        let is_due = matches!(cell.kind, CellKind::Build | CellKind::External { .. });
        let due = most.filter(|most| is_due && made(starts) + 1 < *most);
        let judged = judge(starts, held.as_ref(), due);
        Some(Delivery {
            condition: condition.clone(),
            cell: cell.id.clone(),
            starts: starts.good.len(),
            failed: starts.failed.len(),
            digest: steady(starts),
            outcome: judged.0,
            reason: judged.1,
        })
    };
    context.plan.cells.iter().filter(|cell| context.has_program(cell)).filter_map(of).collect()
}

/// The deliveries for a planned condition without any start: one for each cell that has a program.
pub fn never_started(plan: &Plan, builds: &[BuildRecord], condition: &Condition) -> Vec<Delivery> {
    let has_program = |cell: &&Cell| !builds.iter().any(|built| built.cell == cell.id && built.failure.is_some());
    let cells = plan.cells.iter().filter(|cell| matches!(cell.kind, CellKind::Build | CellKind::External { .. }));
    let never = |cell: &Cell| Delivery {
        condition: condition.clone(),
        cell: cell.id.clone(),
        starts: 0,
        failed: 0,
        digest: None,
        outcome: DeliveryOutcome::DidNotStart,
        reason: Some("it was never started".to_owned()),
    };
    cells.filter(has_program).map(never).collect()
}

/// Whether a cell has to deliver the same payload as the reference.
pub fn is_held(context: &Context<'_>, cell: &Cell) -> bool {
    match &cell.kind {
        CellKind::Build | CellKind::External { .. } => !context.plan.sends_its_own(cell),
        CellKind::Floor | CellKind::StdFloor => false,
        CellKind::Again { of } => {
            context.plan.cells.iter().any(|other| {
                other.id == *of && !matches!(other.kind, CellKind::Again { .. }) && is_held(context, other)
            })
        }
    }
}

/// The requirement on a cell that must deliver everything, with the expected digest if one is known.
struct DeliveryRequirement<'a> {
    standard: Option<&'a Standard<'a>>,
}

/// A standard for each set of components: what they add is delivered besides.
struct Standards<'a>(BTreeMap<Vec<&'static str>, Option<Standard<'a>>>);

impl<'a> Standards<'a> {
    fn of(context: &'a Context<'_>, blocks: &Blocks<'a>) -> Self {
        let all: BTreeSet<_> = context.plan.cells.iter().map(|cell| context.plan.components(cell)).collect();
        Self(
            all.into_iter()
                .map(|components| (components.clone(), Standard::of(context, blocks, &components)))
                .collect(),
        )
    }

    fn of_cell(&self, context: &Context<'_>, cell: &Cell) -> Option<&Standard<'a>> {
        self.0.get(&context.plan.components(cell))?.as_ref()
    }
}

/// The digest that the cells of a condition must deliver that have the same components.
struct Standard<'a> {
    digest: &'a str,
    /// The cell that delivers the digest.
    cell: &'a str,
}

impl<'a> Standard<'a> {
    /// The digest of the plan's first cell, or `None` if no digest is known.
    ///
    /// If its digest varies from start to start, the most frequent one counts. If the first cell loses something, has other components or sends another payload by
    /// design, the digests of all cells are considered.
    fn of(context: &'a Context<'_>, blocks: &Blocks<'a>, components: &[&str]) -> Option<Self> {
        let is_judged = |cell: &Cell| is_held(context, cell) && context.plan.components(cell) == components;
        let held: Vec<&Cell> = context.plan.cells.iter().filter(|cell| is_judged(cell)).collect();
        let complete = |cell: &Cell| {
            let starts =
                blocks.starts(context.measured_as(&cell.id)).into_iter().flat_map(|starts| starts.good.values());
            let digests =
                starts.filter(|start| start.undelivered.is_none()).filter_map(|start| start.digest.as_deref());
            digests.collect::<Vec<&'a str>>()
        };
        let all: Vec<(&str, &str)> =
            held.iter().flat_map(|cell| complete(cell).into_iter().map(|digest| (cell.id.as_str(), digest))).collect();
        let first = context.plan.cells.first().filter(|first| is_judged(first));
        let count = |digest: &str, cell: Option<&str>| {
            all.iter().filter(|(of, other)| *other == digest && cell.is_none_or(|cell| cell == *of)).count()
        };
        let first = first.map(|first| first.id.as_str()).filter(|first| all.iter().any(|(of, _)| of == first));
        let mut best: Option<(usize, usize, Self)> = None;
        for (cell, digest) in all.iter().filter(|(cell, _)| first.is_none_or(|first| first == *cell)) {
            let score = (count(digest, first), count(digest, None));
            if best.as_ref().is_none_or(|(own, every, _)| score > (*own, *every)) {
                best = Some((score.0, score.1, Self { digest, cell }));
            }
        }
        best.map(|(_, _, standard)| standard)
    }
}

/// Number of attempted starts.
fn made(starts: &Starts<'_>) -> usize {
    starts.good.len() + starts.failed.len() + starts.harness.len()
}

/// The outcome and its reason. `due` is the number of planned starts, if the cell was started less often.
fn judge(
    starts: &Starts<'_>,
    held: Option<&DeliveryRequirement<'_>>,
    due: Option<usize>,
) -> (DeliveryOutcome, Option<String>) {
    use DeliveryOutcome::{Delivered, DidNotStart, HarnessFailure, NotCompared, PayloadMismatch};
    let lost = held.and_then(|held| incomplete(starts).or_else(|| mismatch(starts, held.standard?)));
    let (good, failed) = (starts.good.len(), starts.failed.len());
    let failures = failures(starts);
    match () {
        () if lost.is_some() => (PayloadMismatch, lost),
        () if failed > (good + failed) / TOLERATED_IN => (DidNotStart, failures),
        () if !starts.harness.is_empty() => (HarnessFailure, harness(starts)),
        () if good == 0 => (DidNotStart, Some("it was never started".to_owned())),
        () if let Some(due) = due => {
            let made = made(starts);
            (DidNotStart, Some(format!("it was started {made} times, and others {due} times")))
        }
        () => (
            if held.is_some_and(|held| held.standard.is_some()) { Delivered } else { NotCompared },
            failures.map(|failures| format!("{failures}; one in {TOLERATED_IN} is tolerated")),
        ),
    }
}

fn incomplete(starts: &Starts<'_>) -> Option<String> {
    let all = starts.good.len();
    let lacks = |start: &&&Sample| start.undelivered.is_some();
    let first = starts.good.values().find(lacks)?;
    let count = starts.good.values().filter(lacks).count();
    let what = first.undelivered.as_deref().unwrap_or_default();
    Some(format!("{count} of {all} starts lost something, the first in block {}: {what}", first.block))
}

fn mismatch(starts: &Starts<'_>, standard: &Standard<'_>) -> Option<String> {
    let all = starts.good.len();
    let differs = |start: &&&Sample| start.digest.as_deref() != Some(standard.digest);
    let first = starts.good.values().find(differs)?;
    let count = starts.good.values().filter(differs).count();
    let (of, block) = (standard.cell, first.block);
    Some(if count == all {
        format!("none of {all} starts delivers what {of} delivers")
    } else {
        format!(
            "what it delivers changes: {count} of {all} starts, the first in block {block}, do not deliver what {of} delivers"
        )
    })
}

/// The number of failed starts, with the first reason.
pub fn failures(starts: &Starts<'_>) -> Option<String> {
    let reason = starts.failed.values().next()?.failure.as_deref().unwrap_or_default();
    let all = starts.failed.len() + starts.good.len();
    Some(format!("{} of {all} starts failed, the first because {reason}", starts.failed.len()))
}

fn harness(starts: &Starts<'_>) -> Option<String> {
    let reason = starts.harness.values().next()?.failure.as_deref().unwrap_or_default();
    Some(format!("the sandbox could not make {} of its starts: {reason}", starts.harness.len()))
}

/// The digest, if all starts agree on it.
fn steady(starts: &Starts<'_>) -> Option<String> {
    let mut digests = starts.good.values().map(|start| start.digest.as_ref());
    let first = digests.next()??;
    digests.all(|digest| digest == Some(first)).then(|| first.clone())
}

/// The outcome of each cell, by cell id.
pub fn outcomes(deliveries: &[Delivery]) -> BTreeMap<&str, DeliveryOutcome> {
    deliveries.iter().map(|delivery| (delivery.cell.as_str(), delivery.outcome)).collect()
}
