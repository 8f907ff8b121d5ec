//! What spans take while they wait for a flush. Each number is taken in a process of its own, so that nobody else's memory counts.

use std::{path::Path, process::Command};

#[path = "../../tests/memory/spans.rs"]
mod spans;

use super::{
    Effort,
    page::{Section, count},
};

/// Asks this program to be the process that is measured.
pub const FLAG: &str = "--queued-spans=";

/// Measures requests of several lengths.
pub fn measure(effort: Effort) -> Section {
    let all = [1_000, 10_000, 100_000];
    Section {
        title: "Memory of spans",
        about: "A request with one chunk of so many spans, from the tracer's socket until its payload waits for a flush: what the process has grown by then, and at most \
                meanwhile. The ratio is that of what it has grown by to the larger one of request and payload; the goal is 1.5 from 10,000 spans on."
            .to_owned(),
        columns: vec!["spans", "request, KiB", "payload, KiB", "waiting, KiB", "ratio", "at most, KiB"],
        rows: all[..effort.of(all.len(), 1)].iter().map(|spans| row(*spans)).collect(),
    }
}

fn row(count_of_spans: usize) -> Vec<String> {
    let file = tempfile::NamedTempFile::new().unwrap();
    spans::write(file.as_file(), count_of_spans);
    let program = std::env::current_exe().unwrap();
    let child = Command::new(program).arg(format!("{FLAG}{}", file.path().display())).output().unwrap();
    assert!(child.status.success(), "{}", String::from_utf8_lossy(&child.stderr));
    let told = String::from_utf8(child.stdout).unwrap();
    let [sent, request, payload, waiting, most]: [usize; 5] =
        told.split_ascii_whitespace().map(|number| number.parse().unwrap()).collect::<Vec<_>>().try_into().unwrap();
    assert_eq!(sent, count_of_spans);
    let kib = |bytes: usize| count((bytes >> 10) as f64);
    let ratio = format!("{:.2}", waiting as f64 / request.max(payload) as f64);
    vec![count(sent as f64), kib(request), kib(payload), kib(waiting), ratio, kib(most)]
}

/// In a process of its own: sends what is in the file and says what has become of it.
pub fn child(file: &str) {
    let spans::QueuedSizes { spans, request, payload, waiting, most } = spans::queue(Path::new(file));
    println!("{spans} {request} {payload} {waiting} {most}");
}
