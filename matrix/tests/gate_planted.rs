//! The gate on real starts: it finds a regression that was planted, and none once that is taken out of the same run. How seldom it is wrong about builds that are the
//! same is for simulated runs to tell.
#![allow(clippy::unwrap_used, reason = "a test that can't go on has failed")]

use std::fs;
use std::path::Path;

use crate::measure_support::{again, condition, directory, external, floor, measure, plan, samples};
use matrix::analyze::{RESAMPLES, analyze};
use matrix::gate::{Budgets, ComparedCells, Decision, Outcome, decide};
use matrix::measure::sample::Sample;
use matrix::plan::{Cell, Plan};
use matrix::report::Experiment;

/// As many as it takes for a rank test of three comparisons to find anything, and some.
const BLOCKS: u32 = 10;
/// How often somebody would run it again on a machine that was too noisy.
const PATIENCE: usize = 5;

/// Much more than starts vary even on a machine that is busy with other tests, so that only what was planted decides.
const PLANTED_SECONDS: &str = "0.1";
const BUDGETS: &str = "[[budget]]\nregister = { ms = 30 }\nready = { ms = 30 }\n";

/// The floor, behind a script that can be told to make it late.
fn planted(id: &str, seconds: &str) -> Cell {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/gate_support/planted");
    external(id, script, &[("PLANTED_EXTENSION", env!("CARGO_BIN_EXE_std-floor")), ("PLANTED_SECONDS", seconds)])
}

fn planned() -> Plan {
    let cells = vec![planted("main", ""), planted("candidate", PLANTED_SECONDS), again("again", "main"), floor()];
    plan(cells, vec![condition()], BLOCKS)
}

/// Starts of every cell.
fn measured(plan: &Plan) -> Vec<Sample> {
    let out = directory();
    measure(plan, out.path()).unwrap();
    samples(out.path())
}

/// Analyzes and decides.
fn decided(plan: &Plan, samples: &[Sample]) -> Decision {
    let analysis = analyze(plan, &[], samples, RESAMPLES);
    let experiment = Experiment { analysis, plan: plan.clone(), run: None, builds: Vec::new() };
    let folder = directory();
    let budgets = folder.path().join("budgets.toml");
    fs::write(&budgets, BUDGETS).unwrap();
    let sides = ComparedCells::of(plan, &["candidate".to_owned()], None).unwrap();
    decide(&experiment, &sides, &Budgets::read(&budgets).unwrap(), None).unwrap()
}

/// The same run, of a candidate that starts exactly as the reference does.
fn unchanged(samples: &[Sample]) -> Vec<Sample> {
    let others = samples.iter().filter(|sample| sample.cell != "candidate").cloned();
    let main = samples.iter().filter(|sample| sample.cell == "main");
    others.chain(main.map(|sample| Sample { cell: "candidate".to_owned(), ..sample.clone() })).collect()
}

#[test]
fn a_planted_regression_is_found_and_the_same_starts_are_none() {
    let plan = planned();
    // A machine that was too noisy says so, and is asked again.
    let mut runs = (0..PATIENCE).map(|_| measured(&plan)).map(|samples| (decided(&plan, &samples), samples));
    let is_clear = |decision: &Decision| !matches!(decision.outcome, Outcome::InvalidRun | Outcome::Inconclusive);
    let (late, samples) = runs.find(|(decision, _)| is_clear(decision)).unwrap();
    assert_eq!(late.outcome, Outcome::Regressed, "{late:?}");
    assert!(late.judgements.iter().all(|judgement| judgement.outcome == Outcome::Regressed), "{late:?}");
    let same = decided(&plan, &unchanged(&samples));
    assert_eq!(same.outcome, Outcome::Pass, "{same:?}");
}
