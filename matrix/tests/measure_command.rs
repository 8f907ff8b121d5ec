//! `cargo matrix bench`: files in, files out, and an end that can be asked for. One test raises a signal, which is for the whole process.
#![allow(clippy::unwrap_used, reason = "a test that can't go on has failed")]

use std::fs;
use std::os::unix::fs::chown;
use std::os::unix::process::CommandExt as _;
use std::process::{Command, ExitCode};
use std::thread;
use std::time::{Duration, Instant};

use crate::measure_support::*;
use crate::test_arguments::{parse, try_parse};
use matrix::commands::bench::{Arguments, run};
use matrix::plan::{Condition, Regime, TrustStore};
use matrix::sandbox::isolation;
use nix::sys::signal::{Signal, raise};

fn arguments(rest: &[&str]) -> Arguments {
    parse(rest)
}

#[test]
fn options_that_take_a_plan_are_refused_without_one() {
    let refused = try_parse::<Arguments>(["--shard", "0/2"]).err().unwrap().to_string();
    assert!(refused.contains("--out"), "{refused}");
    let parsed = arguments(&["--shard", "0/2", "--out", "somewhere"]);
    assert!(parsed.is_planned() && parsed.shard.is_some());
}

/// Without privileges the sandbox sees the machine's trust store, which is then not measured under another's name.
#[test]
fn a_trust_store_that_cannot_be_shown_is_left_out() {
    let out = directory();
    let conditions = vec![Condition { trust_store: TrustStore::Al2023, ..condition() }, condition()];
    let plan = plan(vec![floor()], conditions, 1);
    fs::write(out.path().join("plan.json"), serde_json::to_string(&plan).unwrap()).unwrap();
    fs::write(out.path().join("builds.jsonl"), "").unwrap();
    let unprivileged = |rest: &[&str]| {
        let mut command = Command::new("setpriv");
        command.args(["--bounding-set=-all", "--inh-caps=-all", "--", env!("CARGO_BIN_EXE_matrix"), "bench", "--out"]);
        command.arg(out.path()).args(rest).env_remove("MATRIX_REQUIRE_ISOLATION").output()
    };
    let Ok(required) = unprivileged(&["--require"]) else {
        isolation::skip("it takes setpriv");
        return;
    };
    let said = String::from_utf8_lossy(&required.stderr);
    if required.status.code() == Some(127) || said.contains("setpriv:") {
        isolation::skip(&said);
        return;
    }
    assert_eq!(required.status.code(), Some(6), "{said}");
    assert!(
        said.contains("al2023 trust store cannot be measured here") || said.contains("cannot be measured here"),
        "{said}"
    );
    assert!(!out.path().join("samples.jsonl").exists() || samples(out.path()).is_empty());
    let measured = unprivileged(&[]).unwrap();
    let said = String::from_utf8_lossy(&measured.stderr);
    assert!(measured.status.success() && said.contains("left out: 1769 MB") && said.contains("al2023"), "{said}");
    assert!(samples(out.path()).iter().all(|sample| sample.condition.trust_store == TrustStore::Host));
    assert_eq!(samples(out.path()).len(), 1);
}

/// In a user namespace of his own, somebody without privileges shows a sandbox another trust store, but cannot limit its CPU time.
#[test]
fn a_user_without_privileges_measures_what_namespaces_make_possible() {
    const NOBODY: u32 = 65_534;
    let out = tempfile::tempdir().unwrap();
    let as_nobody = |program: &str, words: &[&str]| {
        Command::new(program).args(words).uid(NOBODY).gid(NOBODY).env_remove("MATRIX_REQUIRE_ISOLATION").output()
    };
    let possible = as_nobody("unshare", &["--user", "--net", "--mount", "true"]);
    if !possible.is_ok_and(|output| output.status.success()) {
        println!("not tested: it takes root to become nobody, and a kernel that lets nobody have namespaces");
        return;
    }
    chown(out.path(), Some(NOBODY), Some(NOBODY)).unwrap();
    let store = Condition { trust_store: TrustStore::Al2023, ..condition() };
    let bench = |condition: &Condition| {
        let plan = plan(vec![floor()], vec![condition.clone()], 1);
        fs::write(out.path().join("plan.json"), serde_json::to_string(&plan).unwrap()).unwrap();
        fs::write(out.path().join("builds.jsonl"), "").unwrap();
        let words = ["bench", "--require", "--out", out.path().to_str().unwrap()];
        let output = as_nobody(env!("CARGO_BIN_EXE_matrix"), &words).unwrap();
        (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
    };
    let (status, said) = bench(&store);
    assert_eq!(status, Some(0), "{said}");
    assert!(!said.contains("no network of its own"), "{said}");
    assert!(samples(out.path()).iter().any(|sample| sample.condition == store && sample.failure.is_none()));
    fs::remove_file(out.path().join("samples.jsonl")).unwrap();
    let (status, said) = bench(&Condition { regime: Regime::Throttled, ..store });
    assert_eq!(status, Some(6), "{said}");
    assert!(said.contains("no CPU share of the memory tier"), "{said}");
}

#[test]
fn interrupted_run_resumes_where_it_ended() {
    let out = directory();
    let directory = out.path().to_str().unwrap();
    assert_eq!(run(&arguments(&["--out", directory])), ExitCode::from(6), "there is no plan");
    let plan = plan(vec![floor(), again("twin", "floor")], vec![condition()], 60);
    fs::write(out.path().join("plan.json"), serde_json::to_string(&plan).unwrap()).unwrap();
    fs::write(out.path().join("builds.jsonl"), "").unwrap();

    let samples_path = out.path().join("samples.jsonl");
    let watcher = thread::spawn(move || {
        let began = Instant::now();
        let lines = || fs::read_to_string(&samples_path).unwrap_or_default().lines().count();
        while lines() < 3 {
            assert!(began.elapsed() < Duration::from_mins(1), "nothing was measured");
            thread::sleep(Duration::from_millis(2));
        }
        raise(Signal::SIGINT).unwrap();
    });
    assert_eq!(run(&arguments(&["--out", directory])), ExitCode::from(130));
    watcher.join().unwrap();
    let stopped = samples(out.path());
    assert!((3..120).contains(&stopped.len()), "{}", stopped.len());
    assert!(stopped.iter().all(|sample| sample.failure.is_none()));

    // What was there stays, and fewer blocks than were asked for at first are a matter of saying so.
    let blocks = (stopped.len() / 2 + 1).to_string();
    assert_eq!(run(&arguments(&["--out", directory, "--blocks", &blocks])), ExitCode::SUCCESS);
    let all = samples(out.path());
    assert!(all.len() > stopped.len() && all.starts_with(&stopped));

    fs::write(out.path().join("builds.jsonl"), "not JSON").unwrap();
    assert_eq!(run(&arguments(&["--out", directory])), ExitCode::from(2));
}
