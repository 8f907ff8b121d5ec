//! Runs that never took place, as files, through the command line: `analyze`, then `gate`.

#![allow(clippy::unwrap_used, reason = "a helper of a test fails as the test does")]

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;
use std::process::{Command, Output};

use matrix::measure::sample::Sample;
use matrix::plan::{Cell, CellKind, Plan};
use serde_json::Value;
use tempfile::TempDir;

use crate::analyze_support::*;
use crate::machine_support::record;

pub const BLOCKS: u32 = 60;

pub fn floor() -> Cell {
    Cell { id: "floor".to_owned(), kind: CellKind::Floor, levels: BTreeMap::new() }
}

pub fn external(id: &str, own_payload: bool) -> Cell {
    let kind = CellKind::External { path: "/bin/true".into(), environment: BTreeMap::default(), own_payload };
    Cell { id: id.to_owned(), kind, levels: BTreeMap::new() }
}

/// What CI compares before a merge: the recommended program with that of the base, which comes from elsewhere.
pub fn usual() -> Plan {
    plan(vec![cell("ship"), external("main", false), floor(), again("again", "ship")], BLOCKS)
}

/// A run of which every cell is as fast as the others and delivers the same.
pub fn calm(plan: &Plan) -> Vec<Sample> {
    let truth = |cell: &Cell, _: &str| if cell.kind == CellKind::Floor { 1.0 } else { 3.0 };
    let mut samples = Machine::new(1).run(plan, &["register", "ready"], truth);
    samples.iter_mut().filter(|start| start.cell == "floor").for_each(|start| start.digest = Some("bare".to_owned()));
    samples
}

/// The run with what `change` makes of the starts of a cell.
pub fn with(plan: &Plan, cells: &[&str], change: impl Fn(&mut Sample)) -> Vec<Sample> {
    let mut samples = calm(plan);
    samples.iter_mut().filter(|start| cells.contains(&start.cell.as_str())).for_each(change);
    samples
}

/// The files of a run in a directory of their own, and the commands that read them.
pub struct Run(TempDir);

impl Run {
    pub fn new(plan: &Plan, samples: &[Sample]) -> Self {
        let run = Self(tempfile::tempdir().unwrap());
        let lines: String = samples.iter().map(|sample| serde_json::to_string(sample).unwrap() + "\n").collect();
        let limits = "{ ms = 5.0, ratio = 1.1 }";
        run.write("plan.json", &serde_json::to_string(plan).unwrap());
        run.write("samples.jsonl", &lines);
        run.write("run.json", &serde_json::to_string(&record(plan)).unwrap());
        run.write("budgets.toml", &format!("[[budget]]\nregister = {limits}\nready = {limits}\n"));
        run
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    pub fn write(&self, name: &str, text: &str) {
        fs::write(self.path(name), text).unwrap();
    }

    pub fn matrix(&self, arguments: &[&str]) -> (i32, String) {
        let output: Output =
            Command::new(env!("CARGO_BIN_EXE_matrix")).args(arguments).current_dir(self.0.path()).output().unwrap();
        let text = [output.stdout, output.stderr].concat();
        (output.status.code().unwrap(), String::from_utf8_lossy(&text).into_owned())
    }

    pub fn analyze(&self) -> (i32, String) {
        self.matrix(&["analyze", "plan.json", "samples.jsonl"])
    }

    pub fn gate(&self, rest: &[&str]) -> (i32, String) {
        self.matrix(&[&["gate", "analysis.json", "--budgets", "budgets.toml", "--out", "."], rest].concat())
    }

    pub fn judgement(&self) -> Value {
        serde_json::from_slice(&fs::read(self.path("gate.json")).unwrap()).unwrap()
    }
}
