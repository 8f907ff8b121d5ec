//! What is found in requests, and when it comes too late for the flush at the end of the invocation.

use super::*;
use crate::process::{appsec::SecurityTags, invocation::call::SecurityCall};

/// An attempt whose request and response are evaluated, and what comes of that.
fn evaluated(id: Option<&str>) -> [Call; 4] {
    numbered(id, 0)
}

/// The same, with evaluations of these numbers: this one and the next.
fn numbered(id: Option<&str>, number: u64) -> [Call; 4] {
    let request_id: Option<RequestId> = id.map(Into::into);
    let security = |found: &str, evaluation, is_kept| {
        let tags = SecurityTags {
            meta: vec![("_dd.appsec.json".to_owned(), found.to_owned())],
            metrics: vec![("_dd.appsec.enabled", 1.0)],
            is_kept,
        };
        Call::Security(Box::new(SecurityCall { request_id: request_id.clone(), time: 1000, evaluation, tags }))
    };
    let start = StartCall { request_id: request_id.clone(), time: 1000, evaluation: Some(number), ..start_call("r") };
    let end = EndCall {
        request_id: request_id.clone(),
        time: 1000,
        trace_id: Some(5),
        span_id: Some(77),
        priority: Some(1.0),
        evaluation: Some(number + 1),
        ..EndCall::default()
    };
    [
        Call::Start(Box::new(start)),
        security("request", number, false),
        Call::End(Box::new(end)),
        security("request and response", number + 1, true),
    ]
}

fn bench() -> Bench {
    let mut bench = Bench::new(ON_DEMAND);
    bench.step("r", 998, Step::Invoke);
    bench
}

impl Bench {
    /// With App & API Protection that is used without APM, or without it.
    pub fn standing(settings: Settings, standalone: bool) -> Self {
        Self::protected(settings, standalone, standalone)
    }

    fn protected(settings: Settings, appsec: bool, standalone: bool) -> Self {
        let (service, resource) = ("svc".to_owned(), "function".to_owned());
        let spans = SpanSettings { service, resource, appsec, standalone, random: || 42 };
        Self { processor: Processor::new(settings, Rules::default(), 0).with_spans(spans), out: Output::default() }
    }

    fn call(&mut self, call: Call) {
        self.processor.call(call, &mut self.out);
    }
}

fn found(spans: &[Span<'static>]) -> Option<String> {
    let lambda = spans.iter().find(|span| span.name == "aws.lambda").unwrap();
    lambda.meta.get("_dd.appsec.json").map(ToString::to_string)
}

#[test]
fn findings_are_tags_of_every_span_of_the_invocation_and_keep_its_trace() {
    for id in [Some("r"), None] {
        let mut bench = bench();
        for call in evaluated(id) {
            bench.call(call);
        }
        bench.steps("r", 998, [Step::Start, Step::Done(Status::Success)]);
        let spans = bench.flush();
        assert!(spans.len() > 1, "{id:?}");
        for span in &spans {
            assert_eq!(span.metrics.get("_dd.appsec.enabled"), Some(&1.0), "{id:?} {}", span.name);
        }
        assert_eq!(found(&spans).as_deref(), Some("request and response"), "{id:?}");
        let lambda = spans.iter().find(|span| span.name == "aws.lambda").unwrap();
        assert_eq!(lambda.metrics.get("_sampling_priority_v1"), Some(&2.0));
    }
}

#[test]
fn every_invocation_says_whether_app_and_api_protection_is_used() {
    for (is_used, expected) in [(true, Some(&1.0)), (false, None)] {
        // An event that is not evaluated, and a request whose evaluations do not end.
        let other = Bench::protected(ON_DEMAND, is_used, false).steps("r", 998, attempt()).flush();
        let [start, _, end, _] = evaluated(Some("r"));
        let mut bench = Bench::protected(ON_DEMAND, is_used, false);
        bench.step("r", 998, Step::Invoke);
        bench.call(start);
        bench.call(end);
        let unended = bench.steps("r", 998, [Step::Start, Step::Done(Status::Success), Step::Report]).flush();
        for spans in [other, unended] {
            let names: Vec<_> = spans.iter().map(|span| &*span.name).collect();
            assert_eq!(names, ["aws.lambda", "aws.sqs"]);
            let enabled = spans.iter().map(|span| span.metrics.get("_dd.appsec.enabled"));
            assert!(enabled.clone().all(|enabled| enabled == expected), "{:?}", enabled.collect::<Vec<_>>());
        }
    }
}

#[test]
fn without_apm_only_traces_with_security_events_are_kept() {
    let numbers = |span: &Span<'static>, name: &str| span.metrics.get(name).copied();
    for (is_attack, expected) in [(true, 2.0), (false, 0.0)] {
        let mut bench = Bench::standing(ON_DEMAND, true);
        bench.steps("r", 998, [Step::InitStart, Step::InitReport, Step::Invoke]);
        for call in evaluated(Some("r")) {
            match call {
                Call::Security(mut security) => {
                    security.tags.is_kept &= is_attack;
                    bench.call(Call::Security(security));
                }
                call => bench.call(call),
            }
        }
        bench.steps("r", 998, [Step::Start, Step::Done(Status::Success)]);
        bench.processor.build_spans(Timestamp::MAX, &mut bench.out);
        assert!(bench.out.traces.iter().all(|trace| trace.computed_stats), "nobody makes stats or keeps errors");
        let spans = bench.take();
        assert!(spans.iter().any(|span| span.name == "aws.lambda.cold_start"));
        let lambda = spans.iter().find(|span| span.name == "aws.lambda").unwrap();
        assert_eq!(numbers(lambda, "_sampling_priority_v1"), Some(expected), "the tracer says 1");
        assert!(spans.iter().all(|span| numbers(span, "_dd.apm.enabled") == Some(0.0)), "{spans:?}");
    }
    let mut bench = Bench::standing(ON_DEMAND, true);
    bench.steps("r", 998, attempt());
    let spans = bench.flush();
    let lambda = spans.iter().find(|span| span.name == "aws.lambda").unwrap();
    assert_eq!(numbers(lambda, "_sampling_priority_v1"), Some(0.0), "nothing was evaluated");

    let mut bench = Bench::standing(ON_DEMAND, true);
    bench.steps("r", 998, [Step::InitStart, Step::InitReport, Step::Invoke]);
    bench.processor.observed(
        SpanObservations { load_trace_id: Some(9), ..SpanObservations::default() },
        1005,
        &mut bench.out,
    );
    bench.processor.build_spans(Timestamp::MAX, &mut bench.out);
    let [trace] = &bench.out.traces[..] else { panic!("{:?}", bench.out.traces) };
    assert!(trace.computed_stats);
    let [cold_start] = &trace.spans[..] else { panic!("{trace:?}") };
    for name in ["_sampling_priority_v1", "_dd.apm.enabled"] {
        assert_eq!(numbers(cold_start, name), Some(0.0), "it leaves alone");
    }
}

#[test]
fn spans_wait_for_an_evaluation_until_the_invocation_is_reported_over() {
    let [start, request, end, response] = evaluated(Some("r"));
    let mut bench = bench();
    for call in [start, request, end] {
        bench.call(call);
    }
    bench.steps("r", 998, [Step::Start, Step::Done(Status::Success)]);
    assert!(bench.flush().is_empty(), "the response is being evaluated");
    bench.call(response);
    assert_eq!(found(&bench.flush()).as_deref(), Some("request and response"));

    let [start, request, end, response] = evaluated(Some("r"));
    let mut never = self::bench();
    for call in [start, request, end] {
        never.call(call);
    }
    never.steps("r", 998, [Step::Start, Step::Done(Status::Success), Step::Report]);
    assert_eq!(found(&never.flush()).as_deref(), Some("request"), "nobody waits any longer");
    never.call(response);
    assert!(never.flush().is_empty(), "it comes too late");
}

#[test]
fn the_end_of_the_sandbox_waits_for_no_evaluation() {
    let [start, _, end, _] = evaluated(Some("r"));
    let mut bench = bench();
    bench.call(start);
    bench.call(end);
    bench.steps("r", 998, [Step::Start, Step::Done(Status::Success)]);
    assert!(bench.flush().is_empty());
    bench.processor.ended(2000, &mut bench.out);
    assert_eq!(found(&bench.take()), None);
}

#[test]
fn what_was_found_in_the_request_survives_a_timeout() {
    let [start, request, _, _] = evaluated(Some("r"));
    let mut bench = bench();
    bench.call(start);
    bench.call(request);
    bench.steps("r", 998, [Step::Placeholder, Step::Start, Step::Done(Status::Timeout)]);
    assert_eq!(found(&bench.flush()).as_deref(), Some("request"));
}

#[test]
fn findings_that_come_after_the_spans_are_not_those_of_the_next_attempt() {
    let [start, _, end, late] = evaluated(Some("r"));
    let mut bench = bench();
    bench.call(start);
    bench.call(end);
    bench.steps("r", 998, [Step::Start, Step::Done(Status::Success), Step::Report]);
    assert_eq!(found(&bench.flush()), None);
    bench.call(late);
    bench.steps("r", 70_000, attempt());
    assert_eq!(found(&bench.flush()), None);
}

#[test]
fn findings_in_a_request_that_is_sent_again_wait_with_it_for_its_invocation() {
    let mut bench = bench();
    bench.steps("r", 998, attempt().into_iter().skip(1));
    bench.flush();
    for call in evaluated(Some("r")) {
        let call = match call {
            Call::Start(start) => Call::Start(Box::new(StartCall { time: 70_000, ..*start })),
            Call::End(end) => Call::End(Box::new(EndCall { time: 70_000, ..*end })),
            Call::Security(security) => Call::Security(Box::new(SecurityCall { time: 70_000, ..*security })),
        };
        bench.call(call);
    }
    bench.steps("r", 69_998, [Step::Invoke, Step::Start, Step::Done(Status::Success)]);
    assert_eq!(found(&bench.flush()).as_deref(), Some("request and response"));
}

/// What is found in each invocation's request.
fn found_by_id(spans: &[Span<'static>]) -> Vec<(Option<String>, Option<String>)> {
    let tag = |span: &Span<'static>, name| span.meta.get(name).map(ToString::to_string);
    let lambda = spans.iter().filter(|span| span.name == "aws.lambda");
    lambda.map(|span| (tag(span, "request_id"), tag(span, "_dd.appsec.json"))).collect()
}

#[test]
fn findings_without_a_request_id_are_those_of_the_invocation_that_was_evaluated() {
    for is_invoked_first in [true, false] {
        let mut bench = bench();
        let [start, request, end, response] = numbered(None, 0);
        bench.call(start);
        bench.call(end);
        // The sandbox is frozen and thawed before the evaluations are over.
        let [next_start, ..] = numbered(None, 2);
        if is_invoked_first {
            bench.step("s", 1100, Step::Invoke);
            bench.call(next_start);
        } else {
            bench.call(next_start);
            bench.step("s", 1100, Step::Invoke);
        }
        bench.call(request);
        bench.call(response);
        bench.processor.ended(2000, &mut bench.out);
        let found = found_by_id(&bench.take());
        let expected = (Some("r".to_owned()), Some("request and response".to_owned()));
        assert!(found.contains(&expected), "{found:?}");
        assert!(found.iter().all(|(id, found)| id.as_deref() == Some("r") || found.is_none()), "{found:?}");
    }
}

#[test]
fn findings_in_the_response_stay_though_those_in_the_request_are_heard_of_later() {
    let [start, request, end, response] = evaluated(Some("r"));
    let mut bench = bench();
    for call in [start, end, response, request] {
        bench.call(call);
    }
    bench.steps("r", 998, [Step::Start, Step::Done(Status::Success)]);
    assert_eq!(found(&bench.flush()).as_deref(), Some("request and response"));
}

#[test]
fn spans_without_an_end_call_wait_for_no_evaluation() {
    let [start, request, end, _] = evaluated(Some("r"));
    let mut bench = Bench::new(Settings { telemetry: false, ..ON_DEMAND });
    bench.step("r", 998, Step::Invoke);
    for call in [start, request, end] {
        bench.call(call);
    }
    assert_eq!(found(&bench.flush()).as_deref(), Some("request"));
}
