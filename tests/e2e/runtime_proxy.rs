//! The proxy in front of the Runtime API, with the real clients of runtimes behind it.

use std::{
    io::{Read as _, Write as _},
    net::{SocketAddr, TcpStream},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use matrix::{
    executable,
    sandbox::{
        Function, Outcome, Setup,
        function::{Call, HandlerOutcome},
        intake::Span,
        setup::LayerFile,
        tracer,
    },
};
use serde_json::Value;

use crate::{
    launcher::agents,
    node::node_through,
    rust::rust,
    support::{self, Run, end, invoke, python, setup_with},
    traces::{post, run_sandbox, start},
};

const PROXY: &str = "127.0.0.1:9000";
/// What a function behind the Lambda Web Adapter has set.
const WEB_ADAPTER: (&str, &str) = ("AWS_LWA_LAMBDA_RUNTIME_API_PROXY", PROXY);

/// What a function with a managed runtime has set.
const WRAPPED: [(&str, &str); 2] =
    [("AWS_LAMBDA_EXEC_WRAPPER", "/opt/datadog_wrapper"), ("DD_EXPERIMENTAL_ENABLE_PROXY", "true")];

/// The same function, whose runtime goes to the proxy as the adapter does.
fn through_proxy(function: Function) -> Function {
    let Function::Process { program, arguments, task_root, handler, mut environment } = function else {
        return function;
    };
    environment.insert("AWS_LAMBDA_RUNTIME_API".to_owned(), PROXY.to_owned());
    Function::Process { program, arguments, task_root, handler, environment }
}

fn spans(run: &Run, name: &str) -> Vec<Span> {
    let mut spans: Vec<_> = run.intake.spans().into_iter().filter(|span| span.name == name).collect();
    spans.sort_by_key(|span| span.start);
    spans
}

fn tag<'s>(span: &'s Span, key: &str) -> Option<&'s str> {
    span.meta.get(key).map(String::as_str)
}

/// A web application, whose tracer sends one span for each request, and which fails at the third.
fn application(call: &Call<'_>) -> HandlerOutcome {
    let number: u64 = std::str::from_utf8(call.event).unwrap().parse().unwrap();
    let span = Span {
        service: "shop".to_owned(),
        name: "web.request".to_owned(),
        resource: "GET /".to_owned(),
        trace_id: 50 + number,
        span_id: 200 + number,
        start: i64::try_from(SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_nanos()).unwrap(),
        duration: 1000,
        ..Span::default()
    };
    assert_eq!(post("/v0.4/traces", &[], &tracer::v04(&[vec![span]])).status, 200);
    match number {
        2 => HandlerOutcome::Error { error_type: "Late".to_owned(), message: "boom".to_owned() },
        _ => HandlerOutcome::Response(format!(r#"{{"statusCode":{},"body":"7"}}"#, 200 + number).into_bytes()),
    }
}

#[test]
fn invocations_behind_the_web_adapter_become_spans_above_those_of_the_application() {
    let Some(sandbox) = start(setup_with(Function::from_fn(application), &[WEB_ADAPTER])) else { return };
    let invocations = invoke(&sandbox, 0..3);
    let run = end(sandbox, invocations);
    let outcomes = run.invocations.iter().map(|invocation| invocation.outcome == Outcome::Success);
    assert_eq!(outcomes.collect::<Vec<_>>(), [true, true, false], "{}", run.own_lines());
    let (lambdas, requests) = (spans(&run, "aws.lambda"), spans(&run, "web.request"));
    assert_eq!((lambdas.len(), requests.len()), (3, 3), "{}", run.own_lines());
    for ((number, lambda), request) in (0_u64..).zip(&lambdas).zip(&requests) {
        assert_eq!((lambda.trace_id, lambda.parent_id), (50 + number, 0));
        assert_eq!((request.trace_id, request.parent_id), (lambda.trace_id, lambda.span_id));
        let id = run.invocations[usize::try_from(number).unwrap()].request_id.as_str();
        assert_eq!(tag(lambda, "request_id"), Some(id));
    }
    let statuses: Vec<_> = lambdas.iter().map(|span| tag(span, "http.status_code")).collect();
    assert_eq!(statuses, [Some("200"), Some("201"), None]);
    let failed = &lambdas[2];
    assert_eq!((failed.error, tag(failed, "error.msg"), tag(failed, "error.type")), (1, Some("boom"), Some("Late")));
    assert_eq!(run.count("errors"), 1);
}

/// What is answered at this address to a request that nobody expects.
fn answer(address: SocketAddr, method: &str, path: &str) -> String {
    let request = tracer::Request { method, path, headers: &[("x-own", "1")], body: b"{}" };
    let mut connection = TcpStream::connect(address).unwrap();
    connection.write_all(&request.bytes()).unwrap();
    let mut answer = String::new();
    connection.read_to_string(&mut answer).unwrap();
    let mut lines: Vec<&str> =
        answer.lines().filter(|line| !line.starts_with("date: ") && *line != "connection: close").collect();
    lines.sort_unstable();
    lines.join("\n")
}

#[test]
fn every_other_call_of_the_adapter_is_answered_as_lambda_answers_it() {
    let function = Function::from_fn(|call| {
        let lambda = SocketAddr::from(([127, 0, 0, 1], 9001));
        for (method, path) in [
            ("POST", "/2020-01-01/extension/register"),
            ("GET", "/2020-01-01/extension/event/next"),
            ("POST", "/2018-06-01/runtime/init/error"),
            ("POST", "/2018-06-01/runtime/invocation/unknown/response"),
            ("POST", "/2018-06-01/runtime/invocation/unknown/error"),
            ("DELETE", "/nowhere?a=b"),
            ("GET", "/"),
        ] {
            let direct = answer(lambda, method, path);
            let proxied = answer(PROXY.parse().unwrap(), method, path);
            assert_eq!(direct, proxied, "{method} {path}");
            assert!(direct.contains("HTTP/1.1 4"), "{direct}");
        }
        HandlerOutcome::Response(call.event.to_vec())
    });
    for extension in agents() {
        let setup = setup_with(function.clone(), &[WEB_ADAPTER]);
        run_sandbox(Setup { extensions: vec![extension], ..setup }, 1);
    }
}

const PYTHON: &str = "
import os
def handler(event, context):
    print('runtime api', os.environ['AWS_LAMBDA_RUNTIME_API'])
    return {'statusCode': 200, 'body': event['body'][::-1], 'id': context.aws_request_id}
";

/// An event over HTTP, which names a trace, with one more field.
fn event_with(field: &str, text: &str) -> String {
    let headers = r#"{"x-datadog-trace-id":"7","x-datadog-parent-id":"8","x-datadog-sampling-priority":"2"}"#;
    format!(r#"{{"headers":{headers},"{field}":"{text}"}}"#)
}

/// One of about 5 MB.
fn large_event() -> String {
    event_with("body", &"0123456789".repeat(500_000))
}

#[test]
fn the_python_client_works_through_the_proxy_as_without() {
    let directory = tempfile::tempdir().unwrap();
    let function = through_proxy(python(&directory, PYTHON));
    let setup = Setup { timeout: Duration::from_mins(1), ..setup_with(function, &[WEB_ADAPTER]) };
    let Some(sandbox) = start(setup) else { return };
    let event = large_event();
    let invocations: Vec<_> = (0..3).map(|_| sandbox.invoke(event.as_bytes()).unwrap()).collect();
    let run = end(sandbox, invocations);
    run.assert_unharmed();
    for invocation in &run.invocations {
        let response: Value = serde_json::from_slice(&invocation.response).unwrap();
        assert_eq!(response["body"].as_str().unwrap(), "9876543210".repeat(500_000));
        assert_eq!(response["id"], invocation.request_id.as_str());
    }
    assert_eq!(run.count_messages("runtime api 127.0.0.1:9000"), 3, "{}", run.own_lines());
    let lambdas = spans(&run, "aws.lambda");
    assert_eq!(lambdas.len(), 3, "{}", run.own_lines());
    for lambda in &lambdas {
        assert_eq!((lambda.trace_id, lambda.parent_id, tag(lambda, "http.status_code")), (7, 8, Some("200")));
    }
}

/// Streams 20 MB to an HTTP client, in pieces of changing length.
const NODE: &str = r#"
exports.handler = awslambda.streamifyResponse(async (event, stream) => {
    stream = awslambda.HttpResponseStream.from(stream, { statusCode: 201, headers: { "content-type": "text/plain" } });
    for (let sent = 0, number = 0; sent < 20000000; number++) {
        const piece = Buffer.alloc(Math.min(1 + (number * 7919) % 100000, 20000000 - sent), number % 256);
        sent += piece.length;
        if (!stream.write(piece)) {
            await new Promise((resolve) => stream.once("drain", resolve));
        }
    }
    stream.end();
});
"#;

/// The response of a function that streams it and has the status 201 in it, which the span of the proxy has too. `None` where the machine gives no sandbox.
fn streamed(function: &Function, event: &str, is_proxied: bool) -> Option<Vec<u8>> {
    let function = if is_proxied { through_proxy(function.clone()) } else { function.clone() };
    let setup = Setup { timeout: Duration::from_mins(1), ..setup_with(function, &[WEB_ADAPTER]) };
    let sandbox = start(setup)?;
    let invocations = vec![sandbox.invoke(event.as_bytes()).unwrap()];
    let run = end(sandbox, invocations);
    run.assert_unharmed();
    let statuses: Vec<_> =
        spans(&run, "aws.lambda").iter().map(|span| tag(span, "http.status_code").map(str::to_owned)).collect();
    assert_eq!(statuses, if is_proxied { vec![Some("201".to_owned())] } else { vec![] }, "{}", run.own_lines());
    Some(run.invocations[0].response.clone())
}

fn assert_streams_the_same(function: &Function, event: &str) {
    let [direct, proxied] = [false, true].map(|is_proxied| streamed(function, event, is_proxied));
    let (Some(direct), Some(proxied)) = (direct, proxied) else { return };
    assert!(direct.len() > 20_000_000, "{}", direct.len());
    assert!(direct == proxied, "{} and {} bytes", direct.len(), proxied.len());
}

#[test]
fn a_streamed_response_of_the_node_client_is_the_same_through_the_proxy_as_without() {
    let directory = tempfile::tempdir().unwrap();
    assert_streams_the_same(&node_through(&directory, NODE, "function.handler"), &large_event());
}

/// A large event that the function in Rust answers with its body backwards.
fn reversal() -> String {
    large_event().replacen('{', r#"{"action":"reverse","#, 1)
}

#[test]
fn the_rust_client_works_through_the_proxy_as_without() {
    let setup = setup_with(through_proxy(rust()), &[WEB_ADAPTER]);
    let Some(sandbox) = start(Setup { timeout: Duration::from_mins(1), ..setup }) else { return };
    let mut invocations: Vec<_> = (0..3).map(|_| sandbox.invoke(reversal().as_bytes()).unwrap()).collect();
    invocations.push(sandbox.invoke(event_with("name", "Lambda").as_bytes()).unwrap());
    let run = end(sandbox, invocations);
    run.assert_unharmed();
    let body = |number: usize| {
        let response: Value = serde_json::from_slice(&run.invocations[number].response).unwrap();
        response["body"].as_str().unwrap().to_owned()
    };
    assert!((0..3).all(|number| body(number) == "9876543210".repeat(500_000)));
    assert!(body(3).contains(&run.invocations[3].request_id), "{}", body(3));
    assert_eq!(run.count_messages("Hello, Lambda!"), 1, "{}", run.own_lines());
    let lambdas = spans(&run, "aws.lambda");
    assert_eq!(lambdas.len(), 4, "{}", run.own_lines());
    for (lambda, invocation) in lambdas.iter().zip(&run.invocations) {
        assert_eq!(tag(lambda, "request_id"), Some(invocation.request_id.as_str()));
        assert_eq!((lambda.trace_id, lambda.parent_id), (7, 8));
        assert_eq!((lambda.error, tag(lambda, "http.status_code")), (0, Some("200")));
    }
}

#[test]
fn a_streamed_response_of_the_rust_client_is_the_same_through_the_proxy_as_without() {
    assert_streams_the_same(&rust(), &event_with("action", "stream"));
}

#[test]
fn errors_and_panics_of_the_rust_client_are_the_same_through_the_proxy_as_without() {
    let events = ["fail", "panic", "greet"].map(|action| event_with("action", action));
    let run_with = |function: Function| {
        let sandbox = start(setup_with(function, &[WEB_ADAPTER]))?;
        let invocations = events.iter().map(|event| sandbox.invoke(event.as_bytes()).unwrap()).collect();
        let run = end(sandbox, invocations);
        assert_eq!(run.count("errors"), 2, "{}", run.own_lines());
        assert_eq!(run.count_messages("Hello, world!"), 1, "the process goes on after a panic");
        Some(run)
    };
    let (Some(direct), Some(proxied)) = (run_with(rust()), run_with(through_proxy(rust()))) else { return };
    for (direct, proxied) in direct.invocations[..2].iter().zip(&proxied.invocations) {
        assert_eq!((&direct.outcome, &direct.error_type), (&proxied.outcome, &proxied.error_type));
        assert_eq!(direct.response, proxied.response);
    }
    assert_eq!(spans(&direct, "aws.lambda"), []);
    let lambdas = spans(&proxied, "aws.lambda");
    assert_eq!(lambdas.iter().map(|span| span.error).collect::<Vec<_>>(), [1, 1, 0], "{}", proxied.own_lines());
    let messages = ["boom", "Lambda panicked: out of order"];
    for ((lambda, invocation), message) in lambdas.iter().zip(&proxied.invocations).zip(messages) {
        let response: Value = serde_json::from_slice(&invocation.response).unwrap();
        assert_eq!(response["errorMessage"], message);
        assert_eq!(
            (tag(lambda, "error.msg"), tag(lambda, "error.type")),
            (Some(message), response["errorType"].as_str())
        );
    }
}

#[test]
fn the_wrapper_sends_a_managed_runtime_to_the_proxy() {
    let opt = tempfile::tempdir().unwrap();
    let wrapper = opt.path().join("datadog_wrapper");
    executable::write(&wrapper, include_bytes!("../../matrix/src/layer/datadog_wrapper")).unwrap();
    let wrapper = LayerFile { place: "datadog_wrapper".into(), source: wrapper };
    let variables = [("AWS_EXECUTION_ENV", "AWS_Lambda_python3.11"), WRAPPED[0], WRAPPED[1]];
    for mut extension in agents() {
        extension.layer_files.push(wrapper.clone());
        let directory = tempfile::tempdir().unwrap();
        let setup = setup_with(python(&directory, PYTHON), &variables);
        let Some(sandbox) = start(Setup { extensions: vec![extension], timeout: Duration::from_secs(30), ..setup })
        else {
            return;
        };
        let invocations = vec![
            sandbox.invoke(br#"{"headers":{"x-datadog-trace-id":"7","x-datadog-parent-id":"8"},"body":"ab"}"#).unwrap(),
        ];
        let run = end(sandbox, invocations);
        run.assert_unharmed();
        let lines = run.count_messages("runtime api 127.0.0.1:9000");
        assert_eq!(lines, 1, "{:?}\n{}", run.messages(), run.own_lines());
        assert_eq!(spans(&run, "aws.lambda"), [], "tracers report those");
    }
}

#[test]
fn taken_port_disables_only_the_proxy() {
    support::in_own_network(|| {
        let _taken = std::net::TcpListener::bind(PROXY).unwrap();
        let network = matrix::sandbox::setup::Network::Host;
        let setup = Setup { network, ..setup_with(support::echo(), &WRAPPED) };
        let run = support::run_sandbox(setup, 2);
        run.assert_unharmed();
        run.assert_exactly_once();
        assert!(run.own_lines().contains("PROXY | cannot listen on 127.0.0.1:9000: "), "{}", run.own_lines());
    });
}
