//! The init phase and the Extensions API.

use crate::platform_support;

use std::path::Path;
use std::time::Duration;

use crate::platform_support::{answer_to, first, happened, kinds, records, said, scripted, start};
use matrix::sandbox::faults::{Calls, Effect, Endpoint, Fault};
use matrix::sandbox::isolation;
use matrix::sandbox::journal::JournalEvent;
use matrix::sandbox::setup::{Disk, Initialization, Limits, Network};
use matrix::sandbox::{Error, Extension, Function, Outcome, Sandbox, Setup};

fn with(extensions: Vec<Extension>) -> Setup {
    Setup { extensions, ..Setup::default() }
}

/// "Using the Lambda Extensions API to create extensions", Init phase: the runtime starts when every extension has
/// registered, and the phase ends with everyone's first request for an event.
#[test]
fn the_runtime_starts_after_every_registration_and_init_ends_after_every_next() {
    let slow = scripted("slow", "sleep:0.3 register sleep:0.3 loop");
    let sandbox = start(with(vec![scripted("quick", "register loop"), slow]));
    let journal = sandbox.journal();
    let registered =
        |who: &str| first(&journal, |what| matches!(what, JournalEvent::Registered { name, .. } if name == who));
    let ready = |who: &str| first(&journal, |what| matches!(what, JournalEvent::ExtensionNext { name } if name == who));
    let runtime = first(&journal, |what| *what == JournalEvent::RuntimeStarted);
    let over = first(&journal, |what| matches!(what, JournalEvent::InitOver { status: "success", .. }));
    assert!(registered("quick") < registered("slow") && registered("slow") < runtime);
    assert!(first(&journal, |what| *what == JournalEvent::RuntimeNext) < ready("slow") && ready("slow") < over);

    let gates = sandbox.gates();
    let slow = gates.extensions.iter().find(|gates| gates.name == "slow").unwrap();
    assert!(slow.register.unwrap() >= Duration::from_millis(300));
    assert!(slow.next.unwrap() >= Duration::from_millis(600));
}

/// "Using the Lambda Extensions API to create extensions", Register: the answer names the function, and the account when the
/// extension accepts that.
#[test]
fn registration_reply_has_function_and_account_on_request() {
    let mut curious = scripted("curious", "register loop");
    curious.environment.insert("FEATURES".to_owned(), "other, accountId".to_owned());
    let sandbox = start(with(vec![scripted("plain", "register loop"), curious]));
    let output = sandbox.output();
    let body = |name| -> serde_json::Value {
        serde_json::from_str(answer_to(&output, name, "register")["body"].as_str().unwrap()).unwrap()
    };
    assert_eq!(body("plain")["functionName"], "function");
    assert_eq!(body("plain")["functionVersion"], "$LATEST");
    assert!(body("plain").get("accountId").is_none());
    assert_eq!(body("curious")["accountId"], "123456789012");
}

/// "Using the Lambda Extensions API to create extensions", Register: the name is that of the file. Under another name the
/// extension is taken for an internal one, and those can't have SHUTDOWN events.
#[test]
fn a_name_that_is_not_the_files_is_refused() {
    let limits = Limits { init: Duration::from_secs(3), ..Limits::default() };
    let sandbox = start(Setup { limits, ..with(vec![scripted("mine", "register:other sleep:60")]) });
    let answer = answer_to(&sandbox.output(), "mine", "register");
    assert_eq!(answer["status"], 403);
    assert!(answer["body"].as_str().unwrap().contains("Extension.InvalidEventType"));
}

/// "Using the Lambda Extensions API to create extensions", Next: 403 for an unknown extension; one request at a time.
#[test]
fn unknown_ids_and_second_requests_are_refused() {
    let sandbox = start(with(vec![scripted("busy", "unknown register twice sleep:60")]));
    sandbox.within(|| std::thread::sleep(Duration::from_millis(1))).unwrap();
    let unknown = answer_to(&sandbox.output(), "busy", "unknown");
    assert_eq!(unknown["status"], 403);
    assert!(unknown["body"].as_str().unwrap().contains("Extension.UnknownExtensionIdentifier"));

    let sandbox = start(Setup { freeze: false, ..with(vec![scripted("busy", "register twice sleep:60")]) });
    platform_support::eventually("a refusal", || {
        said(&sandbox.output(), "busy").iter().any(|said| said["call"] == "second next" && said["status"] == 403)
    });
}

/// "Lambda Telemetry API": subscriptions end with the init phase.
#[test]
fn a_subscription_after_init_is_refused() {
    let late = scripted("late", "register next subscribe loop");
    let sandbox = start(with(vec![late]));
    sandbox.invoke(b"{}").unwrap();
    let answer = answer_to(&sandbox.output(), "late", "subscribe");
    assert_eq!(answer["status"], 403);
    assert!(answer["body"].as_str().unwrap().contains("Telemetry.SubscriptionClosed"));
}

/// "Understanding the Lambda execution environment lifecycle", Init phase: after 10 s (here less) Lambda retries at the first
/// invocation, within the timeout of the function.
#[test]
fn an_init_that_takes_too_long_is_repeated_in_the_first_invocation() {
    let limits = Limits { init: Duration::from_millis(400), ..Limits::default() };
    let slow = scripted("slow", "sleep:0.6 register loop");
    let timeout = Duration::from_secs(10);
    let sandbox = start(Setup { limits, timeout, ..with(vec![slow]) });
    assert!(happened(&sandbox.journal(), |what| matches!(
        what,
        JournalEvent::InitOver { phase: "init", status: "timeout" }
    )));
    let invocation = sandbox.invoke(b"{}").unwrap();
    assert_eq!(invocation.outcome, Outcome::Success);
    assert_eq!(invocation.init, None, "only an init ahead of the invocation is reported with it");
    assert!(invocation.duration >= Duration::from_millis(600), "the init is part of the invocation");
    let telemetry = sandbox.telemetry();
    let phases: Vec<&str> =
        records(&telemetry, "platform.initStart").iter().map(|record| record["phase"].as_str().unwrap()).collect();
    assert_eq!(phases, ["init", "invoke"]);
}

/// "Understanding the Lambda execution environment lifecycle", Failures during the init phase.
#[test]
fn an_init_that_never_ends_times_the_invocation_out() {
    let limits = Limits { init: Duration::from_millis(200), ..Limits::default() };
    let timeout = Duration::from_secs(1);
    let sandbox = start(Setup { limits, timeout, ..with(vec![scripted("stuck", "sleep:60")]) });
    let invocation = sandbox.invoke(b"{}").unwrap();
    assert_eq!(invocation.outcome, Outcome::Timeout);
    let report = sandbox.telemetry();
    assert_eq!(records(&report, "platform.report")[0]["status"], "timeout");
}

/// "Understanding the Lambda execution environment lifecycle", Failures during the invoke phase: "The Lambda reset does not clear the `/tmp` directory content
/// prior to the next init phase."
#[test]
fn a_reset_keeps_what_is_in_tmp_and_a_new_sandbox_has_nothing_there() {
    let program = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/platform_support/runtime.py");
    let setup =
        || Setup { function: Function::program(&program), disk: Disk::Private { tmp_mb: 512 }, ..Setup::default() };
    let marks = |events: &[&str]| -> Option<Vec<String>> {
        let sandbox = start(setup());
        if !happened(&sandbox.journal(), |what| *what == JournalEvent::DiskPrivate) {
            return None;
        }
        for event in events {
            let outcome = sandbox.invoke(event.as_bytes()).unwrap().outcome;
            assert_eq!(outcome == Outcome::Success, !event.contains("exit"), "{event}: {outcome:?}");
        }
        let lines = sandbox.output().into_iter().map(|line| String::from_utf8_lossy(&line.bytes).into_owned());
        Some(lines.filter(|line| line.starts_with("marks:")).map(|line| line.trim_end().to_owned()).collect())
    };
    let Some(marks_of_one) = marks(&[r#"{"mark": "1"}"#, r#"{"mark": "2", "exit": 1}"#, r#"{"mark": "3"}"#]) else {
        return isolation::skip("no disk of its own");
    };
    assert_eq!(marks_of_one, ["marks:", "marks: mark-1", "marks: mark-1 mark-2"]);
    assert_eq!(marks(&[r#"{"mark": "1"}"#]).unwrap(), ["marks:"]);
}

/// "Using the Lambda Extensions API to create extensions", Init error: the environment is given up.
#[test]
fn an_extension_that_reports_an_init_error_fails_the_init() {
    let sandbox = start(with(vec![scripted("broken", "register error:init sleep:60")]));
    assert_eq!(answer_to(&sandbox.output(), "broken", "error")["status"], 202);
    let telemetry = sandbox.telemetry();
    let report = records(&telemetry, "platform.initReport")[0];
    assert_eq!((report["status"].as_str(), report["errorType"].as_str()), (Some("error"), Some("Extension.Mine")));
    let outcome = sandbox.invoke(b"{}").unwrap().outcome;
    let error_type = "Extension.Mine".to_owned();
    assert_eq!(outcome, Outcome::ExtensionCrashed { name: "broken".to_owned(), error_type });
}

/// "Understanding the Lambda execution environment lifecycle": an extension that exits fails the phase, whatever its code.
#[test]
fn an_extension_that_exits_during_init_has_crashed_even_with_code_zero() {
    let sandbox = start(with(vec![scripted("gone", "register exit:0")]));
    let telemetry = sandbox.telemetry();
    assert_eq!(records(&telemetry, "platform.initReport")[0]["errorType"], "Extension.Crash");
}

/// "Lambda Telemetry API Event schema reference": the events of an init, in the order of the Runtime Interface Emulator.
#[test]
fn init_events_are_in_order() {
    let sandbox = start(with(vec![scripted("a", "register:a:SHUTDOWN loop")]));
    let telemetry = sandbox.telemetry();
    let platform: Vec<&str> = kinds(&telemetry).into_iter().filter(|kind| kind.starts_with("platform")).collect();
    let expected = ["platform.initStart", "platform.initRuntimeDone", "platform.extension", "platform.initReport"];
    assert_eq!(platform, expected);
    let extension = records(&telemetry, "platform.extension")[0];
    assert_eq!(extension["state"], "Ready");
    assert_eq!(extension["events"], serde_json::json!(["SHUTDOWN"]));
    assert_eq!(records(&telemetry, "platform.initStart")[0]["initializationType"], "on-demand");
}

/// "Using the Lambda Extensions API to create extensions", Configuration; and Lambda runs the file under its own path. That page says that extensions do not get
/// `LAMBDA_TASK_ROOT`, but Datadog documents that its extension reads the function's settings file there.
#[test]
fn an_extension_sees_the_customers_variables_and_its_own_path() {
    let environment = [("MINE".to_owned(), "1".to_owned())].into();
    let sandbox = start(Setup { environment, ..with(vec![scripted("env", "environment register loop")]) });
    let said = said(&sandbox.output(), "env");
    let seen = &said[0]["environment"];
    assert_eq!(seen["MINE"], "1");
    assert_eq!(seen["AWS_LAMBDA_FUNCTION_MEMORY_SIZE"], "1024");
    assert!(seen.get("HOME").is_none() && seen.get("LAMBDA_RUNTIME_DIR").is_none());
    assert_eq!(seen["LAMBDA_TASK_ROOT"], "/var/task");
    assert!(said[0]["argv0"].as_str().unwrap().ends_with("/opt/extensions/env"));
}

/// "Understanding Lambda managed instances": extensions can't have INVOKE events there.
#[test]
fn managed_instances_refuse_invoke_events() {
    let limits = Limits { long_init: Duration::from_secs(3), ..Limits::default() };
    let initialization = Initialization::ManagedInstances;
    let timeout = Duration::from_secs(1);
    let extensions = vec![scripted("old", "register sleep:60")];
    let sandbox = start(Setup { limits, initialization, timeout, extensions, ..Setup::default() });
    assert_eq!(answer_to(&sandbox.output(), "old", "register")["status"], 403);
}

#[test]
fn faults_play_at_the_planned_call() {
    let fault = |calls, effect| Fault { endpoint: Endpoint::Register, calls, effect };
    let faults = vec![fault(Calls::Only(1), Effect::Status(500)), fault(Calls::Only(2), Effect::Malformed)];
    let sandbox = start(Setup { faults, ..with(vec![scripted("a", "register register register loop")]) });
    let answers: Vec<_> = said(&sandbox.output(), "a").into_iter().filter(|said| said["call"] == "register").collect();
    let statuses: Vec<_> = answers.iter().map(|answer| answer["status"].as_u64().unwrap()).collect();
    assert_eq!(statuses, [500, 200, 200]);
    assert!(serde_json::from_str::<serde_json::Value>(answers[1]["body"].as_str().unwrap()).is_err());
}

#[test]
fn a_reset_connection_is_an_error_for_the_client() {
    let faults = vec![Fault { endpoint: Endpoint::Register, calls: Calls::Every, effect: Effect::Reset }];
    let sandbox = start(Setup { faults, ..with(vec![scripted("a", "register")]) });
    let printed: Vec<String> =
        sandbox.output().iter().map(|line| String::from_utf8_lossy(&line.bytes).into_owned()).collect();
    assert!(printed.iter().any(|line| line.contains("ConnectionResetError")), "{printed:?}");
}

#[test]
fn what_lambda_would_refuse_at_deployment_is_an_error() {
    let many = (0..11).map(|number| scripted(&format!("e{number}"), "register loop")).collect();
    assert!(matches!(Sandbox::start(with(many)), Err(Error::Setup { .. })));
    assert!(matches!(Sandbox::start(Setup { memory_mb: 64, ..Setup::default() }), Err(Error::Setup { .. })));
    let absent = Extension::new("absent", "/nowhere/absent");
    assert!(matches!(Sandbox::start(with(vec![absent])), Err(Error::Program { .. })));
}

/// An extension that can't be executed fails the init like one that exits.
#[test]
fn a_file_that_is_no_program_fails_the_init() {
    let file = platform_support::fresh_file("no-program");
    std::fs::write(&file, "no program").unwrap();
    let sandbox = start(with(vec![Extension::new("text", &file)]));
    let telemetry = sandbox.telemetry();
    assert_eq!(records(&telemetry, "platform.initReport")[0]["errorType"], "Extension.LaunchError");
    let error_type = "Extension.LaunchError".to_owned();
    assert_eq!(sandbox.invoke(b"{}").unwrap().outcome, Outcome::InitFailed { error_type });
}

/// "Troubleshoot execution issues in Lambda": a runtime that isn't there is an invalid entry point.
#[test]
fn a_runtime_that_cannot_be_executed_fails_the_init() {
    let sandbox = start(Setup { function: Function::program("/nowhere/bootstrap"), ..Setup::default() });
    let error_type = "Runtime.InvalidEntrypoint".to_owned();
    assert_eq!(sandbox.invoke(b"{}").unwrap().outcome, Outcome::InitFailed { error_type });
}

#[test]
fn every_destination_is_the_fake_intake() {
    let intake = Some(matrix::sandbox::intake::Plan::default());
    let sandbox = start(Setup { intake, ..with(vec![scripted("env", "environment register loop")]) });
    let url = format!("http://{}", sandbox.intake().unwrap().address());
    let said = said(&sandbox.output(), "env");
    for name in ["DD_DD_URL", "DD_APM_DD_URL", "DD_LOGS_CONFIG_LOGS_DD_URL"] {
        assert_eq!(said[0]["environment"][name], url.as_str());
    }
    assert_eq!(said[0]["environment"]["DD_API_KEY"].as_str().map(str::len), Some(32));
}

/// "Working with Lambda environment variables": the network that the processes see has Lambda's own address for the APIs.
#[test]
fn the_apis_are_where_lambda_has_them() {
    let sandbox = start(with(vec![scripted("env", "environment register loop")]));
    if happened(&sandbox.journal(), |what| *what == JournalEvent::NetworkIsolated) {
        assert_eq!(said(&sandbox.output(), "env")[0]["environment"]["AWS_LAMBDA_RUNTIME_API"], "127.0.0.1:9001");
    }
    let host = start(Setup { network: Network::Host, ..with(vec![scripted("env", "environment register loop")]) });
    assert!(!happened(&host.journal(), |what| *what == JournalEvent::NetworkIsolated));
    assert_eq!(host.invoke(b"{}").unwrap().outcome, Outcome::Success);
}
