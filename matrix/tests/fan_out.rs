//! From a plan to several machines and back: what they have measured together is what one of them would have.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test that can't go on has failed")]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use crate::measure_support::{again, directory, external, floor, keys, samples};
use matrix::build::yardstick;
use matrix::executable;
use matrix::plan::{Plan, ShardIndex, file};
use serde_json::{Value, json};

const BLOCKS: u32 = 7;

fn matrix(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_matrix")).args(arguments).output().unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn succeed(arguments: &[&str]) -> Output {
    let output = matrix(arguments);
    assert!(output.status.success(), "{arguments:?}: {}", text(&output.stderr));
    output
}

fn path(path: &Path) -> &str {
    path.to_str().unwrap()
}

/// A plan for three machines, of programs that need not be built; and how CI is told of it.
fn planned(folder: &Path, format: &str) -> Value {
    let blocks = BLOCKS.to_string();
    let words =
        ["plan", "cells", "--cells", "ship", "--blocks", &blocks, "--memory", "512,1769", "--out", path(folder)];
    let output = succeed(&[&words[..], &["--shards", "3", "--format", format]].concat());
    let said = text(&output.stderr);
    assert!(said.contains("cold starts:"), "{said}");
    let plan = file::read(folder).unwrap();
    let program = env!("CARGO_BIN_EXE_std-floor");
    let cells =
        vec![external("main", program, &[]), external("candidate", program, &[]), again("again", "main"), floor()];
    file::write(&Plan { cells, ..plan }, folder).unwrap();
    fs::write(folder.join("builds.jsonl"), "").unwrap();
    serde_json::from_slice(&output.stdout).unwrap()
}

/// Measures with the files of `plan` what belongs to a shard.
fn bench(plan: &Path, shard: Option<&str>, out: &Path) {
    fs::create_dir_all(out).unwrap();
    for name in ["plan.json", "builds.jsonl"] {
        fs::write(out.join(name), fs::read(plan.join(name)).unwrap()).unwrap();
    }
    let rest = shard.map_or_else(Vec::new, |shard| vec!["--shard", shard]);
    succeed(&[&["bench", "--out", path(out)], &rest[..]].concat());
}

fn analyzed(folder: &Path) -> Value {
    let analysis = folder.join("analysis.json");
    let (plan, samples) = (folder.join("plan.json"), folder.join("samples.jsonl"));
    succeed(&["analyze", path(&plan), path(&samples), "--out", path(&analysis)]);
    serde_json::from_slice(&fs::read(analysis).unwrap()).unwrap()
}

#[test]
fn a_run_that_is_spread_over_machines_is_the_run_of_one() {
    let folder = directory();
    let at = |name: &str| folder.path().join(name);
    let shards = planned(&at("plan"), "github");
    assert_eq!(shards, json!({ "shard": ["0/3", "1/3", "2/3"] }));
    let mut folders: Vec<PathBuf> = Vec::new();
    for shard in shards["shard"].as_array().unwrap() {
        folders.push(at(&shard.as_str().unwrap().replace('/', "-of-")));
        bench(&at("plan"), shard.as_str(), folders.last().unwrap());
    }
    let shards: Vec<&str> = folders.iter().map(|folder| path(folder)).collect();
    let merged = at("merged");
    // The order in which they come back does not matter.
    succeed(&["merge", shards[2], shards[0], shards[1], "--out", path(&merged)]);

    // One machine takes the same starts in the same order.
    bench(&at("plan"), None, &at("alone"));
    let (together, alone) = (samples(&merged), samples(&at("alone")));
    assert_eq!(keys(&together), keys(&alone));
    assert_eq!(together.len(), 7 * 4 * 2);
    assert_eq!(file::read(&merged).unwrap(), file::read(&at("alone")).unwrap());

    // And the same starts on one machine are analyzed to the same digit: the lines of `alone`, taken apart and put together.
    let lines = fs::read_to_string(at("alone").join("samples.jsonl")).unwrap();
    for (folder, part) in folders.iter().zip(["0/3", "1/3", "2/3"]) {
        let part: ShardIndex = part.parse().unwrap();
        let own = lines.lines().zip(&alone).filter(|(_, sample)| part.has(sample.block));
        fs::write(folder.join("samples.jsonl"), own.flat_map(|(line, _)| [line, "\n"]).collect::<String>()).unwrap();
    }
    succeed(&["merge", shards[1], shards[2], shards[0], "--out", path(&merged)]);
    assert_eq!(fs::read_to_string(merged.join("samples.jsonl")).unwrap(), lines);
    assert_eq!(analyzed(&merged), analyzed(&at("alone")));

    let analysis = merged.join("analysis.json");
    succeed(&["report", path(&analysis), "--out", path(&merged)]);
    let budgets = at("budgets.toml");
    fs::write(&budgets, "[[budget]]\nregister = { ms = 500 }\nready = { ms = 500 }\n").unwrap();
    let gate = matrix(&["gate", path(&analysis), "--budgets", path(&budgets), "--out", path(&merged)]);
    // A busy machine may be told to be noisy; half a second is nothing that two of the same program could differ by.
    assert!(matches!(gate.status.code(), Some(0 | 11 | 12)), "{}", text(&gate.stderr));
    for name in ["report.html", "report.md", "report.bencher.json", "report.benchstat.txt", "gate.md", "gate.json"] {
        assert!(merged.join(name).exists(), "{name}");
    }
}

#[test]
fn a_program_from_elsewhere_travels_with_the_plan() {
    let folder = directory();
    let at = |name: &str| folder.path().join(name);
    let program = at("program");
    executable::copy(Path::new(env!("CARGO_BIN_EXE_std-floor")), &program).unwrap();
    let external = format!("other={}", path(&program));
    let words = ["plan", "cells", "--cells", "ship", "--blocks", "1", "--trust-store", "host", "--external", &external];
    succeed(&[&words[..], &["--own-payload", "other", "--out", path(&at("plan"))]].concat());
    let plan = file::read(&at("plan")).unwrap();
    let cells: Vec<_> = plan.cells.into_iter().filter(|cell| cell.id == "other").collect();
    assert!(serde_json::to_string(&cells).unwrap().contains(r#""path":"externals/other""#), "{cells:?}");
    file::write(&Plan { cells, ..file::read(&at("plan")).unwrap() }, &at("plan")).unwrap();
    fs::write(at("plan").join("builds.jsonl"), "").unwrap();
    // Another machine has neither the program nor the directory in which the plan was made.
    fs::remove_file(program).unwrap();
    fs::rename(at("plan"), at("moved")).unwrap();
    let (plan, builds) = (at("moved").join("plan.json"), at("moved").join("builds.jsonl"));
    succeed(&["bench", "--plan", path(&plan), "--builds", path(&builds), "--out", path(&at("out"))]);
    assert!(samples(&at("out")).iter().any(|sample| sample.cell == "other" && sample.failure.is_none()));
}

#[test]
fn a_tool_that_travels_with_a_plan_has_its_own_manifest() {
    let folder = directory();
    let at = |name: &str| folder.path().join(name);
    executable::copy(Path::new(env!("CARGO_BIN_EXE_matrix")), &at("matrix")).unwrap();
    let manifest = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("optimizations.toml")).unwrap();
    let listed = || text(&Command::new(at("matrix")).arg("list").output().unwrap().stdout);
    let there = listed();
    fs::write(at("optimizations.toml"), manifest.replace("tag-cache", "cache-of-tags")).unwrap();
    assert!(there.contains("tag-cache") && !there.contains("cache-of-tags"), "{there}");
    assert!(listed().contains("cache-of-tags"), "{}", listed());
}

#[test]
fn a_dry_run_reports_what_this_user_can_measure() {
    let folder = directory();
    planned(folder.path(), "github");
    let plan = folder.path().join("plan.json");
    let before = fs::read_dir(folder.path()).unwrap().count();
    let output = succeed(&["bench", "--plan", path(&plan), "--dry-run"]);
    let said = text(&output.stdout);
    let all = said == "this user can measure all conditions of the plan on this machine\n";
    assert!(all || said.starts_with("this user cannot measure on this machine: "), "{said}");
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), before, "nothing was measured");
    let status = matrix(&["bench", "--plan", path(&plan), "--dry-run", "--require"]).status.code();
    assert_eq!(status, Some(if all { 0 } else { 6 }));
    // One that nobody can produce: no sandbox is started where there is no room for it.
    let output = Command::new(env!("CARGO_BIN_EXE_matrix"))
        .args(["bench", "--plan", path(&plan), "--dry-run", "--require"])
        .env("TMPDIR", "/nonexistent")
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(6), "{}", text(&output.stderr));
    assert!(text(&output.stdout).contains("cannot measure on this machine: 512 MB"), "{}", text(&output.stdout));
}

#[test]
fn steps_of_hosted_ci_after_the_plan_need_no_compiler() {
    let folder = directory();
    let at = |name: &str| folder.path().join(name);
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    for file in ["ci/ablation", "ci/lib/groups.sh", "ci/lib/sources.sh", "ci/lib/target.sh"] {
        fs::create_dir_all(at(file).parent().unwrap()).unwrap();
        executable::copy(&root.join(file), &at(file)).unwrap();
    }
    // As the first step packs it.
    let here = at("target/ablation");
    let [one, two] = ["one", "two"].map(|name| format!("{name}={}", env!("CARGO_BIN_EXE_std-floor")));
    let words = ["plan", "cells", "--cells", "one,two", "--external", &one, "--external", &two, "--blocks", "6"];
    let more = ["--trust-store", "host", "--own-payload", "one", "--own-payload", "two"];
    succeed(&[&words[..], &more, &["--out", path(&here.join("plan"))]].concat());
    fs::write(here.join("plan/builds.jsonl"), "").unwrap();
    fs::create_dir(here.join("tool")).unwrap();
    let manifest = fs::read(root.join("matrix/optimizations.toml")).unwrap();
    fs::write(here.join("tool/optimizations.toml"), manifest).unwrap();
    for program in [env!("CARGO_BIN_EXE_matrix"), env!("CARGO_BIN_EXE_std-floor")] {
        let name = Path::new(program).file_name().unwrap();
        executable::copy(Path::new(program), &here.join("tool").join(name)).unwrap();
    }
    executable::copy(yardstick::for_tests().unwrap(), &here.join("tool/floor")).unwrap();
    fs::write(at("budgets.toml"), "[[budget]]\nregister = { ms = 500 }\nready = { ms = 500 }\n").unwrap();
    fs::create_dir(at("path")).unwrap();
    for name in ["cargo", "rustc"] {
        let script = format!("#!/bin/sh\necho {name} >>'{}'\nexit 1\n", path(&at("called")));
        executable::write(&at("path").join(name), script).unwrap();
    }
    let sh = |line: &str| {
        let paths = format!("{}:{}", path(&at("path")), std::env::var("PATH").unwrap());
        let variables = [("PATH", paths.as_str()), ("BUDGETS", "budgets.toml")];
        Command::new("bash").args(["-c", line]).current_dir(folder.path()).envs(variables).output().unwrap()
    };
    assert!(sh("cd target/ablation && tar --create --file plan.tar plan tool && rm -r plan tool").status.success());
    // Each on a machine of its own.
    for line in ["ci/ablation shard 0/2", "rm -r target/ablation/tool && ci/ablation shard 1/2"] {
        let output = sh(line);
        assert!(output.status.success(), "{}", text(&output.stderr));
    }
    let output = sh("rm -r target/ablation/tool && ci/ablation gate");
    let said = text(&output.stdout) + &text(&output.stderr);
    // Whether a busy machine is quiet enough for a verdict is another matter.
    assert!(matches!(output.status.code(), Some(0 | 11 | 12)), "{said}");
    assert!(here.join("merged/gate.md").exists(), "{said}");
    let samples = fs::read_to_string(here.join("merged/samples.jsonl")).unwrap();
    assert_eq!(samples.matches(r#""cell":"floor""#).count(), 6, "it came with the tool");
    assert!(!at("called").exists(), "{}", fs::read_to_string(at("called")).unwrap());
}

/// As the one that a container's processes are in, which could not share its CPU time out.
#[test]
fn a_control_group_with_processes_is_emptied_into_one_below_it() {
    let mounts = fs::read_to_string("/proc/mounts").unwrap();
    let mounted = mounts.lines().map(|line| line.split(' ').collect::<Vec<_>>()).find(|line| line[2] == "cgroup2");
    let group = mounted.map(|line| Path::new(line[1]).join(format!("test-{}", std::process::id())));
    let Some(group) = group.filter(|group| fs::create_dir(group).is_ok()) else {
        println!("not tested: no control group of the second version can be made here");
        return;
    };
    let script = r#"
        set -euo pipefail
        source ci/lib/groups.sh
        echo $$ >"$1/cgroup.procs"
        sleep 600 & sleep 600 &
        empty_control_group "$1"
        echo "stay: $(<"$1/cgroup.procs")"
        for process in $$ $(jobs -p); do grep --quiet "^$process$" "$1/job/cgroup.procs" && echo moved; done
        kill $(jobs -p)
    "#;
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let output = Command::new("bash").args(["-c", script, "bash", path(&group)]).current_dir(root).output().unwrap();
    // The kernel lets go of the last process a moment after that has ended.
    let removed = (0..500).any(|_| {
        let _ = fs::remove_dir(group.join("job"));
        let gone = fs::remove_dir(&group).is_ok();
        std::thread::sleep(std::time::Duration::from_millis(if gone { 0 } else { 10 }));
        gone
    });
    assert_eq!(text(&output.stdout), "stay: \nmoved\nmoved\nmoved\n", "{}", text(&output.stderr));
    assert!(removed, "{} is still there", group.display());
}

#[test]
fn folders_that_are_not_one_run_are_refused() {
    let folder = directory();
    let at = |name: &str| folder.path().join(name);
    let shards = planned(&at("plan"), "gitlab");
    let numbers = ["0/3", "1/3", "2/3"];
    assert_eq!(shards, json!({ ".shards": { "parallel": { "matrix": [{ "SHARD": numbers }] } } }));
    for (name, shard) in ["a", "b", "c"].into_iter().zip(numbers) {
        bench(&at("plan"), Some(shard), &at(name));
    }
    let merged = |names: &[&str], more: &[&str]| {
        let folders: Vec<PathBuf> = names.iter().map(|name| at(name)).collect();
        let folders: Vec<&str> = folders.iter().map(|folder| path(folder)).collect();
        let out = at("merged");
        let output = matrix(&[&["merge"], &folders[..], &["--out", path(&out)], more].concat());
        (output.status.code(), text(&output.stderr))
    };
    let refused = |names: &[&str], reason: &str| {
        let (status, said) = merged(names, &[]);
        assert_eq!(status, Some(2), "{said}");
        assert!(said.contains(reason), "{said}");
    };
    refused(&["a", "c"], "2 of 7 blocks are missing or not complete, the first is 1");
    refused(&["a", "b", "c", "b"], "which another folder has as well");
    assert_eq!(merged(&["a", "c"], &["--partial"]).0, Some(0));
    assert_eq!(samples(&at("merged")).len(), 5 * 4 * 2);

    // A machine that was stopped in the middle of a line has not taken that start.
    let path = at("b").join("samples.jsonl");
    let whole = fs::read_to_string(&path).unwrap();
    fs::write(&path, &whole[..whole.len() - 9]).unwrap();
    refused(&["a", "b", "c"], "1 of 7 blocks are missing or not complete, the first is 4");
    let program = samples(&at("a"))[0].program.clone();
    fs::write(&path, whole.replace(&program, "0123456789abcdef")).unwrap();
    refused(&["a", "b", "c"], "has started another program as");
    let plan = file::read(&at("b")).unwrap();
    fs::write(at("b").join("plan.json"), serde_json::to_string(&Plan { seed: 99, ..plan }).unwrap()).unwrap();
    refused(&["a", "b", "c"], "are of different plans");
}
