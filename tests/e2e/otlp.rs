//! What SDKs of OpenTelemetry send to ports 4317 and 4318, from their requests to the intake.

use std::{
    collections::BTreeMap,
    fs,
    io::{self, Write as _},
    net::{Ipv4Addr, TcpStream},
};

use bottlecap::features::OTLP;
use bytes::Bytes;
use matrix::sandbox::{
    Setup,
    intake::{Route, Span},
    isolation,
    journal::JournalEvent,
    setup::Mount,
    tracer,
};
use prost::Message;
use serde_json::json;

use crate::{
    support::{end, eventually, invoke},
    traces::{failing_twice, run_sandbox, sending, start, with},
};

/// How many spans are sent, in each way twice.
const TIMES: u8 = 6;

const HTTP: u16 = 4318;
const GRPC: u16 = 4317;
/// A port that only the file names.
const PORT: u16 = 24_318;

const ENDPOINTS: [(&str, &str); 2] = [
    ("DD_OTLP_CONFIG_RECEIVER_PROTOCOLS_HTTP_ENDPOINT", "localhost:4318"),
    ("DD_OTLP_CONFIG_RECEIVER_PROTOCOLS_GRPC_ENDPOINT", "localhost:4317"),
];

/// The messages of a request, written by another encoder than ours.
mod proto {
    #[derive(Clone, PartialEq, prost::Message)]
    pub struct Request {
        #[prost(message, repeated, tag = "1")]
        pub resource_spans: Vec<ResourceSpans>,
    }

    #[derive(Clone, PartialEq, prost::Message)]
    pub struct ResourceSpans {
        #[prost(message, optional, tag = "1")]
        pub resource: Option<Resource>,
        #[prost(message, repeated, tag = "2")]
        pub scope_spans: Vec<ScopeSpans>,
    }

    #[derive(Clone, PartialEq, prost::Message)]
    pub struct Resource {
        #[prost(message, repeated, tag = "1")]
        pub attributes: Vec<KeyValue>,
    }

    #[derive(Clone, PartialEq, prost::Message)]
    pub struct ScopeSpans {
        #[prost(message, repeated, tag = "2")]
        pub spans: Vec<Span>,
    }

    #[derive(Clone, PartialEq, prost::Message)]
    pub struct Span {
        #[prost(bytes = "vec", tag = "1")]
        pub trace: Vec<u8>,
        #[prost(bytes = "vec", tag = "2")]
        pub id: Vec<u8>,
        #[prost(string, tag = "5")]
        pub name: String,
        #[prost(int32, tag = "6")]
        pub kind: i32,
        #[prost(fixed64, tag = "7")]
        pub start: u64,
        #[prost(fixed64, tag = "8")]
        pub end: u64,
        #[prost(message, repeated, tag = "9")]
        pub attributes: Vec<KeyValue>,
    }

    #[derive(Clone, PartialEq, prost::Message)]
    pub struct KeyValue {
        #[prost(string, tag = "1")]
        pub key: String,
        #[prost(message, optional, tag = "2")]
        pub value: Option<AnyValue>,
    }

    #[derive(Clone, PartialEq, prost::Message)]
    pub struct AnyValue {
        #[prost(string, optional, tag = "1")]
        pub text: Option<String>,
    }
}

/// Nanoseconds since the epoch.
fn now() -> u64 {
    u64::try_from(std::time::SystemTime::UNIX_EPOCH.elapsed().unwrap().as_nanos()).unwrap()
}

fn in_protobuf(number: u8) -> Vec<u8> {
    let attribute = |key: &str, text: &str| proto::KeyValue {
        key: key.to_owned(),
        value: Some(proto::AnyValue { text: Some(text.to_owned()) }),
    };
    let span = proto::Span {
        trace: vec![number + 1; 16],
        id: vec![number + 1; 8],
        name: "handler".to_owned(),
        kind: 2,
        start: now(),
        end: now() + 5_000,
        attributes: vec![attribute("http.request.method", "GET"), attribute("own", &number.to_string())],
    };
    let resource = proto::Resource { attributes: vec![attribute("service.name", "Shop")] };
    let scope_spans = vec![proto::ScopeSpans { spans: vec![span] }];
    let resource_spans = vec![proto::ResourceSpans { resource: Some(resource), scope_spans }];
    proto::Request { resource_spans }.encode_to_vec()
}

fn in_json(number: u8) -> Vec<u8> {
    let attribute = |key: &str, text: &str| json!({"key": key, "value": {"stringValue": text}});
    let id = |bytes: usize| format!("{:02x}", number + 1).repeat(bytes);
    let span = json!({
        "traceId": id(16), "spanId": id(8), "name": "handler", "kind": 2,
        "startTimeUnixNano": now().to_string(), "endTimeUnixNano": now() + 5_000,
        "attributes": [attribute("http.request.method", "GET"), attribute("own", &number.to_string())],
    });
    let resource = json!({"attributes": [attribute("service.name", "Shop")]});
    let request = json!({"resourceSpans": [{"resource": resource, "scopeSpans": [{"spans": [span]}]}]});
    request.to_string().into_bytes()
}

fn connect(port: u16) -> io::Result<TcpStream> {
    TcpStream::connect((Ipv4Addr::LOCALHOST, port))
}

/// The function may be faster than the extension, which reads its settings first.
fn is_up(port: u16) {
    eventually("the port is bound", || connect(port).is_ok());
}

fn post(content_type: &str, body: &[u8]) -> tracer::Reply {
    let headers = [("content-type", content_type)];
    let request = tracer::Request { method: "POST", path: "/v1/traces", headers: &headers, body }.bytes();
    let mut connection = connect(HTTP).unwrap();
    connection.write_all(&request).unwrap();
    tracer::reply(&mut connection).unwrap()
}

/// Calls the method and gives the status and what came with it.
async fn call(message: &[u8]) -> (String, Vec<u8>) {
    let stream = tokio::net::TcpStream::connect((Ipv4Addr::LOCALHOST, GRPC)).await.unwrap();
    let (client, connection) = h2::client::handshake(stream).await.unwrap();
    tokio::spawn(connection);
    let mut client = client.ready().await.unwrap();
    let mut request = axum::http::Request::new(());
    *request.method_mut() = axum::http::Method::POST;
    let uri = "http://localhost:4317/opentelemetry.proto.collector.trace.v1.TraceService/Export";
    *request.uri_mut() = uri.parse().unwrap();
    request.headers_mut().insert("content-type", "application/grpc+proto".parse().unwrap());
    let (response, mut body) = client.send_request(request, false).unwrap();
    let length = u32::try_from(message.len()).unwrap().to_be_bytes();
    body.send_data(Bytes::from([&[0], &length[..], message].concat()), true).unwrap();
    let mut incoming = response.await.unwrap().into_body();
    let mut received = Vec::new();
    while let Some(piece) = incoming.data().await {
        received.extend_from_slice(&piece.unwrap());
    }
    let trailers = incoming.trailers().await.unwrap().unwrap();
    (trailers["grpc-status"].to_str().unwrap().to_owned(), received)
}

/// Sends the span of that number: each in another way.
fn send(number: u8) {
    match number % 3 {
        0 => {
            is_up(HTTP);
            let reply = post("application/json", b"{");
            assert_eq!(reply.status, 400, "{reply:?}");
            let reply = post("application/x-protobuf", &in_protobuf(number));
            assert_eq!((reply.status, reply.body.as_str()), (200, ""), "{reply:?}");
        }
        1 => {
            is_up(HTTP);
            let reply = post("application/json", &in_json(number));
            assert_eq!((reply.status, reply.body.as_str()), (200, r#"{"partialSuccess":null}"#), "{reply:?}");
        }
        _ => {
            is_up(GRPC);
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            let (status, message) = runtime.block_on(call(&in_protobuf(number)));
            assert_eq!((status.as_str(), message), ("0", vec![0; 5]));
        }
    }
}

#[test]
fn otlp_spans_of_every_encoding_arrive_once_after_two_intake_failures() {
    if !OTLP {
        eprintln!("not tested: this build has no receiver for OTLP");
        return;
    }
    let function = sending(|number| send(u8::try_from(number).unwrap()));
    let variables = [&ENDPOINTS[..], &[("DD_ENV", "prod")]].concat();
    let setup = Setup { intake: Some(failing_twice(Route::Traces)), ..with(function, &variables) };
    let Some(run) = run_sandbox(setup, TIMES.into()) else { return };
    let spans: BTreeMap<u64, Span> = run.intake.spans().into_iter().map(|span| (span.trace_id, span)).collect();
    assert_eq!(run.intake.spans().len(), spans.len(), "each arrives once\n{}", run.own_lines());
    let refused = "OTLP | a request to /v1/traces is refused: Failed to process request: ";
    assert_eq!(run.own_lines().matches(refused).count(), 1, "told once, and counted: {}", run.own_lines());
    let ids = (0..TIMES).map(|number| u64::from_be_bytes([number + 1; 8]));
    assert_eq!(spans.keys().copied().collect::<Vec<_>>(), ids.collect::<Vec<_>>(), "{}", run.own_lines());
    for (number, span) in spans.into_values().enumerate() {
        let texts = [&span.service, &span.name, &span.resource, &span.kind];
        assert_eq!(texts.map(String::as_str), ["shop", "http.server.request", "GET", "web"]);
        assert_eq!((span.duration > 0, span.span_id, span.parent_id), (true, span.trace_id, 0));
        let tag = |key: &str| span.meta.get(key).map(String::as_str);
        assert_eq!((tag("own"), tag("env")), (Some(number.to_string().as_str()), Some("prod")));
        assert_eq!((tag("span.kind"), tag("_dd.origin")), (Some("server"), Some("lambda")));
        assert_eq!(tag("_dd.p.tid").map(str::to_owned), Some(format!("{:02x}", number + 1).repeat(8)));
        assert!(tag("functionname").is_some(), "{:?}", span.meta);
    }
}

/// Whether anybody listens on the ports while the function runs, which the extension has been ready for before.
fn is_refused(variables: &[(&str, &str)]) -> Option<String> {
    let function = sending(|number| {
        // By the second invocation the settings have been read for long.
        if number > 0 {
            for port in [HTTP, GRPC] {
                assert_eq!(connect(port).unwrap_err().kind(), io::ErrorKind::ConnectionRefused);
            }
        }
    });
    run_sandbox(with(function, variables), 2).map(|run| run.own_lines())
}

#[test]
fn ports_of_otlp_refuse_connections_unless_settings_ask_for_them() {
    let Some(own) = is_refused(&[]) else { return };
    assert!(!own.contains("OTLP"), "{own}");
    is_refused(&[&ENDPOINTS[..], &[("DD_OTLP_CONFIG_TRACES_ENABLED", "false")]].concat());
    if !OTLP {
        let own = is_refused(&ENDPOINTS).unwrap();
        assert_eq!(own.matches("this build has no receiver for OTLP").count(), 1, "{own}");
    }
}

#[test]
fn otlp_address_from_the_file_works_and_a_taken_port_disables_otlp_only() {
    if !OTLP {
        eprintln!("not tested: this build has no receiver for OTLP");
        return;
    }
    let directory = tempfile::tempdir().unwrap();
    let text = format!(
        "otlp_config:\n  receiver:\n    protocols:\n      http:\n        endpoint: 0.0.0.0:{PORT}\n      grpc:\n        endpoint: localhost:8126\n"
    );
    fs::write(directory.path().join("datadog.yaml"), text).unwrap();
    // Extensions are not told where the function's code is, and look where it usually is.
    let mount = Mount { source: directory.path().to_owned(), target: "/var/task".into() };
    let setup = Setup { mounts: vec![mount], ..with(sending(|_| is_up(PORT)), &[]) };
    let Some(sandbox) = start(setup) else { return };
    if !sandbox.journal().iter().any(|entry| entry.what == JournalEvent::MountsPrivate) {
        isolation::skip("this machine gives a sandbox no mounts of its own");
        return;
    }
    let invocations = invoke(&sandbox, 0..1);
    let run = end(sandbox, invocations);
    run.assert_unharmed();
    assert!(run.own_lines().contains("OTLP | cannot bind port 8126"), "{}", run.own_lines());
}
