//! What the gate makes of where a run was measured: conditions that the machine has not produced, and baselines of other machines.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test that can't go on has failed, and the simulated runs have a known shape"
)]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use crate::analyze_support::*;
use crate::machine_support::{self, machine};
use matrix::measure::{INSTRUMENT, Run, SkippedCondition};
use matrix::plan::{Cache, Cell, CellKind, Condition, Plan, Regime, SCHEMA};
use serde_json::Value;

type MachineRecord = matrix::measure::Machine;

fn planned(condition: &Condition) -> Plan {
    let floor = Cell { id: "floor".to_owned(), kind: CellKind::Floor, levels: std::collections::BTreeMap::new() };
    let cells = vec![cell("main"), cell("candidate"), floor, again("again", "main")];
    Plan { conditions: vec![condition.clone()], ..plan(cells, 30) }
}

fn record(machine: Option<MachineRecord>, refused: &[&str], left_out: Vec<SkippedCondition>) -> Run {
    Run {
        schema: SCHEMA,
        instrument: INSTRUMENT,
        seed: 7,
        design: "sets".to_owned(),
        matrix: "0.1.0".to_owned(),
        commit: None,
        machine: machine.unwrap_or_else(machine_support::machine),
        refused: refused.iter().map(|&sentence| sentence.to_owned()).collect(),
        left_out,
    }
}

/// The files of a run in which everything takes so many times the floor's, as far as `bench` leaves them, and what `analyze` makes of them.
fn left(folder: &Path, condition: &Condition, times: f64, record: &Run) -> String {
    fs::create_dir_all(folder).unwrap();
    let plan = planned(condition);
    let truth = |cell: &Cell, _: &str| if cell.id == "floor" { 2.0 } else { 2.0 * times };
    let mut samples = Machine::new(3).run(&plan, &["register", "ready"], truth);
    for sample in &mut samples {
        sample.condition = condition.clone();
        sample.measures.values_mut().for_each(|value| *value *= 1000.0);
    }
    let lines = samples.iter().map(|sample| serde_json::to_string(sample).unwrap() + "\n").collect::<String>();
    let path = |name: &str| folder.join(name);
    fs::write(path("plan.json"), serde_json::to_string(&plan).unwrap()).unwrap();
    fs::write(path("samples.jsonl"), lines).unwrap();
    fs::write(path("run.json"), serde_json::to_string(record).unwrap()).unwrap();
    let files =
        [path("plan.json"), path("samples.jsonl"), path("analysis.json")].map(|path| path.display().to_string());
    let output = matrix(&["analyze", &files[0], &files[1], "--out", &files[2]]);
    assert!(output.status.success(), "{}", output_text(&output));
    files[2].clone()
}

fn matrix(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_matrix")).args(arguments).output().unwrap()
}

fn output_text(output: &Output) -> String {
    String::from_utf8_lossy(&[&output.stdout[..], &output.stderr[..]].concat()).into_owned()
}

fn budgets(folder: &Path) -> PathBuf {
    let path = folder.join("budgets.toml");
    let limits = "{ ms = 9000.0, ratio = 1.5 }";
    fs::write(&path, format!("[[budget]]\nregister = {limits}\nready = {limits}\n")).unwrap();
    path
}

#[test]
fn a_throttled_run_that_was_not_throttled_is_invalid() {
    let throttled = Condition { regime: Regime::Throttled, ..Condition::default() };
    let refusal = "no CPU share of the memory tier: Permission denied";
    let left_out = SkippedCondition { condition: throttled.clone(), reason: refusal.to_owned() };
    for record in [record(None, &[refusal], Vec::new()), record(None, &[], vec![left_out])] {
        let folder = tempfile::tempdir().unwrap();
        let budgets = budgets(folder.path());
        let gate = |condition: &Condition| {
            let analysis = left(folder.path(), condition, 1.5, &record);
            matrix(&["gate", &analysis, "--budgets", budgets.to_str().unwrap(), "--candidate", "candidate"])
        };
        let invalid = gate(&throttled);
        assert_eq!(invalid.status.code(), Some(12), "{}", output_text(&invalid));
        assert!(output_text(&invalid).contains(refusal), "{}", output_text(&invalid));
        let boosted = gate(&Condition::default());
        assert_eq!(boosted.status.code(), Some(0), "{}", output_text(&boosted));
    }
}

#[test]
fn merge_keeps_left_out_conditions() {
    let folder = tempfile::tempdir().unwrap();
    let throttled = Condition { regime: Regime::Throttled, ..Condition::default() };
    let merged = |left_out: &[SkippedCondition], name: &str| {
        let shards = [0, 1].map(|index| {
            let shard = folder.path().join(format!("{name}-{index}"));
            let machine = MachineRecord { kernel: format!("Linux 6.{index}"), ..machine() };
            left(&shard, &Condition::default(), 1.5, &record(Some(machine), &[], left_out.to_vec()));
            let conditions = vec![Condition::default(), throttled.clone()];
            let plan = Plan { conditions, ..planned(&Condition::default()) };
            fs::write(shard.join("plan.json"), serde_json::to_string(&plan).unwrap()).unwrap();
            let samples = fs::read_to_string(shard.join("samples.jsonl")).unwrap();
            let own = |line: &&str| {
                let sample: matrix::measure::sample::Sample = serde_json::from_str(line).unwrap();
                sample.block % 2 == index
            };
            let own: String = samples.lines().filter(own).map(|line| line.to_owned() + "\n").collect();
            fs::write(shard.join("samples.jsonl"), own).unwrap();
            shard.display().to_string()
        });
        let out = folder.path().join(name);
        let output = matrix(&["merge", &shards[0], &shards[1], "--out", out.to_str().unwrap()]);
        (output.status.code(), output_text(&output), out.join("run.json"))
    };
    let (status, said, _) = merged(&[], "incomplete");
    assert_eq!(status, Some(2), "{said}");
    let left_out =
        SkippedCondition { condition: throttled.clone(), reason: "no CPU share of the memory tier: EPERM".to_owned() };
    let (status, said, run) = merged(std::slice::from_ref(&left_out), "complete");
    assert_eq!(status, Some(0), "{said}");
    let run: Run = serde_json::from_str(&fs::read_to_string(run).unwrap()).unwrap();
    assert_eq!(run.left_out, [left_out]);
    assert_eq!(run.instrument, INSTRUMENT);
    assert_eq!(run.machine.kernel, "Linux 6.0 and Linux 6.1", "no kind of machine stands for both");
}

/// Takes the version out of the record of a run: records of version 2 have none.
fn forget_instrument(path: &Path) {
    let mut record: Value = serde_json::from_str(&fs::read_to_string(path).unwrap()).unwrap();
    assert_eq!(record.as_object_mut().unwrap().remove("instrument"), Some(INSTRUMENT.into()));
    fs::write(path, record.to_string()).unwrap();
}

#[test]
fn run_of_another_instrument_version_is_refused_by_baselines() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    let [now, before, unrecorded] = ["now", "before", "unrecorded"]
        .map(|name| left(&at(name), &Condition::default(), 1.5, &record(None, &[], Vec::new())));
    forget_instrument(&at("before/run.json"));
    fs::remove_file(at("unrecorded/run.json")).unwrap();
    let (budgets, baseline) = (budgets(folder.path()), at("baseline.json"));
    let gate = |analysis: &str, option: &str| {
        let [budgets, baseline] = [&budgets, &baseline].map(|path| path.to_str().unwrap());
        let output = matrix(&["gate", analysis, "--budgets", budgets, "--candidate", "candidate", option, baseline]);
        (output.status.code(), output_text(&output))
    };
    let refused = |option: &str| {
        for (analysis, reason) in [
            (&before, format!("measured with version 2, and this is version {INSTRUMENT}: since")),
            (&unrecorded, "run.json is not beside the analysis, and only it has the version".to_owned()),
        ] {
            let (status, said) = gate(analysis, option);
            assert!(status == Some(2) && said.contains(&reason), "{option}: {status:?}: {said}");
        }
    };
    refused("--save-baseline");
    assert!(!baseline.exists());
    for option in ["--save-baseline", "--baseline"] {
        let (status, said) = gate(&now, option);
        assert_eq!(status, Some(0), "{option}: {said}");
    }
    refused("--baseline");
}

#[test]
fn merge_refuses_shards_of_different_versions() {
    let folder = tempfile::tempdir().unwrap();
    for name in ["now", "before"] {
        let shard = folder.path().join(name);
        left(&shard, &Condition::default(), 1.5, &record(None, &[], Vec::new()));
    }
    forget_instrument(&folder.path().join("before/run.json"));
    let [now, before, out] = ["now", "before", "out"].map(|name| folder.path().join(name).display().to_string());
    let output = matrix(&["merge", &now, &before, "--out", &out]);
    let said = output_text(&output);
    let reason = format!("now was measured with version {INSTRUMENT} and {before} with version 2");
    assert!(output.status.code() == Some(2) && said.contains(&reason), "{said}");
    assert!(!Path::new(&out).exists());
}

/// Baselines of some machines, and a later run that is held to them.
struct BaselineComparison<'a> {
    condition: Condition,
    stored: &'a [(MachineRecord, f64)],
    here: MachineRecord,
    times: f64,
}

impl BaselineComparison<'_> {
    fn gate(&self) -> (Option<i32>, String) {
        let folder = tempfile::tempdir().unwrap();
        let budgets = budgets(folder.path());
        let budgets = budgets.to_str().unwrap();
        let mut arguments = Vec::new();
        for (number, (machine, times)) in self.stored.iter().enumerate() {
            let run = record(Some(machine.clone()), &[], Vec::new());
            let analysis = left(&folder.path().join(number.to_string()), &self.condition, *times, &run);
            let baseline = folder.path().join(format!("{number}.json")).display().to_string();
            let saved =
                matrix(&["gate", &analysis, "--budgets", budgets, "--candidate", "main", "--save-baseline", &baseline]);
            assert_eq!(saved.status.code(), Some(0), "{}", output_text(&saved));
            arguments.extend(["--baseline".to_owned(), baseline]);
        }
        let run = record(Some(self.here.clone()), &[], Vec::new());
        let analysis = left(&folder.path().join("here"), &self.condition, self.times, &run);
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
        let held = ["gate", &analysis, "--budgets", budgets, "--candidate", "candidate"];
        let output = matrix(&[&held[..], &arguments].concat());
        (output.status.code(), output_text(&output))
    }
}

#[test]
fn a_ratio_of_one_other_machine_is_not_held() {
    let other = MachineRecord { kernel: "Linux 6.18.0".to_owned(), ..machine() };
    let stored = [(machine(), 1.5)];
    let held = |here: &MachineRecord, times| BaselineComparison {
        condition: Condition::default(),
        stored: &stored,
        here: here.clone(),
        times,
    };
    assert_eq!(held(&machine(), 1.5).gate().0, Some(0), "{}", held(&machine(), 1.5).gate().1);
    let (status, said) = held(&machine(), 6.0).gate();
    assert_eq!(status, Some(10), "{said}");
    for times in [1.5, 6.0] {
        let (status, said) = held(&other, times).gate();
        assert_eq!(status, Some(11), "{said}");
        assert!(said.contains("kernel Linux 6.1.0 there, Linux 6.18.0 here"), "{said}");
        assert!(said.contains("No ratio is held to the baseline"), "{said}");
    }
}

#[test]
fn a_ratio_that_two_machines_have_alike_is_held_on_a_third() {
    let kernel = |version: &str| MachineRecord { kernel: format!("Linux {version}"), ..machine() };
    let held = |stored: &[(MachineRecord, f64)], times| {
        BaselineComparison { condition: Condition::default(), stored, here: kernel("6.18"), times }.gate()
    };
    let alike = [(kernel("6.1"), 1.5), (kernel("5.10"), 1.5)];
    assert_eq!(held(&alike, 1.5).0, Some(0), "{}", held(&alike, 1.5).1);
    assert_eq!(held(&alike, 6.0).0, Some(10), "{}", held(&alike, 6.0).1);
    let unlike = [(kernel("6.1"), 1.5), (kernel("5.10"), 6.0)];
    assert_eq!(held(&unlike, 6.0).0, Some(11), "{}", held(&unlike, 6.0).1);
    let same_twice = [(kernel("6.1"), 1.5), (kernel("6.1"), 1.5)];
    assert_eq!(held(&same_twice, 1.5).0, Some(11), "{}", held(&same_twice, 1.5).1);
}

#[test]
fn a_ratio_from_disk_is_held_where_the_disk_reads_ahead_alike() {
    let cold = Condition { cache: Cache::Cold, ..Condition::default() };
    let on = |kernel: &str, kib| MachineRecord { kernel: kernel.to_owned(), read_ahead_kib: Some(kib), ..machine() };
    let held = |stored: &[(MachineRecord, f64)], here: MachineRecord| {
        BaselineComparison { condition: cold.clone(), stored, here, times: 1.5 }.gate()
    };
    let (status, said) = held(&[(on("a", 128), 1.5)], on("a", 4096));
    assert_eq!(status, Some(11), "{said}");
    assert!(said.contains("read-ahead in KiB 128 there, 4096 here"), "{said}");
    let stored = [(on("a", 128), 1.5), (on("b", 128), 1.5)];
    assert_eq!(held(&stored, on("c", 4096)).0, Some(11));
    assert_eq!(held(&stored, on("c", 128)).0, Some(0), "{}", held(&stored, on("c", 128)).1);
}
