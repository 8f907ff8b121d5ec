//! HTTPS servers on loopback that speak HTTP/2 and HTTP/1.1, for end-to-end tests, the unit tests of the client and the load benchmark.

use std::{
    collections::BTreeMap,
    io,
    net::{Ipv4Addr, TcpListener},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    thread,
};

use rustls::ServerConfig;
use tokio::{
    io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader},
    net::TcpStream,
};
use tokio_rustls::{TlsAcceptor, server::TlsStream};

pub mod certificates;

/// The whole response to a request over HTTP/1.1.
pub const ACCEPTED: &[u8] = b"HTTP/1.1 202 X\r\ncontent-length: 0\r\n\r\n";

/// What clients have done so far.
#[derive(Clone, Default)]
pub struct Journal {
    /// The only path whose requests are kept; `None` keeps all.
    path: Option<&'static str>,
    entries: Arc<Mutex<Entries>>,
}

#[derive(Default)]
struct Entries {
    agreed: Vec<String>,
    answered: usize,
    requests: Vec<Request>,
}

/// A request, answered with 202.
#[derive(Clone, Debug)]
pub struct Request {
    /// The protocol that it was sent in, as ALPN names it.
    pub protocol: &'static str,
    pub path: String,
    /// Names in lower case.
    pub headers: BTreeMap<String, String>,
    pub body: Vec<u8>,
}

impl Journal {
    /// Counts all requests, and keeps those for `path` alone.
    pub fn of_path(path: &'static str) -> Self {
        Self { path: Some(path), ..Self::default() }
    }

    /// The protocol that was agreed on in the handshake, for each connection; `none` without ALPN.
    pub fn agreed(&self) -> Vec<String> {
        self.entries().agreed.clone()
    }

    /// Number of requests.
    pub fn answered(&self) -> usize {
        self.entries().answered
    }

    /// The requests that are kept.
    pub fn requests(&self) -> Vec<Request> {
        self.entries().requests.clone()
    }

    fn push(&self, request: Request) {
        let mut entries = self.entries();
        entries.answered += 1;
        if self.path.is_none_or(|path| path == request.path) {
            entries.requests.push(request);
        }
    }

    fn entries(&self) -> MutexGuard<'_, Entries> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Answers every request on that port, or on any if it is zero, with 202. Returns the port.
pub fn serve(port: u16, config: ServerConfig, journal: &Journal) -> u16 {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).unwrap();
    let port = listener.local_addr().unwrap().port();
    listener.set_nonblocking(true).unwrap();
    let (acceptor, journal) = (TlsAcceptor::from(Arc::new(config)), journal.clone());
    thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let listener = tokio::net::TcpListener::from_std(listener).unwrap();
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                let (acceptor, journal) = (acceptor.clone(), journal.clone());
                // A client that does not trust us breaks off, which is its right.
                tokio::spawn(async move { answer(stream, &acceptor, &journal).await });
            }
        });
    });
    port
}

async fn answer(stream: TcpStream, acceptor: &TlsAcceptor, journal: &Journal) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let stream = acceptor.accept(stream).await?;
    let protocol = stream.get_ref().1.alpn_protocol().unwrap_or(b"none").to_vec();
    journal.entries().agreed.push(String::from_utf8_lossy(&protocol).into_owned());
    if protocol == b"h2" {
        answer_h2(stream, journal).await.map_err(io::Error::other)
    } else {
        answer_h1(stream, journal).await
    }
}

async fn answer_h2(stream: TlsStream<TcpStream>, journal: &Journal) -> Result<(), h2::Error> {
    let mut connection = h2::server::handshake(stream).await?;
    while let Some(accepted) = connection.accept().await {
        let (request, mut respond) = accepted?;
        let (head, mut stream) = request.into_parts();
        let journal = journal.clone();
        // The connection has to be polled for the body to come.
        tokio::spawn(async move {
            let mut body = Vec::new();
            while let Some(Ok(data)) = stream.data().await {
                let _ = stream.flow_control().release_capacity(data.len());
                body.extend_from_slice(&data);
            }
            let headers = head.headers.iter().filter_map(|(name, value)| Some((name.as_str(), value.to_str().ok()?)));
            let headers = headers.map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
            let request = Request { protocol: "h2", path: head.uri.path().to_owned(), headers, body };
            journal.push(request);
            let mut response = axum::http::Response::new(());
            *response.status_mut() = axum::http::StatusCode::ACCEPTED;
            let _ = respond.send_response(response, true);
        });
    }
    Ok(())
}

/// Answers requests until the client closes the connection.
async fn answer_h1(stream: TlsStream<TcpStream>, journal: &Journal) -> io::Result<()> {
    let mut stream = BufReader::new(stream);
    loop {
        let (mut path, mut headers) = (None, BTreeMap::new());
        loop {
            let mut line = String::new();
            if stream.read_line(&mut line).await? == 0 {
                return Ok(());
            }
            let line = line.trim_end();
            if line.is_empty() {
                break;
            } else if path.is_none() {
                path = Some(line.split(' ').nth(1).unwrap_or_default().to_owned());
            } else if let Some((name, value)) = line.split_once(": ") {
                headers.insert(name.to_lowercase(), value.to_owned());
            }
        }
        let mut body = vec![0; headers.get("content-length").and_then(|length| length.parse().ok()).unwrap_or(0)];
        stream.read_exact(&mut body).await?;
        journal.push(Request { protocol: "http/1.1", path: path.unwrap_or_default(), headers, body });
        stream.write_all(ACCEPTED).await?;
        stream.flush().await?;
    }
}
