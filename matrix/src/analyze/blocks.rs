//! The starts of one condition, by cell and block.

use std::collections::{BTreeMap, BTreeSet};

use crate::measure::sample::{MEASURES, Sample};

/// Starts that count and starts that failed, each under its cell and block.
#[derive(Debug, Default)]
pub struct Blocks<'a> {
    cells: BTreeMap<&'a str, Starts<'a>>,
}

/// One cell's starts.
#[derive(Debug, Default)]
pub struct Starts<'a> {
    /// Those that count, by block.
    pub good: BTreeMap<u32, &'a Sample>,
    /// Those that do not, by block.
    pub failed: BTreeMap<u32, &'a Sample>,
    /// Those that the sandbox could not make, by block, unless they were made later.
    pub harness: BTreeMap<u32, &'a Sample>,
}

impl<'a> Blocks<'a> {
    /// A cell's second start in the same block is not taken, and handed back.
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

    /// Whether nothing was started.
    pub fn is_empty(&self) -> bool {
        self.cells.is_empty()
    }

    pub fn starts(&self, cell: &str) -> Option<&Starts<'a>> {
        self.cells.get(cell)
    }

    /// Every block in which anything was started.
    pub fn all(&self) -> BTreeSet<u32> {
        self.cells.values().flat_map(|starts| starts.good.keys().chain(starts.failed.keys())).copied().collect()
    }

    /// Blocks in which all these cells have a start that counts.
    pub fn complete(&self, cells: &[&str]) -> BTreeSet<u32> {
        let mut blocks = self.all();
        for cell in cells {
            blocks.retain(|block| self.starts(cell).is_some_and(|starts| starts.good.contains_key(block)));
        }
        blocks
    }

    /// One value of a measure for each of these cells, for every block that has them all, in the order of the blocks.
    pub fn rows(&self, cells: &[&str], measure: &str) -> Vec<Vec<f64>> {
        let value = |cell: &str, block: u32| {
            let start = self.starts(cell)?.good.get(&block)?;
            start.measures.get(measure).copied()
        };
        let row = |block: u32| cells.iter().map(|cell| value(cell, block)).collect();
        self.all().into_iter().filter_map(row).collect()
    }

    /// All measures that any start has, those that are known first.
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
