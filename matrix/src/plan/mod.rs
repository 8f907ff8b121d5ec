//! Which builds are compared, and under which conditions: decided before anything is built, and written down.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// The version of every file that the verbs exchange. A file of another version is refused, not guessed at.
pub const SCHEMA: u32 = 1;

/// A whole experiment: `plan.json`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Plan {
    /// [`SCHEMA`].
    pub schema: u32,
    /// What everything random in this experiment is drawn from: run orders, bootstrap, seeds of shuffles.
    pub seed: u64,
    /// The design's name, such as `sets`, `add-one`, `leave-one-out`, `plackett-burman`, `resolution-4`, `resolution-5`, `full`, `list`.
    pub design: String,
    /// The factors that vary in it, by the manifest's names, in the order of the design's columns. Empty for a comparison of sets.
    pub factors: Vec<String>,
    /// What is built and started. The first one is the reference of every comparison that names none.
    pub cells: Vec<Cell>,
    /// Which effects the design cannot tell apart.
    pub aliases: Vec<Alias>,
    /// Under which circumstances every cell is started.
    pub conditions: Vec<Condition>,
    /// Blocks for each condition: in each block, every cell starts once, in random order.
    pub blocks: u32,
}

/// One build of the extension, or a program that is measured beside the builds.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Cell {
    /// Short, unique in its plan, fit for a file name: `ship`, `ship-without-lazy-intake`, `pb-07`.
    pub id: String,
    /// What it is.
    pub kind: CellKind,
    /// The level of every factor of the manifest: `on` or `off`, or the value of an axis. Empty for what we have not built.
    pub levels: BTreeMap<String, String>,
}

/// Where a cell's program comes from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum CellKind {
    /// Built from this workspace with the cell's levels.
    Build,
    /// `floor`, the least that an extension can do, shipped with matrix.
    Floor,
    /// A program from elsewhere.
    External {
        /// Where it is.
        path: std::path::PathBuf,
        /// Variables that it needs on top of Lambda's.
        environment: BTreeMap<String, String>,
    },
    /// The same program as another cell's under another name: if the two differ, the machine was too noisy.
    Again {
        /// The other cell's id.
        of: String,
    },
}

/// Effects that are estimated together: only their sum is known.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Alias {
    /// The effect that is reported, such as `tag-cache` or `tag-cache*lazy-intake`.
    pub effect: String,
    /// What it may be mistaken for.
    pub with: Vec<String>,
}

/// The circumstances of a start.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Condition {
    /// Configured memory in MB; it decides the share of CPU and how many CPUs are visible.
    pub memory_mb: u32,
    /// Whether initialization has the platform's boost, or only the tier's share, as in a re-init inside an invocation.
    pub regime: Regime,
    /// Whether the extension's file is in the page cache.
    pub cache: Cache,
    /// Latencies of the platform's own endpoints.
    pub platform: Latency,
    /// The operating system's trust store.
    pub trust_store: TrustStore,
    /// What runs beside the extension: `null`, `python` or `sleep:<ms>`.
    pub runtime: String,
}

/// How much CPU initialization gets.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Regime {
    /// All that is visible.
    Boosted,
    /// The memory tier's share.
    Throttled,
}

/// The state of the extension's file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Cache {
    /// Read before.
    Warm,
    /// Dropped from the page cache before every start.
    Cold,
}

/// Latencies of Lambda's endpoints.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Latency {
    /// None but loopback's own.
    Loopback,
    /// As measured on Lambda: registering takes 2.5 ms, subscribing 25 ms.
    Lambda,
}

/// The operating system's trust store, as the extension sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum TrustStore {
    /// One bundle, as on Amazon Linux 2023.
    Al2023,
    /// Hundreds of single files, as on Debian.
    Debian,
    /// Whatever this machine has.
    Host,
}
