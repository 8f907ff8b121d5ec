//! Spans of invocations: the calls of tracers on port 8124, and what arrives at the intake.

use std::{
    io::Write as _,
    net::TcpStream,
    thread,
    time::{Duration, SystemTime},
};

use matrix::{
    sample_events::{self, SampleEvent},
    sandbox::{
        Function, Setup,
        function::{Call, HandlerOutcome},
        intake::Span,
        setup::{Delivery, Initialization, Order},
        tracer::{self, Reply},
    },
};

use crate::{
    node::node_through,
    support::{self, Run, python_through},
    traces::{self, post, run_sandbox, with},
};

const REQUEST_ID: &str = "lambda-runtime-aws-request-id";

/// Calls the lifecycle listener.
fn call(method: &str, path: &str, headers: &[(&str, &str)], body: &[u8]) -> Reply {
    let request = tracer::Request { method, path, headers, body };
    let mut connection = TcpStream::connect("127.0.0.1:8124").unwrap();
    connection.write_all(&request.bytes()).unwrap();
    tracer::reply(&mut connection).unwrap()
}

fn accepted(reply: &Reply) {
    assert_eq!((reply.status, reply.body.as_str()), (200, "{}"), "{reply:?}");
}

/// What a tracer does around a handler, by its documented sequence of calls.
#[derive(Clone, Copy, Debug)]
pub struct Tracer {
    language: &'static str,
    /// It names the invocation in its calls.
    knows_request_id: bool,
    /// It sends its spans before it reports the end.
    flushes_first: bool,
}

pub const JAVA: Tracer = Tracer { language: "java", knows_request_id: true, flushes_first: true };
const DOT_NET: Tracer = Tracer { language: "dotnet", knows_request_id: false, flushes_first: true };
const GO: Tracer = Tracer { language: "go", knows_request_id: false, flushes_first: false };
const RUBY: Tracer = Tracer { language: "ruby", knows_request_id: true, flushes_first: false };

impl Tracer {
    /// Plays its calls around a handler that answers like this. The id of the invocation's span is 100 and the number of the event.
    fn play(self, call: &Call<'_>, end_headers: &[(&str, &str)], response: &str) {
        self.start(call);
        self.play_started(call, end_headers, response);
    }

    /// The same, of an invocation by another event than the number that it has.
    pub fn play_event(self, call: &Call<'_>, event: &[u8], end_headers: &[(&str, &str)], response: &str) {
        self.start_event(call, event);
        self.play_started(call, end_headers, response);
    }

    /// The calls after the first.
    fn play_started(self, call: &Call<'_>, end_headers: &[(&str, &str)], response: &str) {
        let number: u64 = std::str::from_utf8(call.event).unwrap().parse().unwrap();
        if self.flushes_first {
            self.flush(call, number);
        }
        let (trace_id, span_id) = ((50 + number).to_string(), (100 + number).to_string());
        let ids = [("x-datadog-trace-id", trace_id.as_str()), ("x-datadog-span-id", span_id.as_str())];
        let headers = [&self.named(call)[..], &ids, end_headers].concat();
        accepted(&self::call("POST", "/lambda/end-invocation", &headers, response.as_bytes()));
        if !self.flushes_first {
            self.flush(call, number);
        }
    }

    fn named<'c>(self, call: &'c Call<'_>) -> Vec<(&'static str, &'c str)> {
        let id = self.knows_request_id.then_some((REQUEST_ID, call.request_id));
        [("datadog-meta-lang", self.language)].into_iter().chain(id).collect()
    }

    fn start(self, call: &Call<'_>) -> Reply {
        self.start_event(call, call.event)
    }

    fn start_event(self, call: &Call<'_>, event: &[u8]) -> Reply {
        let reply = self::call("POST", "/lambda/start-invocation", &self.named(call), event);
        accepted(&reply);
        reply
    }

    /// Sends a placeholder and a span of the handler's.
    fn flush(self, call: &Call<'_>, number: u64) {
        let mut placeholder = span_of(number, "dd-tracer-serverless-span", [100 + number, 0]);
        placeholder.meta.insert("request_id".to_owned(), call.request_id.to_owned());
        placeholder.meta.insert("language".to_owned(), self.language.to_owned());
        placeholder.metrics.insert("_sampling_priority_v1".to_owned(), 2.0);
        let trace = vec![placeholder, span_of(number, "handler", [200 + number, 100 + number])];
        assert_eq!(post("/v0.4/traces", &[], &tracer::v04(&[trace])).status, 200);
    }
}

/// A span in the trace of the event with this number; its id and that of its parent.
pub fn span_of(number: u64, name: &str, [span_id, parent_id]: [u64; 2]) -> Span {
    Span {
        service: "shop".to_owned(),
        name: name.to_owned(),
        resource: name.to_owned(),
        trace_id: 50 + number,
        span_id,
        parent_id,
        start: 1_700_000_000_000_000_000,
        duration: 1000,
        ..Span::default()
    }
}

fn traced(tracer: Tracer) -> Function {
    Function::from_fn(move |call| {
        tracer.play(call, &[], r#"{"statusCode":200}"#);
        HandlerOutcome::Response(b"null".to_vec())
    })
}

/// The spans of this name, in the order of their traces.
pub fn spans(run: &Run, name: &str) -> Vec<Span> {
    let mut spans: Vec<_> = run.intake.spans().into_iter().filter(|span| span.name == name).collect();
    spans.sort_by_key(|span| span.trace_id);
    spans
}

pub fn tag<'s>(span: &'s Span, key: &str) -> Option<&'s str> {
    span.meta.get(key).map(String::as_str)
}

/// One span for each invocation, above those of its handler, with what the placeholder said; the placeholder itself is not sent.
fn assert_spans_of_invocations(run: &Run, tracer: Tracer) {
    let invocations = spans(run, "aws.lambda");
    assert_eq!(invocations.len(), run.invocations.len(), "{tracer:?}\n{}", run.own_lines());
    let handlers = spans(run, "handler");
    assert_eq!(handlers.len(), invocations.len(), "{tracer:?}\n{}", run.own_lines());
    for ((span, handler), invocation) in invocations.iter().zip(&handlers).zip(&run.invocations) {
        assert_eq!((handler.parent_id, handler.trace_id), (span.span_id, span.trace_id), "{tracer:?}");
        assert_eq!(tag(span, "request_id"), Some(invocation.request_id.as_str()), "{tracer:?}");
        assert_eq!(tag(span, "language"), Some(tracer.language));
        assert_eq!((span.service.as_str(), span.kind.as_str()), ("function", "serverless"));
        assert_eq!((tag(span, "span.kind"), tag(span, "http.status_code")), (Some("server"), Some("200")));
        assert!(span.duration > 0 && span.start > 0 && span.error == 0, "{span:?}");
        assert!(tag(span, "functionname").is_some() && tag(span, "runtime").is_some(), "{:?}", span.meta);
        assert_eq!(span.metrics.get("_sampling_priority_v1"), Some(&2.0));
    }
    assert_eq!(spans(run, "dd-tracer-serverless-span"), []);
}

fn cold_starts(run: &Run) -> Vec<Option<String>> {
    spans(run, "aws.lambda").iter().map(|span| tag(span, "cold_start").map(str::to_owned)).collect()
}

#[test]
fn the_calls_of_every_tracer_become_spans_of_invocations() {
    for (tracer, order) in [
        (JAVA, Order::Rapid),
        (DOT_NET, Order::InitAfterInvoke),
        (GO, Order::Rapid),
        (RUBY, Order::Shuffled { seed: 3 }),
    ] {
        let delivery = Delivery { order, ..Delivery::default() };
        let Some(run) = run_sandbox(Setup { delivery, ..with(traced(tracer), &[]) }, 3) else { return };
        assert_spans_of_invocations(&run, tracer);
        assert_eq!(cold_starts(&run), [Some("true"), Some("false"), Some("false")].map(|it| it.map(str::to_owned)));
        let [cold_start] = &spans(&run, "aws.lambda.cold_start")[..] else { panic!("{:?}", run.intake.spans()) };
        let first = &spans(&run, "aws.lambda")[0];
        assert_eq!((cold_start.trace_id, cold_start.parent_id), (first.trace_id, first.parent_id), "a sibling");
        assert!(cold_start.start < first.start && cold_start.duration > 0, "{cold_start:?}");
        assert_eq!(run.count("errors"), 0);
    }
}

/// An event of SQS whose message names a trace.
const SQS: &str = r#"{"Records": [{
    "eventSource": "aws:sqs", "eventSourceARN": "arn:aws:sqs:us-east-1:123456789012:orders", "awsRegion": "us-east-1",
    "messageId": "1", "receiptHandle": "h", "body": "b", "md5OfBody": "m",
    "attributes": {"ApproximateReceiveCount": "1", "SentTimestamp": "1700000000000", "SenderId": "s"},
    "messageAttributes": {"_datadog": {"dataType": "String", "stringValue":
        "{\"x-datadog-trace-id\":\"7\",\"x-datadog-parent-id\":\"8\",\"x-datadog-sampling-priority\":\"2\",\"x-datadog-tags\":\"_dd.p.tid=640cfd8d00000000\"}"
    }}
}]}"#;

#[test]
fn the_trace_of_an_event_goes_on_in_the_reply_and_above_the_span() {
    let function = Function::from_fn(|call| {
        let named = JAVA.named(call);
        let reply = self::call("POST", "/lambda/start-invocation", &named, SQS.as_bytes());
        accepted(&reply);
        let headers = reply.headers.to_lowercase();
        for header in [
            "x-datadog-trace-id: 7\r\n",
            "x-datadog-sampling-priority: 2\r\n",
            "x-datadog-tags: _dd.p.tid=640cfd8d00000000\r\n",
        ] {
            assert!(format!("{headers}\r\n").contains(header), "{header} in {headers}");
        }
        let ids = [("x-datadog-trace-id", "7"), ("x-datadog-span-id", "100")];
        accepted(&self::call("POST", "/lambda/end-invocation", &[&named[..], &ids].concat(), b"null"));
        HandlerOutcome::Response(b"null".to_vec())
    });
    let Some(run) = run_sandbox(with(function, &[]), 1) else { return };
    let [lambda] = &spans(&run, "aws.lambda")[..] else { panic!("{}", run.own_lines()) };
    let [sqs] = &spans(&run, "aws.sqs")[..] else { panic!("{}", run.own_lines()) };
    assert_eq!((lambda.trace_id, lambda.span_id, lambda.parent_id), (7, 100, sqs.span_id));
    assert_eq!((sqs.trace_id, sqs.parent_id, sqs.start), (7, 8, 1_700_000_000_000_000_000));
    assert_eq!((tag(sqs, "_dd.p.tid"), sqs.resource.as_str()), (Some("640cfd8d00000000"), "orders"));
    assert_eq!(tag(lambda, "function_trigger.event_source"), Some("sqs"));
    assert_eq!(lambda.metrics.get("_sampling_priority_v1"), Some(&2.0), "the decision of the caller");
}

/// What the event of each number comes through, from the service that invokes the function outwards.
const SERVICES: &[(SampleEvent, &[&str])] = &[
    (sample_events::REST_API, &["aws.apigateway"]),
    (sample_events::HTTP_API, &["aws.httpapi"]),
    (sample_events::WEBSOCKET, &["aws.apigateway"]),
    (sample_events::LOAD_BALANCER, &[]),
    (sample_events::FUNCTION_URL, &["aws.lambda.url"]),
    (sample_events::SQS, &["aws.sqs"]),
    (sample_events::SNS, &["aws.sns"]),
    (sample_events::S3, &["aws.s3"]),
    (sample_events::DYNAMODB, &["aws.dynamodb"]),
    (sample_events::KINESIS, &["aws.kinesis"]),
    (sample_events::EVENTBRIDGE, &["aws.eventbridge"]),
    (sample_events::MSK, &["aws.msk"]),
    (sample_events::STEP_FUNCTIONS, &[]),
    (sample_events::SNS_SQS, &["aws.sqs", "aws.sns"]),
    (sample_events::EVENTBRIDGE_SQS, &["aws.sqs", "aws.eventbridge"]),
    (sample_events::EVENTBRIDGE_SNS, &["aws.sns", "aws.eventbridge"]),
];

#[test]
fn the_services_that_an_event_came_through_are_above_the_span_of_its_invocation() {
    assert_eq!(SERVICES.len(), sample_events::ALL.len());
    let function = Function::from_fn(|call| {
        let number: usize = std::str::from_utf8(call.event).unwrap().parse().unwrap();
        let event = SERVICES[number].0.until(SystemTime::now());
        accepted(&self::call("POST", "/lambda/start-invocation", &JAVA.named(call), event.as_bytes()));
        JAVA.play_started(call, &[], r#"{"statusCode":200}"#);
        HandlerOutcome::Response(b"null".to_vec())
    });
    let Some(run) = run_sandbox(with(function, &[]), SERVICES.len()) else { return };
    let (all, mut lambdas) = (run.intake.spans(), spans(&run, "aws.lambda"));
    // In the order of the events, of which several name the same trace.
    lambdas.sort_by_key(|span| span.span_id);
    assert_eq!(lambdas.len(), SERVICES.len(), "{}", run.own_lines());
    for (lambda, (event, services)) in lambdas.iter().zip(SERVICES) {
        let mut above = Vec::new();
        let mut below = lambda;
        while let Some(span) = all.iter().find(|it| it.trace_id == lambda.trace_id && it.span_id == below.parent_id) {
            assert!(span.start < below.start && span.duration < 60_000_000_000, "{}: {span:?}", event.name);
            above.push(span.name.as_str());
            below = span;
        }
        assert_eq!(above, *services, "{}", event.name);
    }
}

#[test]
fn records_are_checkpoints_of_data_streams_if_that_is_wanted() {
    for (variables, expected) in [(&[("DD_DATA_STREAMS_ENABLED", "true")][..], 1), (&[], 0)] {
        let function = Function::from_fn(|call| {
            accepted(&self::call("POST", "/lambda/start-invocation", &JAVA.named(call), SQS.as_bytes()));
            HandlerOutcome::Response(b"null".to_vec())
        });
        let Some(run) = run_sandbox(with(function, variables), 1) else { return };
        let delivered = run.intake.delivered();
        let of_streams = delivered.iter().filter(|request| request.path == "/api/v0.1/pipeline_stats");
        let encodings: Vec<_> = of_streams.map(|request| request.encoding.as_str()).collect();
        assert_eq!(encodings, vec!["gzip"; expected], "{}", run.own_lines());
    }
}

#[test]
fn every_strategy_delivers_every_span_of_an_invocation_once() {
    for strategy in ["end", "periodically,1", "continuously,1", "default"] {
        let variables = [("DD_SERVERLESS_FLUSH_STRATEGY", strategy)];
        let Some(run) = run_sandbox(with(traced(JAVA), &variables), 4) else { return };
        assert_spans_of_invocations(&run, JAVA);
    }
}

/// In those kinds that Lambda offers for the language.
///
/// Source: Lambda developer guide, "Improving startup performance with Lambda SnapStart", "Lambda Managed Instances runtimes", "Supported runtimes for durable functions".
#[test]
fn every_kind_of_sandbox_has_its_own_span_of_the_start_and_cold_start_tags() {
    let kind = |initialization| Setup { initialization, ..Setup::default() };
    let durable = Some(crate::durable::RUNTIME.to_owned());
    let (compiled, all) = ([JAVA, DOT_NET], [JAVA, DOT_NET, GO, RUBY]);
    for (kind, tracers, startup, is_tagged) in [
        (kind(Initialization::ProvisionedConcurrency), &all[..], &["aws.lambda.cold_start"][..], true),
        (kind(Initialization::SnapStart), &compiled, &["aws.lambda.snapstart_restore"], true),
        (kind(Initialization::ManagedInstances), &compiled, &[], false),
        (Setup { runtime_version: durable, ..Setup::default() }, &compiled, &["aws.lambda.cold_start"], true),
    ] {
        for &tracer in tracers {
            let Setup { initialization, runtime_version, .. } = kind.clone();
            let setup = Setup { initialization, runtime_version, ..with(traced(tracer), &[]) };
            let Some(run) = run_sandbox(setup, 2) else { return };
            assert_spans_of_invocations(&run, tracer);
            let names = ["aws.lambda.cold_start", "aws.lambda.snapstart_restore"];
            let found: Vec<_> = names.into_iter().filter(|name| !spans(&run, name).is_empty()).collect();
            assert_eq!(found, startup, "{initialization:?} {tracer:?}\n{}", run.own_lines());
            assert!(cold_starts(&run).iter().all(|tag| tag.is_some() == is_tagged), "{initialization:?}");
        }
    }
}

#[test]
fn errors_of_the_handler_are_on_the_span_and_counted_once() {
    let function = Function::from_fn(|call| {
        let error = [
            ("x-datadog-invocation-error", "true"),
            ("x-datadog-invocation-error-msg", "Ym9vbQ=="),
            ("x-datadog-invocation-error-type", "java.lang.Boom"),
            ("x-datadog-invocation-error-stack", "c3RhY2s="),
        ];
        JAVA.play(call, &error, "null");
        HandlerOutcome::Response(b"null".to_vec())
    });
    let Some(run) = run_sandbox(with(function, &[]), 1) else { return };
    let [span] = &spans(&run, "aws.lambda")[..] else { panic!("{:?}", run.intake.spans()) };
    let error = (tag(span, "error.msg"), tag(span, "error.type"), tag(span, "error.stack"));
    assert_eq!((span.error, error), (1, (Some("boom"), Some("java.lang.Boom"), Some("stack"))));
    assert_eq!(run.count("errors"), 1);
}

#[test]
fn a_response_of_a_failing_server_is_an_error() {
    let function = Function::from_fn(|call| {
        JAVA.play(call, &[], r#"{"statusCode":503}"#);
        HandlerOutcome::Response(b"null".to_vec())
    });
    let Some(run) = run_sandbox(with(function, &[]), 1) else { return };
    let [span] = &spans(&run, "aws.lambda")[..] else { panic!("{:?}", run.intake.spans()) };
    assert_eq!((span.error, tag(span, "http.status_code")), (1, Some("503")));
    assert_eq!(run.count("errors"), 1);
}

#[test]
fn a_timeout_is_a_span_with_an_error() {
    let function = Function::from_fn(|call| {
        JAVA.start(call);
        JAVA.flush(call, 0);
        thread::sleep(Duration::from_secs(30));
        HandlerOutcome::Response(b"null".to_vec())
    });
    let setup = Setup { timeout: Duration::from_secs(3), ..with(function, &[]) };
    let Some(sandbox) = traces::start(setup) else { return };
    let invocations = support::invoke(&sandbox, 0..1);
    let run = support::end(sandbox, invocations);
    let [span] = &spans(&run, "aws.lambda")[..] else { panic!("{}", run.own_lines()) };
    assert_eq!((span.error, tag(span, "error.type")), (1, Some("Timeout")), "{}", run.own_lines());
    assert_eq!(span.span_id, 100, "the spans of the handler stay below it");
}

#[test]
fn payloads_are_tags_if_that_is_wanted() {
    // So much that the spans are processed beside the loop.
    let many = format!("[{}\"last\"]", format!("\"{}\",", "x".repeat(1000)).repeat(100));
    let response =
        format!(r#"{{"body":{{"password":"p","Token":[5],"list":[1,{{"deep":true,"pwd":1}}]}},"many":{many}}}"#);
    let function = Function::from_fn(move |call| {
        JAVA.play(call, &[], &response);
        HandlerOutcome::Response(b"null".to_vec())
    });
    let variables = [("DD_CAPTURE_LAMBDA_PAYLOAD", "true"), ("DD_CAPTURE_LAMBDA_PAYLOAD_MAX_DEPTH", "3")];
    let Some(run) = run_sandbox(with(function, &variables), 1) else { return };
    let [span] = &spans(&run, "aws.lambda")[..] else { panic!("{:?}", run.intake.spans()) };
    for (key, expected) in [
        ("function.request", "0"),
        ("function.response.body.password", "redacted"),
        ("function.response.body.Token", "redacted"),
        ("function.response.body.list.0", "1"),
        ("function.response.many.100", "last"),
        ("function.response.body.list.1", r#"{"deep":true,"pwd":"redacted"}"#),
    ] {
        assert_eq!(tag(span, key), Some(expected), "{key} in {:?}", span.meta);
    }
}

#[test]
fn bodies_that_are_too_long_or_no_json_cost_only_what_is_in_them() {
    let function = Function::from_fn(|call| {
        let body = match call.event {
            b"0" => vec![b' '; (6 << 20) + 1],
            b"1" => b"\xff{".to_vec(),
            _ => [vec![b'['; 10_000], vec![b']'; 10_000]].concat(),
        };
        accepted(&self::call("POST", "/lambda/start-invocation", &JAVA.named(call), &body));
        JAVA.play(call, &[], r#"{"statusCode":200}"#);
        accepted(&self::call("POST", "/lambda/end-invocation", &JAVA.named(call), &body));
        accepted(&self::call("GET", "/lambda/hello", &[], b""));
        HandlerOutcome::Response(b"null".to_vec())
    });
    let Some(run) = run_sandbox(with(function, &[("DD_CAPTURE_LAMBDA_PAYLOAD", "true")]), 3) else { return };
    assert_spans_of_invocations(&run, JAVA);
}

const PYTHON: &str = r"
def handler(event, context):
    return event
";

/// The library builds the span of the invocation itself, and in the first one a span in which the handler is loaded.
#[test]
fn the_cold_start_of_a_function_wrapped_by_datadog_lambda_is_above_its_load_span() {
    let directory = tempfile::tempdir().unwrap();
    std::fs::write(directory.path().join("requirements.txt"), "datadog-lambda==8.130.0\nddtrace==4.16.0\n").unwrap();
    let function = python_through(&directory, PYTHON, "datadog_lambda.handler.handler");
    let setup = with(function, &[("DD_LAMBDA_HANDLER", "function.handler"), ("DD_TRACE_ENABLED", "true")]);
    let Some(run) = run_sandbox(Setup { timeout: Duration::from_secs(30), ..setup }, 2) else { return };
    let invocations = spans(&run, "aws.lambda");
    assert_eq!(invocations.len(), 2, "{}", run.own_lines());
    let [load] = &spans(&run, "aws.lambda.load")[..] else { panic!("{:?}", run.intake.spans()) };
    let [cold_start] = &spans(&run, "aws.lambda.cold_start")[..] else { panic!("{:?}", run.intake.spans()) };
    assert_eq!((load.parent_id, load.trace_id), (cold_start.span_id, cold_start.trace_id));
    assert!(invocations.iter().any(|span| span.trace_id == cold_start.trace_id), "{invocations:?}");
}

const NODE: &str = r#"
const tracer = require("dd-trace");
exports.handler = async (event) => tracer.trace("shop.order", {}, () => event.Records.length);
"#;

/// The library builds the spans of the queue and of the invocation itself, and in the first one a span in which the handler is loaded.
#[test]
fn the_cold_start_of_a_function_wrapped_by_datadog_lambda_js_is_above_its_load_span() {
    let directory = tempfile::tempdir().unwrap();
    let function = node_through(&directory, NODE, "node_modules/datadog-lambda-js/dist/handler.handler");
    let setup = with(function, &[("DD_LAMBDA_HANDLER", "function.handler"), ("DD_TRACE_ENABLED", "true")]);
    let Some(sandbox) = traces::start(Setup { timeout: Duration::from_secs(30), ..setup }) else { return };
    let event = sample_events::SQS.until(SystemTime::now());
    let invocations = (0..2).map(|_| sandbox.invoke(event.as_bytes()).unwrap()).collect();
    let run = support::end(sandbox, invocations);
    run.assert_unharmed();
    let [lambdas, orders, queues] = ["aws.lambda", "shop.order", "aws.sqs"].map(|name| spans(&run, name));
    assert_eq!([lambdas.len(), orders.len(), queues.len()], [2, 2, 2], "{}", run.own_lines());
    let is_below = |below: &Span, above: &[Span]| {
        above.iter().any(|span| (span.trace_id, span.span_id) == (below.trace_id, below.parent_id))
    };
    assert!(orders.iter().all(|order| is_below(order, &lambdas)), "{orders:?} {lambdas:?}");
    assert!(lambdas.iter().all(|lambda| is_below(lambda, &queues)), "{lambdas:?} {queues:?}");
    assert!(queues.iter().all(|queue| queue.trace_id == 1_234_567_890_123_456_789), "that of the event: {queues:?}");
    let [load] = &spans(&run, "aws.lambda.load")[..] else { panic!("{:?}", run.intake.spans()) };
    let [cold_start] = &spans(&run, "aws.lambda.cold_start")[..] else { panic!("{:?}", run.intake.spans()) };
    assert_eq!((load.parent_id, load.trace_id), (cold_start.span_id, cold_start.trace_id));
}
