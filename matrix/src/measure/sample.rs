//! A sample: one cold start, a line of `samples.jsonl`.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::plan::Condition;

/// The record of one start. Lines are only appended, so an interrupted run keeps its samples.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Sample {
    /// The schema version, [`crate::plan::SCHEMA`].
    pub schema: u32,
    /// The cell's id in the plan.
    pub cell: String,
    /// The first 16 hexadecimal digits of the SHA-256 of the program that was started.
    pub program: String,
    /// The condition of the start.
    pub condition: Condition,
    /// The block of that condition, from 0.
    pub block: u32,
    /// The position of the start in its block, from 0.
    pub position: u32,
    /// The time of the start in milliseconds since the epoch, to show drift.
    pub at_ms: i64,
    /// Values by measure, with the names in [`MEASURES`]. A value that could not be measured is absent, not zero.
    pub measures: BTreeMap<String, f64>,
    /// The extension's own checkpoints in milliseconds since exec, in order, if it was built with them.
    pub phases: Vec<Phase>,
    /// The digest of the payloads that the fake intake received.
    pub digest: Option<String>,
    /// What the function printed and sent, or the platform reported, and the intake did not receive. Absent if nothing is missing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub undelivered: Option<String>,
    /// Why this start does not count: the extension crashed, the function failed, or a payload was rejected.
    pub failure: Option<String>,
    /// Whether the failure is the sandbox's and not the program's. Such a start is repeated when the run is resumed.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub harness: bool,
}

/// A checkpoint.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Phase {
    /// The name of the checkpoint.
    pub name: String,
    /// Milliseconds since exec.
    pub at_ms: f64,
}

/// A measure: name, unit and repeatability.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Measure {
    /// The key in [`Sample::measures`].
    pub name: &'static str,
    /// The unit, as shown to people.
    pub unit: &'static str,
    /// How the value varies between starts of the same program.
    pub repeat: Repeat,
    /// A description in one sentence.
    pub about: &'static str,
}

/// The repeatability of a measure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Repeat {
    /// Varies from start to start with the load and the state of the machine.
    Varies,
    /// Usually constant, which only starts with equal values can show.
    Counted,
    /// Constant: it is read from the program's file.
    Fixed,
}

/// Every measure. Less is better for all of them.
pub const MEASURES: &[Measure] = &[
    timed("register", "From exec to the arrival of the registration: every function pays it, in every language."),
    timed(
        "ready",
        "From exec to the arrival of the first request for an event: hidden behind the runtime's own start while it is shorter.",
    ),
    timed(
        "served",
        "From exec until the extension serves its sockets for telemetry, DogStatsD and tracers, beside an idle runtime; of an agent behind a launcher, from the launcher's exec.",
    ),
    timed("init_null", "Initialization as Lambda would report it beside a runtime that needs no time of its own."),
    timed("first_invocation", "From the first event to the end of everybody's work on it."),
    timed("cpu_ready", "CPU time up to the first request for an event; with a launcher, before it executes the agent."),
    timed("cpu_settled", "CPU time until all services are up, before the first event."),
    timed("cpu_invocation", "CPU time of an invocation of 50 ms, once the extension has settled."),
    timed(
        "next_after_done",
        "From the delivery of the function's end to the request for the next event: the function's caller does not wait for it, but it is billed.",
    ),
    timed("cpu_total", "CPU time over start, one invocation and shutdown."),
    counted("minor_faults", "pages", "Pages that were mapped on first touch, up to the first request for an event."),
    counted(
        "faults_settled",
        "pages",
        "Pages that were mapped on first touch until all services are up, by launcher and agent together.",
    ),
    varying("major_faults", "pages", "Pages that had to be read from disk, up to the first request for an event."),
    varying("resident_peak", "KiB", "The most memory that was resident, up to the first request for an event."),
    varying("threads", "threads", "Threads that were alive when the first request for an event arrived."),
    counted(
        "file_touched",
        "KiB",
        "How much of the program's file, and of the agent's behind a launcher, was in memory after a start from a cold cache.",
    ),
    counted(
        "entry_touched",
        "KiB",
        "How much of the file that is executed first was in memory after a start from a cold cache: the launcher's, or the program's.",
    ),
    fixed("file_size", "bytes", "The program's file, with the agent's if a launcher comes before it."),
    fixed(
        "entry_size",
        "bytes",
        "The file that is executed first and loaded before the gates: the program's, or that of the launcher before it.",
    ),
    fixed("relocations", "relocations", "What the loader has to patch before main."),
    fixed("libraries", "libraries", "Shared libraries that the loader has to find."),
];

const fn timed(name: &'static str, about: &'static str) -> Measure {
    varying(name, "ms", about)
}

const fn varying(name: &'static str, unit: &'static str, about: &'static str) -> Measure {
    Measure { name, unit, repeat: Repeat::Varies, about }
}

const fn counted(name: &'static str, unit: &'static str, about: &'static str) -> Measure {
    Measure { name, unit, repeat: Repeat::Counted, about }
}

const fn fixed(name: &'static str, unit: &'static str, about: &'static str) -> Measure {
    Measure { name, unit, repeat: Repeat::Fixed, about }
}
