//! An intake behind TLS that accepts everything, and the least that a client can do to post to it.

use std::{
    io::{self, BufRead as _, BufReader, Read as _, Write as _},
    net::{Ipv4Addr, TcpListener, TcpStream},
    path::PathBuf,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use rustls::{
    ClientConfig, ClientConnection, RootCertStore, ServerConfig, ServerConnection, StreamOwned, pki_types::ServerName,
};

use certificates::Authority;

#[path = "../../tests/e2e/certificates.rs"]
#[expect(dead_code, reason = "the tests have use for more kinds")]
mod certificates;

const ACCEPTED: &[u8] = b"HTTP/1.1 202 Accepted\r\ncontent-type: application/json\r\ncontent-length: 2\r\n\r\n{}";

/// Bodies as they were sent.
type Bodies = Arc<Mutex<Vec<Vec<u8>>>>;

/// The intake; it lives as long as the process.
pub struct Server {
    pub port: u16,
    /// The authority to be trusted, as a file.
    pub authority: PathBuf,
    client: Arc<ClientConfig>,
    accepted: Arc<AtomicUsize>,
    sketches: Bodies,
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

        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let port = listener.local_addr().unwrap().port();
        let (server, accepted) = (Arc::new(server), Arc::<AtomicUsize>::default());
        let (count, sketches) = (accepted.clone(), Bodies::default());
        let received = sketches.clone();
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (server, count, received) = (server.clone(), count.clone(), received.clone());
                // A client that goes away is no news.
                thread::spawn(move || serve(stream, server, &count, &received));
            }
        });
        Self { port, authority: file, client, accepted, sketches, _directory: directory }
    }

    /// How many payloads of sketches hold a metric of that name.
    pub fn sketches_with(&self, name: &str) -> usize {
        let has_name = |body: &Vec<u8>| {
            let plain = zstd::bulk::decompress(body, 1 << 24).unwrap();
            plain.windows(name.len()).any(|window| window == name.as_bytes())
        };
        self.sketches.lock().unwrap().iter().filter(|body| has_name(body)).count()
    }

    /// How many requests were accepted so far.
    pub fn accepted(&self) -> usize {
        self.accepted.load(Ordering::Relaxed)
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

fn serve(
    stream: TcpStream,
    config: Arc<ServerConfig>,
    accepted: &AtomicUsize,
    sketches: &Mutex<Vec<Vec<u8>>>,
) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let connection = ServerConnection::new(config).map_err(io::Error::other)?;
    let mut reader = BufReader::new(StreamOwned::new(connection, stream));
    loop {
        let (mut length, mut is_sketches) = (0, false);
        loop {
            let mut line = String::new();
            if reader.read_line(&mut line)? == 0 {
                return Ok(());
            }
            let line = line.trim_ascii().to_ascii_lowercase();
            is_sketches |= line.starts_with("post /api/beta/sketches ");
            if let Some(value) = line.strip_prefix("content-length:") {
                length = value.trim().parse().map_err(io::Error::other)?;
            }
            if line.is_empty() {
                break;
            }
        }
        let mut body = Vec::new();
        (&mut reader).take(length).read_to_end(&mut body)?;
        if is_sketches {
            sketches.lock().unwrap().push(body);
        }
        accepted.fetch_add(1, Ordering::Relaxed);
        reader.get_mut().write_all(ACCEPTED)?;
        reader.get_mut().flush()?;
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
