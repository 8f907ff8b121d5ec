//! The invoke phase, freeze and thaw, and everything that ends an invocation early.

use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::platform_support::{
    eventually, first, fresh_file, happened, kinds, records, request, said, scripted, start,
};
use matrix::sandbox::function::{Call, Handler, HandlerOutcome, InitError};
use matrix::sandbox::journal::JournalEvent;
use matrix::sandbox::setup::{Initialization, Origin};
use matrix::sandbox::{Function, Outcome, Sandbox, Setup, Status, isolation};
use serde_json::{Value, json};

fn python() -> Function {
    Function::program(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/platform_support/runtime.py"))
}

fn size(file: &PathBuf) -> u64 {
    std::fs::metadata(file).map_or(0, |data| data.len())
}

/// "Using the Lambda Extensions API to create extensions", Invoke phase: the caller's answer does not wait for extensions, the
/// phase does, and the time of the extensions is billed.
#[test]
fn the_invocation_lasts_until_every_extension_is_done() {
    let sandbox = start(Setup { extensions: vec![scripted("slow", "register loop:0.3")], ..Setup::default() });
    let invocation = sandbox.invoke(b"{}").unwrap();
    assert_eq!(invocation.outcome, Outcome::Success);
    assert_eq!(invocation.response, b"null");
    assert!(invocation.answered < invocation.duration);
    assert!(invocation.extension_overhead >= Duration::from_millis(250), "{invocation:?}");
    let whole = invocation.duration + invocation.init.unwrap();
    assert_eq!(u128::from(invocation.billed_ms), whole.as_micros().div_ceil(1000));

    let telemetry = sandbox.telemetry();
    let report = records(&telemetry, "platform.report")[0];
    let spans: Vec<_> = report["spans"].as_array().unwrap().iter().map(|span| span["name"].clone()).collect();
    assert_eq!(spans, ["responseLatency", "responseDuration", "runtimeOverhead", "extensionOverhead"]);
    assert!(report["metrics"]["initDurationMs"].is_number());
    assert_eq!(report["metrics"]["memorySizeMB"], 1024);
    let done = records(&telemetry, "platform.runtimeDone")[0];
    assert_eq!((&done["status"], &done["metrics"]["producedBytes"]), (&json!("success"), &json!(4)));
    let second = sandbox.invoke(b"{}").unwrap();
    assert_eq!(second.init, None, "the init is reported once");
}

/// "Using the Lambda Extensions API to create extensions", Next: what an INVOKE event carries.
#[test]
fn the_invoke_event_names_the_request_and_its_deadline() {
    let sandbox = start(Setup { extensions: vec![scripted("a", "register loop")], ..Setup::default() });
    let invocation = sandbox.invoke(b"{}").unwrap();
    let said = said(&sandbox.output(), "a");
    let event = said.iter().find_map(|said| said.get("event")).unwrap();
    assert_eq!(event["eventType"], "INVOKE");
    assert_eq!(event["requestId"], json!(invocation.request_id));
    assert_eq!(event["invokedFunctionArn"], "arn:aws:lambda:us-east-1:123456789012:function:function");
    assert_eq!(event["tracing"]["type"], "X-Amzn-Trace-Id");
    assert!(event["deadlineMs"].as_u64().unwrap() > 1_700_000_000_000);
}

/// "Lambda Telemetry API Event schema reference": lines of a request stand between its start and its end.
#[test]
fn lines_of_a_process_come_before_the_end_of_its_request() {
    let sandbox = start(Setup { function: python(), ..Setup::default() });
    for number in 0..5 {
        let invocation = sandbox.invoke(json!({"print": format!("line {number}")}).to_string().as_bytes()).unwrap();
        assert_eq!(invocation.outcome, Outcome::Success);
    }
    let telemetry = sandbox.telemetry();
    let kinds: Vec<&str> = kinds(&telemetry).into_iter().skip_while(|kind| *kind != "platform.start").collect();
    assert_eq!(kinds, ["platform.start", "function", "platform.runtimeDone", "platform.report"].repeat(5));
    assert_eq!(records(&telemetry, "function")[4], "line 4");
}

/// "Working with Lambda environment variables": what the function sees on top of what extensions see.
#[test]
fn a_program_sees_where_its_code_is() {
    let sandbox = start(Setup { function: python(), ..Setup::default() });
    let response: Value = serde_json::from_slice(&sandbox.invoke(b"{\"environment\":1}").unwrap().response).unwrap();
    assert_eq!(response["environment"]["LAMBDA_TASK_ROOT"], response["directory"]);
    assert_eq!(response["environment"]["_HANDLER"], "function.handler");
    assert_eq!(response["environment"]["AWS_LAMBDA_LOG_GROUP_NAME"], "/aws/lambda/function");
    assert!(response["environment"].get("HOME").is_none());
}

#[test]
fn bytes_that_are_no_text_are_kept_and_become_replacement_characters() {
    let sandbox = start(Setup { function: python(), ..Setup::default() });
    sandbox.invoke(json!({"raw": [104, 255, 10]}).to_string().as_bytes()).unwrap();
    assert!(sandbox.output().iter().any(|line| line.bytes == [104, 255]));
    assert_eq!(records(&sandbox.telemetry(), "function")[0], "h\u{fffd}");
}

#[test]
fn a_line_of_a_mebibyte_is_one_record() {
    let line = "x".repeat(1024 * 1024);
    let printed = line.clone();
    let function = Function::from_fn(move |call| {
        call.print(&printed);
        HandlerOutcome::Response(Vec::new())
    });
    let sandbox = start(Setup { function, ..Setup::default() });
    sandbox.invoke(b"{}").unwrap();
    assert_eq!(records(&sandbox.telemetry(), "function"), [&json!(line)]);
}

/// "Understanding the Lambda execution environment lifecycle", Invoke phase: a timeout resets the environment, extensions are
/// told the reason, and the next invocation initializes anew.
#[test]
fn a_timeout_ends_the_environment_and_the_next_invocation_starts_another() {
    let setup = Setup {
        function: python(),
        // The second invocation starts everything anew within it, however busy the machine is.
        timeout: Duration::from_secs(8),
        extensions: vec![scripted("a", "register loop")],
        ..Setup::default()
    };
    let sandbox = start(setup);
    let late = sandbox.invoke(b"{\"sleep\":60}").unwrap();
    assert_eq!((late.outcome, late.status, late.duration), (Outcome::Timeout, Status::Timeout, Duration::from_secs(8)));
    assert!(String::from_utf8(late.response).unwrap().contains("Task timed out after 8.00 seconds"));
    let shutdown = said(&sandbox.output(), "a").pop().unwrap();
    assert_eq!(shutdown["event"]["shutdownReason"], "timeout");

    assert_eq!(sandbox.invoke(b"{}").unwrap().outcome, Outcome::Success);
    let telemetry = sandbox.telemetry();
    assert_eq!(records(&telemetry, "platform.initStart")[1]["phase"], "invoke");
    assert_eq!(records(&telemetry, "platform.runtimeDone")[0]["status"], "timeout");
}

/// The timeout is for the function and the extensions together.
#[test]
fn an_extension_that_never_returns_times_out_after_the_caller_was_answered() {
    let extensions = vec![scripted("stuck", "register next sleep:60")];
    let sandbox = start(Setup { extensions, timeout: Duration::from_secs(1), ..Setup::default() });
    let invocation = sandbox.invoke(b"{}").unwrap();
    assert_eq!((invocation.outcome, invocation.status), (Outcome::Success, Status::Timeout));
    assert_eq!(records(&sandbox.telemetry(), "platform.runtimeDone")[0]["status"], "success");
}

/// "Troubleshoot execution issues in Lambda": `Runtime exited with error`.
#[test]
fn a_runtime_that_exits_is_an_error_and_the_environment_ends() {
    let extensions = vec![scripted("a", "register loop")];
    let timeout = Duration::from_secs(10);
    let sandbox = start(Setup { function: python(), extensions, timeout, ..Setup::default() });
    let invocation = sandbox.invoke(b"{\"exit\":1}").unwrap();
    assert_eq!(invocation.outcome, Outcome::RuntimeExited { status: "exit status 1".to_owned() });
    assert_eq!(invocation.error_type.as_deref(), Some("Runtime.ExitError"));
    let message = String::from_utf8(invocation.response).unwrap();
    assert!(message.contains("Error: Runtime exited with error: exit status 1"), "{message}");
    let shutdown = said(&sandbox.output(), "a").pop().unwrap();
    assert_eq!(shutdown["event"]["shutdownReason"], "failure");
    assert_eq!(sandbox.invoke(b"{}").unwrap().outcome, Outcome::Success);
}

/// What a function that outgrows its memory may take for it on a busy machine; it is killed as soon as it has.
const PATIENCE: Duration = Duration::from_mins(1);

/// "Troubleshoot execution issues in Lambda": the function is killed, and the report shows all memory in use.
#[test]
fn a_function_that_outgrows_its_memory_is_killed() {
    let sandbox = start(Setup { function: python(), memory_mb: 128, timeout: PATIENCE, ..Setup::default() });
    let invocation = sandbox.invoke(b"{\"hold_mb\":300,\"sleep\":30}").unwrap();
    assert_eq!(invocation.outcome, Outcome::OutOfMemory);
    let telemetry = sandbox.telemetry();
    let report = records(&telemetry, "platform.report")[0];
    assert_eq!(report["errorType"], "Runtime.OutOfMemory");
    assert_eq!(report["metrics"]["maxMemoryUsedMB"], report["metrics"]["memorySizeMB"]);
}

/// Whether the sandbox has processes of its own, without which nobody knows of those that have left their parents.
fn knows_all_processes(sandbox: &Sandbox) -> bool {
    let shared = happened(&sandbox.journal(), |what| matches!(what, JournalEvent::ProcessesShared { .. }));
    if shared {
        isolation::skip("it takes a process namespace");
    }
    !shared
}

#[test]
fn shared_pages_of_forked_processes_count_once() {
    let sandbox = start(Setup { function: python(), memory_mb: 512, timeout: PATIENCE, ..Setup::default() });
    let invocation = sandbox.invoke(b"{\"hold_mb\":150,\"forks\":4,\"sleep\":0.5}").unwrap();
    assert_eq!(invocation.outcome, Outcome::Success);
    assert!((150..260).contains(&invocation.max_memory_mb), "{}", invocation.max_memory_mb);
    let grown = sandbox.invoke(b"{\"hold_mb\":400,\"sleep\":30}").unwrap();
    assert_eq!(grown.outcome, Outcome::OutOfMemory, "what is not shared counts as well");
}

#[test]
fn memory_of_a_daemon_counts() {
    let sandbox = start(Setup { function: python(), memory_mb: 128, timeout: PATIENCE, ..Setup::default() });
    if knows_all_processes(&sandbox) {
        assert_eq!(sandbox.invoke(b"{\"daemon_mb\":300,\"sleep\":30}").unwrap().outcome, Outcome::OutOfMemory);
        assert_eq!(
            sandbox.invoke(b"{\"sleep\":0.2}").unwrap().outcome,
            Outcome::Success,
            "it has ended with its environment"
        );
    }
}

/// An extension that starts a daemon, and the file that the daemon writes to.
fn with_daemon() -> (Setup, PathBuf) {
    let ticks = fresh_file("ticks");
    let mut extension = scripted("parent", "daemon register loop");
    extension.environment.insert("TICKS".to_owned(), ticks.to_string_lossy().into_owned());
    (Setup { extensions: vec![extension], function: python(), ..Setup::default() }, ticks)
}

#[test]
fn a_daemon_is_frozen_and_continued_like_any_other_process() {
    let (setup, ticks) = with_daemon();
    let sandbox = start(setup);
    if !knows_all_processes(&sandbox) {
        return;
    }
    sandbox.invoke(b"{\"sleep\":0.2}").unwrap();
    std::thread::sleep(Duration::from_millis(50));
    let frozen = size(&ticks);
    std::thread::sleep(Duration::from_millis(300));
    assert_eq!(size(&ticks), frozen);
    sandbox.invoke(b"{\"sleep\":0.2}").unwrap();
    assert!(frozen > 0 && size(&ticks) > frozen);
}

#[test]
fn a_daemon_ends_with_its_environment_and_its_port_is_free() {
    let (setup, ticks) = with_daemon();
    let sandbox = start(setup);
    if !knows_all_processes(&sandbox) {
        return;
    }
    assert!(matches!(sandbox.invoke(b"{\"exit\":1}").unwrap().outcome, Outcome::RuntimeExited { .. }));
    assert!(sandbox.within(|| std::net::TcpListener::bind("127.0.0.1:8126")).unwrap().is_ok());
    assert_eq!(sandbox.invoke(b"{}").unwrap().outcome, Outcome::Success);
    let record = sandbox.shutdown().unwrap();
    let daemons: Vec<_> =
        said(&record.output, "parent").into_iter().filter_map(|said| said.get("daemon").cloned()).collect();
    assert_eq!(daemons, ["bound", "bound"]);
    let ended = size(&ticks);
    std::thread::sleep(Duration::from_millis(100));
    assert_eq!(size(&ticks), ended);
}

#[test]
fn an_in_process_function_can_report_exit_and_run_out_of_memory() {
    let function = Function::from_fn(|call| match call.event {
        b"error" => HandlerOutcome::Error { error_type: "ValueError".to_owned(), message: "no".to_owned() },
        b"exit" => HandlerOutcome::Exit(3),
        b"memory" => HandlerOutcome::OutOfMemory,
        b"hang" => HandlerOutcome::Hang,
        event => HandlerOutcome::Response(event.to_vec()),
    });
    let with_timeout = |seconds| {
        let function = function.clone();
        start(Setup { function, timeout: Duration::from_secs(seconds), ..Setup::default() })
    };
    // Where an environment is to start anew within it, the timeout is long.
    let sandbox = with_timeout(30);
    let outcome = |event: &[u8]| sandbox.invoke(event).unwrap().outcome;
    assert_eq!(outcome(b"error"), Outcome::FunctionError { error_type: "ValueError".to_owned() });
    assert_eq!(sandbox.invoke(b"echo").unwrap().response, b"echo");
    assert_eq!(outcome(b"exit"), Outcome::RuntimeExited { status: "exit status 3".to_owned() });
    assert_eq!(outcome(b"memory"), Outcome::OutOfMemory);
    assert_eq!(outcome(b"echo"), Outcome::Success);
    let sandbox = with_timeout(1);
    assert_eq!(sandbox.invoke(b"hang").unwrap().outcome, Outcome::Timeout);
}

/// "Understanding the Lambda execution environment lifecycle": an extension's exit fails the invocation, even with code 0.
#[test]
fn an_extension_that_exits_during_an_invocation_has_crashed() {
    let function = Function::from_fn(|_| {
        std::thread::sleep(Duration::from_millis(1500));
        HandlerOutcome::Response(Vec::new())
    });
    let extensions = vec![scripted("gone", "register next exit:0")];
    let sandbox = start(Setup { function, extensions, ..Setup::default() });
    let error_type = "Extension.Crash".to_owned();
    let crashed = Outcome::ExtensionCrashed { name: "gone".to_owned(), error_type };
    assert_eq!(sandbox.invoke(b"{}").unwrap().outcome, crashed);
}

/// "Understanding the Lambda execution environment lifecycle": the environment is frozen between invocations.
#[test]
fn processes_stand_still_between_invocations_with_all_their_threads() {
    let (function_ticks, extension_ticks) = (fresh_file("function-ticks"), fresh_file("extension-ticks"));
    let mut extension = scripted("clock", "tick register loop");
    extension.environment.insert("TICKS".to_owned(), extension_ticks.to_string_lossy().into_owned());
    let sandbox = start(Setup { function: python(), extensions: vec![extension], ..Setup::default() });
    sandbox.invoke(json!({"tick": function_ticks, "sleep": 0.1}).to_string().as_bytes()).unwrap();
    let before = (size(&function_ticks), size(&extension_ticks));
    assert!(before.0 > 0 && before.1 > 0);
    std::thread::sleep(Duration::from_millis(200));
    let after = (size(&function_ticks), size(&extension_ticks));
    assert!(
        after.0 <= before.0 + 1 && after.1 <= before.1 + 1,
        "one write may have been under way: {before:?} {after:?}"
    );
    sandbox.invoke(b"{\"sleep\":0.1}").unwrap();
    assert!(size(&function_ticks) > after.0 && size(&extension_ticks) > after.1);
    let journal = sandbox.journal();
    assert!(
        first(&journal, |what| *what == JournalEvent::Frozen) < first(&journal, |what| *what == JournalEvent::Thawed)
    );
}

#[test]
fn nothing_is_frozen_when_that_is_not_wanted() {
    let ticks = fresh_file("free-ticks");
    let sandbox = start(Setup { function: python(), freeze: false, ..Setup::default() });
    sandbox.invoke(json!({"tick": ticks}).to_string().as_bytes()).unwrap();
    let before = size(&ticks);
    eventually("ticks go on", || size(&ticks) > before + 2);
    assert!(!happened(&sandbox.journal(), |what| *what == JournalEvent::Frozen));
}

/// An internal extension registers while the runtime initializes.
struct Internal;

impl Handler for Internal {
    fn init(&self, init: &Call<'_>) -> Result<(), InitError> {
        let register = |name: &str, events: &str| {
            let head = "POST /2020-01-01/extension/register";
            let reply = request(init.runtime_api, head, &[("Lambda-Extension-Name", name)], events);
            init.print(format!("{} {}", reply.status, reply.body));
        };
        register("wants-shutdown", r#"{"events":["SHUTDOWN"]}"#);
        register("external", r#"{"events":[]}"#);
        for number in 0..10 {
            register(&format!("internal-{number}"), r#"{"events":["INVOKE"]}"#);
        }
        Err(InitError::Exit(0))
    }

    fn handle(&self, _call: &Call<'_>) -> HandlerOutcome {
        HandlerOutcome::Hang
    }
}

/// "Using the Lambda Extensions API to create extensions": internal extensions can't have SHUTDOWN, and there are ten
/// extensions at most.
#[test]
fn internal_extensions_are_limited() {
    let function = Function::InProcess(std::sync::Arc::new(Internal));
    let sandbox =
        start(Setup { function, extensions: vec![scripted("external", "register loop")], ..Setup::default() });
    let output = sandbox.output();
    let lines: Vec<String> = output
        .iter()
        .filter(|line| line.origin == matrix::sandbox::setup::Origin::Function)
        .map(|line| String::from_utf8_lossy(&line.bytes).into_owned())
        .collect();
    assert!(lines[0].starts_with("403") && lines[0].contains("Extension.InvalidEventType"), "{lines:?}");
    assert!(lines[1].starts_with("403") && lines[1].contains("Extension.InvalidExtensionState"), "{lines:?}");
    assert!(lines[2..11].iter().all(|line| line.starts_with("200")), "{lines:?}");
    assert!(lines[11].contains("Extension.TooManyExtensions"), "{lines:?}");
}

/// "Lambda quotas": a buffered response has at most 6 MB.
#[test]
fn a_response_that_is_too_large_is_an_error_of_the_function() {
    let function = Function::from_fn(|_| HandlerOutcome::Response(vec![b'x'; 7 * 1024 * 1024]));
    let sandbox = start(Setup { function, ..Setup::default() });
    let outcome = sandbox.invoke(b"{}").unwrap().outcome;
    assert_eq!(outcome, Outcome::FunctionError { error_type: "Function.ResponseSizeTooLarge".to_owned() });
}

/// "Lambda SnapStart runtime hooks for custom runtimes": the runtime waits at `restore/next`, and a restore is told.
#[test]
fn a_snapshot_is_restored_before_the_first_event() {
    let setup = Setup { function: python(), initialization: Initialization::SnapStart, ..Setup::default() };
    let sandbox = start(setup);
    let invocation = sandbox.invoke(b"{}").unwrap();
    assert_eq!(invocation.outcome, Outcome::Success);
    let telemetry = sandbox.telemetry();
    let kinds: Vec<&str> = kinds(&telemetry).into_iter().filter(|kind| kind.starts_with("platform.restore")).collect();
    assert_eq!(kinds, ["platform.restoreStart", "platform.restoreRuntimeDone", "platform.restoreReport"]);
    assert_eq!(records(&telemetry, "function")[0], "restored");
}

#[test]
fn the_network_is_the_sandboxs_own_and_work_can_be_sent_there() {
    let sandboxes = [start(Setup::default()), start(Setup::default())];
    let isolated = |sandbox: &Sandbox| happened(&sandbox.journal(), |what| *what == JournalEvent::NetworkIsolated);
    let bind = |sandbox: &Sandbox| sandbox.within(|| std::net::UdpSocket::bind("127.0.0.1:8125")).unwrap();
    let sockets: Vec<_> = sandboxes.iter().filter(|sandbox| isolated(sandbox)).map(bind).collect();
    assert!(sockets.iter().all(Result::is_ok), "{sockets:?}");
    assert!(sandboxes.iter().all(|sandbox| sandbox.invoke(b"{}").unwrap().outcome == Outcome::Success));
}

#[test]
fn dropping_a_sandbox_leaves_no_process() {
    let extensions = vec![scripted("parent", "child register loop")];
    let sandbox = start(Setup { extensions, function: python(), ..Setup::default() });
    let parent = sandbox.journal().iter().find_map(|entry| match &entry.what {
        JournalEvent::Executed { origin: Origin::Extension(_), pid } => Some(*pid),
        _ => None,
    });
    let parent = parent.unwrap();
    // What the extension itself says is the id within the sandbox.
    let child = std::fs::read_to_string(format!("/proc/{parent}/task/{parent}/children")).unwrap();
    let child = child.trim();
    let alive = || {
        let status = std::fs::read_to_string(format!("/proc/{child}/stat")).unwrap_or_default();
        !status.is_empty() && !status.contains(") Z ")
    };
    assert!(alive());
    drop(sandbox);
    eventually("the child of the extension is gone", || !alive());
}

/// "How Lambda handles errors and retries with asynchronous invocation": two retries, under the id of the first attempt, in the environment that was frozen.
#[test]
fn an_asynchronous_event_that_fails_is_retried_under_the_same_request_id() {
    for failures in 0..4 {
        let calls = std::sync::atomic::AtomicU32::new(0);
        let function = Function::from_fn(move |_| {
            if calls.fetch_add(1, std::sync::atomic::Ordering::Relaxed) < failures {
                HandlerOutcome::Error { error_type: "Busy".to_owned(), message: "later".to_owned() }
            } else {
                HandlerOutcome::Response(b"null".to_vec())
            }
        });
        let extensions = vec![scripted("a", "register loop")];
        let sandbox = start(Setup { function, extensions, ..Setup::default() });
        let attempts = sandbox.invoke_async(b"{}").unwrap();
        let numbers: Vec<u32> = attempts.iter().map(|attempt| attempt.attempt).collect();
        assert_eq!(numbers, (1..=(failures + 1).min(3)).collect::<Vec<_>>());
        assert_eq!(attempts.last().unwrap().has_failed(), failures > 2);
        let id = &attempts[0].request_id;
        assert!(attempts.iter().all(|attempt| attempt.request_id == *id));
        let journal = sandbox.journal();
        let steps = journal.iter().filter_map(|entry| match &entry.what {
            JournalEvent::Invoked { request_id } => Some(if request_id == id { "invoked" } else { "another" }),
            JournalEvent::Frozen => Some("frozen"),
            _ => None,
        });
        assert_eq!(
            steps.collect::<Vec<_>>(),
            [&["frozen"][..], ["invoked", "frozen"].repeat(attempts.len()).as_slice()].concat()
        );
        let events = said(&sandbox.output(), "a");
        let invokes: Vec<_> = events.iter().filter_map(|said| said.get("event")).collect();
        assert_eq!(invokes.len(), attempts.len());
        assert!(invokes.iter().all(|event| event["requestId"] == json!(id)), "{invokes:?}");
        let telemetry = sandbox.telemetry();
        for kind in ["platform.start", "platform.runtimeDone", "platform.report"] {
            let records = records(&telemetry, kind);
            assert_eq!(records.len(), attempts.len(), "{kind}");
            assert!(records.iter().all(|record| record["requestId"] == json!(id)), "{records:?}");
        }
        assert_ne!(sandbox.invoke(b"{}").unwrap().request_id, *id);
    }
}
