//! Designs without a design: sets, lists, one more, one less.

use super::{Base, CellPlan, Error, build, join, pull_in, wanted};
use crate::manifest::{Choice, Factor, Levels, Manifest};
use crate::plan::names::{self, CellName};
use crate::plan::{Arguments, Cell};

/// Every named set, but for those that are only to be had by their names.
pub(super) fn sets(manifest: &Manifest) -> Result<CellPlan, Error> {
    let mut draft = CellPlan::default();
    for set in &manifest.sets {
        let levels = names::read(manifest, &set.name)?.levels;
        if let Some((_, choice)) = manifest.chosen(&levels).find(|(factor, choice)| factor.is_apart(&choice.level)) {
            draft.notes.push(format!("{} is left out: {choice} is built only where it is asked for", set.name));
            continue;
        }
        draft.add(&set.name, levels);
    }
    Ok(draft)
}

/// The cells that were named, with what they need.
pub(super) fn list(manifest: &Manifest, cells: &[String]) -> Result<CellPlan, Error> {
    let mut draft = CellPlan::default();
    for name in cells {
        let CellName { set, mut levels, .. } = names::read(manifest, name)?;
        let pulled = pull_in(manifest, &set, &mut levels);
        if let Some(reason) = manifest.illegal(&levels) {
            return Err(Error::Cell { cell: name.clone(), reason });
        }
        if !pulled.is_empty() {
            draft.notes.push(format!("{name} has {} as well, which it needs", join(&pulled)));
        }
        let changed = |factor: &&Factor| levels.get(&factor.name) != set.get(&factor.name);
        let moot = manifest.factors.iter().filter(changed).filter_map(|factor| {
            let above = factor.subsumed_by.iter().find(|above| above.holds(&levels))?;
            Some(format!("{} changes nothing beside {above}", factor.name))
        });
        let moot: Vec<String> = moot.collect();
        // Behind the launcher this would be the same cell under another name.
        let is_twin =
            |cell: &&Cell| cell.levels != levels && manifest.effective(&cell.levels) == manifest.effective(&levels);
        if let Some(twin) = draft.cells.iter().find(is_twin) {
            let reason = format!("it is the same as {}: {}; ship-agent has no launcher", twin.id, moot.join(", "));
            return Err(Error::Cell { cell: name.clone(), reason });
        }
        draft.notes.extend(moot.into_iter().map(|reason| format!("{name}: {reason}")));
        draft.add(name, levels);
    }
    Ok(draft)
}

/// The base, and the base with one thing changed, for each thing.
pub(super) fn add_one(manifest: &Manifest, base: &Base, arguments: &Arguments) -> Result<CellPlan, Error> {
    let mut draft = CellPlan::default();
    draft.add(&base.name, base.levels.clone());
    for wanted in wanted(manifest, arguments)? {
        let Some(factor) = manifest.factor(&wanted.factor) else { continue };
        let on = |level: &&str| !factor.values.is_empty() || *level != factor.reference();
        for level in wanted.others(factor, &base.levels).into_iter().filter(on) {
            let choice = Choice::new(&factor.name, level);
            let mut levels = base.levels.clone();
            levels.insert(factor.name.clone(), level.to_owned());
            let pulled = pull_in(manifest, &base.levels, &mut levels);
            if let Some(reason) = obstacle(manifest, &levels, &choice) {
                draft.notes.push(format!("{choice} is left out: {reason}"));
                continue;
            }
            let id = format!("{}-with-{choice}", base.name);
            if !pulled.is_empty() {
                draft
                    .notes
                    .push(format!("{id} has {} as well, which it needs: their worth is seen together", join(&pulled)));
            }
            draft.add(&id, levels);
        }
    }
    Ok(draft)
}

/// The base, and the base without each thing that it has.
pub(super) fn leave_one_out(manifest: &Manifest, base: &Base, arguments: &Arguments) -> Result<CellPlan, Error> {
    let mut draft = CellPlan::default();
    draft.add(&base.name, base.levels.clone());
    let wanted = wanted(manifest, arguments)?;
    for (factor, choice) in manifest.chosen(&base.levels) {
        if !wanted.iter().any(|wanted| wanted.factor == factor.name) {
            continue;
        }
        if let Some(above) = factor.subsumed_by.iter().find(|above| above.holds(&base.levels)) {
            draft.notes.push(format!("{choice} is left in: it changes nothing beside {above}"));
            continue;
        }
        let mut levels = base.levels.clone();
        levels.insert(factor.name.clone(), factor.reference().to_owned());
        let dropped = drop_dependents(manifest, &mut levels);
        if let Some(reason) = manifest.illegal(&levels) {
            draft.notes.push(format!("{choice} is left in: {reason}"));
            continue;
        }
        let id = format!("{}-without-{}", base.name, factor.name);
        if !dropped.is_empty() {
            draft.notes.push(format!("{id} is without {} as well, which needs it", join(&dropped)));
        }
        draft.add(&id, levels);
    }
    Ok(draft)
}

/// Turns off what needs something that is not there any more.
fn drop_dependents(manifest: &Manifest, levels: &mut Levels) -> Vec<Choice> {
    let mut dropped = Vec::new();
    loop {
        let dependent = manifest.chosen(levels).find_map(|(factor, choice)| {
            let lacks = factor.requires.iter().any(|required| !required.holds(levels));
            lacks.then(|| (factor.reference().to_owned(), choice))
        });
        let Some((reference, choice)) = dependent else { return dropped };
        levels.insert(choice.factor.clone(), reference);
        dropped.push(choice);
    }
}

/// Why a cell with this choice is not worth building.
fn obstacle(manifest: &Manifest, levels: &Levels, choice: &Choice) -> Option<String> {
    let above = manifest.factor(&choice.factor)?.subsumed_by.iter().find(|above| above.holds(levels));
    manifest.illegal(levels).or_else(|| above.map(|above| format!("it changes nothing beside {above}")))
}

impl CellPlan {
    /// Adds a cell, unless there is the same under another name.
    pub(super) fn add(&mut self, id: &str, levels: Levels) {
        let same = |cell: &&Cell| cell.levels == levels;
        if let Some(same) = self.cells.iter().find(same) {
            self.notes.push(format!("{id} is left out: it is the same as {}", same.id));
        } else {
            self.cells.push(build(id, levels));
        }
    }
}
