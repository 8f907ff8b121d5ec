//! What an extension had used at the moment at which it first asked for an event, and not a moment later.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test that can't go on has failed")]

use std::path::{Path, PathBuf};
use std::time::Duration;

use matrix::executable;
use matrix::sandbox::faults::{Calls, Effect, Endpoint, Fault};
use matrix::sandbox::journal::{Entry, JournalEvent};
use matrix::sandbox::setup::Limits;
use matrix::sandbox::{Extension, Footprint, Outcome, Sandbox, Setup};

/// Registers, asks for an event and goes on at once with what `AFTER` says, written in one piece or in several.
const PROGRAM: &str = r#"#!/usr/bin/env python3
import os, socket, sys, threading, time

host, port = os.environ["AWS_LAMBDA_RUNTIME_API"].split(":")
name = os.path.basename(sys.argv[0])

def connect():
    api = socket.create_connection((host, int(port)))
    # Otherwise a piece is held back until the one before has been acknowledged, and arrives long after its writer has gone on.
    api.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return api

def request(method, path, headers, body=""):
    return f"{method} {path} HTTP/1.1\r\nHost: x\r\n{headers}Content-Length: {len(body)}\r\n\r\n{body}".encode()

def answer(api):
    text = b""
    while b"\r\n\r\n" not in text:
        text += api.recv(65536)
    head, body = text.split(b"\r\n\r\n", 1)
    fields = dict(line.split(": ", 1) for line in head.decode().lower().split("\r\n")[1:])
    while len(body) < int(fields["content-length"]):
        body += api.recv(65536)
    return fields, body

def touch(megabytes):
    return [bytearray(b"x" * (1 << 20)) for _ in range(megabytes)]

api = connect()
event = '{"events":["INVOKE","SHUTDOWN"]}'
api.sendall(request("POST", "/2020-01-01/extension/register", f"Lambda-Extension-Name: {name}\r\n", event))
identity = f"Lambda-Extension-Identifier: {answer(api)[0]['lambda-extension-identifier']}\r\n"
ask = request("GET", "/2020-01-01/extension/event/next", identity)
telemetry = request("PUT", "/2022-07-01/telemetry", identity, "{}")
how, after = os.environ["HOW"], os.environ["AFTER"]
if how == "whole":
    api.sendall(ask)
elif how == "pieces":
    for start in range(0, len(ask), 9):
        api.sendall(ask[start : start + 9])
elif how == "behind":
    # In one piece with a request whose answer is not waited for, as a quick extension does.
    api.sendall(telemetry + ask)
elif how == "beside":
    others = [connect() for _ in range(5)]
    for other in others:
        other.sendall(telemetry[:20])
    others[0].close()
    api.sendall(ask)
if after == "threads":
    for _ in range(4):
        threading.Thread(target=time.sleep, args=(60,), daemon=True).start()
elif after == "memory":
    kept = touch(64)
elif after == "exec":
    # The sockets go along, and a shell uses a tenth of the memory.
    os.set_inheritable(api.fileno(), True)
    os.execv("/bin/sh", ["sh", "-c", "sleep 60"])
if how == "behind":
    answer(api)
while b"SHUTDOWN" not in answer(api)[1]:
    api.sendall(ask)
os._exit(0)
"#;

fn program(directory: &tempfile::TempDir) -> PathBuf {
    // PATH in a sandbox is Lambda's, where the host's python3 may not stand.
    let path = std::env::var_os("PATH").unwrap();
    let python = std::env::split_paths(&path).map(|folder| folder.join("python3")).find(|file| file.exists()).unwrap();
    let program = directory.path().join("program");
    executable::write(&program, PROGRAM.replacen("/usr/bin/env python3", python.to_str().unwrap(), 1)).unwrap();
    program
}

fn python(program: &Path, how: &str, after: &str) -> Extension {
    let mut extension = Extension::new("datadog-agent", program);
    extension.environment = [("HOW", how), ("AFTER", after)].map(|(key, value)| (key.into(), value.into())).into();
    extension
}

struct FootprintEvent {
    footprint: Footprint,
    stopped: bool,
}

fn taken(journal: &[Entry]) -> FootprintEvent {
    let mut taken = journal.iter().filter_map(|entry| match &entry.what {
        JournalEvent::Footprint { footprint, stopped, .. } => {
            Some(FootprintEvent { footprint: *footprint, stopped: *stopped })
        }
        _ => None,
    });
    let first = taken.next().unwrap();
    assert!(taken.next().is_none(), "{journal:#?}");
    first
}

/// Starts an extension. Whatever it does afterwards, its footprint is that of the moment.
fn start(extension: Extension, faults: Vec<Fault>) -> Footprint {
    let setup = Setup { extensions: vec![extension], faults, footprints: true, freeze: false, ..Setup::default() };
    let sandbox = Sandbox::start(setup).unwrap();
    let FootprintEvent { footprint, stopped } = taken(&sandbox.journal());
    assert!(stopped, "{:#?}", sandbox.journal());
    footprint
}

#[test]
fn a_thread_that_is_started_just_after_is_not_there_yet() {
    for _ in 0..20 {
        let footprint = start(Extension::new("datadog-agent", env!("CARGO_BIN_EXE_std-floor")), Vec::new());
        assert_eq!(footprint.threads, 1);
    }
}

#[test]
fn footprint_excludes_work_after_next() {
    let directory = tempfile::tempdir().unwrap();
    let program = program(&directory);
    // None of them is the least, but an interpreter with a few modules is far from 32 MiB.
    let expected = 4 << 10..32 << 10;
    for how in ["whole", "pieces", "behind", "beside"] {
        for after in ["threads", "memory", "exec"] {
            let footprint = start(python(&program, how, after), Vec::new());
            assert_eq!(footprint.threads, 1, "{how}, {after}");
            assert!(expected.contains(&footprint.resident_peak_kib), "{how}, {after}: {footprint:?}");
        }
    }
}

#[test]
fn a_slow_platform_stops_the_extension_no_longer_than_it_has_to() {
    let directory = tempfile::tempdir().unwrap();
    let program = program(&directory);
    let delay = |endpoint| Fault { endpoint, calls: Calls::Every, effect: Effect::Delay(Duration::from_millis(30)) };
    for how in ["behind", "pieces"] {
        let footprint =
            start(python(&program, how, "memory"), vec![delay(Endpoint::Register), delay(Endpoint::Subscribe)]);
        assert!(footprint.resident_peak_kib < 32 << 10, "{how}: {footprint:?}");
    }
}

#[test]
fn stopped_extension_continues_normally() {
    let directory = tempfile::tempdir().unwrap();
    let extensions = vec![python(&program(&directory), "beside", "threads")];
    let sandbox = Sandbox::start(Setup { extensions, footprints: true, ..Setup::default() }).unwrap();
    for _ in 0..3 {
        assert_eq!(sandbox.invoke(b"{}").unwrap().outcome, Outcome::Success);
    }
    let record = sandbox.shutdown().unwrap();
    assert!(record.extensions.iter().all(|exit| !exit.killed && exit.status == "exit status: 0"), "{record:#?}");
    assert!(taken(&record.journal).stopped);
}

#[test]
fn an_environment_that_comes_after_a_failed_one_is_stopped_as_well() {
    let extensions = vec![Extension::new("datadog-agent", env!("CARGO_BIN_EXE_std-floor"))];
    let faults = vec![Fault { endpoint: Endpoint::Register, calls: Calls::Only(1), effect: Effect::Status(500) }];
    let limits = Limits { init: Duration::from_secs(1), ..Limits::default() };
    let setup = Setup { extensions, faults, limits, footprints: true, ..Setup::default() };
    let sandbox = Sandbox::start(setup).unwrap();
    assert!(!sandbox.journal().iter().any(|entry| matches!(entry.what, JournalEvent::Footprint { .. })));
    assert_eq!(sandbox.invoke(b"{}").unwrap().outcome, Outcome::Success);
    let FootprintEvent { footprint, stopped } = taken(&sandbox.journal());
    assert!(stopped && footprint.threads == 1, "{footprint:?}");
}

#[test]
fn footprints_of_several_extensions_are_marked_as_late() {
    let floor = |name: &str| Extension::new(name, env!("CARGO_BIN_EXE_std-floor"));
    let extensions = vec![floor("one"), floor("two")];
    let sandbox = Sandbox::start(Setup { extensions, footprints: true, ..Setup::default() }).unwrap();
    let journal = sandbox.journal();
    let is_late = journal.iter().any(|entry| matches!(entry.what, JournalEvent::FootprintsLate { .. }));
    let stopped: Vec<bool> = journal
        .iter()
        .filter_map(|entry| match entry.what {
            JournalEvent::Footprint { stopped, .. } => Some(stopped),
            _ => None,
        })
        .collect();
    assert!(is_late && stopped == [false, false], "{journal:#?}");
}
