//! Which builds are compared, and under which conditions: decided before anything is built, and written down.

pub(crate) mod arguments;
pub(crate) mod cells;
pub mod check;
pub mod circumstances;
mod conditions;
pub mod design;
mod error;
pub mod external;
pub mod file;
mod names;
mod shard;

use std::collections::{BTreeMap, BTreeSet};

use clap::ValueEnum;
use serde::{Deserialize, Serialize};

use crate::manifest::{Factor, Kind, Manifest, ON};
pub use arguments::{Arguments, DesignName};
pub use cells::one as cell;
pub use error::Error;
pub use shard::ShardIndex;

/// The version of every file that the commands exchange. A file of another version is refused, not guessed at.
pub const SCHEMA: u32 = 3;

/// The runtime of the starts that are not timed, and show what a cell delivers: see [`crate::measure`].
pub const DELIVERY: &str = "delivery";

/// The name of the floor's cell, of its program, and of a file with it beside this program.
pub const FLOOR: &str = "floor";
/// The same of the standard library's floor.
pub const STD_FLOOR: &str = "std-floor";

/// A whole experiment: `plan.json`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Plan {
    /// [`SCHEMA`].
    pub schema: u32,
    /// What everything random in this experiment is drawn from: run orders, bootstrap, seeds of shuffles.
    pub seed: u64,
    /// The design's name, such as `sets`, `add-one`, `leave-one-out`, `plackett-burman`, `resolution-4`, `resolution-5`, `full`, `cells`.
    pub design: String,
    /// The factors that vary in it, by the manifest's names, in the order of the design's columns. Empty for a comparison of sets.
    /// In a design of two levels, the first cell has every one of them at its low level: `off`, or the axis' value that is compared with.
    pub factors: Vec<String>,
    /// What is built and started. The first one is the reference of every comparison that names none.
    pub cells: Vec<Cell>,
    /// Which effects the design cannot tell apart.
    pub aliases: Vec<Alias>,
    /// Under which circumstances every cell is started.
    pub conditions: Vec<Condition>,
    /// Blocks for each condition: in each block, every cell starts once, in random order.
    pub blocks: u32,
    /// Cells that are built and send something else by design: they are compared by their times only. Of programs from elsewhere, the cell itself says so.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub own_payload: Vec<String>,
    /// Which of the blocks this machine has to run, if the experiment is spread over several.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shard: Option<ShardIndex>,
}

impl Plan {
    /// The numbers of the blocks that are to be run here. They are the same whoever runs them, so that the order in a block, which is
    /// drawn from the seed and the block's number, does not depend on how many machines there are.
    pub fn blocks_here(&self) -> impl Iterator<Item = u32> {
        let shard = self.shard.unwrap_or_default();
        (0..self.blocks).filter(move |block| shard.has(*block))
    }

    /// Whether the WAF worker is started in some of the conditions.
    pub fn has_waf(&self) -> bool {
        self.conditions.iter().any(|condition| condition.appsec == AppSec::On)
    }

    /// Whether a cell's payloads differ from the others' by design. What only starts another cell's program again is asked about by that cell.
    pub fn sends_its_own(&self, cell: &Cell) -> bool {
        matches!(cell.kind, CellKind::External { own_payload: true, .. }) || self.own_payload.contains(&cell.id)
    }

    /// The components that a cell was built with, which decide what it delivers. What we have not built is held to the first cell, and so has its components.
    pub fn components(&self, cell: &Cell) -> Vec<&'static str> {
        let built = match &cell.kind {
            CellKind::Build => Some(cell),
            CellKind::Again { of } => self.cells.iter().find(|other| other.id == *of),
            CellKind::Floor | CellKind::StdFloor | CellKind::External { .. } => None,
        };
        let built = built.filter(|built| built.kind == CellKind::Build).or(self.cells.first());
        let is_on =
            |factor: &&Factor| built.is_some_and(|built| built.levels.get(&factor.name).is_some_and(|it| it == ON));
        let factors = Manifest::embedded().map_or(&[][..], |manifest| &manifest.factors);
        let components = factors.iter().filter(|factor| factor.kind == Kind::Component);
        components.filter(is_on).map(|factor| factor.name.as_str()).collect()
    }

    /// What is wrong with the plan by itself, whatever the manifest says; one line for each contradiction.
    pub fn contradictions(&self) -> Vec<String> {
        let mut complaints = Vec::new();
        let mut ids = BTreeSet::new();
        for cell in &self.cells {
            let fits = |c: char| c.is_ascii_alphanumeric() || "-_.+".contains(c);
            if !ids.insert(cell.id.as_str()) {
                complaints.push(format!("cell {} is there twice", cell.id));
            }
            if !cell.id.starts_with(|c: char| c.is_ascii_alphanumeric()) || !cell.id.chars().all(fits) {
                complaints.push(format!("cell {}: that is no name for a file", cell.id));
            }
            if (cell.kind == CellKind::Build) == cell.levels.is_empty() {
                complaints.push(format!("cell {}: what is built has levels, and nothing else has", cell.id));
            }
            if let CellKind::Again { of } = &cell.kind
                && !self.cells.iter().any(|other| other.id == *of && !matches!(other.kind, CellKind::Again { .. }))
            {
                complaints.push(format!("cell {}: there is no cell {of} to start again", cell.id));
            }
        }
        let is_built = |id: &&String| self.cells.iter().any(|cell| cell.id == **id && cell.kind == CellKind::Build);
        for id in self.own_payload.iter().filter(|id| !is_built(id)) {
            complaints.push(format!("there is no built cell {id} with payloads of its own"));
        }
        if self.cells.is_empty() || self.conditions.is_empty() || self.blocks == 0 {
            complaints.push("nothing would be started".to_owned());
        }
        complaints
    }
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
    /// `floor`, the least that an extension can do, with which all others are compared. It has no C library, as the launcher.
    Floor,
    /// `std-floor`, about the least that an extension with the standard library can do.
    StdFloor,
    /// A program from elsewhere.
    External {
        /// Where it is, on this machine or relative to the plan: see [`Plan::located`].
        path: std::path::PathBuf,
        /// Variables that it needs on top of Lambda's.
        environment: BTreeMap<String, String>,
        /// Whether its payloads differ from ours by design, so that they are compared with nobody's.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        own_payload: bool,
    },
    /// The same program as another cell's under another name: if the two differ, the measurement is biased.
    Again {
        /// The other cell's id.
        of: String,
    },
}

impl CellKind {
    /// Whether it is a yardstick: one of the floors, which deliver nothing and are not there on every machine.
    pub fn is_yardstick(&self) -> bool {
        matches!(self, Self::Floor | Self::StdFloor)
    }
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
    /// What runs beside the extension: `null`, `python` or `sleep:<ms>`; in starts that are not timed, [`DELIVERY`].
    pub runtime: String,
    /// What goes wrong. Whatever it is, every cell has to deliver the same.
    #[serde(default)]
    // Plans, samples and baselines that are stored have it under this name.
    #[serde(rename = "disturbance")]
    pub fault: InjectedFault,
    /// Whether settings ask for the evaluation of requests for attacks.
    #[serde(default, skip_serializing_if = "AppSec::is_off")]
    pub appsec: AppSec,
}

impl Default for Condition {
    /// What a start has when nothing is said.
    fn default() -> Self {
        Self {
            memory_mb: 1024,
            regime: Regime::Boosted,
            cache: Cache::Warm,
            platform: Latency::Loopback,
            trust_store: TrustStore::Al2023,
            runtime: "null".to_owned(),
            fault: InjectedFault::None,
            appsec: AppSec::Off,
        }
    }
}

/// App & API Protection in a start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum AppSec {
    /// No setting asks for it.
    #[default]
    Off,
    /// The extension starts the WAF worker.
    On,
}

impl AppSec {
    /// Plans, samples and baselines that were stored without it have it off.
    #[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
    fn is_off(&self) -> bool {
        *self == Self::Off
    }
}

/// What goes wrong in a start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum InjectedFault {
    /// Nothing.
    #[default]
    None,
    /// The intake breaks the first connection and refuses the next request for a while.
    Intake,
    /// Telemetry comes late, in any order that the schema allows, and every other batch twice.
    Telemetry,
    /// Registering and subscribing take long, and the second request for an event is answered by a reset.
    Platform,
}

/// How much CPU initialization gets.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum Regime {
    /// All that is visible.
    Boosted,
    /// The memory tier's share.
    Throttled,
}

/// The state of the extension's file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum Cache {
    /// Read before.
    Warm,
    /// Dropped from the page cache before every start.
    Cold,
}

/// Latencies of Lambda's endpoints.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum Latency {
    /// None but loopback's own.
    Loopback,
    /// As measured on Lambda: registering takes 2.5 ms, subscribing 25 ms.
    Lambda,
}

/// The operating system's trust store, as the extension sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum TrustStore {
    /// One bundle, as on Amazon Linux 2023.
    Al2023,
    /// Hundreds of single files, as on Debian.
    Debian,
    /// Whatever this machine has.
    Host,
}
