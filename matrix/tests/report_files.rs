//! From the files of an experiment to those of a report.
#![allow(clippy::unwrap_used, reason = "a test that can't go on has failed")]

use crate::report_support;

use std::path::Path;

use crate::test_arguments::parse;
use matrix::build::BuildRecord;
use matrix::commands::report::{Arguments, run};
use matrix::report::{Error, Experiment};
use tempfile::TempDir;

fn arguments(words: &[&str]) -> Arguments {
    parse(words)
}

/// The files as the earlier commands leave them.
fn left(directory: &Path, experiment: &Experiment) -> String {
    let analysis = directory.join("analysis.json");
    std::fs::write(&analysis, serde_json::to_string(&experiment.analysis).unwrap()).unwrap();
    if let Some(run) = &experiment.run {
        std::fs::write(directory.join("run.json"), serde_json::to_string(run).unwrap()).unwrap();
    }
    std::fs::write(directory.join("plan.json"), serde_json::to_string(&experiment.plan).unwrap()).unwrap();
    if !experiment.builds.is_empty() {
        let lines: Vec<_> = experiment.builds.iter().map(|built| serde_json::to_string(built).unwrap()).collect();
        std::fs::write(directory.join("builds.jsonl"), lines.join("\n")).unwrap();
    }
    analysis.to_str().unwrap().to_owned()
}

/// `ExitCode` can only be compared as what it shows.
fn succeeded(code: std::process::ExitCode) -> bool {
    format!("{code:?}") == format!("{:?}", std::process::ExitCode::SUCCESS)
}

#[test]
fn a_directory_gets_a_file_for_every_format() {
    let directory = TempDir::new().unwrap();
    let analysis = left(directory.path(), &report_support::troubled());
    let out = directory.path().join("report");
    assert!(succeeded(run(&arguments(&[&analysis, "--out", out.to_str().unwrap()]))));
    let mut names: Vec<_> =
        std::fs::read_dir(&out).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    assert_eq!(
        names,
        [
            "report.bencher.json",
            "report.benchstat.txt",
            "report.csv",
            "report.html",
            "report.json",
            "report.md",
            "report.txt"
        ]
    );
    // The list of builds lies beside the analysis and was found.
    assert!(std::fs::read_to_string(out.join("report.txt")).unwrap().contains("ship-static could not be built"));
}

#[test]
fn a_directory_gets_only_the_formats_that_were_asked_for() {
    let directory = TempDir::new().unwrap();
    let analysis = left(directory.path(), &report_support::plausible());
    let out = directory.path().join("report");
    assert!(succeeded(run(&arguments(&[&analysis, "--format", "html,csv", "--out", out.to_str().unwrap()]))));
    assert!(out.join("report.html").exists() && out.join("report.csv").exists() && !out.join("report.md").exists());
}

#[test]
fn several_formats_do_not_fit_on_standard_output() {
    let directory = TempDir::new().unwrap();
    let analysis = left(directory.path(), &report_support::plausible());
    assert!(!succeeded(run(&arguments(&[&analysis, "--format", "html,csv"]))));
}

#[test]
fn what_is_read_is_what_was_written() {
    let directory = TempDir::new().unwrap();
    let mut experiment = report_support::troubled();
    experiment.run = Some(matrix::measure::Run { refused: Vec::new(), ..report_support::run_of(7) });
    let read = Experiment::read(&arguments(&[&left(directory.path(), &experiment)]).files).unwrap();
    assert_eq!((read.plan, read.builds, read.run), (experiment.plan, experiment.builds, experiment.run));
    // The last bit of a number may be lost on the way to text and back.
    let text = serde_json::to_string(&experiment.analysis).unwrap();
    assert_eq!(read.analysis, serde_json::from_str(&text).unwrap());
}

#[test]
fn the_later_of_two_builds_of_a_cell_holds() {
    let directory = TempDir::new().unwrap();
    let mut experiment = report_support::troubled();
    let again = BuildRecord { failure: None, program: Some("/tmp/static".into()), ..experiment.builds[0].clone() };
    experiment.builds.push(again.clone());
    let read = Experiment::read(&arguments(&[&left(directory.path(), &experiment)]).files).unwrap();
    assert_eq!(read.builds, [experiment.builds[1].clone(), again]);
}

#[test]
fn a_file_of_another_version_is_refused() {
    let directory = TempDir::new().unwrap();
    let mut experiment = report_support::plausible();
    experiment.plan.schema += 1;
    let error = Experiment::read(&arguments(&[&left(directory.path(), &experiment)]).files).unwrap_err();
    assert!(matches!(&error, Error::Schema { path, .. } if path.ends_with("plan.json")), "{error}");
}

#[test]
fn a_file_that_is_something_else_is_named() {
    let directory = TempDir::new().unwrap();
    let analysis = left(directory.path(), &report_support::plausible());
    std::fs::write(&analysis, "[]").unwrap();
    let error = Experiment::read(&arguments(&[&analysis]).files).unwrap_err();
    assert!(error.to_string().ends_with("analysis.json is not an analysis"), "{error}");
    std::fs::remove_file(&analysis).unwrap();
    let error = Experiment::read(&arguments(&[&analysis]).files).unwrap_err();
    assert!(matches!(error, Error::Read { .. }), "{error}");
}
