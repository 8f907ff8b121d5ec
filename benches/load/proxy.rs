//! What the Runtime API proxy adds to an invocation, and what it takes in memory.

use std::{
    net::{Ipv4Addr, SocketAddr, TcpListener},
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use matrix::sample_events;
use serde_json::{Value, json};

use super::{
    Effort,
    https::Server,
    lambda::{FunctionResponse, Lambda, Runtime},
    page::{Section, count, median, number},
};

/// The longest response that Lambda takes as a whole, and the longest event, in bytes.
const WHOLE_BYTES: usize = 6_000_000;
/// The longest response that Lambda lets a function stream, in bytes.
const STREAMED_BYTES: usize = 200_000_000;
/// Of Lambda after each 64 KiB of a response, where it is slow.
const PAUSE: Duration = Duration::from_millis(1);
/// What the start of the extension may take.
const START: Duration = Duration::from_secs(20);

/// Invocations of one kind.
struct Load {
    event: Vec<u8>,
    answer: FunctionResponse,
    is_lambda_slow: bool,
    /// How many are measured at a time, and how often.
    invocations: usize,
    rounds: usize,
}

impl Load {
    fn bytes(&self) -> f64 {
        (self.event.len() + self.answer.bytes()) as f64
    }
}

/// Measures small invocations, and large ones.
pub fn measure(effort: Effort) -> Section {
    let intake = Server::start();
    let streamed = effort.of(STREAMED_BYTES, STREAMED_BYTES / 10);
    let load = |event_bytes, answer| Load {
        event: event(event_bytes),
        answer,
        is_lambda_slow: false,
        invocations: 1,
        rounds: effort.of(20, 1),
    };
    let loads = [
        Load {
            invocations: effort.of(100, 3),
            rounds: effort.of(50, 1),
            ..load(1 << 10, FunctionResponse::whole(1 << 10))
        },
        load(WHOLE_BYTES, FunctionResponse::whole(1 << 10)),
        load(1 << 10, FunctionResponse::whole(WHOLE_BYTES)),
        load(1 << 10, FunctionResponse::Streamed(streamed / 10)),
        load(1 << 10, FunctionResponse::Streamed(streamed)),
        Load { is_lambda_slow: true, rounds: effort.of(3, 1), ..load(1 << 10, FunctionResponse::Streamed(streamed)) },
    ];
    Section {
        title: "The Runtime API proxy",
        about: "An invocation as the Lambda Web Adapter makes it, over one connection to the extension's proxy, which observes it, against one over a connection to Lambda itself, in turns. \
                Lambda is a program on the same machine that has the next event at once; a slow one pauses for 1 ms after each 64 KiB. Event, response and proxy share two cores, so \
                that a long response is sent, passed on and received by three threads at a time. The peak is that of the resident memory of the extension since its start."
            .to_owned(),
        columns: vec![
            "event, bytes",
            "response, bytes",
            "Lambda",
            "direct, µs",
            "through the proxy, µs",
            "added, µs",
            "ratio",
            "direct, MB/s",
            "through the proxy, MB/s",
            "peak, KiB",
        ],
        rows: loads.iter().map(|load| row(load, &intake)).collect(),
    }
}

fn row(load: &Load, intake: &Server) -> Vec<String> {
    let lambda = Lambda::start(load.event.clone(), load.is_lambda_slow.then_some(PAUSE));
    let extension = Extension::start(&lambda, intake);
    let mut direct = Runtime::connect(lambda.address).unwrap();
    let mut proxied = extension.connect();
    for runtime in [&mut direct, &mut proxied] {
        runtime.invoke(&FunctionResponse::whole(1 << 10));
    }
    let rounds: Vec<[f64; 2]> =
        (0..load.rounds).map(|_| [&mut direct, &mut proxied].map(|runtime| microseconds(runtime, load))).collect();
    let column = |of: fn(&[f64; 2]) -> f64| median(rounds.iter().map(of).collect());
    let (alone, through) = (column(|[direct, _]| *direct), column(|[_, proxied]| *proxied));
    let speed = |microseconds: f64| number(load.bytes() / microseconds);
    let kind = if matches!(load.answer, FunctionResponse::Streamed(_)) { " (streamed)" } else { "" };
    vec![
        count(load.event.len() as f64),
        format!("{}{kind}", count(load.answer.bytes() as f64)),
        if load.is_lambda_slow { "slow" } else { "fast" }.to_owned(),
        number(alone),
        number(through),
        number(column(|[direct, proxied]| proxied - direct)),
        format!("{:.2}", column(|[direct, proxied]| direct / proxied)),
        speed(alone),
        speed(through),
        count(extension.peak_kib()),
    ]
}

/// Of one invocation of several.
fn microseconds(runtime: &mut Runtime, load: &Load) -> f64 {
    let begin = Instant::now();
    for _ in 0..load.invocations {
        runtime.invoke(&load.answer);
    }
    begin.elapsed().as_secs_f64() * 1e6 / load.invocations as f64
}

/// A request of about so many bytes.
fn event(bytes: usize) -> Vec<u8> {
    let mut event: Value = serde_json::from_str(sample_events::HTTP_API.text).unwrap();
    event["body"] = json!("");
    let missing = bytes.saturating_sub(event.to_string().len());
    event["body"] = json!("x".repeat(missing));
    event.to_string().into_bytes()
}

/// The extension with its proxy, as it is beside the Lambda Web Adapter.
struct Extension {
    child: Child,
    proxy: SocketAddr,
}

impl Extension {
    fn start(lambda: &Lambda, intake: &Server) -> Self {
        // Free when it is looked for; nobody else on this machine binds ports in such a hurry.
        let proxy = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap();
        let url = format!("https://localhost:{}", intake.port);
        let mut command = Command::new(env!("CARGO_BIN_EXE_bottlecap"));
        command.env_clear().current_dir("/").stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        command.env("AWS_LAMBDA_RUNTIME_API", lambda.address.to_string());
        command.env("AWS_LWA_LAMBDA_RUNTIME_API_PROXY", proxy.to_string());
        command.env("DD_TLS_CERT_FILE", &intake.authority);
        for name in ["DD_DD_URL", "DD_APM_DD_URL", "DD_LOGS_CONFIG_LOGS_DD_URL"] {
            command.env(name, &url);
        }
        let constant = [
            ("AWS_LAMBDA_FUNCTION_NAME", "checkout"),
            ("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "1024"),
            ("AWS_REGION", "eu-west-1"),
            ("DD_API_KEY", "key"),
        ];
        command.envs(constant);
        Self { child: command.spawn().unwrap(), proxy }
    }

    /// Waits until the proxy is there.
    fn connect(&self) -> Runtime {
        let begin = Instant::now();
        loop {
            match Runtime::connect(self.proxy) {
                Ok(runtime) => return runtime,
                Err(error) => assert!(begin.elapsed() < START, "the extension has no proxy: {error}"),
            }
            thread::sleep(Duration::from_millis(5));
        }
    }

    /// The most that was resident.
    fn peak_kib(&self) -> f64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
        line.trim().trim_end_matches(" kB").parse().unwrap()
    }
}

impl Drop for Extension {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
