//! The trace agent over real sockets.

use std::{
    io::{Read as _, Write as _},
    net::{Ipv4Addr, Shutdown, TcpStream},
    time::Duration,
};

use super::*;
use crate::{
    config::Config,
    platform::Environment,
    process::{
        tags::FunctionTags,
        trace::{TraceSettings, stats::Keys},
    },
};

/// An empty list of traces.
const NOTHING: &[u8] = &[0x90];

/// One trace of one span with this id and nothing else.
pub fn span(id: u8) -> Vec<u8> {
    let mut body = b"\x91\x91\x82\xa8trace_id".to_vec();
    body.push(id);
    body.extend(b"\xa7span_id");
    body.push(id);
    body
}

/// One trace of empty spans, a byte each.
pub fn spans(count: usize) -> Vec<u8> {
    let mut body = b"\x91\xdd".to_vec();
    body.extend(u32::try_from(count).unwrap().to_be_bytes());
    body.resize(body.len() + count, 0x80);
    body
}

pub fn test_pipeline() -> Arc<Pipeline> {
    let tags = FunctionTags::collect(&Environment::read(|_| None), None, &Config::default());
    Pipeline::new(TraceSettings::default(), &tags, Keys::default()).0.into()
}

/// An agent on a port of its own.
fn serve() -> (u16, TraceQueue) {
    let bound = TraceAgentListener::from_handover(TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap());
    let port = bound.listener.local_addr().unwrap().port();
    let (agent, inbox) = Agent::new(test_pipeline(), Arc::default());
    bound.serve(agent).unwrap();
    (port, inbox)
}

fn connect(port: u16) -> TcpStream {
    TcpStream::connect((Ipv4Addr::LOCALHOST, port)).unwrap()
}

/// A request on a connection that stays open.
fn request(method: &str, path: &str, headers: &str, body: &[u8]) -> Vec<u8> {
    let head = format!("{method} {path} HTTP/1.1\r\nhost: agent\r\n{headers}content-length: {}\r\n\r\n", body.len());
    [head.as_bytes(), body].concat()
}

/// The status and the body of the next answer.
fn answer(connection: &mut TcpStream) -> String {
    let mut answer = Vec::new();
    let mut byte = [0];
    while !answer.ends_with(b"\r\n\r\n") {
        connection.read_exact(&mut byte).unwrap();
        answer.extend(byte);
    }
    let head = String::from_utf8(answer).unwrap();
    let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")).unwrap().parse().unwrap();
    let mut body = vec![0; length];
    connection.read_exact(&mut body).unwrap();
    format!("{} {}", head.split(' ').nth(1).unwrap(), String::from_utf8(body).unwrap())
}

fn ask(port: u16, bytes: &[u8]) -> String {
    let mut connection = connect(port);
    connection.write_all(bytes).unwrap();
    answer(&mut connection)
}

/// Runs a tracer that blocks beside the agent.
async fn beside<T: Send + 'static>(tracer: impl FnOnce() -> T + Send + 'static) -> T {
    tokio::task::spawn_blocking(tracer).await.unwrap()
}

#[tokio::test]
async fn every_path_and_method_has_its_answer() {
    let (port, _inbox) = serve();
    let cases: [(&str, &str, &[u8], &str); 12] = [
        ("POST", "/v0.4/traces", NOTHING, "200 {\"rate_by_service\":{}}"),
        ("PUT", "/v0.5/traces", b"\x92\x90\x90", "200 {\"rate_by_service\":{}}"),
        ("POST", "/v0.4/traces", b"\x91", "500 Error deserializing trace from request body: "),
        ("PUT", "/v0.5/traces", b"\x93\x90\x90\x90", "500 Error deserializing trace from request body: "),
        ("POST", "/v0.7/traces", NOTHING, "404 Not Found"),
        ("GET", "/v0.4/traces", b"", "405 "),
        ("PUT", "/profiling/v1/input", b"", "405 "),
        ("GET", "/info", b"", "200 {\"endpoints\":[\"/v0.4/traces\""),
        ("POST", "/profiling/v1/input", b"p", "200 Acknowledged request for profiling"),
        ("PUT", "/v0.6/stats", b"\x80", "202 Empty stats payload; nothing to aggregate."),
        ("POST", "/v0.6/stats", b"\x01", "500 Error deserializing trace stats from request body: "),
        ("POST", "/v0.1/pipeline_stats", b"", "200 Acknowledged request for DSM"),
    ];
    for (method, path, body, expected) in cases {
        let bytes = request(method, path, "", body);
        let answer = beside(move || ask(port, &bytes)).await;
        assert!(answer.starts_with(expected), "{method} {path}: {answer}");
    }
}

#[tokio::test]
async fn bodies_that_are_too_long_or_compressed_are_refused_at_once_and_counted() {
    let (port, inbox) = serve();
    let head = |path: &str, headers: &str| format!("POST {path} HTTP/1.1\r\nhost: agent\r\n{headers}\r\n").into_bytes();
    let cases = [
        (
            head("/v0.4/traces", "content-length: 52428801\r\n"),
            "413 Content-Length 52428801 exceeds maximum allowed size 52428800",
        ),
        (
            head("/v0.6/stats", "content-length: 2097153\r\n"),
            "413 Content-Length 2097153 exceeds maximum allowed size 2097152",
        ),
        (head("/debugger/v1/input", "content-length: 99999999999\r\n"), "413 Content-Length 99999999999"),
        (
            request("POST", "/v0.4/traces", "content-encoding: gzip\r\n", b"\x1f\x8b"),
            "415 Content-Encoding \"gzip\" is not understood; send msgpack as it is",
        ),
    ];
    for (bytes, expected) in cases {
        // Nothing of the body is written.
        let answer = beside(move || ask(port, &bytes)).await;
        assert!(answer.starts_with(expected), "{answer}");
    }
    assert_eq!(inbox.refusals().count(), 4);
    let malformed = request("POST", "/v0.4/traces", "", b"\x91");
    beside(move || ask(port, &malformed)).await;
    assert_eq!(inbox.refusals().count(), 5);
}

#[tokio::test]
async fn replies_to_unreadable_traces_begin_with_trace_agent_and_handle_traces() {
    let (port, _queue) = serve();
    let expected = "TRACE_AGENT | handle_traces | Error extracting request body: ";
    for (path, expected) in [
        ("/v0.4/traces", format!("500 {expected}")),
        ("/v0.5/traces", format!("500 {expected}")),
        ("/v0.6/stats", "400 Error extracting request body: ".to_owned()),
        ("/profiling/v1/input", "500 Error extracting request body: ".to_owned()),
    ] {
        let head = format!("POST {path} HTTP/1.1\r\nhost: agent\r\ncontent-length: 10\r\n\r\n123");
        let answer = beside(move || {
            let mut connection = connect(port);
            connection.write_all(head.as_bytes()).unwrap();
            connection.shutdown(Shutdown::Write).unwrap();
            answer(&mut connection)
        })
        .await;
        assert!(answer.starts_with(&expected), "{path}: {answer}");
    }
}

#[tokio::test]
async fn content_encoding_identity_is_accepted_in_any_case() {
    let (port, _queue) = serve();
    for encoding in ["identity", "Identity", "IDENTITY", ""] {
        let bytes = request("POST", "/v0.4/traces", &format!("content-encoding: {encoding}\r\n"), NOTHING);
        let answer = beside(move || ask(port, &bytes)).await;
        assert!(answer.starts_with("200 "), "{encoding:?}: {answer}");
    }
}

#[tokio::test]
async fn a_body_without_a_length_is_held_to_the_limit_of_its_route() {
    let (port, mut inbox) = serve();
    let answer = beside(move || {
        let mut connection = connect(port);
        connection
            .write_all(b"POST /debugger/v2/input HTTP/1.1\r\nhost: agent\r\ntransfer-encoding: chunked\r\n\r\n")
            .unwrap();
        let chunk = [b"100000\r\n".as_slice(), &vec![b'x'; 1 << 20], b"\r\n"].concat();
        for _ in 0..3 {
            connection.write_all(&chunk).unwrap();
        }
        connection.write_all(b"0\r\n\r\n").unwrap();
        answer(&mut connection)
    })
    .await;
    assert!(answer.starts_with("413 Error extracting request body: "), "{answer}");
    assert!(inbox.try_recv().is_none());
}

#[tokio::test]
async fn refused_otlp_request_emits_no_span() {
    let (port, mut inbox) = serve();
    // A whole trace, and a broken one behind it.
    let mut broken = span(7);
    broken[0] = 0x92;
    let (broken, whole) = (request("POST", "/v0.4/traces", "", &broken), request("POST", "/v0.4/traces", "", &span(7)));
    let answers = beside(move || [broken, whole.clone(), whole].map(|bytes| ask(port, &bytes))).await;
    assert!(answers[0].starts_with("500 ") && answers[1].starts_with("200 ") && answers[2].starts_with("200 "));
    let mut spans = || match inbox.try_recv() {
        Some(TracerData::Traces(output)) => output.payloads.iter().map(|payload| payload.spans).sum::<usize>(),
        other => panic!("{other:?}"),
    };
    assert_eq!([spans(), spans()], [1, 0], "the first request is not remembered, the second is");
    assert!(inbox.try_recv().is_none());
}

#[tokio::test]
async fn a_request_that_is_passed_on_is_kept_as_it_came() {
    let (port, mut inbox) = serve();
    let bytes =
        request("POST", "/debugger/v1/input?ddtags=a:b", "X-Any: Value\r\ncontent-encoding: gzip\r\n", b"\x00\xff");
    assert_eq!(beside(move || ask(port, &bytes)).await, "200 Acknowledged request for debugger_logs");
    let Some(TracerData::Proxied(request)) = inbox.try_recv() else { panic!("nothing came") };
    assert_eq!((request.route.target, request.query.as_deref()), ("/api/v2/logs", Some("ddtags=a:b")));
    assert_eq!(request.body, b"\x00\xff");
    assert!(request.headers.contains(&("x-any".to_owned(), b"Value".to_vec())), "{:?}", request.headers);
}

#[tokio::test]
async fn half_closed_connection_gets_its_response_and_a_reset_affects_no_other() {
    let (port, mut inbox) = serve();
    let answer = beside(move || {
        let mut broken = connect(port);
        broken.write_all(b"POST /v0.4/traces HTTP/1.1\r\nhost: agent\r\ncontent-length: 1000\r\n\r\n\x91").unwrap();
        drop(broken);
        let mut slow = connect(port);
        slow.write_all(b"POST /v0.4/tra").unwrap();
        let mut half = connect(port);
        half.write_all(&request("POST", "/v0.4/traces", "", &span(1))).unwrap();
        let first = answer(&mut half);
        half.shutdown(Shutdown::Write).unwrap();
        slow.write_all(b"ces HTTP/1.1\r\nhost: agent\r\ncontent-length: 1\r\n\r\n\x90").unwrap();
        [first, answer(&mut slow)]
    })
    .await;
    assert!(answer.iter().all(|answer| answer.starts_with("200 ")), "{answer:?}");
    assert!(matches!(inbox.recv().await, Some(TracerData::Traces(_))));
}

#[tokio::test]
async fn the_connection_that_was_used_least_recently_makes_room() {
    let (port, _inbox) = serve();
    let ping = || request("POST", "/v0.4/traces", "", NOTHING);
    beside(move || {
        let mut used = connect(port);
        let mut idle = connect(port);
        for connection in [&mut idle, &mut used] {
            connection.write_all(&ping()).unwrap();
            answer(connection);
        }
        let others: Vec<_> = (0..connections::MAX_CONNECTIONS - 1).map(|_| connect(port)).collect();
        // The end of the idle connection says that the last of the others is open.
        idle.set_read_timeout(Some(Duration::from_mins(1))).unwrap();
        assert_eq!(idle.read(&mut [0]).unwrap(), 0, "it was closed in order");
        used.write_all(&ping()).unwrap();
        assert!(answer(&mut used).starts_with("200 "));
        drop(others);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_body_that_stops_coming_is_given_up() {
    let (port, mut inbox) = serve();
    let mut connection = tokio::net::TcpStream::connect((Ipv4Addr::LOCALHOST, port)).await.unwrap();
    let head = b"POST /profiling/v1/input HTTP/1.1\r\nhost: agent\r\ncontent-length: 10\r\n\r\n123";
    tokio::io::AsyncWriteExt::write_all(&mut connection, head).await.unwrap();
    let mut answer = [0; 12];
    tokio::io::AsyncReadExt::read_exact(&mut connection, &mut answer).await.unwrap();
    assert_eq!(&answer, b"HTTP/1.1 408");
    assert!(inbox.try_recv().is_none());
}

#[tokio::test]
async fn requests_wait_for_the_queue_and_count_as_being_received() {
    // Each connection has several, because more of them than there may be would be closed.
    const REQUESTS: usize = 5;
    const CONNECTIONS: usize = (QUEUE + 1) / REQUESTS;
    const _: () = assert!(CONNECTIONS * REQUESTS == QUEUE + 1);
    let (port, mut inbox) = serve();
    let tracer = move || {
        let mut connection = connect(port);
        let ask = |_| {
            connection.write_all(&request("POST", "/profiling/v1/input", "", b"p")).unwrap();
            answer(&mut connection)
        };
        (0..REQUESTS).map(ask).collect::<Vec<_>>()
    };
    let tracers: Vec<_> = (0..CONNECTIONS).map(|_| tokio::task::spawn_blocking(tracer)).collect();
    while inbox.receiver.len() < QUEUE || !inbox.is_receiving() {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    for _ in 0..=QUEUE {
        assert!(matches!(inbox.recv().await, Some(TracerData::Proxied(_))));
    }
    for tracer in tracers {
        assert!(tracer.await.unwrap().iter().all(|answer| answer.starts_with("200 ")));
    }
    assert!(!inbox.is_receiving());
}

#[tokio::test]
async fn http2_is_refused() {
    let (port, _inbox) = serve();
    let answer = beside(move || {
        let mut connection = connect(port);
        // The preface, and empty settings.
        connection.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0").unwrap();
        let mut answer = Vec::new();
        // The connection may be reset, too.
        let _ = connection.read_to_end(&mut answer);
        answer
    })
    .await;
    assert!(!answer.contains(&4), "settings of HTTP/2: {answer:?}");
}
