//! What the samples say, with how much certainty.
//!
//! ```text
//!   read ──▶ blocks ──▶ comparisons ─┐
//!   files    starts by  design ──▶ effects ─┬─▶ estimate: location, interval, power
//!            cell and   control: may it be believed? ─┘
//!            block
//! ```
//!
//! In each block every cell is started once, in random order. What drifts over the run is the same for all starts of a block, and is
//! gone from their differences: one value for each block. Their 20 % trimmed mean is the estimate. It is tested with Yuen's t, at a level that is shared
//! among all questions of its family (Bonferroni): any number of questions can be decided from [`estimate::ENOUGH`] blocks on, and the difference that a test
//! finds with a stated probability has a formula that holds. Everything but `read` and `verb` is pure.

mod analysis;
pub mod analysis_summary;
mod arguments;
mod blocks;
mod checked;
mod comparisons;
mod condition;
mod context;
mod control;
pub mod delivery;
pub(crate) mod design;
mod effects;
mod error;
pub mod estimate;
pub mod interval;
mod linear;
pub mod location;
pub mod power;
pub(crate) mod questions;
pub mod read;
pub mod summary;
mod verb;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

pub use analysis::{RESAMPLES, analyze};
pub use arguments::Arguments;
pub use delivery::{Delivery, DeliveryOutcome};
pub use error::Error;
pub use verb::run;

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
    /// The ids of the plan's cells, in its order.
    pub plan_cells: Vec<String>,
    /// One for each condition, in the plan's order.
    pub conditions: Vec<ConditionAnalysis>,
    /// Which effects the cells that were started cannot tell apart, under any of the conditions.
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
            found.invalid = Some(format!("The machine has not produced this condition: {reason}."));
            let compared = found.comparisons.iter_mut().chain(&mut found.to_floor);
            let compared = compared.flat_map(|one| one.differences.values_mut().chain(one.ratios.values_mut()));
            let effects = found.effects.iter_mut().chain(&mut found.interactions);
            let estimates = compared.chain(effects.flat_map(|effect| effect.estimates.values_mut()));
            estimates.filter(|one| one.verdict != Verdict::NoOp).for_each(|one| one.verdict = Verdict::InvalidRun);
        }
    }
}

/// What was found under one condition.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ConditionAnalysis {
    /// The condition.
    pub condition: Condition,
    /// Why the run is invalid under this condition, so that nothing here may be believed: a gate of the same program under two names differed, or the machine has not
    /// produced the condition.
    pub invalid: Option<String>,
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
    /// Of the hypothesis that there is nothing, adjusted for the number of hypotheses in its [`family`](Estimate::family).
    pub p: f64,
    /// The smallest difference that this run finds four times out of five, at a chance of 5 % for a false alarm in the family.
    pub detectable: f64,
    /// In words that can be quoted.
    pub verdict: Verdict,
    /// Blocks in which both sides have a start that counts.
    #[serde(default)]
    pub pairs: usize,
    /// How many hypotheses share the chance of 5 % for a false alarm: both gates of all comparisons of a condition, or of all its effects and interactions;
    /// all other measures are another family. 0 where nothing was tested.
    #[serde(default)]
    pub family: usize,
    /// Where the verdict is [`Verdict::Inconclusive`] for want of blocks: how many it takes to find a difference of this size four times out of five.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub needed: Option<usize>,
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
    /// The run can't tell: too few blocks for any difference, an interval that is clear of zero only by itself and not among all that is asked beside it, or an
    /// effect that the cells do not tell apart from others.
    Inconclusive,
    /// The two programs are the same file.
    NoOp,
    /// What was delivered differs: nothing else matters.
    DigestMismatch,
    /// The control differs, so the measurement is biased; or the machine has not produced the condition.
    InvalidRun,
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
    /// Between which values of the factor; none for an interaction.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub direction: Option<Direction>,
    /// What the estimate may be due to as well, over the cells that remain. A main effect with an alias, and an interaction that an alias
    /// has a part of, are never found.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub aliases: Vec<String>,
    /// By measure, in the measure's unit. For an interaction, half the difference between the factor's effects at the other's two levels.
    pub estimates: BTreeMap<String, Estimate>,
}

/// Which two values of a factor an effect leads from and to: less is faster with `to`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Direction {
    pub from: String,
    pub to: String,
}
