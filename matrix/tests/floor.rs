//! The floor: what the platform sees of it, byte for byte, and that it lives as long as its environment.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test that can't go on has failed")]

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use crate::platform_support::{happened, start};
use matrix::build::{launcher, yardstick};
use matrix::sandbox::faults::{Calls, Effect, Endpoint, Fault};
use matrix::sandbox::function::HandlerOutcome;
use matrix::sandbox::journal::JournalEvent;
use matrix::sandbox::{Extension, Function, Outcome, Setup};
use matrix::target::Architecture;

const ID: &str = "00000000-0000-4000-8000-000000000000";
const INVOKE: &str = r#"{"eventType":"INVOKE","deadlineMs":1,"requestId":"r"}"#;
const SHUTDOWN: &str = r#"{"eventType":"SHUTDOWN","deadlineMs":1}"#;
const ACCEPTED: &str = "HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n";

/// The floor, started beside a platform of this test.
struct FloorProcess {
    listener: TcpListener,
    child: Child,
}

impl FloorProcess {
    fn new() -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let child = floor(Some(&listener.local_addr().unwrap().to_string()));
        Self { listener, child }
    }

    fn host(&self) -> String {
        self.listener.local_addr().unwrap().to_string()
    }

    fn accept(&self) -> TcpStream {
        let (stream, _) = self.listener.accept().unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
        stream
    }

    /// The connection behind the registration, and the port for telemetry; the request for the first event has come.
    fn subscribed(&self) -> (TcpStream, String) {
        let mut stream = self.accept();
        read(&mut stream);
        answer(&mut stream, &format!("lambda-extension-identifier: {ID}\r\n"), "{}");
        let both = read(&mut stream);
        let port = both.split("localdomain:").nth(1).unwrap().split('/').next().unwrap().to_owned();
        (stream, port)
    }

    fn next(&self) -> String {
        format!(
            "GET /2020-01-01/extension/event/next HTTP/1.1\r\nhost: {}\r\nlambda-extension-identifier: {ID}\r\n\r\n",
            self.host()
        )
    }

    fn exit_code(mut self) -> Option<i32> {
        self.child.wait().unwrap().code()
    }
}

fn floor(api: Option<&str>) -> Child {
    let mut command = Command::new(yardstick::for_tests().unwrap());
    command.env_clear().envs(api.map(|api| ("AWS_LAMBDA_RUNTIME_API", api)));
    command.stdin(Stdio::null()).spawn().unwrap()
}

/// What comes in one write.
fn read(stream: &mut TcpStream) -> String {
    let mut bytes = [0; 4096];
    let length = stream.read(&mut bytes).unwrap();
    String::from_utf8(bytes[..length].to_vec()).unwrap()
}

fn response(headers: &str, body: &str) -> String {
    format!("HTTP/1.1 200 OK\r\n{headers}content-length: {}\r\n\r\n{body}", body.len())
}

fn answer(stream: &mut TcpStream, headers: &str, body: &str) {
    stream.write_all(response(headers, body).as_bytes()).unwrap();
}

#[test]
fn requests_are_these_bytes_in_two_writes() {
    let started = FloorProcess::new();
    let host = started.host();
    let mut stream = started.accept();
    assert_eq!(
        read(&mut stream),
        format!(
            "POST /2020-01-01/extension/register HTTP/1.1\r\nhost: {host}\r\nlambda-extension-name: datadog-agent\r\n\
             lambda-extension-accept-feature: accountId\r\ncontent-length: 32\r\n\r\n{{\"events\":[\"INVOKE\",\"SHUTDOWN\"]}}"
        )
    );
    answer(&mut stream, &format!("lambda-extension-identifier: {ID}\r\n"), "{}");
    let both = read(&mut stream);
    let port = both.split("localdomain:").nth(1).unwrap().split('/').next().unwrap();
    let subscription = format!(
        r#"{{"schemaVersion":"2022-12-13","destination":{{"protocol":"HTTP","URI":"http://sandbox.localdomain:{port}/"}},"types":["platform","extension","function"],"buffering":{{"maxItems":1000,"maxBytes":262144,"timeoutMs":25}}}}"#
    );
    let expected = format!(
        "PUT /2022-07-01/telemetry HTTP/1.1\r\nhost: {host}\r\nlambda-extension-identifier: {ID}\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n\
         {subscription}{}",
        subscription.len(),
        started.next()
    );
    assert_eq!(both, expected);
    // An event that comes with the response to the subscription is not waited for.
    stream.write_all((response("", "OK") + &response("", INVOKE)).as_bytes()).unwrap();
    assert_eq!(read(&mut stream), started.next());
    answer(&mut stream, "", SHUTDOWN);
    assert_eq!(started.exit_code(), Some(0));
}

#[test]
fn telemetry_is_accepted_however_it_comes() {
    let started = FloorProcess::new();
    let (mut stream, port) = started.subscribed();
    let connect = || {
        let sender = TcpStream::connect((Ipv4Addr::LOCALHOST, port.parse().unwrap())).unwrap();
        sender.set_nodelay(true).unwrap();
        sender.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
        sender
    };
    let accepted = |sender: &mut TcpStream, times: usize| {
        let mut said = vec![0; ACCEPTED.len() * times];
        sender.read_exact(&mut said).unwrap();
        assert_eq!(String::from_utf8(said).unwrap(), ACCEPTED.repeat(times));
    };
    let request = |body: &str| {
        format!(
            "POST / HTTP/1.1\r\nHost: x\r\nX-Long: {}\r\nContent-Length:{}\r\n\r\n{body}",
            "y".repeat(99),
            body.len()
        )
    };
    let mut one = connect();
    for byte in request("[1]").bytes() {
        one.write_all(&[byte]).unwrap();
    }
    accepted(&mut one, 1);
    let large = request(&"x".repeat(300_000));
    one.write_all((request("[]") + &large + "POST / HTTP/1.1\r\n\r\n").as_bytes()).unwrap();
    accepted(&mut one, 3);
    // More than are served at once: the last one has its turn when another one has gone.
    let mut others: Vec<TcpStream> = (0..9).map(|_| connect()).collect();
    others.truncate(4);
    let mut last = connect();
    last.write_all(request("[]").as_bytes()).unwrap();
    accepted(&mut last, 1);
    others.push(one);
    answer(&mut stream, "", "OK");
    answer(&mut stream, "", SHUTDOWN);
    assert_eq!(started.exit_code(), Some(0));
}

#[test]
fn closed_connection_is_reopened_and_missing_platform_ends_the_floor() {
    let started = FloorProcess::new();
    let (stream, _) = started.subscribed();
    drop(stream);
    let mut stream = started.accept();
    assert_eq!(read(&mut stream), started.next());
    answer(&mut stream, "connection: close\r\n", INVOKE);
    let mut stream = started.accept();
    assert_eq!(read(&mut stream), started.next());
    stream.write_all(b"HTTP/1.1 500 Oops\r\ncontent-length: 0\r\n\r\n").unwrap();
    assert_eq!(read(&mut stream), started.next());
    let FloorProcess { listener, mut child } = started;
    drop((stream, listener));
    assert_eq!(child.wait().unwrap().code(), Some(1));
}

#[test]
fn without_a_registration_it_ends() {
    for api in [None, Some("localhost:9001"), Some("127.0.0.1:1")] {
        assert_eq!(floor(api).wait().unwrap().code(), Some(1), "{api:?}");
    }
    let started = FloorProcess::new();
    let mut stream = started.accept();
    read(&mut stream);
    stream.write_all(b"HTTP/1.1 403 Forbidden\r\ncontent-length: 2\r\n\r\nno").unwrap();
    assert_eq!(started.exit_code(), Some(1));
}

#[test]
fn in_process_runtime_ends_with_its_environment() {
    let fault = |calls, effect| Fault { endpoint: Endpoint::ExtensionNext, calls, effect };
    let faults = vec![fault(Calls::Only(2), Effect::Reset), fault(Calls::Only(4), Effect::Close)];
    let extensions = vec![Extension::new("datadog-agent", yardstick::for_tests().unwrap())];
    // Longer than telemetry is held back.
    let function = Function::from_fn(|_| {
        std::thread::sleep(Duration::from_millis(60));
        HandlerOutcome::Response(Vec::new())
    });
    let sandbox = start(Setup { extensions, faults, function, ..Setup::default() });
    for _ in 0..5 {
        assert_eq!(sandbox.invoke(b"{}").unwrap().outcome, Outcome::Success);
    }
    let journal = sandbox.journal();
    let ending = sandbox.shutdown().unwrap();
    assert!(ending.extensions.iter().all(|exit| !exit.killed && exit.status == "exit status: 0"), "{ending:#?}");
    let is_delivered = |event: &JournalEvent| matches!(event, JournalEvent::Delivered { .. });
    let is_lost = |event: &JournalEvent| {
        matches!(event, JournalEvent::Undelivered { .. } | JournalEvent::Dropped { .. } | JournalEvent::Refused { .. })
    };
    assert!(happened(&journal, is_delivered) && !happened(&journal, is_lost), "{journal:#?}");
}

#[test]
fn it_is_as_small_as_a_launcher_has_to_be() {
    let program = fs::read(yardstick::for_tests().unwrap()).unwrap();
    let objections = launcher::objections(&program, &Architecture::of_this_machine().to_string());
    assert_eq!(objections, Vec::<String>::new());
}
