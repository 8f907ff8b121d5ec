//! What the gate says of runs whose truth is known: how often it is wrong, and that the command exits as it says.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test that can't go on has failed, and the simulated runs have a known shape"
)]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use crate::analyze_support::*;
use crate::machine_support::record;
use matrix::analyze::analyze;
use matrix::build::{BuildRecord, Failure};
use matrix::gate::{Baseline, Budgets, ComparedCells, Decision, Outcome, decide};
use matrix::measure::sample::Sample;
use matrix::plan::{Cell, CellKind, Plan, SCHEMA};
use matrix::report::Experiment;
use serde_json::Value;

const RUNS: u64 = 1000;

/// The candidate, the branch that it is to be merged into, the control and the floor.
fn planned() -> Plan {
    let floor = Cell { id: "floor".to_owned(), kind: CellKind::Floor, levels: std::collections::BTreeMap::new() };
    plan(vec![cell("main"), cell("candidate"), floor, again("again", "main")], 30)
}

/// Starts of a candidate that needs so much more.
fn samples(plan: &Plan, seed: u64, more: f64) -> Vec<Sample> {
    let truth = |cell: &Cell, _: &str| match cell.id.as_str() {
        "floor" => 1.0,
        "candidate" => 3.0 + more,
        _ => 3.0,
    };
    let mut samples = Machine::new(seed).run(plan, &["register", "ready"], truth);
    samples
        .iter_mut()
        .filter(|sample| sample.cell == "floor")
        .for_each(|sample| sample.digest = Some("bare".to_owned()));
    samples
}

fn experiment(plan: &Plan, samples: &[Sample]) -> Experiment {
    let analysis = analyze(plan, &[], samples, RESAMPLES);
    Experiment { analysis, plan: plan.clone(), run: Some(record(plan)), builds: Vec::new() }
}

fn budgets(folder: &Path, ms: f64, ratio: f64) -> PathBuf {
    let path = folder.join("budgets.toml");
    let limits = format!("{{ ms = {ms:?}, ratio = {ratio:?} }}");
    fs::write(&path, format!("[[budget]]\nmemory = 1024\nregister = {limits}\nready = {limits}\n")).unwrap();
    path
}

/// How often each outcome came out of runs of a candidate that needs so much more, against a budget in milliseconds.
fn outcomes(more: f64, ms: f64) -> impl Fn(Outcome) -> usize {
    let folder = tempfile::tempdir().unwrap();
    let budgets = Budgets::read(&budgets(folder.path(), ms, 1.0)).unwrap();
    let plan = planned();
    let sides = ComparedCells::of(&plan, &[], None).unwrap();
    let decided = |seed| {
        let experiment = experiment(&plan, &samples(&plan, seed, more));
        decide(&experiment, &sides, &budgets, None).unwrap().outcome
    };
    let outcomes: Vec<Outcome> = (0..RUNS).map(decided).collect();
    move |wanted| outcomes.iter().filter(|outcome| **outcome == wanted).count()
}

#[test]
fn an_unchanged_build_is_never_called_a_regression_in_a_thousand_runs() {
    let count = outcomes(0.0, 2.0);
    assert_eq!(count(Outcome::Regressed), 0);
    assert!(count(Outcome::InvalidRun) <= 20, "{} invalid", count(Outcome::InvalidRun));
    assert!(count(Outcome::Pass) >= 900, "{} passed", count(Outcome::Pass));
}

#[test]
fn false_regressions_without_budget_stay_below_five_percent() {
    let count = outcomes(0.0, 0.0);
    assert!(count(Outcome::Regressed) <= 50, "{} regressed", count(Outcome::Regressed));
    // Nobody can see a growth of nothing: what passes is faster by the same chance.
    assert!(count(Outcome::Pass) <= 50, "{} passed", count(Outcome::Pass));
}

#[test]
fn a_planted_regression_is_found() {
    let count = outcomes(4.0, 2.0);
    assert!(count(Outcome::Regressed) >= 950, "{} regressed", count(Outcome::Regressed));
    assert_eq!(count(Outcome::Pass), 0);
}

#[test]
fn growth_as_large_as_the_budget_is_seldom_called_a_regression() {
    let count = outcomes(2.0, 2.0);
    assert!(count(Outcome::Regressed) <= 60, "{} regressed", count(Outcome::Regressed));
}

#[test]
fn a_stored_baseline_raises_no_false_alarm_either_and_finds_what_was_planted() {
    let folder = tempfile::tempdir().unwrap();
    let budgets = Budgets::read(&budgets(folder.path(), 2.0, 1.4)).unwrap();
    let plan = planned();
    let sides = ComparedCells { candidates: vec!["candidate".to_owned()], reference: None };
    let decided = |seed, more| {
        let baseline = Baseline::of(&experiment(&plan, &samples(&plan, seed + RUNS, 0.0))).unwrap();
        let experiment = experiment(&plan, &samples(&plan, seed, more));
        decide(&experiment, &sides, &budgets, Some(&baseline)).unwrap().outcome
    };
    let count = |more, wanted| (0..RUNS / 4).filter(|seed| decided(*seed, more) == wanted).count();
    assert_eq!(count(0.0, Outcome::Regressed), 0);
    assert!(count(12.0, Outcome::Regressed) >= 230);
}

/// The files of a run, as the earlier commands leave them.
fn left(folder: &Path, samples: &[Sample], builds: &[BuildRecord]) -> String {
    let plan = planned();
    let lines = builds.iter().map(|built| serde_json::to_string(built).unwrap() + "\n").collect::<String>();
    let experiment = experiment(&plan, samples);
    fs::write(folder.join("plan.json"), serde_json::to_string(&plan).unwrap()).unwrap();
    fs::write(folder.join("builds.jsonl"), lines).unwrap();
    fs::write(folder.join("run.json"), serde_json::to_string(&experiment.run).unwrap()).unwrap();
    let analysis = folder.join("analysis.json");
    fs::write(&analysis, serde_json::to_string(&experiment.analysis).unwrap()).unwrap();
    analysis.to_str().unwrap().to_owned()
}

fn gate(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_matrix")).arg("gate").args(arguments).output().unwrap()
}

fn output_text(output: &Output) -> String {
    [&output.stdout[..], &output.stderr[..]].concat().iter().map(|&byte| char::from(byte)).collect()
}

/// A run and what is to be said of it.
struct Case<'a> {
    samples: &'a [Sample],
    builds: &'a [BuildRecord],
    ms: f64,
    name: &'a str,
    status: i32,
    reason: &'a str,
    remedy: &'a str,
}

fn unbuilt() -> BuildRecord {
    BuildRecord {
        schema: SCHEMA,
        cell: "candidate".to_owned(),
        program: None,
        agent: None,
        sha256: String::new(),
        bytes: 0,
        seconds: 1.0,
        cached: false,
        compiled: None,
        group: None,
        slowdown: None,
        launcher: None,
        brought: std::collections::BTreeSet::new(),
        origin: None,
        same_as: None,
        failure: Some(Failure { command: "cargo build --x".to_owned(), output: "error: no linker".to_owned() }),
    }
}

#[test]
fn every_outcome_has_a_status_of_its_own_and_a_sentence_with_what_can_be_done() {
    let plan = planned();
    let calm = samples(&plan, 1, 0.0);
    let mut noisy = calm.clone();
    let starts = noisy.iter_mut().filter(|sample| sample.cell == "again");
    starts.for_each(|sample| sample.measures.values_mut().for_each(|value| *value += 9.0));
    let mut silent = calm.clone();
    let starts = silent.iter_mut().filter(|sample| sample.cell == "candidate");
    starts.for_each(|sample| sample.digest = Some("less".to_owned()));
    let mut failing = calm.clone();
    let start = failing.iter_mut().find(|sample| sample.cell == "candidate").unwrap();
    start.failure = Some("it crashed".to_owned());
    let slow = samples(&plan, 1, 9.0);
    let case = |samples, name, status| Case { samples, builds: &[], ms: 2.0, name, status, reason: "", remedy: "" };
    let cases = [
        Case { reason: "against a budget of 3.00 ms", remedy: "Nothing has grown", ms: 3.0, ..case(&calm, "pass", 0) },
        Case { reason: "budget of 2.00 ms", remedy: "raise the budget", ..case(&slow, "regressed", 10) },
        Case { reason: "; MDE ", remedy: "--blocks", ms: 0.01, ..case(&calm, "inconclusive", 11) },
        Case { reason: "again is the same program as main", remedy: "run it again", ..case(&noisy, "invalid-run", 12) },
        Case {
            reason: "none of 30 starts delivers what main delivers",
            remedy: "cargo matrix invoke",
            ..case(&silent, "payload-mismatch", 4)
        },
        Case { reason: "it crashed", remedy: "cargo matrix invoke", ..case(&failing, "did-not-start", 8) },
        Case {
            reason: "cargo build --x",
            remedy: "the command below",
            builds: &[unbuilt()],
            ..case(&calm, "build-failed", 3)
        },
    ];
    for Case { samples, builds, ms, name, status, reason, remedy } in cases {
        let folder = tempfile::tempdir().unwrap();
        let analysis = left(folder.path(), samples, builds);
        let budgets = budgets(folder.path(), ms, 1.5);
        let out = folder.path().join("out");
        let output = gate(&[&analysis, "--budgets", budgets.to_str().unwrap(), "--out", out.to_str().unwrap()]);
        let said = output_text(&output);
        assert_eq!(output.status.code(), Some(status), "{name}: {said}");
        assert!(said.starts_with(&format!("{name}: 2 comparisons\n")), "{said}");
        let comment = fs::read_to_string(out.join("gate.md")).unwrap();
        for text in [&said, &comment] {
            assert!(text.contains(remedy), "{name}: {text}");
            assert!(text.contains(reason), "{name}: {text}");
        }
        assert!(comment.contains(&format!("### Cold start: {name}\n")), "{comment}");
        let document: Value = serde_json::from_slice(&fs::read(out.join("gate.json")).unwrap()).unwrap();
        assert_eq!(document["outcome"], name);
        assert_eq!(document["judgements"].as_array().unwrap().len(), 2);
    }
}

#[test]
fn what_is_stored_is_what_the_next_run_is_held_to() {
    let plan = planned();
    let folder = tempfile::tempdir().unwrap();
    let analysis = left(folder.path(), &samples(&plan, 1, 0.0), &[]);
    let (budgets, baseline) = (budgets(folder.path(), 3.0, 1.5), folder.path().join("baseline.json"));
    let (budgets, stored) = (budgets.to_str().unwrap(), baseline.to_str().unwrap());
    let saved = gate(&[&analysis, "--budgets", budgets, "--candidate", "main", "--save-baseline", stored]);
    assert_eq!(saved.status.code(), Some(0), "{}", output_text(&saved));
    let document: Value = serde_json::from_slice(&fs::read(&baseline).unwrap()).unwrap();
    let ratio = document["conditions"][0]["cells"]["candidate"]["ready"]["value"].as_f64().unwrap();
    assert!((1.2..2.2).contains(&ratio), "{document:#}");

    let held = ["--budgets", budgets, "--candidate", "candidate", "--baseline", stored, "--format", "json"];
    let unchanged = gate(&[&[analysis.as_str()][..], &held].concat());
    let document: Value = serde_json::from_slice(&unchanged.stdout).unwrap();
    assert_eq!(unchanged.status.code(), Some(0), "{document:#}");
    let judged = document["judgements"].as_array().unwrap();
    let against: Vec<_> = judged.iter().map(|judgement| judgement["against"].as_str().unwrap()).collect();
    assert_eq!(against, ["main", "the baseline", "main", "the baseline"]);

    let slow = tempfile::tempdir().unwrap();
    let analysis = left(slow.path(), &samples(&plan, 2, 15.0), &[]);
    let regressed = gate(&[&[analysis.as_str()][..], &held].concat());
    assert_eq!(regressed.status.code(), Some(10), "{}", output_text(&regressed));
    let noisy: Vec<Sample> = samples(&plan, 1, 0.0)
        .into_iter()
        .map(|mut sample| {
            let later = if sample.cell == "again" { 9.0 } else { 0.0 };
            sample.measures.values_mut().for_each(|value| *value += later);
            sample
        })
        .collect();
    let analysis = left(slow.path(), &noisy, &[]);
    let invalid = slow.path().join("invalid.json");
    let refused = gate(&[&analysis, "--budgets", budgets, "--save-baseline", invalid.to_str().unwrap()]);
    assert_eq!((refused.status.code(), invalid.exists()), (Some(12), false), "{}", output_text(&refused));
}

#[test]
fn undecidable_gate_exits_2_and_names_what_is_missing() {
    let folder = tempfile::tempdir().unwrap();
    let analysis = left(folder.path(), &samples(&planned(), 1, 0.0), &[]);
    let budgets = budgets(folder.path(), 3.0, 1.5);
    let budgets = budgets.to_str().unwrap();
    let other = folder.path().join("other.toml");
    fs::write(&other, "[[budget]]\nmemory = 128\nready = { ms = 1.0 }\n").unwrap();
    let empty = folder.path().join("empty.json");
    fs::write(&empty, r#"{"schema":3,"instrument":3,"conditions":[]}"#).unwrap();
    let old = folder.path().join("old.json");
    fs::write(&old, r#"{"schema":3,"conditions":[]}"#).unwrap();
    let cases = [
        (
            vec!["--budgets", budgets, "--baseline", old.to_str().unwrap()],
            "has ratios of version 0, and this is version 3: since version 2 gates leave out the sandbox's own time, and since version 3 the floor has no C library",
        ),
        (
            vec!["--budgets", other.to_str().unwrap(), "--unused-budgets"],
            "no budget in ms for the register gate under 1024 MB",
        ),
        (vec!["--budgets", budgets, "--candidate", "nobody"], "no cell nobody that could be compared; there are main"),
        (vec!["--budgets", budgets, "--candidate", "main"], "name a --baseline"),
        (
            vec!["--budgets", budgets, "--baseline", empty.to_str().unwrap()],
            "the baseline does not say what candidate delivers",
        ),
        (vec!["--budgets", &analysis], "no file of budgets"),
    ];
    for (arguments, expected) in cases {
        let output = gate(&[&[analysis.as_str()][..], &arguments].concat());
        assert_eq!(output.status.code(), Some(2), "{arguments:?}: {}", output_text(&output));
        assert!(output_text(&output).contains(expected), "{arguments:?}: {}", output_text(&output));
    }
}

#[test]
fn every_cell_but_the_reference_the_yardsticks_and_the_control_is_judged() {
    let mut plan = planned();
    plan.cells.push(Cell { kind: CellKind::StdFloor, ..cell("std-floor") });
    assert_eq!(ComparedCells::of(&plan, &[], None).unwrap().candidates, ["candidate"]);
    let help = output_text(&gate(&["--help"]));
    let help = help.split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(help.contains("[default: every cell but the reference, the yardsticks and the control]"), "{help}");
}

#[test]
fn the_reference_may_be_any_cell_that_is_compared_with_the_candidate() {
    let folder = tempfile::tempdir().unwrap();
    let budgets = Budgets::read(&budgets(folder.path(), 2.0, 1.5)).unwrap();
    let plan = planned();
    let experiment = experiment(&plan, &samples(&plan, 1, -9.0));
    let decided = |candidate: &str, reference: &str| -> Decision {
        let sides = ComparedCells::of(&plan, &[candidate.to_owned()], Some(reference)).unwrap();
        decide(&experiment, &sides, &budgets, None).unwrap()
    };
    let growth = |decision: &Decision| decision.judgements[0].growth.unwrap();
    let (forth, back) = (decided("candidate", "main"), decided("main", "candidate"));
    assert_eq!((forth.outcome, back.outcome), (Outcome::Pass, Outcome::Regressed));
    assert!((growth(&forth).low + growth(&back).high).abs() < 1e-12);
    assert!((growth(&forth).value + growth(&back).value).abs() < 1e-12);
}
