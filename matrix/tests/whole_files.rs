//! Files that cannot be read or written: the same status everywhere, an error that says its sentence once, and no half file.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test that can't go on has failed, and the simulated runs have a known shape"
)]

use std::fs::{self, OpenOptions};
use std::path::Path;
use std::process::{Command, Output};

use crate::gate_support::*;
use matrix::executable;
use matrix::plan::file;

const MATRIX: &str = env!("CARGO_BIN_EXE_matrix");

/// A run that all commands can work with.
fn run() -> Run {
    let run = Run::new(&usual(), &calm(&usual()));
    assert_eq!(run.analyze().0, 0);
    fs::create_dir(run.path("shard")).unwrap();
    for name in ["plan.json", "samples.jsonl"] {
        fs::write(run.path("shard").join(name), fs::read(run.path(name)).unwrap()).unwrap();
    }
    run
}

const GATE: [&str; 8] =
    ["gate", "analysis.json", "--budgets", "budgets.toml", "--candidate", "ship", "--reference", "main"];

/// What writes files, with the file that it writes.
fn writers() -> Vec<(Vec<&'static str>, &'static str)> {
    let gate = |rest: &[&'static str]| [&GATE[..], rest].concat();
    vec![
        (vec!["analyze", "plan.json", "samples.jsonl", "--out", "out/analysis.json"], "analysis.json"),
        (vec!["report", "analysis.json", "--format", "html", "--out", "out"], "report.html"),
        (vec!["merge", "shard", "--out", "out"], "plan.json"),
        (vec!["plan", "sets", "--out", "out"], "plan.json"),
        (gate(&["--out", "out"]), "gate.md"),
        (gate(&["--junit", "out/gate.xml"]), "gate.xml"),
        (gate(&["--save-baseline", "out/baseline.json"]), "baseline.json"),
    ]
}

fn text(output: &Output) -> String {
    String::from_utf8_lossy(&[&output.stdout[..], &output.stderr[..]].concat()).into_owned()
}

/// Ends as a file that cannot be written does.
fn assert_unwritten(output: &Output, words: &[&str]) {
    let said = text(output);
    assert_eq!(output.status.code(), Some(6), "{words:?}: {said}");
    assert!(said.contains("cannot be written\n  because "), "{words:?}: {said}");
    assert!(!said.contains("panicked"), "{words:?}: {said}");
}

#[test]
fn full_disk_keeps_the_previous_file_or_none() {
    for there in [false, true] {
        for (words, name) in writers() {
            let run = run();
            fs::create_dir(run.path("out")).unwrap();
            let file = run.path("out").join(name);
            // A plan with samples beside it would be left alone for another reason.
            if there {
                fs::write(&file, "as before").unwrap();
            }
            // No file can have more than so many blocks of 512 bytes, and a write that goes beyond fails as on a full disk.
            let output = Command::new("sh")
                .args(["-c", "trap '' XFSZ; ulimit -f 0; exec \"$0\" \"$@\"", MATRIX])
                .args(&words)
                .current_dir(run.path(""))
                .output()
                .unwrap();
            assert_unwritten(&output, &words);
            assert_eq!(fs::read_to_string(&file).ok().as_deref(), there.then_some("as before"), "{words:?}");
            let left: Vec<_> = fs::read_dir(run.path("out")).unwrap().map(|entry| entry.unwrap().file_name()).collect();
            assert_eq!(left.len(), usize::from(there), "{words:?} leaves {left:?}");
        }
    }
}

#[test]
fn a_full_device_is_an_error_wherever_it_is_written_to() {
    let run = run();
    for words in [
        vec!["analyze", "plan.json", "samples.jsonl", "--out", "/dev/full"],
        [&GATE[..], &["--junit", "/dev/full"]].concat(),
        [&GATE[..], &["--save-baseline", "/dev/full"]].concat(),
    ] {
        assert_unwritten(&Command::new(MATRIX).args(&words).current_dir(run.path("")).output().unwrap(), &words);
    }
    for words in [
        GATE.to_vec(),
        vec!["analyze", "plan.json", "samples.jsonl"],
        vec!["report", "analysis.json"],
        vec!["plan", "sets", "--dry-run"],
        vec!["plan", "sets", "--dry-run", "--format", "json"],
        vec!["list"],
        vec!["docs"],
        vec!["check"],
        vec!["invoke", "null", "--no-extension"],
        vec!["invoke", "null", "--no-extension", "--json"],
        vec!["inspect", MATRIX],
        vec!["inspect", MATRIX, "--json"],
    ] {
        let full = OpenOptions::new().write(true).open("/dev/full").unwrap();
        // What looks at the repository is started in it.
        let here = if words == ["check"] { Path::new(env!("CARGO_MANIFEST_DIR")).to_owned() } else { run.path("") };
        let output = Command::new(MATRIX).args(&words).current_dir(here).stdout(full).output().unwrap();
        assert_unwritten(&output, &words);
    }
}

#[test]
fn a_start_that_cannot_be_written_down_ends_as_a_file_that_cannot_be_written() {
    let folder = tempfile::tempdir().unwrap();
    let (out, program) = (folder.path().join("out"), folder.path().join("program"));
    executable::write(&program, "#!/bin/sh\nexit 1\n").unwrap();
    let external = format!("main={}", program.display());
    let words =
        ["plan", "cells", "--cells", "main", "--external", &external, "--blocks", "99", "--trust-store", "host"];
    assert!(Command::new(MATRIX).args(words).arg("--out").arg(&out).output().unwrap().status.success());
    fs::write(out.join("builds.jsonl"), "").unwrap();
    // Without the floor, which is larger than what may be written here.
    let mut plan = file::read(&out).unwrap();
    plan.cells.retain(|cell| cell.id != "floor");
    file::write(&plan, &out).unwrap();
    // Enough for everything but the lines of so many starts.
    let limited = "trap '' XFSZ; ulimit -f 32; exec \"$0\" bench --out \"$1\"";
    let output = Command::new("sh").args(["-c", limited, MATRIX]).arg(&out).output().unwrap();
    let said = text(&output);
    assert_eq!(output.status.code(), Some(6), "{said}");
    assert!(said.contains("a start cannot be recorded; the same command goes on from here\n  because "), "{said}");
}

#[test]
fn a_file_that_cannot_be_read_and_one_that_is_wrong_have_statuses_of_their_own() {
    let run = run();
    run.write("wrong", "{");
    fs::create_dir(run.path("empty")).unwrap();
    for words in [
        &["analyze", "FILE", "samples.jsonl"][..],
        &["report", "FILE"],
        &["report", "analysis.json", "FILE"],
        &["gate", "FILE", "--budgets", "budgets.toml"],
        &["gate", "analysis.json", "--budgets", "FILE"],
        &["gate", "analysis.json", "--budgets", "budgets.toml", "--baseline", "FILE"],
        &["bench", "--plan", "FILE", "--out", "empty"],
        &["build", "./FILE"],
        &["check", "FILE"],
        &["inspect", "FILE"],
        &["invoke", "FILE"],
        &["invoke", "null", "--layer", "FILE"],
        &["invoke", "null", "--extension", "FILE"],
        &["invoke", "null", "--opt", "FILE"],
    ] {
        for (file, status) in [("absent", 6), ("wrong", 2)] {
            let words: Vec<String> = words.iter().map(|word| word.replace("FILE", file)).collect();
            let here =
                if words[0] == "check" { Path::new(env!("CARGO_MANIFEST_DIR")).to_owned() } else { run.path("") };
            let words: Vec<String> = if words[0] == "check" {
                vec![words[0].clone(), run.path(file).to_str().unwrap().to_owned()]
            } else {
                words
            };
            let output = Command::new(MATRIX).args(&words).current_dir(here).output().unwrap();
            assert_eq!(output.status.code(), Some(status), "{words:?}: {}", text(&output));
            assert_says_once(&output);
        }
    }
    // Elsewhere than in the repository there is nothing to look at.
    assert_eq!(run.matrix(&["check"]).0, 6);
    for words in [
        &["layer", "--set", "nobody", "--out", "x.zip"][..],
        &["plan", "full"],
        &["plan", "cells", "--cells", "nobody"],
    ] {
        let output = Command::new(MATRIX).args(words).current_dir(run.path("")).output().unwrap();
        assert_eq!(output.status.code(), Some(2), "{words:?}: {}", text(&output));
        assert_says_once(&output);
    }
}

/// No sentence of an error is in another one.
fn assert_says_once(output: &Output) {
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    let sentences: Vec<&str> = said
        .lines()
        .map(|line| line.trim().trim_start_matches("error: ").trim_start_matches("because "))
        .filter(|line| line.len() > 12)
        .collect();
    for (index, sentence) in sentences.iter().enumerate() {
        let twice = sentences.iter().enumerate().any(|(other, text)| other != index && text.contains(sentence));
        assert!(!twice, "{said}");
    }
}

#[test]
fn a_line_in_the_middle_that_cannot_be_read_is_refused_by_analyze_and_by_merge() {
    let run = run();
    let whole = fs::read_to_string(run.path("samples.jsonl")).unwrap();
    let lines: Vec<&str> = whole.lines().collect();
    let cut = &lines[0][..40];
    let middle = [&[cut], &lines[1..]].concat().join("\n") + "\n";
    // What `cat` makes of a file whose last line was cut off, and another one.
    let run_together = format!("{}{}\n", cut, lines[1..].join("\n"));
    for (samples, place) in [(middle, 1), (run_together, 1)] {
        run.write("samples.jsonl", &samples);
        fs::write(run.path("shard/samples.jsonl"), &samples).unwrap();
        for words in [&["analyze", "plan.json", "samples.jsonl"][..], &["merge", "shard", "--out", "merged"]] {
            let (status, said) = run.matrix(words);
            assert_eq!(status, 2, "{words:?}: {said}");
            assert!(said.contains(&format!("samples.jsonl:{place} is not a record of this version")), "{said}");
        }
    }
    // The last line of a run that was interrupted is no start.
    run.write("samples.jsonl", &format!("{whole}{cut}"));
    let (status, said) = run.analyze();
    assert_eq!(status, 0, "{said}");
    assert!(said.contains("was left unfinished by an interrupted run, and is left out"), "{said}");
}

#[test]
fn merge_refuses_an_empty_folder_and_a_cell_without_a_start() {
    let run = run();
    fs::create_dir(run.path("none")).unwrap();
    fs::write(run.path("none/plan.json"), fs::read(run.path("plan.json")).unwrap()).unwrap();
    run.write("none/samples.jsonl", "");
    let merged =
        |shards: &[&str], rest: &[&str]| run.matrix(&[&["merge"], shards, &["--out", "merged"], rest].concat());
    let (status, said) = merged(&["shard", "none"], &[]);
    assert_eq!(status, 2, "{said}");
    assert!(said.contains("none has no start"), "{said}");
    assert_eq!(merged(&["shard", "none"], &["--partial"]).0, 0);
    let samples: Vec<_> = calm(&usual()).into_iter().filter(|start| start.cell != "again").collect();
    let lines: String = samples.iter().map(|sample| serde_json::to_string(sample).unwrap() + "\n").collect();
    run.write("shard/samples.jsonl", &lines);
    let (status, said) = merged(&["shard"], &[]);
    assert_eq!(status, 2, "{said}");
    assert!(said.contains("no folder has a start of again"), "{said}");
    // A cell that could not be built has none to be missed.
    let failed = r#"{"schema":3,"cell":"ship","program":null,"agent":null,"sha256":"","bytes":0,"seconds":1.0,"cached":false,"same_as":null,"failure":{"command":"","output":""}}"#;
    run.write("shard/builds.jsonl", failed);
    let lines: String = samples
        .iter()
        .filter(|start| start.cell != "ship")
        .map(|sample| serde_json::to_string(sample).unwrap() + "\n")
        .collect();
    run.write("shard/samples.jsonl", &lines);
    let (status, said) = merged(&["shard"], &[]);
    assert_eq!(status, 0, "{said}");
}
