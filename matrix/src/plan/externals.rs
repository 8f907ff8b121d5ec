//! Programs from elsewhere travel with their plan: as copies in its folder, which the plan names relative to itself.

use std::path::{Path, PathBuf};

use super::{CellKind, Error, Plan};
use crate::executable;

/// The folder of the copies, beside the plan.
const FOLDER: &str = "externals";

/// The plan as it is written: with the copies in the place of the originals.
pub(super) fn packed(plan: &Plan) -> Plan {
    let mut packed = plan.clone();
    for cell in &mut packed.cells {
        if let CellKind::External { path, .. } = &mut cell.kind {
            *path = place(&cell.id);
        }
    }
    packed
}

/// Makes the copies.
pub(super) fn copy(plan: &Plan, folder: &Path) -> Result<(), Error> {
    for cell in &plan.cells {
        if let CellKind::External { path, .. } = &cell.kind {
            let to = folder.join(place(&cell.id));
            let made = std::fs::create_dir_all(folder.join(FOLDER)).and_then(|()| executable::copy(path, &to));
            made.map_err(|source| Error::Write { path: to, source })?;
        }
    }
    Ok(())
}

fn place(id: &str) -> PathBuf {
    Path::new(FOLDER).join(id)
}

impl Plan {
    /// The plan with the places that its programs from elsewhere have on this machine, where it was read from this folder.
    #[must_use]
    pub fn located(mut self, folder: &Path) -> Self {
        for cell in &mut self.cells {
            if let CellKind::External { path, .. } = &mut cell.kind {
                *path = folder.join(&*path);
            }
        }
        self
    }
}
