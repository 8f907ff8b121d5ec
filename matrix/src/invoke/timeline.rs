//! What happened in the sandbox over time: the init, the invocations and what everybody did in them, from the journal and the requests at the intake.

use std::time::Duration;

use serde::Serialize;
use time::OffsetDateTime;

use crate::sandbox::intake::Request;
use crate::sandbox::journal::{Entry, JournalEvent};
use crate::sandbox::setup::Origin;

/// Times are milliseconds since the start of the sandbox.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Timeline {
    pub ends_ms: f64,
    pub lanes: Vec<Lane>,
}

/// What one participant did.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Lane {
    pub name: String,
    pub bars: Vec<Bar>,
    pub marks: Vec<Mark>,
}

/// Something that lasted.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Bar {
    pub kind: Kind,
    pub name: String,
    pub from_ms: f64,
    pub to_ms: f64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    Init,
    Invocation,
    /// A process works.
    Busy,
    /// All processes are stopped.
    Frozen,
    /// At least one request is open.
    Flush,
    Request,
    /// A request that was not accepted.
    Rejected,
    Shutdown,
}

/// Something that happened at a moment.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Mark {
    pub name: String,
    pub at_ms: f64,
}

const SANDBOX: &str = "sandbox";
const RUNTIME: &str = "runtime";
const FLUSHES: &str = "flushes";

/// The timeline of a run.
pub fn timeline(journal: &[Entry], requests: &[Request]) -> Timeline {
    let mut builder = Builder::default();
    // The order in which lanes are shown.
    for name in [SANDBOX, RUNTIME] {
        builder.lane(name);
    }
    for entry in journal {
        builder.add(entry);
    }
    let Some(origin) = journal.first().map(|entry| entry.wall - entry.at) else { return Timeline::default() };
    builder.flushes(requests, origin);
    builder.requests(requests, origin);
    builder.finish()
}

#[derive(Default)]
struct Builder {
    lanes: Vec<Lane>,
    open: Vec<OpenBar>,
    ends_ms: f64,
    invocations: usize,
}

/// A bar whose end is not known yet.
struct OpenBar {
    lane: usize,
    kind: Kind,
    name: String,
    from_ms: f64,
}

impl Builder {
    fn add(&mut self, entry: &Entry) {
        let at = milliseconds(entry.at);
        self.ends_ms = self.ends_ms.max(at);
        match &entry.what {
            JournalEvent::InitStarted { phase } => {
                let name = if *phase == "invoke" { "init inside an invocation" } else { "init" };
                self.begin(SANDBOX, Kind::Init, name.to_owned(), at);
            }
            JournalEvent::RestoreStarted => self.begin(SANDBOX, Kind::Init, "restore".to_owned(), at),
            JournalEvent::InitOver { .. } | JournalEvent::RestoreOver => self.end(SANDBOX, Kind::Init, at),
            JournalEvent::RuntimeStarted => self.begin(RUNTIME, Kind::Init, "init of the runtime".to_owned(), at),
            JournalEvent::RuntimeNext => {
                self.end(RUNTIME, Kind::Init, at);
                self.end(RUNTIME, Kind::Busy, at);
            }
            JournalEvent::RuntimeDone { .. } => self.end(RUNTIME, Kind::Busy, at),
            JournalEvent::Invoked { .. } => self.invoked(at),
            JournalEvent::InvocationOver { .. } => self.end(SANDBOX, Kind::Invocation, at),
            JournalEvent::Frozen => self.begin(SANDBOX, Kind::Frozen, "frozen".to_owned(), at),
            JournalEvent::Thawed => self.end(SANDBOX, Kind::Frozen, at),
            JournalEvent::ShutdownStarted { reason } => {
                self.begin(SANDBOX, Kind::Shutdown, format!("shutdown ({reason})"), at);
            }
            JournalEvent::ShutdownOver => self.open_bars_end(at),
            other => self.add_of_process(other, at),
        }
    }

    /// What one extension or the function did.
    fn add_of_process(&mut self, event: &JournalEvent, at: f64) {
        match event {
            JournalEvent::Executed { origin: Origin::Extension(name), .. } => {
                self.begin(name, Kind::Init, format!("init of {name}"), at);
            }
            JournalEvent::Registered { name, internal: false } => self.mark(name, "registered", at),
            JournalEvent::Subscribed { name } => self.mark(name, "subscribed to telemetry", at),
            JournalEvent::ExtensionNext { name } => {
                if self.has_ended(name, Kind::Init, at) {
                    self.mark(name, "ready", at);
                }
                self.end(name, Kind::Busy, at);
            }
            JournalEvent::ShutdownSent { name } => {
                self.begin(name, Kind::Shutdown, format!("shutdown of {name}"), at);
            }
            JournalEvent::Exited { origin, .. } => {
                let lane = lane_of(origin);
                for kind in [Kind::Init, Kind::Busy, Kind::Shutdown] {
                    self.end(&lane, kind, at);
                }
                self.mark(&lane, "ended", at);
            }
            _ => {}
        }
    }

    /// An event goes to the runtime, and to the extensions, which work until they ask for the next one.
    fn invoked(&mut self, at: f64) {
        self.invocations += 1;
        let name = format!("invocation {}", self.invocations);
        self.begin(SANDBOX, Kind::Invocation, name.clone(), at);
        for lane in 1..self.lanes.len() {
            self.begin_in(lane, Kind::Busy, name.clone(), at);
        }
    }

    fn flushes(&mut self, requests: &[Request], origin: OffsetDateTime) {
        let mut times: Vec<(f64, f64)> = requests.iter().map(|request| self.times(request, origin)).collect();
        times.sort_by(|one, other| one.0.total_cmp(&other.0));
        let mut flushes: Vec<(f64, f64)> = Vec::new();
        for (from, to) in times {
            match flushes.last_mut().filter(|(_, last)| from <= *last) {
                Some((_, last)) => *last = last.max(to),
                None => flushes.push((from, to)),
            }
        }
        let lane = self.lane(FLUSHES);
        for (number, (from_ms, to_ms)) in flushes.into_iter().enumerate() {
            self.push(lane, Bar { kind: Kind::Flush, name: format!("flush {}", number + 1), from_ms, to_ms });
        }
    }

    fn requests(&mut self, requests: &[Request], origin: OffsetDateTime) {
        for request in requests {
            let (from_ms, to_ms) = self.times(request, origin);
            let kind = if request.delivered() { Kind::Request } else { Kind::Rejected };
            let name = format!("request {}, {} bytes", request.number, request.wire_bytes);
            let lane = self.lane(&request.path);
            self.push(lane, Bar { kind, name, from_ms, to_ms });
        }
    }

    /// From the last byte of a request until its answer, or the end of the run.
    fn times(&self, request: &Request, origin: OffsetDateTime) -> (f64, f64) {
        let since = |at: OffsetDateTime| (at - origin).as_seconds_f64() * 1000.0;
        let from = since(request.at);
        (from, request.ended.map_or(self.ends_ms, since).max(from))
    }

    fn begin(&mut self, lane: &str, kind: Kind, name: String, at: f64) {
        let lane = self.lane(lane);
        self.begin_in(lane, kind, name, at);
    }

    fn begin_in(&mut self, lane: usize, kind: Kind, name: String, from_ms: f64) {
        self.open.push(OpenBar { lane, kind, name, from_ms });
    }

    fn end(&mut self, lane: &str, kind: Kind, at: f64) {
        let _ = self.has_ended(lane, kind, at);
    }

    /// Ends all open bars of a kind; false if there are none.
    fn has_ended(&mut self, lane: &str, kind: Kind, at: f64) -> bool {
        let lane = self.lane(lane);
        let (ended, open) =
            std::mem::take(&mut self.open).into_iter().partition(|bar| bar.lane == lane && bar.kind == kind);
        self.open = open;
        self.close(ended, at)
    }

    fn open_bars_end(&mut self, at: f64) {
        let ended = std::mem::take(&mut self.open);
        self.close(ended, at);
    }

    fn close(&mut self, ended: Vec<OpenBar>, to_ms: f64) -> bool {
        let is_any = !ended.is_empty();
        for OpenBar { lane, kind, name, from_ms } in ended {
            self.push(lane, Bar { kind, name, from_ms, to_ms });
        }
        is_any
    }

    fn mark(&mut self, lane: &str, name: &str, at_ms: f64) {
        let lane = self.lane(lane);
        if let Some(lane) = self.lanes.get_mut(lane) {
            lane.marks.push(Mark { name: name.to_owned(), at_ms });
        }
    }

    fn push(&mut self, lane: usize, bar: Bar) {
        self.ends_ms = self.ends_ms.max(bar.to_ms);
        if let Some(lane) = self.lanes.get_mut(lane) {
            lane.bars.push(bar);
        }
    }

    /// The number of the lane, which is made at its first mention.
    fn lane(&mut self, name: &str) -> usize {
        self.lanes.iter().position(|lane| lane.name == name).unwrap_or_else(|| {
            self.lanes.push(Lane { name: name.to_owned(), ..Lane::default() });
            self.lanes.len() - 1
        })
    }

    fn finish(mut self) -> Timeline {
        let end = self.ends_ms;
        self.open_bars_end(end);
        for lane in &mut self.lanes {
            lane.bars.sort_by(|one, other| one.from_ms.total_cmp(&other.from_ms));
        }
        self.lanes.retain(|lane| !(lane.bars.is_empty() && lane.marks.is_empty()));
        Timeline { ends_ms: self.ends_ms, lanes: self.lanes }
    }
}

fn lane_of(origin: &Origin) -> String {
    match origin {
        Origin::Function => RUNTIME.to_owned(),
        Origin::Extension(name) => name.to_string(),
    }
}

fn milliseconds(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1000.0
}

#[cfg(test)]
#[path = "timeline_tests.rs"]
mod tests;
