//! The receiver over real sockets.

use std::{
    io::{Read as _, Write as _},
    net::TcpStream,
};

use axum::http::{HeaderMap, Request};
use bytes::Bytes;
use serde_json::json;

use super::*;
use crate::ingest::trace_agent::{TraceQueue, TracerData, test_pipeline};

const GRPC_PATH: &str = "/opentelemetry.proto.collector.trace.v1.TraceService/Export";

/// Receivers on ports of their own, and what they receive.
struct TestReceivers {
    http: u16,
    grpc: u16,
    queue: TraceQueue,
}

fn serve(settings: &Otlp) -> TestReceivers {
    let bind = || TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let (http, grpc) = (bind(), bind());
    let port = |listener: &TcpListener| listener.local_addr().unwrap().port();
    let ports = (port(&http), port(&grpc));
    let (agent, queue) = Agent::new(test_pipeline(), Arc::default());
    Listeners { http: Some(http), grpc: Some(grpc) }.serve(&agent, settings, &Apm::default());
    TestReceivers { http: ports.0, grpc: ports.1, queue }
}

impl TestReceivers {
    /// How many spans have come by now.
    fn spans(&mut self) -> usize {
        let mut spans = 0;
        while let Some(received) = self.queue.try_recv() {
            let TracerData::Traces(output) = received else { panic!("{received:?}") };
            spans += output.payloads.iter().map(|payload| payload.spans).sum::<usize>();
        }
        spans
    }
}

/// A request of one span in JSON.
fn in_json() -> Vec<u8> {
    let span = json!({"traceId": "01".repeat(16), "spanId": "02".repeat(8), "name": "n"});
    json!({"resourceSpans": [{"scopeSpans": [{"spans": [span]}]}]}).to_string().into_bytes()
}

/// The same in protobuf.
fn in_protobuf() -> Vec<u8> {
    let field =
        |number: u8, content: &[u8]| [&[number << 3 | 2, u8::try_from(content.len()).unwrap()], content].concat();
    let span = [field(1, &[1; 16]), field(2, &[2; 8]), field(5, b"n")].concat();
    field(1, &field(2, &field(2, &span)))
}

fn gzip(body: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    encoder.write_all(body).unwrap();
    encoder.finish().unwrap()
}

/// Status, content type and body of the answer to a request over HTTP.
fn ask(port: u16, method: &str, path: &str, headers: &str, body: &[u8]) -> String {
    let mut connection = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).unwrap();
    let length =
        if headers.contains("content-length") { String::new() } else { format!("content-length: {}\r\n", body.len()) };
    let head = format!("{method} {path} HTTP/1.1\r\nhost: otlp\r\nconnection: close\r\n{headers}{length}\r\n");
    connection.write_all(&[head.as_bytes(), body].concat()).unwrap();
    let mut answer = Vec::new();
    connection.read_to_end(&mut answer).unwrap();
    let answer = String::from_utf8_lossy(&answer).into_owned();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    let kind = head.lines().find_map(|line| line.strip_prefix("content-type: ")).unwrap_or("none");
    format!("{} {kind} {body}", head.split(' ').nth(1).unwrap())
}

async fn beside<T: Send + 'static>(client: impl FnOnce() -> T + Send + 'static) -> T {
    tokio::task::spawn_blocking(client).await.unwrap()
}

const JSON: &str = "content-type: application/json; charset=utf-8\r\n";
const PROTOBUF: &str = "content-type: application/x-protobuf\r\n";
const GZIP: &str = "content-encoding: gzip\r\n";

#[tokio::test]
async fn spans_over_http_are_encoded_from_every_request_encoding() {
    let mut receivers = serve(&Otlp::default());
    let port = receivers.http;
    for (headers, body, expected) in [
        (JSON.to_owned(), in_json(), "200 application/json {\"partialSuccess\":null}"),
        (PROTOBUF.to_owned(), in_protobuf(), "200 application/x-protobuf "),
        (String::new(), in_protobuf(), "200 application/x-protobuf "),
        (format!("{PROTOBUF}{GZIP}"), gzip(&in_protobuf()), "200 application/x-protobuf "),
        (format!("{JSON}{GZIP}"), gzip(&in_json()), "200 application/json {\"partialSuccess\":null}"),
        (
            "Content-Type: Application/JSON\r\nContent-Encoding: GZIP\r\n".to_owned(),
            gzip(&in_json()),
            "200 application/json {\"partialSuccess\":null}",
        ),
        ("content-encoding: Identity\r\n".to_owned(), in_protobuf(), "200 application/x-protobuf "),
    ] {
        let asked = headers.clone();
        assert_eq!(beside(move || ask(port, "POST", "/v1/traces", &asked, &body)).await, expected, "{headers}");
        assert_eq!(receivers.spans(), 1, "{headers}");
    }
    let empty = beside(move || ask(port, "POST", "/v1/traces", JSON, b"{}")).await;
    assert_eq!(empty, "200 application/json {\"partialSuccess\":null}", "nothing to do is no failure");
}

#[tokio::test]
async fn refusals_over_http_speak_the_encoding_of_the_request() {
    let receivers = serve(&Otlp::default());
    let port = receivers.http;
    let malformed = |encoding: &str| format!("400 {encoding}");
    let bomb = gzip(&vec![b' '; 30 << 20]);
    let too_long = "content-length: 20971521\r\n";
    let cases = [
        (JSON.to_owned(), b"{".to_vec(), malformed("application/json {\"code\":400,\"message\":\"Failed to process request: ")),
        (PROTOBUF.to_owned(), b"\x0a".to_vec(), malformed("application/x-protobuf \u{8}\u{fffd}\u{3}\u{12}")),
        (format!("{JSON}{GZIP}"), b"a plain text".to_vec(), malformed("application/json {\"code\":400,\"message\":\"Failed to process request: it is not gzip")),
        (format!("{JSON}{GZIP}"), bomb, "413 application/json {\"code\":413,\"message\":\"Failed to process request: it is longer than 20971520 bytes".to_owned()),
        (format!("{JSON}{too_long}"), Vec::new(), "413 application/json {\"code\":413,\"message\":\"Failed to extract request body: it is longer".to_owned()),
        (format!("{JSON}content-encoding: br\r\n"), b"x".to_vec(), "415 application/json {\"code\":415,\"message\":\"Failed to extract".to_owned()),
    ];
    let count = cases.len() as u64;
    for (headers, body, expected) in cases {
        let answer = beside(move || ask(port, "POST", "/v1/traces", &headers, &body)).await;
        assert!(answer.starts_with(&expected), "{answer}");
    }
    assert_eq!(receivers.queue.refusals().count(), count);
    for (method, path) in [("GET", "/v1/traces"), ("POST", "/v1/metrics"), ("POST", "/v1/logs"), ("POST", "/")] {
        let answer = beside(move || ask(port, method, path, JSON, b"{}")).await;
        assert!(answer.starts_with("404 ") && answer.ends_with(" Not Found"), "{answer}");
    }
}

#[tokio::test]
async fn a_request_after_the_end_is_to_be_tried_again() {
    let mut receivers = serve(&Otlp::default());
    receivers.queue.close();
    let (port, grpc) = (receivers.http, receivers.grpc);
    let answer = beside(move || ask(port, "POST", "/v1/traces", JSON, &in_json())).await;
    assert!(answer.starts_with("503 application/json {\"code\":503,"), "{answer}");
    assert_eq!(call(grpc, &Call::default()).await.code, "14");
}

#[tokio::test(start_paused = true)]
async fn a_body_that_stops_coming_is_given_up_on_both_ports() {
    let receivers = serve(&Otlp::default());
    let mut connection = tokio::net::TcpStream::connect((Ipv4Addr::LOCALHOST, receivers.http)).await.unwrap();
    let head = b"POST /v1/traces HTTP/1.1\r\nhost: otlp\r\ncontent-length: 10\r\n\r\n123";
    tokio::io::AsyncWriteExt::write_all(&mut connection, head).await.unwrap();
    let mut answer = [0; 12];
    tokio::io::AsyncReadExt::read_exact(&mut connection, &mut answer).await.unwrap();
    assert_eq!(&answer, b"HTTP/1.1 408");
    assert_eq!(call(receivers.grpc, &Call { ends: false, ..Call::default() }).await.code, "4");
}

/// A call of a gRPC method.
struct Call {
    path: &'static str,
    content_type: &'static str,
    encoding: Option<&'static str>,
    body: Vec<u8>,
    /// Whether the body ends.
    ends: bool,
}

impl Default for Call {
    fn default() -> Self {
        let body = framed(0, &in_protobuf());
        Self { path: GRPC_PATH, content_type: "application/grpc", encoding: None, body, ends: true }
    }
}

fn framed(flag: u8, message: &[u8]) -> Vec<u8> {
    let length = u32::try_from(message.len()).unwrap().to_be_bytes();
    [&[flag], &length[..], message].concat()
}

#[derive(Debug, PartialEq)]
struct ExportReply {
    status: u16,
    code: String,
    message: String,
    body: Vec<u8>,
}

async fn call(port: u16, call: &Call) -> ExportReply {
    let stream = tokio::net::TcpStream::connect((Ipv4Addr::LOCALHOST, port)).await.unwrap();
    let (client, connection) = h2::client::handshake(stream).await.unwrap();
    let driver = tokio::spawn(connection);
    let mut request = Request::builder()
        .method("POST")
        .uri(format!("http://otlp{}", call.path))
        .header("content-type", call.content_type)
        .header("te", "trailers");
    if let Some(encoding) = call.encoding {
        request = request.header("grpc-encoding", encoding);
    }
    let mut client = client.ready().await.unwrap();
    let (response, mut body) = client.send_request(request.body(()).unwrap(), false).unwrap();
    body.send_data(Bytes::from(call.body.clone()), call.ends).unwrap();
    let (head, mut incoming) = response.await.unwrap().into_parts();
    let mut answer = Vec::new();
    while let Some(Ok(piece)) = incoming.data().await {
        answer.extend_from_slice(&piece);
    }
    let trailers = incoming.trailers().await.ok().flatten().unwrap_or_default();
    let text = |headers: &HeaderMap, name: &str| Some(headers.get(name)?.to_str().unwrap().to_owned());
    let of = |name: &str| text(&trailers, name).or_else(|| text(&head.headers, name)).unwrap_or_default();
    let answer = ExportReply {
        status: head.status.as_u16(),
        code: of("grpc-status"),
        message: of("grpc-message"),
        body: answer,
    };
    drop(client);
    driver.abort();
    answer
}

#[tokio::test]
async fn spans_over_grpc_come_out_encoded_compressed_or_not() {
    let mut receivers = serve(&Otlp::default());
    let packed = framed(1, &gzip(&in_protobuf()));
    let ok = ExportReply { status: 200, code: "0".to_owned(), message: String::new(), body: framed(0, b"") };
    for (encoding, body) in
        [(None, framed(0, &in_protobuf())), (Some("gzip"), framed(0, &in_protobuf())), (Some("gzip"), packed)]
    {
        let answer = call(receivers.grpc, &Call { encoding, body, ..Call::default() }).await;
        assert_eq!((&answer, receivers.spans()), (&ok, 1), "{encoding:?}");
    }
    let body = framed(1, &gzip(&in_protobuf()));
    let asked = Call { content_type: "Application/gRPC+proto", encoding: Some("GZIP"), body, ..Call::default() };
    assert_eq!((call(receivers.grpc, &asked).await, receivers.spans()), (ok, 1), "in any case");
}

#[tokio::test]
async fn refusals_over_grpc_have_the_code_that_says_why() {
    let receivers = serve(&Otlp { grpc_max_message_mib: 1, ..Otlp::default() });
    let mebibyte = 1 << 20;
    let of = |code: &str, message: &str| (code.to_owned(), message.to_owned());
    let message = |flag, message: &[u8], encoding| Call { encoding, body: framed(flag, message), ..Call::default() };
    let bomb = gzip(&vec![0; 2 * mebibyte]);
    let cut = Call { body: framed(0, &in_protobuf())[..10].to_vec(), ..Call::default() };
    let two = Call { body: framed(0, b"").repeat(2), ..Call::default() };
    for (asked, expected) in [
        (
            Call { path: "/opentelemetry.proto.collector.metrics.v1.MetricsService/Export", ..Call::default() },
            of("12", "there is no such method"),
        ),
        (message(0, b"\x0a", None), of("3", "Failed to process request: the body ends inside a field")),
        (
            message(1, b"a plain text", Some("gzip")),
            of("3", "Failed to process request: it is not gzip: invalid gzip header"),
        ),
        (message(1, b"", None), of("3", "Failed to extract request body: it is compressed without saying how")),
        (
            message(1, b"", Some("Identity")),
            of("3", "Failed to extract request body: it is compressed without saying how"),
        ),
        (message(1, b"", Some("snappy")), of("12", "Failed to extract request body: its compression is not gzip")),
        (message(7, b"", None), of("3", "Failed to extract request body: its compression is neither on nor off")),
        (
            message(1, &bomb, Some("gzip")),
            of("8", "Failed to process request: it is longer than 1048576 bytes once it is decompressed"),
        ),
        (
            message(0, &vec![0; mebibyte + 1], None),
            of("8", "Failed to extract request body: it is longer than 1048581 bytes"),
        ),
        (cut, of("3", "Failed to extract request body: it is not one message")),
        (two, of("3", "Failed to extract request body: it is not one message")),
        (
            Call { body: Vec::new(), ..Call::default() },
            of("3", "Failed to extract request body: there is no message in it"),
        ),
    ] {
        let answer = call(receivers.grpc, &asked).await;
        assert_eq!((answer.code, answer.message, answer.status), (expected.0, expected.1, 200), "{:?}", asked.encoding);
    }
    let answer = call(receivers.grpc, &Call { content_type: "text/plain", ..Call::default() }).await;
    assert_eq!((answer.status, answer.code.as_str()), (415, ""));
}

#[tokio::test]
async fn http1_on_the_grpc_port_is_refused_without_affecting_other_connections() {
    let mut receivers = serve(&Otlp::default());
    let port = receivers.grpc;
    let answer = beside(move || ask(port, "POST", GRPC_PATH, "content-type: application/grpc\r\n", b"")).await;
    assert!(answer.starts_with("505 ") && answer.ends_with("gRPC needs HTTP/2"), "{answer}");
    beside(move || {
        let mut garbage = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).unwrap();
        garbage
            .write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\nno frame at all, but long enough to be taken for one")
            .unwrap();
    })
    .await;
    assert_eq!(call(port, &Call::default()).await.code, "0");
    assert_eq!(receivers.spans(), 1);
}

#[test]
fn only_what_is_known_to_take_little_time_is_processed_on_the_runtime() {
    let is_inline = export::is_inline;
    assert!(is_inline(false, 4 << 10) && !is_inline(false, (4 << 10) + 1) && !is_inline(true, 100));
}
