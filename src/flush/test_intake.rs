//! An intake for tests in paused time: it answers as a script says, on the test's own thread, so that nothing happens while nobody yields.

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

/// What an intake does with a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reply {
    /// Answers with this status.
    Status(u16),
    /// Answers with this status after so many milliseconds.
    After(u64, u16),
    /// Answers 503 and asks for a pause of so many seconds.
    RetryAfter(u64),
    /// Closes the connection without an answer.
    Close,
    /// Never answers.
    Silence,
}

/// The first bytes of bodies, which name their payloads.
type PayloadNames = Arc<Mutex<Vec<String>>>;

/// An intake on a port of its own.
pub struct TestIntake {
    pub url: String,
    /// All requests.
    pub received: PayloadNames,
    /// Those that were answered with 202.
    pub accepted: PayloadNames,
    reply: Arc<Mutex<Reply>>,
}

impl TestIntake {
    /// One that answers like this until it is told otherwise.
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

    /// From now on.
    pub fn reply(&self, reply: Reply) {
        *self.reply.lock().unwrap() = reply;
    }

    /// How many requests there were.
    pub fn requests(&self) -> usize {
        self.received.lock().unwrap().len()
    }

    /// How many payloads have arrived.
    pub fn arrived(&self) -> usize {
        self.accepted.lock().unwrap().len()
    }

    /// How often each payload was sent.
    pub fn times(&self) -> HashMap<String, usize> {
        let mut times = HashMap::new();
        self.received.lock().unwrap().iter().for_each(|name| *times.entry(name.clone()).or_default() += 1);
        times
    }

    /// This one as an additional endpoint.
    pub fn endpoint(&self) -> Arc<Endpoint> {
        Arc::new(Endpoint { url: self.url.clone(), api_key: ApiKey::clean("another").unwrap() })
    }

    /// A client whose primary intake this is.
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

/// More messages than follow from one another without time passing, in any test: a request and its answer are four.
const LONGEST_CHAIN: usize = 64;
/// As often as tasks wake each other within one such step; each time, the runtime looks for what has arrived.
const TURNS: usize = 16;

/// Lets everything happen that can happen without time passing. Paused time would go on by itself if nothing were ready, although bytes may be on their way.
pub async fn let_everything_happen() {
    for _ in 0..LONGEST_CHAIN {
        wait_for_loopback();
        for _ in 0..TURNS {
            tokio::task::yield_now().await;
        }
    }
}

/// Waits until everything has arrived that this thread has sent on loopback: the kernel delivers in order, and may take its time on a busy machine.
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

/// Runs a future to its end; time passes in small steps, between which everything happens that can.
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
