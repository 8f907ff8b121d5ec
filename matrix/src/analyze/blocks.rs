//! The starts of one condition, by cell and block.

use std::collections::{BTreeMap, BTreeSet};

use crate::measure::sample::{MEASURES, Sample};

/// Starts that count and starts that failed, by cell and block.
#[derive(Debug, Default)]
pub struct Blocks<'a> {
    cells: BTreeMap<&'a str, Starts<'a>>,
}

/// One cell's starts.
#[derive(Debug, Default)]
pub struct Starts<'a> {
    /// Starts that count, by block.
    pub good: BTreeMap<u32, &'a Sample>,
    /// Starts that failed, by block.
    pub failed: BTreeMap<u32, &'a Sample>,
    /// Starts that the sandbox could not make and that were not repeated, by block.
    pub harness: BTreeMap<u32, &'a Sample>,
}

impl<'a> Blocks<'a> {
    /// Adds a start. Returns it as an error if its cell already has one in the same block.
    pub fn add(&mut self, sample: &'a Sample) -> Result<(), &'a Sample> {
        let starts = self.cells.entry(&sample.cell).or_default();
        let is_made = starts.good.contains_key(&sample.block) || starts.failed.contains_key(&sample.block);
        if sample.harness {
            if !is_made {
                starts.harness.insert(sample.block, sample);
            }
            return Ok(());
        }
        if is_made {
            return Err(sample);
        }
        starts.harness.remove(&sample.block);
        let side = if sample.failure.is_none() { &mut starts.good } else { &mut starts.failed };
        side.insert(sample.block, sample);
        Ok(())
    }

    /// Whether there are no starts.
    pub fn is_empty(&self) -> bool {
        self.cells.is_empty()
    }

    pub fn starts(&self, cell: &str) -> Option<&Starts<'a>> {
        self.cells.get(cell)
    }

    /// Every block with at least one start.
    pub fn all(&self) -> BTreeSet<u32> {
        self.cells.values().flat_map(|starts| starts.good.keys().chain(starts.failed.keys())).copied().collect()
    }

    /// The blocks in which each of these cells has a start that counts.
    pub fn complete(&self, cells: &[&str]) -> BTreeSet<u32> {
        let mut blocks = self.all();
        for cell in cells {
            blocks.retain(|block| self.starts(cell).is_some_and(|starts| starts.good.contains_key(block)));
        }
        blocks
    }

    /// The values of a measure: a row for each complete block in ascending order, a column for each of these cells.
    pub fn rows(&self, cells: &[&str], measure: &str) -> Vec<Vec<f64>> {
        let value = |cell: &str, block: u32| {
            let start = self.starts(cell)?.good.get(&block)?;
            start.measures.get(measure).copied()
        };
        let row = |block: u32| cells.iter().map(|cell| value(cell, block)).collect();
        self.all().into_iter().filter_map(row).collect()
    }

    /// The names of all measures that any start has; known measures come first.
    pub fn measures(&self) -> Vec<&'a str> {
        let samples = self.cells.values().flat_map(|starts| starts.good.values());
        let names: BTreeSet<&str> = samples.flat_map(|sample| sample.measures.keys().map(String::as_str)).collect();
        let known = MEASURES.iter().map(|measure| measure.name);
        let place = |name: &str| known.clone().position(|known| known == name).unwrap_or(MEASURES.len());
        let mut names: Vec<&str> = names.into_iter().collect();
        names.sort_by_key(|name| place(name));
        names
    }
}

impl Starts<'_> {
    /// All values of a measure.
    pub fn values(&self, measure: &str) -> Vec<f64> {
        self.good.values().filter_map(|start| start.measures.get(measure).copied()).collect()
    }
}
