//! The lifecycle listener without sockets.

use axum::{
    body::{Body, Bytes, to_bytes},
    extract::{Request, State},
    http::StatusCode,
};

use super::{
    runtime::{Kind, Message, Observer},
    *,
};
use crate::process::{
    invocation::call::test_decoder::decoder,
    trace::{Span, SpanParents},
};

fn request(method: &str, path: &str, headers: &[(&str, &str)], body: impl Into<Body>) -> Request {
    let mut request = Request::builder().method(method).uri(path);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    request.body(body.into()).unwrap()
}

async fn answer(server: &Arc<Server>, request: Request) -> (StatusCode, Bytes) {
    let response = server::answer(State(Arc::clone(server)), request).await;
    (response.status(), to_bytes(response.into_body(), 1 << 20).await.unwrap())
}

fn capturing() -> Decoder {
    decoder(Some(10))
}

#[tokio::test]
async fn calls_are_answered_with_an_empty_object_and_queued_in_order() {
    let (server, mut queue) = Server::new(capturing(), None);
    let id = [("Lambda-Runtime-Aws-Request-Id", "r")];
    for (path, body) in [("/lambda/start-invocation", "[1]"), ("/lambda/end-invocation", "{\"statusCode\":200}")] {
        let (status, answer) = answer(&server, request("POST", path, &id, body)).await;
        assert_eq!((status, &*answer), (StatusCode::OK, &b"{}"[..]));
    }
    let Some(Call::Start(start)) = queue.recv().await else { panic!("no start") };
    assert_eq!(start.request_id.map(|id| id.to_string()).as_deref(), Some("r"));
    assert_eq!(start.captured, [("function.request.0".to_owned(), "1".to_owned())]);
    let Some(Call::End(end)) = queue.try_recv() else { panic!("no end") };
    assert_eq!(end.status_code, Some(200));
    assert!(!queue.is_receiving());
}

#[tokio::test]
async fn hello_is_answered_and_other_paths_and_methods_are_refused() {
    let (server, mut queue) = Server::new(capturing(), None);
    for (method, path, expected) in [
        ("GET", "/lambda/hello", StatusCode::OK),
        ("POST", "/lambda/hello", StatusCode::METHOD_NOT_ALLOWED),
        ("GET", "/lambda/start-invocation", StatusCode::METHOD_NOT_ALLOWED),
        ("PUT", "/lambda/end-invocation", StatusCode::METHOD_NOT_ALLOWED),
        ("POST", "/lambda/flush", StatusCode::NOT_FOUND),
        ("POST", "/lambda/start-invocation/", StatusCode::NOT_FOUND),
    ] {
        let (status, _) = answer(&server, request(method, path, &[], "")).await;
        assert_eq!(status, expected, "{method} {path}");
    }
    assert!(queue.try_recv().is_none());
}

#[tokio::test]
async fn headers_count_though_the_body_is_too_long_or_no_json() {
    let (server, mut queue) = Server::new(capturing(), None);
    let headers = [("x-datadog-span-id", "3"), ("x-datadog-span-id", "4")];
    for body in [vec![b' '; MAX_BODY_BYTES + 1], b"{".to_vec(), vec![0xff], Vec::new()] {
        let (status, _) = answer(&server, request("POST", "/lambda/end-invocation", &headers, body)).await;
        assert_eq!(status, StatusCode::OK);
        let Some(Call::End(end)) = queue.recv().await else { panic!("no end") };
        assert_eq!((end.span_id, end.captured), (Some(4), Vec::new()), "the last of two headers");
    }
    let longest = format!("\"{}\"", "x".repeat(MAX_BODY_BYTES - 2));
    answer(&server, request("POST", "/lambda/start-invocation", &[], longest)).await;
    let Some(Call::Start(start)) = queue.recv().await else { panic!("no start") };
    assert_eq!(start.captured.len(), 1);
}

#[tokio::test]
async fn a_header_may_have_text_beyond_ascii_that_is_not_encoded() {
    let (server, mut queue) = Server::new(capturing(), None);
    let headers = [("x-datadog-invocation-error-msg", "Größe 0")];
    answer(&server, request("POST", "/lambda/end-invocation", &headers, "null")).await;
    let Some(Call::End(end)) = queue.recv().await else { panic!("no end") };
    assert_eq!(end.error.and_then(|error| error.message).as_deref(), Some("Größe 0"));
}

#[tokio::test]
async fn a_body_for_which_there_is_no_room_counts_as_empty_and_is_not_waited_for() {
    let (server, mut queue) = Server::new(capturing(), None);
    let _others = Arc::clone(&server.bodies).try_acquire_many_owned(u32::try_from(MAX_BODIES_BYTES).unwrap()).unwrap();
    let (status, _) = answer(&server, request("POST", "/lambda/start-invocation", &[], "[1]")).await;
    assert_eq!(status, StatusCode::OK);
    let Some(Call::Start(start)) = queue.recv().await else { panic!("no start") };
    assert!(start.captured.is_empty());
}

#[tokio::test]
async fn unread_lifecycle_calls_are_dropped_without_blocking() {
    let (server, mut queue) = Server::new(capturing(), None);
    let body = format!("[{}1]", "1,".repeat(100_000));
    for _ in 0..2 * QUEUE {
        let (status, _) = answer(&server, request("POST", "/lambda/start-invocation", &[], body.clone())).await;
        assert_eq!(status, StatusCode::OK);
    }
    let mut bytes = 0;
    while let Some(call) = queue.try_recv() {
        bytes += call.bytes();
    }
    assert!(bytes > 0 && bytes <= MAX_QUEUED_BYTES, "{bytes}");
    assert!((1..2 * QUEUE).contains(&queue.take_dropped()));
    assert_eq!(queue.take_dropped(), 0, "they are counted once");
}

#[tokio::test]
async fn of_the_calls_that_are_dropped_only_starts_count_as_spans() {
    let (server, queue) = Server::new(capturing(), None);
    let _others = Arc::clone(&server.queued).try_acquire_many_owned(u32::try_from(MAX_QUEUED_BYTES).unwrap()).unwrap();
    for path in ["/lambda/start-invocation", "/lambda/end-invocation", "/lambda/end-invocation"] {
        answer(&server, request("POST", path, &[], "[1]")).await;
    }
    assert_eq!(queue.take_dropped(), 1);
}

/// What the proxy has seen, as one message.
fn message(observer: &Observer, kind: Kind, limit: usize, body: &[u8]) -> Message {
    let mut copy = observer.copy(limit);
    copy.add(body);
    Message { kind, request_id: "r".into(), time: 7, body: copy, open: observer.open() }
}

#[tokio::test]
async fn what_the_proxy_has_seen_becomes_calls_in_the_order_in_which_it_came() {
    let (server, mut queue) = Server::new(capturing(), None);
    let (observer, messages) = runtime::observer();
    queue.runtime = Some(messages.counters());
    let long = format!("[\"{}\"]", "x".repeat(MAX_INLINE_BYTES));
    let streamed = [&br#"{"statusCode":201}"#[..], &[0; 8], b"{\"statusCode\":500}"].concat();
    for message in [
        message(&observer, Kind::Event, MAX_BODY_BYTES, long.as_bytes()),
        message(&observer, Kind::Response { is_streamed: false }, MAX_BODY_BYTES, br#"{"statusCode":202}"#),
        message(&observer, Kind::Response { is_streamed: true }, streamed.len() - 4, &streamed),
        message(&observer, Kind::Response { is_streamed: false }, 3, br#"{"statusCode":202}"#),
        message(&observer, Kind::Error { error_type: Some("Boom".to_owned()) }, MAX_BODY_BYTES, b""),
    ] {
        observer.send(message);
    }
    assert!(queue.is_receiving());
    drop(observer);
    server::observe(server, messages).await;
    assert!(!queue.is_receiving());
    let Some(Call::Start(start)) = queue.try_recv() else { panic!("no start") };
    assert_eq!((start.request_id, start.time, start.captured.len()), (Some("r".into()), 7, 1));
    assert!(start.span_id.is_some());
    for status in [Some(202), Some(201), None] {
        let Some(Call::End(end)) = queue.try_recv() else { panic!("no end") };
        assert_eq!((end.request_id, end.status_code), (Some("r".into()), status));
    }
    let Some(Call::End(end)) = queue.try_recv() else { panic!("no end") };
    assert_eq!(end.error.unwrap().kind.as_deref(), Some("Boom"));
    assert!(queue.try_recv().is_none());
}

#[tokio::test]
async fn spans_find_an_event_that_is_decoded_whether_or_not_the_loop_has_it() {
    let (server, _inbox) = Server::new(capturing(), None);
    let (observer, messages) = runtime::observer();
    let parents = Arc::<SpanParents>::default();
    let messages = messages.with_span_parents(Arc::clone(&parents));
    observer.send(message(&observer, Kind::Event, MAX_BODY_BYTES, b"{}"));
    assert!(parents.are_arriving());
    drop(observer);
    server::observe(server, messages).await;
    assert!(!parents.are_arriving());
    let traced = parents.invocations.adopt(&mut [Span { trace_id: 5, start: 7_000_000, ..Span::default() }]);
    assert_eq!(traced.first().map(|it| (it.request_id.as_str(), it.trace_id)), Some(("r", 5)));
}

#[tokio::test]
async fn unread_otlp_messages_are_dropped_and_events_count_as_spans() {
    let (_server, mut queue) = Server::new(capturing(), None);
    let (observer, messages) = runtime::observer();
    queue.runtime = Some(messages.counters());
    for kind in [Kind::Response { is_streamed: false }, Kind::Event] {
        for _ in 0..QUEUE {
            observer.send(message(&observer, kind.clone(), 1, b""));
        }
    }
    assert_eq!(queue.take_dropped(), QUEUE);
}
