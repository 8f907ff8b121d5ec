//! An intake for tests in paused time. It replies as configured, on the test's own thread, so that nothing happens while no task yields.

use std::{
    collections::HashMap,
    future::Future,
    net::UdpSocket,
    sync::{Arc, Mutex},
    time::Duration,
};

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
};

use crate::{
    config::{ApiKey, Config, Endpoint},
    intake::{Client, key::Function, tls},
};

/// How the intake handles a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reply {
    /// Replies with this status.
    Status(u16),
    /// Replies with this status after this many milliseconds.
    After(u64, u16),
    /// Replies 503 with a `Retry-After` of this many seconds.
    RetryAfter(u64),
    /// Closes the connection without a response.
    Close,
    /// Never responds.
    Silence,
}

/// The first bytes of bodies, which name their payloads.
type PayloadNames = Arc<Mutex<Vec<String>>>;

/// An intake on its own port.
pub struct TestIntake {
    pub url: String,
    /// All requests.
    pub received: PayloadNames,
    /// The requests that were answered with 202.
    pub accepted: PayloadNames,
    reply: Arc<Mutex<Reply>>,
}

impl TestIntake {
    /// Starts an intake that replies like this until it is changed.
    pub async fn start(reply: Reply) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let (received, accepted, reply) =
            (PayloadNames::default(), PayloadNames::default(), Arc::new(Mutex::new(reply)));
        let served =
            Self { url: url.clone(), received: received.clone(), accepted: accepted.clone(), reply: reply.clone() };
        tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                tokio::spawn(serve(stream, received.clone(), accepted.clone(), reply.clone()));
            }
        });
        served
    }

    /// Sets the reply to later requests.
    pub fn reply(&self, reply: Reply) {
        *self.reply.lock().unwrap() = reply;
    }

    /// Number of requests.
    pub fn requests(&self) -> usize {
        self.received.lock().unwrap().len()
    }

    /// Number of accepted payloads.
    pub fn arrived(&self) -> usize {
        self.accepted.lock().unwrap().len()
    }

    /// Number of requests per payload.
    pub fn times(&self) -> HashMap<String, usize> {
        let mut times = HashMap::new();
        self.received.lock().unwrap().iter().for_each(|name| *times.entry(name.clone()).or_default() += 1);
        times
    }

    /// This intake as an additional endpoint.
    pub fn endpoint(&self) -> Arc<Endpoint> {
        Arc::new(Endpoint { url: self.url.clone(), api_key: ApiKey::clean("another").unwrap() })
    }

    /// A client with this intake as its primary one.
    pub fn client(&self) -> Client {
        tls::install_provider();
        let mut config = Config { api_key: ApiKey::clean("key"), ..Config::default() };
        config.logs.url.clone_from(&self.url);
        config.metrics.url.clone_from(&self.url);
        let function = Function { region: String::new(), name: String::new() };
        Client::build(&config, function).unwrap().client
    }
}

async fn serve(mut stream: TcpStream, received: PayloadNames, accepted: PayloadNames, reply: Arc<Mutex<Reply>>) {
    let mut bytes = Vec::new();
    let (head, length) = loop {
        if stream.read_buf(&mut bytes).await.unwrap_or(0) == 0 {
            return;
        }
        let Some(end) = bytes.windows(4).position(|window| window == b"\r\n\r\n") else { continue };
        let head = String::from_utf8_lossy(&bytes[..end]).to_lowercase();
        let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")).unwrap();
        break (end + 4, length.parse::<usize>().unwrap());
    };
    while bytes.len() < head + length {
        if stream.read_buf(&mut bytes).await.unwrap_or(0) == 0 {
            return;
        }
    }
    let name = String::from_utf8_lossy(&bytes[head..head + length.min(8)]).into_owned();
    received.lock().unwrap().push(name.clone());
    let reply = *reply.lock().unwrap();
    let of_status = |status| format!("HTTP/1.1 {status} X\r\ncontent-length: 0\r\nconnection: close\r\n\r\n");
    let answer = match reply {
        Reply::Status(status) => of_status(status),
        Reply::After(milliseconds, status) => {
            tokio::time::sleep(Duration::from_millis(milliseconds)).await;
            of_status(status)
        }
        Reply::RetryAfter(seconds) => {
            format!("HTTP/1.1 503 X\r\nretry-after: {seconds}\r\ncontent-length: 0\r\nconnection: close\r\n\r\n")
        }
        Reply::Close => return,
        Reply::Silence => std::future::pending().await,
    };
    if reply == Reply::Status(202) {
        accepted.lock().unwrap().push(name);
    }
    stream.write_all(answer.as_bytes()).await.unwrap();
}

/// More than the longest chain of messages that can pass without time advancing, in any test. A request and its response are four.
const LONGEST_CHAIN: usize = 64;
/// Number of times that tasks may wake each other within one such step. The runtime polls for arrived data each time.
const TURNS: usize = 16;

/// Runs everything that can run without time advancing. Paused time would advance by itself if no task were ready, even though bytes are in transit.
pub async fn let_everything_happen() {
    for _ in 0..LONGEST_CHAIN {
        wait_for_loopback();
        for _ in 0..TURNS {
            tokio::task::yield_now().await;
        }
    }
}

/// Waits until all data that this thread sent on loopback has arrived. The kernel delivers in order, but may be slow on a busy machine.
fn wait_for_loopback() {
    thread_local! {
        static PAIR: (UdpSocket, UdpSocket) = {
            let [one, other] = [(); 2].map(|()| UdpSocket::bind(("127.0.0.1", 0)).unwrap());
            one.connect(other.local_addr().unwrap()).unwrap();
            other.connect(one.local_addr().unwrap()).unwrap();
            (one, other)
        };
    }
    PAIR.with(|(one, other)| {
        one.send(b"x").unwrap();
        other.recv(&mut [0]).unwrap();
    });
}

/// Runs a future to completion. Time advances in small steps, and everything that can run runs in between.
pub async fn in_small_steps<T>(future: impl Future<Output = T>) -> T {
    let clock = async {
        loop {
            let_everything_happen().await;
            tokio::time::advance(Duration::from_millis(10)).await;
        }
    };
    tokio::select! {
        result = future => result,
        () = clock => unreachable!(),
    }
}
