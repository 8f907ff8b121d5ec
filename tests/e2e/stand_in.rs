//! Small HTTP servers in the sandbox's network, for what is neither Lambda nor the fake intake. They answer as a test tells them.

use std::{
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::{Shutdown, SocketAddr, TcpListener, TcpStream},
    os::fd::OwnedFd,
    sync::{Arc, Mutex},
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use matrix::sandbox::function::{Call, Handler, HandlerOutcome, InitError};
use serde_json::Value;

/// A request as the server reads it.
#[derive(Clone, Debug)]
pub struct Request {
    pub path: String,
    headers: Vec<String>,
    pub body: Vec<u8>,
}

impl Request {
    /// Empty if there is no such header.
    pub fn header(&self, wanted: &str) -> &str {
        let mut pairs = self.headers.iter().filter_map(|line| line.split_once(':'));
        pairs.find(|(name, _)| name.eq_ignore_ascii_case(wanted)).map(|(_, value)| value.trim()).unwrap_or_default()
    }

    /// Null if it is not JSON.
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_default()
    }
}

/// What a server answers.
#[derive(Clone, Debug)]
pub enum Reply {
    /// These bytes; the connection is closed after them.
    Bytes(Vec<u8>),
    /// These bytes, and then more of a body without end.
    Endless(Vec<u8>),
    /// Nothing, while the connection stays open.
    Silence,
}

impl Reply {
    /// With these headers besides those that every answer needs.
    pub fn new(status: u16, headers: &[(&str, &str)], body: &str) -> Self {
        let headers = headers.iter().map(|(name, value)| format!("{name}: {value}\r\n"));
        let headers = headers.collect::<Vec<_>>().concat();
        let length = body.len();
        Self::Bytes(
            format!("HTTP/1.1 {status} X\r\ncontent-length: {length}\r\nconnection: close\r\n{headers}\r\n{body}")
                .into_bytes(),
        )
    }

    pub fn json(status: u16, json: &Value) -> Self {
        Self::new(status, &[], &json.to_string())
    }
}

/// Gets a request with its number, counted from zero.
type Responder = dyn Fn(usize, &Request) -> Reply + Send + Sync;

/// A server that is started with the function. When it is dropped, its port is free again.
pub struct Server {
    address: SocketAddr,
    responder: Arc<Responder>,
    requests: Arc<Mutex<Vec<Request>>>,
    client_timeouts: Arc<Mutex<Vec<Duration>>>,
    running: Mutex<Option<(TcpListener, JoinHandle<()>)>>,
}

impl Server {
    pub fn new(address: &str, responder: impl Fn(usize, &Request) -> Reply + Send + Sync + 'static) -> Self {
        Self {
            address: address.parse().unwrap(),
            responder: Arc::new(responder),
            requests: Arc::default(),
            client_timeouts: Arc::default(),
            running: Mutex::default(),
        }
    }

    pub fn requests(&self) -> Vec<Request> {
        self.requests.lock().unwrap().clone()
    }

    /// How long clients have waited that got no answer and closed the connection.
    pub fn client_timeouts(&self) -> Vec<Duration> {
        self.client_timeouts.lock().unwrap().clone()
    }

    /// Listens in the network of the calling thread.
    pub fn start(&self) {
        self.stop();
        let listener = TcpListener::bind(self.address).unwrap();
        let handle = listener.try_clone().unwrap();
        let (responder, requests) = (self.responder.clone(), self.requests.clone());
        let client_timeouts = self.client_timeouts.clone();
        let accepting = thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                serve(stream, &*responder, &requests, &client_timeouts);
            }
        });
        *self.running.lock().unwrap() = Some((handle, accepting));
    }

    /// Ends the thread that accepts connections, and frees the port.
    fn stop(&self) {
        let Some((listener, accepting)) = self.running.lock().unwrap().take() else { return };
        // Linux ends an accept that waits for a connection when its socket is shut down.
        TcpStream::from(OwnedFd::from(listener)).shutdown(Shutdown::Both).unwrap();
        accepting.join().unwrap();
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop();
    }
}

/// A function that prints `<event> <request id>` and answers with the event, beside servers.
pub struct EchoWithServers(pub Vec<Arc<Server>>);

impl Handler for EchoWithServers {
    /// A thread is in the network of the thread that started it.
    fn init(&self, _: &Call<'_>) -> Result<(), InitError> {
        for server in &self.0 {
            server.start();
        }
        Ok(())
    }

    fn handle(&self, call: &Call<'_>) -> HandlerOutcome {
        call.print(format!("{} {}", String::from_utf8_lossy(call.event), call.request_id));
        HandlerOutcome::Response(call.event.to_vec())
    }
}

fn serve(
    stream: TcpStream,
    responder: &Responder,
    requests: &Mutex<Vec<Request>>,
    client_timeouts: &Arc<Mutex<Vec<Duration>>>,
) {
    let mut reader = BufReader::new(stream);
    let mut headers = Vec::new();
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line).unwrap_or(0) == 0 || line == "\r\n" {
            break;
        }
        headers.push(line);
    }
    let path = headers.first().and_then(|line| line.split(' ').nth(1)).unwrap_or_default().to_owned();
    let mut request = Request { path, headers, body: Vec::new() };
    request.body = vec![0; request.header("content-length").parse().unwrap_or(0)];
    if reader.read_exact(&mut request.body).is_err() {
        return;
    }
    let number = requests.lock().unwrap().len();
    let reply = responder(number, &request);
    requests.lock().unwrap().push(request);
    let mut stream = reader.into_inner();
    match reply {
        Reply::Bytes(bytes) => drop(stream.write_all(&bytes)),
        Reply::Endless(head) => drop(thread::spawn(move || {
            let mut sent = stream.write_all(&head);
            while sent.is_ok() {
                sent = stream.write_all(&[b'x'; 1 << 12]);
            }
        })),
        Reply::Silence => {
            let (asked, client_timeouts) = (Instant::now(), client_timeouts.clone());
            thread::spawn(move || {
                // Nothing more comes but the end.
                let _ = stream.read(&mut [0]);
                client_timeouts.lock().unwrap().push(asked.elapsed());
            });
        }
    }
}
