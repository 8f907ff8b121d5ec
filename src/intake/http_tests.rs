//! Tests with unusual responses and with none.

use std::{
    io::{self, Read as _, Write as _},
    net::{Shutdown, TcpListener, TcpStream},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
    time::Duration,
};

use tokio::time::Instant;

use super::*;
use crate::config::Config;
use crate::os::error::chain;

/// A server on its own port that replies to every request with these bytes, followed by `then` repeatedly unless it is empty. Counts connections.
pub(in crate::intake) struct Server {
    pub(in crate::intake) url: String,
    connections: Arc<AtomicUsize>,
}

impl Server {
    pub(in crate::intake) fn start(host: &str, answer: &str, then: &'static [u8]) -> Self {
        let listener = TcpListener::bind((host, 0)).unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let connections = Arc::<AtomicUsize>::default();
        let (answer, count) = (answer.to_owned(), connections.clone());
        thread::spawn(move || {
            for stream in listener.incoming() {
                count.fetch_add(1, Ordering::SeqCst);
                let (stream, answer) = (stream.unwrap(), answer.clone());
                thread::spawn(move || reply(stream, &answer, then));
            }
        });
        Self { url, connections }
    }

    pub(in crate::intake) fn connections(&self) -> usize {
        self.connections.load(Ordering::SeqCst)
    }
}

fn reply(mut stream: TcpStream, answer: &str, then: &[u8]) {
    // The start of the request is enough, because all requests get the same response.
    let _ = stream.read(&mut [0; 4096]);
    let mut sent = stream.write_all(answer.as_bytes());
    while sent.is_ok() && !then.is_empty() {
        sent = stream.write_all(then);
    }
    // Closing a socket with unread data would reset the connection, possibly before the client has read the response.
    let _ = stream.shutdown(Shutdown::Write);
    let _ = io::copy(&mut stream, &mut io::sink());
}

/// A client with the default settings.
pub(in crate::intake) fn client() -> HttpClient {
    tls::install_provider();
    HttpClient::build(&Config::default().http, &mut Vec::new()).unwrap()
}

fn with_headers(count: usize) -> String {
    let headers = (0..count).map(|number| format!("x-header-{number}: {}\r\n", "v".repeat(100)));
    let headers = headers.collect::<Vec<_>>().concat();
    format!("HTTP/1.1 202 Accepted\r\ncontent-length: 2\r\n{headers}\r\n{{}}")
}

#[tokio::test]
async fn an_answer_with_many_headers_is_the_answer_that_it_is() {
    for count in [0, 150, 1_000] {
        let server = Server::start("127.0.0.1", &with_headers(count), b"");
        let client = client();
        let response = client.send(client.post(&server.url)).await.unwrap();
        assert_eq!(response.status(), StatusCode::ACCEPTED, "{count}");
        assert_eq!(client.fetch(client.get(&server.url), 2).await.unwrap().body, b"{}", "{count}");
    }
}

/// HTTP/2 limits the size of headers in bytes, not their number.
#[tokio::test]
async fn an_http2_answer_with_many_headers_is_the_answer_that_it_is() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move {
        let (stream, _) = listener.accept().await.unwrap();
        let mut connection = h2::server::handshake(stream).await.unwrap();
        while let Some(Ok((_, mut respond))) = connection.accept().await {
            let mut response = axum::http::Response::new(());
            *response.status_mut() = StatusCode::ACCEPTED;
            for number in 0..1_000 {
                let name = header::HeaderName::try_from(format!("x-header-{number}")).unwrap();
                response.headers_mut().insert(name, header::HeaderValue::try_from("v".repeat(100)).unwrap());
            }
            respond.send_response(response, true).unwrap();
        }
    });
    tls::install_provider();
    let settings = Http { protocol: HttpProtocol::Http2, ..Config::default().http };
    let client = HttpClient::build(&settings, &mut Vec::new()).unwrap();
    let response = client.send(client.post(url)).await.unwrap();
    assert_eq!((response.status(), response.headers().len() >= 1_000), (StatusCode::ACCEPTED, true));
}

#[tokio::test]
async fn no_redirect_is_followed_and_its_target_is_shown_without_secrets() {
    for code in [300, 301, 302, 303, 304, 305, 307, 308] {
        let other = Server::start("127.0.0.2", "HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n", b"");
        let authority = other.url.strip_prefix("http://").unwrap();
        let head = format!("HTTP/1.1 {code} X\r\nlocation: http://u:secret@{authority}/secret?secret\r\n");
        let server = Server::start("127.0.0.1", &format!("{head}content-length: 0\r\n\r\n"), b"");
        let client = client();
        for request in [client.post(&server.url).body("data"), client.get(&server.url)] {
            let status = ErrorStatus::of(&client.send(request).await.unwrap()).unwrap();
            assert_eq!((status.as_u16(), status.is_temporary()), (code, matches!(code, 302 | 307)));
            let text = status.to_string();
            let end = format!(", a redirect to {authority}, which is not followed");
            assert!(text.ends_with(&end) && !text.contains("secret"), "{text}");
        }
        assert_eq!((server.connections(), other.connections()), (2, 0), "{code}");
    }
}

#[tokio::test]
async fn a_redirect_to_nowhere_is_a_failure_as_well() {
    for location in ["", "location: http://\r\n", "location: \u{e9}\r\n", "location: mailto:x\r\n"] {
        let server = Server::start("127.0.0.1", &format!("HTTP/1.1 301 X\r\n{location}content-length: 0\r\n\r\n"), b"");
        let client = client();
        let status = ErrorStatus::of(&client.send(client.get(&server.url)).await.unwrap()).unwrap();
        assert_eq!(status.as_u16(), 301, "{location}");
        assert!(status.to_string().len() < 200, "{status}");
    }
}

#[tokio::test]
async fn a_body_is_read_up_to_its_limit() {
    let endless = "HTTP/1.1 200 OK\r\n\r\n";
    let chunked = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n";
    let announced = "HTTP/1.1 200 OK\r\ncontent-length: 5000\r\n\r\n";
    for (answer, then) in [(endless, &b"xxxx"[..]), (chunked, b"4\r\nxxxx\r\n"), (announced, b"x")] {
        let server = Server::start("127.0.0.1", answer, then);
        let client = client();
        let error = client.fetch(client.get(&server.url), 4_999).await.unwrap_err();
        assert!(matches!(error, RequestError::TooLarge(4_999)), "{answer}: {error:?}");
    }
    let server = Server::start("127.0.0.1", announced, b"x");
    let client = client();
    assert_eq!(client.fetch(client.get(&server.url), 5_000).await.unwrap().body.len(), 5_000);
}

/// A listener whose connections get no response.
fn silent() -> (TcpListener, String) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    (listener, url)
}

#[tokio::test(start_paused = true)]
async fn a_request_without_an_answer_ends_with_its_timeout() {
    for timeout in [Duration::from_secs(2), Duration::from_secs(30)] {
        let (_listener, url) = silent();
        tls::install_provider();
        let settings = Http { timeout, ..Config::default().http };
        let client = HttpClient::build(&settings, &mut Vec::new()).unwrap();
        let started = Instant::now();
        let error = client.send(client.get(&url)).await.unwrap_err();
        assert!(matches!(error, RequestError::Timeout(after) if after == timeout), "{error:?}");
        assert_eq!(started.elapsed().as_secs(), timeout.as_secs());
        let started = Instant::now();
        let error = client.fetch(client.get(&url), 1).await.unwrap_err();
        assert!(matches!(error, RequestError::Timeout(after) if after == timeout), "{error:?}");
        assert_eq!(started.elapsed().as_secs(), timeout.as_secs());
    }
}

#[tokio::test]
async fn an_error_shows_the_host_and_nothing_else_of_the_url() {
    let client = client();
    let request = client.get("http://user:secret@127.0.0.1:1/secret?secret=secret");
    let text = chain(&client.send(request).await.unwrap_err());
    assert!(text.starts_with("127.0.0.1: error sending request: ") && !text.contains("secret"), "{text}");
}

#[test]
fn two_clients_that_trust_the_same_files_warn_once() {
    tls::install_provider();
    let settings = Http { tls_cert_file: Some("/nonexistent".into()), ..Config::default().http };
    let mut warnings = Vec::new();
    for _ in 0..2 {
        HttpClient::build(&settings, &mut warnings).unwrap();
        assert_eq!(warnings.iter().filter(|warning| warning.to_string().contains("/nonexistent")).count(), 1);
    }
}
