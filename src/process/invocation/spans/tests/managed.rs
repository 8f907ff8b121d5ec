//! Managed instances, which run many invocations at a time.

use super::*;
use crate::process::invocation::context::CAPACITY;

const MANAGED: Settings = Settings { managed: true, ..ON_DEMAND };

fn end() -> Step {
    attempt().into_iter().find(|step| matches!(step, Step::EndCall(_))).unwrap()
}

#[test]
fn an_invocation_that_is_forgotten_is_built_first_or_counted() {
    let mut bench = Bench::new(MANAGED);
    bench.steps("whole", 1000, [Step::Start, Step::StartCall, end()]);
    bench.steps("unended", 1000, [Step::Start, Step::StartCall]);
    for number in 2..CAPACITY {
        bench.step(&format!("n{number}"), 2000, Step::Start);
    }
    bench.step("n2", 2000, Step::Report);
    assert!(bench.take().is_empty() && bench.out.lost_spans == 0, "nothing is forgotten yet");
    // The one that is complete gives way first.
    for number in 0..3 {
        bench.step(&format!("later{number}"), 3000, Step::Start);
    }
    assert_eq!(tag(lambda(&bench.take()), "request_id"), Some("whole"));
    assert_eq!(bench.out.lost_spans, 1);
}

#[test]
fn late_placeholder_is_awaited_for_a_bounded_time() {
    for is_late in [true, false] {
        let mut bench = Bench::new(MANAGED);
        bench.steps("a", 1000, [Step::Start, Step::StartCall, end(), Step::Report]);
        bench.processor.build_spans(1020 + 500, &mut bench.out);
        assert!(bench.take().is_empty(), "it may be on its way");
        if is_late {
            bench.step("a", 1000, Step::Placeholder);
        }
        bench.processor.build_spans(31_020, &mut bench.out);
        assert_eq!(tag(lambda(&bench.take()), "language"), is_late.then_some("jvm"));
    }
}

#[test]
fn timeout_known_only_from_the_report_is_an_error() {
    let mut bench = Bench::new(MANAGED);
    bench.steps("a", 1000, [Step::Start, Step::StartCall, Step::Placeholder]);
    bench.platform(4000, Platform::Report(report("a", Status::Timeout)));
    let spans = bench.flush();
    let lambda = lambda(&spans);
    assert_eq!((lambda.trace_id, lambda.span_id, lambda.error), (trace_id("a"), 78, 1));
    assert_eq!(tag(lambda, "error.type"), Some("Timeout"));
}

#[test]
fn hundreds_of_calls_may_precede_their_telemetry() {
    let mut bench = Bench::new(MANAGED);
    let ids: Vec<String> = (0..400).map(|number| format!("n{number}")).collect();
    for id in &ids {
        bench.steps(id, 1000, [Step::StartCall, Step::Placeholder, end()]);
    }
    for id in &ids {
        bench.steps(id, 1000, [Step::Start, Step::Report]);
    }
    assert_eq!(bench.flush().iter().filter(|span| span.name == "aws.lambda").count(), ids.len());
    assert_eq!(bench.out.lost_spans, 0);
}

#[test]
fn calls_without_a_request_id_are_assigned_in_the_order_of_invocations() {
    let mut bench = Bench::new(MANAGED);
    bench.step("a", 1000, Step::Start).step("b", 1001, Step::Start);
    for (time, id) in [(1002, "a"), (1003, "b")] {
        let call = StartCall { request_id: None, time, ..start_call(id) };
        bench.processor.call(Call::Start(Box::new(call)), &mut bench.out);
    }
    for (time, span_id) in [(1010, 77), (1011, 78)] {
        let call = EndCall { time, span_id: Some(span_id), ..EndCall::default() };
        bench.processor.call(Call::End(Box::new(call)), &mut bench.out);
    }
    let spans = bench.step("a", 1000, Step::Report).step("b", 1001, Step::Report).flush();
    let of = |id| spans.iter().find(|span| tag(span, "request_id") == Some(id)).unwrap();
    assert_eq!((of("a").trace_id, of("a").span_id), (trace_id("a"), 77));
    assert_eq!((of("b").trace_id, of("b").span_id), (trace_id("b"), 78));
}
