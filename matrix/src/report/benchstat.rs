//! The starts in the format of Go's benchmark tools: `benchstat -col /cell report.benchstat.txt` shows the gates side by side.
//!
//! The format has configuration lines `key: value` that apply to all following lines, `Unit` lines, and for each start a line with a name, an iteration count,
//! and values with units. A name may have parts `/key=value`. It must not end in a dash and a number, which would be read as a CPU count.
//! <https://go.googlesource.com/proposal/+/master/design/14313-benchmark-format.md>, <https://pkg.go.dev/golang.org/x/perf/benchfmt>

use std::fmt::Write as _;

use serde_json::{Value, json};

use super::sections::{ConditionSection, GATES, Report};
use crate::plan::{AppSec, Condition};

/// Times are written in seconds; the tools choose the prefix themselves.
const MS_PER_SECOND: f64 = 1000.0;

/// Writes every start that counts, of cells that deliver under valid conditions.
pub fn write(report: &Report) -> String {
    let mut text = String::new();
    for (key, value) in machine(report) {
        let _ = writeln!(text, "{key}: {value}");
    }
    for (number, note) in (1_u32..).zip(&report.experiment.analysis.notes) {
        let _ = writeln!(text, "note-{number}: {}", note.replace(['\n', '\r'], " "));
    }
    for gate in GATES {
        let _ = writeln!(text, "Unit {gate}-sec better=lower");
    }
    for section in report.sections.iter().filter(|section| section.found.invalid.is_none()) {
        starts(&mut text, report, section);
    }
    text
}

/// Whether a cell delivers under all conditions. The times of one that does not are not published.
pub fn delivers(report: &Report, cell: &str) -> bool {
    let deliveries = &report.experiment.analysis.deliveries;
    !deliveries.iter().any(|delivery| delivery.cell == cell && delivery.outcome.is_failure())
}

/// Writes one line for each start and gate. The two gates of a start are on separate lines, because the analysis keeps the values of each measure without their
/// pairing.
fn starts(text: &mut String, report: &Report, section: &ConditionSection) {
    for row in section.rows.iter().filter(|row| delivers(report, row.name())) {
        let name = format!("BenchmarkColdStart/cell={}{}", row.name(), parts(&section.found.condition));
        for gate in GATES {
            for value in row.measure(gate).into_iter().flat_map(|summary| &summary.values) {
                let _ = writeln!(text, "{name} 1 {} {gate}-sec", value / MS_PER_SECOND);
            }
        }
    }
}

/// A condition as parts of a benchmark name. The first value is a number, and the last a word.
pub fn parts(condition: &Condition) -> String {
    let part = |(key, value): (&str, Value)| {
        let value = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        format!("/{key}={value}")
    };
    let Condition { memory_mb, regime, cache, platform, trust_store, runtime, fault, appsec } = condition;
    let parts = [
        ("memory", json!(memory_mb)),
        ("regime", json!(regime)),
        ("cache", json!(cache)),
        ("latency", json!(platform)),
        ("runtime", json!(runtime)),
        ("store", json!(trust_store)),
        ("fault", json!(fault)),
    ];
    let protected = (*appsec == AppSec::On).then(|| ("appsec", json!(appsec)));
    parts.into_iter().chain(protected).map(part).collect()
}

/// The machine as configuration lines; the format's keys have no capital letters.
fn machine(report: &Report) -> Vec<(&'static str, String)> {
    let Some(provenance) = report.provenance() else { return Vec::new() };
    let machine = &provenance.run.machine;
    let commit = provenance.run.commit.clone().map(|commit| ("commit", commit));
    let known = [("cpu", machine.cpu.clone()), ("arch", machine.architecture.clone()), ("os", machine.kernel.clone())];
    known.into_iter().chain(commit).collect()
}
