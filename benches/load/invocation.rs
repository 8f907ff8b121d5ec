//! What an invocation of 50 ms costs while the extension stands beside it: CPU time, and the time from the function's end to the request for the next event.

use std::{
    collections::BTreeMap,
    net::{Ipv4Addr, UdpSocket},
    path::{Path, PathBuf},
    thread,
    time::Duration,
};

use matrix::{
    measure::next_after_done,
    sandbox::{
        Extension, Function, Outcome, Sandbox, Setup,
        function::{Call, HandlerOutcome},
        journal::JournalEvent,
        setup::{Network, Origin},
    },
    workspace::target_directory,
};
use nix::{
    time::{clock_getcpuclockid, clock_gettime},
    unistd::Pid,
};

use super::{
    Effort,
    https::Server,
    page::{Section, median, number},
    random::Lines,
};

const NAME: &str = "datadog-agent";
/// How long the function works.
const WORK: Duration = Duration::from_millis(50);
/// How many invocations are not counted: the adaptive strategy looks back on twenty, and the first time is always slower.
const WARM_UP: usize = 25;
/// The flush strategies, with intervals that the run does not reach, and with such that are over at every invocation.
const STRATEGIES: [&str; 7] =
    ["default", "end", "end,60000", "periodically,60000", "continuously,60000", "periodically,1", "continuously,1"];
/// The name of the custom points.
const POINT: &str = "shop.orders";
/// What a function's ten lines become, compressed, is about this long.
const BODY_BYTES: usize = 1200;

/// What the function does in each invocation.
#[derive(Clone, Copy, Default)]
struct Load {
    lines: usize,
    points: usize,
}

/// What an invocation costs.
struct Cost {
    cpu_ms: f64,
    next_ms: f64,
    requests: f64,
}

/// Measures whole invocations at several loads.
pub fn measure(effort: Effort) -> Section {
    let server = Server::start();
    let loads = [(0, 0), (1, 0), (50, 0), (0, 1), (0, 100)].map(|(lines, points)| Load { lines, points });
    let bare: Vec<_> = (0..effort.of(500, 5)).map(|_| milliseconds(post(&server))).collect();
    let mut rows = vec![floor(&server, effort)];
    for strategy in STRATEGIES {
        rows.extend(loads.iter().map(|load| row(strategy, *load, &server, effort)));
    }
    rows.push(without_usage(&server, effort));
    Section {
        title: "An invocation",
        about: format!(
            "A function that works for 50 ms and writes so many lines of 150 bytes and so many custom metrics, in the sandbox, with an intake behind TLS on the same \
             machine. `next` is the time from the delivery of the function's end to the extension's request for the next event, zero where it does not wait for it. \
             `std-floor` registers, accepts telemetry, and asks for the next event at once. The yardstick of a request is one bare POST of {BODY_BYTES} bytes to the \
             same intake over a new connection, TLS handshake included: {} ms.",
            number(median(bare))
        ),
        columns: vec!["flush strategy", "lines", "points", "requests", "CPU of the extension, ms", "next, ms"],
        rows,
    }
}

fn post(server: &Server) -> Duration {
    let begin = std::time::Instant::now();
    server.connect().post(&[b'x'; BODY_BYTES]);
    begin.elapsed()
}

/// About the least that an extension with the standard library can do. It spends its time in the kernel, so that it need not be optimized.
fn floor(server: &Server, effort: Effort) -> Vec<String> {
    let build = matrix::workspace::cargo().args(["build", "--quiet", "--workspace", "--bin", "std-floor"]).status();
    assert!(build.unwrap().success(), "std-floor cannot be built");
    let program = target_directory().join("debug/std-floor");
    columns("(std-floor)", Load::default(), &cost(&program, &[], Load::default(), server, effort))
}

fn row(strategy: &str, load: Load, server: &Server, effort: Effort) -> Vec<String> {
    let cost = cost(agent(), &[("DD_SERVERLESS_FLUSH_STRATEGY", strategy)], load, server, effort);
    // The adaptive strategy begins as `end`, and a quick run ends before it knows the function.
    let flushes = cost.requests > 0.6;
    let is_due = strategy == "end" || strategy.ends_with(",1");
    assert!(strategy == "default" || flushes == is_due, "{strategy}: {} requests", cost.requests);
    columns(strategy, load, &cost)
}

/// What is left when nothing of what the function uses is measured.
fn without_usage(server: &Server, effort: Effort) -> Vec<String> {
    let environment = [("DD_SERVERLESS_FLUSH_STRATEGY", "continuously,60000"), ("DD_ENHANCED_METRICS", "false")];
    let cost = cost(agent(), &environment, Load::default(), server, effort);
    columns("continuously,60000, no enhanced metrics", Load::default(), &cost)
}

fn agent() -> &'static Path {
    Path::new(env!("CARGO_BIN_EXE_bottlecap"))
}

fn columns(strategy: &str, load: Load, cost: &Cost) -> Vec<String> {
    let numbers = [cost.requests, cost.cpu_ms, cost.next_ms].map(number);
    [strategy.to_owned(), load.lines.to_string(), load.points.to_string()].into_iter().chain(numbers).collect()
}

fn cost(program: &Path, environment: &[(&str, &str)], load: Load, server: &Server, effort: Effort) -> Cost {
    let sandbox = Sandbox::start(setup(program, environment, load, server)).unwrap();
    let pid = sandbox.journal().iter().find_map(|entry| match &entry.what {
        JournalEvent::Executed { origin: Origin::Extension(_), pid } => Some(Pid::from_raw(*pid)),
        _ => None,
    });
    let cpu = || Duration::from(clock_gettime(clock_getcpuclockid(pid.unwrap()).unwrap()).unwrap());
    invoke(&sandbox, effort.of(WARM_UP, 2));
    let (points_before, sent_before, before) = (server.sketches_with(POINT), server.accepted(), cpu());
    let invocations = effort.of(100, 3);
    let requested = invoke(&sandbox, invocations);
    let used = cpu().saturating_sub(before);
    let requests = (server.accepted() - sent_before) as f64 / invocations as f64;
    let journal = sandbox.journal();
    let next = |id: &String| milliseconds(next_after_done(&journal, id, NAME).unwrap());
    let next_ms = median(requested.iter().map(next).collect());
    sandbox.shutdown().unwrap();
    // The host's port may be another program's: what has cost nothing because it never came is no row.
    let arrived = server.sketches_with(POINT) > points_before;
    assert!(arrived || load.points == 0 || program != agent(), "none of {} points has arrived", load.points);
    Cost { cpu_ms: milliseconds(used) / invocations as f64, next_ms, requests }
}

/// The ids of the requests.
fn invoke(sandbox: &Sandbox, times: usize) -> Vec<String> {
    let once = |_| {
        let invocation = sandbox.invoke(b"{}").unwrap();
        assert_eq!(invocation.outcome, Outcome::Success);
        invocation.request_id
    };
    (0..times).map(once).collect()
}

fn setup(program: &Path, environment: &[(&str, &str)], load: Load, server: &Server) -> Setup {
    let url = format!("https://localhost:{}", server.port);
    let common = [
        ("DD_API_KEY", "key"),
        ("DD_DD_URL", &url),
        ("DD_LOGS_CONFIG_LOGS_DD_URL", &url),
        ("DD_TLS_CERT_FILE", server.authority.to_str().unwrap()),
    ];
    let own = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
    let environment: BTreeMap<_, _> = common.iter().chain(environment).map(own).collect();
    let extensions = vec![Extension::new(NAME, PathBuf::from(program))];
    Setup { function: function(load), extensions, environment, network: Network::Host, ..Setup::default() }
}

fn function(load: Load) -> Function {
    let mut lines = Lines::new();
    let lines: Vec<_> = (0..load.lines).map(|_| lines.line(150)).collect();
    let points: Vec<_> = (0..load.points).map(|number| format!("{POINT}:{number}|d|#store:{number}")).collect();
    Function::from_fn(move |call: &Call<'_>| {
        let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        for point in &points {
            socket.send_to(point.as_bytes(), (Ipv4Addr::LOCALHOST, 8125)).unwrap();
        }
        for line in &lines {
            call.print(line.clone());
        }
        thread::sleep(WORK);
        HandlerOutcome::Response(b"{}".to_vec())
    })
}

fn milliseconds(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1000.0
}
