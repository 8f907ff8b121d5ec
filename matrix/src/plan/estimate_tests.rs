use std::collections::BTreeMap;

use super::*;
use crate::plan::{Cell, Condition, SCHEMA};

fn condition() -> Condition {
    Condition::default()
}

/// The baseline, with a choice more in each cell.
fn plan(choices: &[&str], blocks: u32) -> Plan {
    let manifest = Manifest::embedded().unwrap();
    let cells = choices.iter().map(|choice| {
        let mut levels = manifest.set_levels("baseline").unwrap();
        levels.extend(choice.split_once('=').map(|(factor, level)| (factor.to_owned(), level.to_owned())));
        Cell { id: format!("with-{choice}"), kind: CellKind::Build, levels }
    });
    Plan {
        schema: SCHEMA,
        seed: 1,
        design: "list".to_owned(),
        factors: Vec::new(),
        cells: cells.collect(),
        aliases: Vec::new(),
        conditions: vec![condition(), Condition { memory_mb: 128, ..condition() }],
        blocks,
        partition: None,
    }
}

fn sample(cell: &str, at_ms: i64, ready: f64) -> Sample {
    Sample {
        schema: SCHEMA,
        cell: cell.to_owned(),
        program: String::new(),
        condition: condition(),
        block: 0,
        position: 0,
        at_ms,
        measures: BTreeMap::from([("ready".to_owned(), ready)]),
        phases: Vec::new(),
        digest: None,
        undelivered: None,
        failure: None,
        harness: false,
    }
}

fn built(seconds: f64, cached: bool) -> Built {
    Built {
        schema: SCHEMA,
        cell: "a".to_owned(),
        program: None,
        agent: None,
        sha256: String::new(),
        bytes: 0,
        seconds,
        cached,
        origin: None,
        same_as: None,
        failure: None,
    }
}

fn estimate(plan: &Plan, builds: &[Built], samples: &[Sample]) -> Estimate {
    Estimate::of(Manifest::embedded().unwrap(), plan, builds, samples)
}

fn close(a: f64, b: f64) -> bool {
    (a - b).abs() < 1e-9
}

#[test]
fn cells_with_the_same_flags_are_built_together() {
    let plan = plan(&["", "lazy-intake=on", "opt-level=3", "launcher=on"], 10);
    let estimate = estimate(&plan, &[], &[]);
    let mut groups = estimate.groups.clone();
    groups.sort();
    let expected =
        [vec!["(launcher)"], vec!["with-", "with-lazy-intake=on", "with-launcher=on"], vec!["with-opt-level=3"]];
    assert_eq!(groups, expected.map(|group| group.into_iter().map(str::to_owned).collect::<Vec<_>>()));
    assert_eq!((estimate.builds, estimate.cold_starts), (5, 80), "4 cells in 10 blocks of 2 conditions");
    assert!(estimate.build_basis.contains("guess"), "{}", estimate.build_basis);
}

#[test]
fn earlier_builds_are_better_than_guesses() {
    let plan = plan(&["", "lazy-intake=on", "opt-level=3"], 10);
    let history = [built(300.0, false), built(30.0, false), built(20.0, false), built(0.5, true)];
    let estimate = estimate(&plan, &history, &[]);
    assert!(close(estimate.build_minutes, (2.0 * 300.0 + 30.0) / 60.0), "{}", estimate.build_minutes);
    assert!(estimate.build_basis.contains("3 earlier builds"), "{}", estimate.build_basis);
}

#[test]
fn what_can_be_seen_follows_from_how_much_earlier_starts_varied() {
    let samples = [sample("a", 0, 1.0), sample("a", 2000, 3.0), sample("b", 4000, 11.0), sample("b", 6000, 13.0)];
    let compared = estimate(&plan(&["", "static=on"], 16), &[], &samples);
    // Within each cell the two values are 1 from their mean: 4 / 2 degrees of freedom.
    let deviation = 2.0_f64.sqrt();
    assert!(close(compared.detectable_ms, 2.8 * deviation * 2.0_f64.sqrt() / 4.0), "{}", compared.detectable_ms);
    assert!(close(compared.start_minutes, 64.0 * 2.0 / 60.0), "{}", compared.start_minutes);

    let designed = Plan { factors: vec!["static".to_owned()], ..plan(&["", "static=on"], 16) };
    let designed = estimate(&designed, &[], &samples);
    assert!(
        close(designed.detectable_ms, 2.8 * 2.0 * deviation / (4.0 * 2.0_f64.sqrt())),
        "{}",
        designed.detectable_ms
    );
}

#[test]
fn failed_starts_say_nothing_about_noise() {
    let failed = Sample { failure: Some("it crashed".to_owned()), ..sample("a", 0, 900.0) };
    assert_eq!(deviation(&[sample("a", 0, 1.0), failed]), None);
}

#[test]
fn what_others_built_is_found_and_half_lines_are_passed_over() {
    let folder = tempfile::tempdir().unwrap();
    fs::create_dir(folder.path().join("sets")).unwrap();
    let line = serde_json::to_string(&built(7.0, false)).unwrap();
    fs::write(folder.path().join("sets/builds.jsonl"), format!("{line}\n{{\"schema\":1,")).unwrap();
    assert_eq!(earlier_builds(folder.path()), [built(7.0, false)]);
    assert_eq!(earlier_builds(Path::new("/nowhere")), []);
}
