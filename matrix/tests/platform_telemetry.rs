//! The Telemetry API: batches, replay, order, disturbances.

use crate::platform_support;

use std::num::NonZeroU32;
use std::time::Duration;

use crate::platform_support::{
    answer_to, batches, eventually, first, fresh_file, happened, kinds, listening, received, records, start,
};
use matrix::sandbox::function::HandlerOutcome;
use matrix::sandbox::journal::JournalEvent;
use matrix::sandbox::setup::{Delivery, Initialization, Limits, LogFormat, Order};
use matrix::sandbox::{Function, Setup};
use serde_json::json;

/// Hears the end of every invocation before it asks for the next event, and all reports before it ends.
const LISTENER: &str = "listen register subscribe loop:platform.runtimeDone hear:platform.report";

fn printing() -> Function {
    Function::from_fn(|call| {
        call.print("hello");
        HandlerOutcome::Response(Vec::new())
    })
}

/// "Lambda Telemetry API": a subscriber gets what happened in the init phase before it subscribed.
#[test]
fn a_late_subscriber_gets_the_whole_init() {
    let file = fresh_file("replay");
    let extension =
        listening("late", "listen register sleep:0.3 subscribe loop:platform.runtimeDone hear:platform.report", &file);
    let sandbox = start(Setup { extensions: vec![extension], function: printing(), ..Setup::default() });
    sandbox.invoke(b"{}").unwrap();
    sandbox.shutdown().unwrap();
    let events = received(&file);
    assert_eq!(kinds(&events)[0], "platform.initStart");
    for kind in ["platform.telemetrySubscription", "platform.initReport", "platform.start", "function"] {
        assert_eq!(kinds(&events).iter().filter(|other| **other == kind).count(), 1, "{kind}: {:?}", kinds(&events));
    }
    assert_eq!(records(&events, "function"), [&json!("hello")]);
    assert!(
        events.iter().all(|event| event["time"].as_str().is_some_and(|time| time.len() == 24 && time.ends_with('Z')))
    );
}

/// The report of an invocation reaches the extension when it is thawed for the next one, or at the end.
#[test]
fn a_report_arrives_after_the_thaw_and_the_last_one_during_the_shutdown() {
    let file = fresh_file("report");
    let extension = listening("a", LISTENER, &file);
    let sandbox = start(Setup { extensions: vec![extension], ..Setup::default() });
    let one = sandbox.invoke(b"{}").unwrap();
    std::thread::sleep(Duration::from_millis(100));
    assert!(records(&received(&file), "platform.report").is_empty(), "nothing is delivered to who is frozen");
    assert_eq!(records(&received(&file), "platform.runtimeDone").len(), 1, "but what came earlier was");
    let two = sandbox.invoke(b"{}").unwrap();
    let reports: Vec<_> =
        records(&received(&file), "platform.report").iter().map(|record| record["requestId"].clone()).collect();
    assert_eq!(reports, [json!(one.request_id)]);
    sandbox.shutdown().unwrap();
    let events = received(&file);
    assert_eq!(records(&events, "platform.report")[1]["requestId"], json!(two.request_id));
}

/// "Lambda Telemetry API reference": one subscription for each extension.
#[test]
fn a_second_subscription_is_refused() {
    let file = fresh_file("twice");
    let sandbox = start(Setup {
        extensions: vec![listening("a", "listen register subscribe subscribe loop", &file)],
        ..Setup::default()
    });
    let statuses: Vec<_> = platform_support::said(&sandbox.output(), "a")
        .iter()
        .filter(|said| said["call"] == "subscribe")
        .map(|said| said["status"].as_u64().unwrap())
        .collect();
    assert_eq!(statuses, [200, 403]);
}

#[test]
fn a_refused_batch_is_offered_again_and_then_given_up_with_a_notice() {
    let file = fresh_file("refused");
    let extension = listening(
        "a",
        "listen answers:500:500 register subscribe loop:platform.logsDropped hear:platform.report",
        &file,
    );
    let limits = Limits { telemetry_attempts: 2, telemetry_pause: Duration::from_millis(5), ..Limits::default() };
    let sandbox = start(Setup { extensions: vec![extension], limits, ..Setup::default() });
    sandbox.invoke(b"{}").unwrap();
    let record = sandbox.shutdown().unwrap();
    // What comes after the extension has ended meets nobody, and is no refusal.
    let is_refusal =
        |what: &JournalEvent| matches!(what, JournalEvent::Undelivered { reason, .. } if reason.contains("500"));
    let refusals = record.journal.iter().filter(|entry| is_refusal(&entry.what)).count();
    assert_eq!(refusals, 2);
    let events = received(&file);
    let dropped = records(&events, "platform.logsDropped");
    assert_eq!(dropped.len(), 1);
    assert!(dropped[0]["droppedRecords"].as_u64().unwrap() >= 1);
    assert!(dropped[0]["droppedBytes"].as_u64().unwrap() > 0);
}

#[test]
fn a_refusal_that_passes_loses_nothing() {
    let file = fresh_file("passing");
    let extension =
        listening("a", "listen answers:500 register subscribe loop:platform.runtimeDone hear:platform.report", &file);
    let sandbox = start(Setup { extensions: vec![extension], function: printing(), ..Setup::default() });
    sandbox.invoke(b"{}").unwrap();
    let record = sandbox.shutdown().unwrap();
    assert!(happened(&record.journal, |what| matches!(what, JournalEvent::Undelivered { .. })), "a batch was refused");
    let events = received(&file);
    let of = |events: &[serde_json::Value]| {
        let is_wanted = |kind: &&str| kind.starts_with("platform.") || *kind == "function";
        kinds(events).into_iter().filter(is_wanted).map(str::to_owned).collect::<Vec<_>>()
    };
    assert_eq!(of(&events), of(&record.telemetry), "everything arrives, once and in order");
}

/// A backlog without room drops what comes on top, and says so.
#[test]
fn slow_subscriber_gets_logs_dropped_with_counts() {
    let file = fresh_file("behind");
    let function = Function::from_fn(|call| {
        for _ in 0..50 {
            call.print("x".repeat(1000));
        }
        HandlerOutcome::Response(Vec::new())
    });
    let limits = Limits { telemetry_backlog_bytes: 20_000, ..Limits::default() };
    let extensions =
        vec![listening("a", "listen register subscribe loop:platform.logsDropped hear:platform.report", &file)];
    let sandbox = start(Setup { extensions, function, limits, ..Setup::default() });
    sandbox.invoke(b"{}").unwrap();
    sandbox.shutdown().unwrap();
    let events = received(&file);
    let lines = records(&events, "function").len();
    let dropped: u64 =
        records(&events, "platform.logsDropped").iter().map(|record| record["droppedRecords"].as_u64().unwrap()).sum();
    assert!(lines < 50, "{lines}");
    // What came on top of the lines, such as the end of the invocation, may have been dropped as well.
    assert!(lines as u64 + dropped >= 50, "{lines} lines and {dropped} dropped of 50");
}

/// The telemetry of the init may well come after the first INVOKE.
#[test]
fn init_events_can_arrive_after_the_first_invoke() {
    let file = fresh_file("behind-invoke");
    let delivery = Delivery { order: Order::InitAfterInvoke, ..Delivery::default() };
    let extensions = vec![listening("a", LISTENER, &file)];
    let sandbox = start(Setup { extensions, delivery, ..Setup::default() });
    assert!(!kinds(&received(&file)).contains(&"platform.initStart"));
    sandbox.invoke(b"{}").unwrap();
    eventually("the init is told", || kinds(&received(&file)).contains(&"platform.initReport"));
    let events = received(&file);
    let place = |kind: &str| kinds(&events).iter().position(|other| *other == kind).unwrap();
    assert!(place("platform.start") < place("platform.initStart"));
    assert!(place("platform.initStart") < place("platform.initReport"));
}

#[test]
fn batches_can_be_duplicated() {
    let file = fresh_file("duplicates");
    let delivery = Delivery { duplicate_every: NonZeroU32::new(1), ..Delivery::default() };
    let extensions = vec![listening("a", LISTENER, &file)];
    let sandbox = start(Setup { extensions, delivery, ..Setup::default() });
    sandbox.invoke(b"{}").unwrap();
    sandbox.shutdown().unwrap();
    let batches = batches(&file);
    assert!(batches.len() >= 2);
    assert_eq!(batches[0], batches[1]);
}

#[test]
fn telemetry_can_be_shuffled_and_delayed_without_breaking_requests() {
    let file = fresh_file("shuffled");
    let order = Order::Shuffled { seed: 3 };
    let delivery = Delivery { order, delay: Duration::from_millis(200), ..Delivery::default() };
    let extensions = vec![listening("a", LISTENER, &file)];
    let sandbox = start(Setup { extensions, delivery, function: printing(), ..Setup::default() });
    sandbox.invoke(b"{}").unwrap();
    sandbox.shutdown().unwrap();
    let events = received(&file);
    let place = |kind: &str| kinds(&events).iter().position(|other| *other == kind).unwrap();
    assert!(place("platform.start") < place("platform.runtimeDone"));
    assert!(place("platform.runtimeDone") < place("platform.report"));
    assert!(place("platform.start") < place("function"));
}

/// As the public Runtime Interface Emulator answers: 202, an error body, no events.
#[test]
fn telemetry_can_be_missing_altogether() {
    let file = fresh_file("unsupported");
    let delivery = Delivery { supported: false, ..Delivery::default() };
    let extensions = vec![listening("a", "listen register subscribe loop:0.2 sleep:0.2", &file)];
    let sandbox = start(Setup { extensions, delivery, ..Setup::default() });
    sandbox.invoke(b"{}").unwrap();
    let answer = answer_to(&sandbox.output(), "a", "subscribe");
    assert_eq!(answer["status"], 202);
    assert!(answer["body"].as_str().unwrap().contains("Telemetry.NotSupported"));
    sandbox.shutdown().unwrap();
    assert!(received(&file).is_empty());
}

#[test]
fn events_of_any_shape_can_be_injected() {
    let file = fresh_file("injected");
    let sandbox = start(Setup { extensions: vec![listening("a", LISTENER, &file)], ..Setup::default() });
    assert!(sandbox.inject("a", &[json!({"type": "platform.fromTheFuture"}), json!("no event at all")]));
    assert!(!sandbox.inject("nobody", &[]));
    sandbox.invoke(b"{}").unwrap();
    let flat = received(&file);
    assert!(flat.contains(&json!("no event at all")));
    assert!(flat.iter().any(|event| event["type"] == "platform.fromTheFuture"));
}

/// "Working with Lambda function logs", JSON log format: lines that are JSON objects stay objects.
#[test]
fn json_lines_are_objects_only_in_the_json_format() {
    let function = || {
        Function::from_fn(|call| {
            call.print(r#"{"level":"INFO"}"#);
            call.print("7");
            HandlerOutcome::Response(Vec::new())
        })
    };
    let lines = |log_format| {
        let sandbox = start(Setup { function: function(), log_format, ..Setup::default() });
        sandbox.invoke(b"{}").unwrap();
        records(&sandbox.telemetry(), "function").into_iter().cloned().collect::<Vec<_>>()
    };
    assert_eq!(lines(LogFormat::Text), [json!(r#"{"level":"INFO"}"#), json!("7")]);
    assert_eq!(lines(LogFormat::Json), [json!({"level": "INFO"}), json!("7")]);
}

/// "Lambda Managed Instances": extensions only hear of SHUTDOWN, nothing freezes, timeouts are reported and not enforced, and a
/// report takes the place of `platform.runtimeDone`.
#[test]
fn managed_instances_take_invocations_from_telemetry_alone() {
    let file = fresh_file("managed");
    let function = Function::from_fn(|call| {
        call.print("in handler");
        std::thread::sleep(Duration::from_millis(if call.event == b"slow" { 1300 } else { 0 }));
        HandlerOutcome::Response(Vec::new())
    });
    let script = "listen register:a:SHUTDOWN subscribe:2025-01-29 loop hear:platform.report:2";
    let sandbox = start(Setup {
        function,
        extensions: vec![listening("a", script, &file)],
        initialization: Initialization::ManagedInstances,
        timeout: Duration::from_secs(1),
        ..Setup::default()
    });
    sandbox.invoke(b"{}").unwrap();
    eventually("the report arrives without another event", || !records(&received(&file), "platform.report").is_empty());
    let slow = sandbox.invoke(b"slow").unwrap();
    assert_eq!(slow.response, b"", "the function has answered");
    let record = sandbox.shutdown().unwrap();
    assert!(!happened(&record.journal, |what| *what == JournalEvent::Frozen));
    let events = received(&file);
    assert!(records(&events, "platform.runtimeDone").is_empty());
    let start = records(&events, "platform.start")[0];
    assert_eq!(start["functionArn"], "arn:aws:lambda:us-east-1:123456789012:function:function");
    let reports = records(&events, "platform.report");
    assert_eq!((&reports[0]["status"], &reports[1]["status"]), (&json!("success"), &json!("timeout")));
    assert_eq!(reports[0]["metrics"].as_object().unwrap().len(), 1);
    assert_eq!(reports[0]["spans"][0]["name"], "responseLatency");
    let shutdown = platform_support::said(&record.output, "a").pop().unwrap();
    assert_eq!(shutdown["event"]["eventType"], "SHUTDOWN");
    assert!(first(&record.journal, |what| matches!(what, JournalEvent::Subscribed { .. })) > Duration::ZERO);
}

/// "Lambda Telemetry API", destination protocols: over TCP an event is a line.
#[test]
fn telemetry_can_be_lines_over_tcp() {
    let file = fresh_file("tcp");
    let script = "listen_tcp register subscribe_tcp loop:platform.runtimeDone hear:platform.report";
    let sandbox = start(Setup { extensions: vec![listening("a", script, &file)], ..Setup::default() });
    sandbox.invoke(b"{}").unwrap();
    sandbox.shutdown().unwrap();
    let events = received(&file);
    assert_eq!(kinds(&events)[0], "platform.initStart");
    assert_eq!(records(&events, "platform.report").len(), 1);
}

#[test]
fn a_batch_can_be_spoiled() {
    let file = fresh_file("spoiled");
    let sandbox = start(Setup { extensions: vec![listening("a", LISTENER, &file)], ..Setup::default() });
    assert!(sandbox.inject_text("a", "{\"type\": broken"));
    sandbox.invoke(b"{}").unwrap();
    sandbox.shutdown().unwrap();
    let text = std::fs::read_to_string(&file).unwrap();
    let spoiled = |line: &str| serde_json::from_str::<serde_json::Value>(line).is_err();
    assert_eq!(text.lines().filter(|line| spoiled(line)).count(), 1);
}
