//! Designs in which several factors vary at once, each between two levels.

use super::{Arguments, Base, CellPlan, Error, VaryingFactor, build, join, pull_in, wanted};
use crate::manifest::{Choice, Levels, Manifest};
use crate::plan::DesignName;
use crate::plan::design::alias::aliases;
use crate::plan::design::fraction::fraction;
use crate::plan::design::plackett_burman::plackett_burman;
use crate::plan::design::{Matrix, full};

/// A factor with its two levels.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Column {
    factor: String,
    low: String,
    high: String,
}

pub(super) fn draft(manifest: &Manifest, mut base: Base, arguments: &Arguments) -> Result<CellPlan, Error> {
    let mut notes = Vec::new();
    let wanted = wanted(manifest, arguments)?;
    let mut columns = columns(manifest, &base, &wanted, !arguments.factors.is_empty(), &mut notes)?;
    // A fraction or a screen is only worth something whole; a full design can do without some of its cells.
    let irregular = arguments.design == DesignName::Full;
    for column in &columns {
        base.levels.insert(column.factor.clone(), column.low.clone());
    }
    if irregular {
        let mut high = levels(&base.levels, &columns, &vec![true; columns.len()]);
        let pulled = pull_in(manifest, &base.levels, &mut high);
        if !pulled.is_empty() {
            notes.push(format!("{}: in every cell, because others need it", join(&pulled)));
        }
        base.levels.extend(pulled.into_iter().map(|choice| (choice.factor, choice.level)));
    } else {
        while let Some(note) = restrict(manifest, &mut base.levels, &mut columns) {
            notes.push(note);
        }
    }
    let mut design = match arguments.design {
        DesignName::PlackettBurman => plackett_burman(columns.len())?,
        DesignName::Resolution4 => fraction(columns.len(), 4)?,
        DesignName::Resolution5 => fraction(columns.len(), 5)?,
        _ => full(columns.len())?,
    };
    let mut cells = Vec::new();
    let mut kept = Matrix { runs: Vec::new() };
    let digits = design.runs.len().to_string().len();
    for (number, run) in design.runs.drain(..).enumerate() {
        let id = format!("{}-{:0digits$}", prefix(arguments.design), number + 1);
        let levels = levels(&base.levels, &columns, &run);
        let inert = manifest.inert(&levels).into_iter().next().filter(|_| irregular);
        if let Some(reason) = manifest.illegal(&levels).or(inert) {
            notes.push(format!("{id} is left out: {reason}"));
        } else {
            cells.push(build(&id, levels));
            kept.runs.push(run);
        }
    }
    let factors: Vec<String> = columns.into_iter().map(|column| column.factor).collect();
    let aliases = aliases(&kept, &factors);
    Ok(CellPlan { factors, cells, aliases, notes })
}

/// The factors that can vary between two levels. Where the command line names them, one that cannot is an error, else it is left out.
fn columns(
    manifest: &Manifest,
    base: &Base,
    wanted: &[VaryingFactor],
    named: bool,
    notes: &mut Vec<String>,
) -> Result<Vec<Column>, Error> {
    let mut columns: Vec<Column> = Vec::new();
    for wanted in wanted {
        let Some(factor) = manifest.factor(&wanted.factor) else { continue };
        let column = |low: &str, high: &str| Column { factor: factor.name.clone(), low: low.into(), high: high.into() };
        let found = if factor.values.is_empty() {
            Ok(column(crate::manifest::OFF, crate::manifest::ON))
        } else {
            // An axis goes from what the base has to something else.
            let low = base.levels.get(&factor.name).map_or(factor.reference(), String::as_str);
            match wanted.others(factor, &base.levels).as_slice() {
                [high] => Ok(column(low, high)),
                [] => Err(Error::Same { choice: Choice::new(&factor.name, low).to_string() }),
                _ => Err(Error::Axis { factor: factor.name.clone() }),
            }
        };
        match found {
            Ok(column) if columns.iter().any(|there| there.factor == column.factor) => {
                return Err(Error::Axis { factor: column.factor });
            }
            Ok(column) => columns.push(column),
            Err(error) if named => return Err(error),
            Err(error) => notes.push(format!("{} does not vary: {error}", factor.name)),
        }
    }
    Ok(columns)
}

/// Takes one factor out of the design that cannot vary freely beside the others, and says why; nothing if all can.
fn restrict(manifest: &Manifest, base: &mut Levels, columns: &mut Vec<Column>) -> Option<String> {
    let misfit = columns.iter().enumerate().find_map(|(index, column)| {
        let reason = inert(manifest, base, columns, column).or_else(|| impossible(manifest, base, columns, index))?;
        Some((index, reason))
    });
    if let Some((index, reason)) = misfit {
        return Some(format!("{} does not vary: {reason}", columns.remove(index).factor));
    }
    let (needing, required) = needed(manifest, base, columns)?;
    base.insert(required.factor.clone(), required.level.clone());
    columns.retain(|column| column.factor != required.factor);
    Some(format!("{required} is in every cell, because {needing} needs it; --exclude {needing} to let it vary"))
}

/// A choice that is not in every cell and that a varying factor needs, with that factor: by itself, or beside what the base has.
fn needed(manifest: &Manifest, base: &Levels, columns: &[Column]) -> Option<(String, Choice)> {
    let unmet =
        |required: &&Choice| !required.holds(base) || columns.iter().any(|other| other.factor == required.factor);
    let own = columns.iter().find_map(|column| {
        let factor = manifest.factor(&column.factor)?;
        factor.requires.iter().find(unmet).map(|required| (column.factor.clone(), required.clone()))
    });
    own.or_else(|| {
        let joint = manifest.chosen(base).flat_map(|(factor, _)| &factor.beside);
        let mut of_columns = joint.filter(|joint| varies_to(columns, &joint.choice));
        of_columns
            .find(|joint| unmet(&&joint.requires))
            .map(|joint| (joint.choice.factor.clone(), joint.requires.clone()))
    })
}

/// Why a factor would change nothing in some of the cells.
fn inert(manifest: &Manifest, base: &Levels, columns: &[Column], column: &Column) -> Option<String> {
    let above = manifest.factor(&column.factor)?.subsumed_by.iter();
    above.clone().find(|above| varies_to(columns, above)).map_or_else(
        || above.clone().find(|above| above.holds(base)).map(|above| format!("it changes nothing beside {above}")),
        |above| Some(format!("it changes nothing where {above} is on; --exclude {0} to see it", above.factor)),
    )
}

/// Why a factor cannot be high in all of its cells.
fn impossible(manifest: &Manifest, base: &Levels, columns: &[Column], index: usize) -> Option<String> {
    let column = columns.get(index)?;
    let factor = manifest.factor(&column.factor)?;
    let before = columns.get(..index).unwrap_or_default();
    let conflict = factor.conflicts.iter().find(|conflict| {
        conflict.holds(base) && !columns.iter().any(|other| other.factor == conflict.factor)
            || varies_to(before, conflict)
    });
    if let Some(conflict) = conflict {
        return Some(format!("it and {conflict} exclude each other"));
    }
    // What it needs may itself exclude something that is there.
    factor.requires.iter().find_map(|required| {
        let needed = manifest.factor(&required.factor)?;
        let conflict = needed.conflicts.iter().find(|conflict| conflict.holds(base) || varies_to(columns, conflict))?;
        Some(format!("it needs {required}, which excludes {conflict}"))
    })
}

fn varies_to(columns: &[Column], choice: &Choice) -> bool {
    columns.iter().any(|column| column.factor == choice.factor && column.high == choice.level)
}

fn levels(base: &Levels, columns: &[Column], run: &[bool]) -> Levels {
    let mut levels = base.clone();
    for (column, high) in columns.iter().zip(run) {
        levels.insert(column.factor.clone(), if *high { &column.high } else { &column.low }.clone());
    }
    levels
}

fn prefix(design: DesignName) -> &'static str {
    match design {
        DesignName::PlackettBurman => "pb",
        DesignName::Resolution4 => "r4",
        DesignName::Resolution5 => "r5",
        _ => "full",
    }
}
