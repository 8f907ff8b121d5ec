//! Estimates effects from samples, with confidence intervals.
//!
//! ```text
//!   read ──▶ blocks ──▶ comparisons ─┐
//!   files    starts by  design ──▶ effects ─┬─▶ estimate: location, interval, power
//!            cell and   control: is the run valid? ─┘
//!            block
//! ```
//!
//! In each block every cell is started once, in random order. Drift over the run affects all starts of a block alike and cancels in their differences, which
//! give one value for each block. The estimate is their 20 % trimmed mean. It is tested with Yuen's t, at a level that all tests of its family share
//! (Bonferroni). So any number of effects can be decided from [`estimate::ENOUGH`] blocks on, and the minimum detectable effect at a stated power has a valid
//! formula. Every module but `read` and `files` is pure.

mod analysis;
pub mod analysis_summary;
mod blocks;
pub(crate) mod cell_contrasts;
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
mod files;
pub mod interval;
mod linear;
pub mod location;
pub mod power;
pub mod read;
pub mod summary;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

pub use analysis::{RESAMPLES, analyze};
pub use delivery::{Delivery, DeliveryOutcome};
pub use error::Error;
pub use files::{RunFiles, of_files};

use crate::plan::{Alias, Condition};

/// The result of an analysis: `analysis.json`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Analysis {
    /// The schema version, [`crate::plan::SCHEMA`].
    pub schema: u32,
    /// The plan's design.
    pub design: String,
    /// The plan's seed.
    pub seed: u64,
    /// The ids of the plan's cells, in the plan's order.
    pub plan_cells: Vec<String>,
    /// The analysis of each condition, in the plan's order.
    pub conditions: Vec<ConditionAnalysis>,
    /// Effects that the started cells cannot tell apart under at least one condition.
    pub aliases: Vec<Alias>,
    /// The delivery of every cell under each condition, and in the untimed starts. It is judged before any number.
    #[serde(default)]
    pub deliveries: Vec<Delivery>,
    /// Notes for the reader, in sentences: unfinished lines, cells without a start, effects that are left out.
    #[serde(default)]
    pub notes: Vec<String>,
}

impl Analysis {
    /// Invalidates the conditions that the machine did not produce; `reason` says why.
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

/// The results under one condition.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ConditionAnalysis {
    /// The condition.
    pub condition: Condition,
    /// Why the run is invalid under this condition: a gate of the control (A/A) differed, or the machine did not produce the condition. No number here may be
    /// used then.
    pub invalid: Option<String>,
    /// Number of complete blocks.
    pub blocks: usize,
    /// The summary of each cell.
    pub cells: Vec<CellSummary>,
    /// The comparisons of each cell with the reference cell.
    pub comparisons: Vec<Comparison>,
    /// The comparisons of each cell with the floor, if it was started. These ratios can be compared with those of another machine.
    #[serde(default)]
    pub to_floor: Vec<Comparison>,
    /// Main effects of a designed experiment.
    pub effects: Vec<Effect>,
    /// Two-factor interactions.
    pub interactions: Vec<Effect>,
}

/// The summary of one cell.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CellSummary {
    /// The cell's id.
    pub cell: String,
    /// The program that was started, as in [`crate::measure::sample::Sample::program`].
    pub program: String,
    /// Starts that count.
    pub starts: usize,
    /// The number of failed starts, with the first reason.
    pub failures: Option<String>,
    /// The digest of the delivered payload, if all starts agree on it.
    pub digest: Option<String>,
    /// A summary of each measure, by name.
    pub measures: BTreeMap<String, Summary>,
    /// The mean of each checkpoint.
    pub phases: Vec<crate::measure::sample::Phase>,
}

/// The distribution of one measure. Quantiles are interpolated linearly between the two nearest values (definition 7 of Hyndman and Fan).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Summary {
    pub p10: f64,
    pub p50: f64,
    pub p90: f64,
    /// The 99th percentile. `None` for fewer than 500 values.
    pub p99: Option<f64>,
    pub mean: f64,
    /// All values in ascending order, for plots.
    pub values: Vec<f64>,
}

/// An estimated difference or ratio, with its uncertainty.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Estimate {
    pub value: f64,
    /// The ends of the 95 % confidence interval.
    pub low: f64,
    pub high: f64,
    /// The p value of the null hypothesis of no difference, adjusted for the number of hypotheses in its [`family`](Estimate::family).
    pub p: f64,
    /// The minimum detectable effect: the smallest difference that this run finds with 80 % power, at a family-wise error rate of 5 %.
    pub detectable: f64,
    /// The verdict.
    pub verdict: Verdict,
    /// Blocks in which both sides have a start that counts.
    #[serde(default)]
    pub pairs: usize,
    /// Number of hypotheses that share the family-wise error rate of 5 %. One family holds both gates of all comparisons of a condition, or of all its effects
    /// and interactions; another family holds all other measures. 0 if nothing was tested.
    #[serde(default)]
    pub family: usize,
    /// The number of blocks needed to find a difference of this size with 80 % power, if the verdict is [`Verdict::Inconclusive`] for lack of blocks.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub needed: Option<usize>,
}

/// The verdict on an estimate.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
    /// Less, and statistically significant.
    Faster,
    /// More, and statistically significant.
    Slower,
    /// No significant difference; [`Estimate::detectable`] has the minimum detectable effect.
    NoDetectableChange,
    /// The run cannot decide. It has too few blocks, the interval excludes zero but the difference is not significant within its family, or the effect is
    /// confounded with others.
    Inconclusive,
    /// The two programs are the same file.
    NoOp,
    /// The delivered payloads differ, so times are not compared.
    DigestMismatch,
    /// The control (A/A) differs, so the measurement is biased, or the machine did not produce the condition.
    InvalidRun,
}

/// The comparison of a cell with a reference.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Comparison {
    /// The cell.
    pub cell: String,
    /// The cell that it is compared with.
    pub reference: String,
    /// The 20 % trimmed mean of the paired differences (cell minus reference), by measure, in the measure's unit.
    pub differences: BTreeMap<String, Estimate>,
    /// The 20 % trimmed mean of the paired ratios (cell over reference), taken on the log scale, by measure. Absent if any value is zero.
    /// [`Estimate::detectable`] is the distance from one.
    pub ratios: BTreeMap<String, Estimate>,
}

/// The effect of a factor, or the interaction of two.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Effect {
    /// `lazy-intake`, or `lazy-intake*webpki-roots`.
    pub name: String,
    /// The two levels that the effect of a factor leads between; `None` for an interaction.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub direction: Option<Direction>,
    /// Effects that may explain the estimate as well, over the remaining cells. A main effect with an alias is never found, nor is an interaction to which an
    /// alias contributes in part.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub aliases: Vec<String>,
    /// The estimates by measure, in the measure's unit. An interaction is half the difference between the factor's effects at the other factor's two levels.
    pub estimates: BTreeMap<String, Estimate>,
}

/// The two levels of a factor that an effect leads from and to. A negative effect means that `to` is faster.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Direction {
    pub from: String,
    pub to: String,
}
