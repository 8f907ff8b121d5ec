//! The client against servers with certificates, protocols and proxies of every kind.

use std::{
    io::{self, BufRead as _, BufReader, Write as _},
    net::{Ipv4Addr, TcpListener, TcpStream},
    path::PathBuf,
    sync::{Arc, Mutex},
    thread,
};

use bytes::Bytes;

use super::*;
use https::{
    Agreed,
    certificates::{Authority, Identity},
};

/// An HTTPS server that has to be trusted because of what is in a file.
struct Server {
    port: u16,
    file: PathBuf,
    agreed: Agreed,
    _directory: tempfile::TempDir,
}

impl Server {
    /// That is called localhost, behind an authority that nobody knows.
    fn start(protocols: &[&str]) -> Self {
        let authority = Authority::new("Own");
        Self::with(authority.issue("localhost"), protocols, |directory| authority.save(directory))
    }

    fn with(identity: Identity, protocols: &[&str], save: impl FnOnce(&std::path::Path) -> PathBuf) -> Self {
        tls::install_provider();
        let directory = tempfile::tempdir().unwrap();
        let (file, agreed) = (save(directory.path()), Agreed::default());
        let port = https::serve(0, identity.config(protocols), &agreed);
        Self { port, file, agreed, _directory: directory }
    }

    fn agreed(&self) -> Vec<String> {
        self.agreed.lock().unwrap().clone()
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
    let payload = Payload { kind: Kind::Logs, to: To::Primary, body: Bytes::from_static(b"[]"), zstd: false, items: 1 };
    client.send(&payload, &ApiKey::clean("key").unwrap()).await.map_err(|failure| failure.to_string())
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
        let careless = Http { skip_ssl_validation: true, tls_cert_file, ..unnamed.http.clone() };
        assert_eq!(send(&Config { http: careless, ..unnamed.clone() }).await, Ok(()));
    }
}

/// What is wrong with a certificate is wrong whoever has issued it, and told in one line.
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
        let arrived = send(&config).await;
        assert_eq!(server.agreed(), [expected], "{offered:?} {set:?}");
        // The server speaks no HTTP/2: what counts there is what was agreed on.
        assert_eq!(arrived.is_ok(), expected != "h2", "{offered:?} {set:?} {arrived:?}");
    }
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

/// A proxy that leads to the server wherever it is asked to lead. Tells whom it was asked for.
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
