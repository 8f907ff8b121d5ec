//! What an invocation costs while the extension stands beside it: CPU time, and the time after the function's answer for which a flush holds it.

use std::{collections::BTreeMap, time::Duration};

use matrix::sandbox::{
    Extension, Function, Outcome, Sandbox, Setup,
    function::Answer,
    journal::What,
    setup::{Network, Origin},
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

/// How many invocations are not counted: the flush strategy gets to know the function, and the first time is always slower.
const WARM_UP: usize = 25;
/// What a function's ten lines become, compressed, is about this long.
const BODY_BYTES: usize = 1200;

struct Load {
    strategy: &'static str,
    lines: usize,
    /// Whether anything is to be sent at all.
    silent: bool,
}

/// What an invocation costs, in milliseconds.
struct Cost {
    cpu: f64,
    held: f64,
    requests: f64,
}

/// Measures whole invocations at several loads.
pub fn measure(effort: Effort) -> Section {
    let server = Server::start();
    let load = |strategy, lines, silent| Load { strategy, lines, silent };
    let loads = [
        load("end", 0, true),
        load("end", 10, false),
        load("end", 100, false),
        load("continuously,60000", 0, false),
        load("continuously,60000", 10, false),
        load("continuously,60000", 100, false),
    ];
    let bare: Vec<_> = (0..effort.of(500, 5)).map(|_| milliseconds(post(&server))).collect();
    let rows = loads.iter().map(|load| row(load, &server, effort)).collect();
    Section {
        title: "An invocation",
        about: format!(
            "A function that writes so many lines of 150 bytes, in the sandbox, with an intake behind TLS on the same machine. `held` is the time from the function's \
             answer to the end of the invocation; Lambda itself keeps telemetry for up to 25 ms of it, which is all that there is where nothing is sent. The yardstick \
             is one bare POST of {BODY_BYTES} bytes to the same intake over a new connection, TLS handshake included: {} ms.",
            number(median(bare))
        ),
        columns: vec!["flush strategy", "lines", "requests", "CPU of the extension, ms", "held, ms"],
        rows,
    }
}

fn post(server: &Server) -> Duration {
    let begin = std::time::Instant::now();
    server.connect().post(&[b'x'; BODY_BYTES]);
    begin.elapsed()
}

fn row(load: &Load, server: &Server, effort: Effort) -> Vec<String> {
    let cost = cost(load, server, effort.of(300, 5));
    assert_eq!(cost.requests > 0.9, load.strategy == "end" && !load.silent, "{} requests an invocation", cost.requests);
    vec![load.strategy.to_owned(), load.lines.to_string(), number(cost.requests), number(cost.cpu), number(cost.held)]
}

fn cost(load: &Load, server: &Server, invocations: usize) -> Cost {
    let sandbox = Sandbox::start(setup(load, server)).unwrap();
    let agent = sandbox.journal().iter().find_map(|entry| match &entry.what {
        What::Executed { origin: Origin::Extension(_), pid } => Some(Pid::from_raw(*pid)),
        _ => None,
    });
    let cpu = || Duration::from(clock_gettime(clock_getcpuclockid(agent.unwrap()).unwrap()).unwrap());
    invoke(&sandbox, WARM_UP);
    let (before, sent_before) = (cpu(), server.accepted());
    let held = invoke(&sandbox, invocations);
    let used = cpu().saturating_sub(before);
    let requests = (server.accepted() - sent_before) as f64 / invocations as f64;
    sandbox.shutdown().unwrap();
    Cost { cpu: milliseconds(used) / invocations as f64, held: median(held), requests }
}

fn invoke(sandbox: &Sandbox, times: usize) -> Vec<f64> {
    let once = |_| {
        let invocation = sandbox.invoke(b"{}").unwrap();
        assert_eq!(invocation.outcome, Outcome::Success);
        milliseconds(invocation.extension_overhead)
    };
    (0..times).map(once).collect()
}

fn setup(load: &Load, server: &Server) -> Setup {
    let mut lines = Lines::new();
    let lines: Vec<_> = (0..load.lines).map(|_| lines.line(150)).collect();
    let function = Function::from_fn(move |call| {
        for line in &lines {
            call.print(line.clone());
        }
        Answer::Response(b"{}".to_vec())
    });
    let url = format!("https://localhost:{}", server.port);
    let mut environment = BTreeMap::from(
        [
            ("DD_API_KEY", "key"),
            ("DD_DD_URL", &url),
            ("DD_LOGS_CONFIG_LOGS_DD_URL", &url),
            ("DD_TLS_CERT_FILE", server.authority.to_str().unwrap()),
            ("DD_SERVERLESS_FLUSH_STRATEGY", load.strategy),
        ]
        .map(|(name, value)| (name.to_owned(), value.to_owned())),
    );
    if load.silent {
        for name in ["DD_SERVERLESS_LOGS_ENABLED", "DD_ENHANCED_METRICS"] {
            environment.insert(name.to_owned(), "false".to_owned());
        }
    }
    let extensions = vec![Extension::new("datadog-agent", env!("CARGO_BIN_EXE_bottlecap"))];
    Setup { function, extensions, environment, network: Network::Host, ..Setup::default() }
}

fn milliseconds(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1000.0
}
