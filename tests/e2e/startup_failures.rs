//! Starts that go wrong: whatever fails once the extension has registered, the function lives.

use std::{net::TcpListener, path::PathBuf, time::Duration};

use matrix::executable;
use matrix::sandbox::{
    Extension, Footprint, Sandbox, Setup,
    faults::{Calls, Effect, Endpoint, Fault},
    journal::JournalEvent,
    setup::{Delivery, Initialization, Network},
};

use crate::{
    launcher::launched,
    support::{Run, agent, echo, end, has_short_order, in_own_network, invoke, run_sandbox, setup, setup_with},
};

fn with_fault(endpoint: Endpoint, calls: Calls, effect: Effect) -> Run {
    run_sandbox(Setup { faults: vec![Fault { endpoint, calls, effect }], ..setup(echo()) }, 3)
}

#[test]
fn failed_subscription_disables_telemetry_only() {
    for effect in [Effect::Status(400), Effect::Status(403), Effect::Status(500), Effect::Reset] {
        let run = with_fault(Endpoint::Subscribe, Calls::Every, effect);
        run.assert_unharmed();
        assert_eq!(run.count("invocations"), 3, "{effect:?}\n{}", run.own_lines());
    }
}

/// What our extension had used when it asked for the first event, at which it was stopped.
fn footprint(sandbox: &Sandbox) -> Footprint {
    let taken = sandbox.journal().into_iter().find_map(|entry| match entry.what {
        JournalEvent::Footprint { footprint, stopped: true, .. } => Some(footprint),
        _ => None,
    });
    taken.unwrap()
}

#[test]
fn early_next_has_one_thread_at_first_next() {
    if !has_short_order("one thread at the first next") {
        return;
    }
    for _ in 0..5 {
        let sandbox = Sandbox::start(Setup { footprints: true, ..setup(echo()) }).unwrap();
        assert_eq!(footprint(&sandbox).threads, 1);
        let invocations = invoke(&sandbox, 0..2);
        let run = end(sandbox, invocations);
        run.assert_unharmed();
        run.assert_exactly_once();
    }
}

/// Where nobody waits for the start, what the short order puts off would be paid for by the first invocation, or be missing from the snapshot.
#[test]
fn a_sandbox_that_is_started_ahead_is_complete_when_it_asks_for_the_first_event() {
    for initialization in [Initialization::ProvisionedConcurrency, Initialization::SnapStart] {
        for extension in [agent(), launched()] {
            let extensions = vec![extension];
            // A tier of two CPUs, where there are workers to be seen.
            let setup = Setup { extensions, initialization, footprints: true, memory_mb: 3538, ..setup(echo()) };
            let sandbox = Sandbox::start(setup).unwrap();
            let Footprint { threads, .. } = footprint(&sandbox);
            assert!(threads > 1, "{initialization:?}: its workers have not been started yet");
            let invocations = invoke(&sandbox, 0..2);
            let run = end(sandbox, invocations);
            run.assert_unharmed();
            run.assert_exactly_once();
        }
    }
}

#[test]
fn a_platform_without_telemetry_is_served_without_waiting_for_it() {
    let run = run_sandbox(Setup { delivery: Delivery { supported: false, ..Delivery::default() }, ..setup(echo()) }, 3);
    run.assert_unharmed();
    assert_eq!(run.count("invocations"), 3, "{}", run.own_lines());
}

#[test]
fn failed_next_is_sent_again() {
    for effect in [Effect::Status(500), Effect::Reset, Effect::Malformed, Effect::Delay(Duration::from_millis(300))] {
        for call in [1, 2] {
            let run = with_fault(Endpoint::ExtensionNext, Calls::Only(call), effect);
            run.assert_unharmed();
            run.assert_exactly_once();
        }
    }
}

#[test]
fn a_slow_platform_only_takes_longer() {
    for endpoint in [Endpoint::Register, Endpoint::Subscribe] {
        let run = with_fault(endpoint, Calls::Every, Effect::Delay(Duration::from_millis(300)));
        run.assert_unharmed();
        run.assert_exactly_once();
    }
}

#[test]
fn without_an_api_key_the_function_works_and_nothing_is_sent() {
    let run = run_sandbox(setup_with(echo(), &[("DD_API_KEY", "")]), 3);
    run.assert_unharmed();
    assert!(run.ending.requests.is_empty());
    let own = run.own_lines();
    assert!(own.contains("Failed to resolve API key"), "{own}");
    assert!(own.contains("were dropped"), "{own}");
}

#[test]
fn invalid_settings_warn_and_fall_back_to_defaults() {
    let bad = [
        ("DD_SITE", "https://not a site/"),
        ("DD_LOG_LEVEL", "shout"),
        ("DD_FLUSH_TIMEOUT", "soon"),
        ("DD_COMPRESSION_LEVEL", "much"),
        ("DD_TAGS", "no-colon,:,a:,:b,team:a"),
        ("DD_PROXY_HTTPS", "::not a proxy::"),
        ("DD_HTTP_PROTOCOL", "gopher"),
        ("DD_TLS_CERT_FILE", "/nonexistent/ca.pem"),
        ("DD_SKIP_SSL_VALIDATION", "perhaps"),
        ("DD_SERVERLESS_LOGS_ENABLED", "perhaps"),
        ("DD_LOGS_ENABLED", "perhaps"),
        ("DD_LOGS_CONFIG_PROCESSING_RULES", "[{"),
        ("DD_LOGS_CONFIG_USE_COMPRESSION", "perhaps"),
        ("DD_LOGS_CONFIG_COMPRESSION_LEVEL", "much"),
        ("DD_ENHANCED_METRICS", "perhaps"),
        ("DD_METRICS_CONFIG_COMPRESSION_LEVEL", "much"),
        ("DD_SERVERLESS_FLUSH_STRATEGY", "end,0"),
        ("DD_ADDITIONAL_ENDPOINTS", "{"),
        ("DD_STATSD_METRIC_NAMESPACE", "no name"),
        ("DD_DOGSTATSD_SO_RCVBUF", "much"),
        ("DD_DOGSTATSD_BUFFER_SIZE", "0"),
        ("DD_DOGSTATSD_QUEUE_SIZE", "0"),
    ];
    let run = run_sandbox(setup_with(echo(), &bad), 3);
    run.assert_unharmed();
    run.assert_exactly_once();
    let own = run.own_lines();
    for (key, _) in bad {
        let named = own.lines().filter(|line| line.contains(&format!(" | {key} ")));
        assert_eq!(named.count(), 1, "{key} in {own}");
    }
}

#[test]
fn a_telemetry_port_that_is_taken_is_no_obstacle() {
    in_own_network(|| {
        let _holder = TcpListener::bind(("0.0.0.0", 8999)).unwrap();
        let run = run_sandbox(Setup { network: Network::Host, ..setup(echo()) }, 3);
        run.assert_unharmed();
        run.assert_exactly_once();
        assert!(run.own_lines().contains("cannot bind port 8999"), "{}", run.own_lines());
    });
}

/// A second extension, in Python, that takes its time before it registers.
fn late_extension(directory: &tempfile::TempDir) -> PathBuf {
    let program = directory.path().join("late");
    let source = r#"#!/usr/bin/env python3
import http.client, json, os, time

api = http.client.HTTPConnection(os.environ["AWS_LAMBDA_RUNTIME_API"])
time.sleep(0.5)
api.request("POST", "/2020-01-01/extension/register", json.dumps({"events": ["INVOKE", "SHUTDOWN"]}), {"Lambda-Extension-Name": "late"})
answer = api.getresponse()
answer.read()
identifier = answer.headers["Lambda-Extension-Identifier"]
while True:
    api.request("GET", "/2020-01-01/extension/event/next", headers={"Lambda-Extension-Identifier": identifier})
    event = json.loads(api.getresponse().read())
    print("late extension saw", event["eventType"], flush=True)
    if event["eventType"] == "SHUTDOWN":
        break
"#;
    // PATH in a sandbox is Lambda's, where the host's python3 may not stand.
    let python = std::env::var_os("PATH")
        .and_then(|path| std::env::split_paths(&path).map(|dir| dir.join("python3")).find(|python| python.exists()))
        .expect("python3 on the PATH");
    executable::write(&program, source.replacen("/usr/bin/env python3", python.to_str().unwrap(), 1)).unwrap();
    program
}

#[test]
fn late_second_extension_registers_beside_ours() {
    let directory = tempfile::tempdir().unwrap();
    let mut setup = setup(echo());
    setup.extensions.push(Extension::new("late", late_extension(&directory)));
    let sandbox = Sandbox::start(setup).unwrap();
    let invocations = invoke(&sandbox, 0..3);
    let run = end(sandbox, invocations);
    run.assert_unharmed();
    run.assert_exactly_once();
    assert_eq!(run.count_messages("late extension saw INVOKE"), 3, "its lines are logs like any others");
}
