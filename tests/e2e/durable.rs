//! Durable functions, whose executions take many invocations.

use matrix::sandbox::{
    Function, Setup,
    function::HandlerOutcome,
    intake::{Payload, Sketch, Span},
    setup::{Delivery, Order},
    tracer,
};
use serde_json::Value;

use crate::{
    support::{Run, request_id, run_sandbox, setup, text},
    traces,
};

pub const RUNTIME: &str = "python:3.13.DurableFunction.v40";
const TAG: &str = "durable_function:true";

/// Prints a line as the SDK for such functions does, and one of the customer's.
fn steps() -> Function {
    Function::from_fn(|call| {
        let event = String::from_utf8_lossy(call.event);
        let arn = "arn:aws:lambda:us-east-1:123456789012:function:function:1/durable-execution/order-7/0b1c";
        call.print(format!(r#"{{"executionArn":"{arn}","message":"step {event}"}}"#));
        call.print(format!("plain {event}"));
        HandlerOutcome::Response(b"null".to_vec())
    })
}

fn enhanced(run: &Run) -> Vec<&Sketch> {
    let sketches = run.ending.requests.iter().filter_map(|request| match &request.payload {
        Payload::Sketches(sketches) => Some(sketches),
        _ => None,
    });
    sketches.flatten().filter(|sketch| sketch.metric.starts_with("aws.lambda.enhanced.")).collect()
}

fn is_tagged(sketch: &Sketch) -> bool {
    sketch.tags.contains(&TAG.to_owned())
}

fn log(run: &Run, part: &str) -> Value {
    run.intake.logs().into_iter().find(|log| text(log).contains(part)).unwrap()
}

fn of_runtime(version: Option<&str>, order: Order) -> Run {
    let delivery = Delivery { order, ..Delivery::default() };
    let run = run_sandbox(Setup { runtime_version: version.map(str::to_owned), delivery, ..setup(steps()) }, 2);
    run.assert_unharmed();
    for metric in ["invocations", "duration", "runtime_duration", "billed_duration", "estimated_cost"] {
        assert_eq!(run.count(metric), 2, "{metric}");
    }
    run
}

#[test]
fn every_metric_of_a_durable_function_says_so() {
    let run = of_runtime(Some(RUNTIME), Order::Rapid);
    for sketch in enhanced(&run) {
        assert!(is_tagged(sketch), "{sketch:?}");
    }
    for other in [None, Some("python:3.13.v40")] {
        let run = of_runtime(other, Order::Rapid);
        assert!(!enhanced(&run).into_iter().any(is_tagged), "{other:?}");
    }
}

/// Its cold starts are found by this count, which therefore waits until the runtime's version is told; others of a first invocation don't.
#[test]
fn durable_invocations_counted_with_late_init_start() {
    let run = of_runtime(Some(RUNTIME), Order::InitAfterInvoke);
    let counts = run.intake.points("aws.lambda.enhanced.invocations");
    assert!(counts.iter().all(|count| count.tags.contains(&TAG.to_owned())), "{counts:?}");
}

#[test]
fn the_lines_of_a_durable_function_name_their_execution_where_they_know_it() {
    let run = run_sandbox(Setup { runtime_version: Some(RUNTIME.to_owned()), ..setup(steps()) }, 2);
    run.assert_unharmed();
    let start = log(&run, "INIT_START ");
    assert!(text(&start).starts_with(&format!("INIT_START Runtime Version: {RUNTIME} ")), "{start}");
    for (number, invocation) in run.invocations.iter().enumerate() {
        let id = Some(invocation.request_id.as_str());
        let (step, plain) = (log(&run, &format!("step {number}")), log(&run, &format!("plain {number}")));
        assert_eq!((request_id(&step), request_id(&plain)), (id, id));
        let lambda = &step["message"]["lambda"];
        assert_eq!(lambda["durable_function.execution_id"], "0b1c");
        assert_eq!(lambda["durable_function.execution_name"], "order-7");
        let names = plain["message"]["lambda"].as_object().unwrap();
        assert!(!names.keys().any(|name| name.starts_with("durable_function.")), "{plain}");
    }
}

/// Prints a line that names no execution, and sends the span that does, as Datadog's libraries build it.
fn tagged() -> Function {
    Function::from_fn(|call| {
        call.print(format!("plain {}", String::from_utf8_lossy(call.event)));
        let tags = [
            ("request_id", call.request_id),
            ("aws.durable.execution_id", "0b1c"),
            ("aws.durable.execution_name", "order-7"),
            ("aws.durable.first_invocation", "true"),
            ("aws.durable.execution_status", "RUNNING"),
        ];
        let span = Span {
            name: "aws.lambda".to_owned(),
            trace_id: 1,
            span_id: 1,
            meta: tags.map(|(key, value)| (key.to_owned(), value.to_owned())).into(),
            ..Span::default()
        };
        assert_eq!(traces::post("/v0.4/traces", &[], &tracer::v04(&[vec![span]])).status, 200);
        HandlerOutcome::Response(b"null".to_vec())
    })
}

#[test]
fn lines_of_a_durable_function_wait_for_the_execution_that_a_span_names() {
    for (size, is_completed) in [("5", true), ("0", false)] {
        let variables = [("DD_LAMBDA_DURABLE_FUNCTION_LOG_BUFFER_SIZE", size)];
        let setup = Setup { runtime_version: Some(RUNTIME.to_owned()), ..traces::with(tagged(), &variables) };
        let Some(run) = traces::run_sandbox(setup, 1) else { return };
        for (line, has_first, has_status) in
            [("plain 0", false, false), ("START RequestId", true, false), ("END RequestId", true, true)]
        {
            let log = log(&run, line);
            let tag = |name: &str| log["message"]["lambda"].get(format!("durable_function.{name}")).is_some();
            assert_eq!((tag("execution_id"), tag("execution_name")), (is_completed, is_completed), "{log}");
            assert_eq!(tag("first_invocation"), is_completed && has_first, "{log}");
            assert_eq!(tag("execution_status"), is_completed && has_status, "{log}");
        }
    }
}
