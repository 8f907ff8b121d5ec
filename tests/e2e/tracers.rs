//! Real tracers in real functions: what they say they have sent, and what arrives although the intake fails twice.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use matrix::sandbox::{
    Function, Setup,
    intake::{Payload, Plan, ProxiedBody, Request, Route, Rule, Span},
};
use serde::Deserialize;

use crate::{
    node::node_through,
    support::{Run, TRACED_PYTHON, python_through, run_sandbox, setup_with},
    traces::failing_twice,
};

/// What stands before a span in the lines of these functions.
const SENT: &str = "sent ";
/// The spans of every invocation beside that of the invocation itself.
pub const OPERATIONS: [&str; 3] = ["shop.order", "shop.price", "shop.stock"];
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


def send_products():
    from ddtrace.data_streams import data_streams_processor, set_produce_checkpoint
    from ddtrace.llmobs import LLMObs

    with LLMObs.task(name="shop.advice") as span:
        LLMObs.annotate(output_data="tea")
        advice = LLMObs.export_span(span)
    LLMObs.submit_evaluation(label="taste", metric_type="score", value=0.5, span=advice)
    set_produce_checkpoint("kinesis", "shop-orders", lambda key, value: None)
    data_streams_processor().periodic()


def handler(event, context):
    # What the tracer has counted in an invocation leaves in the next one.
    if event > 0 and "BUSY_SECONDS" in os.environ:
        send_products()
        busy(float(os.environ["BUSY_SECONDS"]))
    with tracer.trace("shop.order", service="shop", resource="POST /orders", span_type="web"):
        with tracer.trace("shop.price", service="shop", resource="price of an order") as span:
            span.set_tag("shop.items", "2")
            lambda_metric("shop.orders", 2, tags=["store:berlin"])
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

// Its timers run meanwhile.
const busy = async (seconds) => {
    const end = Date.now() + 1000 * seconds;
    while (Date.now() < end) {
        for (let number = 0; number < 1e6; number++) Math.sqrt(number);
        await new Promise(setImmediate);
    }
};

exports.handler = async (event) => {
    // What the tracer has counted in an invocation leaves in the next one.
    if (event > 0 && process.env.BUSY_SECONDS) {
        tracer.llmobs.trace({ kind: "task", name: "shop.advice" }, () => tracer.llmobs.annotate({ outputData: "tea" }));
        await new Promise((done) => tracer._tracer._processor._stats.forceFlush(done));
        await busy(Number(process.env.BUSY_SECONDS));
    }
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
pub struct SentSpan {
    pub trace_id: String,
    pub span_id: String,
    pub parent_id: String,
    pub name: String,
    pub service: String,
    pub resource: String,
    #[serde(rename = "type")]
    pub kind: String,
    /// Nanoseconds since the epoch.
    pub start: String,
    /// Nanoseconds.
    pub duration: String,
    pub error: i32,
}

fn python(directory: &tempfile::TempDir) -> Function {
    std::fs::write(directory.path().join("requirements.txt"), TRACED_PYTHON).unwrap();
    python_through(directory, PYTHON, "datadog_lambda.handler.handler")
}

fn node(directory: &tempfile::TempDir) -> Function {
    node_through(directory, NODE, "node_modules/datadog-lambda-js/dist/handler.handler")
}

fn traced(function: Function, intake: Plan, variables: &[(&str, &str)], times: usize) -> Run {
    let own = [
        ("DD_LAMBDA_HANDLER", "function.handler"),
        ("DD_SERVERLESS_FLUSH_STRATEGY", "end"),
        ("DD_COLD_START_TRACING", "false"),
    ];
    let setup = setup_with(function, &[&own, variables].concat());
    // Importing a tracer takes seconds on a loaded machine.
    let run = run_sandbox(Setup { timeout: Duration::from_mins(1), intake: Some(intake), ..setup }, times);
    run.assert_unharmed();
    run.assert_no_problems();
    run
}

/// The spans that the function says its tracer has sent.
pub fn sent(run: &Run) -> Vec<SentSpan> {
    let lines = run.ending.output.iter().map(|line| String::from_utf8_lossy(&line.bytes).into_owned());
    let spans = lines.filter_map(|line| Some(serde_json::from_str(line.split_once(SENT)?.1).unwrap()));
    spans.filter(|span: &SentSpan| span.resource != PLACEHOLDER).collect()
}

/// Every span that the tracer has sent arrives once, as it was, and in every invocation there are those of its operations.
fn assert_arrived(run: &Run, times: usize) {
    let sent = sent(run);
    let mut arrived: BTreeMap<String, Vec<Span>> = BTreeMap::new();
    for span in run.intake.spans() {
        arrived.entry(span.span_id.to_string()).or_default().push(span);
    }
    for span in &sent {
        let [found] = arrived.get(&span.span_id).map(Vec::as_slice).unwrap_or_default() else {
            panic!("{span:?} arrived as {:?}\n{}", arrived.get(&span.span_id), run.own_lines());
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
fn assert_counted(run: &Run, times: u64) {
    let count = |resource: &str| {
        let all = run.intake.stats();
        let groups: Vec<_> = all.into_iter().filter(|group| group.resource == resource).collect();
        (groups.iter().map(|group| group.hits).sum::<u64>(), groups.iter().map(|group| group.errors).sum::<u64>())
    };
    assert_eq!(count("POST /orders"), (times, 0), "{:?}", run.intake.stats());
    let orders: f64 = run.intake.points("shop.orders").iter().map(|point| point.sum).sum();
    assert!(
        (orders - 2.0 * f64::from(u32::try_from(times).unwrap())).abs() < 1e-9,
        "DogStatsD beside the tracer: {orders}"
    );
}

#[test]
fn spans_of_ddtrace_arrive_once_as_it_has_sent_them_after_two_failures() {
    let directory = tempfile::tempdir().unwrap();
    let run =
        traced(python(&directory), failing_twice(Route::Traces), &[("DD_LAMBDA_EXTENSION_COMPUTE_STATS", "true")], 3);
    assert_arrived(&run, 3);
    assert_counted(&run, 3);
}

#[test]
fn spans_of_dd_trace_js_arrive_once_as_it_has_sent_them_after_two_failures() {
    let directory = tempfile::tempdir().unwrap();
    let run =
        traced(node(&directory), failing_twice(Route::Traces), &[("DD_LAMBDA_EXTENSION_COMPUTE_STATS", "true")], 3);
    assert_arrived(&run, 3);
    assert_counted(&run, 3);
}

/// Settings for profiles, statistics of the tracer's own, and time in which they are made.
const PRODUCTS: [(&str, &str); 3] =
    [("DD_PROFILING_ENABLED", "true"), ("DD_TRACE_STATS_COMPUTATION_ENABLED", "true"), ("BUSY_SECONDS", "4")];

const LLM_OBSERVABILITY: [(&str, &str); 2] = [("DD_LLMOBS_ENABLED", "true"), ("DD_LLMOBS_ML_APP", "shop")];

/// Both routes fail twice.
fn failing_products() -> Plan {
    let rules = [Route::Stats, Route::Proxied].into_iter().flat_map(|route| failing_twice(route).rules);
    Plan { rules: rules.collect::<Vec<Rule>>(), ..Plan::default() }
}

/// What has arrived of a product, and that nothing of it arrived twice.
fn arrived_at<'l>(run: &'l Run, path: &str) -> Vec<(&'l Request, &'l ProxiedBody)> {
    let of_path = run.ending.requests.iter().filter(|request| request.path == path && request.delivered());
    let body = |request: &'l Request| match &request.payload {
        Payload::Proxied(body) => (request, body),
        other => panic!("{other:?}"),
    };
    let found: Vec<_> = of_path.map(body).collect();
    let distinct: BTreeSet<_> = found.iter().map(|(_, body)| &body.sha256).collect();
    assert!(!found.is_empty(), "nothing arrives at {path}\n{}", run.own_lines());
    assert_eq!(distinct.len(), found.len(), "each arrives once: {found:?}");
    assert!(found.iter().all(|(request, _)| request.api_key.is_some()), "{found:?}");
    found
}

/// Profiles of the same process as that of the spans, and of the function that the profiler says it is in.
fn assert_profiled(run: &Run, family: &str, is_sampled: impl Fn(&serde_json::Value) -> bool) {
    for (_, body) in arrived_at(run, "/api/v2/profile") {
        let part = |name: &str| body.parts.iter().find(|part| part.name == name || part.file_name == name);
        let event = part("event").and_then(|part| part.json.clone()).unwrap_or_else(|| panic!("{body:?}"));
        assert!(event["family"] == family && is_sampled(&event), "{event}");
        let tags = event["tags_profiler"].as_str().unwrap();
        let runtime_id = run.intake.spans().iter().find_map(|span| span.meta.get("runtime-id").cloned()).unwrap();
        let runtime_id = format!("runtime-id:{runtime_id}");
        for tag in [runtime_id.as_str(), "functionname:function"] {
            assert!(tags.split(',').any(|known| known == tag), "{tag} in {tags}");
        }
        for attachment in event["attachments"].as_array().unwrap() {
            let attached = part(attachment.as_str().unwrap()).unwrap_or_else(|| panic!("{attachment} in {body:?}"));
            assert!(attached.bytes > 0, "{body:?}");
        }
    }
}

/// The statistics are the tracer's, so that nobody else computes any. It sends those of the last invocation if there is time.
fn assert_counted_by_dd_trace_js(run: &Run) {
    let payloads = run.intake.delivered().into_iter().filter_map(|request| match request.payload {
        Payload::Stats(payload) => Some(payload.stats),
        _ => None,
    });
    let clients: Vec<_> = payloads.flatten().collect();
    let groups = clients.iter().flat_map(|client| &client.buckets).flat_map(|bucket| &bucket.groups);
    let orders: u64 = groups.filter(|group| group.resource == "POST /orders").map(|group| group.hits).sum();
    assert!((1..=2).contains(&orders), "{clients:?}\n{}", run.own_lines());
    assert!(
        clients.iter().all(|client| client.lang == "javascript" && !client.tracer_version.is_empty()),
        "{clients:?}"
    );
    let spans = run.intake.spans();
    let of_shop = spans.iter().filter(|span| span.service == "shop");
    assert!(of_shop.clone().all(|span| span.meta.get("_dd.compute_stats").is_none_or(|who| who != "1")), "{spans:?}");
}

#[test]
fn profiles_and_other_products_of_ddtrace_arrive_once_after_two_failures() {
    let directory = tempfile::tempdir().unwrap();
    let others = [("DD_DATA_STREAMS_ENABLED", "true")];
    let variables = [&PRODUCTS[..], &LLM_OBSERVABILITY, &others].concat();
    let run = traced(python(&directory), failing_products(), &variables, 2);
    assert_profiled(&run, "python", |event| event["internal"]["sample_count"].as_u64().unwrap() > 0);
    // It asks `/info` whether the agent could do without the traces that it drops, and leaves the statistics to Datadog because this one could not.
    assert_eq!(run.intake.stats(), []);
    assert!(run.intake.spans().iter().all(|span| span.meta["_dd.compute_stats"] == "1"));
    arrived_at(&run, "/api/v0.1/pipeline_stats");
    arrived_at(&run, "/api/intake/llm-obs/v2/eval-metric");
    // It sends spans of LLM Observability as a part of the trace.
    let spans = run.intake.spans();
    let advice: Vec<_> = spans.iter().filter(|span| span.name == "shop.advice").collect();
    assert!(advice.len() == 1 && advice[0].meta_struct.contains_key("_llmobs"), "{advice:?}");
    assert_arrived(&run, 2);
}

#[test]
fn profiles_and_statistics_of_dd_trace_js_arrive_once_after_two_failures() {
    let directory = tempfile::tempdir().unwrap();
    let run = traced(
        node(&directory),
        failing_products(),
        &[&PRODUCTS[..], &LLM_OBSERVABILITY, &[("DD_PROFILING_UPLOAD_PERIOD", "1")]].concat(),
        2,
    );
    arrived_at(&run, "/api/v2/llmobs");
    assert_profiled(&run, "node", |event| !event["attachments"].as_array().unwrap().is_empty());
    assert_counted_by_dd_trace_js(&run);
    assert_arrived(&run, 2);
}
