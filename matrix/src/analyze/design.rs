//! Contrasts of a designed experiment: the weights of the cells whose weighted sum is an effect.
//!
//! Everything is computed from the cells that remain. An effect that these cells determine independently of all other main effects and two-factor interactions
//! is estimated clear of them. Interactions with identical columns are estimated as their sum, under the name of the first. A main effect that is not
//! determined is estimated as if there were no interactions, and carries the aliases that may explain it.

use std::collections::{BTreeMap, BTreeSet};

use super::Direction;
use super::cell_contrasts::ROUNDING;
use super::linear::{centred, determined, independent, least_squares};
use crate::plan::{Alias, Cell};

/// The effects that can be estimated from the cells.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct EstimableEffects {
    pub mains: Vec<Contrast>,
    pub interactions: Vec<Contrast>,
    /// Effects that cannot be estimated from these cells.
    pub lost: Vec<String>,
    /// The aliases of the estimated effects and of the lost ones: effects that these cells cannot tell apart.
    pub aliases: Vec<Alias>,
}

/// A contrast: an effect as the weighted sum of the cells' values.
#[derive(Clone, Debug, PartialEq)]
pub struct Contrast {
    pub name: String,
    pub direction: Option<Direction>,
    /// The weights, by cell id.
    pub weights: BTreeMap<String, f64>,
    /// Every other effect that contributes to the sum.
    pub aliases: Vec<Share>,
}

/// The share of one effect in the estimate of another.
#[derive(Clone, Debug, PartialEq)]
pub struct Share {
    pub name: String,
    pub part: f64,
}

impl Contrast {
    /// Whether an alias alone may explain the estimate: a main effect with any alias, or an interaction with an alias that contributes only in part.
    pub fn is_confounded(&self) -> bool {
        let partial = |alias: &Share| (alias.part.abs() - 1.0).abs() > ROUNDING;
        if self.direction.is_some() { !self.aliases.is_empty() } else { self.aliases.iter().any(partial) }
    }
}

/// The column of a factor or of an interaction of two: its level in each cell, −1 for low and +1 for high. `centred` is the same less its mean.
#[derive(Clone, Debug)]
struct Column {
    name: String,
    direction: Option<Direction>,
    levels: Vec<f64>,
    centred: Vec<f64>,
}

/// The contrasts of `factors` and of their interactions over `cells`. `first` has every factor at its low level.
pub fn contrasts(factors: &[String], first: Option<&Cell>, cells: &[&Cell]) -> EstimableEffects {
    let mut found = EstimableEffects::default();
    let mut all = Vec::new();
    for factor in factors {
        match column(factor, first, cells) {
            Some(column) => all.push(column),
            None => found.lost.push(factor.clone()),
        }
    }
    let mains = all.len();
    let pairs = pairs(&all);
    all.extend(pairs);
    let estimated = estimated(&all, mains, cells);
    for (place, column) in all.iter().enumerate() {
        match estimated.get(&place) {
            Some(contrast) if place < mains => found.mains.push(contrast.clone()),
            Some(contrast) => found.interactions.push(contrast.clone()),
            // The interaction whose column is identical lists it as an alias.
            None if is_named(&estimated, &column.name) => {}
            None => found.lost.push(column.name.clone()),
        }
    }
    found.aliases = aliases(&all, &estimated);
    found
}

fn is_named(estimated: &BTreeMap<usize, Contrast>, name: &str) -> bool {
    let whole = |alias: &Share| alias.name == name && (alias.part.abs() - 1.0).abs() <= ROUNDING;
    estimated.values().any(|contrast| contrast.direction.is_none() && contrast.aliases.iter().any(whole))
}

/// The effects that can be estimated, by index in `all`.
fn estimated(all: &[Column], mains: usize, cells: &[&Cell]) -> BTreeMap<usize, Contrast> {
    // Interactions whose columns are equal up to the sign are represented by the first.
    let mut places: Vec<usize> = Vec::new();
    for (place, column) in all.iter().enumerate() {
        if !places.iter().filter_map(|&other| all.get(other)).any(|other| is_same(column, other)) {
            places.push(place);
        }
    }
    let mut weights = clear(all, &places);
    let alone: Vec<usize> = places.iter().copied().filter(|&place| place < mains).collect();
    for (place, of_main) in clear(all, &alone) {
        weights.entry(place).or_insert(of_main);
    }
    let contrast = |(place, weights): (usize, Vec<f64>)| {
        let column = all.get(place)?;
        let shares = all.iter().enumerate().filter(|(other, _)| *other != place).map(|(_, other)| Share {
            name: other.name.clone(),
            part: weights.iter().zip(&other.levels).map(|(weight, level)| weight * level).sum::<f64>(),
        });
        let aliases = shares.filter(|share| share.part.abs() > ROUNDING).collect();
        // The step from −1 to +1 is twice the coefficient. For an interaction that is half the difference between two such effects.
        let of_cells = cells.iter().zip(&weights).map(|(cell, weight)| (cell.id.clone(), 2.0 * weight)).collect();
        let Column { name, direction, .. } = column.clone();
        Some((place, Contrast { name, direction, weights: of_cells, aliases }))
    };
    weights.into_iter().filter_map(contrast).collect()
}

/// The weights of those columns whose coefficient is determined independently of the others.
fn clear(all: &[Column], places: &[usize]) -> BTreeMap<usize, Vec<f64>> {
    let rows = |places: &[usize]| {
        let columns: Vec<&Column> = places.iter().filter_map(|&place| all.get(place)).collect();
        let cells = columns.first().map_or(0, |column| column.centred.len());
        let level = |column: &&Column, cell: usize| column.centred.get(cell).copied().unwrap_or_default();
        (0..cells).map(|cell| columns.iter().map(|column| level(column, cell)).collect()).collect::<Vec<Vec<f64>>>()
    };
    let determined = determined(rows(places), places.len());
    // The other columns may be linearly dependent; a maximal independent subset spans the same space.
    let kept = independent(rows(places), places.len());
    let basis: Vec<usize> = kept.into_iter().filter_map(|index| places.get(index).copied()).collect();
    let weights: BTreeMap<usize, Vec<f64>> =
        basis.iter().copied().zip(least_squares(&rows(&basis), basis.len())).collect();
    let wanted: BTreeSet<usize> =
        places.iter().zip(determined).filter(|(_, determined)| *determined).map(|(&place, _)| place).collect();
    weights.into_iter().filter(|(place, _)| wanted.contains(place)).collect()
}

/// The column of a factor. `None` unless the factor has exactly two levels among the cells.
fn column(factor: &str, first: Option<&Cell>, cells: &[&Cell]) -> Option<Column> {
    let levels: Vec<&str> =
        cells.iter().map(|cell| cell.levels.get(factor).map(String::as_str)).collect::<Option<_>>()?;
    let one = *levels.first()?;
    let other = *levels.iter().find(|&&level| level != one)?;
    if levels.iter().any(|&level| level != one && level != other) {
        return None;
    }
    let is_switch = [one, other].contains(&"on") && [one, other].contains(&"off");
    let usual = first.and_then(|first| first.levels.get(factor)).map(String::as_str);
    let from = if is_switch { "off" } else { usual.filter(|usual| [one, other].contains(usual)).unwrap_or(one) };
    let to = if from == one { other } else { one };
    let direction = Some(Direction { from: from.to_owned(), to: to.to_owned() });
    let levels: Vec<f64> = levels.into_iter().map(|level| if level == from { -1.0 } else { 1.0 }).collect();
    Some(Column { name: factor.to_owned(), direction, centred: centre(&levels), levels })
}

fn centre(levels: &[f64]) -> Vec<f64> {
    let rows: Vec<Vec<f64>> = levels.iter().map(|&level| vec![level]).collect();
    centred(&rows).into_iter().flatten().collect()
}

/// The columns of all two-factor interactions.
fn pairs(mains: &[Column]) -> Vec<Column> {
    let mut pairs: Vec<Column> = Vec::new();
    for (place, one) in mains.iter().enumerate() {
        for other in mains.iter().skip(place + 1) {
            let levels: Vec<f64> = one.levels.iter().zip(&other.levels).map(|(one, other)| one * other).collect();
            let name = format!("{}*{}", one.name, other.name);
            pairs.push(Column { name, direction: None, centred: centre(&levels), levels });
        }
    }
    pairs
}

/// Whether two interactions have the same column, up to the sign.
fn is_same(one: &Column, other: &Column) -> bool {
    let equal = |sign: f64| one.centred.iter().zip(&other.centred).all(|(a, b)| (a - sign * b).abs() < ROUNDING);
    one.direction.is_none() && other.direction.is_none() && (equal(1.0) || equal(-1.0))
}

/// The aliases of every effect: for an estimated one, the effects that contribute to its estimate; for a lost one, the effects that are not clear and correlate
/// with its column.
fn aliases(all: &[Column], estimated: &BTreeMap<usize, Contrast>) -> Vec<Alias> {
    let is_clear = |place: usize| estimated.get(&place).is_some_and(|contrast| contrast.aliases.is_empty());
    let shares = |one: &Column, other: &Column| {
        one.centred.iter().zip(&other.centred).map(|(one, other)| one * other).sum::<f64>().abs() > ROUNDING
    };
    let with = |(place, column): (usize, &Column)| -> Alias {
        let with = if let Some(contrast) = estimated.get(&place) {
            contrast.aliases.iter().map(|alias| alias.name.clone()).collect()
        } else {
            let others = all.iter().enumerate().filter(|(other, _)| *other != place && !is_clear(*other));
            others.filter(|(_, other)| shares(column, other)).map(|(_, other)| other.name.clone()).collect()
        };
        Alias { effect: column.name.clone(), with }
    };
    all.iter().enumerate().map(with).filter(|alias| !alias.with.is_empty()).collect()
}
