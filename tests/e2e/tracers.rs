//! Real tracers in real functions: what they say they have sent, and what arrives.

use std::{collections::BTreeMap, time::Duration};

use matrix::sandbox::{Function, Setup, intake::Payload, intake::Span};
use serde::Deserialize;

use crate::{
    node::node_through,
    support::{Life, TRACED_PYTHON, live, python_through, setup_with},
};

/// What stands before a span in the lines of these functions.
const SENT: &str = "sent ";
/// The spans of every invocation beside that of the invocation itself.
const OPERATIONS: [&str; 3] = ["shop.order", "shop.price", "shop.stock"];
/// The tracer's stand-in for the span of the invocation, where the extension makes that.
const PLACEHOLDER: &str = "dd-tracer-serverless-span";

/// Prints every span when the tracer has it ready to be sent.
const PYTHON: &str = r#"
import json
import os
import time

from datadog_lambda.metric import lambda_metric
from ddtrace import tracer
from ddtrace.trace import TraceFilter

if "DD_PROFILING_ENABLED" in os.environ:
    from ddtrace.profiling.scheduler import ServerlessScheduler

    # Of a second each: usually it takes a minute of a function's time until there is a profile.
    ServerlessScheduler.FLUSH_AFTER_INTERVALS = 1.0


class Sent(TraceFilter):
    def process_trace(self, trace):
        for span in trace:
            print("sent " + json.dumps({
                "trace_id": str(span.trace_id & (2**64 - 1)),
                "span_id": str(span.span_id),
                "parent_id": str(span.parent_id or 0),
                "name": span.name,
                "service": span.service or "",
                "resource": span.resource,
                "type": span.span_type or "",
                "start": str(span.start_ns),
                "duration": str(span.duration_ns),
                "error": span.error,
            }), flush=True)
        return trace


tracer.configure(trace_processors=[Sent()])


def busy(seconds):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        sum(range(1000))


def handler(event, context):
    with tracer.trace("shop.order", service="shop", resource="POST /orders", span_type="web"):
        with tracer.trace("shop.price", service="shop", resource="price of an order") as span:
            span.set_tag("shop.items", "2")
            lambda_metric("shop.orders", 2, tags=["store:berlin"])
            busy(float(os.environ.get("BUSY_SECONDS", "0")))
        try:
            with tracer.trace("shop.stock", service="shop"):
                raise KeyError("cup")
        except KeyError:
            pass
    return event
"#;

const NODE: &str = r#"
const tracer = require("dd-trace");
const { sendDistributionMetric } = require("datadog-lambda-js");

// What the tracer has ready to be sent goes through here.
const exporter = tracer._tracer._processor._exporter;
const send = exporter.export.bind(exporter);
exporter.export = (spans) => {
    for (const span of spans) {
        console.log("sent " + JSON.stringify({
            trace_id: span.trace_id.toString(10),
            span_id: span.span_id.toString(10),
            parent_id: span.parent_id.toString(10),
            name: span.name,
            service: span.service,
            resource: span.resource,
            type: span.type ?? "",
            // As an integer of 64 bits, which is what is sent.
            start: BigInt(span.start).toString(),
            duration: BigInt(span.duration).toString(),
            error: span.error,
        }));
    }
    return send(spans);
};

exports.handler = async (event) => {
    await tracer.trace("shop.order", { service: "shop", resource: "POST /orders", type: "web" }, async () => {
        tracer.trace("shop.price", { service: "shop", resource: "price of an order" }, (span) => {
            span.setTag("shop.items", "2");
            sendDistributionMetric("shop.orders", 2, "store:berlin");
        });
        try {
            tracer.trace("shop.stock", { service: "shop" }, () => { throw new Error("cup"); });
        } catch {}
    });
    return event;
};
"#;

/// A span as the tracer has it; ids are decimal.
#[derive(Debug, Deserialize)]
struct SentSpan {
    trace_id: String,
    span_id: String,
    parent_id: String,
    name: String,
    service: String,
    resource: String,
    #[serde(rename = "type")]
    kind: String,
    /// Nanoseconds since the epoch.
    start: String,
    /// Nanoseconds.
    duration: String,
    error: i32,
}

fn python(directory: &tempfile::TempDir) -> Function {
    std::fs::write(directory.path().join("requirements.txt"), TRACED_PYTHON).unwrap();
    python_through(directory, PYTHON, "datadog_lambda.handler.handler")
}

fn node(directory: &tempfile::TempDir) -> Function {
    node_through(directory, NODE, "node_modules/datadog-lambda-js/dist/handler.handler")
}

fn traced(function: Function, variables: &[(&str, &str)], times: usize) -> Life {
    let own = [
        ("DD_LAMBDA_HANDLER", "function.handler"),
        ("DD_SERVERLESS_FLUSH_STRATEGY", "end"),
        ("DD_COLD_START_TRACING", "false"),
    ];
    let setup = setup_with(function, &[&own, variables].concat());
    // Importing a tracer takes seconds on a loaded machine.
    let life = live(Setup { timeout: Duration::from_mins(1), ..setup }, times);
    life.assert_unharmed();
    life.assert_no_problems();
    life
}

/// The spans that the function says its tracer has sent.
fn sent(life: &Life) -> Vec<SentSpan> {
    let lines = life.ending.output.iter().map(|line| String::from_utf8_lossy(&line.bytes).into_owned());
    let spans = lines.filter_map(|line| Some(serde_json::from_str(line.split_once(SENT)?.1).unwrap()));
    spans.filter(|span: &SentSpan| span.resource != PLACEHOLDER).collect()
}

/// Every span that the tracer has sent arrives once, as it was, and in every invocation there are those of its operations.
fn assert_arrived(life: &Life, times: usize) {
    let sent = sent(life);
    let mut arrived: BTreeMap<String, Vec<Span>> = BTreeMap::new();
    for span in life.intake.spans() {
        arrived.entry(span.span_id.to_string()).or_default().push(span);
    }
    for span in &sent {
        let [found] = arrived.get(&span.span_id).map(Vec::as_slice).unwrap_or_default() else {
            panic!("{span:?} arrived as {:?}\n{}", arrived.get(&span.span_id), life.own_lines());
        };
        let ids = [found.trace_id, found.parent_id].map(|id| id.to_string());
        let times = [found.start, found.duration].map(|time| time.to_string());
        assert_eq!(
            (ids, times),
            ([span.trace_id.clone(), span.parent_id.clone()], [span.start.clone(), span.duration.clone()])
        );
        assert_eq!(found.error, span.error, "{span:?}");
        if OPERATIONS.contains(&span.name.as_str()) {
            let texts = [&found.name, &found.service, &found.resource, &found.kind];
            assert_eq!(texts, [&span.name, &span.service, &span.resource, &span.kind]);
            assert_eq!(found.meta["functionname"], "function");
        }
        assert_eq!(found.meta.contains_key("shop.items"), span.name == "shop.price", "{found:?}");
    }
    for operation in OPERATIONS {
        assert_eq!(sent.iter().filter(|span| span.name == operation).count(), times, "{operation}: {sent:?}");
    }
}

/// The statistics count what the tracer has sent.
fn assert_counted(life: &Life, times: u64) {
    let count = |resource: &str| {
        let all = life.intake.stats();
        let groups: Vec<_> = all.into_iter().filter(|group| group.resource == resource).collect();
        (groups.iter().map(|group| group.hits).sum::<u64>(), groups.iter().map(|group| group.errors).sum::<u64>())
    };
    assert_eq!(count("POST /orders"), (times, 0), "{:?}", life.intake.stats());
    let orders: f64 = life.intake.points("shop.orders").iter().map(|point| point.sum).sum();
    assert!(
        (orders - 2.0 * f64::from(u32::try_from(times).unwrap())).abs() < 1e-9,
        "DogStatsD beside the tracer: {orders}"
    );
}

#[test]
fn spans_of_ddtrace_arrive_as_it_has_sent_them() {
    let directory = tempfile::tempdir().unwrap();
    let life = traced(python(&directory), &[("DD_LAMBDA_EXTENSION_COMPUTE_STATS", "true")], 3);
    assert_arrived(&life, 3);
    assert_counted(&life, 3);
}

#[test]
fn spans_of_dd_trace_js_arrive_as_it_has_sent_them() {
    let directory = tempfile::tempdir().unwrap();
    let life = traced(node(&directory), &[("DD_LAMBDA_EXTENSION_COMPUTE_STATS", "true")], 3);
    assert_arrived(&life, 3);
    assert_counted(&life, 3);
}

/// The function works for long enough to have a profile before it ends.
#[test]
fn a_profile_of_ddtrace_arrives_with_its_samples() {
    let directory = tempfile::tempdir().unwrap();
    let variables = [("DD_PROFILING_ENABLED", "true"), ("BUSY_SECONDS", "4")];
    let life = traced(python(&directory), &variables, 1);
    let profiles: Vec<_> = life.ending.requests.iter().filter(|request| request.path == "/api/v2/profile").collect();
    let body = |payload: &Payload| match payload {
        Payload::Proxied(body) => body.clone(),
        other => panic!("{other:?}"),
    };
    assert!(!profiles.is_empty(), "{}", life.own_lines());
    for profile in profiles {
        let body = body(&profile.payload);
        let part = |name: &str| body.parts.iter().find(|part| part.name == name || part.file_name == name);
        let event = part("event").and_then(|part| part.json.clone()).unwrap_or_else(|| panic!("{body:?}"));
        assert_eq!(event["family"], "python", "{event}");
        assert!(event["internal"]["sample_count"].as_u64().unwrap() > 0, "{event}");
        let tags = event["tags_profiler"].as_str().unwrap();
        // The same process as that of the spans, and the function that the profiler says it is in.
        let runtime_id = life.intake.spans().iter().find_map(|span| span.meta.get("runtime-id").cloned()).unwrap();
        let runtime_id = format!("runtime-id:{runtime_id}");
        for tag in [runtime_id.as_str(), "functionname:function"] {
            assert!(tags.split(',').any(|known| known == tag), "{tag} in {tags}");
        }
        for attachment in event["attachments"].as_array().unwrap() {
            let attached = part(attachment.as_str().unwrap()).unwrap_or_else(|| panic!("{attachment} in {body:?}"));
            assert!(attached.bytes > 0, "{body:?}");
        }
        assert!(profile.header("dd-api-key").is_some() && profile.delivered());
    }
    assert_arrived(&life, 1);
}
