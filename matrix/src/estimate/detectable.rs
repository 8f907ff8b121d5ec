//! The minimum detectable effect of a plan, from simulations of the whole procedure: noise, trimming, test, and the correction for all verdicts of a condition.

use std::collections::BTreeMap;

use rand::rngs::Xoshiro256PlusPlus;
use rand::{RngExt as _, SeedableRng as _};

use crate::analyze::cell_contrasts::GATES;
use crate::analyze::design::{Contrast, contrasts};
use crate::analyze::estimate::{ENOUGH, FAMILY_WISE};
use crate::analyze::location::{location, to_f64};
use crate::analyze::power::critical;
use crate::measure::sample::Sample;
use crate::plan::{Cell, CellKind, Plan};

/// Standard deviation of one start's time to ready, in milliseconds: a guess for a machine of two cores.
const DEVIATION_MS: f64 = 0.5;
/// The measure that is simulated.
const MEASURE: &str = "ready";
/// Runs that are simulated. The 80th of a hundred of so many is off by a hundredth.
const RUNS: usize = 2000;
/// How often the difference is to be found.
const POWER: f64 = 0.8;

/// The verdicts of a plan that share an error rate: all of a condition's headline table.
#[derive(Clone, Debug, PartialEq)]
pub struct VerdictFamily {
    /// Verdicts that share the chance of a false alarm.
    pub verdicts: usize,
    /// How many cells are in one verdict, and the sum of their squared weights.
    cells: usize,
    squares: f64,
}

/// The minimum detectable effect on time to ready, and what it is computed from.
#[derive(Clone, Debug, PartialEq)]
pub struct DetectableEffect {
    /// None if the run can decide nothing, whatever the difference.
    pub detectable_ms: Option<f64>,
    pub basis: String,
}

impl VerdictFamily {
    /// None if nothing can be estimated.
    fn of(plan: &Plan) -> Option<Self> {
        if plan.factors.is_empty() {
            let compared = plan.cells.len().saturating_sub(1);
            return (compared > 0).then_some(Self { verdicts: compared * GATES.len(), cells: 2, squares: 2.0 });
        }
        let cells: Vec<&Cell> = plan.cells.iter().filter(|cell| cell.kind == CellKind::Build).collect();
        let found = contrasts(&plan.factors, plan.cells.first(), &cells);
        let parts = 1 + usize::from(!found.interactions.is_empty());
        let squares = |main: &Contrast| main.weights.values().map(|weight| weight * weight).sum::<f64>();
        // The least certain of them.
        let mains = found.mains.iter().filter(|main| !main.is_confounded()).map(squares);
        Some(Self {
            verdicts: found.mains.len() * GATES.len() * parts,
            cells: cells.len(),
            squares: mains.max_by(f64::total_cmp)?,
        })
    }
}

impl DetectableEffect {
    pub fn of(plan: &Plan, samples: &[Sample]) -> Self {
        let none = |basis: String| Self { detectable_ms: None, basis };
        let Some(family) = VerdictFamily::of(plan) else {
            return none("these cells separate no effect from others".to_owned());
        };
        let blocks = plan.blocks as usize;
        if blocks < ENOUGH {
            return none(format!("fewer than {ENOUGH} blocks give no verdict"));
        }
        let noise = Noise::of(samples);
        let detectable = detectable(&family, blocks, &noise, plan.seed);
        let basis = format!(
            "power {:.0} %, family-wise error {:.0} % over {} verdicts; {}",
            POWER * 100.0,
            FAMILY_WISE * 100.0,
            family.verdicts,
            noise.source()
        );
        Self { detectable_ms: Some(detectable), basis }
    }
}

/// Differences between two starts of one block where there is no difference.
enum Noise {
    Guess,
    Known { differences: Vec<f64>, starts: usize },
}

impl Noise {
    /// From earlier samples: each cell with each other that was started under the same condition, block by block, less what they differ by.
    fn of(samples: &[Sample]) -> Self {
        let mut conditions: BTreeMap<_, BTreeMap<&str, BTreeMap<u32, f64>>> = BTreeMap::new();
        let mut starts = 0;
        for sample in samples.iter().filter(|sample| sample.failure.is_none()) {
            if let Some(value) = sample.measures.get(MEASURE) {
                starts += 1;
                let cells = conditions.entry(&sample.condition).or_default();
                cells.entry(&sample.cell).or_default().insert(sample.block, *value);
            }
        }
        let mut differences = Vec::new();
        for cells in conditions.values() {
            for (place, cell) in cells.values().enumerate() {
                for other in cells.values().skip(place + 1) {
                    let paired = cell.iter().filter_map(|(block, value)| Some(value - other.get(block)?));
                    differences.extend(around_zero(paired.collect()));
                }
            }
        }
        if differences.is_empty() { Self::Guess } else { Self::Known { differences, starts } }
    }

    fn source(&self) -> String {
        match self {
            Self::Guess => format!("noise of a start assumed: {DEVIATION_MS:.2} ms"),
            Self::Known { starts, .. } => format!("noise of {starts} earlier starts"),
        }
    }

    fn draw(&self, random: &mut Xoshiro256PlusPlus) -> f64 {
        match self {
            Self::Guess => normal(random) * DEVIATION_MS * 2_f64.sqrt(),
            Self::Known { differences, .. } => {
                differences.get(random.random_range(0..differences.len())).copied().unwrap_or_default()
            }
        }
    }
}

/// Values less their location, spread by what the location has taken from them.
fn around_zero(mut values: Vec<f64>) -> Vec<f64> {
    values.sort_unstable_by(f64::total_cmp);
    let Some(centre) = location(&values) else { return Vec::new() };
    let count = to_f64(values.len());
    values.iter().map(|value| (value - centre.mean) * (count / (count - 1.0)).sqrt()).collect()
}

fn normal(random: &mut Xoshiro256PlusPlus) -> f64 {
    let (one, other): (f64, f64) = (random.random(), random.random());
    (-2.0 * (1.0 - one).ln()).sqrt() * (std::f64::consts::TAU * other).cos()
}

/// Of each simulated run, which true difference it would just have found; of all runs, that which four of five would have.
fn detectable(family: &VerdictFamily, blocks: usize, noise: &Noise, seed: u64) -> f64 {
    let mut random = Xoshiro256PlusPlus::seed_from_u64(seed);
    // Half of the cells have one sign and half the other: as many differences.
    let differences = family.cells.div_ceil(2);
    let scale = (family.squares / (2.0 * to_f64(differences))).sqrt();
    let level = FAMILY_WISE / to_f64(family.verdicts);
    let critical = critical(level, crate::analyze::location::freedom(blocks));
    let mut just_found: Vec<f64> = (0..RUNS)
        .filter_map(|_| {
            let block = |_| (0..differences).map(|_| noise.draw(&mut random)).sum::<f64>() * scale;
            let mut values: Vec<f64> = (0..blocks).map(block).collect();
            values.sort_unstable_by(f64::total_cmp);
            location(&values).map(|found| critical * found.error - found.mean)
        })
        .collect();
    just_found.sort_unstable_by(f64::total_cmp);
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a place among a few thousand")]
    let place = (POWER * to_f64(just_found.len())) as usize;
    just_found.get(place).copied().unwrap_or_default()
}
