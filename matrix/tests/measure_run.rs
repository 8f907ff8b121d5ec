//! Plans become samples: in blocks, in an order that can be repeated, and without losing what is there.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "a test that can't go on has failed")]

use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;
use std::sync::atomic::Ordering;

use crate::measure_support::*;
use matrix::build::BuildRecord;
use matrix::executable;
use matrix::hash::of_files;
use matrix::measure::sample::Sample;
use matrix::measure::{DirectoryLock, Error, INSTRUMENT, LOCK, Options, Run, Step, Summary, run};
use matrix::plan::ShardIndex;
use matrix::plan::{AppSec, Cache, CellKind, Condition, DELIVERY, Latency, Plan, SCHEMA};
use matrix::sandbox::isolation;

fn built(cell: &str, program: impl Into<PathBuf>) -> BuildRecord {
    let program = program.into();
    let sha256 = of_files([program.as_path()]).unwrap();
    BuildRecord {
        schema: SCHEMA,
        cell: cell.to_owned(),
        program: Some(program),
        agent: None,
        sha256,
        bytes: 1,
        seconds: 0.0,
        cached: true,
        compiled: None,
        group: None,
        slowdown: None,
        launcher: None,
        brought: std::collections::BTreeSet::new(),
        origin: None,
        same_as: None,
        failure: None,
    }
}

#[test]
fn every_cell_starts_once_in_every_block_of_every_condition() {
    let out = directory();
    let cold = Condition { cache: Cache::Cold, ..condition() };
    let plan = plan(vec![floor(), again("twin", "floor")], vec![condition(), cold.clone()], 3);
    let summary = measure(&plan, out.path()).unwrap();
    assert_eq!((summary.started, summary.failed, summary.stopped), (12, 0, false), "{:?}", samples(out.path()));

    let samples = samples(out.path());
    let blocks: Vec<_> = samples.iter().map(|sample| (sample.block, sample.condition.cache)).collect();
    let rounds = [0, 1, 2].map(|block| [(block, Cache::Warm); 2].into_iter().chain([(block, Cache::Cold); 2]));
    assert_eq!(blocks, rounds.into_iter().flatten().collect::<Vec<_>>(), "conditions take turns");
    let distinct: BTreeSet<_> =
        keys(&samples).into_iter().map(|(block, condition, _, cell)| (block, condition, cell)).collect();
    assert_eq!(distinct.len(), 12);
    assert!(samples.iter().any(|sample| sample.position == 0 && sample.cell == "twin"), "the order is drawn");
    let limited = has_share(&summary);
    for sample in &samples {
        assert_plausible(sample, limited);
    }
    let run: Run = serde_json::from_str(&fs::read_to_string(out.path().join("run.json")).unwrap()).unwrap();
    assert!(run.seed == 7 && run.machine.cores > 0 && run.machine.kernel.starts_with("Linux "), "{run:?}");
    // Whoever can limit the CPU has control groups to do it with.
    assert!(!limited || matches!(run.machine.control_groups, Some(1 | 2)), "{run:?}");
    assert_eq!(run.refused, summary.refused);
}

/// Whether processes have the CPU share of their memory tier after init. Without it nothing is said of how long an invocation takes.
fn has_share(summary: &Summary) -> bool {
    !summary.refused.iter().any(|reason| reason.starts_with("no CPU share"))
}

fn assert_plausible(sample: &Sample, limited: bool) {
    let value = |measure: &str| *sample.measures.get(measure).unwrap_or_else(|| panic!("no {measure}: {sample:?}"));
    assert!(0.0 < value("register") && value("register") <= value("ready"));
    assert!((value("init_null") - value("ready")).abs() < 1e-6, "beside a runtime that takes no time");
    for measure in ["first_invocation", "next_after_done"] {
        assert_eq!(sample.measures.contains_key(measure), limited, "{measure}");
    }
    if limited {
        assert!(value("first_invocation") > 0.0);
        // It asks for the next event at once.
        assert!(value("next_after_done").abs() < 1e-6);
    }
    assert!(0.0 < value("cpu_settled") && value("cpu_settled") < 100.0, "it has next to nothing to do");
    assert!(0.0 < value("cpu_invocation") && value("cpu_invocation") < value("cpu_total"));
    assert!(0.0 < value("cpu_total") && value("cpu_total") < 100.0);
    assert!(value("cpu_ready") > 0.0 && value("cpu_ready") <= value("cpu_settled"));
    assert!(value("faults_settled") >= value("minor_faults"));
    assert!(value("minor_faults") > 10.0 && value("resident_peak") > 100.0);
    // It starts a second one just after its first request for an event, which has stopped it.
    assert!((value("threads") - 1.0).abs() < 1e-6, "{}", value("threads"));
    assert!(value("libraries") >= 1.0 && value("relocations") > 100.0);
    assert_eq!(sample.measures.contains_key("file_touched"), sample.condition.cache == Cache::Cold);
    if sample.condition.cache == Cache::Cold {
        assert!(0.0 < value("file_touched") && value("file_touched") * 1024.0 <= value("file_size"));
        assert!(0.0 < value("entry_touched") && value("entry_touched") * 1024.0 <= value("entry_size"));
        assert!(value("entry_touched") <= value("file_touched"));
    }
    assert!(sample.digest.is_some() && sample.undelivered.is_none(), "{sample:?}");
    assert!(sample.phases.is_empty(), "it is not ours");
    let known: BTreeSet<_> = matrix::measure::sample::MEASURES.iter().map(|measure| measure.name).collect();
    assert!(sample.measures.keys().all(|name| known.contains(name.as_str())), "{:?}", sample.measures.keys());
}

#[test]
fn app_and_api_protection_without_a_worker_is_refused() {
    let out = directory();
    let protected = Condition { appsec: AppSec::On, ..condition() };
    let error = run(&plan(vec![floor()], vec![protected], 1), &[], &options(out.path()), &|_| {}).unwrap_err();
    assert!(error.to_string().contains("no WAF worker is beside the programs"), "{error}");
}

#[test]
fn an_interrupted_run_is_finished_in_the_same_order() {
    let out = directory();
    let plan = plan(vec![floor(), again("b", "floor"), again("c", "floor")], vec![condition()], 2);
    measure(&plan, out.path()).unwrap();
    let whole = samples(out.path());
    let path = out.path().join("samples.jsonl");
    let text = fs::read_to_string(&path).unwrap();
    let lines: Vec<_> = text.lines().collect();
    // The second block is half done, and the last line was cut in the middle.
    fs::write(&path, format!("{}\n{}", lines[..4].join("\n"), &lines[4][..50])).unwrap();

    let summary = measure(&plan, out.path()).unwrap();
    assert_eq!((summary.resumed, summary.started), (4, 2));
    assert_eq!(keys(&samples(out.path())), keys(&whole));
    let summary = measure(&plan, out.path()).unwrap();
    assert_eq!((summary.resumed, summary.started), (6, 0), "there is nothing left to do");
}

#[test]
fn shards_take_turns_with_the_blocks_and_make_up_the_whole() {
    let plan = plan(vec![floor(), again("twin", "floor")], vec![condition()], 3);
    let part = |number| {
        let out = directory();
        let options = Options { shard: Some(ShardIndex { index: number, of: 2 }), ..options(out.path()) };
        run(&plan, &[], &options, &|_| {}).unwrap();
        samples(out.path())
    };
    let (even, odd, out) = (part(0), part(1), directory());
    measure(&plan, out.path()).unwrap();
    assert_eq!((even.len(), odd.len()), (4, 2));
    let mut parts: Vec<_> = keys(&even).into_iter().chain(keys(&odd)).collect();
    parts.sort_unstable();
    let whole = samples(out.path());
    let mut whole = keys(&whole);
    whole.sort_unstable();
    assert_eq!(parts, whole);
}

#[test]
fn a_start_that_fails_is_recorded_and_the_run_goes_on() {
    let out = directory();
    let plan = plan(vec![external("broken", "/bin/false", &[]), floor()], vec![condition()], 2);
    let progress = ProgressLog::default();
    let summary = run(&plan, &[], &options(out.path()), &|step| progress.step(&step)).unwrap();
    assert_eq!((summary.started, summary.failed), (4, 2));
    for sample in samples(out.path()) {
        match sample.cell.as_str() {
            "broken" => {
                let failure = sample.failure.unwrap();
                assert!(failure.contains("did not register") && failure.contains("exit status: 1"), "{failure}");
                assert!(sample.measures.contains_key("file_size") && !sample.measures.contains_key("register"));
            }
            _ => assert_eq!(sample.failure, None),
        }
    }
    assert!(progress.0.borrow().iter().any(|step| step.contains("broken") && step.contains("did not register")));
}

#[test]
fn stopping_keeps_what_is_there() {
    let out = directory();
    let plan = plan(vec![floor()], vec![condition()], 5);
    let options = options(out.path());
    let stop = options.stop.clone();
    let summary = run(&plan, &[], &options, &|step| {
        if matches!(step, Step::Started { block: 1, .. }) {
            stop.store(true, Ordering::SeqCst);
        }
    });
    let summary = summary.unwrap();
    assert!(summary.stopped);
    assert_eq!((summary.started, samples(out.path()).len()), (2, 2));
}

#[test]
fn our_own_builds_have_a_digest_and_checkpoints() {
    let out = directory();
    let sleeping = Condition { runtime: "sleep:5".to_owned(), platform: Latency::Lambda, ..condition() };
    let plan = plan(vec![cell("ship", CellKind::Build), again("ship-again", "ship")], vec![sleeping], 2);
    let summary = run(&plan, &[built("ship", agent())], &options(out.path()), &|_| {}).unwrap();
    let samples = samples(out.path());
    assert_eq!((summary.started, summary.failed), (4, 0), "{samples:?}");
    let digests: BTreeSet<_> = samples.iter().map(|sample| sample.digest.clone().unwrap()).collect();
    assert_eq!(digests.len(), 1, "{digests:?}");
    for sample in &samples {
        let names: Vec<_> = sample.phases.iter().map(|phase| phase.name.as_str()).collect();
        assert_eq!(names, ["start", "registered"]);
        let at: Vec<_> = sample.phases.iter().map(|phase| phase.at_ms).collect();
        let ready = sample.measures["ready"];
        assert!(0.0 < at[0] && at[0] < at[1] && at[1] < ready + 5.0, "{at:?} and ready at {ready}");
        assert!(sample.measures["register"] >= 2.5, "the platform takes that long to answer");
    }
}

#[test]
fn a_twin_of_another_build_is_not_measured_and_another_program_is_not_mixed_in() {
    let out = directory();
    let cells = vec![cell("a", CellKind::Build), cell("b", CellKind::Build), cell("c", CellKind::Build)];
    let plan = plan(cells, vec![condition()], 1);
    let twin = BuildRecord { same_as: Some("a".to_owned()), ..built("b", agent()) };
    let failed = BuildRecord { program: None, ..built("c", agent()) };
    let builds = [built("a", agent()), twin, failed];
    assert_eq!(run(&plan, &builds, &options(out.path()), &|_| {}).unwrap().started, 1);

    let other = [built("a", env!("CARGO_BIN_EXE_std-floor"))];
    let refused = run(&plan, &other, &options(out.path()), &|_| {}).unwrap_err();
    assert!(matches!(refused, Error::OtherRun { what: "program", .. }), "{refused}");
    let changed = [BuildRecord { sha256: "0".repeat(64), ..built("a", agent()) }];
    let refused = run(&plan, &changed, &options(directory().path()), &|_| {}).unwrap_err();
    assert!(matches!(refused, Error::Changed { .. }), "{refused}");
    let refused = run(&plan, &[], &options(directory().path()), &|_| {}).unwrap_err();
    assert!(matches!(refused, Error::NothingToMeasure), "{refused}");
}

#[test]
fn a_launcher_is_measured_with_what_it_executes() {
    let out = directory();
    let behind = out.path().join("agent");
    executable::copy(env!("CARGO_BIN_EXE_std-floor").as_ref(), &behind).unwrap();
    let sha256 = of_files([agent().as_path(), &behind]).unwrap();
    let launched = BuildRecord { agent: Some(behind.clone()), sha256, ..built("launcher", agent()) };
    let plan = plan(vec![cell("launcher", CellKind::Build)], vec![condition()], 1);
    run(&plan, std::slice::from_ref(&launched), &options(out.path()), &|_| {}).unwrap();
    let sample = &samples(out.path())[0];
    assert_eq!(sample.failure, None);
    let bytes = |path: &std::path::Path| fs::metadata(path).unwrap().len();
    let both = bytes(&agent()) + bytes(env!("CARGO_BIN_EXE_std-floor").as_ref());
    assert_eq!(sample.measures["file_size"].to_string(), both.to_string());

    executable::write(&behind, "#!/bin/sh\nexit 1\n").unwrap();
    let refused = run(&plan, &[launched], &options(directory().path()), &|_| {}).unwrap_err();
    assert!(matches!(refused, Error::Changed { .. }), "the agent has changed since it was built: {refused}");
}

#[test]
fn a_run_changes_nothing_in_a_directory_that_is_not_its_own() {
    let out = directory();
    let plan_of = |cells| plan(cells, vec![condition()], 1);
    measure(&plan_of(vec![floor()]), out.path()).unwrap();
    let path = out.path().join("samples.jsonl");
    let torn = fs::read_to_string(&path).unwrap() + "{\"schema\":1,\"cell\":\"fl";
    fs::write(&path, &torn).unwrap();
    let record = fs::read(out.path().join("run.json")).unwrap();
    let unchanged = || {
        assert_eq!(fs::read_to_string(&path).unwrap(), torn);
        assert_eq!(fs::read(out.path().join("run.json")).unwrap(), record);
    };
    let refused = measure(&plan_of(vec![external("floor", agent(), &[])]), out.path()).unwrap_err();
    assert!(matches!(refused, Error::OtherRun { what: "program", .. }), "{refused}");
    unchanged();
    let refused = measure(&Plan { seed: 8, ..plan_of(vec![floor()]) }, out.path()).unwrap_err();
    assert!(matches!(refused, Error::OtherRun { what: "plan", .. }), "{refused}");
    unchanged();
    let other = DirectoryLock::take(out.path(), LOCK).unwrap();
    let refused = measure(&plan_of(vec![floor(), again("twin", "floor")]), out.path()).unwrap_err();
    assert!(matches!(refused, Error::Busy { .. }), "{refused}");
    unchanged();
    drop(other);
    assert_eq!(measure(&plan_of(vec![floor(), again("twin", "floor")]), out.path()).unwrap().started, 1);
    assert_eq!(samples(out.path()).len(), 2, "what was torn has made room");
}

#[test]
fn a_run_of_another_version_is_not_continued() {
    let out = directory();
    let plan = plan(vec![floor()], vec![condition()], 1);
    measure(&plan, out.path()).unwrap();
    let path = out.path().join("run.json");
    let record: Run = serde_json::from_str(&fs::read_to_string(&path).unwrap()).unwrap();
    assert_eq!(record.instrument, INSTRUMENT);
    let earlier = Run { instrument: INSTRUMENT - 1, ..record };
    fs::write(&path, serde_json::to_string(&earlier).unwrap()).unwrap();
    let refused = measure(&plan, out.path()).unwrap_err();
    assert!(matches!(refused, Error::OtherRun { what: "version of the measurement", .. }), "{refused}");
}

#[test]
fn a_condition_that_the_machine_does_not_produce_is_left_out() {
    // What is in memory anyway is never cold.
    let Ok(out) = tempfile::tempdir_in("/dev/shm") else {
        isolation::skip("it takes a file system in memory");
        return;
    };
    let cold = Condition { cache: Cache::Cold, ..condition() };
    let both = plan(vec![floor()], vec![condition(), cold.clone()], 2);
    let required = Options { require: true, ..options(out.path()) };
    let refused = run(&both, &[], &required, &|_| {}).unwrap_err();
    assert!(matches!(refused, Error::NotProduced { .. }) && refused.to_string().contains("file on disk"), "{refused}");
    assert!(!out.path().join("run.json").exists(), "nothing was measured");

    let progress = ProgressLog::default();
    let summary = run(&both, &[], &options(out.path()), &|step| progress.step(&step)).unwrap();
    assert_eq!((summary.started, summary.left_out.len()), (2, 1));
    assert!(samples(out.path()).iter().all(|sample| sample.condition == condition() && sample.failure.is_none()));
    assert!(progress.0.borrow().iter().any(|step| step.starts_with("LeftOut")), "{progress:?}");
    let record: Run = serde_json::from_str(&fs::read_to_string(out.path().join("run.json")).unwrap()).unwrap();
    assert!(record.not_produced(&cold).unwrap().contains("no cold cache"), "{record:?}");
    assert_eq!(record.not_produced(&condition()), None);

    let refused = measure(&plan(vec![floor()], vec![cold], 2), out.path()).unwrap_err();
    assert!(matches!(refused, Error::NothingProduced { .. }), "{refused}");
}

#[test]
fn what_is_put_off_until_after_the_first_event_is_asked_for_counts_as_cpu_time() {
    let out = directory();
    let plan = plan(vec![external("late", agent(), &[("LATE", "60")])], vec![condition()], 1);
    measure(&plan, out.path()).unwrap();
    let sample = &samples(out.path())[0];
    assert_eq!(sample.failure, None);
    assert!(sample.measures["cpu_settled"] > 60.0, "{:?}", sample.measures);
}

#[test]
fn a_real_runtime_runs_beside_the_extension() {
    let out = directory();
    let python = Condition { runtime: "python".to_owned(), ..condition() };
    let unknown = Condition { runtime: "cobol".to_owned(), ..condition() };
    let cells = vec![cell("ship", CellKind::Build)];
    let builds = [built("ship", agent())];
    let progress = ProgressLog::default();
    let plan_of = |condition| plan(cells.clone(), vec![condition], 1);
    let summary = run(&plan_of(python), &builds, &options(out.path()), &|step| progress.step(&step)).unwrap();
    let samples = samples(out.path());
    assert_eq!((summary.started, summary.failed), (1, 0), "{samples:?}");
    assert!(samples[0].digest.is_some() && samples[0].measures.contains_key("register"));
    assert_eq!(samples[0].measures.contains_key("first_invocation"), has_share(&summary));
    let refused = run(&plan_of(unknown), &builds, &options(directory().path()), &|_| {}).unwrap_err();
    assert!(refused.to_string().contains("cobol"), "{refused}");
}

#[test]
fn every_cell_is_started_beside_a_function_that_gives_it_everything_to_deliver() {
    let out = directory();
    let plan = plan(vec![cell("ship", CellKind::Build), floor()], vec![condition()], 1);
    let options = Options { deliveries: true, ..options(out.path()) };
    let builds = [built("ship", agent())];
    let summary = run(&plan, &builds, &options, &|_| {}).unwrap();
    let all = samples(out.path());
    let (untimed, timed): (Vec<_>, Vec<_>) = all.iter().partition(|sample| sample.condition.runtime == DELIVERY);
    assert_eq!((summary.started, summary.failed, untimed.len(), timed.len()), (6, 0, 4, 2), "{all:?}");
    let faults: BTreeSet<_> = untimed.iter().map(|sample| sample.condition.fault).collect();
    assert_eq!(faults.len(), 4, "none, and each fault");
    for sample in untimed {
        assert_eq!((sample.cell.as_str(), &sample.failure, sample.measures.len()), ("ship", &None, 0), "{sample:?}");
        let missing = sample.undelivered.as_deref().unwrap();
        assert!(missing.starts_with("missing: ") && missing.contains("lines "), "{missing}");
    }
    let ship = timed.iter().find(|sample| sample.cell == "ship").unwrap();
    assert!(ship.undelivered.as_deref().unwrap().contains("the report of the request"), "{ship:?}");
    assert_eq!(run(&plan, &builds, &options, &|_| {}).unwrap().started, 0, "there is nothing left to do");
}

/// The only program of a run, which is out of the sandbox's reach while it has another name.
fn program(out: &std::path::Path) -> std::path::PathBuf {
    let mut programs = fs::read_dir(out.join("programs")).unwrap().map(|entry| entry.unwrap().path());
    programs.next().unwrap()
}

#[test]
fn a_start_that_the_sandbox_cannot_make_is_made_again() {
    let (out, elsewhere) = (directory(), directory());
    let away = elsewhere.path().join("program");
    let plan = plan(vec![floor()], vec![condition()], 3);
    let progress = ProgressLog::default();
    let summary = run(&plan, &[], &options(out.path()), &|step| {
        progress.step(&step);
        if matches!(step, Step::Started { block: 0, .. }) {
            fs::rename(program(out.path()), &away).unwrap();
        }
    });
    let error = summary.unwrap_err();
    assert!(matches!(&error, Error::Harness { cell, block: 1, .. } if cell == "floor"), "{error}");
    assert_eq!(progress.0.borrow().iter().filter(|step| step.starts_with("Retried")).count(), 2);
    let recorded = samples(out.path());
    assert_eq!(recorded.iter().map(|sample| sample.harness).collect::<Vec<_>>(), [false, true], "it ends the run");
    assert!(recorded[1].failure.is_some() && recorded[1].digest.is_none(), "{recorded:?}");

    fs::write(out.path().join("plan.json"), serde_json::to_string(&plan).unwrap()).unwrap();
    fs::write(out.path().join("builds.jsonl"), "").unwrap();
    let matrix = |arguments: &[&str]| {
        let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_matrix"));
        let output = command.args(arguments).current_dir(out.path()).output().unwrap();
        (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
    };
    let (status, said) = matrix(&["analyze", "plan.json", "samples.jsonl"]);
    assert_eq!(status, Some(7), "{said}");
    assert!(said.contains("floor: harness-failure: the sandbox could not make 1 of its starts"), "{said}");

    // The same command goes on from there, and what was made good counts for nobody.
    let (status, said) = matrix(&["bench", "--out", "."]);
    assert_eq!(status, Some(0), "{said}");
    let (status, said) = matrix(&["analyze", "plan.json", "samples.jsonl"]);
    assert_eq!(status, Some(0), "{said}");
}
