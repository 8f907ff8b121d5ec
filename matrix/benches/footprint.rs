//! What the extension costs before its first event: size, the two gates of a cold start, memory. Not a test: it passes whatever it measures.
//!
//! Starts of the extension and of the standard library's floor (`src/bin/std-floor.rs`) alternate in random order, and what counts is the ratio of the two, because the machine's own
//! speed cancels out of it. `cargo bench -p matrix --bench footprint -- --record` writes the result to `footprint.json`, the line that later changes have to beat;
//! without it the result is shown beside that line.

#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a bench that cannot go on has nothing to say")]

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use matrix::{
    sandbox::{Extension, Sandbox, Setup, intake::Plan, journal::JournalEvent},
    workspace::target_directory,
};
use rand::seq::SliceRandom as _;
use serde_json::{Value, json};

/// How often each program is started.
const STARTS: usize = 40;
/// Starts of each that are not counted: they bring the files into the page cache.
const WARM_UP: usize = 3;

/// What is told of each start, and how.
const MEASURES: [&str; 5] =
    ["register gate (ms)", "ready gate (ms)", "peak memory (MB)", "minor page faults", "threads at next"];

fn main() {
    let record = std::env::args().any(|argument| argument == "--record");
    let programs = ["ship-agent", "std-floor"].map(|name| (name, program(name)));
    let mut samples: BTreeMap<&str, Vec<[f64; 5]>> = BTreeMap::new();
    // Shown on a terminal only.
    let progress = indicatif::ProgressBar::new((WARM_UP + STARTS) as u64);
    for block in 0..WARM_UP + STARTS {
        let mut order: Vec<_> = programs.iter().collect();
        order.shuffle(&mut rand::rng());
        for (name, program) in order {
            let sample = start(program);
            if block >= WARM_UP {
                samples.entry(name).or_default().push(sample);
            }
        }
        progress.inc(1);
    }
    progress.finish_and_clear();
    let summary = summarize(&programs[0].1, &samples);
    let recorded = Path::new(env!("CARGO_MANIFEST_DIR")).join("benches/footprint.json");
    show(&summary, fs::read(&recorded).ok().and_then(|json| serde_json::from_slice(&json).ok()).as_ref());
    if record {
        fs::write(&recorded, serde_json::to_string_pretty(&summary).unwrap() + "\n").unwrap();
        println!("recorded in {}", recorded.display());
    }
}

/// The agent of the recommended set, or the standard library's floor, as `cargo matrix` builds them for every experiment.
fn program(name: &str) -> PathBuf {
    let folder = target_directory().join("matrix/footprint");
    let matrix = |arguments: &[&str]| {
        let status =
            Command::new(env!("CARGO_BIN_EXE_matrix")).args(arguments).arg(&folder).stdout(Stdio::null()).status();
        assert!(status.unwrap().success(), "cargo matrix {} failed", arguments.join(" "));
    };
    matrix(&["plan", "cells", "--cells", "ship-agent,std-floor", "--out"]);
    matrix(&["build"]);
    folder.join("programs").join(name).join("datadog-agent")
}

/// Two cold starts beside the null function: the values of [`MEASURES`]. The gates are taken where nothing stops the program for its footprint.
fn start(program: &Path) -> [f64; 5] {
    let name = "datadog-agent";
    let begin = |footprints| {
        let extensions = vec![Extension::new(name, program)];
        let setup = Setup { extensions, intake: Some(Plan::default()), footprints, ..Setup::default() };
        Sandbox::start(setup).unwrap()
    };
    let sandbox = begin(false);
    let gates = sandbox.gates();
    let gate = |gate: Option<std::time::Duration>| gate.unwrap().as_secs_f64() * 1000.0;
    let (register, ready) = (gate(gates.extensions[0].register), gate(gates.extensions[0].next));
    sandbox.shutdown().unwrap();
    let sandbox = begin(true);
    let taken = sandbox.journal().iter().find_map(|entry| match &entry.what {
        JournalEvent::Footprint { footprint, .. } => Some(*footprint),
        _ => None,
    });
    sandbox.shutdown().unwrap();
    let taken = taken.unwrap();
    let counters = [taken.resident_peak_kib, taken.minor_faults, taken.threads]
        .map(|count| f64::from(u32::try_from(count).unwrap()));
    [register, ready, counters[0] / 1024.0, counters[1], counters[2]]
}

fn summarize(ours: &Path, samples: &BTreeMap<&str, Vec<[f64; 5]>>) -> Value {
    let mut measures = serde_json::Map::new();
    for (index, measure) in MEASURES.into_iter().enumerate() {
        let column = |name: &str| samples[name].iter().map(|sample| sample[index]).collect::<Vec<_>>();
        let (ours, floor) = (column("ship-agent"), column("std-floor"));
        let ratios = ours.iter().zip(&floor).map(|(ours, floor)| ours / floor).collect();
        measures.insert(
            measure.to_owned(),
            json!({"p10": quantile(ours.clone(), 0.1), "p50": quantile(ours.clone(), 0.5), "p90": quantile(ours, 0.9),
                   "std-floor p50": quantile(floor, 0.5), "times std-floor, p50": quantile(ratios, 0.5)}),
        );
    }
    json!({"schema": 1, "starts": STARTS, "bytes": fs::metadata(ours).unwrap().len(), "measures": measures})
}

fn quantile(mut values: Vec<f64>, quantile: f64) -> f64 {
    values.sort_by(f64::total_cmp);
    #[expect(
        clippy::cast_precision_loss,
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a few dozen values"
    )]
    let index = (quantile * (values.len() - 1) as f64).round() as usize;
    (values[index] * 1000.0).round() / 1000.0
}

fn show(summary: &Value, recorded: Option<&Value>) {
    let before =
        |path: &str| recorded.and_then(|json| json.pointer(path)).map_or_else(|| "-".to_owned(), Value::to_string);
    println!("file size: {} bytes (recorded: {})\n", summary["bytes"], before("/bytes"));
    println!("{:<20} {:>9} {:>9} {:>9} {:>10} {:>8} {:>9}", "", "p10", "p50", "p90", "std-floor", "ratio", "recorded");
    for measure in MEASURES {
        let of = |key: &str| summary["measures"][measure][key].as_f64().unwrap();
        println!(
            "{measure:<20} {:>9.2} {:>9.2} {:>9.2} {:>10.2} {:>8.2} {:>9}",
            of("p10"),
            of("p50"),
            of("p90"),
            of("std-floor p50"),
            of("times std-floor, p50"),
            before(&format!("/measures/{measure}/times std-floor, p50")),
        );
    }
}
