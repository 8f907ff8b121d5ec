//! The baseline of an earlier run: `baseline.json`, small enough to be kept beside the sources.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::{Error, writing};
use crate::analyze::{ConditionAnalysis, Delivery, Estimate};
use crate::files;
use crate::measure::{INSTRUMENT, Machine, Run};
use crate::plan::circumstances::describe;
use crate::plan::{Condition, SCHEMA};
use crate::report::{Experiment, GATES};

/// The ratios to the floor and the digests of a run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Baseline {
    /// The schema version, [`SCHEMA`].
    schema: u32,
    /// [`INSTRUMENT`] of the run; files of before have none.
    #[serde(default)]
    instrument: u32,
    /// The machine that the ratios were measured on; `None` if it was not recorded.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    machine: Option<Machine>,
    conditions: Vec<StoredCondition>,
    /// The digest of each cell, from timed and untimed starts. Empty in a file of an earlier version.
    #[serde(default)]
    deliveries: Vec<StoredDelivery>,
    /// The baselines of other machines.
    #[serde(skip)]
    others: Vec<Self>,
}

/// The digest of a cell's payload under a condition.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct StoredDelivery {
    condition: Condition,
    cell: String,
    digest: String,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct StoredCondition {
    condition: Condition,
    /// Ratios by cell id, then by gate.
    cells: BTreeMap<String, BTreeMap<String, Ratio>>,
}

/// The ratio of a gate to the floor's, with its 95 % confidence interval.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Ratio {
    pub value: f64,
    pub low: f64,
    pub high: f64,
    /// The minimum detectable growth of this run, as a factor less one.
    pub detectable: f64,
}

impl From<&Estimate> for Ratio {
    fn from(estimate: &Estimate) -> Self {
        let Estimate { value, low, high, detectable, .. } = *estimate;
        Self { value, low, high, detectable }
    }
}

impl Baseline {
    /// The baseline of a run that was compared with its floor.
    pub fn of(experiment: &Experiment) -> Result<Self, Error> {
        let run = comparable(experiment)?;
        let conditions: Vec<StoredCondition> = experiment.analysis.conditions.iter().map(stored).collect();
        if conditions.iter().all(|stored| stored.cells.is_empty()) {
            return Err(Error::NoFloor);
        }
        let delivered = experiment.analysis.deliveries.iter().filter_map(|delivery| {
            let (condition, cell, digest) =
                (delivery.condition.clone(), delivery.cell.clone(), delivery.digest.clone()?);
            Some(StoredDelivery { condition, cell, digest })
        });
        let deliveries = delivered.collect();
        let (instrument, machine) = (run.instrument, Some(run.machine.clone()));
        Ok(Self { schema: SCHEMA, instrument, machine, conditions, deliveries, others: Vec::new() })
    }

    /// Reads the baselines of several machines. The first one stands for all of them where machines are not distinguished.
    pub fn read_all(paths: &[PathBuf]) -> Result<Option<Self>, Error> {
        let mut all = paths.iter().map(|path| Self::read(path)).collect::<Result<Vec<_>, _>>()?.into_iter();
        let first = all.next();
        Ok(first.map(|first| Self { others: all.collect(), ..first }))
    }

    /// The baseline of each machine.
    pub fn runs(&self) -> impl Iterator<Item = &Self> {
        std::iter::once(self).chain(&self.others)
    }

    pub fn machine(&self) -> Option<&Machine> {
        self.machine.as_ref()
    }

    pub fn read(path: &Path) -> Result<Self, Error> {
        let text = fs::read_to_string(path).map_err(|source| Error::Read { path: path.to_owned(), source })?;
        let baseline: Self =
            serde_json::from_str(&text).map_err(|source| Error::Baseline { path: path.to_owned(), source })?;
        let found = baseline.schema;
        if found != SCHEMA {
            return Err(Error::Schema { path: path.to_owned(), found });
        }
        let found = baseline.instrument;
        if found == INSTRUMENT { Ok(baseline) } else { Err(Error::Instrument { path: path.to_owned(), found }) }
    }

    pub fn write(&self, path: &Path) -> Result<(), Error> {
        let text = serde_json::to_string_pretty(self).map_err(Error::Json)?;
        files::write(path, text + "\n").map_err(writing(path))
    }

    /// The digest that a cell must deliver, on any machine. Returns an error if none is stored and the cell has one now.
    pub fn digest(&self, delivery: &Delivery) -> Result<Option<&str>, Error> {
        let Delivery { condition, cell, digest, .. } = delivery;
        let stored = self
            .runs()
            .flat_map(|run| &run.deliveries)
            .find(|stored| stored.condition == *condition && stored.cell == *cell);
        match stored {
            None if digest.is_some() => {
                let condition = describe(condition);
                Err(Error::NoDigestInBaseline { cell: cell.clone(), condition })
            }
            stored => Ok(stored.map(|stored| stored.digest.as_str())),
        }
    }

    /// The stored ratio of a cell's gate.
    pub fn ratio(&self, condition: &Condition, cell: &str, gate: &str) -> Option<Ratio> {
        let stored = self.conditions.iter().find(|stored| stored.condition == *condition)?;
        stored.cells.get(cell)?.get(gate).copied()
    }
}

/// The record of a run whose ratios may be compared with those of another run. Returns an error if it was measured with another [`INSTRUMENT`], or nothing says with
/// which.
pub fn comparable(experiment: &Experiment) -> Result<&Run, Error> {
    let run = experiment.run.as_ref().ok_or(Error::NoRecord)?;
    let found = run.instrument;
    if found == INSTRUMENT { Ok(run) } else { Err(Error::RunInstrument { found }) }
}

fn stored(found: &ConditionAnalysis) -> StoredCondition {
    let gates = |ratios: &BTreeMap<String, Estimate>| {
        let gate = |gate: &str| Some((gate.to_owned(), Ratio::from(ratios.get(gate)?)));
        GATES.into_iter().filter_map(gate).collect::<BTreeMap<String, Ratio>>()
    };
    let cells = found.to_floor.iter().map(|comparison| (comparison.cell.clone(), gates(&comparison.ratios)));
    StoredCondition {
        condition: found.condition.clone(),
        cells: cells.filter(|(_, gates)| !gates.is_empty()).collect(),
    }
}
