//! What CI is told by the gate: budgets for other measures than the gates, a test report, annotations; through the command line, of runs that never took place.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test that can't go on has failed, and the simulated runs have a known shape"
)]

use std::fs;
use std::process::Command;

use crate::analyze_support::*;
use crate::gate_support::*;
use matrix::executable;
use matrix::measure::sample::Sample;
use matrix::plan::{Condition, Plan, Regime};

const GATES: &str = "[[budget]]\nregister = { ms = 5.0, ratio = 1.1 }\nready = { ms = 5.0, ratio = 1.1 }\n";
const SIDES: [&str; 4] = ["--candidate", "ship", "--reference", "main"];

fn budget(name: &str, growth: f64) -> String {
    format!("{GATES}[[measure]]\nname = \"{name}\"\ngrowth = {growth:?}\n")
}

/// A run in which the candidate has so much more of a measure than the others; where it varies, by so much from start to start.
fn grown(name: &str, least: f64, more: f64, varies: f64) -> Vec<Sample> {
    let mut samples = calm(&usual());
    for sample in &mut samples {
        let own = if ["ship", "again"].contains(&sample.cell.as_str()) { more } else { 0.0 };
        // Each cell in its own turn, so that the differences vary as well.
        let turn = f64::from((sample.block * 7 + sample.position * 3) % 5) - 2.0;
        sample.measures.insert(name.to_owned(), least + own + varies * turn);
    }
    samples
}

fn analyzed(plan: &Plan, samples: &[Sample], budgets: &str) -> Run {
    let run = Run::new(plan, samples);
    run.write("budgets.toml", budgets);
    run.analyze();
    run
}

fn judged(samples: &[Sample], budgets: &str) -> (i32, String) {
    analyzed(&usual(), samples, budgets).gate(&SIDES)
}

#[test]
fn what_is_stable_on_a_noisy_machine_has_a_budget_too() {
    // The growth, how much it varies, a budget that holds it and one that does not.
    let cases = [
        ("file_size", 6_000_000.0, 4096.0, 0.0, 4096.0, 4095.0),
        ("resident_peak", 9000.0, 300.0, 8.0, 400.0, 200.0),
        ("cpu_settled", 3.0, 1.0, 0.05, 1.5, 0.5),
        ("cpu_total", 9.0, 3.0, 0.1, 4.0, 2.0),
        ("minor_faults", 90.0, 10.0, 0.0, 10.0, 9.0),
        ("threads", 1.0, 1.0, 0.0, 1.0, 0.0),
    ];
    for (name, least, more, varies, enough, too_little) in cases {
        let samples = grown(name, least, more, varies);
        let (status, said) = judged(&samples, &budget(name, enough));
        assert_eq!(status, 0, "{name}: {said}");
        assert!(said.contains(&format!("pass             ship against main, {name}: +")), "{said}");
        let (status, said) = judged(&samples, &budget(name, too_little));
        assert_eq!(status, 10, "{name}: {said}");
        assert!(said.contains(&format!("regressed        ship against main, {name}: +")), "{said}");
        assert_eq!(judged(&samples, GATES).0, 0, "{name} without a budget is not judged");
        let unchanged = grown(name, least, 0.0, varies);
        assert_eq!(judged(&unchanged, &budget(name, enough)).0, 0, "{name} has not grown");
    }
    let (_, said) = judged(&grown("file_size", 6e6, 4096.0, 0.0), &budget("file_size", 4096.0));
    assert!(said.contains("file_size: +4.0 KiB against a budget of 4.0 KiB\n"), "exactly: {said}");
}

#[test]
fn underpowered_measure_is_inconclusive_and_biased_one_invalid() {
    let (status, said) = judged(&grown("cpu_settled", 30.0, 0.1, 6.0), &budget("cpu_settled", 0.5));
    assert_eq!(status, 11, "{said}");
    let (status, said) = judged(&calm(&usual()), &budget("cpu_settled", 0.5));
    assert_eq!(status, 11, "nobody has measured it: {said}");
    assert!(said.contains("too few starts count that have cpu_settled"), "{said}");
    let mut biased = grown("minor_faults", 90.0, 0.0, 0.0);
    biased.iter_mut().filter(|start| start.cell == "again").for_each(|start| {
        start.measures.insert("minor_faults".to_owned(), 95.0);
    });
    let (status, said) = judged(&biased, &budget("minor_faults", 9.0));
    assert_eq!(status, 12, "{said}");
    assert!(said.contains("the control differs in minor_faults"), "{said}");
    assert_eq!(judged(&biased, GATES).0, 0, "what has no budget is not judged");
}

#[test]
fn a_budget_that_holds_nowhere_is_refused_by_name() {
    let refused = |budgets: &str, name: &str| {
        let (status, said) = judged(&calm(&usual()), budgets);
        assert_eq!(status, 2, "{said}");
        assert!(said.contains(name), "{said}");
    };
    let typo = GATES.replace("[[budget]]", "[[budget]]\nmemory = 1204") + GATES;
    refused(&typo, "[[budget]] number 1 (memory = 1204) holds under no condition of this run");
    refused(&(GATES.to_owned() + GATES), "[[budget]] number 2 (for every condition) never holds");
    let typo = budget("threads", 1.0) + "memory = 1204\n";
    refused(&typo, "[[measure]] number 1 (name = \"threads\", memory = 1204) holds under no condition");
    refused(&budget("thread", 1.0), "name = \"thread\": a measure is one of served");
    let run = analyzed(&usual(), &calm(&usual()), &typo);
    assert_eq!(run.gate(&[&SIDES[..], &["--unused-budgets"]].concat()).0, 0, "it may be for other runs");
}

#[test]
fn a_control_that_was_hardly_started_makes_the_run_invalid() {
    let without = |from: u32| {
        let mut samples = calm(&usual());
        samples.retain(|start| start.cell != "again" || start.block < from);
        samples
    };
    let (status, said) = judged(&without(20), GATES);
    assert_eq!(status, 12, "{said}");
    assert!(said.contains("the control is missing from most blocks: it has 20, and the others have 60"), "{said}");
    assert_eq!(judged(&without(0), GATES).0, 12);
    assert_eq!(judged(&without(40), GATES).0, 0);
}

/// Two conditions, of which the second has what `change` makes of the candidate's starts.
fn twice(change: impl Fn(&mut Sample)) -> Run {
    let mut plan = usual();
    plan.conditions.push(Condition { regime: Regime::Throttled, ..condition() });
    let mut samples = calm(&usual());
    let second: Vec<Sample> = samples
        .iter()
        .cloned()
        .map(|mut start| {
            start.condition.regime = Regime::Throttled;
            if start.cell == "ship" || start.cell == "again" {
                change(&mut start);
            }
            start
        })
        .collect();
    samples.extend(second);
    analyzed(&plan, &samples, GATES)
}

#[test]
fn junit_has_a_test_case_for_each_candidate_condition_and_gate() {
    let slow = |start: &mut Sample| *start.measures.get_mut("ready").unwrap() += 20.0;
    let few =
        |start: &mut Sample| start.failure = (start.block > 1).then(|| "\u{1b}[31mkilled <9> & \"gone\"".to_owned());
    for (run, status, failures, errors) in [(twice(slow), 10, 1, 0), (twice(|_| {}), 0, 0, 0), (twice(few), 8, 2, 0)] {
        let (ended, said) = run.gate(&[&SIDES[..], &["--junit", "new/gate.xml"]].concat());
        assert_eq!(ended, status, "{said}");
        let text = fs::read_to_string(run.path("new/gate.xml")).unwrap();
        let document = roxmltree::Document::parse(&text).unwrap();
        let suites: Vec<_> = document.root_element().children().filter(roxmltree::Node::is_element).collect();
        let cases = |suite: &roxmltree::Node<'_, '_>| suite.children().filter(roxmltree::Node::is_element).count();
        assert_eq!(suites[0].attribute("name"), Some("cold start"));
        assert_eq!(cases(&suites[0]), 4, "{text}");
        for suite in &suites {
            assert_eq!(suite.attribute("tests"), Some(cases(suite).to_string().as_str()), "{text}");
            for (attribute, element) in [("failures", "failure"), ("errors", "error"), ("skipped", "skipped")] {
                let count = suite.descendants().filter(|node| node.has_tag_name(element)).count();
                assert_eq!(suite.attribute(attribute), Some(count.to_string().as_str()), "{text}");
            }
        }
        assert_eq!(suites[0].attribute("failures"), Some(failures.to_string().as_str()), "{text}");
        assert_eq!(suites[0].attribute("errors"), Some(errors.to_string().as_str()), "{text}");
        let names: Vec<_> = document.descendants().filter_map(|node| node.attribute("classname")).collect();
        assert!(names[2].contains("throttled init"), "{names:?}");
    }
}

#[test]
fn inconclusive_run_is_skipped_and_invalid_run_is_an_error() {
    let counts = |samples: &[Sample], budgets: &str, status: i32| {
        let run = analyzed(&usual(), samples, budgets);
        let (ended, said) = run.gate(&[&SIDES[..], &["--junit", "gate.xml"]].concat());
        assert_eq!(ended, status, "{said}");
        let text = fs::read_to_string(run.path("gate.xml")).unwrap();
        let document = roxmltree::Document::parse(&text).unwrap();
        let count = |element: &str| document.descendants().filter(|node| node.has_tag_name(element)).count();
        (count("testcase"), count("failure"), count("error"), count("skipped"))
    };
    let narrow = GATES.replace("5.0", "0.001");
    assert_eq!(counts(&calm(&usual()), &narrow, 11), (2, 0, 0, 2));
    let late = with(&usual(), &["again"], |start| start.measures.values_mut().for_each(|value| *value += 9.0));
    assert_eq!(counts(&late, GATES, 12), (3, 0, 3, 0));
}

#[test]
fn findings_are_annotations_and_a_summary_on_github() {
    let run = twice(|start| *start.measures.get_mut("ready").unwrap() += 20.0);
    let gate = |github: Option<&str>, format: &str| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_matrix"));
        command.args(["gate", "analysis.json", "--budgets", "budgets.toml", "--format", format]).args(SIDES);
        command
            .current_dir(run.path(""))
            .env_remove("GITHUB_ACTIONS")
            .envs(github.map(|value| ("GITHUB_ACTIONS", value)));
        let output = command.output().unwrap();
        assert_eq!(output.status.code(), Some(10));
        [output.stdout, output.stderr].map(|bytes| String::from_utf8(bytes).unwrap())
    };
    let expected =
        "::error title=Cold start%3A regressed::ship against main, ready, 1024 MB, throttled init, file in memory, ";
    let [lines, _] = gate(None, "github");
    assert!(lines.starts_with(expected) && lines.lines().count() == 1, "{lines}");
    assert!(!gate(None, "text").concat().contains("::error"), "not everybody is GitHub");
    let [document, annotations] = gate(Some("true"), "json");
    assert!(serde_json::from_str::<serde_json::Value>(&document).is_ok(), "{document}");
    assert_eq!(annotations, lines);
    let (_, passed) = twice(|_| {}).gate(&[&SIDES[..], &["--format", "github"]].concat());
    assert_eq!(passed, "::notice title=Cold start%3A pass::Nothing has grown by more than its budget.\n");
    let narrow = analyzed(&usual(), &calm(&usual()), &GATES.replace("5.0", "0.001"));
    let (_, unsure) = narrow.gate(&[&SIDES[..], &["--format", "github"]].concat());
    assert!(unsure.lines().count() == 2 && unsure.lines().all(|line| line.starts_with("::warning title=")), "{unsure}");
    let failing = twice(|start| start.failure = Some("100 % lost\nand gone".to_owned()));
    let (_, failed) = failing.gate(&[&SIDES[..], &["--format", "github"]].concat());
    assert!(failed.contains("100 %25 lost%0Aand gone"), "a message is one line: {failed}");
}

/// What `ci/comment` asks of GitHub where a pull request has these comments, and the body of it.
fn commented(comments: &serde_json::Value) -> (String, String) {
    // In the place of GitHub's program: it evaluates the query as that does, and keeps what is written.
    const GH: &str = r#"#!/bin/bash
if [[ $* == *--paginate* ]]; then
    jq --raw-output "${@: -1}" "$FOLDER/comments.json"
else
    printf '%s\n' "$*" >"$FOLDER/request"
    file=${@: -1}
    cat "${file#body=@}" >"$FOLDER/body"
fi
"#;
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    fs::write(at("comments.json"), comments.to_string()).unwrap();
    fs::write(at("gate.md"), "a verdict\n").unwrap();
    executable::write(&at("gh"), GH).unwrap();
    let paths = format!("{}:{}", folder.path().display(), std::env::var("PATH").unwrap());
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/../ci/comment");
    let mut command = Command::new(script);
    command.args(["7", "gate.md"]).current_dir(folder.path()).env("GH_REPO", "a/b").env("PATH", paths);
    let output = command.env("FOLDER", folder.path()).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    (fs::read_to_string(at("request")).unwrap(), fs::read_to_string(at("body")).unwrap())
}

#[test]
fn the_comment_replaces_its_own_and_no_other() {
    let comment =
        |id: u64, login: &str, body: &str| serde_json::json!({ "id": id, "user": { "login": login }, "body": body });
    let bot = "github-actions[bot]";
    let (_, written) = commented(&serde_json::json!([]));
    assert!(written.starts_with("<!-- ") && written.ends_with("\na verdict\n"), "{written}");
    let others =
        [comment(1, bot, "coverage"), comment(2, "somebody", &written), comment(3, bot, &format!("> {written}"))];
    let (request, _) = commented(&serde_json::json!(others));
    assert!(request.contains("POST repos/a/b/issues/7/comments"), "{request}");
    let own = [&others[..], &[comment(4, bot, &written), comment(5, bot, "later")]].concat();
    let (request, body) = commented(&serde_json::json!(own));
    assert!(request.contains("PATCH repos/a/b/issues/comments/4"), "{request}");
    assert_eq!(body, written);
}

#[test]
fn no_command_overwrites_what_it_reads() {
    const FILES: [&str; 8] = [
        "plan.json",
        "samples.jsonl",
        "builds.jsonl",
        "analysis.json",
        "budgets.toml",
        "report.json",
        "gate.json",
        "gate.md",
    ];
    let run = Run::new(&usual(), &calm(&usual()));
    run.write("builds.jsonl", "");
    assert_eq!(run.analyze().0, 0);
    for (from, to) in [("analysis.json", "report.json"), ("analysis.json", "gate.json"), ("budgets.toml", "gate.md")] {
        fs::write(run.path(to), fs::read(run.path(from)).unwrap()).unwrap();
    }
    std::os::unix::fs::symlink("samples.jsonl", run.path("link")).unwrap();
    let contents = || FILES.map(|name| fs::read(run.path(name)).unwrap());
    let before = contents();
    let analyze = ["analyze", "plan.json", "samples.jsonl"];
    let gate = ["gate", "analysis.json", "--budgets", "budgets.toml"];
    for (command, option) in [
        (&analyze[..], &["--out", "samples.jsonl"][..]),
        (&analyze, &["--out", "plan.json"]),
        (&analyze, &["--out", "builds.jsonl"]),
        (&analyze, &["--out", "link"]),
        (&analyze, &["--builds", "gate.md", "--out", "gate.md"]),
        (&["report", "report.json"], &["--out", "."]),
        (&["report", "report.json"], &["--format", "json,text", "--out", "."]),
        (&["gate", "gate.json", "--budgets", "budgets.toml"], &["--out", "."]),
        (&["gate", "analysis.json", "--budgets", "gate.md"], &["--out", "."]),
        (&gate, &["--junit", "budgets.toml"]),
        (&gate, &["--baseline", "report.json", "--junit", "report.json"]),
        (&gate, &["--save-baseline", "analysis.json"]),
        (&gate, &["--save-baseline", "plan.json"]),
        (&["merge", "."], &["--out", "."]),
    ] {
        let (status, said) = run.matrix(&[command, option].concat());
        assert!(status == 2 && said.contains("would overwrite it"), "{command:?} {option:?}: {status}: {said}");
        assert!(contents() == before, "{command:?} {option:?}");
    }
    // Only formats that are written count.
    assert_eq!(run.matrix(&["report", "report.json", "--format", "text", "--out", "."]).0, 0);
    assert!(contents() == before);
}
