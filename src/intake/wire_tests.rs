//! The client against servers with certificates, protocols and proxies of every kind.

use std::{
    io::{self, BufRead as _, BufReader, Read, Write},
    net::{Ipv4Addr, TcpListener, TcpStream},
    path::PathBuf,
    sync::{Arc, Mutex},
    thread,
};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use bytes::Bytes;
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use rustls::{
    ServerConfig, ServerConnection, StreamOwned,
    pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer},
};

use super::*;

/// An HTTPS server that is called localhost, behind an authority that nobody knows.
struct Server {
    port: u16,
    authority: PathBuf,
    /// What was agreed on in the handshake, for each connection.
    agreed: Arc<Mutex<Vec<String>>>,
    _directory: tempfile::TempDir,
}

impl Server {
    fn start(protocols: &[&str]) -> Self {
        tls::install_provider();
        let mut params = CertificateParams::new([]).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().unwrap();
        let authority = params.self_signed(&key).unwrap();
        let issuer = Issuer::new(params, key);
        let own = KeyPair::generate().unwrap();
        let certificate = CertificateParams::new(["localhost".to_owned()]).unwrap().signed_by(&own, &issuer).unwrap();
        let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(own.serialize_der()));
        let builder = ServerConfig::builder().with_no_client_auth();
        let mut config = builder.with_single_cert(vec![certificate.der().clone()], key).unwrap();
        config.alpn_protocols = protocols.iter().map(|protocol| protocol.as_bytes().to_vec()).collect();

        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("authority.pem");
        let pem = STANDARD.encode(authority.der());
        std::fs::write(&file, format!("-----BEGIN CERTIFICATE-----\n{pem}\n-----END CERTIFICATE-----\n")).unwrap();

        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let port = listener.local_addr().unwrap().port();
        let (config, agreed) = (Arc::new(config), Arc::<Mutex<Vec<_>>>::default());
        let told = agreed.clone();
        thread::spawn(move || {
            for stream in listener.incoming() {
                // A client that does not trust us breaks off, which is its right.
                let _ = serve(stream.unwrap(), config.clone(), &told);
            }
        });
        Self { port, authority: file, agreed, _directory: directory }
    }

    fn agreed(&self) -> Vec<String> {
        self.agreed.lock().unwrap().clone()
    }

    fn settings(&self) -> Config {
        let mut config = Config { api_key: ApiKey::clean("key"), ..Config::default() };
        config.logs.url = format!("https://localhost:{}", self.port);
        config.http.tls_cert_file = Some(self.authority.clone());
        config
    }
}

fn serve(stream: TcpStream, config: Arc<ServerConfig>, agreed: &Mutex<Vec<String>>) -> io::Result<()> {
    let mut connection = ServerConnection::new(config).map_err(io::Error::other)?;
    let mut stream = stream;
    while connection.is_handshaking() {
        connection.complete_io(&mut stream)?;
    }
    let protocol = connection.alpn_protocol().unwrap_or(b"none");
    agreed.lock().unwrap().push(String::from_utf8_lossy(protocol).into_owned());
    let mut stream = StreamOwned::new(connection, stream);
    let length = head(&mut stream)?.iter().find_map(|line| line.strip_prefix("content-length: ")?.parse().ok());
    stream.read_exact(&mut vec![0; length.unwrap_or(0)])?;
    stream.write_all(b"HTTP/1.1 202 X\r\ncontent-length: 0\r\n\r\n")?;
    stream.flush()
}

/// The lines of a request before its body, read byte by byte so that the body stays where it is.
fn head(stream: &mut impl Read) -> io::Result<Vec<String>> {
    let mut bytes = Vec::new();
    while !bytes.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        stream.read_exact(&mut byte)?;
        bytes.extend(byte);
    }
    Ok(String::from_utf8_lossy(&bytes).lines().map(str::to_owned).collect())
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
