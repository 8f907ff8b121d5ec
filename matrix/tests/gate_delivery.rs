//! Runs in which something is not delivered, not started or not believed, through the command line: `analyze`, then `gate`.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test that can't go on has failed, and the simulated runs have a known shape"
)]

use std::collections::BTreeMap;
use std::fs;
use std::process::Command;

use crate::analyze_support::*;
use crate::gate_support::*;
use matrix::measure::sample::Sample;
use matrix::plan::{Condition, DELIVERY, InjectedFault, Plan};
use serde_json::Value;

/// Both commands end with this status and say this.
fn assert_ends(plan: &Plan, samples: &[Sample], status: i32, reason: &str) -> Run {
    let run = Run::new(plan, samples);
    let (analyzed, said) = run.analyze();
    assert_eq!(analyzed, status, "{said}");
    assert!(said.contains(reason), "{said}");
    let (judged, said) = run.gate(&["--candidate", "ship", "--reference", "main"]);
    assert_eq!(judged, status, "{said}");
    assert!(said.contains(reason), "{said}");
    run
}

#[test]
fn a_run_that_delivers_everything_passes() {
    assert_ends(&usual(), &calm(&usual()), 0, "");
}

#[test]
fn gate_fails_when_nothing_is_delivered() {
    let nothing = |start: &mut Sample| {
        start.digest = Some("nothing".to_owned());
        start.undelivered = Some("missing: nothing arrived".to_owned());
    };
    assert_ends(&usual(), &with(&usual(), &["ship", "again"], nothing), 4, "ship");
    let both = with(&usual(), &["ship", "main", "again"], nothing);
    let run = assert_ends(
        &usual(),
        &both,
        4,
        "60 of 60 starts lost something, the first in block 0: missing: nothing arrived",
    );
    assert_eq!(run.judgement()["outcome"], "payload-mismatch");
    // What is declared to send something else is not held to anything.
    let mut own = usual();
    own.cells[1] = external("main", true);
    assert_ends(&own, &with(&own, &["main"], nothing), 0, "");
    let mut built = usual();
    built.cells[1] = cell("main");
    assert_ends(&built, &with(&built, &["main"], nothing), 4, "main");
    built.own_payload.push("main".to_owned());
    assert_ends(&built, &with(&built, &["main"], nothing), 0, "");
}

#[test]
fn an_external_program_is_held_to_what_the_other_delivers() {
    let less = with(&usual(), &["main"], |start| start.digest = Some("less".to_owned()));
    assert_ends(&usual(), &less, 4, "none of 60 starts delivers what ship delivers");
}

#[test]
fn cells_with_the_same_components_are_held_to_each_other() {
    let with_component = |id: &str| {
        let mut cell = cell(id);
        cell.levels.insert("otlp".to_owned(), "on".to_owned());
        cell
    };
    let plan = plan(vec![cell("none"), with_component("one"), with_component("other"), cell("same"), floor()], 1);
    let ends = |changed: &[(&str, &str)]| {
        let digest = |start: &mut Sample| {
            if let Some((_, digest)) = changed.iter().find(|(cell, _)| *cell == start.cell) {
                start.digest = Some((*digest).to_owned());
            }
        };
        let cells: Vec<&str> = changed.iter().map(|(cell, _)| *cell).collect();
        Run::new(&plan, &with(&plan, &cells, digest)).analyze()
    };
    assert_eq!(ends(&[("one", "more"), ("other", "more")]).0, 0, "a component delivers more");
    let (code, said) = ends(&[("one", "more"), ("other", "less")]);
    assert!(code == 4 && said.contains("other: payload-mismatch"), "{said}");
    let (code, said) = ends(&[("one", "more"), ("other", "more"), ("same", "more")]);
    assert!(code == 4 && said.contains("same: payload-mismatch"), "{said}");
}

#[test]
fn one_block_is_enough_to_find_a_lost_delivery() {
    let plan = plan(vec![cell("none"), cell("loses"), cell("crashes"), floor()], 1);
    let lost = |start: &mut Sample| match start.cell.as_str() {
        "loses" => start.digest = Some("less".to_owned()),
        "crashes" => start.failure = Some("exit status: 1".to_owned()),
        _ => {}
    };
    let status = |cells: &[&str]| Run::new(&plan, &with(&plan, cells, lost)).analyze();
    let (code, said) = status(&["loses"]);
    assert_eq!(code, 4, "{said}");
    assert!(said.contains("error: loses: payload-mismatch: none of 1 starts delivers what none delivers"), "{said}");
    let (code, said) = status(&["crashes"]);
    assert_eq!(code, 8, "{said}");
    assert!(said.contains("crashes: did-not-start: 1 of 1 starts failed, the first because exit status: 1"), "{said}");
    assert_eq!(status(&["loses", "crashes"]).0, 4);
    assert_eq!(status(&[]).0, 0);
}

#[test]
fn a_cell_that_fails_in_every_start_or_is_never_started_is_named() {
    let failed = with(&usual(), &["ship", "again"], |start| start.failure = Some("exit status: 1".to_owned()));
    assert_ends(&usual(), &failed, 8, "60 of 60 starts failed, the first because exit status: 1");
    let mut absent = calm(&usual());
    absent.retain(|start| start.cell != "ship");
    assert_ends(&usual(), &absent, 8, "it was never started");
}

#[test]
fn one_failed_start_in_fifty_is_tolerated_and_reported_and_two_are_not() {
    let failing = |count: u32| {
        with(&usual(), &["ship"], move |start| {
            start.failure = (start.block < count).then(|| "exit status: 1".to_owned());
        })
    };
    assert_ends(
        &usual(),
        &failing(1),
        0,
        "1 of 60 starts failed, the first because exit status: 1; one in 50 is tolerated",
    );
    assert_ends(&usual(), &failing(2), 8, "2 of 60 starts failed");
}

#[test]
fn a_start_that_the_sandbox_could_not_make_is_no_failure_of_the_program() {
    let hindered = |block: u32| {
        with(&usual(), &["ship"], move |start| {
            if start.block == block {
                (start.harness, start.digest) = (true, None);
                start.failure = Some("cannot make a directory: no space left on device".to_owned());
            }
        })
    };
    let run =
        assert_ends(&usual(), &hindered(7), 7, "the sandbox could not make 1 of its starts: cannot make a directory");
    assert_eq!(run.judgement()["outcome"], "harness-failure");
    // The run was resumed, and the start was made.
    let mut resumed = hindered(7);
    resumed.extend(calm(&usual()).into_iter().filter(|start| start.cell == "ship" && start.block == 7));
    assert_ends(&usual(), &resumed, 0, "");
}

#[test]
fn the_cell_that_changes_is_accused_and_not_its_neighbours() {
    for cell in ["ship", "main"] {
        let wavers = with(&usual(), &[cell], |start| {
            if start.block == 9 {
                start.digest = Some("less".to_owned());
            }
        });
        let reason =
            "what it delivers changes: 1 of 60 starts, the first in block 9, do not deliver what ship delivers";
        let run = assert_ends(&usual(), &wavers, 4, reason);
        let findings = run.judgement()["findings"].clone();
        let accused: Vec<&str> = findings.as_array().unwrap().iter().map(|one| one["cell"].as_str().unwrap()).collect();
        assert_eq!(accused, [cell]);
    }
}

/// A start of a cell that is not timed.
fn untimed(cell: &str, fault: InjectedFault, digest: &str) -> Sample {
    let condition = Condition { runtime: DELIVERY.to_owned(), fault, ..Condition::default() };
    Sample { condition, digest: Some(digest.to_owned()), ..sample(cell, 0, 0, BTreeMap::default()) }
}

#[test]
fn what_is_lost_in_a_start_that_is_not_timed_counts() {
    let delivered = |lost: &str| {
        let mut samples = calm(&usual());
        for cell in ["ship", "main", "again"] {
            samples.push(untimed(cell, InjectedFault::None, "all"));
            samples.push(untimed(cell, InjectedFault::Intake, if cell == lost { "less" } else { "all" }));
        }
        samples
    };
    assert_ends(&usual(), &delivered(""), 0, "");
    let run = assert_ends(&usual(), &delivered("main"), 4, "none of 1 starts delivers what ship delivers");
    assert_eq!(run.judgement()["findings"][0]["condition"]["disturbance"], "intake");
}

fn alone() -> Plan {
    plan(vec![cell("ship"), floor(), again("again", "ship")], BLOCKS)
}

fn analyzed(plan: &Plan, samples: &[Sample]) -> Run {
    let run = Run::new(plan, samples);
    run.analyze();
    run
}

#[test]
fn a_baseline_holds_later_runs_to_what_was_delivered() {
    let mut samples = calm(&alone());
    samples.extend(["ship", "again"].map(|cell| untimed(cell, InjectedFault::None, "all")));
    let before = analyzed(&alone(), &samples);
    let (status, said) = before.gate(&["--save-baseline", "baseline.json"]);
    assert_eq!(status, 0, "{said}");
    let baseline = before.path("baseline.json");
    let held = |samples: &[Sample]| analyzed(&alone(), samples).gate(&["--baseline", baseline.to_str().unwrap()]);
    assert_eq!(held(&samples).0, 0);
    let lost = "it does not deliver what the baseline's program delivered";
    for changed in [InjectedFault::None, InjectedFault::Platform] {
        let mut samples = samples.clone();
        for start in samples.iter_mut().filter(|start| start.cell != "floor") {
            // First what is timed, then what is not.
            if (changed == InjectedFault::None) == (start.condition.runtime == DELIVERY) {
                start.digest = Some("less".to_owned());
            }
        }
        let (status, said) = held(&samples);
        assert_eq!(status, 4, "{said}");
        assert!(said.contains(lost), "{said}");
    }
    let wavers = samples.iter().cloned().map(|mut start| {
        start.digest = start.digest.filter(|_| start.block != 3 || start.cell != "ship").or(Some("less".to_owned()));
        start
    });
    let (status, said) = held(&wavers.collect::<Vec<_>>());
    assert_eq!(status, 4, "{said}");
    assert!(said.contains("what it delivers changes: 1 of 60 starts, the first in block 3"), "{said}");
    // One that does not say what was delivered holds nobody to anything.
    let text: Value = serde_json::from_slice(&fs::read(&baseline).unwrap()).unwrap();
    let mut old = text.clone();
    old.as_object_mut().unwrap().remove("deliveries");
    fs::write(&baseline, old.to_string()).unwrap();
    let (status, said) = held(&samples);
    assert_eq!(status, 2, "{said}");
    assert!(said.contains("the baseline does not say what ship delivers"), "{said}");
}

#[test]
fn the_control_of_a_cell_alone_counts() {
    let late = with(&alone(), &["again"], |start| start.measures.values_mut().for_each(|value| *value += 9.0));
    let uncontrolled = plan(vec![cell("ship"), floor()], BLOCKS);
    let mut unstarted = calm(&alone());
    unstarted.retain(|start| start.cell != "again" || start.block == 0);
    let cases = [
        (alone(), late, "again is the same program as ship"),
        (uncontrolled.clone(), calm(&uncontrolled), "the control is missing: no program was started under two names"),
        (alone(), unstarted, "the control is missing: too few starts of it count"),
    ];
    for (plan, samples, reason) in cases {
        let run = analyzed(&plan, &samples);
        let (status, said) = run.gate(&["--save-baseline", "baseline.json"]);
        assert_eq!(status, 12, "{said}");
        assert!(said.contains(reason) && said.contains("not stored, because the run is invalid-run"), "{said}");
        assert!(!run.path("baseline.json").exists());
    }
}

#[test]
fn a_baseline_is_never_stored_of_a_run_that_is_invalid_or_inconclusive_somewhere() {
    let mut two = alone();
    two.conditions.push(Condition { memory_mb: 128, ..condition() });
    let mut samples = calm(&alone());
    let other = samples.iter().cloned().map(|mut start| {
        start.condition.memory_mb = 128;
        start
    });
    let other: Vec<Sample> = other.collect();
    samples.extend(other);
    let stores = |samples: &[Sample]| {
        let run = analyzed(&two, samples);
        let (status, _) = run.gate(&["--save-baseline", "baseline.json"]);
        (status, run.path("baseline.json").exists())
    };
    assert_eq!(stores(&samples), (0, true));
    let mut noisy = samples.clone();
    let starts = noisy.iter_mut().filter(|start| start.cell == "again" && start.condition.memory_mb == 128);
    starts.for_each(|start| start.measures.values_mut().for_each(|value| *value += 9.0));
    assert_eq!(stores(&noisy), (12, false));
    let mut few = samples.clone();
    few.retain(|start| start.condition.memory_mb == 1024 || start.block < 2);
    assert_eq!(stores(&few), (11, false));
}

#[test]
fn shards_bring_their_starts_that_are_not_timed() {
    let plan = Plan { blocks: 2, ..usual() };
    let folder = tempfile::tempdir().unwrap();
    for block in 0..2 {
        let shard = folder.path().join(block.to_string());
        fs::create_dir(&shard).unwrap();
        let mut samples: Vec<Sample> = calm(&plan).into_iter().filter(|start| start.block == block).collect();
        for (position, cell) in (0..).zip(["ship", "main", "again"]) {
            samples.push(Sample { block, position, ..untimed(cell, InjectedFault::Platform, "all") });
        }
        // One that the sandbox could not make at first.
        let hindered = Sample { harness: true, failure: Some("no space".to_owned()), ..samples[0].clone() };
        samples.insert(0, hindered);
        let lines: String = samples.iter().map(|sample| serde_json::to_string(sample).unwrap() + "\n").collect();
        fs::write(shard.join("plan.json"), serde_json::to_string(&plan).unwrap()).unwrap();
        fs::write(shard.join("samples.jsonl"), lines).unwrap();
    }
    let matrix = |line: &[&str]| {
        let output = Command::new(env!("CARGO_BIN_EXE_matrix")).args(line).current_dir(folder.path()).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    };
    matrix(&["merge", "1", "0", "--out", "merged"]);
    let lines = fs::read_to_string(folder.path().join("merged/samples.jsonl")).unwrap();
    assert_eq!(lines.lines().count(), 2 * (4 + 3));
    assert!(!lines.contains("no space"));
    matrix(&["analyze", "merged/plan.json", "merged/samples.jsonl", "--out", "analysis.json"]);
}
