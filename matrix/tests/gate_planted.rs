//! The gate on real starts: it finds a regression that was planted, and raises no alarm for a build that is the same.
#![allow(clippy::unwrap_used, reason = "a test that can't go on has failed")]

mod measure_support;

use std::fs;
use std::path::Path;

use matrix::analyze::{RESAMPLES, analyze};
use matrix::gate::{Budgets, Decision, Outcome, Sides, decide};
use matrix::plan::{Cell, Plan};
use matrix::report::Experiment;
use measure_support::{again, condition, directory, external, floor, measure, plan, samples};

/// As many as it takes for a rank test of three comparisons to find anything, and some.
const BLOCKS: u32 = 10;
/// Runs of the unchanged build.
const RUNS: usize = 6;
/// How often somebody would run it again on a machine that was too noisy.
const PATIENCE: usize = 5;

/// Much more than starts vary even on a machine that is busy with other tests, so that only what was planted decides.
const PLANTED_SECONDS: &str = "0.1";
const BUDGETS: &str = "[[budget]]\nregister = { ms = 30 }\nready = { ms = 30 }\n";

/// The floor, behind a script that can be told to make it late.
fn planted(id: &str, seconds: &str) -> Cell {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/gate_support/planted");
    external(id, script, &[("PLANTED_EXTENSION", env!("CARGO_BIN_EXE_floor")), ("PLANTED_SECONDS", seconds)])
}

fn planned(seconds: &str) -> Plan {
    let cells = vec![planted("main", ""), planted("candidate", seconds), again("again", "main"), floor()];
    plan(cells, vec![condition()], BLOCKS)
}

/// Measures, analyzes and decides.
fn decided(plan: &Plan) -> Decision {
    let out = directory();
    measure(plan, out.path()).unwrap();
    let analysis = analyze(plan, &[], &samples(out.path()), RESAMPLES);
    let experiment = Experiment { analysis, plan: plan.clone(), run: None, builds: Vec::new() };
    let budgets = out.path().join("budgets.toml");
    fs::write(&budgets, BUDGETS).unwrap();
    let sides = Sides::of(plan, &["candidate".to_owned()], None).unwrap();
    decide(&experiment, &sides, &Budgets::read(&budgets).unwrap(), None).unwrap()
}

#[test]
fn a_planted_regression_is_found_and_an_unchanged_build_is_never_called_one() {
    // A machine that was too noisy says so, and is asked again.
    let clear = |seconds: &str| {
        let mut decisions = (0..PATIENCE).map(|_| decided(&planned(seconds)));
        decisions.find(|decision| !matches!(decision.outcome, Outcome::InvalidRun | Outcome::Inconclusive))
    };
    let late = clear(PLANTED_SECONDS).unwrap();
    assert_eq!(late.outcome, Outcome::Regressed, "{late:?}");
    assert!(late.judgements.iter().all(|judgement| judgement.outcome == Outcome::Regressed), "{late:?}");

    let unchanged: Vec<Decision> = (0..RUNS).map(|_| decided(&planned(""))).collect();
    let alarms = unchanged.iter().filter(|decision| decision.outcome == Outcome::Regressed).count();
    assert_eq!(alarms, 0, "{unchanged:?}");
    let passed = unchanged.iter().filter(|decision| decision.outcome == Outcome::Pass).count();
    assert!(passed > 0, "{unchanged:?}");
}
