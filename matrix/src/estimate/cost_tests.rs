use super::*;
use crate::build::LauncherTime;
use crate::estimate::build_seconds::{C_SECONDS, GUESS, LAUNCHER_SECONDS};
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
        design: "cells".to_owned(),
        factors: Vec::new(),
        cells: cells.collect(),
        aliases: Vec::new(),
        conditions: vec![condition(), Condition { memory_mb: 128, ..condition() }],
        blocks,
        own_payload: Vec::new(),
        shard: None,
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

fn built(seconds: f64, cached: bool) -> BuildRecord {
    BuildRecord {
        schema: SCHEMA,
        cell: "a".to_owned(),
        program: None,
        agent: None,
        sha256: String::new(),
        bytes: 0,
        seconds,
        cached,
        compiled: None,
        group: None,
        slowdown: None,
        launcher: None,
        brought: BTreeSet::new(),
        origin: None,
        same_as: None,
        failure: None,
    }
}

fn estimate(plan: &Plan, builds: &[BuildRecord], samples: &[Sample]) -> Estimate {
    Estimate::of(Manifest::embedded().unwrap(), plan, builds, |_| Vec::new(), samples)
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
    assert!(estimate.build_basis.contains("assumed"), "{}", estimate.build_basis);
}

#[test]
fn earlier_builds_are_better_than_guesses() {
    let plan = plan(&["", "lazy-intake=on", "opt-level=3"], 10);
    let of = |seconds, compiled| BuildRecord { compiled: Some(compiled), ..built(seconds, false) };
    let first = [of(80.0, 150), of(90.0, 160), of(300.0, 140)];
    let further = [of(40.0, 2), of(30.0, 2), of(35.0, 20)];
    // What is no build of the extension, was there, failed, is of another profile or is two programs at once without the times of both tells nothing.
    let failure = Some(crate::build::Failure::default());
    let agent = Some(PathBuf::new());
    let rest = [
        built(0.3, false),
        BuildRecord { cached: true, ..of(0.5, 0) },
        BuildRecord { failure, ..of(1.0, 1) },
        BuildRecord { agent, ..of(120.0, 2) },
    ];
    let minutes = |builds: &[&[BuildRecord]]| estimate(&plan, &builds.concat(), &[]).build_minutes * 60.0;
    // Each of the two groups has jemalloc for the first time.
    let new = |first: f64| first * (1.0 + 30.0 / GUESS.first);
    assert!(close(minutes(&[&first, &further, &rest]), 2.0 * new(90.0) + 35.0));
    assert!(close(minutes(&[&first, &rest]), 2.0 * new(90.0) + 45.0), "half of the first, as is guessed");
    assert!(close(minutes(&[&further[..2], &rest]), 2.0 * new(80.0) + 40.0), "twice the others");
    assert!(close(minutes(&[&rest]), minutes(&[])));
    let basis = estimate(&plan, &[&first[..], &further].concat(), &[]).build_basis;
    assert_eq!(basis, "from 6 earlier builds");
}

#[test]
fn a_group_takes_as_long_as_earlier_builds_with_its_flags() {
    let manifest = Manifest::embedded().unwrap();
    let plan = plan(&["", "opt-level=3", "lazy-intake=on", "launcher=on"], 10);
    let named = |cell: &str| {
        let groups = groups(manifest, &plan.cells);
        let found = groups.into_iter().find(|(_, programs)| programs.iter().any(|program| program.name == cell));
        Some(found.unwrap().0.0)
    };
    let of = |group: &Option<String>, seconds, compiled| BuildRecord {
        compiled: Some(compiled),
        group: group.clone(),
        ..built(seconds, false)
    };
    let (usual, quick, other) = (named("with-"), named("with-opt-level=3"), Some("another".to_owned()));
    // That of the agent counts without the launcher's, which was there in the second build, and as on an idle machine.
    let with_launcher = |record: BuildRecord, seconds, compiled| BuildRecord {
        agent: Some(PathBuf::new()),
        launcher: Some(LauncherTime { seconds, compiled }),
        ..record
    };
    let builds = [
        BuildRecord { slowdown: Some(3.0), ..with_launcher(of(&usual, 675.0, 150), 75.0, 9) },
        with_launcher(of(&usual, 80.5, 2), 0.5, 0),
        of(&quick, 40.0, 150),
        of(&other, 1000.0, 150),
        of(&other, 900.0, 2),
        of(&other, 900.0, 2),
    ];
    let there = |_: &_| vec![Dependencies::of(manifest, &Recipe::of(manifest, &plan.cells[0].levels))];
    let estimated = |compiled: &dyn Fn(&Group) -> Vec<Dependencies>| {
        Estimate::of(manifest, &plan, &builds, compiled, &[]).build_minutes * 60.0
    };
    // Where a group was built from nothing alone, further builds are to the first as in all groups: 900 to 200.
    assert!(close(estimated(&there), 3.0 * 80.0 + 40.0 * 900.0 / 200.0 + 25.0), "{}", estimated(&there));
    let jemalloc = 30.0 * 200.0 / GUESS.first;
    let from_nothing = 200.0 + 2.0 * 80.0 + 40.0 + 2.0 * jemalloc + 25.0;
    assert!(close(estimated(&|_| Vec::new()), from_nothing), "{} {from_nothing}", estimated(&|_| Vec::new()));
    let estimate = Estimate::of(manifest, &plan, &builds, |_| Vec::new(), &[]);
    let busy = estimate.clone().slowed(4.0);
    assert!(close(busy.build_minutes, 4.0 * estimate.build_minutes));
    assert!(busy.build_basis.ends_with("; ×4.0 because the machine is busy"), "{}", busy.build_basis);
    let basis = estimate.slowed(1.0).build_basis;
    let expected = "from 6 earlier builds, by group of flags";
    assert_eq!(basis, expected);
}

#[test]
fn dependencies_that_are_there_are_not_built_again() {
    let plan = plan(&["", "lazy-intake=on", "opt-level=3"], 10);
    let manifest = Manifest::embedded().unwrap();
    let (plain, programs) =
        groups(manifest, &plan.cells).into_iter().find(|(_, programs)| programs.len() == 2).unwrap();
    let folder = tempfile::tempdir().unwrap();
    programs[0].needs.record(&folder.path().join("build").join(&plain.0)).unwrap();
    let there = |group: &_| compiled(folder.path(), group);
    let estimate = Estimate::of(manifest, &plan, &[], there, &[]);
    // The baseline has jemalloc, which the group of the last cell lacks.
    assert!(close(estimate.build_minutes * 60.0, GUESS.first + 30.0 + 2.0 * GUESS.further));
    assert!(estimate.build_basis.ends_with("; groups with compiled dependencies: 1"), "{}", estimate.build_basis);
}

#[test]
fn fips_is_not_compiled_because_ship_is() {
    let manifest = Manifest::embedded().unwrap();
    let of = |sets: &[&str]| {
        let cells = sets.iter().map(|set| Cell {
            id: (*set).to_owned(),
            kind: CellKind::Build,
            levels: manifest.set_levels(set).unwrap(),
        });
        Plan { cells: cells.collect(), ..plan(&[], 10) }
    };
    let ship = groups(manifest, &of(&["ship-agent"]).cells).into_values().next().unwrap();
    let seconds = |sets: &[&str]| {
        let there = |_: &_| ship.iter().map(|program| program.needs.clone()).collect();
        Estimate::of(manifest, &of(sets), &[], there, &[]).build_minutes * 60.0
    };
    assert!(close(seconds(&["ship-agent"]), GUESS.further));
    let module = C_SECONDS.into_iter().find(|(feature, _)| *feature == "fips").unwrap().1;
    assert!(close(seconds(&["ship-fips"]), GUESS.first + module + LAUNCHER_SECONDS));
    let both = GUESS.further + GUESS.first + module + LAUNCHER_SECONDS;
    assert!(close(seconds(&["ship-agent", "ship-fips"]), both));
}

#[test]
fn builds_with_new_c_code_say_how_long_others_take() {
    let of = |seconds, compiled, brought: &[&str]| BuildRecord {
        compiled: Some(compiled),
        brought: brought.iter().map(|&feature| feature.to_owned()).collect(),
        ..built(seconds, false)
    };
    // Twice as slow as is guessed, and the module four times.
    let slow = [of(480.0, 160, &["fips"]), of(240.0, 150, &["ring"]), of(120.0, 3, &[])];
    let known = BuildSeconds::of(&slow);
    assert!(
        close(known.any.first, 240.0) && close(known.any.further, 120.0),
        "{} {}",
        known.any.first,
        known.any.further
    );
    assert!(close(known.c_code["fips"], 240.0) && close(known.c_code["jemalloc"], 60.0), "{:?}", known.c_code);
    let expected = "from 3 earlier builds, 240 s for the C code of fips in earlier builds";
    assert_eq!(known.basis, expected);
    // A build with it that took no longer than others shows that it adds nothing, and one where others are not known shows only the sum.
    let quick = BuildSeconds::of(&[of(150.0, 160, &["fips"]), of(160.0, 150, &[])]);
    assert!(close(quick.c_code["fips"], 0.0), "{:?}", quick.c_code);
    let alone = BuildSeconds::of(&[of(300.0, 160, &["fips"])]);
    assert!(close(alone.any.first + alone.c_code["fips"], 300.0) && !alone.basis.contains("C code"), "{}", alone.basis);
}

/// Two cells in so many blocks, which differ by ±`spread` around 10 ms.
fn history(spread: f64) -> Vec<Sample> {
    let start = |block: u32| {
        let side = if block % 4 < 2 { spread } else { -spread };
        let at = |cell: &str, ready: f64| Sample { block, ..sample(cell, i64::from(block) * 1000, ready) };
        [at("a", 1.0 + f64::from(block)), at("b", 11.0 + f64::from(block) + side)]
    };
    (0..40).flat_map(start).collect()
}

#[test]
fn promise_grows_with_the_noise_of_earlier_starts_and_falls_with_blocks() {
    let promised =
        |blocks, spread| estimate(&plan(&["", "static=on"], blocks), &[], &history(spread)).detectable_ms.unwrap();
    let once = promised(20, 1.0);
    assert!((promised(20, 2.0) / once - 2.0).abs() < 0.01);
    assert!((promised(80, 1.0) / once - 0.5).abs() < 0.08, "{once} {}", promised(80, 1.0));
    let basis = estimate(&plan(&["", "static=on"], 20), &[], &history(1.0)).detectable_basis;
    assert!(basis.contains("2 verdicts") && basis.contains("80 earlier starts"), "{basis}");
}

#[test]
fn failed_starts_say_nothing_about_noise() {
    let mut samples = history(1.0);
    let failed = Sample { failure: Some("it crashed".to_owned()), ..sample("a", 0, 900.0) };
    let before = estimate(&plan(&["", "static=on"], 16), &[], &samples);
    samples.push(failed);
    assert_eq!(estimate(&plan(&["", "static=on"], 16), &[], &samples).detectable_ms, before.detectable_ms);
}

#[test]
fn too_few_blocks_and_a_single_cell_can_decide_nothing() {
    let few = estimate(&plan(&["", "static=on"], 5), &[], &[]);
    assert_eq!(few.detectable_ms, None);
    assert!(few.detectable_basis.ends_with("fewer than 6 blocks give no verdict"), "{}", few.detectable_basis);
    assert_eq!(estimate(&plan(&[""], 50), &[], &[]).detectable_ms, None);
    let alike = Plan { factors: vec!["lazy-intake".to_owned()], ..plan(&["", "static=on"], 50) };
    assert_eq!(estimate(&alike, &[], &[]).detectable_ms, None, "the factor never varies");
}

#[test]
fn what_others_built_is_found_and_half_lines_are_passed_over() {
    let folder = tempfile::tempdir().unwrap();
    fs::create_dir(folder.path().join("sets")).unwrap();
    let line = serde_json::to_string(&built(7.0, false)).unwrap();
    fs::write(folder.path().join("sets/builds.jsonl"), format!("{line}\n{{\"schema\":1,")).unwrap();
    assert_eq!(earlier_builds(folder.path()), [built(7.0, false)]);
    for place in ["single/ship", "flavours/arm64/ship", "build/no/experiment"] {
        fs::create_dir_all(folder.path().join(place)).unwrap();
        fs::write(folder.path().join(place).join("builds.jsonl"), &line).unwrap();
    }
    assert_eq!(earlier_builds(folder.path()).len(), 2, "an emulated or cross build says nothing of a plain one");
    assert_eq!(earlier_builds(Path::new("/nowhere")), []);
}
