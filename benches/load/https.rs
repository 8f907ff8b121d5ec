//! An intake behind TLS that accepts everything, and the least that a client can do to post to it.

use std::{
    io::{Read as _, Write as _},
    net::{Ipv4Addr, TcpStream},
    path::PathBuf,
    sync::Arc,
    time::{Duration, Instant},
};

use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned, pki_types::ServerName};

use tls_server::{ACCEPTED, Journal, certificates::Authority};

#[path = "../../tests/tls_server/mod.rs"]
#[expect(dead_code, reason = "the tests have use for more")]
mod tls_server;

/// The intake; it lives as long as the process.
pub struct Server {
    pub port: u16,
    /// The authority to be trusted, as a file.
    pub authority: PathBuf,
    client: Arc<ClientConfig>,
    /// Keeps the payloads of sketches.
    journal: Journal,
    _directory: tempfile::TempDir,
}

impl Server {
    /// Answers from now on.
    pub fn start() -> Self {
        // Somebody else in this process may have chosen the same already.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let authority = Authority::new("Bench");
        let server = authority.issue("localhost").config(&[]);
        let mut roots = RootCertStore::empty();
        roots.add(authority.certificate.clone()).unwrap();
        let client = Arc::new(ClientConfig::builder().with_root_certificates(roots).with_no_client_auth());

        let directory = tempfile::tempdir().unwrap();
        let file = authority.save(directory.path());

        let journal = Journal::of_path("/api/beta/sketches");
        let port = tls_server::serve(0, server, &journal);
        Self { port, authority: file, client, journal, _directory: directory }
    }

    /// How many payloads of sketches hold a metric of that name.
    pub fn sketches_with(&self, name: &str) -> usize {
        let has_name = |request: &tls_server::Request| {
            let plain = zstd::bulk::decompress(&request.body, 1 << 24).unwrap();
            plain.windows(name.len()).any(|window| window == name.as_bytes())
        };
        self.journal.requests().iter().filter(|request| has_name(request)).count()
    }

    /// How many requests were accepted so far.
    pub fn accepted(&self) -> usize {
        self.journal.answered()
    }

    /// A connection of a client that does nothing else.
    pub fn connect(&self) -> HttpsConnection {
        let stream = TcpStream::connect((Ipv4Addr::LOCALHOST, self.port)).unwrap();
        stream.set_nodelay(true).unwrap();
        let connection =
            ClientConnection::new(self.client.clone(), ServerName::try_from("localhost").unwrap()).unwrap();
        HttpsConnection(StreamOwned::new(connection, stream))
    }
}

/// A connection.
pub struct HttpsConnection(StreamOwned<ClientConnection, TcpStream>);

impl HttpsConnection {
    /// How long one POST takes, from its first byte to the last of its answer.
    pub fn post(&mut self, body: &[u8]) -> Duration {
        let begin = Instant::now();
        let head = format!(
            "POST /api/v2/logs HTTP/1.1\r\nhost: localhost\r\ndd-api-key: key\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n",
            body.len()
        );
        self.0.write_all(&[head.as_bytes(), body].concat()).unwrap();
        let mut answer = vec![0; ACCEPTED.len()];
        self.0.read_exact(&mut answer).unwrap();
        assert_eq!(answer, ACCEPTED);
        begin.elapsed()
    }
}
