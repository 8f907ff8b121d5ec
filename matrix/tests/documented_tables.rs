//! Tables of docs that repeat what a source file has: names and units of the enhanced metrics, and the layers of the tool.

#![allow(clippy::unwrap_used, reason = "a test that can't go on has failed")]

use std::fs;
use std::path::Path;

fn read(path: &str) -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(path)).unwrap()
}

/// The cells of the rows that begin like this.
fn rows(path: &str, begins: &str) -> Vec<[String; 2]> {
    let text = read(path);
    let rows = text.lines().filter_map(|line| line.strip_prefix(begins)?.strip_suffix(" |")?.split_once(" | "));
    rows.map(|(first, second)| [first.to_owned(), second.to_owned()]).collect()
}

#[test]
fn enhanced_metrics_of_the_page_are_the_constants() {
    let source = read("src/process/metric.rs");
    let (mut constants, mut doc) = (Vec::new(), "");
    for line in source.lines() {
        if let Some(text) = line.strip_prefix("/// ") {
            doc = text.trim_end_matches('.');
        } else if let Some((_, name)) = line.split_once(": &str = \"aws.lambda.enhanced.") {
            constants.push([format!("{}`", name.trim_end_matches("\";")), doc.to_owned()]);
        }
    }
    assert!(constants.len() > 30, "{constants:?}");
    assert_eq!(rows("docs/metrics.md", "| `aws.lambda.enhanced."), constants);
}

#[test]
fn layers_of_the_page_are_those_of_the_architecture_tests() {
    let source = read("tests/architecture/layers.rs");
    let table = source.split_once("const LAYERS: &[&[&str]] = &[\n").unwrap().1.split_once("];").unwrap().0;
    let odd =
        |text: &str, mark: char| -> Vec<String> { text.split(mark).skip(1).step_by(2).map(str::to_owned).collect() };
    let layers: Vec<Vec<String>> = table.lines().rev().map(|line| odd(line, '"')).collect();
    let page = read("docs/architecture.md");
    let table = page.split_once("| layer | folders |\n|---|---|\n").unwrap().1.split_once("\n\n").unwrap().0;
    // Names come first; what follows the colon is about them.
    let named = table.lines().map(|row| odd(row.split(':').next().unwrap_or_default(), '`'));
    assert_eq!(named.collect::<Vec<_>>(), layers);
    assert!(table.lines().rev().enumerate().all(|(at, row)| row.starts_with(&format!("| {} | ", at + 1))));
}
