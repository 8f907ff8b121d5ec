//! `cargo matrix bench` without a plan: the whole way from the manifest to a report, by the same verbs that a person would type.

use std::path::Path;
use std::process::ExitCode;

use crate::invoke::build::target_directory;

/// Starts of each program under each condition, unless told otherwise. Enough for the intervals of the gates to be about a tenth of a millisecond wide on a
/// quiet machine.
const BLOCKS: u32 = 40;

/// Compares the named sets with each other and with the floor: plans, builds, measures, analyzes and reports. `verb` runs one command line.
pub fn run(blocks: Option<u32>, verb: &dyn Fn(&[String]) -> ExitCode) -> ExitCode {
    let folder = target_directory().join("matrix/bench");
    eprintln!("The first run builds three extensions, which takes minutes; then it starts each of them many times.");
    for line in steps(&folder, blocks.unwrap_or(BLOCKS)) {
        eprintln!("\n$ cargo matrix {}", line.join(" "));
        let code = verb(&line);
        if code != ExitCode::SUCCESS {
            return code;
        }
    }
    eprintln!("\nThe report with its pictures is {}", folder.join("report.html").display());
    ExitCode::SUCCESS
}

fn steps(folder: &Path, blocks: u32) -> Vec<Vec<String>> {
    let at = |name: &str| folder.join(name).display().to_string();
    let here = folder.display().to_string();
    let blocks = blocks.to_string();
    let lines: [&[&str]; 6] = [
        &["plan", "sets", "--out", &here, "--blocks", &blocks, "--memory", "1024", "--regime", "boosted,throttled"],
        &["build", &here],
        &["bench", "--out", &here],
        &["analyze", &at("plan.json"), &at("samples.jsonl"), "--out", &at("analysis.json")],
        &["report", &at("analysis.json"), "--out", &here],
        &["report", &at("analysis.json")],
    ];
    lines.iter().map(|line| line.iter().map(|word| (*word).to_owned()).collect()).collect()
}
