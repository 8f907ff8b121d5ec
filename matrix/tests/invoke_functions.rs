//! `cargo matrix invoke` with functions as people write them. The extension sends what telemetry tells it, so that the logs are those of Lambda.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a helper of a test fails as the test does")]

use crate::layer_support;

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use matrix::executable;
use matrix::sandbox::isolation;
use serde_json::Value;
use tempfile::TempDir;

/// A directory with a function and the extension.
struct Function {
    function: TempDir,
    tools: TempDir,
}

/// What a run said.
struct Run {
    status: i32,
    document: Value,
    stderr: String,
}

impl Function {
    fn new(files: &[(&str, &str)]) -> Self {
        let directory = Self { function: tempfile::tempdir().unwrap(), tools: tempfile::tempdir().unwrap() };
        for (name, text) in files {
            directory.write(name, text);
        }
        executable::write(&directory.tools.path().join("bottlecap"), include_str!("invoke_support/agent.py")).unwrap();
        directory
    }

    fn write(&self, name: &str, text: &str) {
        let path = self.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    fn path(&self) -> &Path {
        self.function.path()
    }

    fn command(&self, options: &[&str]) -> Command {
        self.command_below("", options)
    }

    /// For the function in a directory of this one.
    fn command_below(&self, directory: &str, options: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_matrix"));
        command.arg("invoke").arg(self.path().join(directory)).args(options).env("NO_COLOR", "1");
        command.arg("--extension").arg(self.tools.path().join("bottlecap"));
        command
    }

    fn text(&self, options: &[&str]) -> (i32, String) {
        let Output { status, stdout, stderr } = self.command(options).output().unwrap();
        let text = String::from_utf8_lossy(&stdout).into_owned() + &String::from_utf8_lossy(&stderr);
        (status.code().unwrap(), text)
    }

    fn run(&self, options: &[&str]) -> Run {
        self.run_below("", options)
    }

    fn run_below(&self, directory: &str, options: &[&str]) -> Run {
        let output = self.command_below(directory, &[&["--json"], options].concat()).output().unwrap();
        let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
        let document = serde_json::from_slice(&output.stdout).unwrap_or(Value::Null);
        Run { status: output.status.code().unwrap(), document, stderr }
    }
}

impl Run {
    fn logs(&self) -> Vec<&str> {
        let logs = self.document["logs"].as_array().unwrap_or_else(|| unreachable!("{}", self.stderr)).iter();
        logs.map(|log| log["message"].as_str().unwrap()).collect()
    }

    fn response(&self) -> &Value {
        &self.document["invocations"][0]["response"]
    }

    /// The records of one type, with the position of each in the telemetry.
    fn positions(&self, is: impl Fn(&Value) -> bool) -> Vec<usize> {
        let telemetry = self.document["telemetry"].as_array().unwrap().iter().enumerate();
        telemetry.filter(|(_, event)| is(event)).map(|(index, _)| index).collect()
    }

    /// Whether the sandbox has its own files.
    fn has_own_disk(&self) -> bool {
        let notes = self.document["notes"].to_string();
        let has = !notes.contains("The files are the machine's");
        if !has {
            isolation::skip("no mounts of its own");
        }
        has
    }
}

#[test]
fn a_traceback_is_one_log_of_its_invocation() {
    let code = "\
import logging

def lambda_handler(event, context):
    try:
        {}['order']
    except KeyError:
        logging.getLogger().exception('no order')
    print('printed')
";
    let run = Function::new(&[("app.py", code)]).run(&[]);
    assert_eq!(run.status, 0, "{}", run.stderr);
    let logs = run.logs();
    assert_eq!(logs.len(), 2, "{logs:?}");
    let traceback = logs.iter().find(|log| log.starts_with("[ERROR]")).unwrap();
    assert!(
        traceback.contains("no order\nTraceback (most recent call last):") && traceback.ends_with("KeyError: 'order'")
    );
    assert!(logs.contains(&"printed"));
    assert!(run.stderr.contains("function | Traceback (most recent call last):"), "{}", run.stderr);
}

#[test]
fn an_unterminated_line_and_one_of_a_background_thread_belong_to_their_invocation() {
    let code = "\
import os, sys, threading, time

PLACE = os.environ['AGENT_MEETS']

def later(number):
    while not os.path.exists(f'{PLACE}-done-{number}'):
        time.sleep(0.005)
    print(f'background {number}', flush=True)
    open(f'{PLACE}-printed-{number}', 'w').close()

def lambda_handler(event, context):
    threading.Thread(target=later, args=(event['n'],)).start()
    sys.stdout.write(f\"unterminated {event['n']}\")
    sys.stdout.flush()
";
    let run = Function::new(&[("lambda_function.py", code)]).run(&[
        "--event",
        r#"{"n": 1}"#,
        "--event",
        r#"{"n": 2}"#,
        "--env",
        &format!("AGENT_MEETS=/tmp/meeting-{}", std::process::id()),
    ]);
    assert_eq!(run.status, 0, "{}", run.stderr);
    let line = |text: &str| run.positions(|event| event["record"].as_str().is_some_and(|line| line.trim_end() == text));
    let of = |kind: &str| run.positions(|event| event["type"] == kind);
    let (ends, reports, starts) = (of("platform.runtimeDone"), of("platform.report"), of("platform.start"));
    for index in 0..2 {
        let (unterminated, background) =
            (line(&format!("unterminated {}", index + 1)), line(&format!("background {}", index + 1)));
        assert!(starts[index] < unterminated[0] && unterminated[0] < ends[index], "{:#}", run.document["telemetry"]);
        assert!(background[0] < reports[index], "{:#}", run.document["telemetry"]);
    }
    assert!(ends[0] < line("background 1")[0], "it was written after the response");
}

#[test]
fn the_code_is_at_var_task_and_tmp_is_of_the_environment() {
    let code = "\
import os, shutil

def lambda_handler(event, context):
    writes = {}
    for place in ['/var/task/x', '/tmp/x', os.path.expanduser('~/x')]:
        try:
            open(place, 'w').close()
            writes[place] = True
        except OSError:
            writes[place] = False
    return {'cwd': os.getcwd(), 'root': os.environ['LAMBDA_TASK_ROOT'], 'writes': list(writes.values()),
            'tmp': shutil.disk_usage('/tmp').total, 'left': os.path.exists('/tmp/left-by-the-machine')}
";
    let directory = Function::new(&[("app.py", code)]);
    let run = directory.run(&["--ephemeral-storage", "1024"]);
    assert_eq!(run.status, 0, "{}", run.stderr);
    if run.has_own_disk() {
        let response = run.response();
        assert_eq!((&response["cwd"], &response["root"]), (&"/var/task".into(), &"/var/task".into()));
        assert_eq!(response["writes"], serde_json::json!([false, true, false]));
        assert_eq!(response["tmp"], 1024 << 20);
    }
    assert!(!directory.path().join("x").exists());
}

#[test]
fn the_user_is_one_without_privileges_and_the_figures_are_those_of_the_environment() {
    let code = "\
import os, pwd, socket

def tried(work):
    try:
        work()
        return True
    except OSError:
        return False

def lambda_handler(event, context):
    memory = dict(line.split(':') for line in open('/proc/meminfo'))
    cpus = [line for line in open('/proc/stat') if line.startswith('cpu') and line[3] != ' ']
    return {
        'ids': [os.getuid(), os.getgid(), os.getgroups()],
        'name': pwd.getpwuid(os.getuid()).pw_name,
        'root': [
            tried(lambda: socket.create_server(('127.0.0.1', 80))),
            tried(lambda: os.chown('/tmp', 0, 0)),
            tried(lambda: open('/dev/shm/x', 'w')),
            tried(lambda: open('/proc/sys/kernel/hostname', 'w')),
            tried(lambda: os.kill(1, 9)),
        ],
        'memory': [int(memory[name].split()[0]) for name in ['MemTotal', 'MemAvailable']],
        'cpus': [os.cpu_count(), len(cpus), len(os.sched_getaffinity(0))],
        'processors': sum(line.startswith('processor') for line in open('/proc/cpuinfo')),
    }
";
    let run = Function::new(&[("app.py", code)]).run(&["--memory", "256"]);
    assert_eq!(run.status, 0, "{}", run.stderr);
    let (response, notes) = (run.response(), run.document["notes"].to_string());
    if notes.contains("run as you") {
        isolation::skip("no other user");
    } else {
        assert_eq!(response["ids"], serde_json::json!([993, 990, []]));
        assert_eq!(response["name"], "sbx_user1051");
        assert_eq!(response["root"], serde_json::json!([false, false, false, false, false]), "{response}");
    }
    if run.has_own_disk() {
        let memory = &response["memory"];
        assert_eq!(memory[0], 256 * 1024);
        assert!(memory[1].as_u64().unwrap() < 256 * 1024, "what is used is not available: {memory}");
        let cpus = response["cpus"].as_array().unwrap();
        assert!(cpus.iter().all(|count| *count == cpus[0]) && response["processors"] == cpus[0], "{response}");
    }
}

#[test]
fn lines_of_both_streams_and_of_the_logger_keep_their_order() {
    // The last record comes after more lines than one read takes, and has a time before all of them.
    let code = "\
import logging, os, struct

def lambda_handler(event, context):
    for number in range(200):
        if number % 4 == 3:
            logging.getLogger().warning('line %d', number)
        else:
            os.write(1 + number % 2, f'line {number}\\n'.encode())
    filler = f'{\"filler\":.<127}\\n'.encode() * 128
    os.write(1, filler + struct.pack('>IIQ', 0xa55a0003, 4, 1) + b'last')
";
    let run = Function::new(&[("app.py", code)]).run(&[]);
    assert_eq!(run.status, 0, "{}", run.stderr);
    let logs = run.logs();
    let lines: Vec<&str> = logs.iter().filter_map(|log| log.rsplit('\t').next()).collect();
    let expected: Vec<String> = (0..200).map(|number| format!("line {number}")).collect();
    assert_eq!(
        (&lines[..200], lines.len(), lines[328]),
        (&expected.iter().map(String::as_str).collect::<Vec<_>>()[..], 329, "last")
    );
    let events = run.document["telemetry"].as_array().unwrap().iter().filter(|event| event["type"] == "function");
    let times: Vec<&str> = events.map(|event| event["time"].as_str().unwrap()).collect();
    assert!(times.is_sorted(), "{times:?}");
}

#[test]
fn a_settings_file_leads_nowhere_else_either() {
    let code = "\
import os

def lambda_handler(event, context):
    return open('datadog.yaml').read()
";
    let settings = "site: us5.datadoghq.com\nkms_api_key: secret\nadditional_endpoints: {'https://a.example': [key]}\n";
    let directory = Function::new(&[("app.py", code), ("datadog.yaml", settings)]);
    let run = directory.run(&[]);
    assert_eq!(run.status, 0, "{}", run.stderr);
    let notes = run.document["notes"].to_string();
    assert!(notes.contains("Of datadog.yaml, kms_api_key, additional_endpoints has no effect here"), "{notes}");
    if run.has_own_disk() {
        let seen = run.response().as_str().unwrap();
        assert!(seen.contains("us5") && !seen.contains("example") && !seen.contains("secret"), "{seen}");
    }
    assert_eq!(fs::read_to_string(directory.path().join("datadog.yaml")).unwrap(), settings);
}

#[test]
fn nothing_leads_away_from_the_fake_intake() {
    let code = "\
import os

def lambda_handler(event, context):
    return {name: os.environ.get(name) for name in ['DD_DD_URL', 'DD_API_KEY', 'DD_KMS_API_KEY', 'AWS_REGION']}
";
    let directory = Function::new(&[("app.py", code)]);
    let variables = ["DD_DD_URL=https://elsewhere.example", "DD_KMS_API_KEY=secret", "DD_SITE=us5.datadoghq.com"];
    let variables: Vec<&str> = variables.iter().flat_map(|variable| ["--env", variable]).collect();
    let run = directory.run(&[&variables[..], &["--region", "eu-west-1"]].concat());
    assert_eq!(run.status, 0, "{}", run.stderr);
    let response = run.response();
    assert!(response["DD_DD_URL"].as_str().unwrap().starts_with("http://127.0.0.1:"), "{response}");
    assert_eq!((&response["DD_KMS_API_KEY"], &response["AWS_REGION"]), (&Value::Null, &"eu-west-1".into()));
    let notes = run.document["notes"].to_string();
    assert!(notes.contains("DD_KMS_API_KEY has no effect here"), "{notes}");
    assert!(notes.contains("logs go to https://http-intake.logs.us5.datadoghq.com"), "{notes}");
}

#[test]
fn limits_of_lambda_are_kept() {
    let code = "def lambda_handler(event, context):\n    return 'x' * event['size']\n";
    let directory = Function::new(&[("app.py", code)]);
    let run = directory.run(&["--event", r#"{"size": 7000000}"#]);
    assert_eq!(run.status, 3, "{}", run.stderr);
    assert_eq!(run.document["invocations"][0]["outcome"], "error Function.ResponseSizeTooLarge");
    for (option, said) in [
        (["--env", "AWS_REGION=mars"], "use --region"),
        (["--env", "A=1"], "\"A\""),
        (["--handler", "app.lambda_hadler"], "it has lambda_handler"),
        (["--event", "{"], "is not JSON"),
    ] {
        let (status, text) = directory.text(&option);
        assert!(status == 2 && text.contains(said), "{status}: {text}");
    }
}

#[test]
fn a_timeout_has_durations_that_agree() {
    let code = "import time\n\ndef lambda_handler(event, context):\n    time.sleep(60)\n";
    let run = Function::new(&[("app.py", code)]).run(&["--timeout", "1"]);
    assert_eq!(run.status, 3, "{}", run.stderr);
    let duration = |kind: &str| {
        let event = run.document["telemetry"].as_array().unwrap().iter().find(|event| event["type"] == kind).unwrap();
        event["record"]["metrics"]["durationMs"].as_f64().unwrap()
    };
    assert!(duration("platform.runtimeDone") <= duration("platform.report"), "{:#}", run.document["telemetry"]);
}

#[test]
fn what_scripts_expect_decides_the_status() {
    let directory = Function::new(&[("app.py", "def lambda_handler(event, context):\n    print('order 7')\n")]);
    let (status, text) = directory.text(&["--quiet", "--expect-log", "order 7"]);
    assert!(status == 0 && text.trim().starts_with("Everything that was expected has arrived."), "{status}: {text}");
    assert_eq!(text.trim().lines().count(), 1, "{text}");
    let (status, text) = directory.text(&["--quiet", "--expect-log", "order 8", "--expect-metric", "orders=1"]);
    assert!(status == 5 && text.contains("order 8") && text.contains("orders adds up to 0"), "{status}: {text}");
}

#[test]
fn a_sam_project_is_run_from_its_template() {
    let template = "\
Resources:
  Hello:
    Type: AWS::Serverless::Function
    Properties:
      CodeUri: hello_world/
      Handler: app.lambda_handler
      Runtime: python3.12
      MemorySize: 512
      Environment: {Variables: {STAGE: dev, MODES: 'umask: 0755, 0644', TABLE: !Ref 'Orders'}}
      Layers: [!Ref Shared, 'arn:aws:lambda:eu-west-1:123456789012:layer:Other:1']
      Events: {Orders: {Type: SQS, Properties: {Queue: !GetAtt Queue.Arn}}}
  Shared: {Type: AWS::Serverless::LayerVersion, Properties: {ContentUri: layers/shared}}
";
    let directory = Function::new(&[("template.yaml", template)]);
    let source = "import os, shared\n\ndef lambda_handler(event, context):\n    source = event['Records'][0]['eventSource']\n    \
        return [os.environ['STAGE'], context.memory_limit_in_mb, source, shared.NAME, os.environ['MODES'], 'TABLE' in os.environ]\n";
    directory.write("hello_world/app.py", source);
    directory.write("layers/shared/python/shared.py", "NAME = 'of the layer'\n");
    let run = directory.run(&[]);
    assert_eq!(run.status, 0, "{}", run.stderr);
    let expected = serde_json::json!(["dev", "512", "aws:sqs", "of the layer", "umask: 0755, 0644", false]);
    assert_eq!(run.response(), &expected);
    let notes = run.document["notes"].to_string();
    assert!(notes.contains("(--env sets it here): TABLE."), "{notes}");
    assert!(notes.contains("layer:Other:1 is not on this machine; --layer"), "{notes}");
}

#[test]
fn a_node_function_finds_its_files_and_its_local_packages() {
    // `existsSync` asks by access(2), which regards the user and not the capabilities of the user's processes.
    let code = "\
const { existsSync } = require('node:fs');
const common = require('common');

exports.handler = async () => {
  console.log(common.greeting, require('@shop/own').word);
  return [existsSync(__filename), existsSync(require.resolve('common')), existsSync('/var/task/package.json')];
};
";
    let directory = Function::new(&[
        ("function/index.js", code),
        ("function/package.json", r#"{"dependencies": {"common": "file:../common", "@shop/own": "file:./own"}}"#),
        (
            "common/package.json",
            r#"{"name": "common", "version": "1.0.0", "dependencies": {"words": "file:../words"}}"#,
        ),
        ("function/own/package.json", r#"{"name": "@shop/own", "version": "1.0.0"}"#),
        ("function/own/index.js", "exports.word = require('words').greeting.split(' ').pop();"),
        ("common/index.js", "exports.greeting = require('words').greeting;"),
        ("words/package.json", r#"{"name": "words", "version": "1.0.0"}"#),
        ("words/index.js", "exports.greeting = 'from a package of a package';"),
    ]);
    let run = directory.run_below("function", &[]);
    assert_eq!(run.status, 0, "{}", run.stderr);
    assert_eq!(run.logs()[0].rsplit('\t').next().unwrap(), "from a package of a package package");
    if run.has_own_disk() {
        assert_eq!(run.response(), &serde_json::json!([true, true, true]));
    }
    let mut entries =
        ["function", "common", "words"].iter().flat_map(|name| fs::read_dir(directory.path().join(name)).unwrap());
    assert!(
        entries.all(|entry| entry.unwrap().file_name() != "node_modules"),
        "nothing is written to the user's directories"
    );
}

#[test]
fn custom_metrics_that_do_not_arrive_are_named() {
    let code = "\
import socket

def lambda_handler(event, context):
    sender = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    for value in range(3):
        sender.sendto(b'orders:1|d|#shop:a', ('127.0.0.1', 8125))
";
    // The extension binds no port and sends no custom metric.
    let run = Function::new(&[("app.py", code)]).run(&[]);
    if run.document["notes"].to_string().contains("The network is the host's") {
        isolation::skip("no network of its own");
        return;
    }
    assert_eq!(run.status, 5, "{}", run.stderr);
    let loss = &run.document["missing"]["custom_metrics"][0];
    assert_eq!((&loss["name"], &loss["sent"], &loss["arrived"]), (&"orders".into(), &3.0.into(), &0.0.into()));
}

#[test]
fn a_process_that_has_left_its_session_ends_with_the_environment() {
    let code = "\
import subprocess

def lambda_handler(event, context):
    subprocess.Popen(['setsid', 'sh', '-c', 'sleep 4242 & sleep 4242'])
";
    let run = Function::new(&[("app.py", code)]).run(&[]);
    assert_eq!(run.status, 0, "{}", run.stderr);
    let processes = fs::read_dir("/proc").unwrap().flatten();
    let commands = processes.filter_map(|process| fs::read(process.path().join("cmdline")).ok());
    assert_eq!(commands.filter(|command| command.starts_with(b"sleep\x004242")).count(), 0);
}

#[test]
fn a_layer_without_an_extension_leaves_ours_and_its_packages_can_be_imported() {
    let directory =
        Function::new(&[("app.py", "import shared\n\ndef lambda_handler(event, context):\n    return shared.NAME\n")]);
    let layer = directory.path().join("layer.zip");
    let files: [(&str, &[u8]); 1] = [("python/shared.py", b"NAME = 'of the layer'\n")];
    fs::write(&layer, layer_support::foreign(&files)).unwrap();
    let run = directory.run(&["--layer", layer.to_str().unwrap()]);
    assert_eq!(run.status, 0, "{}", run.stderr);
    assert_eq!(run.response(), "of the layer");
    assert_eq!(run.document["gates"][0]["extension"], "datadog-agent");
}

#[test]
fn nothing_is_executed_from_a_cache_that_another_user_owns() {
    let directory = Function::new(&[("app.py", "def lambda_handler(event, context):\n    pass\n")]);
    let cache = tempfile::tempdir().unwrap();
    let planted = cache.path().join("matrix/python");
    fs::create_dir_all(&planted).unwrap();
    if std::os::unix::fs::chown(&planted, Some(65_534), None).is_err() {
        println!("not tested: only root can give files away");
        return;
    }
    let mut command = directory.command(&[]);
    command.current_dir(cache.path()).env_remove("CARGO_TARGET_DIR").env("XDG_CACHE_HOME", cache.path());
    let output = command.output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(6), "{said}");
    assert!(said.contains("belongs to the user with the id 65534"), "{said}");
}

#[test]
fn without_an_extension_nothing_arrives() {
    let output =
        Command::new(env!("CARGO_BIN_EXE_matrix")).args(["invoke", "null", "--no-extension"]).output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && said.contains("No extension ran") && !said.contains("has arrived."), "{said}");
}
