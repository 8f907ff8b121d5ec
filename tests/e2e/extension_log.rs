//! Lines of ours that runbooks search for, with their levels.

use std::{fs, time::Duration};

use matrix::sandbox::{
    Sandbox, Setup,
    faults::{Calls, Effect, Endpoint, Fault},
    intake::{Outage, OutageStart, Plan},
    isolation,
    journal::JournalEvent,
    setup::{Initialization, Mount},
};

use crate::support::{Run, echo, end, invoke, run_sandbox, setup, setup_with};

/// Lines of this level whose text begins like this.
fn count_lines(run: &Run, level: &str, beginning: &str) -> usize {
    let beginning = format!(r#"{{"status":"{level}","message":"DD_EXTENSION | {level} | {beginning}"#);
    run.own_lines().lines().filter(|line| line.starts_with(&beginning)).count()
}

fn assert_logged(run: &Run, level: &str, beginning: &str) {
    assert_eq!(count_lines(run, level, beginning), 1, "{beginning}\n{}", run.own_lines());
}

#[test]
fn startup_logs_version_strategy_and_duration() {
    let run = run_sandbox(setup_with(echo(), &[("DD_LOG_LEVEL", "debug"), ("DD_SERVERLESS_FLUSH_STRATEGY", "end")]), 1);
    run.assert_unharmed();
    let version = concat!("Starting Datadog Extension v", env!("CARGO_PKG_VERSION"));
    for beginning in [version, "Flush strategy: end", "Datadog Next-Gen Extension ready in "] {
        assert_logged(&run, "DEBUG", beginning);
    }
    let own = run.own_lines();
    let (_, took) = own.split_once("ready in ").unwrap();
    let digits = took.chars().take_while(char::is_ascii_digit).count();
    assert!(digits > 0 && took[digits..].starts_with("ms\"}"), "{own}");
    assert_eq!(count_lines(&run_sandbox(setup(echo()), 1), "DEBUG", ""), 0, "they are for those who ask");
}

/// Settings that are not YAML, and such as are no text.
#[test]
fn unusable_settings_file_warns_and_changes_nothing_else() {
    for content in [&b"site: [\napi_key: k"[..], b"- a list", b"env: caf\xe9"] {
        let directory = tempfile::tempdir().unwrap();
        fs::write(directory.path().join("datadog.yaml"), content).unwrap();
        let mount = Mount { source: directory.path().to_owned(), target: "/var/task".into() };
        let sandbox = Sandbox::start(Setup { mounts: vec![mount], ..setup(echo()) }).unwrap();
        if !sandbox.journal().iter().any(|entry| entry.what == JournalEvent::MountsPrivate) {
            isolation::skip("this machine gives a sandbox no mounts of its own");
            return;
        }
        let invocations = invoke(&sandbox, 0..2);
        let run = end(sandbox, invocations);
        run.assert_unharmed();
        run.assert_exactly_once();
        assert_logged(&run, "ERROR", "Failed to load config: ");
    }
}

#[test]
fn malformed_api_key_warns() {
    let run = run_sandbox(setup_with(echo(), &[("DD_API_KEY", "0123\u{7f}4567")]), 1);
    run.assert_unharmed();
    assert!(run.ending.requests.is_empty());
    assert!(run.own_lines().contains("API key has invalid format"), "{}", run.own_lines());
}

#[test]
fn undelivered_payload_is_logged_with_time_and_attempts() {
    let closed = Outage { after: OutageStart::Elapsed(Duration::ZERO), lasting: None };
    let plan = Plan { outages: vec![closed], ..Plan::default() };
    let run =
        run_sandbox(Setup { intake: Some(plan), ..setup_with(echo(), &[("DD_SERVERLESS_FLUSH_STRATEGY", "end")]) }, 1);
    run.assert_unharmed();
    for kind in ["LOGS", "METRICS"] {
        assert!(
            count_lines(&run, "ERROR", &format!("{kind} | Failed to send request after ")) > 0,
            "{}",
            run.own_lines()
        );
    }
    let own = run.own_lines();
    let (_, rest) = own.split_once("LOGS | Failed to send request after ").unwrap();
    let (took, attempts) = rest.split_once(" ms and ").unwrap();
    let (attempts, _) = attempts.split_once(" attempts: ").unwrap();
    assert!(took.parse::<u64>().is_ok() && attempts.parse::<u32>().is_ok_and(|attempts| attempts > 0), "{own}");
}

#[test]
fn unsupported_strategy_warns_on_managed_instances() {
    let of = |strategy| {
        let setup = setup_with(echo(), &[("DD_SERVERLESS_FLUSH_STRATEGY", strategy)]);
        run_sandbox(Setup { initialization: Initialization::ManagedInstances, ..setup }, 1)
    };
    assert_logged(&of("end"), "WARN", "Managed Instance mode detected. Flush strategy 'end' is not compatible");
    assert_eq!(count_lines(&of("continuously,1000"), "WARN", "Managed Instance mode detected"), 0);
}

#[test]
fn refused_next_is_logged_with_lambdas_response() {
    let fault = Fault { endpoint: Endpoint::ExtensionNext, calls: Calls::Only(2), effect: Effect::Status(500) };
    let run = run_sandbox(Setup { faults: vec![fault], ..setup(echo()) }, 2);
    run.assert_unharmed();
    assert_logged(&run, "ERROR", "EXTENSION | Next response HTTP Error 500 - Response: ");
}
