//! The verb: files in, files out, and an end that can be asked for. One test, because a signal is for the whole process.
#![allow(clippy::unwrap_used, reason = "a test that can't go on has failed")]

mod measure_support;

use std::fs;
use std::process::ExitCode;
use std::thread;
use std::time::{Duration, Instant};

use clap::Parser;
use matrix::measure::{Arguments, bench};
use measure_support::*;
use nix::sys::signal::{Signal, raise};

#[derive(Parser)]
struct Line {
    #[command(flatten)]
    arguments: Arguments,
}

fn arguments(rest: &[&str]) -> Arguments {
    Line::try_parse_from(["bench"].iter().chain(rest)).unwrap().arguments
}

#[test]
fn a_run_is_asked_to_end_and_goes_on_from_there() {
    let out = directory();
    let directory = out.path().to_str().unwrap();
    assert_eq!(bench(&arguments(&["--out", directory])), ExitCode::from(2), "there is no plan");
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
    assert_eq!(bench(&arguments(&["--out", directory])), ExitCode::from(130));
    watcher.join().unwrap();
    let stopped = samples(out.path());
    assert!((3..120).contains(&stopped.len()), "{}", stopped.len());
    assert!(stopped.iter().all(|sample| sample.failure.is_none()));

    // What was there stays, and fewer blocks than were asked for at first are a matter of saying so.
    let blocks = (stopped.len() / 2 + 1).to_string();
    assert_eq!(bench(&arguments(&["--out", directory, "--blocks", &blocks])), ExitCode::SUCCESS);
    let all = samples(out.path());
    assert!(all.len() > stopped.len() && all.starts_with(&stopped));

    fs::write(out.path().join("builds.jsonl"), "not JSON").unwrap();
    assert_eq!(bench(&arguments(&["--out", directory])), ExitCode::from(2));
}
