//! Spans from the socket to a compressed payload, against decoding alone by a general library, and against nothing but zstd over what leaves.

use std::{
    collections::HashMap,
    hint::black_box,
    io::{Read as _, Write as _},
    net::{SocketAddr, TcpListener, TcpStream},
    sync::{
        Arc,
        atomic::AtomicBool,
        mpsc::{Sender, channel},
    },
    thread,
    time::{Duration, Instant},
};

use bottlecap::{
    aggregate::Batches,
    config::Config,
    ingest::trace_agent::{self, TraceAgentListener, TraceQueue, TracerData},
    intake::{self, MemoryBudget, Payload, UnsealedPayload},
    platform::Environment,
    process::{
        tags::FunctionTags,
        trace::{MAX_PAYLOAD_BYTES, OVERHEAD, Pipeline, TraceSettings, TracerPayload, stats::Keys},
    },
};
use matrix::sandbox::{intake::Span, tracer};
use nix::time::{ClockId, clock_gettime};
use serde::Deserialize;
use tokio::{
    runtime::{Builder, Runtime},
    sync::mpsc::{UnboundedReceiver, unbounded_channel},
};

use super::{
    Effort,
    page::{Section, median, number},
};

/// The format of a request.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Version {
    V04,
    V05,
}

struct Load {
    version: Version,
    /// Spans of the request's one chunk.
    spans: usize,
}

/// Measures requests of one chunk, small and large.
pub fn measure(effort: Effort) -> Section {
    // A body of v0.4 with more of them is longer than the trace agent takes.
    let largest = effort.of(50_000, 1000);
    let sizes = [1, 10, 100, 1000, 10_000, 50_000].into_iter().filter(|spans| *spans <= largest);
    let loads = sizes.flat_map(|spans| [Version::V04, Version::V05].map(|version| Load { version, spans }));
    Section {
        title: "Traces",
        about: format!(
            "A request with one chunk, from the tracer's socket until its payload is compressed, in CPU time of the extension's threads; the tracer has its own. The first \
             yardstick is rmp-serde, which decodes the same body into owned structs (those of v0.5 with the strings that their numbers stand for), and the second one zstd \
             over the bytes that leave, at the same level ({}). `reply` is how long the tracer waits for its answer.",
            Config::default().apm.compression_level
        ),
        columns: vec![
            "version",
            "spans",
            "request, bytes",
            "spans/s and core",
            "ns a span",
            "decode alone, ns",
            "ratio",
            "zstd alone, ns",
            "ratio",
            "reply, µs",
        ],
        rows: loads.map(|load| row(&load, effort)).collect(),
    }
}

/// What one round has taken.
struct Round {
    own: f64,
    decode: f64,
    zstd: f64,
    reply: f64,
}

fn row(load: &Load, effort: Effort) -> Vec<String> {
    let mut agent = Agent::new();
    let spans = load.spans as f64;
    let rounds = effort.of((200_000 / load.spans).clamp(12, 2000), 3);
    let mut bytes = 0;
    let rounds: Vec<Round> = (0..rounds)
        .map(|round| {
            let body = load.body(round as u64);
            bytes = body.len();
            let decode = load.decode_alone(&body);
            let Delivery { took, reply, sealed } = agent.take(load.request(&body), load.spans);
            let zstd = zstd_alone(&sealed, agent.config.apm.compression_level);
            Round { own: took.as_secs_f64(), decode, zstd, reply: reply.as_secs_f64() }
        })
        .collect();
    let of = |value: fn(&Round) -> f64| median(rounds.iter().map(value).collect());
    vec![
        if load.version == Version::V04 { "v0.4" } else { "v0.5" }.to_owned(),
        load.spans.to_string(),
        bytes.to_string(),
        number(spans / of(|round| round.own)),
        number(of(|round| round.own) / spans * 1e9),
        number(of(|round| round.decode) / spans * 1e9),
        format!("{:.2}", of(|round| round.decode / round.own)),
        number(of(|round| round.zstd) / spans * 1e9),
        format!("{:.2}", of(|round| round.zstd / round.own)),
        number(of(|round| round.reply) * 1e6),
    ]
}

impl Load {
    /// A body whose ids no other round has: spans that come twice are dropped.
    fn body(&self, round: u64) -> Vec<u8> {
        let first = round * 1_000_000 + 1;
        let spans: Vec<Span> = (0..self.spans as u64).map(|number| span(first, number)).collect();
        match self.version {
            Version::V04 => tracer::v04(&[spans]),
            Version::V05 => tracer::v05(&[spans]),
        }
    }

    /// The body with its head.
    fn request(&self, body: &[u8]) -> Vec<u8> {
        let path = if self.version == Version::V04 { "/v0.4/traces" } else { "/v0.5/traces" };
        let head = format!(
            "PUT {path} HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-type: application/msgpack\r\ndatadog-meta-lang: javascript\r\ncontent-length: {}\r\n\r\n",
            body.len()
        );
        [head.as_bytes(), body].concat()
    }

    fn decode_alone(&self, body: &[u8]) -> f64 {
        let begin = process_time();
        let spans = match self.version {
            Version::V04 => rmp_serde::from_slice::<Vec<Vec<OwnedSpan>>>(black_box(body)).unwrap().remove(0).len(),
            Version::V05 => rmp_serde::from_slice::<OwnedTable>(black_box(body)).unwrap().spans().remove(0).len(),
        };
        let took = process_time().saturating_sub(begin).as_secs_f64();
        assert_eq!(spans, self.spans);
        took
    }
}

/// A span as a web service's tracer writes it: a dozen tags, of which some are its own.
fn span(first: u64, number: u64) -> Span {
    let text = |key: &str, value: String| (key.to_owned(), value);
    // As random as ids, times and what a customer asks for are, without which it would compress to next to nothing.
    let random = |what: u64| {
        let mixed = (first + number).wrapping_mul(0x9E37_79B9_7F4A_7C15).wrapping_add(what << 32);
        (mixed ^ (mixed >> 29)).wrapping_mul(0xBF58_476D_1CE4_E5B9).rotate_left(31)
    };
    let milliseconds = random(2) % 900;
    Span {
        service: "shop-checkout".to_owned(),
        name: if number.is_multiple_of(3) { "postgres.query" } else { "http.request" }.to_owned(),
        resource: if number.is_multiple_of(3) {
            format!("SELECT price, stock FROM items WHERE id = {number} AND store = 'berlin'")
        } else {
            format!("GET /api/v2/orders/{}", number % 50)
        },
        kind: if number.is_multiple_of(3) { "sql" } else { "http" }.to_owned(),
        trace_id: first,
        span_id: random(1),
        parent_id: if number == 0 { 0 } else { random(3) },
        start: 1_790_000_000_000_000_000 + i64::try_from(number * 1_000_000 + random(4) % 1_000_000).unwrap(),
        duration: i64::try_from(milliseconds * 1_000_000 + random(5) % 1_000_000).unwrap(),
        meta: [
            text("env", "production".to_owned()),
            text("version", "1.4.2".to_owned()),
            text("language", "javascript".to_owned()),
            text("component", "net".to_owned()),
            text("span.kind", "client".to_owned()),
            text("http.method", "GET".to_owned()),
            text("http.status_code", "200".to_owned()),
            text(
                "http.url",
                format!("https://orders.internal/api/v2/orders/{:016x}?customer={}", random(6), random(7) % 100_000),
            ),
            text("peer.hostname", "orders.internal".to_owned()),
            text("runtime-id", "0192f0c1-7a44-7c37-9f1b-3a9d4cf5a0b7".to_owned()),
        ]
        .into(),
        metrics: [("_sampling_priority_v1".to_owned(), 1.0), ("process_id".to_owned(), 17.0)].into(),
        ..Span::default()
    }
}

/// What a tracer writes of a span, in memory of its own.
#[derive(Deserialize)]
#[expect(dead_code, reason = "nothing but their decoding is measured")]
struct OwnedSpan {
    service: String,
    name: String,
    resource: String,
    trace_id: u64,
    span_id: u64,
    parent_id: u64,
    start: i64,
    duration: i64,
    error: i32,
    meta: HashMap<String, String>,
    metrics: HashMap<String, f64>,
    r#type: String,
}

/// A table of strings, and spans of places in it.
#[derive(Deserialize)]
struct OwnedTable(Vec<String>, Vec<Vec<PlacesOfSpan>>);

impl OwnedTable {
    /// The spans with their strings, as those of the other version have them.
    fn spans(self) -> Vec<Vec<OwnedSpan>> {
        let Self(strings, traces) = self;
        let at = |place: u32| strings[place as usize].clone();
        let span = |places: PlacesOfSpan| OwnedSpan {
            service: at(places.0),
            name: at(places.1),
            resource: at(places.2),
            trace_id: places.3,
            span_id: places.4,
            parent_id: places.5,
            start: places.6,
            duration: places.7,
            error: places.8,
            meta: places.9.into_iter().map(|(key, value)| (at(key), at(value))).collect(),
            metrics: places.10.into_iter().map(|(key, value)| (at(key), value)).collect(),
            r#type: at(places.11),
        };
        traces.into_iter().map(|trace| trace.into_iter().map(span).collect()).collect()
    }
}

#[derive(Deserialize)]
struct PlacesOfSpan(u32, u32, u32, u64, u64, u64, i64, i64, i32, HashMap<u32, u32>, HashMap<u32, f64>, u32);

/// The extension's own way: one thread, and one more for a request that gets one.
struct Agent {
    runtime: Runtime,
    queue: TraceQueue,
    config: Config,
    tracer: Tracer,
}

/// What became of a request.
struct Delivery {
    /// CPU time of everything but the tracer.
    took: Duration,
    /// How long the tracer has waited for its answer.
    reply: Duration,
    sealed: Vec<Payload>,
}

impl Agent {
    fn new() -> Self {
        let runtime = Builder::new_current_thread().enable_all().build().unwrap();
        let config = Config::default();
        let environment = Environment::read(|name| (name == "AWS_LAMBDA_FUNCTION_NAME").then(|| "checkout".to_owned()));
        let tags = FunctionTags::collect(&environment, Some("123456789012"), &config);
        let (pipeline, _) = Pipeline::new(TraceSettings::default(), &tags, Keys::default());
        let socket = TcpListener::bind("127.0.0.1:0").unwrap();
        let tracer = Tracer::start(socket.local_addr().unwrap());
        let (agent, queue) = trace_agent::Agent::new(Arc::new(pipeline), Arc::default());
        runtime.block_on(async { TraceAgentListener::from_handover(socket).serve(agent) }).unwrap();
        Self { runtime, queue, config, tracer }
    }

    fn take(&mut self, request: Vec<u8>, spans: usize) -> Delivery {
        let budget = MemoryBudget::default();
        let begin = process_time();
        self.tracer.requests.send(request).unwrap();
        let (queue, replies) = (&mut self.queue, &mut self.tracer.replies);
        let (received, reply) =
            self.runtime.block_on(async { (queue.recv().await.unwrap(), replies.recv().await.unwrap()) });
        let TracerData::Traces(output) = received else { unreachable!("a tracer has sent something else than traces") };
        let sealed: Vec<_> = self
            .unsealed(output.payloads)
            .into_iter()
            .flat_map(|payload| payload.compress(&budget, &AtomicBool::default()))
            .collect();
        let took = process_time().saturating_sub(begin).saturating_sub(reply.cpu);
        assert_eq!(sealed.iter().map(|payload| payload.items).sum::<u64>(), spans as u64);
        Delivery { took, reply: reply.waited, sealed }
    }

    fn unsealed(&self, payloads: Vec<TracerPayload>) -> Vec<UnsealedPayload> {
        let mut batches = Batches::new(MAX_PAYLOAD_BYTES - OVERHEAD);
        for payload in payloads {
            let bytes = payload.bytes().len();
            batches.push(payload, bytes);
        }
        batches.close();
        let full = std::iter::from_fn(|| batches.take_full());
        full.map(|batch| intake::traces::unsealed(batch, &self.config.apm)).collect()
    }
}

/// A tracer with a thread and a connection of its own.
struct Tracer {
    requests: Sender<Vec<u8>>,
    replies: UnboundedReceiver<Reply>,
}

struct Reply {
    /// From the first byte of the request to the last one of the answer.
    waited: Duration,
    /// CPU time of the tracer meanwhile.
    cpu: Duration,
}

impl Tracer {
    fn start(address: SocketAddr) -> Self {
        let (requests, waiting) = channel::<Vec<u8>>();
        let (answer, replies) = unbounded_channel();
        thread::spawn(move || {
            let mut connection = TcpStream::connect(address).unwrap();
            connection.set_nodelay(true).unwrap();
            for request in waiting {
                let (begin, cpu) = (Instant::now(), thread_time());
                connection.write_all(&request).unwrap();
                // An answer is shorter than a packet.
                let mut reply = [0; 4096];
                let length = connection.read(&mut reply).unwrap();
                let waited = begin.elapsed();
                assert!(reply[..length].starts_with(b"HTTP/1.1 200"), "{}", String::from_utf8_lossy(&reply[..length]));
                if answer.send(Reply { waited, cpu: thread_time().saturating_sub(cpu) }).is_err() {
                    return;
                }
            }
        });
        Self { requests, replies }
    }
}

fn zstd_alone(sealed: &[Payload], level: i32) -> f64 {
    let bodies: Vec<_> = sealed.iter().map(|payload| zstd::decode_all(&payload.body[..]).unwrap()).collect();
    let begin = process_time();
    for body in &bodies {
        black_box(zstd::bulk::compress(black_box(body), level).unwrap());
    }
    process_time().saturating_sub(begin).as_secs_f64()
}

/// CPU time of all threads of this process.
fn process_time() -> Duration {
    clock_gettime(ClockId::CLOCK_PROCESS_CPUTIME_ID).unwrap().into()
}

fn thread_time() -> Duration {
    clock_gettime(ClockId::CLOCK_THREAD_CPUTIME_ID).unwrap().into()
}
