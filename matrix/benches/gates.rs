//! From exec to both gates beside a bare API on the loopback device: the instrument of the targets for the launcher.
//!
//! The API is one thread that reads, takes the time, and writes an answer; nothing else runs. Programs are started in turn, in random order, and what counts is
//! the ratio to `std-floor` in the same round, which the targets are about, because the machine's own speed cancels out of it. `cargo bench -p matrix --bench gates` starts
//! each forty times from memory and forty times from disk, which takes a release build of the recommended set; `-- --quick` starts each five times, of whatever
//! profile, and fails only if a program does not pass its gates. `-- --record` writes the result to `gates.json`.

#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a bench that cannot go on has nothing to say")]

use std::{
    collections::BTreeMap,
    fs,
    io::{self, Read as _, Write as _},
    net::{Ipv4Addr, TcpListener},
    os::unix::process::CommandExt as _,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use matrix::{
    build::{launcher, yardstick},
    executable,
    sandbox::{Extension, Sandbox, Setup, in_own_network, page_cache, setup::LayerFile},
};
use nix::{
    sys::resource::{UsageWho, getrusage},
    unistd::write,
};
use rand::{RngExt as _, seq::SliceRandom as _};
use serde_json::{Value, json};

/// How often each program is started under each condition.
const STARTS: usize = 40;
const QUICK_STARTS: usize = 5;
/// Rounds that are not counted: they bring the files into the page cache.
const WARM_UP: usize = 2;
/// Resamples of a bootstrap interval.
const RESAMPLES: usize = 2000;
/// How long a start may take.
const PATIENCE: Duration = Duration::from_secs(10);

/// What the ratios are to.
const YARDSTICK: &str = yardstick::STD_FLOOR;
const LAUNCHER: &str = "ship";
/// The targets of the launcher at both gates, as ratios to the yardstick.
const TARGETS: [(&str, f64); 2] = [("memory", 0.55), ("disk", 0.35)];

const REGISTERED: &str = "HTTP/1.1 200 OK\r\nLambda-Extension-Identifier: 00000000-0000-4000-8000-000000000000\r\nContent-Length: 2\r\n\r\n{}";
const SUBSCRIBED: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nOK";
const NEXT: &[u8] = b"GET /2020-01-01/extension/event/next";

/// A program as it stands below `/opt`.
struct Program {
    name: &'static str,
    files: Vec<PathBuf>,
}

/// How one of the two gates is read.
type Gate = fn(&Start) -> Duration;

/// What is measured of one start.
#[derive(Clone, Copy)]
struct Start {
    register: Duration,
    next: Duration,
    /// Minor page faults from exec to next, as the kernel counts them for the process when it is ended there.
    faults: i64,
}

fn main() {
    let has = |option: &str| std::env::args().any(|argument| argument == option);
    let folder = tempfile::tempdir().unwrap();
    let programs = programs(folder.path(), has("--quick"));
    let starts = if has("--quick") { QUICK_STARTS } else { STARTS };
    let mut summary = serde_json::Map::new();
    for disk in [false, true] {
        let condition = if disk { "disk" } else { "memory" };
        let bare = in_own_network(|| rounds(&programs, starts, |program| bare_start(program, disk)));
        // Without privileges the machine's own ports have to be free.
        let bare = bare.unwrap_or_else(|_| rounds(&programs, starts, |program| bare_start(program, disk)));
        let sandbox = rounds(&programs, starts, |program| sandbox_start(program, disk));
        summary.insert(condition.to_owned(), show(condition, &programs, &bare, &sandbox));
    }
    if has("--record") {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("benches/gates.json");
        let document = json!({"schema": 1, "starts": starts, "conditions": summary});
        fs::write(&path, serde_json::to_string_pretty(&document).unwrap() + "\n").unwrap();
        println!("recorded in {}", path.display());
    }
}

/// Both floors, the launcher before its agent, and the agent alone. With `quick` the agent only sleeps, because none has to be built for that.
fn programs(folder: &Path, quick: bool) -> Vec<Program> {
    const EXTENSION: &str = "extensions/datadog-agent";
    const AGENT: &str = "bottlecap/agent";
    let place = |name: &'static str, files: &[(&str, &Path)]| {
        let files = files.iter().map(|(at, from)| {
            let to = folder.join(name).join(at);
            fs::create_dir_all(to.parent().unwrap()).unwrap();
            executable::copy(from, &to).unwrap();
            to
        });
        Program { name, files: files.collect() }
    };
    let std_floor = place(YARDSTICK, &[(EXTENSION, &std_floor(folder))]);
    let floor = place(yardstick::FLOOR, &[(EXTENSION, yardstick::for_tests().unwrap())]);
    let launcher = launcher::for_tests().unwrap();
    if quick {
        // One that ended at once could be gone before the request for an event is read.
        let agent = folder.join("agent");
        executable::write(&agent, "#!/bin/sh\nexec sleep 60\n").unwrap();
        return vec![std_floor, floor, place(LAUNCHER, &[(EXTENSION, launcher), (AGENT, &agent)])];
    }
    let agent = agent();
    let launched = place(LAUNCHER, &[(EXTENSION, launcher), (AGENT, &agent)]);
    vec![std_floor, floor, launched, place("ship-agent", &[(EXTENSION, &agent)])]
}

/// The standard library's floor as `cargo matrix build` makes it: static and optimized, whatever the profile of this bench is.
fn std_floor(folder: &Path) -> PathBuf {
    let program = folder.join("static-floor");
    yardstick::compile_std_floor(&matrix::workspace::root(), &program).unwrap();
    program
}

/// The agent of the recommended set, built by the tool; `BOTTLECAP_AGENT` names one that is there already.
fn agent() -> PathBuf {
    if let Some(agent) = std::env::var_os("BOTTLECAP_AGENT") {
        return agent.into();
    }
    let output =
        Command::new(env!("CARGO_BIN_EXE_matrix")).args(["build", "ship-agent"]).stderr(Stdio::inherit()).output();
    let output = output.unwrap();
    assert!(output.status.success(), "cargo matrix build ship-agent failed");
    String::from_utf8(output.stdout).unwrap().lines().last().unwrap().into()
}

/// The starts of each program, in rounds.
fn rounds(
    programs: &[Program],
    starts: usize,
    start: impl Fn(&Program) -> Start,
) -> BTreeMap<&'static str, Vec<Start>> {
    let mut samples: BTreeMap<&'static str, Vec<Start>> = BTreeMap::new();
    for round in 0..WARM_UP + starts {
        let mut order: Vec<&Program> = programs.iter().collect();
        order.shuffle(&mut rand::rng());
        for program in order {
            let sample = start(program);
            if round >= WARM_UP {
                samples.entry(program.name).or_default().push(sample);
            }
        }
    }
    samples
}

/// A start beside the bare API, which ends the program at its first request for an event.
fn bare_start(program: &Program, disk: bool) -> Start {
    prepare_page_cache(program, disk);
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let faults_before = getrusage(UsageWho::RUSAGE_CHILDREN).unwrap().minor_page_faults();
    let RunningProgram { mut child, executed, faults } = execute(program, &listener.local_addr().unwrap().to_string());
    let (mut stream, _) = listener.accept().unwrap();
    stream.set_nodelay(true).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let register = until(&mut stream, b"INVOKE");
    stream.write_all(REGISTERED.as_bytes()).unwrap();
    let next = if program.name == YARDSTICK {
        // It waits for the response to the subscription before it asks for the event.
        until(&mut stream, b"buffering");
        stream.write_all(SUBSCRIBED.as_bytes()).unwrap();
        until(&mut stream, NEXT)
    } else {
        until(&mut stream, NEXT)
    };
    child.kill().unwrap();
    child.wait().unwrap();
    let faults_after = getrusage(UsageWho::RUSAGE_CHILDREN).unwrap().minor_page_faults();
    Start { register: register - executed, next: next - executed, faults: faults_after - faults_before - faults }
}

/// When the text had arrived.
fn until(stream: &mut impl io::Read, text: &[u8]) -> Instant {
    let (mut read, mut bytes) = (Vec::new(), [0; 4096]);
    loop {
        let length = stream.read(&mut bytes).unwrap();
        let now = Instant::now();
        assert!(length > 0, "the program has closed the connection");
        read.extend_from_slice(&bytes[..length]);
        if read.windows(text.len()).any(|window| window == text) {
            return now;
        }
    }
}

/// A program that runs.
struct RunningProgram {
    child: Child,
    /// Right before exec.
    executed: Instant,
    /// Page faults of the child before exec.
    faults: i64,
}

fn execute(program: &Program, api: &str) -> RunningProgram {
    let (mut reports, report) = io::pipe().unwrap();
    let before = Instant::now();
    let mut command = Command::new(&program.files[0]);
    command.env_clear().env("AWS_LAMBDA_RUNTIME_API", api).env("AWS_LAMBDA_INITIALIZATION_TYPE", "on-demand");
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    let hook = move || {
        let faults = getrusage(UsageWho::RUSAGE_SELF)?.minor_page_faults();
        let elapsed = u64::try_from(before.elapsed().as_nanos()).unwrap_or(u64::MAX);
        let mut words = [0; 16];
        words[..8].copy_from_slice(&faults.to_ne_bytes());
        words[8..].copy_from_slice(&elapsed.to_ne_bytes());
        write(&report, &words)?;
        Ok(())
    };
    #[expect(unsafe_code, reason = "the only way to take the time in the child right before exec")]
    // SAFETY: three system calls, no allocation and no lock between fork and exec.
    let child = unsafe { command.pre_exec(hook) }.spawn().unwrap();
    // The command has the other end of the pipe.
    drop(command);
    let mut words = [0; 16];
    reports.read_exact(&mut words).unwrap();
    let [faults, elapsed] = [0, 8].map(|at| u64::from_ne_bytes(words[at..at + 8].try_into().unwrap()));
    RunningProgram { child, executed: before + Duration::from_nanos(elapsed), faults: i64::try_from(faults).unwrap() }
}

/// A start in the sandbox, without anything that costs time.
fn sandbox_start(program: &Program, disk: bool) -> Start {
    prepare_page_cache(program, disk);
    let mut extension = Extension::new("datadog-agent", &program.files[0]);
    let agents = program.files.iter().skip(1);
    extension.layer_files =
        agents.map(|file| LayerFile { place: "bottlecap/agent".into(), source: file.clone() }).collect();
    let sandbox = Sandbox::start(Setup { extensions: vec![extension], cold: disk, ..Setup::default() }).unwrap();
    let gates = sandbox.gates();
    let start =
        Start { register: gates.extensions[0].register.unwrap(), next: gates.extensions[0].next.unwrap(), faults: 0 };
    drop(sandbox);
    start
}

fn prepare_page_cache(program: &Program, disk: bool) {
    let files = program.files.iter();
    if disk {
        files.for_each(|file| page_cache::drop_pages(file).unwrap());
    } else {
        files.for_each(|file| page_cache::read_pages(file).unwrap());
    }
}

/// Prints the medians of a condition, the ratios with their intervals, and what the targets are.
fn show(
    condition: &str,
    programs: &[Program],
    bare: &BTreeMap<&str, Vec<Start>>,
    sandbox: &BTreeMap<&str, Vec<Start>>,
) -> Value {
    println!("\n{condition}: medians in ms, ratios to {YARDSTICK} of the same round with 95 % intervals");
    println!("{:<12} {:>9} {:>22} {:>22} {:>8} {:>20}", "", "bytes", "register", "next", "faults", "in the sandbox");
    let mut rows = serde_json::Map::new();
    for Program { name, files } in programs {
        let milliseconds = |of: Gate, samples: &BTreeMap<&str, Vec<Start>>| {
            samples[name].iter().map(|start| of(start).as_secs_f64() * 1000.0).collect::<Vec<_>>()
        };
        let gates: [(&str, Gate); 2] = [("register", |start| start.register), ("next", |start| start.next)];
        let mut row = serde_json::Map::new();
        let mut columns = Vec::new();
        for (gate, of) in gates {
            let (own, inside) = (milliseconds(of, bare), milliseconds(of, sandbox));
            let floor: Vec<f64> = bare[YARDSTICK].iter().map(|start| of(start).as_secs_f64() * 1000.0).collect();
            let ratios: Vec<f64> = own.iter().zip(&floor).map(|(own, floor)| own / floor).collect();
            let Interval { low, high } = interval(&ratios);
            let (ms, ratio, inside) = (median(&own), median(&ratios), median(&inside));
            columns.push(format!("{ms:.2} {ratio:.2} [{low:.2}, {high:.2}]"));
            row.insert(
                gate.to_owned(),
                json!({"ms": ms, "ratio": ratio, "low": low, "high": high, "sandbox_ms": inside}),
            );
            if let Some((_, target)) = TARGETS.iter().find(|(of, _)| *of == condition).filter(|_| *name == LAUNCHER) {
                row.insert(format!("{gate}_target"), json!({"ratio": target, "met": ratio <= *target}));
            }
        }
        let inside = ["register", "next"].map(|gate| row[gate]["sandbox_ms"].as_f64().unwrap());
        #[expect(clippy::cast_precision_loss, reason = "some hundred faults")]
        let faults = median(&bare[name].iter().map(|start| start.faults as f64).collect::<Vec<_>>());
        let bytes = fs::metadata(&files[0]).unwrap().len();
        println!(
            "{name:<12} {bytes:>9} {:>22} {:>22} {faults:>8} {:>20}",
            columns[0],
            columns[1],
            format!("{:.2} / {:.2}", inside[0], inside[1])
        );
        row.insert("bytes".to_owned(), bytes.into());
        row.insert("faults".to_owned(), faults.into());
        rows.insert((*name).to_owned(), row.into());
    }
    rows.into()
}

struct Interval {
    low: f64,
    high: f64,
}

/// The 95 % percentile interval of the bootstrap of the median.
fn interval(values: &[f64]) -> Interval {
    let mut random = rand::rng();
    let resample =
        |_| median(&(0..values.len()).map(|_| values[random.random_range(0..values.len())]).collect::<Vec<_>>());
    let mut medians: Vec<f64> = (0..RESAMPLES).map(resample).collect();
    medians.sort_by(f64::total_cmp);
    Interval { low: medians[RESAMPLES / 40], high: medians[RESAMPLES - RESAMPLES / 40 - 1] }
}

fn median(values: &[f64]) -> f64 {
    let mut values = values.to_vec();
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    if values.len().is_multiple_of(2) { f64::midpoint(values[middle - 1], values[middle]) } else { values[middle] }
}
