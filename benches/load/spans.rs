//! What the span of an invocation and those of its trigger cost, from the calls of a tracer until they are queued.

use std::{
    hint::black_box,
    io::{Read as _, Write as _},
    net::{TcpListener, TcpStream},
    thread,
    time::{Duration, Instant},
};

use bottlecap::{
    aggregate::Batches,
    config::Config,
    features,
    ingest::lifecycle::LifecycleListener,
    intake::tls::sha256,
    platform::{Environment, RequestId},
    process::{
        data_streams::Origin,
        event,
        invocation::{
            InvocationTrace, Output, Processor, Settings, SpanSettings,
            call::{Call, Decoder},
        },
        log::Rules,
        propagation::{Carrier, Propagator},
        tags::FunctionTags,
        trace::{MAX_PAYLOAD_BYTES, Pipeline, Source, TraceSettings, TracerHeaders, TracerPayload, stats::Keys},
        trigger,
    },
};
use matrix::sample_events;
use nix::time::{ClockId, clock_gettime};
use serde_json::{Value, json};
use tokio::runtime::Builder;

use super::{
    Effort,
    page::{Section, count, median, number},
};

/// What the function answers.
const RESPONSE: &[u8] = br#"{"statusCode":200,"body":"done"}"#;
/// Sizes of an event of SQS, in bytes; the last one is Lambda's limit.
const SIZES: [usize; 4] = [1 << 10, 64 << 10, 1 << 20, 6 << 20];

/// Measures an event of each service, and one of SQS as it grows.
pub fn measure(effort: Effort) -> Section {
    let mut port = Port::start();
    let samples = sample_events::ALL.iter().map(|sample| (sample.name, sample.text.to_owned()));
    let sized = SIZES.map(|bytes| ("sqs", queue(bytes)));
    let rows = samples.chain(sized).map(|(name, event)| row(name, event.as_bytes(), &mut port, effort));
    let tags = if features::TAG_CACHE { "with" } else { "without" };
    Section {
        title: "Spans of an invocation",
        about: format!(
            "An invocation that a tracer reports, in CPU time of one core, {tags} the switch `tag-cache`. `start` reads the event; `spans` is everything from \
             `platform.runtimeDone` until the spans are queued. The replies are how long a tracer waits for the answer to its call, over a connection that is open."
        ),
        columns: vec![
            "event",
            "bytes",
            "start, µs",
            "spans, µs",
            "reply to start-invocation, µs",
            "reply to end-invocation, µs",
        ],
        rows: rows.collect(),
    }
}

fn row(name: &str, event: &[u8], port: &mut Port, effort: Effort) -> Vec<String> {
    let bench = Bench::new();
    let rounds = effort.of((50_000_000 / event.len()).clamp(20, 2000), 3);
    let rounds: Vec<[f64; 4]> = (0..rounds)
        .map(|_| {
            let [start, spans] = bench.round(event);
            let replies = [("start", event), ("end", RESPONSE)].map(|(call, body)| port.call(call, body));
            [start, spans, replies[0], replies[1]].map(|took| took.as_secs_f64() * 1e6)
        })
        .collect();
    let medians = [0, 1, 2, 3].map(|column| number(median(rounds.iter().map(|round| round[column]).collect())));
    [name.to_owned(), count(event.len() as f64)].into_iter().chain(medians).collect()
}

/// An event of SQS with so many bytes.
fn queue(bytes: usize) -> String {
    let mut event: Value = serde_json::from_str(sample_events::SQS.text).unwrap();
    event["Records"] = json!([event["Records"][0]]);
    event["Records"][0]["body"] = json!("");
    let missing = bytes.saturating_sub(event.to_string().len());
    event["Records"][0]["body"] = json!("x".repeat(missing));
    event.to_string()
}

fn decoder() -> Decoder {
    let (config, environment) = (Config::default(), environment());
    Decoder {
        capture_depth: None,
        triggers: trigger::Settings::new(&config, &environment, sha256),
        propagator: Propagator::new(config.propagation),
        streams: Origin { service: "shop".to_owned(), env: String::new(), version: String::new(), sha256 },
        random: || 30,
    }
}

fn environment() -> Environment {
    Environment::read(|name| (name == "AWS_LAMBDA_FUNCTION_NAME").then(|| "checkout".to_owned()))
}

/// The way of an invocation without sockets.
struct Bench {
    decoder: Decoder,
    pipeline: Pipeline,
}

impl Bench {
    fn new() -> Self {
        let tags = FunctionTags::collect(&environment(), Some("123456789012"), &Config::default());
        let (pipeline, _) = Pipeline::new(TraceSettings::default(), &tags, Keys::default());
        Self { decoder: decoder(), pipeline }
    }

    /// How long the start takes, and the spans.
    fn round(&self, event: &[u8]) -> [Duration; 2] {
        let id = RequestId::from("8f507cfc-8f50-4cfc-8f50-7cfc8f507cfc");
        let mut out = Output::default();
        let mut processor = processor();
        processor.invoke(&id, 1000, &mut out);
        let begin = thread_time();
        let header = |name: &str| (name == "lambda-runtime-aws-request-id").then_some(id.as_str());
        let start = self.decoder.start(header, &Carrier::default(), black_box(event), 1001);
        let started = thread_time().saturating_sub(begin);
        let ids = |name: &str| {
            header(name).or_else(|| ["x-datadog-trace-id", "x-datadog-span-id"].contains(&name).then_some("5"))
        };
        let end = self.decoder.end(ids, RESPONSE, 1010);
        processor.call(Call::Start(Box::new(start)), &mut out);
        processor.call(Call::End(Box::new(end)), &mut out);
        let done = json!([{"time": "2024-06-01T10:00:01.000Z", "type": "platform.runtimeDone",
            "record": {"requestId": id.as_str(), "status": "success", "metrics": {"durationMs": 9.5}}}]);
        let done = event::parse(done.to_string().as_bytes(), 0).events;
        let begin = thread_time();
        for event in done {
            processor.event(event, &mut out);
        }
        processor.build_spans(i64::MAX, &mut out);
        let mut queue = Batches::new(MAX_PAYLOAD_BYTES);
        let spans: usize = out.traces.into_iter().map(|trace| self.queue(trace, &mut queue)).sum();
        let took = thread_time().saturating_sub(begin);
        assert!((1..=3).contains(&spans) && queue.bytes() > 0, "{spans} spans");
        [started, took]
    }

    fn queue(&self, trace: InvocationTrace, queue: &mut Batches<TracerPayload>) -> usize {
        let headers = TracerHeaders::default();
        let (spans, source) = (trace.spans.len(), Source { headers: &headers, now: 0, room: usize::MAX });
        let Ok(output) = self.pipeline.run(source, [Ok::<_, std::convert::Infallible>(trace.spans)]);
        for payload in output.payloads {
            let bytes = payload.bytes().len();
            queue.push(payload, bytes);
        }
        spans
    }
}

fn processor() -> Processor {
    let settings = Settings {
        managed: false,
        snap_start: false,
        enhanced_metrics: true,
        logs: true,
        telemetry: true,
        init_type_tagged: true,
        architecture: "x86_64",
    };
    let spans = SpanSettings {
        service: "shop".to_owned(),
        resource: "checkout".to_owned(),
        random: || 42,
        appsec: false,
        standalone: false,
    };
    Processor::new(settings, Rules::default(), 0).with_spans(spans)
}

/// A connection to the extension's own listener, which runs on a thread of its own.
struct Port(TcpStream);

impl Port {
    fn start() -> Self {
        let socket = TcpListener::bind("127.0.0.1:0").unwrap();
        let connection = TcpStream::connect(socket.local_addr().unwrap()).unwrap();
        connection.set_nodelay(true).unwrap();
        thread::spawn(move || {
            let runtime = Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async {
                let mut calls = LifecycleListener::from_handover(socket).serve(decoder(), None, None).unwrap();
                while calls.recv().await.is_some() {}
            });
        });
        Self(connection)
    }

    /// How long the tracer waits for the answer.
    fn call(&mut self, call: &str, body: &[u8]) -> Duration {
        let head = format!(
            "POST /lambda/{call}-invocation HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-length: {}\r\n\r\n",
            body.len()
        );
        let request = [head.as_bytes(), body].concat();
        let begin = Instant::now();
        self.0.write_all(&request).unwrap();
        // An answer is shorter than a packet.
        let mut reply = [0; 4096];
        let length = self.0.read(&mut reply).unwrap();
        let waited = begin.elapsed();
        assert!(reply[..length].starts_with(b"HTTP/1.1 200"), "{}", String::from_utf8_lossy(&reply[..length]));
        waited
    }
}

fn thread_time() -> Duration {
    clock_gettime(ClockId::CLOCK_THREAD_CPUTIME_ID).unwrap().into()
}
