//! Tests of the client against servers with various certificates, protocols and proxies.

use std::{
    future::pending,
    io::{self, BufRead as _, BufReader, Write as _},
    net::{Ipv4Addr, TcpListener, TcpStream},
    path::PathBuf,
    sync::{Arc, Mutex},
    thread,
};

use bytes::Bytes;

use super::*;
use crate::os::error::chain;
use tls_server::{
    Journal,
    certificates::{Authority, Identity},
};

/// An HTTPS server whose certificate authority is in a file.
struct Server {
    port: u16,
    file: PathBuf,
    journal: Journal,
    _directory: tempfile::TempDir,
}

impl Server {
    /// A server for `localhost`, with a certificate of an unknown authority.
    fn start(protocols: &[&str]) -> Self {
        let authority = Authority::new("Own");
        Self::with(authority.issue("localhost"), protocols, |directory| authority.save(directory))
    }

    fn with(identity: Identity, protocols: &[&str], save: impl FnOnce(&std::path::Path) -> PathBuf) -> Self {
        crate::intake::tls::install_provider();
        let directory = tempfile::tempdir().unwrap();
        let (file, journal) = (save(directory.path()), Journal::default());
        let port = tls_server::serve(0, identity.config(protocols), &journal);
        Self { port, file, journal, _directory: directory }
    }

    fn agreed(&self) -> Vec<String> {
        self.journal.agreed()
    }

    fn settings(&self) -> Config {
        let mut config = Config { api_key: ApiKey::clean("key"), ..Config::default() };
        config.logs.url = format!("https://localhost:{}", self.port);
        config.http.tls_cert_file = Some(self.file.clone());
        config
    }
}

async fn send(config: &Config) -> Result<(), String> {
    let function = Function { region: String::new(), name: String::new() };
    let client = Client::build(config, function).unwrap().client;
    deliver(&client).await
}

async fn deliver(client: &Client) -> Result<(), String> {
    let payload = Payload {
        kind: Kind::Logs,
        to: Target::Primary,
        head: None,
        body: Bytes::from_static(b"[]"),
        compressed: false,
        items: 1,
    };
    client.send(&payload, &ApiKey::clean("key").unwrap(), pending()).await.map_err(|failure| chain(&failure))
}

#[tokio::test]
async fn an_authority_of_the_customers_is_trusted_if_it_is_named() {
    let server = Server::start(&["http/1.1"]);
    let named = server.settings();
    assert_eq!(send(&named).await, Ok(()));
    let unnamed = Config { http: Http { tls_cert_file: None, ..named.http.clone() }, ..named };
    let error = send(&unnamed).await.unwrap_err();
    assert!(error.to_lowercase().contains("certificate"), "{error}");
    for tls_cert_file in [None, Some("/nonexistent/ca.pem".into())] {
        let insecure = Http { skip_ssl_validation: true, tls_cert_file, ..unnamed.http.clone() };
        assert_eq!(send(&Config { http: insecure, ..unnamed.clone() }).await, Ok(()));
    }
}

/// A bad certificate is rejected regardless of its issuer, with an error of one line.
#[tokio::test]
async fn a_certificate_that_does_not_hold_is_refused_unless_nothing_is_checked() {
    let authority = Authority::new("Own");
    for (identity, why) in [
        (authority.issue("example.com"), "not valid for name \"localhost\""),
        (authority.issue_expired("localhost"), "expired"),
    ] {
        let server = Server::with(identity, &["http/1.1"], |directory| authority.save(directory));
        let mut config = server.settings();
        let error = send(&config).await.unwrap_err();
        assert!(error.contains("invalid peer certificate: ") && error.contains(why), "{error}");
        assert_eq!(error.lines().count(), 1, "{error}");
        assert_eq!(server.agreed(), [""; 0], "no handshake was completed");
        config.http.skip_ssl_validation = true;
        assert_eq!(send(&config).await, Ok(()));
    }
}

#[tokio::test]
async fn a_certificate_that_vouches_for_itself_is_trusted_only_if_it_is_named() {
    let identity = Identity::self_signed("localhost");
    let directory = tempfile::tempdir().unwrap();
    let file = identity.save(directory.path());
    let server = Server::with(identity, &["http/1.1"], |_| file);
    let mut config = server.settings();
    assert_eq!(send(&config).await, Ok(()));
    config.http.tls_cert_file = None;
    let error = send(&config).await.unwrap_err();
    assert!(error.contains("invalid peer certificate: UnknownIssuer"), "{error}");
    config.http.skip_ssl_validation = true;
    assert_eq!(send(&config).await, Ok(()));
}

#[tokio::test]
async fn the_protocol_is_agreed_on_unless_it_is_set() {
    for (offered, set, expected) in [
        (&["h2", "http/1.1"][..], HttpProtocol::Automatic, "h2"),
        (&["http/1.1"], HttpProtocol::Automatic, "http/1.1"),
        (&["h2", "http/1.1"], HttpProtocol::Http1, "http/1.1"),
        (&["h2", "http/1.1"], HttpProtocol::Http2, "h2"),
        (&[], HttpProtocol::Automatic, "none"),
    ] {
        let server = Server::start(offered);
        let mut config = server.settings();
        config.http.protocol = set;
        assert_eq!(send(&config).await, Ok(()), "{offered:?} {set:?}");
        assert_eq!(server.agreed(), [expected], "{offered:?} {set:?}");
        let [request] = &server.journal.requests()[..] else { panic!("{offered:?} {set:?}") };
        let spoken = if expected == "h2" { "h2" } else { "http/1.1" };
        assert_eq!((request.protocol, request.path.as_str()), (spoken, "/api/v2/logs"), "{offered:?} {set:?}");
        assert_eq!((request.headers["dd-api-key"].as_str(), &request.body[..]), ("key", &b"[]"[..]));
    }
}

/// A body larger than an HTTP/2 window (65,535 bytes) waits for the server's window update.
#[tokio::test]
async fn a_large_body_arrives_over_http2() {
    let server = Server::start(&["h2"]);
    let function = Function { region: String::new(), name: String::new() };
    let client = Client::build(&server.settings(), function).unwrap().client;
    let body = Bytes::from(vec![7; 3 << 20]);
    let payload =
        Payload { kind: Kind::Logs, to: Target::Primary, head: None, body: body.clone(), compressed: true, items: 1 };
    client.send(&payload, &ApiKey::clean("key").unwrap(), pending()).await.unwrap();
    let [request] = &server.journal.requests()[..] else { panic!("one request") };
    assert_eq!((request.protocol, request.headers["content-encoding"].as_str()), ("h2", "zstd"));
    assert!(request.body == body);
}

#[tokio::test]
async fn no_connection_is_kept_for_after_a_freeze() {
    let server = Server::start(&["http/1.1"]);
    let function = Function { region: String::new(), name: String::new() };
    let client = Client::build(&server.settings(), function).unwrap().client;
    for _ in 0..3 {
        assert_eq!(deliver(&client).await, Ok(()));
    }
    assert_eq!(server.agreed().len(), 3);
}

/// A proxy that forwards every connection to the server. Records the requested destinations.
fn proxy(server: &Server) -> (u16, Arc<Mutex<Vec<String>>>) {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let (port, to) = (listener.local_addr().unwrap().port(), server.port);
    let asked = Arc::<Mutex<Vec<_>>>::default();
    let told = asked.clone();
    thread::spawn(move || {
        for stream in listener.incoming() {
            let mut client = BufReader::new(stream.unwrap());
            let mut first = String::new();
            client.read_line(&mut first).unwrap();
            told.lock().unwrap().push(first.trim().to_owned());
            head_after_first(&mut client);
            let mut client = client.into_inner();
            client.write_all(b"HTTP/1.1 200 X\r\n\r\n").unwrap();
            let mut server = TcpStream::connect((Ipv4Addr::LOCALHOST, to)).unwrap();
            let (mut from_client, mut to_server) = (client.try_clone().unwrap(), server.try_clone().unwrap());
            thread::spawn(move || io::copy(&mut from_client, &mut to_server));
            thread::spawn(move || io::copy(&mut server, &mut client));
        }
    });
    (port, asked)
}

fn head_after_first(client: &mut BufReader<TcpStream>) {
    let mut line = String::from("-");
    while !line.trim().is_empty() {
        line.clear();
        client.read_line(&mut line).unwrap();
    }
}

#[tokio::test]
async fn a_proxy_leads_to_every_host_but_those_that_are_named() {
    let server = Server::start(&["http/1.1"]);
    let (port, asked) = proxy(&server);
    let mut config = server.settings();
    config.http.proxy = Some(format!("http://127.0.0.1:{port}"));
    assert_eq!(send(&config).await, Ok(()));
    let connect = format!("CONNECT localhost:{} HTTP/1.1", server.port);
    assert_eq!(asked.lock().unwrap().join("\n"), connect);
    config.http.no_proxy = vec!["example.com".to_owned()];
    assert_eq!(send(&config).await, Ok(()));
    assert_eq!(*asked.lock().unwrap(), [connect.clone(), connect]);
    for direct in ["localhost", "*"] {
        config.http.no_proxy = vec![direct.to_owned()];
        assert_eq!(send(&config).await, Ok(()));
        assert_eq!(asked.lock().unwrap().len(), 2, "{direct}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_payload_without_an_answer_fails_after_the_flush_timeout() {
    crate::intake::tls::install_provider();
    let silent = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let url = format!("http://{}", silent.local_addr().unwrap());
    for (timeout, seconds) in [("2", 2), ("45", 45)] {
        let variables = [("DD_FLUSH_TIMEOUT", timeout), ("DD_API_KEY", "key"), ("DD_LOGS_CONFIG_LOGS_DD_URL", &url)];
        let config = crate::config::load(variables, None).config;
        let started = tokio::time::Instant::now();
        let error = send(&config).await.unwrap_err();
        assert_eq!(error, format!("no answer within {timeout}s (DD_FLUSH_TIMEOUT)"));
        assert_eq!(started.elapsed().as_secs(), seconds);
    }
}

/// The result of a request to a server that closes the connection after reading the request, or that refuses the connection.
async fn send_to_closing_server(reads_request: bool) -> SendError {
    crate::intake::tls::install_provider();
    // Bound, so that no other process gets the port, and refusing connections as long as it does not listen.
    let socket = tokio::net::TcpSocket::new_v4().unwrap();
    socket.bind((Ipv4Addr::LOCALHOST, 0).into()).unwrap();
    let mut config = Config { api_key: ApiKey::clean("key"), ..Config::default() };
    config.logs.url = format!("http://{}", socket.local_addr().unwrap());
    let mut unused = Some(socket);
    if reads_request {
        let listener = unused.take().unwrap().listen(1).unwrap().into_std().unwrap();
        listener.set_nonblocking(false).unwrap();
        thread::spawn(move || {
            let mut client = BufReader::new(listener.accept().unwrap().0);
            head_after_first(&mut client);
            io::Read::read_exact(&mut client, &mut [0; 2]).unwrap();
        });
    }
    let client = Client::build(&config, Function { region: String::new(), name: String::new() }).unwrap().client;
    let payload = Payload {
        kind: Kind::Logs,
        to: Target::Primary,
        head: None,
        body: Bytes::from_static(b"[]"),
        compressed: false,
        items: 1,
    };
    let error = client.send(&payload, &ApiKey::clean("key").unwrap(), pending()).await.unwrap_err();
    drop(unused);
    error
}

#[tokio::test]
async fn request_may_have_arrived_if_the_connection_breaks_after_the_body() {
    let lost = send_to_closing_server(true).await;
    assert!(matches!(lost, SendError::ConnectionLost(_)) && lost.may_have_arrived(), "{lost:?}");
    let refused = send_to_closing_server(false).await;
    assert!(matches!(refused, SendError::Transport(_)) && !refused.may_have_arrived(), "{refused:?}");
}

#[tokio::test]
async fn retry_after_has_whole_seconds() {
    crate::intake::tls::install_provider();
    for (status, header, expected) in [
        (429, "retry-after: 7", Some(7)),
        (503, "Retry-After:  0 ", Some(0)),
        (503, "retry-after: Wed, 21 Oct 2026 07:28:00 GMT", None),
        (503, "retry-after: -1", None),
        (500, "x: y", None),
    ] {
        let answer = format!("HTTP/1.1 {status} X\r\n{header}\r\ncontent-length: 0\r\n\r\n");
        let server = http_server(&answer);
        let mut config = Config { api_key: ApiKey::clean("key"), ..Config::default() };
        config.logs.url = server.url.clone();
        let client = Client::build(&config, Function { region: String::new(), name: String::new() }).unwrap().client;
        let payload = Payload {
            kind: Kind::Logs,
            to: Target::Primary,
            head: None,
            body: Bytes::from_static(b"[]"),
            compressed: false,
            items: 1,
        };
        let error = client.send(&payload, &ApiKey::clean("key").unwrap(), pending()).await.unwrap_err();
        assert!(error.is_temporary(), "{error}");
        assert_eq!(error.retry_after(), expected.map(Duration::from_secs), "{header}");
    }
}

fn http_server(answer: &str) -> crate::intake::http::tests::Server {
    crate::intake::http::tests::Server::start("127.0.0.1", answer, b"")
}

/// A client for an intake at this address, with this timeout.
fn client_for(address: std::net::SocketAddr, timeout: std::time::Duration) -> Client {
    crate::intake::tls::install_provider();
    let mut config = Config { api_key: ApiKey::clean("key"), ..Config::default() };
    config.logs.url = format!("http://{address}");
    config.http.timeout = timeout;
    let function = Function { region: String::new(), name: String::new() };
    Client::build(&config, function).unwrap().client
}

fn payload_of(bytes: usize) -> Payload {
    Payload {
        kind: Kind::Logs,
        to: Target::Primary,
        head: None,
        body: vec![b' '; bytes].into(),
        compressed: false,
        items: 1,
    }
}

#[tokio::test]
async fn a_large_body_that_the_server_does_not_read_is_not_sent() {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let client = client_for(listener.local_addr().unwrap(), std::time::Duration::from_millis(300));
    let key = ApiKey::clean("key").unwrap();
    // More than the buffers of two sockets and of the HTTP client hold.
    let result = client.send(&payload_of(32 << 20), &key, pending()).await;
    assert!(matches!(result, Err(SendError::NotSent(_))), "{result:?}");
    let result = client.send(&payload_of(100), &key, pending()).await;
    assert!(matches!(result, Err(SendError::NoAnswer(_))), "it is in the buffer of the socket: {result:?}");
}

/// As after a freeze: the response is in the socket, and the request is abandoned in the same scheduler turn.
#[tokio::test]
async fn an_answer_that_is_here_counts_though_the_request_is_abandoned() {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let client = client_for(listener.local_addr().unwrap(), std::time::Duration::from_secs(30));
    let answered = Arc::new(tokio::sync::Notify::new());
    let served = answered.clone();
    thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let mut reader = BufReader::new(stream.try_clone().unwrap());
        let mut line = String::new();
        while line != "\r\n" {
            line.clear();
            reader.read_line(&mut line).unwrap();
        }
        stream.write_all(b"HTTP/1.1 202 Accepted\r\ncontent-length: 0\r\n\r\n").unwrap();
        served.notify_one();
        // Keeps the connection open until the request has ended.
        let _ = io::copy(&mut reader, &mut io::sink());
    });
    let abandoned = async {
        answered.notified().await;
        // The runtime has one thread, which reads nothing while it is blocked.
        thread::sleep(std::time::Duration::from_millis(50));
    };
    let result = client.send(&payload_of(100), &ApiKey::clean("key").unwrap(), abandoned).await;
    assert!(result.is_ok(), "{result:?}");
}
