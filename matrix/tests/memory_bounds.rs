//! The table of memory bounds in docs/architecture.md against the constants of the extension, and its sum.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that can't go on has failed")]

use std::fs;
use std::path::Path;

/// The beginning of a row, and the constants that bound it, each by file and name.
const ROWS: [(&str, &[(&str, &str)]); 18] = [
    ("telemetry bodies", &[("ingest/telemetry/mod", "MAX_BODY_BYTES")]),
    ("datagrams that wait", &[("ingest/dogstatsd", "MAX_WAITING_BYTES")]),
    ("tracer and OTLP requests", &[("ingest/trace_agent/routes", "MAX_TRACE_BODY_BYTES")]),
    ("what the spans of one request", &[("process/trace/observe", "MAX_OBSERVED_BYTES")]),
    ("requests that wait for the WAF worker", &[("waf_client/enabled/mod", "MAX_WAITING_BYTES")]),
    ("requests whose responses the WAF", &[("ingest/lifecycle/security", "MAX_OPEN_BYTES")]),
    (
        "a decoded OTLP request",
        &[("process/otlp/decode/mod", "MAX_DECODED_BYTES"), ("process/otlp/convert", "MAX_TRACE_BYTES")],
    ),
    ("lifecycle bodies", &[("ingest/lifecycle/mod", "MAX_BODIES_BYTES")]),
    ("events and responses that the proxy copies", &[("ingest/lifecycle/mod", "MAX_BODIES_BYTES")]),
    ("lifecycle calls", &[("ingest/lifecycle/mod", "MAX_QUEUED_BYTES")]),
    (
        "what is reported of invocations",
        &[
            ("process/invocation/spans/mod", "MAX_HELD_BYTES"),
            ("process/invocation/spans/pending", "MAX_PENDING_BYTES"),
        ],
    ),
    (
        "spans of invocations whose processing",
        &[("run/invocation_runs", "MAX_WAITING_BYTES"), ("run/invocation_runs", "MAX_INVOCATION_BYTES")],
    ),
    // Those of enhanced metrics and those of the function's own.
    ("metric contexts and buckets", &[("aggregate/capacity", "MAX_BYTES"), ("aggregate/capacity", "MAX_BYTES")]),
    ("batches and payloads", &[("flush/mod", "MAX_BYTES")]),
    ("lines of durable functions", &[("process/invocation/durable", "MAX_BYTES")]),
    ("held log lines", &[("process/invocation/attribution", "MAX_HELD_BYTES")]),
    ("compiled processing rules", &[("process/log/rules", "MAX_COMPILED_BYTES")]),
    ("`datadog.yaml`", &[("startup/services", "MAX_SETTINGS_BYTES")]),
];

/// The beginnings of the rows that nothing here compares with a constant.
const UNCHECKED: [&str; 2] = ["connections of tracers", "one compressor"];
/// The same of rows that name the memory of one of many, and are no part of the sum.
const OF_EACH: [&str; 2] = ["connections of the runtime", "free memory"];

fn read(path: &str) -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(path)).unwrap()
}

/// The value of a constant: a number, or an operation of two, each a number or a constant of the same file.
fn value(text: &str, name: &str) -> u64 {
    let line = text.lines().find(|line| line.trim_start_matches("pub ").starts_with(&format!("const {name}:")));
    let line = line.unwrap_or_else(|| panic!("there is no constant {name}"));
    let expression = line.split_once(" = ").unwrap().1.trim_end_matches(';');
    let operand = |word: &str| word.replace('_', "").parse().unwrap_or_else(|_| value(text, word));
    match expression.split_whitespace().collect::<Vec<_>>()[..] {
        [one] => operand(one),
        [left, "<<", right] => operand(left) << operand(right),
        [left, "*", right] => operand(left) * operand(right),
        _ => panic!("{name} is {expression}"),
    }
}

/// The MiB of a row's bound: all that it names, and as much again where it says so.
fn mebibytes(bound: &str) -> u64 {
    let words: Vec<&str> = bound.split_whitespace().collect();
    let named = words.windows(2).filter_map(|pair| match pair {
        [number, unit] if unit.trim_end_matches([',', ';']) == "MiB" => number.parse::<u64>().ok(),
        _ => None,
    });
    let sum: u64 = named.sum();
    if bound.contains("as much again") { 2 * sum } else { sum }
}

#[test]
fn memory_table_has_the_bounds_of_the_sources_and_their_sum() {
    let page = read("docs/architecture.md");
    let table = page.split_once("## Memory bounds\n").unwrap().1;
    let rows: Vec<(&str, u64)> = table
        .lines()
        .filter_map(|line| {
            let mut cells = line.strip_prefix("| ")?.split(" | ");
            Some((cells.next()?, mebibytes(cells.next()?)))
        })
        .collect();
    for (beginning, constants) in ROWS {
        let (_, bound) = rows.iter().find(|(what, _)| what.starts_with(beginning)).unwrap();
        let bytes: u64 = constants.iter().map(|(file, name)| value(&read(&format!("src/{file}.rs")), name)).sum();
        assert_eq!((beginning, *bound << 20), (beginning, bytes));
    }
    let named: Vec<&str> = ROWS.iter().map(|(beginning, _)| *beginning).chain(UNCHECKED).chain(OF_EACH).collect();
    for (what, _) in rows.iter().filter(|(what, _)| !["what", "---"].contains(what)) {
        assert!(named.iter().any(|beginning| what.starts_with(beginning)), "nothing checks the row {what}");
    }
    for beginning in named {
        assert_eq!(rows.iter().filter(|(what, _)| what.starts_with(beginning)).count(), 1, "{beginning}");
    }
    let is_of_each = |what: &str| OF_EACH.iter().any(|beginning| what.starts_with(beginning));
    let sum: u64 = rows.iter().filter(|(what, _)| !is_of_each(what)).map(|(_, bound)| bound).sum();
    assert!(page.contains(&format!("add up to {sum} MiB")), "the rows add up to {sum} MiB");
}
