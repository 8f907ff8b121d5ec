//! What goes before the numbers: counters that are certain, starts that are missing, other digests, files that were interrupted.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a helper of a test fails as the test does"
)]

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use crate::analyze_support::*;
use matrix::analyze::{self, Analysis, Error, Estimate, RunFiles, Verdict, analyze, read};
use matrix::measure::sample::{Phase, Sample};
use matrix::plan::{Cell, CellKind, Plan};
use tempfile::TempDir;

fn pair(blocks: u32) -> Plan {
    plan(vec![cell("baseline"), cell("other")], blocks)
}

/// Both cells in every block, with these values of one measure.
fn counted(blocks: u32, measure: &str, baseline: impl Fn(u32) -> f64, other: impl Fn(u32) -> f64) -> Vec<Sample> {
    let both =
        |block| [start("baseline", block, measure, baseline(block)), start("other", block, measure, other(block))];
    (0..blocks).flat_map(both).collect()
}

#[test]
fn a_counter_that_never_varies_is_certain() {
    let analysis = analyze(&pair(3), &[], &counted(3, "relocations", |_| 900.0, |_| 650.0), RESAMPLES);
    let expected = Estimate {
        value: -250.0,
        low: -250.0,
        high: -250.0,
        p: 0.0,
        detectable: 0.0,
        verdict: Verdict::Faster,
        pairs: 3,
        family: 0,
        needed: None,
    };
    assert_eq!(*difference(&analysis, "other", "relocations"), expected);
    let ratio = &comparison(&analysis, "other").ratios["relocations"];
    assert!((ratio.value - 650.0 / 900.0).abs() < 1e-12 && ratio.low.to_bits() == ratio.high.to_bits(), "{ratio:?}");
    assert_eq!(ratio.verdict, Verdict::Faster);
}

#[test]
fn a_counter_that_never_differs_has_no_difference() {
    let analysis = analyze(&pair(12), &[], &counted(12, "libraries", |_| 0.0, |_| 0.0), RESAMPLES);
    let estimate = difference(&analysis, "other", "libraries");
    assert_eq!((estimate.value, estimate.low, estimate.high, estimate.p), (0.0, 0.0, 0.0, 1.0));
    assert_eq!(estimate.verdict, Verdict::NoDetectableChange);
    assert!(comparison(&analysis, "other").ratios.is_empty(), "nothing is a multiple of nothing");
}

#[test]
fn nearly_constant_counter_has_a_finite_interval() {
    for odd in 1..12 {
        let faults = |block: u32| 1000.0 + f64::from(u8::from(block.is_multiple_of(odd)));
        let analysis = analyze(&pair(12), &[], &counted(12, "minor_faults", |_| 1200.0, faults), RESAMPLES);
        let comparison = comparison(&analysis, "other");
        for estimate in comparison.differences.values().chain(comparison.ratios.values()) {
            let numbers = [estimate.value, estimate.low, estimate.high, estimate.p, estimate.detectable];
            assert!(numbers.iter().all(|number| number.is_finite()), "{odd}: {estimate:?}");
            assert_eq!(estimate.verdict, Verdict::Faster, "{odd}: {estimate:?}");
        }
        assert!(covers(&comparison.differences["minor_faults"], comparison.differences["minor_faults"].value));
    }
}

#[test]
fn two_blocks_of_one_more_are_no_proof_for_a_count() {
    for (blocks, verdict) in [(2, Verdict::Inconclusive), (5, Verdict::Inconclusive), (6, Verdict::Slower)] {
        let analysis = analyze(&pair(blocks), &[], &counted(blocks, "minor_faults", |_| 900.0, |_| 901.0), RESAMPLES);
        assert_eq!(difference(&analysis, "other", "minor_faults").verdict, verdict, "{blocks} blocks");
    }
}

#[test]
fn counts_that_vary_together_have_an_interval_with_a_width() {
    // One more in every block, but the cells themselves are not the same in all of their starts.
    let base = |block: u32| 900.0 + f64::from(block % 3);
    for measure in ["minor_faults", "threads", "major_faults", "resident_peak", "file_size"] {
        let analysis = analyze(&pair(12), &[], &counted(12, measure, base, |block| base(block) + 1.0), RESAMPLES);
        let comparison = comparison(&analysis, "other");
        for estimate in comparison.differences.values().chain(comparison.ratios.values()) {
            assert!(estimate.low < estimate.value && estimate.value < estimate.high, "{measure}: {estimate:?}");
            assert!(estimate.p > 0.0 && estimate.family > 0, "{measure}: {estimate:?}");
        }
    }
}

#[test]
fn a_count_that_varied_in_any_start_of_its_cell_is_not_exact() {
    let mut samples = counted(12, "minor_faults", |_| 900.0, |_| 901.0);
    // The block has no partner, and still shows that the count is not always the same.
    samples.push(start("baseline", 12, "minor_faults", 903.0));
    let analysis = analyze(&pair(13), &[], &samples, RESAMPLES);
    let estimate = difference(&analysis, "other", "minor_faults");
    assert!(estimate.low < 1.0 && 1.0 < estimate.high && estimate.p > 0.0, "{estimate:?}");
}

#[test]
fn threads_and_memory_are_measured_and_not_counted() {
    for measure in ["threads", "major_faults", "resident_peak"] {
        let analysis = analyze(&pair(3), &[], &counted(3, measure, |_| 4.0, |_| 5.0), RESAMPLES);
        assert_eq!(difference(&analysis, "other", measure).verdict, Verdict::Inconclusive, "{measure}");
    }
}

#[test]
fn one_timed_block_is_no_evidence_and_few_are_too_few() {
    let timed = |blocks: u32| counted(blocks, "ready", |block| 5.0 + f64::from(block) / 10.0, |_| 3.0);
    let analysis = analyze(&pair(1), &[], &timed(1), RESAMPLES);
    assert!(comparison(&analysis, "other").differences.is_empty());
    let analysis = analyze(&pair(5), &[], &timed(5), RESAMPLES);
    let estimate = difference(&analysis, "other", "ready");
    assert_eq!((estimate.verdict, estimate.pairs, estimate.needed), (Verdict::Inconclusive, 5, Some(6)));
    let note = &analysis.notes[0];
    assert!(note.contains("before it has 6 blocks") && note.ends_with("other against baseline (5)."), "{note}");
    let analysis = analyze(&pair(6), &[], &timed(6), RESAMPLES);
    assert_eq!(difference(&analysis, "other", "ready").verdict, Verdict::Faster);
    assert_eq!(analysis.notes, Vec::<String>::new());
}

#[test]
fn six_blocks_find_a_difference_however_much_is_asked_beside_it() {
    let names: Vec<String> = (0..12).map(|index| format!("cell-{index}")).collect();
    let plan = plan(names.iter().map(|name| cell(name)).collect(), 6);
    for seed in 0..20 {
        let samples = Machine::new(seed).run(&plan, &["register", "ready"], |_, _| 3.0);
        let steady = samples.into_iter().map(|mut start| {
            let slower = if start.cell == "cell-7" { 2.7 } else { 0.0 };
            start.measures.values_mut().for_each(|value| *value = 5.0 + slower + (*value % 1.0) / 20.0);
            start
        });
        let analysis = analyze(&plan, &[], &steady.collect::<Vec<_>>(), RESAMPLES);
        for measure in ["register", "ready"] {
            let estimate = difference(&analysis, "cell-7", measure);
            assert_eq!((estimate.verdict, estimate.family), (Verdict::Slower, 22), "{seed} {measure}: {estimate:?}");
        }
    }
}

#[test]
fn nothing_is_called_undetectable_that_is_larger_than_what_is_detected() {
    let names: Vec<String> = (0..8).map(|index| format!("cell-{index}")).collect();
    for (blocks, seed) in (2..30).zip(0..) {
        let plan = plan(names.iter().map(|name| cell(name)).collect(), blocks);
        let truth = |id: &str| if id == "cell-3" { 3.6 } else { 3.0 };
        let samples = Machine::new(seed).run(&plan, &["register", "ready", "cpu_total"], |cell, _| truth(&cell.id));
        for comparison in &only(&analyze(&plan, &[], &samples, RESAMPLES)).comparisons {
            for estimate in comparison.differences.values() {
                let silent = estimate.verdict == Verdict::NoDetectableChange;
                assert!(!silent || estimate.value.abs() < estimate.detectable, "{blocks}: {estimate:?}");
                assert!(!silent || covers(estimate, 0.0), "{blocks}: {estimate:?}");
                let needed = estimate.needed.unwrap_or(usize::MAX);
                assert!(needed > estimate.pairs && needed >= 6, "{blocks}: {estimate:?}");
            }
        }
    }
}

#[test]
fn advice_counts_the_pairs_of_its_own_comparison() {
    let plan = plan(vec![cell("baseline"), cell("fragile"), cell("sound")], 20);
    let mut samples = Machine::new(1).run(&plan, &["ready"], |_, _| 3.0);
    samples.retain(|start| start.cell != "fragile" || start.block < 3);
    let analysis = analyze(&plan, &[], &samples, RESAMPLES);
    let of = |id: &str| difference(&analysis, id, "ready");
    assert_eq!((of("fragile").pairs, of("sound").pairs, only(&analysis).blocks), (3, 20, 3));
    assert_eq!(of("fragile").verdict, Verdict::Inconclusive);
    assert_ne!(of("sound").verdict, Verdict::Inconclusive);
    assert!(analysis.notes[0].ends_with("There are fewer of: fragile against baseline (3)."), "{:?}", analysis.notes);
}

#[test]
fn a_control_covers_every_measure_and_takes_only_what_it_is_about() {
    let plan = plan(vec![cell("baseline"), again("baseline-again", "baseline"), cell("fast")], 24);
    let samples = |biased: &str| {
        let truth = |cell: &Cell, measure: &str| {
            if cell.id == "baseline-again" && measure == biased { 6.0 } else { 3.0 }
        };
        Machine::new(5).run(&plan, &["register", "ready", "cpu_total", "minor_faults"], truth)
    };
    let analysis = analyze(&plan, &[], &samples("cpu_total"), RESAMPLES);
    assert_eq!(only(&analysis).invalid, None);
    assert_eq!(difference(&analysis, "fast", "cpu_total").verdict, Verdict::InvalidRun);
    assert_ne!(difference(&analysis, "fast", "ready").verdict, Verdict::InvalidRun);
    let note = analysis.notes.iter().find(|note| note.contains("cpu_total")).unwrap();
    assert!(note.starts_with("No verdict about cpu_total: baseline-again is the same program"), "{note}");
    assert!(only(&analyze(&plan, &[], &samples("register"), RESAMPLES)).invalid.is_some());
    let counts = analyze(&plan, &[], &samples("minor_faults"), RESAMPLES);
    assert_eq!(difference(&counts, "fast", "minor_faults").verdict, Verdict::InvalidRun);
}

#[test]
fn p99_is_not_reported_below_five_hundred_starts() {
    for (blocks, has_p99) in [(499, false), (500, true)] {
        let analysis = analyze(&pair(blocks), &[], &counted(blocks, "ready", f64::from, |_| 3.0), RESAMPLES);
        assert_eq!(only(&analysis).cells[0].measures["ready"].p99.is_some(), has_p99);
    }
}

#[test]
fn a_failed_start_is_counted_and_takes_its_block_from_its_own_comparison_only() {
    let plan = plan(vec![cell("baseline"), cell("fragile"), cell("sound")], 20);
    let mut samples = Machine::new(1).run(&plan, &["ready"], |_, _| 3.0);
    let with_failures = |samples: &mut Vec<Sample>| {
        for start in samples.iter_mut().filter(|start| start.cell == "fragile" && start.block < 3) {
            start.failure = Some("the extension exited with status 1".to_owned());
            start.measures.insert("ready".to_owned(), 1e6);
            start.digest = None;
        }
    };
    let before = analyze(&plan, &[], &samples, RESAMPLES);
    with_failures(&mut samples);
    let after = analyze(&plan, &[], &samples, RESAMPLES);
    let found = only(&after);
    assert_eq!((found.blocks, found.cells[1].starts), (17, 17));
    let expected = "3 of 20 starts failed, the first because the extension exited with status 1";
    assert_eq!(found.cells[1].failures.as_deref(), Some(expected));
    assert!(difference(&after, "fragile", "ready").value.abs() < 2.0);
    assert_eq!(
        difference(&after, "sound", "ready").value.to_bits(),
        difference(&before, "sound", "ready").value.to_bits()
    );
}

#[test]
fn another_digest_goes_before_any_speed() {
    let kinds = [
        cell("baseline"),
        cell("loses"),
        cell("wavers"),
        cell("silent"),
        Cell { id: "floor".to_owned(), kind: CellKind::Floor, levels: std::collections::BTreeMap::new() },
        again("baseline-again", "baseline"),
    ];
    let plan = plan(kinds.to_vec(), 12);
    let mut samples = Machine::new(2).run(&plan, &["ready"], |_, _| 3.0);
    for start in &mut samples {
        match (start.cell.as_str(), start.block) {
            ("loses", _) | ("wavers", 7) => start.digest = Some("less".to_owned()),
            ("silent" | "floor", _) => start.digest = None,
            _ => {}
        }
        // A control that differs as well: noise does not excuse what was lost.
        *start.measures.get_mut("ready").unwrap() += if start.cell == "baseline-again" { 9.0 } else { 0.0 };
    }
    let analysis = analyze(&plan, &[], &samples, RESAMPLES);
    let verdict = |id: &str| difference(&analysis, id, "ready").verdict;
    assert_eq!(["loses", "wavers", "silent"].map(verdict), [Verdict::DigestMismatch; 3]);
    assert_eq!(["floor", "baseline-again"].map(verdict), [Verdict::InvalidRun; 2]);
    let digests: Vec<Option<&str>> = only(&analysis).cells.iter().map(|cell| cell.digest.as_deref()).collect();
    assert_eq!(digests, [Some("same"), Some("less"), None, None, None, Some("same")]);
}

#[test]
fn a_script_hears_of_another_digest() {
    let folder = TempDir::new().unwrap();
    let path = |name: &str| folder.path().join(name);
    let plan = pair(8);
    fs::write(path("plan.json"), serde_json::to_string(&plan).unwrap()).unwrap();
    let status = |digest: &str| {
        let mut samples = Machine::new(2).run(&plan, &["ready"], |_, _| 3.0);
        samples
            .iter_mut()
            .filter(|start| start.cell == "other")
            .for_each(|start| start.digest = Some(digest.to_owned()));
        let lines: String = samples.iter().map(|start| serde_json::to_string(start).unwrap() + "\n").collect();
        fs::write(path("samples.jsonl"), lines).unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_matrix"));
        command.arg("analyze").args([path("plan.json"), path("samples.jsonl")]).arg("--out").arg(path("analysis.json"));
        let output = command.output().unwrap();
        (output.status.code().unwrap(), String::from_utf8_lossy(&output.stderr).into_owned())
    };
    assert_eq!(status("same"), (0, String::new()));
    let (code, said) = status("less");
    assert_eq!(code, 4);
    assert!(said.contains("other: payload-mismatch: none of 8 starts delivers what baseline delivers"), "{said}");
    assert!(path("analysis.json").exists(), "it is told in the analysis, too");
}

#[test]
fn phases_are_averaged_in_their_order() {
    let with = |block: u32, times: [f64; 2]| Sample {
        phases: ["register", "bind"]
            .iter()
            .zip(times)
            .map(|(name, at_ms)| Phase { name: (*name).to_owned(), at_ms })
            .collect(),
        ..start("baseline", block, "ready", 5.0)
    };
    let analysis = analyze(&pair(2), &[], &[with(0, [1.0, 2.0]), with(1, [3.0, 5.0])], RESAMPLES);
    let expected = [("register", 2.0), ("bind", 3.5)].map(|(name, at_ms)| Phase { name: name.to_owned(), at_ms });
    assert_eq!(only(&analysis).cells[0].phases, expected);
}

#[test]
fn what_is_twice_or_of_another_plan_is_left_out_and_named() {
    let mut samples = counted(8, "ready", |_| 5.0, f64::from);
    samples.push(start("other", 3, "ready", 1e9));
    samples.push(start("stranger", 3, "ready", 1.0));
    let analysis = analyze(&pair(8), &[], &samples, RESAMPLES);
    assert!((only(&analysis).cells[1].measures["ready"].mean - 3.5).abs() < 1e-12);
    assert!(analysis.notes[0].contains("not in the plan") && analysis.notes[0].contains("stranger"));
    assert!(analysis.notes[1].ends_with("before in the same block: 1."), "{:?}", analysis.notes);
}

#[test]
fn analysis_does_not_depend_on_file_order() {
    let plan = plan(vec![cell("baseline"), cell("one"), cell("two")], 15);
    let mut samples = Machine::new(3).run(&plan, &["ready", "register"], |_, _| 3.0);
    let one = analyze(&plan, &[], &samples, RESAMPLES);
    samples.reverse();
    assert_eq!(analyze(&plan, &[], &samples, RESAMPLES), one);
    assert_ne!(analyze(&Plan { seed: 8, ..plan }, &[], &samples, RESAMPLES).conditions, one.conditions);
}

struct Run(TempDir);

impl Run {
    fn new(plan: &Plan) -> Self {
        let run = Self(tempfile::tempdir().unwrap());
        fs::write(run.path("plan.json"), serde_json::to_string_pretty(plan).unwrap()).unwrap();
        run
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn write(&self, name: &str, text: &str) -> PathBuf {
        fs::write(self.path(name), text).unwrap();
        self.path(name)
    }

    fn analyze(&self, samples: &[&str]) -> Analysis {
        let samples: Vec<PathBuf> = samples.iter().map(|name| self.path(name)).collect();
        analyze::of_files(&RunFiles { plan: &self.path("plan.json"), samples: &samples, builds: None }).unwrap()
    }
}

fn lines(samples: &[Sample]) -> String {
    samples.iter().map(|sample| serde_json::to_string(sample).unwrap() + "\n").collect()
}

#[test]
fn shards_are_put_together_and_an_unfinished_line_is_left_out() {
    let plan = pair(12);
    let samples = Machine::new(4).run(&plan, &["ready"], |_, _| 3.0);
    let run = Run::new(&plan);
    let (first, second) = samples.split_at(12);
    let first = lines(first);
    run.write("first.jsonl", first.get(..first.len() - 30).unwrap());
    run.write("second.jsonl", &lines(second));
    let analysis = run.analyze(&["first.jsonl", "second.jsonl"]);
    assert_eq!(only(&analysis).blocks, 11);
    assert!(analysis.notes[0].contains("first.jsonl:12 was left unfinished"), "{:?}", analysis.notes);
    // With cat, it is a line in the middle.
    let both = run.write("both.jsonl", &(first.get(..first.len() - 30).unwrap().to_owned() + &lines(second)));
    assert!(matches!(read::lines::<Sample>(&both), Err(Error::Line { line: 12, .. })));
}

#[test]
fn builds_beside_the_plan_name_programs_that_are_alike() {
    let run = Run::new(&pair(4));
    run.write("samples.jsonl", &lines(&counted(4, "ready", |_| 5.0, |_| 5.0)[..1]));
    let built = r#"{"schema":3,"cell":"other","program":null,"agent":null,"sha256":"","bytes":0,"seconds":1.0,"cached":true,"same_as":"baseline","failure":null}"#;
    run.write("builds.jsonl", built);
    let analysis = run.analyze(&["samples.jsonl"]);
    assert_eq!(difference(&analysis, "other", "ready").verdict, Verdict::NoOp);
    assert_eq!(analysis.notes, ["Only 1 of 4 planned blocks were started."]);
}

#[test]
fn another_schema_and_other_nonsense_are_refused_with_their_place() {
    let run = Run::new(&pair(2));
    let good = lines(&counted(2, "ready", |_| 5.0, |_| 5.0));
    let newer = matrix::plan::SCHEMA + 1;
    let file = run.write("newer.jsonl", &format!("{good}{{\"schema\":{newer},\"what\":\"ever\"}}\n"));
    assert!(matches!(read::lines::<Sample>(&file), Err(Error::Schema { found, .. }) if found == newer));
    let broken = run.write("broken.jsonl", &format!("{good}nonsense\n{good}"));
    assert!(matches!(read::lines::<Sample>(&broken), Err(Error::Line { line: 5, .. })));
    let whole = run.write("whole.jsonl", &good);
    let read = read::lines::<Sample>(&whole).unwrap();
    assert_eq!((read.values.len(), read.torn.len()), (4, 0));
    let empty = run.write("plan.json", &serde_json::to_string(&Plan { cells: Vec::new(), ..pair(2) }).unwrap());
    assert!(matches!(read::plan(&empty), Err(Error::NoCells(_))));
    assert!(matches!(read::plan(&run.path("absent")), Err(Error::Read { .. })));
}

#[test]
fn an_account_can_be_quoted() {
    let plan = plan(vec![cell("baseline"), cell("fast"), cell("same")], 12);
    let value = |cell: &str, block: u32| match cell {
        "fast" => 5.0 - 1.5 - 0.01 * f64::from(block % 3),
        "same" => 5.0 + 0.1 * f64::from(block % 3) - 0.1,
        _ => 5.0,
    };
    let samples: Vec<Sample> = (0..12)
        .flat_map(|block| ["baseline", "fast", "same"].map(|cell| start(cell, block, "ready", value(cell, block))))
        .collect();
    let analysis = analyze(&plan, &[], &samples, RESAMPLES);
    let text = analyze::analysis_summary::AnalysisSummary(&analysis).to_string();
    assert!(
        text.contains(
            "1024 MB, boosted init, file in memory, no added latency, al2023 trust store, null runtime: 12 complete"
        ),
        "{text}"
    );
    assert!(text.contains("fast against baseline") && text.contains("faster by 1.51 ms [1.5"), "{text}");
    assert!(text.contains("no detectable change (MDE 0."), "{text}");
    assert!(text.contains("2 verdicts share a chance of 5 %"), "{text}");
}
