//! Runs that never took place: starts on a machine whose truth is known.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a helper of a test fails as the test does")]

use std::collections::BTreeMap;

use matrix::analyze::{Analysis, Comparison, ConditionAnalysis, Effect, Estimate, Verdict};
use matrix::measure::sample::Sample;
use matrix::plan::{Alias, Cell, CellKind, Condition, Plan, SCHEMA};
use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};

/// Fewer than in earnest, so that thousands of analyses take seconds; 5 % of one more is whole, so that levels are exact.
pub const RESAMPLES: usize = 199;

pub fn condition() -> Condition {
    Condition::default()
}

pub fn plan(cells: Vec<Cell>, blocks: u32) -> Plan {
    Plan {
        schema: SCHEMA,
        seed: 7,
        design: "sets".to_owned(),
        factors: Vec::new(),
        cells,
        aliases: Vec::new(),
        conditions: vec![condition()],
        blocks,
        own_payload: Vec::new(),
        shard: None,
    }
}

pub fn cell(id: &str) -> Cell {
    let levels = BTreeMap::from([("static".to_owned(), "off".to_owned())]);
    Cell { id: id.to_owned(), kind: CellKind::Build, levels }
}

pub fn again(id: &str, of: &str) -> Cell {
    Cell { id: id.to_owned(), kind: CellKind::Again { of: of.to_owned() }, levels: BTreeMap::new() }
}

pub fn alias(effect: &str, with: &[&str]) -> Alias {
    Alias { effect: effect.to_owned(), with: with.iter().map(|&name| name.to_owned()).collect() }
}

/// A design whose rows are written in `+` and `-`, with factors `a`, `b`, `c`, …
pub fn designed(rows: &[&str], blocks: u32) -> Plan {
    let names = |row: &str| ('a'..).take(row.len()).map(String::from).collect::<Vec<_>>();
    let level = |sign: char| if sign == '+' { "on" } else { "off" }.to_owned();
    let cell = |(index, row): (usize, &&str)| Cell {
        levels: names(row).into_iter().zip(row.chars().map(level)).collect(),
        ..cell(&format!("cell-{index}"))
    };
    let cells = rows.iter().enumerate().map(cell).collect();
    Plan { design: "designed".to_owned(), factors: names(rows[0]), ..plan(cells, blocks) }
}

/// The twelve runs of Plackett and Burman (1946), eleven factors.
pub fn plackett_burman() -> Vec<String> {
    let first = "++-+++---+-";
    let mut rows: Vec<String> =
        (0..11).map(|by| (0..11).map(|at| first.as_bytes()[(at + 11 - by) % 11] as char).collect()).collect();
    rows.push("-".repeat(11));
    rows
}

pub fn folded(rows: &[String]) -> Vec<String> {
    let mirrored = |row: &String| row.chars().map(|sign| if sign == '+' { '-' } else { '+' }).collect();
    rows.iter().cloned().chain(rows.iter().map(mirrored)).collect()
}

/// −1 for off, +1 for on.
pub fn sign(cell: &Cell, factor: &str) -> f64 {
    if cell.levels[factor] == "on" { 1.0 } else { -1.0 }
}

/// How a machine disturbs its starts.
pub struct Machine {
    random: StdRng,
    /// How much later the last start of the run is than the first, in milliseconds, for nothing but the time that has passed.
    pub drift: f64,
}

impl Machine {
    pub fn new(seed: u64) -> Self {
        Self { random: StdRng::seed_from_u64(seed), drift: 0.0 }
    }

    fn normal(&mut self) -> f64 {
        let (one, other): (f64, f64) = (self.random.random(), self.random.random());
        (-2.0 * (1.0 - one).ln()).sqrt() * (std::f64::consts::TAU * other).cos()
    }

    /// Skewed as start times are: log-normal, a median of 2 ms, and one in thirty is 4 ms late.
    pub fn noise(&mut self) -> f64 {
        let spike = if self.random.random_bool(1.0 / 30.0) { 4.0 } else { 0.0 };
        2.0 * (0.15 * self.normal()).exp() + spike
    }

    /// Every cell once in each block, in random order; `truth` is what a cell needs where nothing disturbs it.
    pub fn run(&mut self, plan: &Plan, measures: &[&str], truth: impl Fn(&Cell, &str) -> f64) -> Vec<Sample> {
        let starts = plan.blocks as usize * plan.cells.len();
        let mut samples = Vec::with_capacity(starts);
        for block in 0..plan.blocks {
            let mut order: Vec<&Cell> = plan.cells.iter().collect();
            (1..order.len()).rev().for_each(|last| order.swap(last, self.random.random_range(0..=last)));
            // What else the machine does during a block slows all of its starts.
            let common = self.noise();
            for (position, cell) in (0..).zip(order) {
                #[allow(clippy::cast_precision_loss, reason = "hundreds")]
                let passed = samples.len() as f64 / starts as f64;
                let disturbed = |measure: &&str| {
                    let value = truth(cell, measure) + common + self.noise() + self.drift * passed;
                    ((*measure).to_owned(), value)
                };
                let measures = measures.iter().map(disturbed).collect();
                samples.push(sample(&cell.id, block, position, measures));
            }
        }
        samples
    }
}

pub fn sample(cell: &str, block: u32, position: u32, measures: BTreeMap<String, f64>) -> Sample {
    Sample {
        schema: SCHEMA,
        cell: cell.to_owned(),
        program: "0123456789abcdef".to_owned(),
        condition: condition(),
        block,
        position,
        at_ms: i64::from(block) * 1000 + i64::from(position),
        measures,
        phases: Vec::new(),
        digest: Some("same".to_owned()),
        undelivered: None,
        failure: None,
        harness: false,
    }
}

/// A start with one measure.
pub fn start(cell: &str, block: u32, measure: &str, value: f64) -> Sample {
    sample(cell, block, 0, BTreeMap::from([(measure.to_owned(), value)]))
}

pub fn only(analysis: &Analysis) -> &ConditionAnalysis {
    assert_eq!(analysis.conditions.len(), 1);
    &analysis.conditions[0]
}

pub fn comparison<'a>(analysis: &'a Analysis, cell: &str) -> &'a Comparison {
    only(analysis).comparisons.iter().find(|comparison| comparison.cell == cell).unwrap()
}

pub fn difference<'a>(analysis: &'a Analysis, cell: &str, measure: &str) -> &'a Estimate {
    &comparison(analysis, cell).differences[measure]
}

pub fn effect<'a>(effects: &'a [Effect], name: &str) -> &'a Estimate {
    &effects.iter().find(|effect| effect.name == name).unwrap().estimates["ready"]
}

pub fn covers(estimate: &Estimate, truth: f64) -> bool {
    estimate.low <= truth && truth <= estimate.high
}

pub fn is_found(estimate: &Estimate) -> bool {
    matches!(estimate.verdict, Verdict::Faster | Verdict::Slower)
}

/// How often something was so.
#[derive(Debug, Default)]
pub struct Rate {
    yes: u32,
    all: u32,
}

impl Rate {
    pub fn count(&mut self, yes: bool) {
        self.yes += u32::from(yes);
        self.all += 1;
    }

    pub fn share(&self) -> f64 {
        f64::from(self.yes) / f64::from(self.all)
    }
}
