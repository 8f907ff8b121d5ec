//! Spans of invocations, whatever is reported of them and in which order.

mod attempts;
mod managed;
mod roots;
mod security;
mod statuses;
mod web_adapter;

use rand::{RngExt as _, SeedableRng as _, rngs::StdRng, seq::SliceRandom as _};

use super::*;
use crate::process::{
    event::{
        Event, InitReport, InitStart, InvocationStart, Platform, Record, Report, ReportMetrics, RestoreReport,
        RuntimeDone, RuntimeMetrics,
    },
    invocation::{
        Settings,
        call::{CallError, StartCall, test_decoder::decoder},
    },
    log::Rules,
    propagation::Carrier,
    trace::Placeholder,
};

const ON_DEMAND: Settings = Settings {
    managed: false,
    snap_start: false,
    enhanced_metrics: true,
    logs: true,
    telemetry: true,
    init_type_tagged: true,
    architecture: "x86_64",
};

/// One thing that happens in the life of an invocation or of the sandbox.
#[derive(Debug, Clone, PartialEq)]
enum Step {
    InitStart,
    InitReport,
    Invoke,
    StartCall,
    EndCall(Box<EndCall>),
    Placeholder,
    Start,
    Done(Status),
    Report,
}

/// The steps of one attempt at a request, as they usually come.
fn attempt() -> Vec<Step> {
    let end = EndCall { trace_id: Some(5), span_id: Some(77), status_code: Some(200), ..EndCall::default() };
    vec![
        Step::Invoke,
        Step::StartCall,
        Step::Placeholder,
        Step::EndCall(Box::new(end)),
        Step::Start,
        Step::Done(Status::Success),
        Step::Report,
    ]
}

struct Bench {
    processor: Processor,
    out: Output,
}

impl Bench {
    fn new(settings: Settings) -> Self {
        Self::standing(settings, false)
    }

    fn platform(&mut self, time: Timestamp, platform: Platform) {
        self.processor.event(Event { time, record: Record::Platform(platform) }, &mut self.out);
    }

    /// Takes a step of the invocation `id` that was invoked at `at`.
    fn step(&mut self, id: &str, at: Timestamp, step: Step) -> &mut Self {
        let request_id = id.into();
        match step {
            Step::InitStart => self.platform(100, Platform::InitStart(InitStart::default())),
            Step::InitReport => self.platform(
                900,
                Platform::InitReport(InitReport { initialization_type: None, duration_ms: Some(800.0) }),
            ),
            Step::Invoke => drop(self.processor.invoke(&request_id, at, &mut self.out)),
            Step::StartCall => {
                let call = StartCall { request_id: Some(request_id), time: at + 2, ..start_call(id) };
                self.processor.call(Call::Start(Box::new(call)), &mut self.out);
            }
            Step::EndCall(call) => {
                let call = EndCall { request_id: Some(request_id), time: at + 8, ..*call };
                self.processor.call(Call::End(Box::new(call)), &mut self.out);
            }
            Step::Placeholder => {
                let observed = SpanObservations { placeholders: vec![placeholder(id)], ..SpanObservations::default() };
                self.processor.observed(observed, at + 7, &mut self.out);
            }
            Step::Start => self.platform(at + 1, Platform::Start(InvocationStart { request_id, version: None })),
            Step::Done(status) => {
                let metrics = RuntimeMetrics { duration_ms: Some(9.5), produced_bytes: None };
                let done = RuntimeDone { request_id, status, error_type: None, metrics, spans: Vec::new() };
                self.platform(at + 11, Platform::RuntimeDone(done));
            }
            Step::Report => self.platform(at + 20, Platform::Report(report(id, Status::Success))),
        }
        self
    }

    fn steps(&mut self, id: &str, at: Timestamp, steps: impl IntoIterator<Item = Step>) -> &mut Self {
        for step in steps {
            self.step(id, at, step);
        }
        self
    }

    /// The spans that come of a flush, by name and resource.
    fn flush(&mut self) -> Vec<Span<'static>> {
        self.processor.build_spans(Timestamp::MAX, &mut self.out);
        self.take()
    }

    fn take(&mut self) -> Vec<Span<'static>> {
        let mut spans: Vec<_> = std::mem::take(&mut self.out.traces).into_iter().flat_map(|it| it.spans).collect();
        spans.sort_by_key(|span| {
            let id = span.meta.get("request_id").map(ToString::to_string);
            (span.name.to_string(), id, span.start, span.trace_id)
        });
        spans
    }

    fn count(&self, name: &str) -> usize {
        self.out.points.iter().filter(|point| point.name == name).count()
    }
}

fn report(id: &str, status: Status) -> Report {
    let metrics = ReportMetrics { duration_ms: Some(12.0), ..ReportMetrics::default() };
    Report { request_id: id.into(), status, error_type: None, metrics, spans: Vec::new() }
}

/// What the event of this invocation says; the trace id is its own.
fn start_call(id: &str) -> StartCall {
    let context = format!(
        r#"{{"x-datadog-trace-id":"{}","x-datadog-parent-id":"20","x-datadog-sampling-priority":"2","x-datadog-tags":"_dd.p.tid=640cfd8d00000000"}}"#,
        trace_id(id)
    );
    let event = serde_json::json!({"Records": [{
        "eventSource": "aws:sqs",
        "eventSourceARN": "arn:aws:sqs:us-east-1:123456789012:queue",
        "body": id,
        "attributes": {"SentTimestamp": "1"},
        "messageAttributes": {"_datadog": {"dataType": "String", "stringValue": context}},
    }]});
    let call = decoder(None).start(|_| None, &Carrier::default(), event.to_string().as_bytes(), 0);
    StartCall { captured: vec![("function.request".to_owned(), id.to_owned())], ..call }
}

fn trace_id(id: &str) -> u64 {
    1000 + u64::from(id.bytes().last().unwrap_or_default())
}

fn placeholder(id: &str) -> Placeholder {
    Placeholder {
        request_id: id.to_owned(),
        trace_id: 6,
        span_id: 78,
        meta: [("request_id", id.to_owned().into()), ("language", "jvm".into())].into_iter().collect(),
        metrics: [("_sampling_priority_v1", 1.0)].into_iter().collect(),
        ..Placeholder::default()
    }
}

fn lambda<'s>(spans: &'s [Span<'static>]) -> &'s Span<'static> {
    spans.iter().find(|span| span.name == "aws.lambda").unwrap_or_else(|| panic!("no span in {spans:?}"))
}

fn tag<'s>(span: &'s Span<'static>, key: &str) -> Option<&'s str> {
    span.meta.get(key).map(|value| &**value)
}

/// The spans of one whole attempt in the usual order.
fn usual(id: &str, at: Timestamp) -> Vec<Span<'static>> {
    let mut bench = Bench::new(ON_DEMAND);
    bench.step(id, at, Step::InitStart).step(id, at, Step::InitReport).steps(id, at, attempt()).flush()
}

#[test]
fn an_invocation_becomes_a_span_below_that_of_its_trigger() {
    let spans = usual("a", 1000);
    let names: Vec<_> = spans.iter().map(|span| &*span.name).collect();
    assert_eq!(names, ["aws.lambda", "aws.lambda.cold_start", "aws.sqs"]);
    let [lambda, cold_start, sqs] = &spans[..] else { panic!("{spans:?}") };
    assert_eq!((lambda.trace_id, lambda.span_id, lambda.parent_id), (trace_id("a"), 77, 30));
    assert_eq!((lambda.start, lambda.duration, lambda.error), (1001 * 1_000_000, 9_500_000, 0));
    assert_eq!((&*lambda.service, &*lambda.resource, &*lambda.kind), ("svc", "function", "serverless"));
    for (key, expected) in [
        ("request_id", Some("a")),
        ("span.kind", Some("server")),
        ("language", Some("jvm")),
        ("cold_start", Some("true")),
        ("http.status_code", Some("200")),
        ("function_trigger.event_source", Some("sqs")),
        ("function.request", Some("a")),
        ("_dd.p.tid", None),
    ] {
        assert_eq!(tag(lambda, key), expected, "{key}");
    }
    assert_eq!(lambda.metrics.get("_sampling_priority_v1"), Some(&1.0), "the tracer's own");
    assert_eq!((cold_start.trace_id, cold_start.span_id, cold_start.parent_id), (trace_id("a"), 42, 30));
    assert_eq!((cold_start.start, cold_start.duration), (100 * 1_000_000, 800 * 1_000_000));
    assert_eq!((sqs.trace_id, sqs.parent_id, sqs.duration), (trace_id("a"), 20, 1000 * 1_000_000));
    assert_eq!((tag(sqs, "peer.service"), tag(sqs, "_dd.p.tid")), (Some("svc"), Some("640cfd8d00000000")));
}

/// All 5,040 orders of the seven steps.
#[test]
fn every_order_of_the_steps_of_an_invocation_gives_the_same_spans() {
    let expected = usual("a", 1000);
    let mut orders = 0;
    permute(&mut attempt(), 0, &mut |steps| {
        let mut bench = Bench::new(ON_DEMAND);
        bench.step("a", 1000, Step::InitStart).step("a", 1000, Step::InitReport);
        assert_eq!(bench.steps("a", 1000, steps.iter().cloned()).flush(), expected, "{steps:?}");
        assert!(bench.flush().is_empty(), "they are sent once");
        orders += 1;
    });
    assert_eq!(orders, 5040);
}

fn permute(steps: &mut Vec<Step>, from: usize, check: &mut impl FnMut(&[Step])) {
    if from == steps.len() {
        return check(steps);
    }
    for index in from..steps.len() {
        steps.swap(from, index);
        permute(steps, from + 1, check);
        steps.swap(from, index);
    }
}

#[test]
fn interleaved_invocations_with_repeated_steps_give_the_same_spans_in_every_order() {
    let ids = ["a", "b", "c"];
    let at = |id: &str| 1000 + 100 * i64::try_from(trace_id(id) - trace_id("a")).unwrap();
    let mut expected = Vec::new();
    for (settings, rounds) in [(ON_DEMAND, 300), (Settings { managed: true, ..ON_DEMAND }, 300)] {
        for round in 0..rounds {
            let mut random = StdRng::seed_from_u64(round);
            let mut steps: Vec<(&str, Step)> = Vec::new();
            for id in ids {
                for step in attempt() {
                    // Managed instances have neither; a second INVOKE is a second attempt.
                    let times = match step {
                        Step::Invoke | Step::Done(_) if settings.managed => 0,
                        Step::Invoke => 1,
                        _ => random.random_range(1..3),
                    };
                    steps.extend(std::iter::repeat_n((id, step), times));
                }
            }
            if round > 0 {
                steps.shuffle(&mut random);
            }
            let mut bench = Bench::new(settings);
            for (id, step) in steps.clone() {
                bench.step(id, at(id), step);
            }
            let mut spans = bench.flush();
            // Which of them is the sandbox's first depends on the order, and nothing else does.
            for span in &mut spans {
                span.meta.remove("cold_start");
            }
            if round == 0 {
                expected.clone_from(&spans);
                assert_eq!(spans.iter().filter(|span| span.name == "aws.lambda").count(), 3);
            }
            assert_eq!(spans, expected, "{steps:?}");
        }
    }
}

#[test]
fn missing_startup_step_is_logged_with_its_consequence() {
    let whole = usual("a", 1000);
    for (index, missing) in attempt().into_iter().enumerate() {
        let mut steps = attempt();
        steps.remove(index);
        let mut bench = Bench::new(ON_DEMAND);
        bench.step("a", 1000, Step::InitStart).step("a", 1000, Step::InitReport).steps("a", 1000, steps);
        let spans = bench.flush();
        match missing {
            Step::EndCall(_) => assert!(spans.is_empty(), "nobody says which span it is"),
            Step::StartCall => {
                assert_eq!(spans.len(), 2, "and the span of the start");
                let lambda = lambda(&spans);
                assert_eq!((lambda.trace_id, lambda.span_id, lambda.parent_id), (5, 77, 0));
                assert_eq!(tag(lambda, "function_trigger.event_source"), None);
            }
            Step::Placeholder => {
                assert_eq!(tag(lambda(&spans), "language"), None);
                assert_eq!(lambda(&spans).metrics.get("_sampling_priority_v1"), Some(&2.0), "that of the event");
            }
            Step::Start => assert_eq!(lambda(&spans).start, 1000 * 1_000_000, "the time of INVOKE"),
            Step::Done(_) => assert_eq!(lambda(&spans).duration, 12_000_000, "the duration of the report"),
            _ => assert_eq!(spans, whole, "{missing:?}"),
        }
    }
}

#[test]
fn the_same_request_again_is_a_span_of_its_own() {
    let mut bench = Bench::new(ON_DEMAND);
    let first = bench.steps("a", 1000, attempt()).flush();
    let second = bench.steps("a", 61_000, attempt()).flush();
    assert_eq!((lambda(&first).start, lambda(&second).start), (1001 * 1_000_000, 61_001 * 1_000_000));
    assert_eq!((tag(lambda(&first), "cold_start"), tag(lambda(&second), "cold_start")), (Some("true"), Some("false")));
}

#[test]
fn without_request_ids_calls_belong_to_the_invocation_that_runs() {
    let mut bench = Bench::new(ON_DEMAND);
    let anonymous = |bench: &mut Bench, at: Timestamp, span_id: u64| {
        let start =
            StartCall { time: at, captured: vec![("n".to_owned(), span_id.to_string())], ..StartCall::default() };
        bench.processor.call(Call::Start(Box::new(start)), &mut bench.out);
        let end = EndCall { time: at, trace_id: Some(5), span_id: Some(span_id), ..EndCall::default() };
        bench.processor.call(Call::End(Box::new(end)), &mut bench.out);
    };
    // The calls of the second are here before it is invoked, and those of the third time out.
    bench.step("a", 1000, Step::Invoke);
    anonymous(&mut bench, 1001, 1);
    anonymous(&mut bench, 1100, 2);
    bench.step("b", 1100, Step::Invoke).step("a", 1000, Step::Done(Status::Success));
    bench.step("c", 1200, Step::Invoke).step("b", 1100, Step::Done(Status::Success));
    bench.step("c", 1200, Step::Done(Status::Timeout)).step("d", 1300, Step::Invoke);
    anonymous(&mut bench, 1301, 4);
    bench.step("d", 1300, Step::Done(Status::Success));
    let spans = bench.flush();
    let found: Vec<_> =
        spans.iter().map(|span| (tag(span, "request_id").unwrap(), span.span_id, tag(span, "n"))).collect();
    assert_eq!(found, [("a", 1, Some("1")), ("b", 2, Some("2")), ("d", 4, Some("4"))]);
}

#[test]
fn a_timeout_is_an_error_and_keeps_the_ids_that_are_known() {
    let mut bench = Bench::new(ON_DEMAND);
    bench.steps(
        "a",
        1000,
        [Step::Invoke, Step::StartCall, Step::Placeholder, Step::Start, Step::Done(Status::Timeout)],
    );
    let spans = bench.flush();
    let lambda = lambda(&spans);
    assert_eq!((lambda.trace_id, lambda.span_id, lambda.error), (trace_id("a"), 78, 1));
    assert_eq!(tag(lambda, "error.msg"), Some("Datadog detected a Timeout"));
    assert_eq!(tag(lambda, "error.type"), Some("Timeout"));
    assert_eq!(spans.iter().find(|span| span.name == "aws.sqs").unwrap().error, 1);
    let mut bench = Bench::new(ON_DEMAND);
    bench.steps("a", 1000, [Step::Invoke, Step::Done(Status::Timeout), Step::Report]);
    assert!(bench.flush().is_empty(), "no tracer has reported it");
}

#[test]
fn a_crash_before_the_end_leaves_no_span_and_lets_go_of_what_was_reported() {
    let mut bench = Bench::new(ON_DEMAND);
    bench.steps(
        "a",
        1000,
        [Step::Invoke, Step::StartCall, Step::Placeholder, Step::Done(Status::Failure), Step::Report],
    );
    assert!(bench.flush().is_empty());
    assert!(bench.processor.contexts.iter().all(|context| context.trace.is_closed && context.trace.bytes == 0));
}

#[test]
fn errors_of_the_handler_are_counted_once_and_shown() {
    let error = CallError { message: Some("m".to_owned()), kind: Some("t".to_owned()), stack: Some("s".to_owned()) };
    for (end, message) in [
        (EndCall { error: Some(error), ..EndCall::default() }, Some("m")),
        (EndCall { status_code: Some(503), ..EndCall::default() }, None),
    ] {
        let mut bench = Bench::new(ON_DEMAND);
        let end = EndCall { trace_id: Some(5), span_id: Some(7), ..end };
        bench.steps("a", 1000, [Step::InitStart, Step::Invoke, Step::StartCall, Step::EndCall(Box::new(end))]);
        bench.steps("a", 1000, [Step::Done(Status::Error), Step::Report]);
        assert_eq!(bench.count("aws.lambda.enhanced.errors"), 1);
        let spans = bench.flush();
        assert_eq!((lambda(&spans).error, tag(lambda(&spans), "error.msg")), (1, message));
        assert_eq!(spans.iter().find(|span| span.name == "aws.sqs").unwrap().error, 1);
    }
}

#[test]
fn load_span_of_tracer_sets_trace_of_cold_start() {
    for late in [false, true] {
        let mut bench = Bench::new(ON_DEMAND);
        assert_eq!(bench.processor.span_parents().cold_start(), 42);
        let observed = SpanObservations { load_trace_id: Some(9), ..SpanObservations::default() };
        if !late {
            bench.steps("a", 1000, [Step::InitStart, Step::InitReport]);
        }
        bench.step("a", 1000, Step::Invoke);
        bench.processor.observed(observed, 1005, &mut bench.out);
        if late {
            assert!(bench.flush().is_empty(), "nobody has told how long it took");
            bench.steps("a", 1000, [Step::InitStart, Step::InitReport]);
        }
        bench.steps("a", 1000, [Step::Start, Step::Done(Status::Success), Step::Report]);
        let spans = bench.flush();
        let [cold_start] = &spans[..] else { panic!("{spans:?}") };
        assert_eq!((&*cold_start.name, cold_start.trace_id, cold_start.parent_id), ("aws.lambda.cold_start", 9, 0));
        assert!(bench.steps("b", 2000, attempt()).flush().iter().all(|span| span.name != "aws.lambda.cold_start"));
    }
}

#[test]
fn a_sandbox_that_was_started_ahead_has_no_cold_start_span() {
    let mut bench = Bench::new(ON_DEMAND);
    bench.steps("a", 60_000, [Step::InitStart, Step::InitReport]).steps("a", 60_000, attempt());
    let spans = bench.flush();
    assert_eq!(tag(lambda(&spans), "proactive_initialization"), Some("true"));
    assert!(spans.iter().all(|span| span.name != "aws.lambda.cold_start"));
    assert_eq!(bench.processor.span_parents().cold_start(), 0);
}

#[test]
fn a_restore_replaces_the_cold_start() {
    let mut bench = Bench::new(Settings { snap_start: true, ..ON_DEMAND });
    bench.steps("a", 3_600_000, [Step::InitStart, Step::InitReport]);
    bench.platform(3_599_000, Platform::RestoreStart);
    bench.platform(3_599_500, Platform::RestoreReport(RestoreReport { duration_ms: Some(400.0) }));
    let spans = bench.steps("a", 3_600_000, attempt()).flush();
    let names: Vec<_> = spans.iter().map(|span| &*span.name).collect();
    assert_eq!(names, ["aws.lambda", "aws.lambda.snapstart_restore", "aws.sqs"]);
    assert_eq!((spans[1].start, spans[1].duration), (3_599_000 * 1_000_000, 400_000_000));
    assert_eq!(tag(&spans[0], "cold_start"), Some("true"));
    assert_eq!(bench.processor.span_parents().cold_start(), 0, "no init to load the handler in");
}

#[test]
fn managed_instances_have_neither_cold_starts_nor_their_tag() {
    let mut bench = Bench::new(Settings { managed: true, ..ON_DEMAND });
    bench.steps("a", 1000, [Step::InitStart, Step::InitReport]);
    let steps = attempt().into_iter().filter(|step| !matches!(step, Step::Invoke | Step::Done(_)));
    let spans = bench.steps("a", 1000, steps).flush();
    assert_eq!(spans.len(), 2, "{spans:?}");
    assert_eq!((tag(lambda(&spans), "cold_start"), lambda(&spans).duration), (None, 12_000_000));
}

#[test]
fn without_telemetry_spans_end_with_the_call() {
    let mut bench = Bench::new(Settings { telemetry: false, ..ON_DEMAND });
    let spans = bench.steps("a", 1000, attempt().into_iter().take(4)).flush();
    assert_eq!((lambda(&spans).start, lambda(&spans).duration), (1000 * 1_000_000, 8_000_000));
}

#[test]
fn what_is_known_at_the_end_of_the_sandbox_is_built() {
    let mut bench = Bench::new(ON_DEMAND);
    bench.steps("a", 1000, attempt().into_iter().take(4));
    assert!(bench.flush().is_empty(), "it still runs");
    bench.processor.ended(2000, &mut bench.out);
    assert_eq!(lambda(&bench.take()).duration, 8_000_000);
}

#[test]
fn what_waits_is_bounded_and_the_oldest_gives_way() {
    let large = |id: &str| StartCall {
        request_id: Some(id.into()),
        captured: vec![("k".to_owned(), "x".repeat(1 << 20))],
        ..start_call(id)
    };
    let mut bench = Bench::new(ON_DEMAND);
    for number in 0..40 {
        let id = number.to_string();
        bench.step(&id, 1000, Step::Invoke);
        bench.processor.call(Call::Start(Box::new(large(&id))), &mut bench.out);
        let held: usize = bench.processor.contexts.iter().map(|context| context.trace.bytes).sum();
        assert!(held <= MAX_HELD_BYTES, "{held}");
    }
    assert_eq!(bench.out.lost_spans, 25);
    let mut bench = Bench::new(ON_DEMAND);
    for number in 0..1000 {
        bench.processor.call(Call::Start(Box::new(large(&number.to_string()))), &mut bench.out);
    }
    assert_eq!(bench.out.lost_spans, 985, "those of nobody");
}

#[test]
fn what_came_long_before_an_invocation_is_not_its_own() {
    let mut bench = Bench::new(ON_DEMAND);
    bench.step("a", 1000, Step::StartCall);
    let steps = attempt().into_iter().filter(|step| *step != Step::StartCall);
    assert_eq!(lambda(&bench.steps("a", 61_000, steps).flush()).parent_id, 0);
}
