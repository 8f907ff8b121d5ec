use std::collections::BTreeMap;

use super::*;
use crate::invoke::run_summary::{Exit, Gate, InvocationCountMismatch, Log, Outcome, RejectedPayload, RouteStats};
use crate::invoke::traces::{Trace, TraceSpan};

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
        missing: Missing {
            lines: vec!["lost\tline".into()],
            invocations: Some(InvocationCountMismatch { invoked: 2, counted: 1.0 }),
            refused: vec![RejectedPayload {
                number: 7,
                path: "/api/v2/logs".into(),
                answer: Answered::Status { code: 403, delay_ms: 0 },
                problems: vec!["the API key is blank".into()],
            }],
        },
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
fn every_part_of_the_account_is_told() {
    let text = render(&run_summary(), Page { width: 120, colours: false });
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
        "Something is missing at the intake.",
    ] {
        assert!(text.contains(part), "{part} is not in\n{text}");
    }
    assert!(!text.contains('\u{1b}'));
    assert!(render(&run_summary(), Page { width: 90, colours: true }).contains('\u{1b}'));
}

#[test]
fn rows_are_cut_to_the_width_of_the_page() {
    let text = render(&run_summary(), Page { width: 60, colours: false });
    let row = text.lines().find(|line| line.contains("xxx")).unwrap();
    assert!(row.ends_with('…') && measure_text_width(row) == 60, "{row}");
}

#[test]
fn numbers_are_short_and_still_tell_small_ones_apart() {
    let values = [3.0, 0.125, 4.083_34e-7, 1_234.56, f64::INFINITY];
    assert_eq!(values.map(number), ["3", "0.1250", "4.08334e-7", "1234.6", "-"]);
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
    let spans = vec![span(0, "shop.order", Vec::new()), span(1, "shop.price", vec![log])];
    let trace = Trace { trace_id: "1".into(), request_id: None, starts_ms: Some(30.0), spans };
    let text = render(&RunSummary { traces: vec![trace], ..run_summary() }, Page { width: 120, colours: false });
    let tree = "  shop.order    shop     32.5 ms  7.0 ms  -      POST /orders\n    shop.price  shop     32.5 ms  7.0 ms  -      POST /orders\n      \
                log       -              -       -  warn   two items\n";
    assert!(text.contains(tree), "{text}");
}
