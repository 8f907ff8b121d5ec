//! A scripted extension and ways to read what it said.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that can't go on has failed")]

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use matrix::sandbox::journal::{Entry, JournalEvent};
use matrix::sandbox::setup::Origin;
use matrix::sandbox::{Extension, OutputLine, Sandbox, Setup};
use serde_json::Value;

/// An extension that follows a script; see `extension.py` for its words.
pub fn scripted(name: &str, script: &str) -> Extension {
    let program = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/platform_support/extension.py");
    let mut extension = Extension::new(name, program);
    extension.environment.insert("SCRIPT".to_owned(), script.to_owned());
    extension
}

/// A scripted extension that writes the telemetry it receives to `file`.
pub fn listening(name: &str, script: &str, file: &Path) -> Extension {
    let mut extension = scripted(name, script);
    extension.environment.insert("TELEMETRY".to_owned(), file.to_string_lossy().into_owned());
    extension
}

/// A path of its own for each call, in the temporary directory of this test run.
pub fn fresh_file(name: &str) -> PathBuf {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let count = COUNT.fetch_add(1, Ordering::Relaxed);
    let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("{name}-{}-{count}", std::process::id()));
    let _ = std::fs::remove_file(&path);
    path
}

pub fn start(setup: Setup) -> Sandbox {
    Sandbox::start(setup).unwrap()
}

/// The batches that a listening extension received.
pub fn batches(file: &Path) -> Vec<Vec<Value>> {
    let text = std::fs::read_to_string(file).unwrap_or_default();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// The events that it received.
pub fn received(file: &Path) -> Vec<Value> {
    batches(file).into_iter().flatten().collect()
}

/// The types of events, in order.
pub fn kinds(events: &[Value]) -> Vec<&str> {
    events.iter().map(|event| event["type"].as_str().unwrap()).collect()
}

/// The records of one type.
pub fn records<'a>(events: &'a [Value], kind: &str) -> Vec<&'a Value> {
    events.iter().filter(|event| event["type"] == kind).map(|event| &event["record"]).collect()
}

/// The objects that an extension printed.
pub fn said(output: &[OutputLine], name: &str) -> Vec<Value> {
    let mine = |line: &&OutputLine| line.origin.to_string() == name && line.origin != Origin::Function;
    output.iter().filter(mine).filter_map(|line| serde_json::from_slice(&line.bytes).ok()).collect()
}

/// The platform's answer to a call of an extension.
pub fn answer_to(output: &[OutputLine], name: &str, call: &str) -> Value {
    let said = said(output, name);
    said.iter().find(|said| said["call"] == call).unwrap_or_else(|| panic!("no answer to {call}: {said:?}")).clone()
}

/// When something first happened.
pub fn first(journal: &[Entry], is: impl Fn(&JournalEvent) -> bool) -> Duration {
    journal.iter().find(|entry| is(&entry.what)).map_or_else(|| panic!("not in {journal:#?}"), |entry| entry.at)
}

pub fn happened(journal: &[Entry], is: impl Fn(&JournalEvent) -> bool) -> bool {
    journal.iter().any(|entry| is(&entry.what))
}

/// Waits for something that is bound to happen.
pub fn eventually(what: &str, mut is: impl FnMut() -> bool) {
    let began = Instant::now();
    while !is() {
        assert!(began.elapsed() < Duration::from_secs(20), "still not: {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// An answer to a plain HTTP request.
pub struct Reply {
    pub status: u16,
    pub body: String,
}

/// Makes one HTTP request from the calling thread, and so in that thread's network.
pub fn request(address: std::net::SocketAddr, head: &str, headers: &[(&str, &str)], body: &str) -> Reply {
    use std::fmt::Write as _;
    use std::io::{Read as _, Write as _};
    let mut stream = std::net::TcpStream::connect(address).unwrap();
    let mut text =
        format!("{head} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\nContent-Length: {}\r\n", body.len());
    for (name, value) in headers {
        write!(text, "{name}: {value}\r\n").unwrap();
    }
    stream.write_all(format!("{text}\r\n{body}").as_bytes()).unwrap();
    let mut reply = String::new();
    stream.read_to_string(&mut reply).unwrap();
    let (head, body) = reply.split_once("\r\n\r\n").unwrap();
    Reply { status: head.split(' ').nth(1).unwrap().parse().unwrap(), body: body.to_owned() }
}
