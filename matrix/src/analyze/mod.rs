//! What the samples say, with how much certainty.
//!
//! ```text
//!   read ──▶ blocks ──▶ comparisons ─┐
//!   files    starts by  design ──▶ effects ─┬─▶ estimate: location, interval, signed_rank, holm
//!            cell and   control: may it be believed? ─┘
//!            block
//! ```
//!
//! In each block every cell is started once, in random order. What drifts over the run is the same for all starts of a block, and is
//! gone from their differences: one value for each block, of which is asked where they lie, how far off that may be, and how likely
//! they are if there is nothing. Everything but `read` and `verb` is pure.

pub mod account;
mod arguments;
mod blocks;
mod comparisons;
mod condition;
mod context;
mod control;
pub mod delivery;
mod design;
mod effects;
mod error;
pub mod estimate;
pub mod holm;
pub mod interval;
mod linear;
pub mod location;
pub mod read;
pub mod signed_rank;
pub mod summary;
mod verb;
mod whole;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

pub use arguments::Arguments;
pub use delivery::{Delivery, DeliveryOutcome};
pub use error::Error;
pub use verb::run;
pub use whole::{RESAMPLES, analyze};

use crate::plan::{Alias, Condition};

/// All that is known after a run: `analysis.json`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Analysis {
    /// [`crate::plan::SCHEMA`].
    pub schema: u32,
    /// The plan's design.
    pub design: String,
    /// The plan's seed.
    pub seed: u64,
    /// One for each condition, in the plan's order.
    pub conditions: Vec<ConditionAnalysis>,
    /// Which effects the design cannot tell apart.
    pub aliases: Vec<Alias>,
    /// Whether every cell does its work, under each condition and in the starts that are not timed: judged before any number.
    #[serde(default)]
    pub deliveries: Vec<Delivery>,
    /// What a reader has to know beside the numbers, in sentences: unfinished lines, cells without a start, effects that are left out.
    #[serde(default)]
    pub notes: Vec<String>,
}

impl Analysis {
    /// Takes back what is said of conditions that the machine has not produced; `reason` says why.
    pub fn invalidate<'r>(&mut self, reason: impl Fn(&Condition) -> Option<&'r str>) {
        for found in &mut self.conditions {
            let Some(reason) = reason(&found.condition) else { continue };
            found.void = Some(format!("The machine has not produced this condition: {reason}."));
            let compared = found.comparisons.iter_mut().chain(&mut found.to_floor);
            let compared = compared.flat_map(|one| one.differences.values_mut().chain(one.ratios.values_mut()));
            let effects = found.effects.iter_mut().chain(&mut found.interactions);
            let estimates = compared.chain(effects.flat_map(|effect| effect.estimates.values_mut()));
            estimates.filter(|one| one.verdict != Verdict::NoOp).for_each(|one| one.verdict = Verdict::Void);
        }
    }
}

/// What was found under one condition.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ConditionAnalysis {
    /// The condition.
    pub condition: Condition,
    /// Whether the same program under two names differed, so that nothing here may be believed.
    pub void: Option<String>,
    /// Complete blocks that went into it.
    pub blocks: usize,
    /// Each cell by itself.
    pub cells: Vec<CellSummary>,
    /// Each cell against the reference cell.
    pub comparisons: Vec<Comparison>,
    /// Each cell against the floor, if that was started: what can be compared with another machine's.
    #[serde(default)]
    pub to_floor: Vec<Comparison>,
    /// Main effects of a designed experiment.
    pub effects: Vec<Effect>,
    /// Interactions of two factors.
    pub interactions: Vec<Effect>,
}

/// One cell by itself.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CellSummary {
    /// The cell's id.
    pub cell: String,
    /// The program that was started.
    pub program: String,
    /// Starts that count.
    pub starts: usize,
    /// Starts that failed, with the first reason.
    pub failures: Option<String>,
    /// The digest of what was delivered, if all its starts agree on it.
    pub digest: Option<String>,
    /// Every measure by its name.
    pub measures: BTreeMap<String, Summary>,
    /// Mean checkpoints.
    pub phases: Vec<crate::measure::sample::Phase>,
}

/// Many values of one measure. Quantiles are linear between the two nearest values (definition 7 of Hyndman and Fan).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Summary {
    pub p10: f64,
    pub p50: f64,
    pub p90: f64,
    /// Only from 500 values on: fewer say nothing about one in a hundred.
    pub p99: Option<f64>,
    pub mean: f64,
    /// All values in ascending order, for pictures.
    pub values: Vec<f64>,
}

/// A difference, or a ratio, with what is certain about it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Estimate {
    pub value: f64,
    /// The ends of the 95 % interval.
    pub low: f64,
    pub high: f64,
    /// Of the hypothesis that there is nothing, adjusted for the number of hypotheses in its family: all comparisons, all main effects or
    /// all interactions of one measure under one condition.
    pub p: f64,
    /// The smallest difference that this run would have found four times out of five, at a chance of 5 % for a false alarm in the family.
    pub detectable: f64,
    /// In words that can be quoted.
    pub verdict: Verdict,
}

/// What an estimate amounts to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
    /// Less, by more than chance.
    Faster,
    /// More, by more than chance.
    Slower,
    /// Nothing that this run could have seen.
    NoDetectableChange,
    /// The two programs are the same file.
    NoOp,
    /// What was delivered differs: nothing else matters.
    DigestMismatch,
    /// The machine was too noisy to say.
    Void,
}

/// A cell against the reference.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Comparison {
    /// The cell.
    pub cell: String,
    /// What it is compared with.
    pub reference: String,
    /// The 20 % trimmed mean of the paired differences, cell minus reference, by measure, in the measure's unit.
    pub differences: BTreeMap<String, Estimate>,
    /// The 20 % trimmed mean of the paired ratios, cell over reference, taken of their logarithms, by measure. Absent where anything is
    /// zero; [`Estimate::detectable`] is the distance from one.
    pub ratios: BTreeMap<String, Estimate>,
}

/// What a factor, or two together, are worth.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Effect {
    /// `lazy-intake`, or `lazy-intake*webpki-roots`.
    pub name: String,
    /// From off to on, by measure, in the measure's unit. For an interaction, half the difference between the factor's effects at the other's two levels.
    pub estimates: BTreeMap<String, Estimate>,
}
