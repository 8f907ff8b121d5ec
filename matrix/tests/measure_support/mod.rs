//! Plans of a few starts, and ways to read what came of them.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that can't go on has failed")]

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use matrix::measure::sample::Sample;
use matrix::measure::{Error, Options, Step, Summary, run};
use matrix::plan::{
    AppSec, Cache, Cell, CellKind, Condition, InjectedFault, Latency, Plan, Regime, SCHEMA, TrustStore,
};

/// An extension in Python; its variables are described in the file.
pub fn agent() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/measure_support/agent.py")
}

pub fn cell(id: &str, kind: CellKind) -> Cell {
    Cell { id: id.to_owned(), kind, levels: BTreeMap::new() }
}

/// A program from elsewhere that sends what it likes.
pub fn external(id: &str, path: impl Into<PathBuf>, environment: &[(&str, &str)]) -> Cell {
    let environment = environment.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    cell(id, CellKind::External { path: path.into(), environment, own_payload: true })
}

pub fn floor() -> Cell {
    external("floor", env!("CARGO_BIN_EXE_std-floor"), &[])
}

pub fn again(id: &str, of: &str) -> Cell {
    cell(id, CellKind::Again { of: of.to_owned() })
}

pub fn condition() -> Condition {
    Condition {
        memory_mb: 1769,
        regime: Regime::Boosted,
        cache: Cache::Warm,
        platform: Latency::Loopback,
        trust_store: TrustStore::Host,
        runtime: "null".to_owned(),
        fault: InjectedFault::None,
        appsec: AppSec::Off,
    }
}

pub fn plan(cells: Vec<Cell>, conditions: Vec<Condition>, blocks: u32) -> Plan {
    let design = "cells".to_owned();
    let (factors, aliases) = (Vec::new(), Vec::new());
    Plan {
        schema: SCHEMA,
        seed: 7,
        design,
        factors,
        cells,
        aliases,
        conditions,
        blocks,
        own_payload: Vec::new(),
        shard: None,
    }
}

/// A directory on a disk, which the one for temporary files need not be.
pub fn directory() -> tempfile::TempDir {
    tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap()
}

pub fn options(out: &Path) -> Options {
    let stop = Arc::new(AtomicBool::new(false));
    Options { out: out.to_owned(), blocks: None, shard: None, require: false, stop, waf: None, deliveries: false }
}

pub fn measure(plan: &Plan, out: &Path) -> Result<Summary, Error> {
    run(plan, &[], &options(out), &|_| {})
}

/// The samples of a run, in the order in which they were taken.
pub fn samples(out: &Path) -> Vec<Sample> {
    let text = std::fs::read_to_string(out.join("samples.jsonl")).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// What identifies a start.
pub fn keys(samples: &[Sample]) -> Vec<(u32, &Condition, u32, &str)> {
    samples.iter().map(|sample| (sample.block, &sample.condition, sample.position, sample.cell.as_str())).collect()
}

/// The words of a run: warm-ups, starts and refusals.
#[derive(Debug, Default)]
pub struct ProgressLog(pub RefCell<Vec<String>>);

impl ProgressLog {
    pub fn step(&self, step: &Step<'_>) {
        self.0.borrow_mut().push(format!("{step:?}"));
    }
}
