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

use crate::support::{Life, echo, end, invoke, live, setup, setup_with};

/// Lines of this level whose text begins like this.
fn told(life: &Life, level: &str, beginning: &str) -> usize {
    let beginning = format!(r#"{{"status":"{level}","message":"DD_EXTENSION | {level} | {beginning}"#);
    life.own_lines().lines().filter(|line| line.starts_with(&beginning)).count()
}

fn assert_told(life: &Life, level: &str, beginning: &str) {
    assert_eq!(told(life, level, beginning), 1, "{beginning}\n{}", life.own_lines());
}

#[test]
fn a_start_tells_its_version_the_flush_strategy_and_how_long_it_took() {
    let life = live(setup_with(echo(), &[("DD_LOG_LEVEL", "debug"), ("DD_SERVERLESS_FLUSH_STRATEGY", "end")]), 1);
    life.assert_unharmed();
    let version = concat!("Starting Datadog Extension v", env!("CARGO_PKG_VERSION"));
    for beginning in [version, "Flush strategy: End", "Datadog Next-Gen Extension ready in "] {
        assert_told(&life, "DEBUG", beginning);
    }
    let own = life.own_lines();
    let (_, took) = own.split_once("ready in ").unwrap();
    let digits = took.chars().take_while(char::is_ascii_digit).count();
    assert!(digits > 0 && took[digits..].starts_with("ms\"}"), "{own}");
    assert_eq!(told(&live(setup(echo()), 1), "DEBUG", ""), 0, "they are for those who ask");
}

/// Settings that are not YAML, and such as are no text.
#[test]
fn a_settings_file_that_cannot_be_used_is_told_and_costs_nothing_else() {
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
        let life = end(sandbox, invocations);
        life.assert_unharmed();
        life.assert_exactly_once();
        assert_told(&life, "ERROR", "Failed to load config: ");
    }
}

#[test]
fn an_api_key_that_cannot_be_one_is_told() {
    let life = live(setup_with(echo(), &[("DD_API_KEY", "0123\u{7f}4567")]), 1);
    life.assert_unharmed();
    assert!(life.ending.requests.is_empty());
    assert!(life.own_lines().contains("API key has invalid format"), "{}", life.own_lines());
}

#[test]
fn what_did_not_arrive_is_told_with_the_time_and_the_attempts_it_took() {
    let closed = Outage { after: OutageStart::Elapsed(Duration::ZERO), lasting: None };
    let plan = Plan { outages: vec![closed], ..Plan::default() };
    let life = live(Setup { intake: Some(plan), ..setup_with(echo(), &[("DD_SERVERLESS_FLUSH_STRATEGY", "end")]) }, 1);
    life.assert_unharmed();
    for kind in ["LOGS", "METRICS"] {
        assert!(told(&life, "ERROR", &format!("{kind} | Failed to send request after ")) > 0, "{}", life.own_lines());
    }
    let own = life.own_lines();
    let (_, rest) = own.split_once("LOGS | Failed to send request after ").unwrap();
    let (took, attempts) = rest.split_once(" ms and ").unwrap();
    let (attempts, _) = attempts.split_once(" attempts: ").unwrap();
    assert!(took.parse::<u64>().is_ok() && attempts.parse::<u32>().is_ok_and(|attempts| attempts > 0), "{own}");
}

#[test]
fn a_strategy_that_managed_instances_do_not_have_is_told() {
    let of = |strategy| {
        let setup = setup_with(echo(), &[("DD_SERVERLESS_FLUSH_STRATEGY", strategy)]);
        live(Setup { initialization: Initialization::ManagedInstances, ..setup }, 1)
    };
    assert_told(&of("end"), "WARN", "Managed Instance mode detected. Flush strategy 'End' is not compatible");
    assert_eq!(told(&of("continuously,1000"), "WARN", "Managed Instance mode detected"), 0);
}

#[test]
fn a_refused_next_is_told_with_what_lambda_answered() {
    let fault = Fault { endpoint: Endpoint::ExtensionNext, calls: Calls::Only(2), effect: Effect::Status(500) };
    let life = live(Setup { faults: vec![fault], ..setup(echo()) }, 2);
    life.assert_unharmed();
    assert_told(&life, "ERROR", "EXTENSION | Next response HTTP Error 500 - Response: ");
}
