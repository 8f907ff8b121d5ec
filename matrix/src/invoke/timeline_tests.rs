use std::sync::Arc;

use super::*;
use crate::sandbox::intake::{Payload, RequestOutcome};

fn entry(at: u64, what: JournalEvent) -> Entry {
    let at = Duration::from_millis(at);
    Entry { at, wall: OffsetDateTime::UNIX_EPOCH + at, what }
}

fn agent() -> String {
    "agent".to_owned()
}

fn extension() -> Origin {
    Origin::Extension(Arc::from("agent"))
}

fn invoked(at: u64) -> Entry {
    entry(at, JournalEvent::Invoked { request_id: "r1".to_owned() })
}

/// An init, an invocation after which the extension works for a while, a freeze, and the shutdown.
fn journal() -> Vec<Entry> {
    let request_id = || "r1".to_owned();
    vec![
        entry(0, JournalEvent::InitStarted { phase: "init" }),
        entry(1, JournalEvent::Executed { origin: extension(), pid: 7 }),
        entry(3, JournalEvent::Registered { name: agent(), internal: false }),
        entry(4, JournalEvent::RuntimeStarted),
        entry(5, JournalEvent::ExtensionNext { name: agent() }),
        entry(50, JournalEvent::RuntimeNext),
        entry(50, JournalEvent::InitOver { phase: "init", status: "success" }),
        invoked(60),
        entry(70, JournalEvent::RuntimeDone { request_id: request_id(), status: "success" }),
        entry(90, JournalEvent::ExtensionNext { name: agent() }),
        entry(91, JournalEvent::InvocationOver { request_id: request_id(), status: "success" }),
        entry(92, JournalEvent::Frozen),
        entry(95, JournalEvent::Thawed),
        entry(96, JournalEvent::ShutdownStarted { reason: "spindown" }),
        entry(97, JournalEvent::ShutdownSent { name: agent() }),
        entry(99, JournalEvent::Exited { origin: extension(), status: "exit status: 0".to_owned() }),
        entry(100, JournalEvent::ShutdownOver),
    ]
}

fn request(number: usize, [at, ended]: [u64; 2], code: u16) -> Request {
    let moment = |at| OffsetDateTime::UNIX_EPOCH + Duration::from_millis(at);
    Request {
        number,
        at: moment(at),
        method: "POST".into(),
        path: "/api/v2/logs".into(),
        headers: Vec::new(),
        api_key: None,
        encoding: "zstd".into(),
        wire_bytes: 10,
        body_bytes: 100,
        payload: Payload::Logs(Vec::new()),
        answer: RequestOutcome::Status { code, delay_ms: 0 },
        ended: Some(moment(ended)),
        problems: Vec::new(),
    }
}

fn bars<'t>(timeline: &'t Timeline, lane: &str) -> Vec<(&'t str, Kind, f64, f64)> {
    let lane = timeline.lanes.iter().find(|known| known.name == lane).unwrap();
    lane.bars.iter().map(|bar| (bar.name.as_str(), bar.kind, bar.from_ms, bar.to_ms)).collect()
}

#[test]
fn every_phase_has_its_bar() {
    let timeline = timeline(&journal(), &[]);
    let sandbox = [
        ("init", Kind::Init, 0.0, 50.0),
        ("invocation 1", Kind::Invocation, 60.0, 91.0),
        ("frozen", Kind::Frozen, 92.0, 95.0),
        ("shutdown (spindown)", Kind::Shutdown, 96.0, 100.0),
    ];
    assert_eq!(bars(&timeline, "sandbox"), sandbox);
    let runtime = [("init of the runtime", Kind::Init, 4.0, 50.0), ("invocation 1", Kind::Busy, 60.0, 70.0)];
    assert_eq!(bars(&timeline, "runtime"), runtime);
    let extension = [
        ("init of agent", Kind::Init, 1.0, 5.0),
        ("invocation 1", Kind::Busy, 60.0, 90.0),
        ("shutdown of agent", Kind::Shutdown, 97.0, 99.0),
    ];
    assert_eq!(bars(&timeline, "agent"), extension);
    let agent = timeline.lanes.iter().find(|lane| lane.name == "agent").unwrap();
    let marks: Vec<_> = agent.marks.iter().map(|mark| (mark.name.as_str(), mark.at_ms)).collect();
    assert_eq!(marks, [("registered", 3.0), ("ready", 5.0), ("ended", 99.0)]);
    assert!(timeline.lanes.iter().all(|lane| lane.name != "flushes"), "nothing was sent");
}

#[test]
fn requests_that_are_open_together_are_one_flush() {
    let requests = [request(1, [62, 70], 202), request(2, [65, 80], 403), request(3, [98, 99], 202)];
    let timeline = timeline(&journal(), &requests);
    let flushes = [("flush 1", Kind::Flush, 62.0, 80.0), ("flush 2", Kind::Flush, 98.0, 99.0)];
    assert_eq!(bars(&timeline, "flushes"), flushes);
    let kinds: Vec<Kind> = bars(&timeline, "/api/v2/logs").into_iter().map(|bar| bar.1).collect();
    assert_eq!(kinds, [Kind::Request, Kind::Rejected, Kind::Request]);
}

#[test]
fn what_is_open_ends_with_the_run() {
    let journal =
        [entry(0, JournalEvent::InitStarted { phase: "init" }), invoked(10), entry(30, JournalEvent::Throttled)];
    let timeline = timeline(&journal, &[Request { ended: None, ..request(1, [20, 20], 202) }]);
    assert_eq!(bars(&timeline, "sandbox").last(), Some(&("invocation 1", Kind::Invocation, 10.0, 30.0)));
    assert_eq!(bars(&timeline, "/api/v2/logs"), [("request 1, 10 bytes", Kind::Request, 20.0, 30.0)]);
    assert_eq!(super::timeline(&[], &[]), Timeline::default());
}
