//! What the extension needs of the system is refused or gone: descriptors, threads, standard streams. And SIGTERM.

use std::{fs, path::PathBuf};

use matrix::sandbox::{Extension, Sandbox, Setup, journal::JournalEvent, setup::Origin};
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};

use crate::{
    launcher::{agents, launched, launcher_alone},
    support::{agent, echo, end, eventually, has_short_order, invoke, run_sandbox, setup, setup_with},
};

/// The extension under this condition: `conditions.sh`.
fn under(condition: &str, extension: &Extension) -> Extension {
    let program = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/e2e/conditions.sh");
    let mut under = Extension { program, ..extension.clone() };
    under.environment.insert("PROGRAM".to_owned(), extension.program.display().to_string());
    under.environment.insert("CONDITION".to_owned(), condition.to_owned());
    under
}

#[test]
fn closed_or_full_standard_streams_are_harmless() {
    for condition in ["closed-stdin", "closed-stdout", "full-stdout"] {
        for extension in agents() {
            // The data of all invocations leaves at the very end, behind what is printed there.
            let setup = setup_with(echo(), &[("DD_SERVERLESS_FLUSH_STRATEGY", "periodically,60000")]);
            let run = run_sandbox(Setup { extensions: vec![under(condition, &extension)], ..setup }, 3);
            run.assert_unharmed();
            run.assert_exactly_once();
        }
    }
}

#[test]
fn a_launcher_without_an_agent_needs_no_standard_streams() {
    let launcher = launcher_alone();
    for condition in ["closed-stdin", "closed-stdout", "full-stdout"] {
        let run = run_sandbox(Setup { extensions: vec![under(condition, &launcher)], ..setup(echo()) }, 2);
        run.assert_unharmed();
    }
}

/// Three are the standard streams', the fourth is needed to register. An agent that is linked dynamically needs one to be loaded, beside what a launcher holds.
#[test]
fn exhausted_descriptors_lose_data_and_never_the_function() {
    // The conventional order needs more than these before it registers.
    if !has_short_order("refused descriptors") {
        return;
    }
    // With eight, the sockets that the launcher hands over leave none.
    for extension in [agent(), launched()] {
        for descriptors in (4..=20).step_by(2) {
            let extensions = vec![under(&format!("descriptors={descriptors}"), &extension)];
            let run = run_sandbox(Setup { extensions, ..setup(echo()) }, 2);
            run.assert_unharmed();
        }
    }
}

/// The process id of our extension, in the namespace of the test.
fn process_id(sandbox: &Sandbox) -> i32 {
    let executed = sandbox.journal().into_iter().find_map(|entry| match entry.what {
        JournalEvent::Executed { origin: Origin::Extension(name), pid } if &*name == "datadog-agent" => Some(pid),
        _ => None,
    });
    executed.unwrap()
}

/// The condition has taken effect: the system refuses a second thread, and there is none.
fn assert_no_second_thread(sandbox: &Sandbox) {
    let read = |file: &str| fs::read_to_string(format!("/proc/{}/{file}", process_id(sandbox))).unwrap();
    let limits = read("limits");
    let limit = limits.lines().find_map(|line| line.strip_prefix("Max processes")).unwrap();
    assert_eq!(limit.split_whitespace().next(), Some("1"), "{limits}");
    let status = read("status");
    assert!(status.contains("\nThreads:\t1\n"), "{status}");
}

#[test]
fn refused_threads_lose_no_data() {
    // The conventional order starts its workers before it registers.
    if !has_short_order("refused threads") {
        return;
    }
    // A tier with one worker, and one with two.
    for memory_mb in [512, 3538] {
        for extension in agents() {
            let extensions = vec![under("no-threads", &extension)];
            let sandbox = Sandbox::start(Setup { extensions, memory_mb, ..setup(echo()) }).unwrap();
            let invocations = invoke(&sandbox, 0..3);
            assert_no_second_thread(&sandbox);
            let run = end(sandbox, invocations);
            run.assert_unharmed();
            run.assert_exactly_once();
            let own = run.own_lines();
            // One worker is the thread that waits anyway.
            assert!(memory_mb == 512 || own.contains("no further thread can be started"), "{own}");
        }
    }
}

/// The library's own resolver would end the process for want of a thread; ours resolves on the thread at hand.
#[test]
fn unresolvable_host_delays_only_its_own_destination() {
    if !has_short_order("names without a thread to resolve them") {
        return;
    }
    let endpoints = [
        ("DD_ADDITIONAL_ENDPOINTS", r#"{"https://metrics.invalid": ["key"]}"#),
        ("DD_LOGS_CONFIG_ADDITIONAL_ENDPOINTS", r#"[{"api_key": "key", "Host": "logs.invalid", "Port": 443}]"#),
    ];
    let extensions = vec![under("no-threads", &agent())];
    let run = run_sandbox(Setup { extensions, ..setup_with(echo(), &endpoints) }, 3);
    run.assert_unharmed();
    run.assert_exactly_once();
    let own = run.own_lines();
    let line = own.lines().find(|line| line.contains("metrics.invalid")).unwrap_or_else(|| panic!("{own}"));
    assert!(!line.contains("Resource temporarily unavailable"), "it was not even looked up: {own}");
}

#[test]
fn sigterm_flushes_and_ends_the_extension() {
    let variables = [("DD_SERVERLESS_FLUSH_STRATEGY", "periodically,60000")];
    let sandbox = Sandbox::start(Setup { freeze: false, ..setup_with(echo(), &variables) }).unwrap();
    let invocations = invoke(&sandbox, 0..2);
    let ours = Origin::Extension("datadog-agent".into());
    kill(Pid::from_raw(process_id(&sandbox)), Signal::SIGTERM).unwrap();
    let exited = |entry: &matrix::sandbox::journal::Entry| matches!(&entry.what, JournalEvent::Exited { origin, .. } if *origin == ours);
    eventually("the extension ends", || sandbox.journal().iter().any(exited));
    let run = end(sandbox, invocations);
    assert_eq!(run.count("invocations"), 2, "{}", run.own_lines());
    assert!(run.own_lines().contains("Exiting: SIGTERM"), "{}", run.own_lines());
    let status = run.ending.journal.iter().find_map(|entry| match &entry.what {
        JournalEvent::Exited { origin, status } if *origin == ours => Some(status.clone()),
        _ => None,
    });
    assert_eq!(status.as_deref(), Some("exit status: 0"));
}
