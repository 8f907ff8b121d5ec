//! What hosted CI runs: that its definitions let nothing pass that nobody has judged, and the scripts that only it calls.
#![allow(
    clippy::unwrap_used,
    reason = "the helpers of a test fail like a test, but only functions marked as tests are exempt by themselves"
)]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use matrix::executable;

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
fn gate_job_runs_after_failed_jobs_and_fails_for_them() {
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
    let targets = |named: Option<&str>| {
        let mut command = Command::new("bash");
        command.args(["-euc", "source \"$0\"; cd /; echo \"$target\"; printenv CARGO_TARGET_DIR || echo none"]);
        command.arg(&script).current_dir(&there).env_remove("CARGO_TARGET_DIR");
        let output = command.envs(named.map(|named| ("CARGO_TARGET_DIR", named))).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    };
    let expected = there.join("a/b").display().to_string();
    assert_eq!(targets(Some("a/b")), format!("{expected}\n{expected}\n"));
    assert!(there.join("a/b").is_dir());
    assert_eq!(targets(Some(&expected)), format!("{expected}\n{expected}\n"));
    assert_eq!(targets(None), "target\nnone\n");
    for name in ["ablation", "combinations", "features", "flavours", "fresh", "release", "reproduce", "test"] {
        let text = fs::read_to_string(root().join("ci").join(name)).unwrap();
        assert!(text.contains("\nsource ci/lib/target.sh\n"), "ci/{name}");
    }
}

/// A folder with `ci/ablation` in it, and how that ends there, with what it says. There is no cargo.
fn ablation() -> (tempfile::TempDir, impl Fn(&str) -> (Option<i32>, String)) {
    let folder = tempfile::tempdir().unwrap();
    for file in ["ci/ablation", "ci/lib/groups.sh", "ci/lib/sources.sh", "ci/lib/target.sh"] {
        fs::create_dir_all(folder.path().join(file).parent().unwrap()).unwrap();
        executable::copy(&root().join(file), &folder.path().join(file)).unwrap();
    }
    fs::create_dir(folder.path().join("path")).unwrap();
    executable::write(&folder.path().join("path/cargo"), "#!/bin/sh\nexit 101\n").unwrap();
    let (place, paths) = (folder.path().to_owned(), std::env::var("PATH").unwrap());
    let sh = move |line: &str| {
        let mut command = Command::new("bash");
        command.args(["-euc", line]).current_dir(&place).env_remove("CARGO_TARGET_DIR");
        let output = command.env("PATH", format!("{}:{paths}", place.join("path").display())).output().unwrap();
        let said = [output.stdout, output.stderr].concat();
        (output.status.code(), String::from_utf8_lossy(&said).into_owned())
    };
    (folder, sh)
}

#[test]
fn gate_without_shards_passes_only_for_an_unchanged_plan() {
    let (_folder, sh) = ablation();
    let begin = "rm -rf target/ablation; mkdir -p target/ablation/plan; cd target/ablation; echo '{\"shard\":[\"0/2\"]}' >matrix.yml;";
    let pack = "tar --create --file plan.tar plan; rm -r plan;";
    for failed in [
        String::new(),
        ": >plan.tar;".to_owned(),
        format!("touch plan/plan.json; {pack}"),
        format!("touch plan/unchanged; head -c 5000 /dev/urandom >plan/other; {pack} truncate --size 100 plan.tar;"),
    ] {
        let (status, said) = sh(&format!("{begin} {failed} cd ../..; ci/ablation gate"));
        assert!(
            status == Some(6) && said.contains("there is no target/ablation/shards"),
            "{failed}: {status:?}: {said}"
        );
    }
    let (status, said) = sh(&format!("{begin} touch plan/unchanged; {pack} cd ../..; ci/ablation gate"));
    assert!(status == Some(0) && said.contains("nothing but documents differs"), "{status:?}: {said}");
    let (status, said) = sh("rm -r target/ablation; ci/ablation gate");
    assert_eq!(status, Some(6), "{said}");
}

#[test]
fn a_folder_that_the_script_has_not_made_is_not_emptied() {
    let (folder, sh) = ablation();
    let commit = "git -c user.name=a -c user.email=a@b commit --quiet --allow-empty --message x";
    let (status, said) = sh(&format!("git init --quiet; {commit}; mkdir mine; echo precious >mine/file"));
    assert_eq!(status, Some(0), "{said}");
    let (status, said) = sh("ci/ablation base HEAD mine");
    assert!(status == Some(2) && said.contains("mine has files in it"), "{said}");
    assert_eq!(fs::read_to_string(folder.path().join("mine/file")).unwrap(), "precious\n");
    // Its own is, even if it was interrupted in it. Nothing can be built here.
    for line in ["ci/ablation base HEAD ahead", "touch ahead/old; ci/ablation base HEAD ahead"] {
        assert!(!sh(line).1.contains("files in it"), "{line}");
        assert!(folder.path().join("ahead").is_dir() && !folder.path().join("ahead/old").exists());
    }
}

#[test]
fn a_push_without_a_known_commit_before_it_is_compared_with_the_parent() {
    let text = workflow("ablation-privileged.github.yml");
    let step = block(&text, "      - id: plan");
    for line in ["          BEFORE: ${{ github.event.before }}", "          BASE: ${{ inputs.base }}"] {
        assert!(step.contains(&line), "{step:?}");
    }
    let script = block(&text, "        run: |").join("\n");
    assert!(script.contains("ci/ablation plan 1 github"), "{script}");
    let (folder, sh) = ablation();
    executable::write(&folder.path().join("ci/ablation"), "#!/bin/sh\necho \"base $BASE\"\n").unwrap();
    let commit = "git -c user.name=a -c user.email=a@b commit --quiet --allow-empty --message x";
    let (status, said) = sh(&format!("git init --quiet; {commit}; {commit}; git rev-parse HEAD"));
    assert_eq!(status, Some(0), "{said}");
    let (known, unknown) = (said.lines().last().unwrap(), "0123456789012345678901234567890123456789");
    let created = "0000000000000000000000000000000000000000";
    for (base, before, expected) in
        [("", known, known), ("", created, "HEAD^"), ("", unknown, "HEAD^"), ("", "", "HEAD^"), ("v1", "", "v1")]
    {
        let (status, said) = sh(&format!("export ARGUMENTS= BASE='{base}' BEFORE='{before}'\n{script}"));
        assert_eq!((status, said), (Some(0), format!("base {expected}\n")), "{base} {before}");
    }
}

/// What `ci/bencher` says with this token, and the folder with what it has sent, if it has.
fn sent(token: Option<&str>) -> (String, tempfile::TempDir) {
    // In the place of curl: it keeps what it is told, by words, in the file of a header, and as its input.
    const CURL: &str = r#"#!/bin/bash
printf '%s\n' "$@" >"$FOLDER/words"
for word; do
    [[ $word != @/* ]] || cat "${word#@}" >"$FOLDER/header"
done
cat >"$FOLDER/body"
"#;
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    fs::write(at("report.json"), "{\"ship\":{\"ready\":{\"value\":1.5}}}\n").unwrap();
    executable::write(&at("curl"), CURL).unwrap();
    let paths = format!("{}:{}", folder.path().display(), std::env::var("PATH").unwrap());
    let mut command = Command::new(root().join("ci/bencher").canonicalize().unwrap());
    command.arg("report.json").current_dir(folder.path()).env("PATH", paths).env("FOLDER", folder.path());
    command.env_remove("BENCHER_API_TOKEN").env_remove("BENCHER_HOST").env("BENCHER_PROJECT", "cold-start");
    command.env("BENCHER_BRANCH", "a \"branch\"").env("BENCHER_HASH", "abc").env("BENCHER_TESTBED", "runner");
    let output = command.envs(token.map(|token| ("BENCHER_API_TOKEN", token))).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    (String::from_utf8(output.stdout).unwrap(), folder)
}

#[test]
fn a_report_reaches_bencher_and_the_token_no_command_line() {
    let (said, folder) = sent(Some("secret-token"));
    assert_eq!(said, "ci/bencher: sent to the project cold-start\n");
    let read = |name: &str| fs::read_to_string(folder.path().join(name)).unwrap();
    let words = read("words");
    assert!(!words.contains("secret-token"), "every process sees it: {words}");
    assert!(words.contains("\nhttps://api.bencher.dev/v0/projects/cold-start/reports\n"), "{words}");
    assert!(words.contains("--fail-with-body\n") && words.contains("--request\nPOST\n"), "{words}");
    assert_eq!(read("header"), "Authorization: Bearer secret-token\n");
    let body: serde_json::Value = serde_json::from_str(&read("body")).unwrap();
    for (name, value) in [("branch", "a \"branch\""), ("hash", "abc"), ("testbed", "runner")] {
        assert_eq!(body[name], value, "{body}");
    }
    assert_eq!(body["settings"], serde_json::json!({ "adapter": "json" }));
    let results: Vec<String> = serde_json::from_value(body["results"].clone()).unwrap();
    let [report] = &results[..] else { panic!("{results:?}") };
    let report: serde_json::Value = serde_json::from_str(report).unwrap();
    assert_eq!(report["ship"]["ready"]["value"], 1.5);
}

#[test]
fn nothing_is_sent_without_a_token() {
    for token in [None, Some("")] {
        let (said, folder) = sent(token);
        assert!(said.contains("nothing is sent"), "{said}");
        assert!(!folder.path().join("words").exists());
    }
}

#[test]
fn what_comes_from_elsewhere_is_pinned_and_keeps_no_credentials() {
    let is_hexadecimal =
        |text: &str, length: usize| text.len() == length && text.bytes().all(|byte| byte.is_ascii_hexdigit());
    let names = [
        "ablation.github.yml",
        "ablation-privileged.github.yml",
        "release.github.yml",
        "ablation.gitlab.yml",
        "shards.gitlab.yml",
    ];
    let there = fs::read_dir(root().join("ci/workflows")).unwrap();
    let there = there.filter(|entry| entry.as_ref().unwrap().path().extension().is_some_and(|ending| ending == "yml"));
    assert_eq!(there.count(), names.len(), "a workflow is missing here");
    for name in names {
        let text = workflow(name);
        let lines: Vec<&str> = text.lines().map(|line| line.trim().trim_start_matches("- ")).collect();
        let mut pins = 0;
        for (index, line) in lines.iter().enumerate() {
            if let Some(image) = line.strip_prefix("image: ") {
                let digest = image.split_once("@sha256:").map(|(_, digest)| digest).unwrap_or_default();
                assert!(is_hexadecimal(digest, 64), "{name}: {line}");
                pins += 1;
            }
            if let Some(action) = line.strip_prefix("uses: ") {
                let (action, commit) = action.split_once('@').unwrap();
                let (commit, version) = commit.split_once(" # v").unwrap();
                assert!(is_hexadecimal(commit, 40) && version.contains('.'), "{name}: {line}");
                pins += 1;
                let mut options = lines[index + 1..]
                    .iter()
                    .take_while(|line| !line.starts_with("uses: ") && !line.starts_with("run: "));
                let keeps = action == "actions/checkout" && options.all(|line| *line != "persist-credentials: false");
                assert!(!keeps, "{name}: {line}");
            }
        }
        assert!(pins > 0, "{name} has neither an image nor an action");
    }
}

#[test]
fn only_the_job_that_comments_may_write_to_a_pull_request_and_it_runs_nothing_of_it() {
    let text = workflow("ablation.github.yml");
    assert_eq!(text.matches(": write").count(), 1, "{text}");
    let job = block(&text, "  comment:").join("\n");
    assert!(job.contains("\n      pull-requests: write") && job.contains("ref: ${{ github.base_ref }}"), "{job}");
    assert!(job.contains("ci/comment \"$NUMBER\" report/gate.md"), "{job}");
}
