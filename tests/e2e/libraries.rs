//! Datadog's own libraries for functions, as customers put them around their handlers.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use matrix::sandbox::{
    Function, Setup,
    function::HandlerOutcome,
    intake::{Point, Span},
    setup::Initialization,
    tracer,
};

use crate::{
    invocation_spans::{span_of, spans, tag},
    node::node_through,
    support::{Run, TRACED_PYTHON, python_through, request_id, run_sandbox, setup_with, text},
    traces,
};

const PYTHON: &str = r#"
import logging
from datadog_lambda.metric import lambda_metric

def handler(event, context):
    logging.getLogger().warning("order %s", event)
    lambda_metric("shop.orders", 2, tags=["store:berlin"])
    return event
"#;

const NODE: &str = r#"
const { sendDistributionMetric, sendDistributionMetricWithDate } = require("datadog-lambda-js");

exports.handler = async (event) => {
    console.log(`order ${event}`);
    sendDistributionMetric("shop.orders", 2, "store:berlin");
    sendDistributionMetricWithDate("shop.late", 3, new Date(Number(process.env.ORDERED_AT) * 1000), "store:berlin");
    return event;
};
"#;

/// Three invocations of a function that prints `order <event>` and counts two orders in each, behind a handler of a library's.
fn behind_library(function: Function, variables: &[(&str, &str)]) -> Run {
    let own = [("DD_LAMBDA_HANDLER", "function.handler"), ("DD_SERVERLESS_FLUSH_STRATEGY", "end")];
    let setup = setup_with(function, &[&own, variables].concat());
    run_sandbox(Setup { timeout: Duration::from_secs(30), ..setup }, 3)
}

/// The sum of a metric of the function's, of which every point has its own tags and those of the function.
fn sum(run: &Run, metric: &str) -> f64 {
    let points = run.intake.points(metric);
    for tag in ["store:berlin", "functionname:function"] {
        assert!(points.iter().all(|point| point.tags.contains(&tag.to_owned())), "{tag} in {points:?}");
    }
    points.iter().map(|point| point.sum).sum()
}

fn assert_counted_once(run: &Run) {
    run.assert_unharmed();
    assert!((sum(run, "shop.orders") - 6.0).abs() < 1e-9, "{}", run.own_lines());
    assert_eq!(run.count("invocations"), 3, "the library counts them too\n{}", run.own_lines());
    assert_eq!(run.count("errors"), 0);
    for (number, invocation) in run.invocations.iter().enumerate() {
        let logs = run.intake.logs();
        let line = logs.iter().find(|log| text(log).contains(&format!("order {number}")));
        assert_eq!(line.and_then(request_id), Some(invocation.request_id.as_str()), "{:?}", run.messages());
    }
}

/// With the tracer and without it.
#[test]
fn a_function_wrapped_by_datadog_lambda_is_counted_once_and_its_metrics_arrive() {
    for variables in [&[("DD_TRACE_ENABLED", "false")][..], &[]] {
        let directory = tempfile::tempdir().unwrap();
        std::fs::write(directory.path().join("requirements.txt"), TRACED_PYTHON).unwrap();
        let function = python_through(&directory, PYTHON, "datadog_lambda.handler.handler");
        assert_counted_once(&behind_library(function, variables));
    }
}

/// Without the tracer.
#[test]
fn a_function_wrapped_by_datadog_lambda_js_is_counted_once_and_its_metrics_arrive() {
    let directory = tempfile::tempdir().unwrap();
    let function = node_through(&directory, NODE, "node_modules/datadog-lambda-js/dist/handler.handler");
    // Older ones than of four hours ago are not sent by the library.
    let an_hour_ago = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs() - 3600;
    let variables = [("DD_TRACE_ENABLED", "false"), ("ORDERED_AT", &an_hour_ago.to_string())];
    let run = behind_library(function, &variables);
    assert_counted_once(&run);
    assert!((sum(&run, "shop.late") - 9.0).abs() < 1e-9, "{}", run.own_lines());
    let moments: Vec<i64> = run.intake.points("shop.late").iter().map(|Point { ts, .. }| *ts / 10).collect();
    let ordered = i64::try_from(an_hour_ago).unwrap() / 10;
    assert!(moments.iter().all(|moment| *moment == ordered), "{moments:?}");
}

/// What a library does that builds the span of the invocation itself, by its documented sequence of calls: it sends all spans at the end, in the first invocation
/// also that of loading the handler.
#[derive(Clone, Copy, Debug)]
struct Library {
    path: &'static str,
    encode: fn(&[Vec<Span>]) -> Vec<u8>,
}

const PYTHON_LIBRARY: Library = Library { path: "/v0.5/traces", encode: tracer::v05 };
const NODE_LIBRARY: Library = Library { path: "/v0.4/traces", encode: tracer::v04 };

impl Library {
    fn wrapped(self) -> Function {
        Function::from_fn(move |call| {
            let number: u64 = std::str::from_utf8(call.event).unwrap().parse().unwrap();
            let mut lambda = span_of(number, "aws.lambda", [100 + number, 0]);
            lambda.meta.insert("request_id".to_owned(), call.request_id.to_owned());
            let handler = span_of(number, "handler", [200 + number, 100 + number]);
            let load = (number == 0).then(|| span_of(number, "aws.lambda.load", [300, 100]));
            let trace: Vec<_> = [lambda, handler].into_iter().chain(load).collect();
            assert_eq!(traces::post(self.path, &[], &(self.encode)(&[trace])).status, 200);
            HandlerOutcome::Response(b"null".to_vec())
        })
    }
}

/// The spans of a library arrive as they are, with the load span below that of the cold start where there is one.
fn assert_spans_of_library(run: &Run, has_cold_start: bool) {
    let lambdas = spans(run, "aws.lambda");
    let ids: Vec<_> = lambdas.iter().map(|span| (span.trace_id, span.span_id, tag(span, "request_id"))).collect();
    let invoked = (0..).zip(&run.invocations);
    let expected: Vec<_> = invoked.map(|(number, it)| (50 + number, 100 + number, Some(&*it.request_id))).collect();
    assert_eq!(ids, expected, "{}", run.own_lines());
    let handlers: Vec<_> = spans(run, "handler").iter().map(|span| span.parent_id).collect();
    assert_eq!(handlers, lambdas.iter().map(|span| span.span_id).collect::<Vec<_>>());
    let starts: Vec<_> = spans(run, "aws.lambda.cold_start").iter().map(|it| (it.trace_id, it.span_id)).collect();
    let [load] = &spans(run, "aws.lambda.load")[..] else { panic!("{}", run.own_lines()) };
    if has_cold_start {
        assert_eq!(starts, [(50, load.parent_id)]);
    } else {
        assert_eq!((starts.len(), load.parent_id), (0, 100), "there was nobody to wait for it");
    }
}

/// In those kinds that Lambda offers for the language.
#[test]
fn invocation_spans_of_libraries_arrive_from_every_kind_of_sandbox() {
    let (python, both) = ([PYTHON_LIBRARY], [PYTHON_LIBRARY, NODE_LIBRARY]);
    for (initialization, libraries, is_durable, has_cold_start) in [
        (Initialization::ProvisionedConcurrency, &both[..], false, true),
        (Initialization::SnapStart, &python, false, false),
        (Initialization::ManagedInstances, &both, false, false),
        (Initialization::OnDemand, &both, true, true),
    ] {
        for &library in libraries {
            let runtime_version = is_durable.then(|| crate::durable::RUNTIME.to_owned());
            let setup = Setup { initialization, runtime_version, ..traces::with(library.wrapped(), &[]) };
            let Some(run) = traces::run_sandbox(setup, 2) else { return };
            assert_spans_of_library(&run, has_cold_start);
        }
    }
}
