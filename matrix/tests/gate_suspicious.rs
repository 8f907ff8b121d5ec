//! Runs with which something is wrong that no number shows: `analyze` and `gate` say so, and nothing of them is stored.

#![allow(clippy::unwrap_used, reason = "a helper of a test fails as the test does")]

use matrix::measure::sample::Sample;
use matrix::plan::{Condition, Plan, Regime};
use serde_json::{Value, json};

use crate::analyze_support::{again, cell, condition, plan};
use crate::gate_support::{Run, calm, external, floor, usual, with};

const GATE: &[&str] = &["--candidate", "ship", "--reference", "main"];
const STORE: &[&str] = &["--candidate", "ship", "--reference", "main", "--save-baseline", "baseline.json"];

/// Analyzes and judges; nothing is stored. Gives both exit statuses and what both commands said.
fn judged(plan: &Plan, samples: &[Sample]) -> ([i32; 2], String) {
    let run = Run::new(plan, samples);
    let (analyzed, text) = run.analyze();
    let (judged, more) = run.gate(STORE);
    assert!(!run.path("baseline.json").exists(), "{more}");
    ([analyzed, judged], text + &more)
}

#[test]
fn what_a_control_loses_its_original_loses() {
    let plan = usual();
    let lost = |start: &mut Sample| start.undelivered = (start.block < 20).then(|| "one log".to_owned());
    let (statuses, text) = judged(&plan, &with(&plan, &["again"], lost));
    assert_eq!(statuses, [4, 4], "{text}");
    let crashed = |start: &mut Sample| start.failure = (start.block < 30).then(|| "it crashed".to_owned());
    let (statuses, text) = judged(&plan, &with(&plan, &["again"], crashed));
    assert_eq!(statuses, [8, 8], "{text}");
}

#[test]
fn a_condition_that_was_not_produced_is_invalid_wherever_the_analysis_is() {
    let throttled = Condition { regime: Regime::Throttled, ..condition() };
    let plan = Plan { conditions: vec![throttled.clone()], ..usual() };
    let samples: Vec<Sample> =
        calm(&usual()).into_iter().map(|start| Sample { condition: throttled.clone(), ..start }).collect();
    let run = Run::new(&plan, &samples);
    std::fs::create_dir(run.path("elsewhere")).unwrap();
    run.write("run.json", &record(&plan, &throttled).to_string());
    let (status, text) = run.matrix(&["analyze", "plan.json", "samples.jsonl", "--out", "elsewhere/analysis.json"]);
    assert!(status == 0 && text.contains("The machine has not produced this condition"), "{text}");
    let gate = ["gate", "elsewhere/analysis.json", "plan.json", "--budgets", "budgets.toml"];
    let (status, text) = run.matrix(&[&gate[..], GATE].concat());
    assert_eq!(status, 12, "{text}");
    assert!(text.contains("run.json is not beside the analysis"), "{text}");
    assert!(text.contains("No start was made beside a function that prints and sends"), "{text}");
}

fn record(plan: &Plan, left_out: &Condition) -> Value {
    let machine = json!({
        "cpu": "c", "cores": 2, "kernel": "k", "architecture": "x86_64", "governor": null, "memory_mb": 1, "control_groups": null,
        "read_ahead_kib": null,
    });
    json!({
        "schema": plan.schema, "seed": plan.seed, "design": plan.design, "matrix": "0", "commit": null, "machine": machine, "refused": [],
        "left_out": [{"condition": left_out, "reason": "no CPU share"}],
    })
}

#[test]
fn an_analysis_is_judged_with_its_own_plan_only() {
    let run = Run::new(&usual(), &calm(&usual()));
    assert_eq!(run.analyze().0, 0);
    for cells in [vec![cell("ship"), again("again", "ship")], {
        let Plan { mut cells, .. } = usual();
        cells.swap(0, 1);
        cells
    }] {
        run.write("plan.json", &serde_json::to_string(&Plan { cells, ..usual() }).unwrap());
        let (status, text) = run.gate(GATE);
        assert!(status == 2 && text.contains("is not the analysis of"), "{status}: {text}");
    }
}

#[test]
fn fewer_blocks_than_a_test_needs_decide_nothing() {
    for (blocks, more) in [(2, 0.0), (3, 0.0), (5, 0.0), (2, 9.0), (5, 9.0)] {
        let plan = plan(vec![cell("ship"), external("main", false), floor(), again("again", "ship")], blocks);
        let slower = |start: &mut Sample| start.measures.values_mut().for_each(|value| *value += more);
        let run = Run::new(&plan, &with(&plan, &["ship", "again"], slower));
        assert_eq!(run.analyze().0, 0);
        let (status, text) = run.gate(GATE);
        assert!(
            status == 11 && text.contains("fewer than 6 give no verdict"),
            "{blocks} blocks, {more} ms: {status}: {text}"
        );
    }
}

#[test]
fn a_run_that_lacks_blocks_is_not_stored() {
    let plan = usual();
    let all: Vec<Sample> = calm(&plan).into_iter().filter(|start| start.block < 20).collect();
    let (statuses, text) = judged(&plan, &all);
    assert_eq!(statuses, [0, 0], "{text}");
    assert!(text.contains("Only 20 of 60 planned blocks were started"), "{text}");
    assert!(text.contains("not stored, because the run is not complete: 20 of 60 blocks"), "{text}");
}

#[test]
fn a_cell_that_was_started_less_often_than_the_others_is_named() {
    let plan = usual();
    let few: Vec<Sample> = calm(&plan).into_iter().filter(|start| start.cell != "main" || start.block < 8).collect();
    let (statuses, text) = judged(&plan, &few);
    assert_eq!(statuses, [8, 8], "{text}");
    assert!(text.contains("main: did-not-start: it was started 8 times, and others 60 times"), "{text}");
}

#[test]
fn a_run_without_a_start_that_is_timed_did_not_start() {
    let plan = usual();
    let elsewhere = Condition { memory_mb: 128, ..condition() };
    let samples: Vec<Sample> =
        calm(&plan).into_iter().map(|start| Sample { condition: elsewhere.clone(), ..start }).collect();
    let run = Run::new(&plan, &samples);
    let (status, text) = run.analyze();
    assert!(status == 8 && text.contains("ship: did-not-start: it was never started"), "{status}: {text}");
}

#[test]
fn samples_that_contradict_themselves_are_refused() {
    let plan = usual();
    let refused = |samples: &[Sample], reason: &str| {
        let run = Run::new(&plan, samples);
        let (status, text) = run.analyze();
        assert!(status == 2 && text.contains(reason), "{reason}: {status}: {text}");
    };
    let rebuilt = |start: &mut Sample| start.program = if start.block < 30 { "one" } else { "two" }.to_owned();
    refused(&with(&plan, &["ship"], rebuilt), "ship has two programs");
    let other = |start: &mut Sample| "other".clone_into(&mut start.program);
    refused(&with(&plan, &["again"], other), "it controls nothing");
    let before = |start: &mut Sample| start.measures.values_mut().for_each(|value| *value = -1.0);
    refused(&with(&plan, &["ship"], before), "ship has a negative");
    let mut hidden = calm(&plan);
    let lost = hidden.iter().filter(|start| start.cell == "ship").cloned();
    let lost = lost.map(|start| Sample { undelivered: Some("one log".to_owned()), ..start });
    let lost: Vec<Sample> = lost.collect();
    hidden.extend(lost);
    refused(&hidden, "ship has two different starts in block 0");
    let mut repeated = calm(&plan);
    repeated.extend(calm(&plan));
    assert_eq!(Run::new(&plan, &repeated).analyze().0, 0, "the same file twice");
}

#[test]
fn a_plan_that_contradicts_itself_is_refused() {
    let Plan { mut cells, .. } = usual();
    cells.push(cell("ship"));
    let run = Run::new(&Plan { cells, ..usual() }, &calm(&usual()));
    let (status, text) = run.analyze();
    assert!(status == 2 && text.contains("contradicts itself"), "{status}: {text}");
}
