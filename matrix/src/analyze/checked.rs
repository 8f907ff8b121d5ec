//! Rejects contradictory samples and plans before anything is computed from them.

use std::collections::BTreeMap;

use super::Error;
use crate::measure::sample::Sample;
use crate::plan::{CellKind, Plan};

/// Checks the samples of a plan.
///
/// Returns an error if a cell has two programs, a control has another program than its original, a start has two results, or a measure has a negative value.
pub fn samples(plan: &Plan, samples: &[Sample]) -> Result<(), Error> {
    let mut programs: BTreeMap<&str, &str> = BTreeMap::new();
    let mut starts: BTreeMap<(&str, String, u32), &Sample> = BTreeMap::new();
    for sample in samples.iter().filter(|sample| !sample.harness) {
        let cell = sample.cell.as_str();
        if *programs.entry(cell).or_insert(&sample.program) != sample.program {
            return Err(Error::Program { cell: cell.to_owned() });
        }
        let place = (cell, format!("{:?}", sample.condition), sample.block);
        if *starts.entry(place).or_insert(sample) != sample {
            return Err(Error::Twice { cell: cell.to_owned(), block: sample.block });
        }
        if let Some((measure, value)) = sample.measures.iter().find(|(_, value)| **value < 0.0) {
            let (measure, block) = (measure.clone(), sample.block);
            return Err(Error::Negative { cell: cell.to_owned(), block, measure, value: *value });
        }
    }
    for cell in &plan.cells {
        if let CellKind::Again { of } = &cell.kind
            && let (Some(one), Some(other)) = (programs.get(cell.id.as_str()), programs.get(of.as_str()))
            && one != other
        {
            return Err(Error::Control { again: cell.id.clone(), of: of.clone() });
        }
    }
    Ok(())
}
