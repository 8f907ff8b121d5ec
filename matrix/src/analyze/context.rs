//! Input that the analyses of all conditions share.

use std::collections::{BTreeMap, BTreeSet};

use super::estimate::Bootstrap;
use crate::build::BuildRecord;
use crate::plan::{Cell, CellKind, Plan};

/// The plan and the build results of its cells.
#[derive(Clone, Debug)]
pub struct Context<'a> {
    pub plan: &'a Plan,
    pub bootstrap: Bootstrap,
    same_as: BTreeMap<&'a str, &'a str>,
    unbuilt: BTreeSet<&'a str>,
}

impl<'a> Context<'a> {
    pub fn new(plan: &'a Plan, builds: &'a [BuildRecord], bootstrap: Bootstrap) -> Self {
        let same = builds.iter().filter_map(|built| Some((built.cell.as_str(), built.same_as.as_deref()?)));
        let unbuilt = builds.iter().filter(|built| built.failure.is_some()).map(|built| built.cell.as_str());
        Self { plan, bootstrap, same_as: same.collect(), unbuilt: unbuilt.collect() }
    }

    /// The id of the cell that was started in place of this one: itself, unless it has the same program as another.
    pub fn measured_as<'b>(&'b self, cell: &'b str) -> &'b str
    where
        'a: 'b,
    {
        // A chain longer than the plan is a cycle.
        let mut measured = cell;
        for _ in &self.plan.cells {
            match self.same_as.get(measured) {
                Some(&other) => measured = other,
                None => break,
            }
        }
        measured
    }

    /// The reference of a cell: the first cell of the plan, or for a control, its original.
    pub fn reference_of(&self, cell: &'a Cell) -> Option<&'a str> {
        let reference = match &cell.kind {
            CellKind::Again { of } => of.as_str(),
            _ => self.plan.cells.first()?.id.as_str(),
        };
        (reference != cell.id).then_some(reference)
    }

    /// Whether a cell has a program: it was built, or needs no build.
    pub fn has_program(&self, cell: &Cell) -> bool {
        match &cell.kind {
            CellKind::Again { of } => !self.unbuilt.contains(of.as_str()),
            _ => !self.unbuilt.contains(cell.id.as_str()),
        }
    }
}
