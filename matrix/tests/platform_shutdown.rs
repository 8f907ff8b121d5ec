//! The shutdown phase: who is told, who is killed and when.

use std::path::Path;
use std::time::Duration;

use crate::platform_support::{eventually, fresh_file, happened, said, scripted, start};
use matrix::sandbox::journal::JournalEvent;
use matrix::sandbox::setup::{Limits, Origin};
use matrix::sandbox::{Extension, Function, Setup};

fn with(extensions: Vec<Extension>) -> Setup {
    Setup { extensions, ..Setup::default() }
}

/// "Using the Lambda Extensions API to create extensions", Shutdown phase.
#[test]
fn subscribed_extensions_get_shutdown_and_others_are_killed() {
    let sandbox =
        start(with(vec![scripted("told", "register loop"), scripted("untold", "register:untold:INVOKE loop")]));
    sandbox.invoke(b"{}").unwrap();
    let record = sandbox.shutdown().unwrap();
    let event = said(&record.output, "told").pop().unwrap();
    assert_eq!(event["event"]["eventType"], "SHUTDOWN");
    assert_eq!(event["event"]["shutdownReason"], "spindown");
    assert!(event["event"]["deadlineMs"].is_u64());
    let exit = |name: &str| record.extensions.iter().find(|exit| exit.name == name).unwrap();
    assert_eq!((exit("told").status.as_str(), exit("told").killed), ("exit status: 0", false));
    assert!(exit("untold").killed);
    assert!(exit("untold").status.contains("SIGKILL"));
}

/// "Understanding the Lambda execution environment lifecycle", Shutdown phase: 2,000 ms with external extensions.
#[test]
fn an_extension_that_stays_is_killed_at_the_end_of_the_window() {
    let sandbox = start(with(vec![scripted("stays", "register next sleep:60")]));
    let exit = sandbox.shutdown().unwrap().extensions.remove(0);
    assert!(exit.killed);
    assert!(exit.took >= Duration::from_secs(2) && exit.took < Duration::from_secs(8), "{exit:?}");
}

#[test]
fn the_window_can_be_changed() {
    let limits = Limits { shutdown_external: Duration::from_millis(100), ..Limits::default() };
    let sandbox = start(Setup { limits, ..with(vec![scripted("stays", "register next sleep:60")]) });
    let exit = sandbox.shutdown().unwrap().extensions.remove(0);
    assert!(exit.killed && exit.took < Duration::from_secs(2), "{exit:?}");
}

/// "Using the Lambda Extensions API to create extensions", Shutdown phase: the runtime ends first, with SIGTERM when there are
/// extensions and with SIGKILL at once when there are none.
#[test]
fn the_runtime_ends_before_extensions_get_shutdown() {
    let runtime = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/platform_support/runtime.py");
    let function = Function::program(&runtime);
    let sandbox = start(Setup { function: function.clone(), ..with(vec![scripted("a", "register loop")]) });
    let journal = sandbox.shutdown().unwrap().journal;
    let place = |is: &dyn Fn(&JournalEvent) -> bool| journal.iter().position(|entry| is(&entry.what)).unwrap();
    let terminated = place(&|what| *what == JournalEvent::Terminated { origin: Origin::Function });
    let exited = place(&|what| matches!(what, JournalEvent::Exited { origin: Origin::Function, .. }));
    let sent = place(&|what| matches!(what, JournalEvent::ShutdownSent { .. }));
    assert!(terminated < exited && exited < sent);

    let journal = start(Setup { function, ..Setup::default() }).shutdown().unwrap().journal;
    assert!(happened(&journal, |what| *what == JournalEvent::Killed { origin: Origin::Function }));
    assert!(!happened(&journal, |what| *what == JournalEvent::Terminated { origin: Origin::Function }));
}

/// An environment that was never used ends like any other: SHUTDOWN is the first event.
#[test]
fn the_first_event_may_be_the_shutdown() {
    let record = start(with(vec![scripted("a", "register loop")])).shutdown().unwrap();
    let events: Vec<_> = said(&record.output, "a").into_iter().filter_map(|said| said.get("event").cloned()).collect();
    assert_eq!(events.len(), 1);
    assert_eq!(events[0]["eventType"], "SHUTDOWN");
    assert!(!record.extensions[0].killed);
}

#[test]
fn the_directory_of_the_extensions_is_removed() {
    let sandbox = start(with(vec![scripted("a", "environment register loop")]));
    let path = said(&sandbox.output(), "a")[0]["argv0"].as_str().unwrap().to_owned();
    assert!(Path::new(&path).exists());
    sandbox.shutdown().unwrap();
    assert!(!Path::new(&path).exists());
}

/// The test runs itself once more, as a victim that is killed while its sandbox is at work.
#[test]
fn a_killed_matrix_leaves_no_process_behind() {
    const PLACE: &str = "MATRIX_TEST_VICTIM";
    if let Some(file) = std::env::var_os(PLACE) {
        let sandbox = start(with(vec![scripted("orphan", "register loop")]));
        let executed = |entry: &matrix::sandbox::journal::Entry| match entry.what {
            JournalEvent::Executed { pid, .. } => Some(pid),
            _ => None,
        };
        let pid = sandbox.journal().iter().find_map(executed).unwrap();
        std::fs::write(file, pid.to_string()).unwrap();
        std::thread::sleep(Duration::from_mins(1));
        return;
    }
    let file = fresh_file("victim");
    let mut victim = std::process::Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "platform_shutdown::a_killed_matrix_leaves_no_process_behind"])
        .env(PLACE, &file)
        // It has no time to remove its directory, so that is better made where tests leave things.
        .env("TMPDIR", env!("CARGO_TARGET_TMPDIR"))
        .spawn()
        .unwrap();
    let read = || std::fs::read_to_string(&file).ok().and_then(|pid| pid.parse::<u32>().ok());
    eventually("the victim's sandbox is at work", || read().is_some());
    let stat = format!("/proc/{}/stat", read().unwrap());
    let alive = || std::fs::read_to_string(&stat).is_ok_and(|stat| !stat.contains(") Z "));
    assert!(alive(), "frozen, but there");
    victim.kill().unwrap();
    victim.wait().unwrap();
    eventually("the extension is gone", || !alive());
}

#[test]
fn an_environment_that_a_failure_has_ended_is_not_ended_again() {
    let record = start(with(vec![scripted("gone", "register exit:7")])).shutdown().unwrap();
    assert_eq!(record.extensions[0].status, "exit status: 7");
    let shutdowns =
        record.journal.iter().filter(|entry| matches!(entry.what, JournalEvent::ShutdownStarted { .. })).count();
    assert_eq!(shutdowns, 1);
}
