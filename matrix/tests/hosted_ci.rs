//! What hosted CI runs: that its definitions let nothing pass that nobody has judged, and the scripts that only it calls.
#![allow(
    clippy::unwrap_used,
    reason = "the helpers of a test fail like a test, but only functions marked as tests are exempt by themselves"
)]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn workflow(name: &str) -> String {
    fs::read_to_string(root().join("ci/workflows").join(name)).unwrap()
}

/// What stands below a line: those after it that are further to the right, or empty.
fn block<'t>(text: &'t str, start: &str) -> Vec<&'t str> {
    let indent = |line: &str| line.len() - line.trim_start().len();
    let mut lines = text.lines().skip_while(|line| *line != start);
    let from = lines.next().map(indent).unwrap();
    lines.take_while(|line| line.is_empty() || indent(line) > from).collect()
}

#[test]
fn agents_are_compared_without_the_launchers_that_hide_them() {
    for name in ["ablation.github.yml", "ablation-privileged.github.yml"] {
        let step = block(&workflow(name), "      - id: plan").join("\n");
        assert!(
            step.contains("ci/ablation plan ") && step.contains("\n          CELL: ship-agent\n"),
            "{name}: {step}"
        );
    }
    let job = block(&workflow("ablation.gitlab.yml"), "plan:").join("\n");
    assert!(job.contains("ci/ablation plan ") && job.contains("\n    CELL: ship-agent\n"), "{job}");
}

#[test]
fn the_gate_runs_whatever_became_of_the_jobs_before_and_fails_first_of_all() {
    let text = workflow("ablation.github.yml");
    let gate = block(&text, "  gate:");
    let key = |name: &str| gate.iter().find_map(|line| line.strip_prefix(&format!("    {name}: "))).unwrap();
    assert_eq!(key("needs"), "[plan, shard]");
    assert!(key("if").starts_with("always()"), "a job that is skipped counts as success: {}", key("if"));
    let mut steps = gate.iter().skip_while(|line| line.trim() != "steps:").skip(1);
    assert!(steps.next().unwrap().starts_with("      - "));
    let first: Vec<_> = steps.take_while(|line| !line.starts_with("      - ")).map(|line| line.trim()).collect();
    let condition = "if: needs.plan.result != 'success' || (needs.shard.result != 'success' && needs.plan.outputs.unchanged != 'true')";
    assert!(first.contains(&condition) && first.contains(&"exit 1"), "{first:?}");
    assert!(!gate.concat().contains("continue-on-error"), "a failure has to be one");
}

#[test]
fn a_relative_target_directory_is_the_same_in_every_folder() {
    let folder = tempfile::tempdir().unwrap();
    let there = folder.path().canonicalize().unwrap();
    let script = root().join("ci/lib/target.sh").canonicalize().unwrap();
    let told = |named: Option<&str>| {
        let mut command = Command::new("bash");
        command.args(["-euc", "source \"$0\"; cd /; echo \"$target\"; printenv CARGO_TARGET_DIR || echo none"]);
        command.arg(&script).current_dir(&there).env_remove("CARGO_TARGET_DIR");
        let output = command.envs(named.map(|named| ("CARGO_TARGET_DIR", named))).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    };
    let expected = there.join("a/b").display().to_string();
    assert_eq!(told(Some("a/b")), format!("{expected}\n{expected}\n"));
    assert!(there.join("a/b").is_dir());
    assert_eq!(told(Some(&expected)), format!("{expected}\n{expected}\n"));
    assert_eq!(told(None), "target\nnone\n");
    for name in ["ablation", "combinations", "features", "flavours", "fresh", "release", "reproduce", "test"] {
        let text = fs::read_to_string(root().join("ci").join(name)).unwrap();
        assert!(text.contains("\nsource ci/lib/target.sh\n"), "ci/{name}");
    }
}
