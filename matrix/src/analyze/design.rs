//! What a designed experiment can tell: weights of cells whose sum is an effect.

use std::collections::BTreeMap;

use super::linear::{centred, determined, least_squares};
use crate::plan::{Alias, Cell};

/// The effects that the cells determine.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Contrasts {
    pub mains: Vec<Contrast>,
    pub interactions: Vec<Contrast>,
    /// Effects that were asked for and are not determined.
    pub lost: Vec<String>,
    /// What is meant by the effect of a factor that has values instead of on and off.
    pub directions: Vec<String>,
}

/// An effect: the sum of every cell's value times its weight.
#[derive(Clone, Debug, PartialEq)]
pub struct Contrast {
    pub name: String,
    /// By the id of the cell.
    pub weights: BTreeMap<String, f64>,
}

/// A factor with its level in each cell: −1 for off, +1 for on.
struct Column {
    name: String,
    levels: Vec<f64>,
}

/// The contrasts of `factors` and their interactions over `cells`.
///
/// An interaction that the plan names as another effect's alias is not asked for. Main effects are estimated beside all interactions
/// that are determined; as long as they are not, they are taken to be zero, which is what an alias says.
pub fn contrasts(factors: &[String], cells: &[&Cell], aliases: &[Alias]) -> Contrasts {
    let mut found = Contrasts::default();
    let mut mains = Vec::new();
    for factor in factors {
        match column(factor, cells, &mut found.directions) {
            Some(column) => mains.push(column),
            None => found.lost.push(factor.clone()),
        }
    }
    let pairs = pairs(&mains, aliases);
    let mains = keep(mains, &[], &mut found.lost);
    let interactions = keep(pairs, &mains, &mut found.lost);
    let count = mains.len();
    let columns: Vec<Column> = mains.into_iter().chain(interactions).collect();
    let weights = least_squares(&centred(&rows(&columns.iter().collect::<Vec<_>>())), columns.len());
    let contrast = |(column, weights): (Column, Vec<f64>)| Contrast {
        name: column.name,
        // From −1 to +1 is twice the coefficient; for a product of two factors that is half the difference of two such effects.
        weights: cells.iter().zip(weights).map(|(cell, weight)| (cell.id.clone(), 2.0 * weight)).collect(),
    };
    found.mains = columns.into_iter().zip(weights).map(contrast).collect();
    found.interactions = found.mains.split_off(count.min(found.mains.len()));
    found
}

/// None if the factor does not have exactly two levels among the cells.
fn column(factor: &str, cells: &[&Cell], directions: &mut Vec<String>) -> Option<Column> {
    let levels: Vec<&str> =
        cells.iter().map(|cell| cell.levels.get(factor).map(String::as_str)).collect::<Option<_>>()?;
    let first = *levels.first()?;
    let other = *levels.iter().find(|&&level| level != first)?;
    if levels.iter().any(|&level| level != first && level != other) {
        return None;
    }
    let is_switch = [first, other].contains(&"on") && [first, other].contains(&"off");
    let low = if is_switch { "off" } else { first };
    if !is_switch {
        directions.push(format!("The effect of {factor} is that of {other} in place of {first}."));
    }
    let level = |level: &str| if level == low { -1.0 } else { 1.0 };
    Some(Column { name: factor.to_owned(), levels: levels.into_iter().map(level).collect() })
}

/// All interactions of two that are not hidden behind another effect.
fn pairs(mains: &[Column], aliases: &[Alias]) -> Vec<Column> {
    let mut pairs: Vec<Column> = Vec::new();
    for (place, one) in mains.iter().enumerate() {
        for other in mains.iter().skip(place + 1) {
            let straight = format!("{}*{}", one.name, other.name);
            let crossed = format!("{}*{}", other.name, one.name);
            let is_it = |name: &str| name == straight || name == crossed;
            let reported = aliases.iter().find(|alias| is_it(&alias.effect)).map(|alias| alias.effect.clone());
            let hidden = aliases.iter().filter(|alias| alias.with.iter().any(|name| is_it(name))).any(|alias| {
                let before = pairs.iter().any(|pair| pair.name == alias.effect) || !alias.effect.contains('*');
                before || reported.is_none()
            });
            if !hidden {
                let levels = one.levels.iter().zip(&other.levels).map(|(one, other)| one * other).collect();
                pairs.push(Column { name: reported.unwrap_or(straight), levels });
            }
        }
    }
    pairs
}

/// Those columns whose coefficients are determined beside `others`.
fn keep(columns: Vec<Column>, others: &[Column], lost: &mut Vec<String>) -> Vec<Column> {
    let all = rows(&others.iter().chain(&columns).collect::<Vec<_>>());
    let determined = determined(centred(&all), others.len() + columns.len());
    let mut kept = Vec::new();
    for (column, determined) in columns.into_iter().zip(determined.into_iter().skip(others.len())) {
        if determined {
            kept.push(column);
        } else {
            lost.push(column.name);
        }
    }
    kept
}

/// One row for each cell.
fn rows(columns: &[&Column]) -> Vec<Vec<f64>> {
    let cells = columns.first().map_or(0, |column| column.levels.len());
    let level = |column: &Column, cell: usize| column.levels.get(cell).copied().unwrap_or_default();
    (0..cells).map(|cell| columns.iter().map(|column| level(column, cell)).collect()).collect()
}
