//! Spans of invocations that no tracer reports: the function is a web application behind the Lambda Web Adapter.

use super::*;
use crate::process::trace::InvocationSpan;

const SPAN_ID: u64 = 90;

/// A request over HTTP, whose headers name a trace or do not.
fn start(names_trace: bool) -> Call {
    start_of("a", 1002, names_trace)
}

/// The same as the event of this invocation, at this time.
fn start_of(id: &str, time: Timestamp, names_trace: bool) -> Call {
    let headers = if names_trace {
        r#"{"x-datadog-trace-id":"7","x-datadog-parent-id":"20","x-datadog-sampling-priority":"2"}"#
    } else {
        "{}"
    };
    let event = format!(r#"{{"headers":{headers},"id":"an-event-of-nothing-that-has-spans"}}"#);
    let call = decoder(None).event(id.into(), event.as_bytes(), time);
    Call::Start(Box::new(StartCall { span_id: Some(SPAN_ID), ..call }))
}

fn end() -> Call {
    Call::End(Box::new(decoder(None).response("a".into(), br#"{"statusCode":503}"#, 1008)))
}

impl Bench {
    fn report(&mut self, call: Call) -> &mut Self {
        if let Call::Start(start) = &call {
            self.decode(start);
        }
        self.processor.call(call, &mut self.out);
        self
    }

    /// An event is decoded.
    fn decode(&mut self, start: &StartCall) {
        let (trace_id, parent_id) = start.context.as_ref().map(|it| (it.trace_id, it.span_id)).unzip();
        let request_id = start.request_id.clone().unwrap();
        let parent_id = parent_id.unwrap_or_default();
        let adopting = InvocationSpan { request_id, span_id: SPAN_ID, parent_id, trace_id, begun: start.time };
        self.processor.span_parents().invocations.add(adopting);
    }

    /// A span of the application comes, which began with the first invocation. Gives its parent.
    fn observe(&mut self, trace_id: u64, parent_id: u64) -> u64 {
        self.observe_from(1003, trace_id, parent_id)
    }

    /// The same of a span that began then.
    fn observe_from(&mut self, time: Timestamp, trace_id: u64, parent_id: u64) -> u64 {
        let start = time * 1_000_000;
        let mut spans = [Span { trace_id, span_id: 4, parent_id, start, duration: 1, ..Span::default() }];
        let mut observed = SpanObservations::default();
        observed.look(&mut spans, &self.processor.span_parents(), false);
        self.processor.observed(observed, 1010, &mut self.out);
        spans[0].parent_id
    }
}

#[test]
fn the_trace_of_the_event_goes_on_in_the_invocation_and_in_the_application() {
    let mut bench = Bench::new(ON_DEMAND);
    bench.step("a", 1000, Step::Invoke).report(start(true)).report(end());
    assert_eq!(bench.observe(7, 20), SPAN_ID);
    let spans = bench.steps("a", 1000, [Step::Start, Step::Done(Status::Success)]).flush();
    let lambda = lambda(&spans);
    assert_eq!((lambda.trace_id, lambda.span_id, lambda.parent_id, lambda.error), (7, SPAN_ID, 20, 1));
    assert_eq!(tag(lambda, "http.status_code"), Some("503"));
    assert_eq!(bench.count("aws.lambda.enhanced.errors"), 1);
}

#[test]
fn an_invocation_without_a_trace_takes_that_of_the_application_whenever_it_comes() {
    let done = [Step::Start, Step::Done(Status::Success)];
    for is_late in [false, true] {
        let mut bench = Bench::new(ON_DEMAND);
        bench.step("a", 1000, Step::InitStart).step("a", 1000, Step::InitReport);
        bench.step("a", 1000, Step::Invoke).report(start(false)).report(end());
        if is_late {
            assert!(bench.steps("a", 1000, done.clone()).flush().iter().all(|span| span.name != "aws.lambda"));
        }
        assert_eq!(bench.observe(5, 0), SPAN_ID);
        let spans = if is_late { bench.take() } else { bench.steps("a", 1000, done.clone()).flush() };
        let lambda = lambda(&spans);
        assert_eq!((lambda.trace_id, lambda.span_id, lambda.parent_id), (5, SPAN_ID, 0), "late: {is_late}");
    }
}

#[test]
fn spans_before_their_invocation_name_its_trace() {
    let mut bench = Bench::new(ON_DEMAND);
    bench.step("a", 1000, Step::InitStart).step("a", 1000, Step::InitReport);
    let Call::Start(call) = start(false) else { panic!("no start") };
    bench.decode(&call);
    assert_eq!(bench.observe(5, 0), SPAN_ID);
    bench.processor.call(Call::Start(call), &mut bench.out);
    bench.step("a", 1000, Step::Invoke).report(end());
    let spans = bench.steps("a", 1000, [Step::Start, Step::Done(Status::Success)]).flush();
    assert_eq!((lambda(&spans).trace_id, lambda(&spans).span_id), (5, SPAN_ID));
}

#[test]
fn spans_that_come_after_the_report_are_those_of_later_invocations() {
    let mut bench = Bench::new(ON_DEMAND);
    bench.step("a", 1000, Step::Invoke).report(start(false)).report(end());
    bench.steps("a", 1000, [Step::Start, Step::Done(Status::Success), Step::Report]);
    assert_eq!(bench.observe(5, 0), 0);
    assert!(bench.flush().iter().all(|span| span.name != "aws.lambda"), "nobody knows its trace");
}

#[test]
fn a_span_that_a_freeze_held_up_names_no_trace_of_the_next_invocation() {
    let mut bench = Bench::new(ON_DEMAND);
    bench.step("a", 1000, Step::Invoke).report(start(false)).report(end());
    bench.steps("a", 1000, [Step::Start, Step::Done(Status::Success)]);
    // The sandbox is thawed: the next event comes before what was on its way.
    let next = start_of("b", 2002, false);
    let Call::Start(call) = &next else { panic!("no start") };
    bench.decode(call);
    bench.step("a", 1000, Step::Report);
    assert_eq!(bench.observe(5, 0), 0);
    bench.processor.call(next, &mut bench.out);
    bench.step("b", 2000, Step::Invoke);
    assert_eq!(bench.observe_from(2003, 6, 0), SPAN_ID);
    let end = decoder(None).response("b".into(), b"{}", 2008);
    let spans =
        bench.report(Call::End(Box::new(end))).steps("b", 2000, [Step::Start, Step::Done(Status::Success)]).flush();
    assert_eq!((lambda(&spans).trace_id, tag(lambda(&spans), "request_id")), (6, Some("b")));
}

#[test]
fn the_report_of_an_attempt_leaves_the_next_one_its_trace() {
    let mut bench = Bench::new(ON_DEMAND);
    bench.step("a", 1000, Step::Invoke).report(start(false)).report(end());
    bench.steps("a", 1000, [Step::Start, Step::Done(Status::Error)]);
    // The sandbox is thawed: the event of the next attempt comes before the report of this one.
    let Call::Start(next) = start_of("a", 61_002, false) else { panic!("no start") };
    bench.decode(&next);
    bench.step("a", 61_000, Step::Invoke).step("a", 1000, Step::Report);
    bench.processor.call(Call::Start(next), &mut bench.out);
    assert_eq!(bench.observe_from(61_003, 5, 0), SPAN_ID);
    let end = decoder(None).response("a".into(), br#"{"statusCode":201}"#, 61_008);
    let spans =
        bench.report(Call::End(Box::new(end))).steps("a", 61_000, [Step::Start, Step::Done(Status::Success)]).flush();
    assert_eq!((lambda(&spans).trace_id, tag(lambda(&spans), "http.status_code")), (5, Some("201")));
}

#[test]
fn without_telemetry_a_flush_while_the_function_runs_leaves_its_span_alone() {
    let mut bench = Bench::new(Settings { telemetry: false, ..ON_DEMAND });
    bench.step("a", 1000, Step::Invoke).report(start(true));
    assert_eq!(bench.flush(), []);
    let spans = bench.report(end()).flush();
    let lambda = lambda(&spans);
    assert_eq!((lambda.duration, lambda.error, tag(lambda, "http.status_code")), (8_000_000, 1, Some("503")));
    assert_eq!(bench.count("aws.lambda.enhanced.errors"), 1);
}

#[test]
fn without_telemetry_shutdown_builds_span_of_unfinished_invocation() {
    let mut bench = Bench::new(Settings { telemetry: false, ..ON_DEMAND });
    bench.step("a", 1000, Step::Invoke).report(start(true));
    bench.processor.ended(2000, &mut bench.out);
    assert_eq!(lambda(&bench.take()).span_id, SPAN_ID);
}

#[test]
fn an_error_takes_the_place_of_the_response_that_lambda_has_refused() {
    let mut bench = Bench::new(ON_DEMAND);
    let error = |message| decoder(None).error("a".into(), None, message, 1009);
    bench.step("a", 1000, Step::Invoke).report(start(true)).report(end());
    for message in [&br#"{"errorMessage":"too large"}"#[..], br#"{"errorMessage":"again"}"#] {
        bench.report(Call::End(Box::new(error(message))));
    }
    let spans = bench.steps("a", 1000, [Step::Start, Step::Done(Status::Error)]).flush();
    let lambda = lambda(&spans);
    assert_eq!((tag(lambda, "error.msg"), tag(lambda, "http.status_code")), (Some("too large"), None));
}

#[test]
fn an_error_of_the_runtime_is_one_of_the_span() {
    let mut bench = Bench::new(ON_DEMAND);
    let error = decoder(None).error("a".into(), None, br#"{"errorMessage":"boom","errorType":"Late"}"#, 1008);
    bench.step("a", 1000, Step::Invoke).report(start(true)).report(Call::End(Box::new(error)));
    let spans = bench.steps("a", 1000, [Step::Start, Step::Done(Status::Error)]).flush();
    let lambda = lambda(&spans);
    assert_eq!((lambda.error, tag(lambda, "error.msg"), tag(lambda, "error.type")), (1, Some("boom"), Some("Late")));
}
