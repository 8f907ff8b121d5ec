use serde_json::json;
use time::OffsetDateTime;

use super::*;
use crate::sandbox::intake::{
    AgentPayload, Distribution, Series, SeriesPoint, Sketch, Span, TraceChunk, TracerPayload,
};

fn request(number: usize, path: &str, payload: Payload) -> Request {
    Request {
        number,
        at: OffsetDateTime::UNIX_EPOCH,
        method: "POST".into(),
        path: path.into(),
        headers: Vec::new(),
        api_key: Some("key".into()),
        encoding: "zstd".into(),
        wire_bytes: 10,
        body_bytes: 100,
        payload,
        answer: RequestOutcome::Status { code: 202, delay_ms: 0 },
        ended: Some(OffsetDateTime::UNIX_EPOCH),
        problems: Vec::new(),
    }
}

fn answered(code: u16, request: Request) -> Request {
    Request { answer: RequestOutcome::Status { code, delay_ms: 0 }, problems: vec!["bad".into()], ..request }
}

fn log(message: &str) -> Value {
    json!({"message": {"message": message, "timestamp": 5, "status": "warn", "lambda": {"request_id": "r1"}}})
}

fn logs_of(messages: &[&str]) -> Payload {
    Payload::Logs(messages.iter().map(|message| log(message)).collect())
}

fn sketch(metric: &str, tags: &[&str], cnt: i64, sum: f64, min: f64, max: f64) -> Sketch {
    let distribution = Distribution { ts: 1, cnt, min, max, avg: 0.0, sum, bins: Vec::new() };
    let tags = tags.iter().map(|tag| (*tag).to_owned()).collect();
    Sketch { metric: metric.into(), host: String::new(), tags, distributions: vec![distribution], origin: None }
}

fn outcome(succeeded: bool) -> Outcome {
    Outcome {
        request_id: "r1".into(),
        attempt: 1,
        succeeded,
        outcome: if succeeded { "success" } else { "timeout" }.into(),
        response: Value::Null,
        answered_ms: 1.0,
        duration_ms: 2.0,
        init_ms: None,
        billed_ms: 2,
        max_memory_mb: 30,
    }
}

/// A run with one invocation whose two lines and whose count have arrived.
fn sound() -> Run {
    Run {
        invocations: vec![outcome(true)],
        printed: vec!["hello".into(), "world".into()],
        requests: vec![
            request(1, "/api/v2/logs", logs_of(&["START RequestId: r1", "hello", "world"])),
            request(2, "/api/beta/sketches", Payload::Sketches(vec![sketch(INVOCATIONS, &[], 1, 1.0, 1.0, 1.0)])),
        ],
        began: vec![InvocationStart { request_id: "r1".into(), at: 0 }],
        expected: ExpectedTelemetry {
            extensions: Extensions::Agent,
            logs: true,
            enhanced_metrics: true,
            ..ExpectedTelemetry::default()
        },
        ..Run::default()
    }
}

#[test]
fn nothing_is_missing_from_a_sound_run() {
    let run_summary = RunSummary::of(&sound());
    assert_eq!((run_summary.verdict, run_summary.missing.is_empty()), (Verdict::Delivered, true));
    let hello = &run_summary.logs[1];
    assert_eq!((hello.timestamp, hello.status.as_str(), hello.message.as_str()), (Some(5), "warn", "hello"));
    assert_eq!(hello.request_id.as_deref(), Some("r1"));
}

#[test]
fn a_shortened_line_is_not_missing() {
    let long = "x".repeat(100);
    let logs = logs_of(&["START RequestId: r1", "hello", "world", &format!("{}{SHORTENED}", &long[..50])]);
    let mut run = sound();
    run.requests[0] = request(1, "/api/v2/logs", logs);
    run.printed.push(long);
    assert!(RunSummary::of(&run).missing.is_empty());
    run.printed.push("y".repeat(100));
    assert_eq!(RunSummary::of(&run).missing.lines.len(), 1);
    run.printed.push("x".repeat(90));
    assert_eq!(RunSummary::of(&run).missing.lines.len(), 2, "one log is no more than one line");
    run.requests[0] = request(1, "/api/v2/logs", logs_of(&["START RequestId: r1", "hello", "world", SHORTENED]));
    assert_eq!(RunSummary::of(&run).missing.lines.len(), 3, "the beginning of every line is none");
}

#[test]
fn what_an_extension_lost_by_other_ways_than_logs_counts_too() {
    let with = |run: Run| RunSummary::of(&run).verdict;
    let datagrams = Some(vec![b"orders:1|c".to_vec()]);
    let expected = ExpectedTelemetry { dogstatsd: Some(String::new()), ..sound().expected };
    let notes = |datagrams| RunSummary::of(&Run { datagrams, expected: expected.clone(), ..sound() }).notes.len();
    assert_eq!(notes(None), notes(datagrams.clone()) + 1, "what was not checked is named");
    assert_eq!(with(Run { datagrams: datagrams.clone(), expected, ..sound() }), Verdict::PayloadLost);
    assert_eq!(with(Run { datagrams, ..sound() }), Verdict::Delivered, "nothing is expected of other extensions");
    assert_eq!(with(Run { drops: vec!["3 logs were dropped".into()], ..sound() }), Verdict::PayloadLost);
    assert_eq!(with(Run { taken_ports: vec!["UDP port 8125".into()], ..sound() }), Verdict::PayloadLost);
}

#[test]
fn metrics_of_one_name_and_different_types_are_different() {
    let count = [sketch("orders", &[], 1, 1.0, 1.0, 1.0), sketch("orders", &["a:b"], 2, 5.0, 2.0, 3.0)].to_vec();
    let point = SeriesPoint { value: 7.0, timestamp: 1 };
    let series = Series {
        metric: "orders".into(),
        kind: Kind::Gauge,
        points: vec![point],
        tags: Vec::new(),
        resources: Vec::new(),
        interval: 0,
        unit: String::new(),
        source_type_name: String::new(),
        origin: None,
    };
    let mut run = sound();
    run.requests.push(request(3, "/api/beta/sketches", Payload::Sketches(count)));
    run.requests.push(request(4, "/api/v2/series", Payload::Series(vec![series])));
    let orders: Vec<_> = RunSummary::of(&run).metrics.into_iter().filter(|metric| metric.name == "orders").collect();
    let kinds: Vec<_> = orders.iter().map(|metric| (metric.kind, metric.sum)).collect();
    assert_eq!(kinds, [("distribution", 6.0), ("gauge", 7.0)]);
}

#[test]
fn a_line_printed_twice_must_arrive_twice() {
    let run = Run { printed: vec!["hello".into(), "hello".into(), String::new()], ..sound() };
    let run_summary = RunSummary::of(&run);
    assert_eq!(run_summary.missing.lines, ["hello"]);
    assert_eq!(run_summary.verdict, Verdict::PayloadLost);
}

#[test]
fn json_lines_are_compared_by_content_without_their_tags() {
    let printed = vec![r#"{"level": "info", "ddtags": "a:b", "n": 1}"#.to_owned()];
    let requests = vec![
        request(1, "/api/v2/logs", logs_of(&[r#"{"level":"info","n":1}"#])),
        request(2, "/api/beta/sketches", Payload::Sketches(vec![sketch(INVOCATIONS, &[], 1, 1.0, 1.0, 1.0)])),
    ];
    assert!(RunSummary::of(&Run { printed, requests, ..sound() }).missing.is_empty());
}

#[test]
fn only_what_the_extension_is_configured_to_send_can_be_missing() {
    let run = Run { requests: Vec::new(), ..sound() };
    let run_summary = RunSummary::of(&run);
    assert_eq!(run_summary.missing.lines.len(), 2);
    assert_eq!(run_summary.missing.invocations, Some(InvocationCountMismatch { invoked: 1, counted: 0.0 }));

    let silent = Run { expected: ExpectedTelemetry::default(), ..run };
    assert_eq!(RunSummary::of(&silent).verdict, Verdict::Delivered);
}

#[test]
fn a_refused_payload_is_lost_and_its_logs_do_not_count() {
    let mut run = sound();
    run.requests[0] = answered(413, run.requests[0].clone());
    let run_summary = RunSummary::of(&run);
    assert_eq!(run_summary.missing.refused.len(), 1);
    assert_eq!(run_summary.missing.refused[0].problems, ["bad"]);
    assert_eq!(run_summary.missing.lines, ["hello", "world"]);
    assert!(run_summary.logs.is_empty());
}

#[test]
fn traffic_that_the_intake_cannot_read_is_listed_and_not_judged() {
    let mut run = sound();
    let unknown = request(3, "/api/v0.2/other", Payload::Unknown { start: String::new() });
    run.requests.push(answered(404, unknown));
    let run_summary = RunSummary::of(&run);
    assert_eq!(run_summary.verdict, Verdict::Delivered);
    let route = run_summary.routes.last().unwrap();
    assert_eq!((route.path.as_str(), route.requests, route.accepted), ("/api/v0.2/other", 1, 0));
}

#[test]
fn traffic_is_added_up_by_path() {
    let mut run = sound();
    run.requests.push(answered(500, request(3, "/api/v2/logs", logs_of(&[]))));
    run.requests.push(answered(500, request(4, "/api/v2/logs", logs_of(&[]))));
    let routes = RunSummary::of(&run).routes;
    assert_eq!(routes.len(), 2);
    assert_eq!((routes[0].requests, routes[0].accepted, routes[0].wire_bytes, routes[0].body_bytes), (3, 1, 30, 300));
    assert_eq!(routes[0].problems["bad"], 2);
}

#[test]
fn points_of_a_metric_are_added_up() {
    let series = Series {
        metric: "orders".into(),
        kind: Kind::Count,
        points: vec![SeriesPoint { timestamp: 1, value: 2.0 }, SeriesPoint { timestamp: 11, value: 3.0 }],
        tags: vec!["env:dev".into()],
        resources: Vec::new(),
        interval: 10,
        unit: String::new(),
        source_type_name: String::new(),
        origin: None,
    };
    let sketches = vec![
        sketch("latency", &["env:dev", "route:a"], 2, 11.0, 1.0, 10.0),
        sketch("latency", &["env:dev", "route:b"], 1, 0.5, 0.5, 0.5),
    ];
    let requests = vec![
        request(1, "/api/v2/series", Payload::Series(vec![series])),
        request(2, "/api/beta/sketches", Payload::Sketches(sketches)),
    ];
    let metrics = RunSummary::of(&Run { requests, ..Run::default() }).metrics;
    let numbers = |metric: &Metric| (metric.count, metric.sum.to_bits(), metric.min.to_bits(), metric.max.to_bits());
    assert_eq!((metrics[0].name.as_str(), metrics[0].kind, metrics[0].tags.len()), ("latency", "distribution", 3));
    assert_eq!(numbers(&metrics[0]), (3, 11.5_f64.to_bits(), 0.5_f64.to_bits(), 10.0_f64.to_bits()));
    assert_eq!((metrics[1].name.as_str(), metrics[1].kind), ("orders", "count"));
    assert_eq!(numbers(&metrics[1]), (2, 5.0_f64.to_bits(), 2.0_f64.to_bits(), 3.0_f64.to_bits()));
}

#[test]
fn the_verdict_names_the_cause_before_its_consequences() {
    let lossy = Run { requests: Vec::new(), ..sound() };
    assert_eq!(RunSummary::of(&lossy).verdict, Verdict::PayloadLost);
    let failed = Run { invocations: vec![outcome(false)], ..lossy };
    assert_eq!(RunSummary::of(&failed).verdict, Verdict::FunctionFailed);
    let crashed = Run { crash: Some("exit status: 1".into()), ..failed };
    assert_eq!(RunSummary::of(&crashed).verdict, Verdict::ExtensionCrashed);
    let interrupted = Run { interrupted: true, ..crashed };
    assert_eq!(RunSummary::of(&interrupted).verdict, Verdict::Interrupted);
    let lossy = Run { interrupted: true, requests: Vec::new(), ..sound() };
    assert!(RunSummary::of(&lossy).missing.is_empty(), "what has not been sent yet is not lost");
    let shared = Run { network_refusal: Some("EPERM".into()), ..sound() };
    assert_eq!(RunSummary::of(&shared).verdict, Verdict::NotIsolated);
}

#[test]
fn an_asynchronous_event_fails_with_its_last_attempt() {
    let attempt = |attempt, succeeded| Outcome { attempt, ..outcome(succeeded) };
    let verdict = |invocations| RunSummary::of(&Run { invocations, ..sound() }).verdict;
    assert_eq!(verdict(vec![attempt(1, false), attempt(2, false), attempt(3, true)]), Verdict::Delivered);
    assert_eq!(verdict(vec![attempt(1, false), attempt(2, false), attempt(3, false)]), Verdict::FunctionFailed);
    let other = Outcome { request_id: "r2".into(), ..outcome(false) };
    assert_eq!(verdict(vec![attempt(1, false), attempt(2, true), other]), Verdict::FunctionFailed);
}

#[test]
fn logs_are_with_the_spans_whose_ids_they_carry() {
    let span = Span { trace_id: 7, span_id: 42, start: 5_000_000, ..Span::default() };
    let chunk = TraceChunk { spans: vec![span], ..TraceChunk::default() };
    let tracer = TracerPayload { chunks: vec![chunk], ..TracerPayload::default() };
    let traces = AgentPayload { tracer_payloads: vec![tracer], ..AgentPayload::default() };
    let requests = vec![
        request(1, "/api/v2/logs", logs_of(&["[dd.trace_id=7 dd.span_id=42] hello", "[dd.span_id=43] other", "world"])),
        request(2, "/api/v0.2/traces", Payload::Traces(traces)),
    ];
    let run_summary = RunSummary::of(&Run { requests, ..sound() });
    let [span] = &run_summary.traces[0].spans[..] else { panic!("one span") };
    let messages: Vec<&str> = span.logs.iter().map(|log| log.message.as_str()).collect();
    assert_eq!(messages, ["[dd.trace_id=7 dd.span_id=42] hello"]);
    assert_eq!((run_summary.logs.len(), run_summary.traces[0].starts_ms), (3, Some(5.0)));
}
