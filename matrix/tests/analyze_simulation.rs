//! What the statistics promise, kept on thousands of runs whose truth is known.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a helper of a test fails as the test does"
)]

use crate::analyze_support::*;
use matrix::analyze::{Verdict, analyze};

/// Chance alone moves a rate of 5 % in a thousand runs by 0.7 points; seeds are fixed, so that it moves once.
const RUNS: u64 = 1000;

#[test]
fn intervals_cover_the_truth_in_95_of_100_runs() {
    let plan = plan(vec![cell("baseline"), again("baseline-again", "baseline"), cell("same"), cell("fast")], 24);
    let (mut differences, mut invalid, mut found) = (Rate::default(), Rate::default(), Rate::default());
    for seed in 0..RUNS {
        let truth = |id: &str| if id == "fast" { -1.0 } else { 0.0 };
        let samples = Machine::new(seed).run(&plan, &["register", "ready"], |cell, _| 3.0 + truth(&cell.id));
        let analysis = analyze(&plan, &[], &samples, RESAMPLES);
        for id in ["same", "fast"] {
            for measure in ["register", "ready"] {
                differences.count(covers(difference(&analysis, id, measure), truth(id)));
            }
        }
        found.count(difference(&analysis, "fast", "ready").verdict == Verdict::Faster);
        invalid.count(only(&analysis).invalid.is_some());
    }
    assert!((0.93..=0.97).contains(&differences.share()), "{differences:?}");
    assert!(invalid.share() <= 0.02, "{invalid:?}");
    assert!(found.share() >= 0.95, "{found:?}");
}

#[test]
fn intervals_keep_their_promise_with_few_blocks_and_with_many() {
    for (blocks, runs) in [(5, 500), (12, 400), (60, 500)] {
        let plan = plan(vec![cell("baseline"), cell("one"), cell("other")], blocks);
        let mut covered = Rate::default();
        for seed in 0..runs {
            let samples = Machine::new(seed).run(&plan, &["ready", "register"], |_, _| 3.0);
            let analysis = analyze(&plan, &[], &samples, RESAMPLES);
            for id in ["one", "other"] {
                comparison(&analysis, id)
                    .differences
                    .values()
                    .for_each(|estimate| covered.count(covers(estimate, 0.0)));
            }
        }
        assert!((0.93..=0.97).contains(&covered.share()), "{blocks} blocks: {covered:?}");
    }
}

#[test]
fn ratios_hold_the_truth_too() {
    let plan = plan(vec![cell("baseline"), cell("a-tenth-less")], 24);
    let mut covered = Rate::default();
    for seed in 0..RUNS {
        let mut samples = Machine::new(seed).run(&plan, &["ready"], |_, _| 3.0);
        for sample in samples.iter_mut().filter(|sample| sample.cell == "a-tenth-less") {
            sample.measures.values_mut().for_each(|value| *value *= 0.9);
        }
        let analysis = analyze(&plan, &[], &samples, RESAMPLES);
        comparison(&analysis, "a-tenth-less").ratios.values().for_each(|estimate| covered.count(covers(estimate, 0.9)));
    }
    assert!((0.93..=0.97).contains(&covered.share()), "{covered:?}");
}

#[test]
fn where_there_is_nothing_five_runs_in_a_hundred_raise_an_alarm_at_most() {
    let names = ["baseline", "one", "two", "three", "four"];
    let plan = plan(names.map(cell).to_vec(), 24);
    let mut alarms = Rate::default();
    for seed in 0..RUNS {
        let samples = Machine::new(seed).run(&plan, &["ready"], |_, _| 3.0);
        let analysis = analyze(&plan, &[], &samples, RESAMPLES);
        alarms.count(only(&analysis).comparisons.iter().any(|comparison| is_found(&comparison.differences["ready"])));
    }
    assert!(alarms.share() <= 0.05, "{alarms:?}");
}

#[test]
fn the_detectable_difference_is_detected_four_times_out_of_five() {
    let plan = plan(["baseline", "one", "two", "three"].map(cell).to_vec(), 30);
    let detectable = |seed: u64| {
        let samples = Machine::new(seed).run(&plan, &["ready"], |_, _| 3.0);
        difference(&analyze(&plan, &[], &samples, RESAMPLES), "one", "ready").detectable
    };
    let typical = (0..200).map(detectable).sum::<f64>() / 200.0;
    let mut found = Rate::default();
    for seed in 1000..1400 {
        let truth = |id: &str| if id == "one" { 3.0 + typical } else { 3.0 };
        let samples = Machine::new(seed).run(&plan, &["ready"], |cell, _| truth(&cell.id));
        found.count(difference(&analyze(&plan, &[], &samples, RESAMPLES), "one", "ready").verdict == Verdict::Slower);
    }
    assert!((0.72..=0.88).contains(&found.share()), "{typical}: {found:?}");
}

#[test]
fn drift_makes_no_difference_to_blocks_and_a_false_one_to_a_sequence() {
    let plan = plan(vec![cell("baseline"), cell("other")], 30);
    let mean = |samples: &[matrix::measure::sample::Sample]| {
        samples.iter().map(|sample| sample.measures["ready"]).sum::<f64>() / f64::from(plan.blocks)
    };
    let (mut alarms, mut covered, mut naive) = (Rate::default(), Rate::default(), 0.0);
    for seed in 0..300 {
        let mut machine = Machine::new(seed);
        machine.drift = 3.0;
        let samples = machine.run(&plan, &["ready"], |_, _| 3.0);
        // Had all starts of one program come before all of the other, each half of the run would be one program's.
        naive += (mean(&samples[30..]) - mean(&samples[..30])) / 300.0;
        let analysis = analyze(&plan, &[], &samples, RESAMPLES);
        let estimate = difference(&analysis, "other", "ready");
        alarms.count(is_found(estimate));
        covered.count(covers(estimate, 0.0));
    }
    assert!((1.4..=1.6).contains(&naive), "{naive}");
    assert!(alarms.share() <= 0.06 && covered.share() >= 0.93, "{alarms:?} {covered:?}");
}

#[test]
fn a_run_whose_control_differs_is_invalid() {
    let plan = plan(vec![cell("baseline"), again("baseline-again", "baseline"), cell("fast")], 24);
    for seed in 0..40 {
        let truth = |id: &str| if id == "baseline" { 5.0 } else { 3.5 };
        let samples = Machine::new(seed).run(&plan, &["register", "ready", "cpu_total"], |cell, _| truth(&cell.id));
        let analysis = analyze(&plan, &[], &samples, RESAMPLES);
        let reason = only(&analysis).invalid.as_deref().unwrap();
        assert!(reason.starts_with("baseline-again is the same program as baseline"), "{reason}");
        for comparison in &only(&analysis).comparisons {
            let estimates = comparison.differences.values().chain(comparison.ratios.values());
            estimates.for_each(|estimate| assert_eq!(estimate.verdict, Verdict::InvalidRun));
        }
    }
}
