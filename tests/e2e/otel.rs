//! OpenTelemetry's SDKs in real functions: what they say they have sent over OTLP, and what arrives although the intake fails twice.

use std::{collections::BTreeSet, path::Path, time::Duration};

use bottlecap::features::OTLP;
use matrix::sandbox::{Function, Setup, intake::Route};

use crate::{
    node::node_with,
    support::{python_through, run_sandbox, setup_with},
    tracers::{OPERATIONS, sent},
    traces::failing_twice,
};

const PYTHON: &str = include_str!("otel/function.py");
const NODE: &str = include_str!("otel/function.js");
const REQUIREMENTS: &str = include_str!("otel/requirements.txt");

/// Lets a function send its spans over one protocol after the other. Every span of the SDK arrives once, with its ids, times, error and attributes.
fn assert_arrives(function: Function, protocols: &[&str]) {
    let variables = [
        ("DD_SERVERLESS_FLUSH_STRATEGY", "end"),
        ("DD_OTLP_CONFIG_RECEIVER_PROTOCOLS_HTTP_ENDPOINT", "localhost:4318"),
        ("DD_OTLP_CONFIG_RECEIVER_PROTOCOLS_GRPC_ENDPOINT", "localhost:4317"),
    ];
    let setup = setup_with(function, &variables);
    // Importing the SDK and its exporters takes seconds on a loaded machine.
    let setup = Setup { timeout: Duration::from_mins(1), intake: Some(failing_twice(Route::Traces)), ..setup };
    let run = run_sandbox(setup, protocols.len());
    run.assert_unharmed();
    run.assert_no_problems();
    let (sent, arrived) = (sent(&run), run.intake.spans());
    let mut arrived_over = BTreeSet::new();
    for span in &sent {
        let found: Vec<_> = arrived.iter().filter(|found| found.span_id.to_string() == span.span_id).collect();
        let [found] = found[..] else { panic!("{span:?} arrived as {found:?}\n{}", run.own_lines()) };
        let ids = [found.trace_id, found.parent_id].map(|id| id.to_string());
        assert_eq!(ids, [span.trace_id.as_str(), span.parent_id.as_str()], "{span:?}");
        let times = [found.start, found.duration].map(|time| time.to_string());
        assert_eq!(times, [span.start.as_str(), span.duration.as_str()], "{span:?}");
        assert_eq!((found.error, found.service.as_str()), (span.error, "shop"), "{span:?}");
        // The name of the operation is the kind's; that of the span is the resource.
        assert_eq!(found.resource, span.name, "{found:?}");
        assert_eq!(found.metrics.contains_key("shop.items"), span.name == "shop.price", "{found:?}");
        arrived_over.insert(found.meta["shop.protocol"].as_str());
    }
    assert_eq!(arrived_over, protocols.iter().copied().collect());
    for operation in OPERATIONS {
        let times = sent.iter().filter(|span| span.name == operation).count();
        assert_eq!(times, protocols.len(), "{operation}: {sent:?}");
    }
}

#[test]
fn spans_of_opentelemetry_in_python_arrive_once_after_two_failures() {
    if !OTLP {
        eprintln!("not tested: this build has no receiver for OTLP");
        return;
    }
    let directory = tempfile::tempdir().unwrap();
    std::fs::write(directory.path().join("requirements.txt"), REQUIREMENTS).unwrap();
    assert_arrives(python_through(&directory, PYTHON, "function.handler"), &["http", "grpc"]);
}

#[test]
fn spans_of_opentelemetry_in_node_arrive_once_after_two_failures() {
    if !OTLP {
        eprintln!("not tested: this build has no receiver for OTLP");
        return;
    }
    let directory = tempfile::tempdir().unwrap();
    let function = node_with(Path::new("tests/e2e/otel"), &directory, NODE, "function.handler");
    assert_arrives(function, &["http", "json", "grpc"]);
}
