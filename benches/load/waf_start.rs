//! How long the WAF worker takes from its start until it is ready, and with what.

use std::{
    os::unix::process::CommandExt as _,
    path::Path,
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use bottlecap::{config::AppSec, features::APPSEC, waf_client::Waf};
use matrix::build::waf::NAME;
use serde_json::{Value, json};
use tokio::{runtime::Builder, time::sleep};
use waf_protocol::{Reply, Request, WafStatus, write_map};

use super::{
    Effort,
    page::{Section, median, number},
    waf_files::{Process, folder, rules},
};

/// Asks this program to be the agent, which finds the worker beside the name under which it was started.
pub const FLAG: &str = "--waf-start=";

/// The settings of an agent that evaluates requests.
pub fn settings() -> AppSec {
    AppSec { enabled: true, ..AppSec::default() }
}

/// Starts this program under a name beside the worker. Gives the numbers that it writes.
pub fn as_agent(flag: &str) -> Vec<f64> {
    let mut command = Command::new(std::env::current_exe().unwrap());
    let child = command.arg0(folder().join("bottlecap")).arg(flag).stderr(Stdio::inherit()).output().unwrap();
    assert!(child.status.success(), "{flag}: {}", child.status);
    let text = String::from_utf8(child.stdout).unwrap();
    text.split_ascii_whitespace().map(|number| number.parse().unwrap()).collect()
}

/// Measures the steps of a start, and a whole one.
pub fn measure(effort: Effort) -> Section {
    let rows = if APPSEC { rows(effort.of(50, 1)) } else { Vec::new() };
    Section {
        title: "Start of the WAF worker",
        about: "From the decision of the agent to start the worker until requests can be evaluated, with the recommended rules, and with everything in the page cache. The whole was \
                measured in the agent's own client, which reads the rules before it starts the process, and does nothing else meanwhile; the steps one by one before that. The second \
                row has the end of the process in it, the third what comes before that end."
            .to_owned(),
        columns: vec!["step", "ms"],
        rows,
    }
}

fn rows(rounds: usize) -> Vec<Vec<String>> {
    let rules = rules(folder());
    let steps: Vec<[f64; 5]> = (0..rounds).map(|_| round(&rules)).collect();
    let names = [
        "read and decompress the rules",
        "execute the program, which finds no library and ends",
        "execute it and load the library, until it answers",
        "send the rules and parse them",
        "build them",
    ];
    let step = |(at, name): (usize, &str)| {
        let middle = median(steps.iter().map(|steps| steps[at]).collect());
        vec![name.to_owned(), number(middle)]
    };
    let whole = median(as_agent(&format!("{FLAG}{rounds}")));
    names.into_iter().enumerate().map(step).chain([vec!["the whole, by the agent".to_owned(), number(whole)]]).collect()
}

/// Milliseconds of each step.
fn round(rules: &[u8]) -> [f64; 5] {
    let begin = Instant::now();
    assert_eq!(super::waf_files::rules(folder()), rules);
    let read = milliseconds(begin.elapsed());

    let executed = without_library();

    let begin = Instant::now();
    let mut worker = Process::start(&folder().join(NAME), folder());
    let mut addresses = Vec::new();
    write_map(&mut addresses, 0);
    // Before it has rules, it answers that it cannot evaluate.
    let reply = worker.request(&Request::Evaluate { context: 0, budget: 0, addresses: &addresses });
    assert!(matches!(reply, Reply::Outcome { status: WafStatus::Failed, .. }), "{reply:?}");
    let loaded = milliseconds(begin.elapsed());

    let begin = Instant::now();
    worker.configure(rules);
    let configured = milliseconds(begin.elapsed());

    let mut other = Process::start(&folder().join(NAME), folder());
    let single = single(rules);
    let begin = Instant::now();
    other.configure(&single);
    let parsed = milliseconds(begin.elapsed());
    [read, executed, loaded, parsed, configured - parsed]
}

/// The same JSON, of which the library uses the first rule only.
fn single(rules: &[u8]) -> Vec<u8> {
    let mut all: Value = serde_json::from_slice(rules).unwrap();
    let fields = all.as_object_mut().unwrap();
    let unused: Vec<String> =
        fields.keys().filter(|name| !["version", "metadata"].contains(&&***name)).cloned().collect();
    for name in unused {
        let value = fields.remove(&name).unwrap();
        if name == "rules" {
            fields.insert(name.clone(), json!([value[0]]));
        }
        fields.insert(format!("{name}-unused"), value);
    }
    all.to_string().into_bytes()
}

/// The worker where there is no library for it: all that the kernel does, and the beginning of the loader's work.
fn without_library() -> f64 {
    let mut command = Command::new(folder().join(NAME));
    command.env_clear().env("LD_LIBRARY_PATH", "/nonexistent").stdin(Stdio::null()).stderr(Stdio::null());
    let begin = Instant::now();
    let status = command.status().unwrap();
    let took = milliseconds(begin.elapsed());
    assert!(!status.success() || Path::new("/opt/bottlecap").exists(), "{status}");
    took
}

/// In the process that is the agent: starts workers one after the other, and writes the milliseconds of each.
pub fn child(rounds: usize) {
    let runtime = Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        for _ in 0..rounds {
            let begin = Instant::now();
            let waf = Waf::start(&settings()).unwrap();
            waf.until_ready().await;
            println!("{}", milliseconds(begin.elapsed()));
            assert!(!waf.versions().waf.is_empty(), "the worker is not ready");
            drop(waf);
            // Until the worker is killed.
            sleep(Duration::from_millis(20)).await;
        }
    });
}

fn milliseconds(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1000.0
}
