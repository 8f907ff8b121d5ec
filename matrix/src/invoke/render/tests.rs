use std::collections::BTreeMap;

use super::*;
use crate::invoke::run_summary::{Exit, Gate, InvocationCountMismatch, Log, Outcome, RejectedPayload, RouteStats};
use crate::invoke::security::SecurityEvent;
use crate::invoke::traces::{Trace, TraceSpan};

fn page(width: usize, colours: bool) -> Page {
    Page { width, colours, all_logs: false, tags: false, logs: true, enhanced: true, brief: false }
}

fn run_summary() -> RunSummary {
    RunSummary {
        verdict: Verdict::PayloadLost,
        invocations: vec![Outcome {
            request_id: "8f0c2f0e-1111-2222-3333-444444444444".into(),
            attempt: 1,
            succeeded: true,
            outcome: "success".into(),
            response: Value::String("all\nwell".into()),
            answered_ms: 12.34,
            duration_ms: 20.0,
            init_ms: Some(101.5),
            billed_ms: 122,
            max_memory_mb: 40,
        }],
        gates: vec![Gate { extension: "bottlecap".into(), registered_ms: Some(1.25), ready_ms: None }],
        routes: vec![RouteStats {
            path: "/api/v2/logs".into(),
            requests: 2,
            accepted: 1,
            wire_bytes: 10,
            body_bytes: 100,
            problems: BTreeMap::from([("the API key is blank".into(), 2)]),
        }],
        logs: vec![Log {
            timestamp: Some(1_700_000_000_123),
            status: "info".into(),
            request_id: None,
            span_id: None,
            message: "x".repeat(300),
        }],
        metrics: Vec::new(),
        traces: Vec::new(),
        operations: Vec::new(),
        missing: MissingDeliveries {
            lines: vec!["lost\tline".into()],
            invocations: Some(InvocationCountMismatch { invoked: 2, counted: 1.0 }),
            refused: vec![RejectedPayload {
                number: 7,
                path: "/api/v2/logs".into(),
                answer: RequestOutcome::Status { code: 403, delay_ms: 0 },
                problems: vec!["the API key is blank".into()],
            }],
            ..MissingDeliveries::default()
        },
        extensions: Extensions::Agent,
        not_isolated: vec!["processes", "CPU"],
        crash: None,
        exits: vec![Exit {
            extension: "bottlecap".into(),
            status: "exit status: 0".into(),
            killed: false,
            took_ms: 9.0,
        }],
        notes: vec!["the network is shared".into()],
    }
}

#[test]
fn no_cell_of_a_table_is_a_command_to_the_terminal() {
    let mut run_summary = run_summary();
    run_summary.invocations[0].succeeded = false;
    run_summary.invocations[0].outcome = "error \u{1b}[2JEverything".into();
    run_summary.invocations[0].response = serde_json::json!(["\u{9b}31m \u{202e}"]);
    run_summary.verdict = Verdict::FunctionFailed;
    for brief in [false, true] {
        let text = render(&run_summary, Page { brief, ..page(200, false) });
        let is_safe = |letter: char| letter == '\n' || !(letter.is_control() || letter == '\u{202e}');
        assert!(text.chars().all(is_safe), "{text:?}");
        assert!(text.contains("[2JEverything"), "{text}");
    }
}

#[test]
fn summary_has_every_part() {
    let text = render(&run_summary(), page(120, false));
    for part in [
        "8f0c2f0e  success",
        "101.5 ms   12.3 ms  20.0 ms  122 ms   40 MB  all well",
        "bottlecap  9.0 ms  exit status: 0",
        "the network is shared",
        "bottlecap      1.2 ms  never",
        "/api/v2/logs: the API key is blank (2 times)",
        "22:13:20.123  info",
        "Metrics\n  none",
        "no log arrived for the line: lost line",
        "2 invocations, but aws.lambda.enhanced.invocations adds up to 1",
        "request 7 to /api/v2/logs was refused with 403: the API key is blank",
        "Something is missing at the intake. Not isolated from this machine: processes, CPU.",
    ] {
        assert!(text.contains(part), "{part} is not in\n{text}");
    }
    assert!(!text.contains('\u{1b}'));
    assert!(render(&run_summary(), page(90, true)).contains('\u{1b}'));
}

#[test]
fn rows_are_cut_to_the_width_of_the_page_and_logs_are_wrapped() {
    let text = render(&run_summary(), page(60, false));
    assert!(
        text.lines().take_while(|line| !line.starts_with("Missing")).all(|line| measure_text_width(line) <= 60),
        "{text}"
    );
    let all = text.lines().filter(|line| line.contains("xxx")).map(|line| line.matches('x').count()).sum::<usize>();
    assert_eq!(all, 300, "all of the log is there: {text}");
}

#[test]
fn logs_are_grouped_by_invocation_and_in_the_order_of_time() {
    let log = |request_id: &str, timestamp, message: &str| Log {
        timestamp: Some(timestamp),
        status: "info".into(),
        request_id: Some(request_id.into()),
        span_id: None,
        message: message.into(),
    };
    let mut summary = run_summary();
    summary.logs = vec![log("a", 2, "second"), log("b", 3, "third"), log("a", 1, "Error: x\rTraceback:\u{1b}[2J")];
    let text = render(&summary, page(120, false));
    let order = ["of a", "Error: x", "Traceback:\\u{1b}[2J", "second", "of b", "third"];
    let places: Vec<_> = order.iter().map(|part| text.find(part).unwrap_or_else(|| panic!("{part}: {text}"))).collect();
    assert!(places.is_sorted(), "{text}");
}

#[test]
fn many_logs_are_shown_only_if_that_is_wanted() {
    let mut summary = run_summary();
    summary.logs = (0..50)
        .map(|number| Log { timestamp: Some(number), message: format!("line {number}"), ..summary.logs[0].clone() })
        .collect();
    let text = render(&summary, page(120, false));
    assert!(text.contains("line 39") && !text.contains("line 40") && text.contains("10 more lines"), "{text}");
    let text = render(&summary, Page { all_logs: true, ..page(120, false) });
    assert!(text.contains("line 49") && !text.contains("more lines"), "{text}");
}

#[test]
fn numbers_are_short_and_distinguish_small_values() {
    let values = [3.0, 0.125, 4.083_34e-7, 1_234.56, f64::INFINITY, -0.0];
    assert_eq!(values.map(number), ["3", "0.1250", "4.08334e-7", "1234.6", "-", "0"]);
    assert_eq!(milliseconds(-0.01), "0.0 ms");
}

#[test]
fn spans_start_relative_to_the_invocation_and_their_logs_are_below_them() {
    let log = Log {
        timestamp: None,
        status: "warn".into(),
        request_id: None,
        span_id: Some("2".into()),
        message: "two items".into(),
    };
    let span = |depth, name: &str, logs| TraceSpan {
        depth,
        name: name.into(),
        service: "shop".into(),
        resource: "POST /orders".into(),
        starts_ms: 2.5,
        duration_ms: 7.0,
        logs,
        ..TraceSpan::default()
    };
    let event = SecurityEvent {
        rule: "crs-942-100".into(),
        name: "SQL injection".into(),
        kind: "sql_injection".into(),
        address: "server.request.query".into(),
        path: vec!["q".into()],
        value: "1' OR\n'1'='1".into(),
    };
    let order = TraceSpan { security_events: vec![event], ..span(0, "shop.order", Vec::new()) };
    let spans = vec![order, span(1, "shop.price", vec![log])];
    let trace = Trace { trace_id: "1".into(), request_id: None, starts_ms: Some(30.0), spans };
    let text = render(&RunSummary { traces: vec![trace], ..run_summary() }, page(120, false));
    let [gap, found] = ["         ", "sql_injection  crs-942-100 SQL injection: server.request.query.q: 1' OR '1'='1"];
    for row in [
        "  shop.order    shop     32.5 ms  7.0 ms  -              POST /orders\n".to_owned(),
        format!("    attack      -     {gap}-       -  {found}\n"),
        "    shop.price  shop     32.5 ms  7.0 ms  -              POST /orders\n".to_owned(),
        format!("      log       -     {gap}-       -  warn           two items\n"),
    ] {
        assert!(text.contains(&row), "{row:?} is not in {text}");
    }
}
