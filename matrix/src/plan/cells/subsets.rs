//! Combinations that nobody has chosen: every feature by itself unless that is left out, none, all, and a sample. They show that any combination works, not what it is worth.

use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};

use super::{Arguments, CellPlan, Error, pull_in, remaining, wanted};
use crate::manifest::{Choice, Levels, Manifest};

/// How many combinations are drawn in all for one that is not there yet, before the sample is as large as it gets.
const DRAWS: u32 = 100;
/// How many combinations are drawn where nobody says how many.
const SAMPLE: u32 = 6;

/// Every choice by itself unless `--no-singles` is given, none, all that go together, and a sample of combinations. Without factors, those are the choices that are Cargo features, given up
/// ones as well.
pub(super) fn draft(manifest: &Manifest, arguments: &Arguments) -> Result<CellPlan, Error> {
    let none = manifest.reference_levels();
    let choices = choices(manifest, &none, arguments)?;
    let mut draft = CellPlan::default();
    draft.add("none", none.clone());
    for choice in choices.iter().filter(|_| !arguments.no_singles) {
        match with(manifest, &none, choice) {
            Ok(levels) => draft.add(&format!("only-{choice}"), levels),
            Err(reason) => draft.notes.push(format!("only-{choice} is left out: {reason}")),
        }
    }
    let mut all = none.clone();
    for choice in &choices {
        match with(manifest, &all, choice) {
            Ok(levels) => all = levels,
            Err(reason) => draft.notes.push(format!("{choice} is not in all: {reason}")),
        }
    }
    draft.add("all", all);
    let sample = arguments.sample.unwrap_or(SAMPLE);
    draft.notes.push(format!("{sample} combinations are drawn with the seed {}", arguments.seed));
    let mut random = StdRng::seed_from_u64(arguments.seed);
    for number in 1..=sample {
        let mut draws = (0..DRAWS).map(|_| draw(manifest, &none, &choices, &mut random));
        let Some(levels) = draws.find(|levels| draft.cells.iter().all(|cell| cell.levels != *levels)) else {
            draft.notes.push(format!("there are no more than {} combinations to be drawn", number - 1));
            break;
        };
        draft.add(&format!("subset-{number}"), levels);
    }
    Ok(draft)
}

/// Whatever can be chosen other than what a build has that asks for nothing.
fn choices(manifest: &Manifest, none: &Levels, arguments: &Arguments) -> Result<Vec<Choice>, Error> {
    let mut choices = Vec::new();
    let named = !arguments.factors.is_empty();
    let wanted = if named { wanted(manifest, arguments)? } else { remaining(manifest, arguments, |_| true) };
    for wanted in wanted {
        let Some(factor) = manifest.factor(&wanted.factor) else { continue };
        let is_feature = |level: &&str| factor.setting(level).is_some_and(|setting| !setting.features.is_empty());
        let levels = wanted.others(factor, none).into_iter().filter(|level| named || is_feature(level));
        choices.extend(levels.map(|level| Choice::new(&factor.name, level)));
    }
    Ok(choices)
}

/// Each choice at a coin's toss, as far as they go together.
fn draw(manifest: &Manifest, none: &Levels, choices: &[Choice], random: &mut StdRng) -> Levels {
    let mut levels = none.clone();
    for choice in choices {
        if random.random_bool(0.5)
            && let Ok(more) = with(manifest, &levels, choice)
        {
            levels = more;
        }
    }
    levels
}

/// These levels with one choice more, and what it needs.
fn with(manifest: &Manifest, levels: &Levels, choice: &Choice) -> Result<Levels, String> {
    let mut more = levels.clone();
    more.insert(choice.factor.clone(), choice.level.clone());
    pull_in(manifest, levels, &mut more);
    manifest.illegal(&more).map_or(Ok(more), Err)
}
