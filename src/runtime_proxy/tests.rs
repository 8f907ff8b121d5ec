//! A runtime and a Lambda that write and read bytes, with the proxy between them.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    time::sleep,
};

use super::*;
use crate::ingest::lifecycle::runtime::{Kind, Message, Messages, observer};

/// Lambda's side, and where the runtime connects.
struct Bench {
    lambda: TcpListener,
    proxy: SocketAddr,
}

impl Bench {
    async fn start(observer: Option<Observer>) -> Self {
        let lambda = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let api = RuntimeApi(lambda.local_addr().unwrap().to_string());
        Self { proxy: proxy(&api, observer), lambda }
    }

    async fn runtime(&self) -> TcpStream {
        TcpStream::connect(self.proxy).await.unwrap()
    }

    async fn accept(&self) -> TcpStream {
        self.lambda.accept().await.unwrap().0
    }

    /// Both ends of a connection over which this request has come.
    async fn request(&self, request: &str) -> (TcpStream, TcpStream, Http) {
        let mut runtime = self.runtime().await;
        runtime.write_all(request.as_bytes()).await.unwrap();
        let mut lambda = self.accept().await;
        let seen = read(&mut lambda).await.unwrap();
        (runtime, lambda, seen)
    }
}

fn proxy(api: &RuntimeApi, observer: Option<Observer>) -> SocketAddr {
    let rules = Rules { address: "127.0.0.1:0".parse().unwrap(), is_web_adapter: true, problem: None };
    let listener = bind_at(rules).unwrap();
    let address = listener.listener.local_addr().unwrap();
    listener.serve(api, observer).unwrap();
    address
}

/// A request or a response as it came.
#[derive(Debug, PartialEq, Eq)]
struct Http {
    first: String,
    /// Sorted.
    headers: Vec<String>,
    body: Vec<u8>,
    trailers: Vec<String>,
}

impl Http {
    fn has(&self, header: &str) -> bool {
        self.headers.iter().any(|line| line == header)
    }
}

async fn line(stream: &mut TcpStream) -> Option<String> {
    let mut line = Vec::new();
    while !line.ends_with(b"\r\n") {
        line.push(stream.read_u8().await.ok()?);
    }
    Some(String::from_utf8(line).unwrap().trim_end().to_owned())
}

async fn lines(stream: &mut TcpStream) -> Option<Vec<String>> {
    let mut lines = Vec::new();
    loop {
        match line(stream).await? {
            line if line.is_empty() => return Some(lines),
            line => lines.push(line),
        }
    }
}

/// The next message; None at the end of the connection.
async fn read(stream: &mut TcpStream) -> Option<Http> {
    let first = line(stream).await?;
    let mut headers = lines(stream).await?;
    headers.sort();
    let value = |name: &str| {
        let of = |line: &String| line.to_ascii_lowercase().strip_prefix(name).map(|value| value[1..].trim().to_owned());
        headers.iter().find_map(of)
    };
    let (mut body, mut trailers) = (Vec::new(), Vec::new());
    if value("transfer-encoding").is_some() {
        loop {
            let length = usize::from_str_radix(&line(stream).await?, 16).unwrap();
            if length == 0 {
                trailers = lines(stream).await?;
                break;
            }
            let start = body.len();
            body.resize(start + length, 0);
            stream.read_exact(&mut body[start..]).await.ok()?;
            line(stream).await?;
        }
    } else if let Some(length) = value("content-length") {
        body.resize(length.parse().unwrap(), 0);
        stream.read_exact(&mut body).await.ok()?;
    }
    Some(Http { first, headers, body, trailers })
}

const NEXT: &str = "GET /2018-06-01/runtime/invocation/next HTTP/1.1\r\nHost: proxy\r\n\r\n";
const ACCEPTED: &str = "HTTP/1.1 202 Accepted\r\nContent-Length: 0\r\n\r\n";

fn post(path: &str, headers: &str, body: &str) -> String {
    let length = body.len();
    format!(
        "POST /2018-06-01/runtime/{path} HTTP/1.1\r\nHost: proxy\r\n{headers}Content-Length: {length}\r\n\r\n{body}"
    )
}

#[tokio::test]
async fn what_lambda_answers_reaches_the_runtime_as_it_came() {
    let bench = Bench::start(None).await;
    for (response, first, body) in [
        (
            "HTTP/1.1 200 OK\r\nLambda-Runtime-Aws-Request-Id: r\r\nX-Two: a\r\nX-Two: b\r\nContent-Length: 2\r\n\r\n{}",
            "HTTP/1.1 200 OK",
            "{}",
        ),
        (
            "HTTP/1.1 200 Fine\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n",
            "HTTP/1.1 200 Fine",
            "abcde",
        ),
        (
            "HTTP/1.1 413 Too Large\r\nContent-Type: application/json\r\nContent-Length: 1\r\n\r\n1",
            "HTTP/1.1 413 Too Large",
            "1",
        ),
        ("HTTP/1.1 202 Accepted\r\ncontent-length: 0\r\n\r\n", "HTTP/1.1 202 Accepted", ""),
        ("HTTP/1.1 204 No Content\r\nDate: today\r\n\r\n", "HTTP/1.1 204 No Content", ""),
    ] {
        let (mut runtime, mut lambda, _) = bench.request(NEXT).await;
        lambda.write_all(response.as_bytes()).await.unwrap();
        let seen = read(&mut runtime).await.unwrap();
        let (head, _) = response.split_once("\r\n\r\n").unwrap();
        let mut headers: Vec<&str> = head.split("\r\n").skip(1).collect();
        headers.sort_unstable();
        assert_eq!(
            (seen.first.as_str(), &seen.headers, &*seen.body),
            (first, &headers.iter().map(ToString::to_string).collect(), body.as_bytes())
        );
    }
}

#[tokio::test]
async fn what_the_runtime_sends_reaches_lambda_as_it_came() {
    let bench = Bench::start(None).await;
    let (_runtime, _lambda, seen) =
        bench.request(&post("invocation/r/response?a=b%20c", "X-Case: As It Is\r\n", "[1]")).await;
    assert_eq!(seen.first, "POST /2018-06-01/runtime/invocation/r/response?a=b%20c HTTP/1.1");
    assert!(seen.has("X-Case: As It Is") && seen.has("Content-Length: 3"), "{seen:?}");
    let host = format!("Host: {}", bench.lambda.local_addr().unwrap());
    assert!(seen.has(&host), "{seen:?}");
    assert_eq!((seen.headers.len(), &*seen.body), (3, &b"[1]"[..]));

    let streamed = "POST /2018-06-01/runtime/invocation/r/response HTTP/1.1\r\nHost: proxy\r\nTransfer-Encoding: chunked\r\n\
        Lambda-Runtime-Function-Response-Mode: streaming\r\nTrailer: Lambda-Runtime-Function-Error-Type\r\n\r\n\
        2\r\nab\r\n1\r\nc\r\n0\r\nLambda-Runtime-Function-Error-Type: Late\r\n\r\n";
    let (_runtime, _lambda, seen) = bench.request(streamed).await;
    assert!(seen.has("Lambda-Runtime-Function-Response-Mode: streaming"), "{seen:?}");
    assert_eq!(seen.body, b"abc");
    assert_eq!(seen.trailers.len(), 1, "{seen:?}");
    assert!(seen.trailers[0].eq_ignore_ascii_case("lambda-runtime-function-error-type: Late"), "{seen:?}");
}

#[tokio::test]
async fn headers_of_a_connection_stay_on_it() {
    let bench = Bench::start(None).await;
    let of_connection = "Connection: keep-alive, X-Hop\r\nX-Hop: 1\r\nTE: trailers\r\nProxy-Authorization: secret\r\n";
    let request = NEXT.replace("\r\n\r\n", &format!("\r\n{of_connection}X-End: 1\r\n\r\n"));
    let (mut runtime, mut lambda, seen) = bench.request(&request).await;
    assert_eq!((seen.headers.len(), seen.has("X-End: 1")), (2, true), "{seen:?}");
    lambda
        .write_all(
            b"HTTP/1.1 200 OK\r\nConnection: close\r\nProxy-Authenticate: x\r\nX-End: 2\r\nContent-Length: 0\r\n\r\n",
        )
        .await
        .unwrap();
    let seen = read(&mut runtime).await.unwrap();
    assert_eq!(seen.headers, ["Content-Length: 0", "X-End: 2"]);
}

#[tokio::test]
async fn a_header_of_a_mebibyte_passes() {
    let bench = Bench::start(None).await;
    let cause = format!("Lambda-Runtime-Function-XRay-Error-Cause: {}\r\n", "x".repeat(1 << 20));
    let (_runtime, _lambda, seen) = bench.request(&post("invocation/r/error", &cause, "{}")).await;
    assert!(seen.has(cause.trim_end()));
}

#[tokio::test]
async fn pipelined_requests_are_answered_in_their_order_over_one_connection() {
    let bench = Bench::start(None).await;
    let requests = [post("invocation/r/response", "", "1"), NEXT.to_owned(), post("invocation/s/response", "", "2")];
    let (mut runtime, mut lambda, first) = bench.request(&requests.concat()).await;
    let mut seen = vec![first];
    for number in 0..requests.len() {
        lambda
            .write_all(format!("HTTP/1.1 200 OK\r\nX-Number: {number}\r\nContent-Length: 0\r\n\r\n").as_bytes())
            .await
            .unwrap();
        assert!(read(&mut runtime).await.unwrap().has(&format!("X-Number: {number}")));
        if number + 1 < requests.len() {
            seen.push(read(&mut lambda).await.unwrap());
        }
    }
    assert_eq!(seen.iter().map(|request| &*request.body).collect::<Vec<_>>(), [&b"1"[..], b"", b"2"]);
}

#[tokio::test(start_paused = true)]
async fn a_runtime_waits_for_its_event_as_long_as_it_takes() {
    let bench = Bench::start(None).await;
    let (mut runtime, mut lambda, _) = bench.request(NEXT).await;
    sleep(Duration::from_hours(24)).await;
    lambda.write_all(ACCEPTED.as_bytes()).await.unwrap();
    assert_eq!(read(&mut runtime).await.unwrap().first, "HTTP/1.1 202 Accepted");
}

#[tokio::test]
async fn a_runtime_that_goes_away_waits_no_longer() {
    let bench = Bench::start(None).await;
    let (runtime, mut lambda, _) = bench.request(NEXT).await;
    drop(runtime);
    assert_eq!(read(&mut lambda).await, None);
}

#[tokio::test]
async fn a_connection_that_lambda_has_closed_is_replaced() {
    let bench = Bench::start(None).await;
    let (mut runtime, mut lambda, _) = bench.request(NEXT).await;
    lambda.write_all(ACCEPTED.as_bytes()).await.unwrap();
    read(&mut runtime).await.unwrap();
    drop(lambda);
    runtime.write_all(NEXT.as_bytes()).await.unwrap();
    let mut lambda = bench.accept().await;
    read(&mut lambda).await.unwrap();
    lambda.write_all(ACCEPTED.as_bytes()).await.unwrap();
    assert_eq!(read(&mut runtime).await.unwrap().first, "HTTP/1.1 202 Accepted");
}

#[tokio::test]
async fn a_lambda_that_cannot_be_reached_is_an_error_with_its_reason() {
    let nobody = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let address = proxy(&RuntimeApi(nobody.to_string()), None);
    let mut runtime = TcpStream::connect(address).await.unwrap();
    runtime.write_all(NEXT.as_bytes()).await.unwrap();
    let seen = read(&mut runtime).await.unwrap();
    assert_eq!(seen.first, "HTTP/1.1 500 Internal Server Error");
    assert!(seen.body.starts_with(b"Failed to proxy: cannot connect to the Runtime API: "), "{seen:?}");

    let bench = Bench::start(None).await;
    let (mut runtime, lambda, _) = bench.request(&post("init/error", "", "{}")).await;
    drop(lambda);
    assert_eq!(read(&mut runtime).await.unwrap().first, "HTTP/1.1 500 Internal Server Error");
}

#[tokio::test]
async fn an_idle_agent_passes_bytes_on() {
    let lambda = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let rules = Rules { address: "127.0.0.1:0".parse().unwrap(), is_web_adapter: true, problem: None };
    let listener = bind_at(rules).unwrap();
    let bench = Bench { proxy: listener.listener.local_addr().unwrap(), lambda };
    listener.relay(RuntimeApi(bench.lambda.local_addr().unwrap().to_string())).unwrap();
    for _ in 0..2 {
        let (mut runtime, mut lambda, seen) = bench.request(&post("invocation/r/response", "", "[1]")).await;
        assert_eq!(seen.body, b"[1]");
        lambda.write_all(ACCEPTED.as_bytes()).await.unwrap();
        assert_eq!(read(&mut runtime).await.unwrap().first, "HTTP/1.1 202 Accepted");
        drop(runtime);
        assert_eq!(read(&mut lambda).await, None);
    }
}

/// Far more than systems keep of two connections.
const LARGE: usize = 64 << 20;
/// Maximum of what systems keep of two connections, and the proxy between them: 10 MiB each, and 2 MiB.
const MAX_HELD: usize = 24 << 20;
/// How many looks in a row must find that nothing more is taken: a writer may get no processor for a while.
const STILL: usize = 8;

/// Writes a large body and counts what of it has been taken.
async fn write_large(mut stream: TcpStream, head: String, written: Arc<AtomicUsize>) -> TcpStream {
    stream.write_all(head.as_bytes()).await.unwrap();
    let piece = vec![b'x'; 64 << 10];
    for _ in 0..LARGE / piece.len() {
        stream.write_all(&piece).await.unwrap();
        written.fetch_add(piece.len(), Ordering::Relaxed);
    }
    stream
}

/// Waits until nothing more of a body is taken, reads all of it, and gives how much had been taken before.
async fn read_late(mut reader: TcpStream, written: &AtomicUsize) -> usize {
    let (mut before, mut still) = (0, 0);
    while still < STILL {
        sleep(Duration::from_millis(100)).await;
        let now = written.load(Ordering::Relaxed);
        still = if now == before && now > 0 { still + 1 } else { 0 };
        before = now;
    }
    assert_eq!(read(&mut reader).await.unwrap().body.len(), LARGE);
    before
}

#[tokio::test]
async fn a_slow_receiver_slows_down_its_sender() {
    let bench = Bench::start(None).await;
    let written = Arc::<AtomicUsize>::default();
    let (runtime, lambda, _) = bench.request(NEXT).await;
    let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {LARGE}\r\n\r\n");
    let writer = tokio::spawn(write_large(lambda, head, Arc::clone(&written)));
    assert!(read_late(runtime, &written).await <= MAX_HELD);
    drop(writer);

    let written = Arc::<AtomicUsize>::default();
    let head = post("invocation/r/response", "", "").replace("Length: 0", &format!("Length: {LARGE}"));
    let writer = tokio::spawn(write_large(bench.runtime().await, head, Arc::clone(&written)));
    assert!(read_late(bench.accept().await, &written).await <= MAX_HELD);
    drop(writer);
}

async fn reported(messages: &mut Messages) -> Message {
    messages.recv().await.unwrap()
}

#[tokio::test]
async fn events_responses_and_errors_are_reported() {
    let (observer, mut messages) = observer();
    let bench = Bench::start(Some(observer)).await;
    let (mut runtime, mut lambda, _) = bench.request(NEXT).await;
    let event = "HTTP/1.1 200 OK\r\nLambda-Runtime-Aws-Request-Id: r-1\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{\"\r\n4\r\na\":1\r\n1\r\n}\r\n0\r\n\r\n";
    lambda.write_all(event.as_bytes()).await.unwrap();
    read(&mut runtime).await.unwrap();
    let message = reported(&mut messages).await;
    assert_eq!(
        (message.kind, message.request_id.as_str(), message.body.whole()),
        (Kind::Event, "r-1", &b"{\"a\":1}"[..])
    );
    let integration = "Content-Type: application/vnd.awslambda.http-integration-response\r\n";
    for (request, kind, id, body) in [
        (post("invocation/r-1/response", "", "[2]"), Kind::Response { is_streamed: false }, "r-1", "[2]"),
        (
            post("invocation/r-2/response", integration, "{}\0\0\0\0\0\0\0\0x"),
            Kind::Response { is_streamed: true },
            "r-2",
            "{}\0\0\0\0\0\0\0\0x",
        ),
        (
            post("invocation/r-3/error", "Lambda-Runtime-Function-Error-Type: Boom\r\n", "{}"),
            Kind::Error { error_type: Some("Boom".to_owned()) },
            "r-3",
            "{}",
        ),
        (post("invocation/r-4/response", "", ""), Kind::Response { is_streamed: false }, "r-4", ""),
        (
            post("invocation/r-5/response", &integration.to_uppercase(), "{}\0\0\0\0\0\0\0\0x"),
            Kind::Response { is_streamed: true },
            "r-5",
            "{}\0\0\0\0\0\0\0\0x",
        ),
    ] {
        runtime.write_all(request.as_bytes()).await.unwrap();
        read(&mut lambda).await.unwrap();
        let message = reported(&mut messages).await;
        assert_eq!((message.kind, message.request_id.as_str(), message.body.whole()), (kind, id, body.as_bytes()));
        lambda.write_all(ACCEPTED.as_bytes()).await.unwrap();
        read(&mut runtime).await.unwrap();
    }
}

#[tokio::test]
async fn what_breaks_off_is_not_reported_and_is_not_waited_for() {
    let (observer, mut messages) = observer();
    let bench = Bench::start(Some(observer)).await;
    let head = post("invocation/r-1/response", "", "").replace("Length: 0", "Length: 9");
    let mut runtime = bench.runtime().await;
    runtime.write_all(format!("{head}half").as_bytes()).await.unwrap();
    let mut lambda = bench.accept().await;
    while line(&mut lambda).await.unwrap() != "" {}
    let mut half = [0; 4];
    lambda.read_exact(&mut half).await.unwrap();
    assert!(!messages.counters().is_receiving(), "the rest may never come");
    drop(runtime);
    assert_eq!(line(&mut lambda).await, None, "the rest never comes");
    assert!(!messages.counters().is_receiving());
    assert!(messages.try_recv().is_none());
}
