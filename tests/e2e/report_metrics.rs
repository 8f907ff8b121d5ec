//! Enhanced metrics of an invocation, compared with what the sandbox measured and reported of the same invocation.

use matrix::sandbox::{Function, Invocation, function::HandlerOutcome};
use serde_json::Value;

use crate::support::{Run, run_sandbox, setup};

/// The metrics of a platform event about an invocation.
fn metrics<'l>(run: &'l Run, kind: &str, invocation: &Invocation) -> &'l Value {
    let is_wanted = |event: &&Value| event["type"] == kind && event["record"]["requestId"] == invocation.request_id;
    &run.ending.telemetry.iter().find(is_wanted).unwrap()["record"]["metrics"]
}

/// The duration of a span of the report.
fn span(run: &Run, name: &str, invocation: &Invocation) -> f64 {
    let is_report =
        |event: &&Value| event["type"] == "platform.report" && event["record"]["requestId"] == invocation.request_id;
    let report = run.ending.telemetry.iter().find(is_report).unwrap();
    let spans = report["record"]["spans"].as_array().unwrap();
    spans.iter().find(|span| span["name"] == name).unwrap()["durationMs"].as_f64().unwrap()
}

/// The only value of an enhanced metric in the first invocation, or in the second, which is not a cold start.
fn value(run: &Run, metric: &str, number: usize) -> f64 {
    let tag = format!("cold_start:{}", number == 0);
    let mut points = run.intake.points(&format!("aws.lambda.enhanced.{metric}"));
    points.retain(|point| point.tags.contains(&tag));
    let [point] = &points[..] else { panic!("{metric} {tag}: {points:?}\n{}", run.own_lines()) };
    assert_eq!(point.cnt, 1, "{metric} {tag}");
    point.sum
}

fn assert_value(run: &Run, metric: &str, number: usize, expected: f64) {
    let found = value(run, metric, number);
    assert!((found - expected).abs() <= 1e-9 * expected.abs(), "{metric} of {number}: {found} instead of {expected}");
}

/// One cold invocation and one warm, whose answers have 1,234 and 70,000 bytes.
fn two_invocations() -> Run {
    let sizes = [1_234, 70_000];
    let function = Function::from_fn(move |call| {
        let number: usize = String::from_utf8_lossy(call.event).parse().unwrap();
        HandlerOutcome::Response(vec![b'x'; sizes[number]])
    });
    let run = run_sandbox(setup(function), 2);
    run.assert_unharmed();
    run
}

#[test]
fn duration_billing_and_memory_metrics_equal_the_report() {
    let run = two_invocations();
    for (number, invocation) in run.invocations.iter().enumerate() {
        let report = metrics(&run, "platform.report", invocation);
        assert_value(&run, "duration", number, report["durationMs"].as_f64().unwrap() / 1000.0);
        assert!((value(&run, "duration", number) - invocation.duration.as_secs_f64()).abs() < 1e-5);
        #[expect(clippy::cast_precision_loss, reason = "a few milliseconds")]
        let billed = invocation.billed_ms as f64 / 1000.0;
        assert_value(&run, "billed_duration", number, billed);
        assert_value(&run, "memorysize", number, 1024.0);
        assert_value(&run, "max_memory_used", number, f64::from(invocation.max_memory_mb));
        // The list price of x86-64 and arm64: a request, and a gigabyte for the seconds that are billed.
        let price = if cfg!(target_arch = "aarch64") { 0.000_013_333_4 } else { 0.000_016_666_7 };
        let cost = value(&run, "estimated_cost", number);
        assert!((cost - (0.000_000_2 + billed * price)).abs() <= 1e-12, "{cost}");
    }
}

#[test]
fn runtime_and_response_metrics_equal_the_runtimes_part() {
    let run = two_invocations();
    for (number, invocation) in run.invocations.iter().enumerate() {
        let done = metrics(&run, "platform.runtimeDone", invocation);
        let runtime = done["durationMs"].as_f64().unwrap();
        let whole = metrics(&run, "platform.report", invocation)["durationMs"].as_f64().unwrap();
        assert_value(&run, "runtime_duration", number, runtime);
        let after = value(&run, "post_runtime_duration", number);
        assert!((after - (whole - runtime)).abs() < 1e-6 && after > 0.0, "{after} instead of {}", whole - runtime);
        assert_value(&run, "produced_bytes", number, [1_234.0, 70_000.0][number]);
        assert_value(&run, "response_latency", number, span(&run, "responseLatency", invocation));
        assert_value(&run, "response_duration", number, span(&run, "responseDuration", invocation));
    }
}
