//! The commands around a plan, as a person or a script calls them.

#![allow(
    clippy::unwrap_used,
    reason = "the helpers of a test fail like a test, but only functions marked as tests are exempt by themselves"
)]

use std::path::Path;
use std::process::{Command, Output};

use matrix::plan::{Plan, file};
use serde_json::Value;

fn matrix(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_matrix")).args(arguments).output().unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

fn planned(folder: &Path, arguments: &[&str]) -> Plan {
    let output = matrix(&[&["plan"], arguments, &["--out", folder.to_str().unwrap()]].concat());
    assert!(output.status.success(), "{}", text(&output.stderr));
    file::read(folder).unwrap()
}

#[test]
fn a_plan_is_written_for_the_other_commands() {
    let folder = tempfile::tempdir().unwrap();
    let plan = planned(folder.path(), &["sets", "--seed", "7", "--blocks", "12", "--memory", "128,1024"]);
    assert_eq!((plan.seed, plan.blocks, plan.conditions.len()), (7, 12, 2));
    assert_eq!(plan.cells[0].id, "baseline");
    let again = planned(folder.path(), &["sets", "--seed", "7", "--blocks", "12", "--memory", "128,1024"]);
    assert_eq!(again, plan, "the same words make the same plan");
}

#[test]
fn shards_without_blocks_and_repeated_conditions_are_left_out_with_a_note() {
    let words =
        ["plan", "cells", "--cells", "ship", "--dry-run", "--blocks", "3", "--shards", "8", "--format", "github"];
    let output = matrix(&[&words[..], &["--memory", "128,512,128", "--regime", "boosted,boosted"]].concat());
    let said = text(&output.stderr);
    assert!(output.status.success(), "{said}");
    let shards: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(shards, serde_json::json!({ "shard": ["0/3", "1/3", "2/3"] }));
    assert!(said.contains("note: --shards 8 is cut to 3"), "{said}");
    assert!(said.contains("note: --memory names 128 more than once; each is measured once"), "{said}");
    assert!(said.contains("note: --regime names boosted more than once"), "{said}");
    assert_eq!(said.matches("128 MB, boosted init").count(), 1, "{said}");
    let output = matrix(&["plan", "cells", "--cells", "ship", "--dry-run", "--memory", "128,512"]);
    assert!(!text(&output.stdout).contains("more than once"));
}

#[test]
fn a_dry_run_shows_everything_and_writes_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("out");
    let words =
        ["plan", "resolution-4", "--factors", "lazy-intake,tag-cache", "--dry-run", "--format", "json", "--out"];
    let output = matrix(&[&words[..], &[out.to_str().unwrap()]].concat());
    assert!(output.status.success(), "{}", text(&output.stderr));
    let document: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(document["plan"]["factors"], serde_json::json!(["lazy-intake", "tag-cache"]));
    assert_eq!(document["estimate"]["builds"], 4);
    assert_eq!(document["written"], Value::Null);
    assert!(!out.exists());
}

#[test]
fn what_cannot_be_planned_ends_with_status_2() {
    for words in [
        &["plan", "full"][..],
        &["plan", "cells"],
        &["plan", "sets", "--shard", "3/3"],
        &["plan", "sets", "--shards", "3", "--dry-run"],
    ] {
        let output = matrix(words);
        assert_eq!(output.status.code(), Some(2), "{words:?}");
        assert!(text(&output.stderr).contains("error: "), "{words:?}");
    }
}

#[test]
fn a_plan_that_does_not_fit_is_found_before_anything_is_built() {
    let folder = tempfile::tempdir().unwrap();
    let mut plan = planned(folder.path(), &["sets"]);
    plan.cells[0].levels.insert("pipelined-next".to_owned(), "on".to_owned());
    plan.cells[1].levels.insert("target-cpu".to_owned(), "x86-64-v3".to_owned());
    file::write(&plan, folder.path()).unwrap();
    let folder = folder.path().to_str().unwrap();
    for command in ["build", "check"] {
        let output = matrix(&[command, folder]);
        let said = text(&output.stderr);
        assert_eq!(output.status.code(), Some(if command == "build" { 2 } else { 1 }), "{said}");
        assert!(said.contains("cell baseline: pipelined-next needs raw-control-plane"), "{said}");
        assert!(said.contains("SIGILL"), "{said}");
    }
}

#[test]
fn the_manifest_can_be_read_by_programs() {
    let output = matrix(&["list", "--json"]);
    let document: Value = serde_json::from_slice(&output.stdout).unwrap();
    let named = |name: &str| {
        document["factor"].as_array().unwrap().iter().find(|factor| factor["name"] == name).unwrap().clone()
    };
    assert_eq!(named("late-runtime")["requires"], serde_json::json!(["raw-control-plane"]));
    assert_eq!(named("jemalloc-narenas")["requires"], serde_json::json!(["allocator=jemalloc"]));
    assert!(text(&matrix(&["docs"]).stdout).starts_with("| Switch |"));
}

#[test]
fn the_help_explains_every_design_by_its_name() {
    let output = Command::new(env!("CARGO_BIN_EXE_matrix")).args(["plan", "--help"]).output().unwrap();
    let help = text(&output.stdout);
    let (_, rest) = help.split_once("[possible values: ").unwrap();
    let values: Vec<&str> = rest.split_once(']').unwrap().0.split(',').map(str::trim).collect();
    let (_, rest) = help.split_once("\nDesigns:\n").unwrap();
    let rows = rest.lines().take_while(|line| !line.is_empty()).filter_map(|line| line.strip_prefix("  "));
    let explained: Vec<&str> =
        rows.filter(|row| !row.starts_with(' ')).filter_map(|row| row.split(' ').next()).collect();
    assert_eq!(explained, values);
}

#[test]
fn a_plan_that_can_decide_nothing_warns_before_anything_is_built() {
    let shown = |words: &[&str]| {
        let output = matrix(&[&["plan"], words, &["--dry-run"]].concat());
        assert!(output.status.success(), "{}", text(&output.stderr));
        text(&output.stdout)
    };
    let warning = "note: WARNING: every difference in time will be inconclusive";
    let few = shown(&["sets", "--blocks", "5"]);
    assert!(few.contains(warning) && few.contains("fewer than 6 blocks give no verdict"), "{few}");
    assert!(!shown(&["sets", "--blocks", "6"]).contains(warning));
    // What is started for its payloads alone has no times to compare.
    assert!(!shown(&["subsets", "--blocks", "1"]).contains(warning));
    assert!(!shown(&["sets", "--blocks", "2", "--fault", "intake,telemetry"]).contains(warning));
}

/// A repository with the script that plans in hosted CI, and the output of a command in it.
fn repository(folder: &Path) -> impl Fn(&str) -> (bool, String) {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    for (file, content) in [
        ("src/main.rs", "1"),
        ("matrix/src/build/run.rs", "1"),
        ("matrix/src/workspace/mod.rs", "1"),
        ("docs/page.md", "1"),
        ("README.md", "1"),
    ] {
        std::fs::create_dir_all(folder.join(file).parent().unwrap()).unwrap();
        std::fs::write(folder.join(file), content).unwrap();
    }
    std::fs::create_dir_all(folder.join("ci/lib")).unwrap();
    std::fs::write(folder.join(".gitignore"), "target\n").unwrap();
    for name in ["ci/lib/groups.sh", "ci/lib/sources.sh", "ci/lib/target.sh"] {
        std::fs::write(folder.join(name), std::fs::read(root.join(name)).unwrap()).unwrap();
    }
    matrix::executable::copy(&root.join("ci/ablation"), &folder.join("ci/ablation")).unwrap();
    let folder = folder.to_owned();
    move |line: &str| {
        let output = Command::new("bash")
            .args(["-c", line])
            .current_dir(&folder)
            .envs([
                ("GIT_AUTHOR_NAME", "a"),
                ("GIT_AUTHOR_EMAIL", "a@b"),
                ("GIT_COMMITTER_NAME", "a"),
                ("GIT_COMMITTER_EMAIL", "a@b"),
            ])
            .env("GITHUB_OUTPUT", folder.join("target/output"))
            .env("BASE", "HEAD^")
            .output()
            .unwrap();
        (output.status.success(), text(&output.stdout) + &text(&output.stderr))
    }
}

#[test]
fn a_change_that_does_not_touch_the_program_is_recognised_before_anything_is_built() {
    let folder = tempfile::tempdir().unwrap();
    let sh = repository(folder.path());
    let commit = "git add --all && git commit --quiet --message x";
    let (done, said) = sh(&format!(
        "git init --quiet && mkdir target && {commit} && echo 2 >docs/page.md && echo 2 >README.md && {commit}"
    ));
    assert!(done, "{said}");
    let (done, said) = sh("ci/ablation plan 2 github && cat target/output");
    assert!(done && said.contains("{\"shard\":[]}\n") && said.contains("unchanged=true\n"), "{said}");
    let (done, said) = sh("ci/ablation plan 2 gitlab");
    assert!(done && said.contains("nothing but documents differs from HEAD^"), "{said}");
    // The branch that is merged into has moved on since.
    let (done, said) = sh(&format!(
        "git switch --quiet --create moved HEAD^ && mkdir -p src && echo 2 >src/moved.rs && {commit} && git switch --quiet -"
    ));
    assert!(done, "{said}");
    let (done, said) = sh("BASE=moved ci/ablation plan 2 github");
    assert!(done && said.contains("nothing but documents differs from moved"), "{said}");
    let (done, said) = sh("ci/ablation gate");
    assert!(done && said.contains("nothing was measured"), "{said}");
    for file in
        ["src/main.rs", "matrix/src/build/run.rs", "matrix/src/workspace/mod.rs", "matrix/fips.toml", "Cargo.lock"]
    {
        let (done, said) =
            sh(&format!("echo {file} >{file} && {commit} && source ci/lib/sources.sh && same_program HEAD^"));
        assert!(!done, "{file} goes into the program: {said}");
        let (done, said) = sh("source ci/lib/sources.sh && only_documents_differ HEAD^");
        assert!(!done, "{file} is no document: {said}");
    }
}

#[test]
fn the_base_is_compared_with_all_that_starts_it() {
    // In the place of cargo: the tool is there, and that of the base has built a launcher with its agent.
    const CARGO: &str = r#"#!/bin/bash
case "$*" in
"build "*) ;;
*"matrix build ship")
    [[ -z ${NO_BASE:-} ]] || exit 1
    mkdir -p target/ship
    for name in datadog-agent agent; do printf '#!/bin/sh\n# %s\n' $name >target/ship/$name && chmod +x target/ship/$name; done
    echo target/ship/datadog-agent | sed "s|^|$PWD/|"
    ;;
*) exec "$REAL_CARGO" "$@" ;;
esac
"#;
    let folder = tempfile::tempdir().unwrap();
    let sh = repository(folder.path());
    let at = |name: &str| folder.path().join(name);
    std::fs::create_dir_all(at("target/path")).unwrap();
    std::fs::create_dir_all(at("target/debug")).unwrap();
    matrix::executable::write(&at("target/path/cargo"), CARGO).unwrap();
    for program in [env!("CARGO_BIN_EXE_matrix"), env!("CARGO_BIN_EXE_std-floor")] {
        let name = Path::new(program).file_name().unwrap();
        matrix::executable::copy(Path::new(program), &at("target/debug").join(name)).unwrap();
    }
    // This repository cannot build it.
    matrix::executable::copy(matrix::build::yardstick::for_tests().unwrap(), &at("target/debug/floor")).unwrap();
    let manifest = Path::new(env!("CARGO_MANIFEST_DIR")).join("optimizations.toml");
    std::fs::write(at("matrix/optimizations.toml"), std::fs::read(manifest).unwrap()).unwrap();
    let commit = "git add --all && git commit --quiet --message x";
    let (done, said) = sh(&format!("git init --quiet && {commit} && echo 2 >matrix/src/build/run.rs && {commit}"));
    assert!(done, "{said}");
    let call = |line: &str| {
        let path = "export REAL_CARGO=$(command -v cargo) PATH=$PWD/target/path:$PATH";
        sh(&format!("unset CARGO CARGO_TARGET_DIR; {path}; {line}"))
    };
    let in_advance =
        "ci/ablation base HEAD^ target/ahead && NO_BASE=1 BASE_PROGRAMS=target/ahead ci/ablation plan 2 github";
    for line in ["ci/ablation plan 2 github", in_advance] {
        let (done, said) = call(line);
        assert!(done && said.contains("on this machine"), "{line}: {said}");
        let (_, files) = sh("tar --list --file target/ablation/plan.tar");
        for file in ["extensions/datadog-agent", "bottlecap/agent"] {
            assert!(files.contains(&format!("plan/externals/main/{file}\n")), "{file} is not in:\n{files}");
        }
        for file in ["optimizations.toml", "floor", "std-floor"] {
            assert!(files.contains(&format!("tool/{file}\n")), "{file} is not in:\n{files}");
        }
    }
    let other_cell = "CELL=ship-agent NO_BASE=1 BASE_PROGRAMS=target/ahead ci/ablation plan 2 github";
    assert!(!call(other_cell).0, "a program of another cell was taken");
}
