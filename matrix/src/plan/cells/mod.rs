//! From a design and the manifest to cells: which factors can vary together, and what has to be left out.

mod comparisons;
mod subsets;
mod two_levels;

use std::collections::BTreeMap;
use std::path::PathBuf;

use super::names;
use super::{Alias, Arguments, Cell, CellKind, DesignName, Error, FLOOR, Plan, SCHEMA, STD_FLOOR, conditions};
use crate::manifest::{Choice, Factor, Kind, Levels, Manifest, Status, WrongChoice};
use crate::plan::external::{self, Form};

/// The cells of a design, and what one has to know about them.
#[derive(Debug, Default)]
pub struct CellPlan {
    pub factors: Vec<String>,
    pub cells: Vec<Cell>,
    pub aliases: Vec<Alias>,
    /// What was left out or pulled in, and why.
    pub notes: Vec<String>,
}

/// The whole plan, with what was decided on the way.
pub fn plan(manifest: &Manifest, arguments: &Arguments) -> Result<(Plan, Vec<String>), Error> {
    let mut draft = draft(manifest, arguments)?;
    draft.notes.extend(conditions::repeated(arguments));
    draft.cells.extend(externals(arguments)?);
    // In the order of the list, which may name them as well: the first is what the others are compared with.
    let place = |cell: &Cell| arguments.cells.iter().position(|name| id(name) == cell.id).unwrap_or(usize::MAX);
    draft.cells.sort_by_key(place);
    draft.cells.extend(yardsticks(arguments));
    if let Some(of) = draft.cells.first().map(|cell| cell.id.clone()) {
        draft.cells.push(Cell { id: "again".to_owned(), kind: CellKind::Again { of }, levels: BTreeMap::new() });
    }
    let plan = Plan {
        schema: SCHEMA,
        seed: arguments.seed,
        design: arguments.design.as_str().to_owned(),
        factors: draft.factors,
        cells: draft.cells,
        aliases: draft.aliases,
        conditions: conditions::all(arguments),
        blocks: arguments.blocks,
        own_payload: own_payloads(arguments),
        shard: arguments.shard,
    };
    let contradictions = plan.contradictions();
    if contradictions.is_empty() { Ok((plan, draft.notes)) } else { Err(Error::Contradiction(contradictions)) }
}

/// The floor, and that of the standard library where the sets are compared or the list names it. They come after what is measured with them.
fn yardsticks(arguments: &Arguments) -> impl Iterator<Item = Cell> {
    let has_std =
        arguments.design == DesignName::Sets || arguments.cells.iter().any(|name| is_std_floor(arguments, name));
    let kinds = [Some((FLOOR, CellKind::Floor)), has_std.then_some((STD_FLOOR, CellKind::StdFloor))];
    kinds.into_iter().flatten().map(|(id, kind)| Cell { id: id.to_owned(), kind, levels: BTreeMap::new() })
}

/// Whether this name in the list is that of the standard library's floor, and not of a program from elsewhere.
fn is_std_floor(arguments: &Arguments, name: &str) -> bool {
    name == STD_FLOOR && !arguments.external.iter().any(|external| external.name == name)
}

/// One cell by its name, such as `ship` or `ship+jemalloc`, with what has to be said about it.
pub fn one(manifest: &Manifest, name: &str) -> Result<(Cell, Vec<String>), Error> {
    let name = names::read(manifest, name)?.shortest();
    let CellPlan { cells, notes, .. } = comparisons::list(manifest, &[name])?;
    cells.into_iter().next().map(|cell| (cell, notes)).ok_or(Error::NoCells)
}

fn draft(manifest: &Manifest, arguments: &Arguments) -> Result<CellPlan, Error> {
    refuse_options(arguments)?;
    for name in &arguments.exclude {
        manifest.factor(name).ok_or_else(|| WrongChoice::Factor(name.clone()))?;
    }
    match arguments.design {
        DesignName::Sets => comparisons::sets(manifest),
        DesignName::Cells => {
            let is_external = |name: &&String| arguments.external.iter().any(|external| external.name == **name);
            let is_ours = |name: &&String| !is_external(name) && !is_std_floor(arguments, name);
            let ours: Vec<String> = arguments.cells.iter().filter(is_ours).cloned().collect();
            comparisons::list(manifest, &ours)
        }
        DesignName::AddOne => comparisons::add_one(manifest, &Base::of(manifest, arguments)?, arguments),
        DesignName::LeaveOneOut => comparisons::leave_one_out(manifest, &Base::of(manifest, arguments)?, arguments),
        DesignName::PlackettBurman | DesignName::Resolution4 | DesignName::Resolution5 | DesignName::Full => {
            two_levels::draft(manifest, Base::of(manifest, arguments)?, arguments)
        }
        DesignName::Subsets => subsets::draft(manifest, arguments),
    }
}

/// Options that this design would not heed.
fn refuse_options(arguments: &Arguments) -> Result<(), Error> {
    let design = arguments.design.as_str();
    let named = matches!(arguments.design, DesignName::Sets | DesignName::Cells);
    let unheeded = [
        ("factors", named && !arguments.factors.is_empty()),
        ("exclude", named && !arguments.exclude.is_empty()),
        ("base", (named || arguments.design == DesignName::Subsets) && arguments.base.is_some()),
        ("sample", arguments.design != DesignName::Subsets && arguments.sample.is_some()),
        ("no-singles", arguments.design != DesignName::Subsets && arguments.no_singles),
        ("cells", arguments.design != DesignName::Cells && !arguments.cells.is_empty()),
    ];
    match unheeded.into_iter().find(|(_, unheeded)| *unheeded) {
        Some((option, _)) => Err(Error::Option { design, option }),
        None if arguments.design == DesignName::Cells && arguments.cells.is_empty() => Err(Error::NoCells),
        None => Ok(()),
    }
}

/// What a design starts from.
#[derive(Clone, Debug)]
struct Base {
    name: String,
    levels: Levels,
}

impl Base {
    fn of(manifest: &Manifest, arguments: &Arguments) -> Result<Self, Error> {
        let usual = if arguments.design == DesignName::LeaveOneOut { "ship-agent" } else { "baseline" };
        let name = arguments.base.as_deref().unwrap_or(usual);
        let known = || manifest.sets.iter().map(|set| set.name.clone()).collect();
        let levels = manifest.set_levels(name).ok_or_else(|| Error::Set { name: name.to_owned(), known: known() })?;
        Ok(Self { name: name.to_owned(), levels })
    }
}

/// The choices that a design is to look at: those of the command line, or all optimizations that nobody has given up yet. A component is asked for by name: it
/// does more instead of the same in another way.
fn wanted(manifest: &Manifest, arguments: &Arguments) -> Result<Vec<VaryingFactor>, Error> {
    if arguments.factors.is_empty() {
        let is_open = |status| !matches!(status, Status::Refuted | Status::External);
        let open = |factor: &Factor| is_open(factor.status) && factor.kind != Kind::Component;
        return Ok(remaining(manifest, arguments, open));
    }
    let excluded = |factor: &str| arguments.exclude.iter().any(|name| name == factor);
    let mut wanted: Vec<VaryingFactor> = Vec::new();
    for text in &arguments.factors {
        let known = if let Some((factor, level)) = text.split_once('=') {
            manifest.offers(&Choice::new(factor, level))?;
            VaryingFactor { factor: factor.to_owned(), level: Some(level.to_owned()) }
        } else {
            manifest.factor(text).ok_or_else(|| WrongChoice::Factor(text.clone()))?;
            VaryingFactor { factor: text.clone(), level: None }
        };
        if !excluded(&known.factor) && !wanted.contains(&known) {
            wanted.push(known);
        }
    }
    Ok(wanted)
}

/// Every factor of that kind that the command line does not exclude.
fn remaining(manifest: &Manifest, arguments: &Arguments, kind: impl Fn(&Factor) -> bool) -> Vec<VaryingFactor> {
    let wanted = manifest.factors.iter().filter(|factor| kind(factor) && !arguments.exclude.contains(&factor.name));
    wanted.map(|factor| VaryingFactor { factor: factor.name.clone(), level: None }).collect()
}

/// A factor that is to vary, to one level if that was said.
#[derive(Clone, Debug, PartialEq, Eq)]
struct VaryingFactor {
    factor: String,
    level: Option<String>,
}

impl VaryingFactor {
    /// The levels other than that of the base; one that is apart only if it was asked for.
    fn others<'m>(&self, factor: &'m Factor, base: &Levels) -> Vec<&'m str> {
        let levels = factor.levels().into_iter().map(|level| level.name);
        let asked = |level: &&str| match self.level.as_deref() {
            Some(asked) => asked == *level,
            None => !factor.is_apart(level),
        };
        levels.filter(|level| base.get(&factor.name).is_none_or(|base| base != level)).filter(asked).collect()
    }
}

/// Makes the choices that the chosen ones need, and theirs, but leaves alone what was changed on purpose; says which.
fn pull_in(manifest: &Manifest, base: &Levels, levels: &mut Levels) -> Vec<Choice> {
    let on_purpose: Vec<String> = levels
        .iter()
        .filter(|(factor, level)| base.get(*factor) != Some(*level))
        .map(|(factor, _)| factor.clone())
        .collect();
    let mut pulled = Vec::new();
    loop {
        let missing = manifest.chosen(levels).find_map(|(factor, _)| {
            let open = |required: &&Choice| !pulled.contains(*required) && !on_purpose.contains(&required.factor);
            factor.missing(levels).map(|missing| missing.choice).find(open)
        });
        let Some(required) = missing.cloned() else { return pulled };
        levels.insert(required.factor.clone(), required.level.clone());
        pulled.push(required);
    }
}

fn join(choices: &[Choice]) -> String {
    choices.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}

fn build(name: &str, levels: Levels) -> Cell {
    Cell { id: id(name), kind: CellKind::Build, levels }
}

/// By which a cell of this name is known, and its folder called.
fn id(name: &str) -> String {
    name.replace('=', "-")
}

/// The cells of ours that the command line says to send something else.
fn own_payloads(arguments: &Arguments) -> Vec<String> {
    let ours = |name: &&String| !arguments.external.iter().any(|external| external.name == **name);
    arguments.own_payload.iter().filter(ours).map(|name| id(name)).collect()
}

/// The programs from elsewhere, with their variables.
fn externals(arguments: &Arguments) -> Result<Vec<Cell>, Error> {
    let unknown = arguments
        .external_env
        .iter()
        .find(|variable| !arguments.external.iter().any(|external| external.name == variable.external));
    if let Some(variable) = unknown {
        return Err(Error::ExternalName { option: "external-env", name: variable.external.clone() });
    }
    let cells = arguments.external.iter().map(|given| {
        let is_one = |path: &PathBuf| match Form::of(path) {
            Some(Form::Folder) => external::of_folder(path).is_ok(),
            form => form.is_some(),
        };
        let path = given.path.canonicalize().ok().filter(is_one);
        let variables = arguments.external_env.iter().filter(|variable| variable.external == given.name);
        let environment = variables.map(|variable| (variable.key.clone(), variable.value.clone())).collect();
        let path = path.ok_or_else(|| Error::ExternalPath(given.path.clone()))?;
        let own_payload = arguments.own_payload.contains(&given.name);
        let kind = CellKind::External { path, environment, own_payload };
        Ok(Cell { id: given.name.clone(), kind, levels: BTreeMap::new() })
    });
    cells.collect()
}

#[cfg(test)]
mod tests;
