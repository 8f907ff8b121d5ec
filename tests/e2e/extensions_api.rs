//! Lambda's APIs refuse, fail or hang up: what can be repeated is repeated, and the function lives.

use std::{
    path::PathBuf,
    sync::{Arc, Condvar, Mutex, PoisonError},
    time::Duration,
};

use matrix::sandbox::{
    Extension, Function, Setup,
    faults::{Calls, Effect, Endpoint, Fault},
    function::{Call, Handler, HandlerOutcome, InitError},
    journal::JournalEvent,
    setup::{Delivery, LayerFile, Origin, Output},
};

use crate::{
    launcher::{agents, launched, launcher_alone},
    support::{Run, agent, echo, has_short_order, run_sandbox, setup, setup_with},
};

/// More than a loaded machine needs; only a test that fails takes so long.
const PATIENCE: Duration = Duration::from_secs(8);

/// A function whose init takes until the extension has come through its own: until then subscriptions are accepted.
struct SlowInit {
    ready: Arc<(Mutex<bool>, Condvar)>,
}

impl Handler for SlowInit {
    fn init(&self, _: &Call<'_>) -> Result<(), InitError> {
        let (ready, changed) = &*self.ready;
        let waiting = ready.lock().unwrap_or_else(PoisonError::into_inner);
        let _ = changed.wait_timeout_while(waiting, PATIENCE, |ready| !*ready);
        Ok(())
    }

    fn handle(&self, call: &Call<'_>) -> HandlerOutcome {
        call.print(format!("{} {}", String::from_utf8_lossy(call.event), call.request_id));
        HandlerOutcome::Response(call.event.to_vec())
    }
}

/// That function, with these faults, beside this extension.
fn slow(extension: Extension, faults: Vec<Fault>) -> Setup {
    let ready = Arc::new((Mutex::new(false), Condvar::new()));
    let notify = ready.clone();
    let output = Output::To(Arc::new(move |_, line: &str| {
        if line.contains("Datadog Next-Gen Extension ready") {
            *notify.0.lock().unwrap_or_else(PoisonError::into_inner) = true;
            notify.1.notify_all();
        }
    }));
    let function = Function::InProcess(Arc::new(SlowInit { ready }));
    let setup = setup_with(function, &[("DD_LOG_LEVEL", "debug")]);
    Setup { extensions: vec![extension], faults, output, ..setup }
}

fn fault(endpoint: Endpoint, calls: Calls, effect: Effect) -> Fault {
    Fault { endpoint, calls, effect }
}

/// How often an endpoint was disturbed.
fn count_faults(run: &Run, disturbed: Endpoint) -> usize {
    let is_it = |what: &JournalEvent| matches!(what, JournalEvent::Fault { endpoint, .. } if *endpoint == disturbed);
    run.ending.journal.iter().filter(|entry| is_it(&entry.what)).count()
}

#[test]
fn a_subscription_that_fails_once_is_sent_again() {
    for extension in agents() {
        for effect in [Effect::Status(429), Effect::Status(500), Effect::Reset, Effect::Close] {
            let run = run_sandbox(slow(extension.clone(), vec![fault(Endpoint::Subscribe, Calls::Only(1), effect)]), 3);
            run.assert_unharmed();
            run.assert_exactly_once();
        }
    }
}

/// A registration and the subscription before the runtime are repeated for 1.3 s; beside an init that is still open the subscription is repeated until it ends.
#[test]
fn a_subscription_is_repeated_as_long_as_init_is_open() {
    if !has_short_order("the launcher") {
        return;
    }
    for extension in agents() {
        let faults = (1..=10).map(|call| fault(Endpoint::Subscribe, Calls::Only(call), Effect::Status(500))).collect();
        let run = run_sandbox(slow(extension, faults), 2);
        run.assert_unharmed();
        assert_eq!(count_faults(&run, Endpoint::Subscribe), 10);
        run.assert_exactly_once();
    }
}

#[test]
fn platform_that_closes_every_connection_loses_no_event() {
    for extension in agents() {
        let endpoints = [Endpoint::Register, Endpoint::Subscribe, Endpoint::ExtensionNext];
        let faults = endpoints.map(|endpoint| fault(endpoint, Calls::Every, Effect::Close)).to_vec();
        let run = run_sandbox(slow(extension, faults), 3);
        run.assert_unharmed();
        run.assert_exactly_once();
    }
}

#[test]
fn a_registration_that_fails_once_is_sent_again() {
    for extension in agents() {
        for effect in [Effect::Status(429), Effect::Status(500), Effect::Reset] {
            let faults = vec![fault(Endpoint::Register, Calls::Only(1), effect)];
            let run = run_sandbox(Setup { extensions: vec![extension.clone()], faults, ..setup(echo()) }, 3);
            run.assert_unharmed();
            run.assert_exactly_once();
            let executed =
                |what: &JournalEvent| matches!(what, JournalEvent::Executed { origin: Origin::Extension(_), .. });
            let executed = run.ending.journal.iter().filter(|entry| executed(&entry.what)).count();
            assert_eq!(executed, 1, "{effect:?}: the init was not repeated");
        }
    }
}

#[test]
fn only_temporary_errors_of_the_subscription_are_repeated() {
    let run = |status| {
        let faults = vec![fault(Endpoint::Subscribe, Calls::Every, Effect::Status(status))];
        let run = run_sandbox(slow(agent(), faults), 2);
        run.assert_unharmed();
        assert_eq!(run.count("invocations"), 2, "{}", run.own_lines());
        count_faults(&run, Endpoint::Subscribe)
    };
    assert_eq!(run(403), 1);
    assert!(run(503) > 3);
}

#[test]
fn launched_agent_reads_the_subscription_state() {
    if !has_short_order("the launcher") {
        return;
    }
    let unsupported = Delivery { supported: false, ..Delivery::default() };
    let refused = vec![fault(Endpoint::Subscribe, Calls::Every, Effect::Status(403))];
    for (delivery, faults) in [(unsupported, Vec::new()), (Delivery::default(), refused)] {
        let run = run_sandbox(Setup { extensions: vec![launched()], delivery, faults, ..setup(echo()) }, 3);
        run.assert_unharmed();
        assert_eq!(run.count("invocations"), 3, "{}", run.own_lines());
    }
}

/// A launcher whose agent is this file, or is missing.
fn launcher(agent: Option<PathBuf>) -> Extension {
    let layer_files = agent.map(|source| LayerFile { place: "bottlecap/agent".into(), source });
    Extension { layer_files: layer_files.into_iter().collect(), ..launcher_alone() }
}

#[test]
fn a_launcher_without_an_agent_outlives_every_odd_answer() {
    let effects = [Effect::Status(403), Effect::Status(500), Effect::Reset, Effect::Malformed, Effect::Close];
    for effect in effects {
        for (endpoint, calls) in [
            (Endpoint::Subscribe, Calls::Every),
            (Endpoint::ExtensionNext, Calls::Only(1)),
            (Endpoint::ExtensionNext, Calls::Only(2)),
        ] {
            let faults = vec![fault(endpoint, calls, effect)];
            let run = run_sandbox(Setup { extensions: vec![launcher(None)], faults, ..setup(echo()) }, 2);
            run.assert_unharmed();
            assert!(run.own_lines().contains("The agent cannot be started"), "{}", run.own_lines());
        }
    }
}

#[test]
fn launcher_with_unexecutable_agent_keeps_the_function_working() {
    let directory = tempfile::tempdir().unwrap();
    let agent = directory.path().join("agent");
    // A C library would give it to a shell.
    matrix::executable::write(&agent, b"exit 1\n").unwrap();
    let run = run_sandbox(Setup { extensions: vec![launcher(Some(agent))], ..setup(echo()) }, 2);
    run.assert_unharmed();
    assert!(run.own_lines().contains("The agent cannot be started"), "{}", run.own_lines());
}
