//! What Lambda's APIs see of a start, byte for byte: the same from the agent by itself and from the launcher before it.

use std::{
    io::{Read as _, Write as _},
    net::TcpListener,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    thread,
};

use matrix::build::launcher;

use crate::support::{has_short_order, in_own_network};

const REGISTERED: &str =
    "HTTP/1.1 200 OK\r\nLambda-Extension-Identifier: id-1\r\ncontent-length: 18\r\n\r\n{\"accountId\":\"12\"}";
const SUBSCRIBED_AND_SHUTDOWN: &str = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nOK\
     HTTP/1.1 200 OK\r\ncontent-length: 39\r\n\r\n{\"eventType\":\"SHUTDOWN\",\"deadlineMs\":1}";

/// The agent, and the launcher, which has no agent here and so does by itself what the platform asks for.
fn programs() -> [PathBuf; 2] {
    [PathBuf::from(env!("CARGO_BIN_EXE_bottlecap")), launcher::for_tests().unwrap().to_owned()]
}

/// What became of a start.
#[derive(Debug, PartialEq, Eq)]
struct Start {
    /// What each read of the platform got, in which the address is replaced by `API`.
    reads: Vec<String>,
    /// Lines of the log that say ERROR, with the same replacement.
    errors: Vec<String>,
    code: Option<i32>,
}

/// Starts a program beside a platform that answers each read with one of these, and closes the connection behind the last.
fn start(program: &Path, initialization: &str, answers: &[&str]) -> Start {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let api = listener.local_addr().unwrap().to_string();
    let mut command = Command::new(program);
    command.env_clear().env("AWS_LAMBDA_RUNTIME_API", &api).env("AWS_LAMBDA_INITIALIZATION_TYPE", initialization);
    let child = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    let reads = thread::scope(|scope| {
        let platform = scope.spawn(|| {
            let (mut stream, _) = listener.accept().unwrap();
            let mut bytes = [0; 4096];
            answers
                .iter()
                .map(|answer| {
                    let read = stream.read(&mut bytes).unwrap();
                    stream.write_all(answer.as_bytes()).unwrap();
                    String::from_utf8(bytes[..read].to_vec()).unwrap()
                })
                .collect::<Vec<_>>()
        });
        platform.join().unwrap()
    });
    let output = child.wait_with_output().unwrap();
    let plain = |text: &str| text.replace(&api, "API");
    let lines = String::from_utf8(output.stdout).unwrap();
    // Without an agent the launcher says so, and only then.
    let is_contract = |line: &&str| line.contains("\"ERROR\"") && !line.contains("The agent cannot be started");
    Start {
        reads: reads.iter().map(|read| plain(read)).collect(),
        errors: lines.lines().filter(is_contract).map(plain).collect(),
        code: output.status.code(),
    }
}

#[test]
fn agent_and_launcher_send_the_same_bytes_in_two_writes() {
    if !has_short_order("the bytes of the startup requests") {
        return;
    }
    in_own_network(|| {
        for (initialization, events, schema) in [
            ("on-demand", r#"{"events":["INVOKE","SHUTDOWN"]}"#, "2022-12-13"),
            ("lambda-managed-instances", r#"{"events":["SHUTDOWN"]}"#, "2025-01-29"),
        ] {
            let register = format!(
                "POST /2020-01-01/extension/register HTTP/1.1\r\nhost: API\r\nlambda-extension-name: datadog-agent\r\n\
                 lambda-extension-accept-feature: accountId\r\ncontent-length: {}\r\n\r\n{events}",
                events.len()
            );
            let subscribe_and_next = format!(
                "PUT /2022-07-01/telemetry HTTP/1.1\r\nhost: API\r\nlambda-extension-identifier: id-1\r\n\
                 content-type: application/json\r\ncontent-length: 212\r\n\r\n{{\"schemaVersion\":\"{schema}\",\
                 \"destination\":{{\"protocol\":\"HTTP\",\"URI\":\"http://sandbox.localdomain:8999/\"}},\
                 \"types\":[\"platform\",\"extension\",\"function\"],\
                 \"buffering\":{{\"maxItems\":1000,\"maxBytes\":262144,\"timeoutMs\":25}}}}\
                 GET /2020-01-01/extension/event/next HTTP/1.1\r\nhost: API\r\nlambda-extension-identifier: id-1\r\n\r\n"
            );
            for program in programs() {
                let start = start(&program, initialization, &[REGISTERED, SUBSCRIBED_AND_SHUTDOWN]);
                assert_eq!(start.reads, [register.as_str(), &subscribe_and_next], "{}", program.display());
                assert_eq!(start.code, Some(0), "{}: {start:?}", program.display());
            }
        }
    });
}

#[test]
fn agent_and_launcher_report_a_failed_registration_equally() {
    if !has_short_order("the errors of the registration") {
        return;
    }
    in_own_network(|| {
        for (answer, expected) in [
            (
                "HTTP/1.1 403 Forbidden\r\ncontent-length: 9\r\n\r\nno \"way\"\n",
                r#"register: Lambda answered 403 - Response: no \"way\"\\n"#,
            ),
            (
                "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}",
                "register: Lambda's answer makes no sense: no header lambda-extension-identifier",
            ),
        ] {
            let [agent, launcher] = programs().map(|program| start(&program, "on-demand", &[answer]));
            let line = format!(r#"{{"status":"ERROR","message":"DD_EXTENSION | ERROR | EXTENSION | {expected}"}}"#);
            assert_eq!((&agent.errors, agent.code), (&vec![line], Some(1)));
            assert_eq!(launcher, agent);
        }
    });
}
