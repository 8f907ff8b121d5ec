//! `cargo matrix invoke` from its command line to its exit status, with an extension that behaves as a mode says.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "a helper of a test fails as the test does"
)]

use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::time::{SystemTime, UNIX_EPOCH};

use matrix::executable;
use matrix::sample_events::{self, SampleEvent};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;
use tempfile::TempDir;

const HELLO: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../examples/hello-python");

/// A directory with the extension, whose name is that of bottlecap's binary, and with what a test puts there.
struct TestDirectory(TempDir);

impl TestDirectory {
    fn new() -> Self {
        let directory = Self(tempfile::tempdir().unwrap());
        directory.executable("bottlecap", include_str!("invoke_support/agent.py"));
        directory
    }

    fn path(&self) -> &Path {
        self.0.path()
    }

    fn executable(&self, name: &str, content: &str) {
        executable::write(&self.path().join(name), content).unwrap();
    }

    /// `cargo matrix invoke` for a function, with the extension in one of its modes.
    fn invoke(&self, function: &str, mode: &str) -> Command {
        let mut command = matrix(&["invoke", function]);
        command.arg("--extension").arg(self.path().join("bottlecap"));
        command.args(["--env", &format!("AGENT_MODE={mode}")]);
        command
    }
}

fn matrix(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_matrix"));
    command.args(arguments).env("NO_COLOR", "1");
    command
}

fn stdout(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

fn status(output: &Output) -> i32 {
    output.status.code().unwrap_or_else(|| unreachable!("ended by a signal: {}", output.status))
}

#[test]
fn what_arrived_is_in_the_document() {
    let directory = TestDirectory::new();
    let output = directory.invoke(HELLO, "sound").args(["--times", "2", "--json"]).output().unwrap();
    let document: Value = serde_json::from_str(&stdout(&output)).unwrap();
    assert_eq!(status(&output), 0, "{document:#}");
    assert_eq!((&document["schema"], &document["verdict"]), (&Value::from(1), &Value::from("delivered")));
    assert_eq!(document["invocations"].as_array().unwrap().len(), 2);
    assert_eq!(document["invocations"][0]["response"]["statusCode"], 200);
    let hellos = document["logs"].as_array().unwrap().iter().filter(|log| log["message"] == "Hello, Lambda!").count();
    assert_eq!(hellos, 2);
    let metric = &document["metrics"][0];
    assert_eq!((&metric["name"], &metric["sum"]), (&Value::from("aws.lambda.enhanced.invocations"), &Value::from(2.0)));
    let gate = &document["gates"][0];
    assert!(gate["registered_ms"].as_f64().unwrap() < gate["ready_ms"].as_f64().unwrap(), "{gate}");
    assert!(document["requests"][0]["payload"]["logs"].is_array());
    let lines = String::from_utf8(output.stderr).unwrap();
    assert!(lines.contains("function | Hello, Lambda!") && lines.contains("datadog-agent | agent ready"), "{lines}");
}

#[test]
fn the_page_and_the_document_have_the_timeline() {
    let directory = TestDirectory::new();
    let page = directory.path().join("run.html");
    let output = directory.invoke(HELLO, "sound").arg("--json").arg("--html").arg(&page).output().unwrap();
    let document: Value = serde_json::from_str(&stdout(&output)).unwrap();
    assert_eq!(status(&output), 0, "{document:#}");
    let lanes = document["timeline"]["lanes"].as_array().unwrap();
    let names: Vec<&str> = lanes.iter().map(|lane| lane["name"].as_str().unwrap()).collect();
    assert_eq!(names[..3], ["sandbox", "runtime", "datadog-agent"]);
    let bars = lanes[0]["bars"].as_array().unwrap().iter().map(|bar| bar["name"].as_str().unwrap());
    let phases: Vec<&str> = bars.filter(|name| *name != "frozen").collect();
    assert_eq!(phases, ["init", "invocation 1", "shutdown (spindown)"]);
    let page = fs::read_to_string(page).unwrap();
    for part in ["<!DOCTYPE html>", "Timeline of the sandbox", "Hello, Lambda!", "aws.lambda.enhanced.invocations"] {
        assert!(page.contains(part), "{part}");
    }

    let output = directory.invoke(HELLO, "sound").args(["--json", "--html", "/proc/run.html"]).output().unwrap();
    assert_eq!(status(&output), 6);
    assert!(String::from_utf8_lossy(&output.stderr).contains("cannot write the page to /proc/run.html"));
    let document: Value = serde_json::from_str(&stdout(&output)).unwrap();
    assert_eq!(document["verdict"], "delivered", "the run is shown nevertheless");
}

#[test]
fn lines_that_did_not_arrive_are_named() {
    let directory = TestDirectory::new();
    let output = directory.invoke(HELLO, "lossy").output().unwrap();
    let account = stdout(&output);
    assert_eq!(status(&output), 5, "{account}");
    assert!(account.contains("no log arrived for the line: Hello, Lambda!"), "{account}");
    assert!(account.contains("function | Hello, Lambda!") && !account.contains('\u{1b}'), "{account}");

    let output = directory.invoke(HELLO, "lossy").args(["--env", "DD_SERVERLESS_LOGS_ENABLED=false"]).output().unwrap();
    assert_eq!(status(&output), 0, "nobody expects logs that are switched off: {}", stdout(&output));
}

#[test]
fn a_failing_function_and_a_crashing_extension_have_their_own_status() {
    let directory = TestDirectory::new();
    fs::write(directory.path().join("app.py"), "def handler(event, context):\n    raise ValueError(event['why'])\n")
        .unwrap();
    let function = directory.path().to_str().unwrap();
    let output = directory.invoke(function, "sound").args(["--event", r#"{"why": "because"}"#]).output().unwrap();
    assert_eq!(status(&output), 3, "{}", stdout(&output));
    assert!(stdout(&output).contains("error ValueError"), "{}", stdout(&output));

    let output = directory.invoke(HELLO, "crash").output().unwrap();
    assert_eq!(status(&output), 4, "{}", stdout(&output));
    assert!(stdout(&output).contains("datadog-agent exited before SHUTDOWN (exit status: 1)"), "{}", stdout(&output));
}

#[test]
fn an_asynchronous_event_is_retried_and_judged_by_its_last_attempt() {
    let directory = TestDirectory::new();
    let source = "import os\n\ndef handler(event, context):\n    attempts = os.environ['ATTEMPTS']\n    \
        with open(attempts, 'a') as file:\n        file.write('x')\n    \
        if os.path.getsize(attempts) < event['succeeds']:\n        raise ValueError('not yet')\n    return 'done'\n";
    fs::write(directory.path().join("app.py"), source).unwrap();
    for (succeeds, expected) in [(3, 0), (4, 3)] {
        let mut command = directory.invoke(directory.path().to_str().unwrap(), "sound");
        command.args(["--async", "--json", "--event", &format!(r#"{{"succeeds": {succeeds}}}"#)]);
        command.args(["--env", &format!("ATTEMPTS=/tmp/attempts-{succeeds}-{}", std::process::id())]);
        let output = command.output().unwrap();
        let document: Value = serde_json::from_str(&stdout(&output)).unwrap();
        assert_eq!(status(&output), expected, "{document:#}");
        let invocations = document["invocations"].as_array().unwrap();
        let numbers: Vec<_> = invocations.iter().map(|invocation| invocation["attempt"].as_u64().unwrap()).collect();
        assert_eq!(numbers, [1, 2, 3]);
        assert!(invocations.iter().all(|invocation| invocation["request_id"] == invocations[0]["request_id"]));
    }
}

/// Answers each event with itself.
const ECHO: &str = "#!/usr/bin/env python3\n\
    import os, urllib.request as http\n\
    api = 'http://' + os.environ['AWS_LAMBDA_RUNTIME_API'] + '/2018-06-01/runtime/invocation/'\n\
    while True:\n    \
        event = http.urlopen(api + 'next')\n    \
        print('custom', flush=True)\n    \
        http.urlopen(api + event.headers['Lambda-Runtime-Aws-Request-Id'] + '/response', event.read())\n";

/// The document of a run in which the function answers each event with itself.
fn echoed(options: &[&str]) -> Value {
    let directory = TestDirectory::new();
    directory.executable("bootstrap", ECHO);
    let output =
        directory.invoke(directory.path().to_str().unwrap(), "sound").arg("--json").args(options).output().unwrap();
    let document: Value = serde_json::from_str(&stdout(&output)).unwrap();
    assert_eq!(status(&output), 0, "{document:#}");
    document
}

#[test]
fn a_bootstrap_runs_as_the_runtime() {
    let document = echoed(&["--event", r#"{"echo": [1]}"#]);
    assert_eq!(document["invocations"][0]["response"]["echo"][0], 1);
    assert_eq!(document["logs"][0]["message"], "custom");
}

#[test]
fn events_of_services_reach_the_function_with_times_of_the_last_seconds() {
    let before = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis();
    let document = echoed(&["--event-from", "sqs", "--event-from", "step-functions"]);
    let [queue, machine] = [0, 1].map(|number| &document["invocations"][number]["response"]);
    assert_eq!(queue["Records"][0]["eventSourceARN"], "arn:aws:sqs:eu-west-1:123456789012:Paid-Orders");
    let sent: u128 = queue["Records"][0]["attributes"]["SentTimestamp"].as_str().unwrap().parse().unwrap();
    assert!(sent > before - 5000, "{sent} is long before {before}");
    assert_eq!(machine["_datadog"]["State"]["Name"], "Pack");
}

#[test]
fn the_help_and_the_error_list_the_services_that_events_are_from() {
    let help = matrix(&["invoke", "--help"]).output().unwrap();
    let refused = matrix(&["invoke", "null", "--event-from", "cron"]).output().unwrap();
    assert_eq!(status(&refused), 2);
    for text in [stdout(&help), String::from_utf8(refused.stderr).unwrap()] {
        let is_listed = |sample: &&SampleEvent| {
            text.split(|c: char| !(c.is_ascii_alphanumeric() || c == '-')).any(|word| word == sample.name)
        };
        assert!(sample_events::ALL.iter().all(|sample| is_listed(&sample)), "{text}");
    }
    let both = matrix(&["invoke", "null", "--event-from", "sqs", "--event", "{}"]).output().unwrap();
    assert_eq!(status(&both), 2);
}

#[test]
fn the_null_function_runs_alone() {
    let output = matrix(&["invoke", "null", "--no-extension", "--times", "3", "--json"]).output().unwrap();
    let document: Value = serde_json::from_str(&stdout(&output)).unwrap();
    assert_eq!((status(&output), document["invocations"].as_array().unwrap().len()), (0, 3));
    assert_eq!(document["requests"], Value::Array(Vec::new()));
}

#[test]
fn errors_say_what_to_do_next() {
    let directory = TestDirectory::new();
    let cases: [(&[&str], i32, &str); 4] = [
        (&["invoke", "/nonexistent"], 6, "name the directory of a function"),
        (&["invoke", "null", "--extension", "/nonexistent"], 6, "it has to be an executable file"),
        (&["invoke", "null", "--no-extension", "--memory", "1"], 2, "128..=10240"),
        // There is no workspace here from which bottlecap could be built.
        (&["invoke", "null"], 6, "--no-extension"),
    ];
    for (arguments, expected, advice) in cases {
        let output = matrix(arguments).current_dir(directory.path()).output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(status(&output), expected, "{said}");
        assert!(said.contains(advice), "{said}");
    }
}

#[test]
fn interrupted_run_reports_what_arrived() {
    let directory = TestDirectory::new();
    let code = "import time\n\ndef handler(event, context):\n    print('asleep')\n    time.sleep(60)\n";
    fs::write(directory.path().join("app.py"), code).unwrap();
    let mut command = directory.invoke(directory.path().to_str().unwrap(), "sound");
    let mut child = command.args(["--timeout", "90"]).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let pid = Pid::from_raw(i32::try_from(child.id()).unwrap());
    let (mut lines, mut said) =
        (BufReader::new(child.stdout.take().unwrap()), BufReader::new(child.stderr.take().unwrap()));
    let mut line = String::new();
    while !line.contains("asleep") {
        line.clear();
        assert_ne!(lines.read_line(&mut line).unwrap(), 0, "the function never ran");
    }
    kill(pid, Signal::SIGTERM).unwrap();
    line.clear();
    said.read_line(&mut line).unwrap();
    assert!(line.contains("once more ends it at once"), "{line}");
    kill(pid, Signal::SIGHUP).unwrap();
    let mut account = String::new();
    lines.read_to_string(&mut account).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(130));
    assert!(
        account.contains("Interrupted; this is what had arrived. Whether anything is missing was not checked."),
        "{account}"
    );
    assert!(account.contains("datadog-agent"), "{account}");
}
