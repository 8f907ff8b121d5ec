//! Functions that fail in every way that Lambda knows: each failure is reported once, and the extension goes on.

use std::time::Duration;

use matrix::sandbox::{Outcome, Sandbox, Setup, function::HandlerOutcome};

use crate::support::{self, Run, end, run_sandbox, scripted, setup};

/// A Python function that does what the event says.
const FAILING: &str = r#"
import os, sys, time

def handler(event, context):
    print(f"doing {event}", flush=True)
    if event == "raise":
        raise ValueError("no")
    if event == "sleep":
        time.sleep(60)
    if event == "exit":
        sys.exit(3)
    if event == "crash":
        os._exit(4)
    if event == "hog":
        hoard = []
        while True:
            hoard.append(bytearray(b"x") * (16 << 20))
    return event
"#;

/// One sandbox in which a Python function first fails as told, and then succeeds.
fn python(event: &str) -> Run {
    let directory = tempfile::tempdir().unwrap();
    let function = support::python(&directory, FAILING);
    // The second invocation starts everything anew within its timeout, however busy the machine is.
    let timeout = Duration::from_secs(if event == "sleep" { 8 } else { 60 });
    let sandbox = Sandbox::start(Setup { memory_mb: 256, timeout, ..setup(function) }).unwrap();
    let failed = sandbox.invoke(format!("{event:?}").as_bytes()).unwrap();
    let succeeded = sandbox.invoke(b"\"work\"").unwrap();
    assert_eq!(succeeded.outcome, Outcome::Success, "after {event}");
    let run = end(sandbox, vec![failed, succeeded]);
    assert_eq!(run.count_messages("doing work"), 1, "{}", run.own_lines());
    assert_eq!(run.count_messages(&format!("doing {event}")), 1, "{}", run.own_lines());
    assert_eq!(run.count("invocations"), 2, "{}", run.own_lines());
    assert_eq!(run.count("duration"), 2, "{}", run.own_lines());
    assert_eq!(run.count("errors"), 1, "{}", run.own_lines());
    run.assert_orderly_end();
    run.assert_no_problems();
    run
}

#[test]
fn a_python_exception_is_an_error() {
    let run = python("raise");
    assert!(matches!(&run.invocations[0].outcome, Outcome::FunctionError { .. }));
    assert_eq!(run.count("timeouts"), 0);
    assert_eq!(run.count_messages("[ERROR] ValueError: no"), 1);
}

#[test]
fn a_python_function_that_sleeps_too_long_times_out() {
    let run = python("sleep");
    assert_eq!(run.invocations[0].outcome, Outcome::Timeout);
    assert_eq!(run.count("timeouts"), 1);
    let end = run.messages().into_iter().find(|message| message.contains("Task timed out after 8."));
    assert!(end.is_some(), "{:?}", run.messages());
}

#[test]
fn a_python_function_that_exits_is_an_error() {
    let run = python("exit");
    assert!(matches!(&run.invocations[0].outcome, Outcome::RuntimeExited { .. } | Outcome::FunctionError { .. }));
    assert_eq!(run.count("out_of_memory"), 0);
}

#[test]
fn a_python_function_that_crashes_is_an_error() {
    let run = python("crash");
    assert!(matches!(&run.invocations[0].outcome, Outcome::RuntimeExited { .. }));
    assert_eq!(run.count("timeouts"), 0);
}

#[test]
fn a_python_function_that_hoards_runs_out_of_memory() {
    let run = python("hog");
    assert_eq!(run.invocations[0].outcome, Outcome::OutOfMemory);
    assert_eq!(run.count("out_of_memory"), 1);
}

#[test]
fn every_failure_is_counted_once_however_many_there_are() {
    let answers = (0..12).map(|number| match number % 3 {
        0 => HandlerOutcome::Error { error_type: "E".to_owned(), message: "m".to_owned() },
        1 => HandlerOutcome::Exit(1),
        _ => HandlerOutcome::OutOfMemory,
    });
    let run = run_sandbox(setup(scripted(answers)), 13);
    assert_eq!(run.count("invocations"), 13, "{}", run.own_lines());
    assert_eq!(run.count("errors"), 12);
    assert_eq!(run.count("out_of_memory"), 4);
    assert_eq!(run.count("timeouts"), 0);
    assert_eq!(run.count_messages("REPORT RequestId: "), 13);
    run.assert_orderly_end();
}
