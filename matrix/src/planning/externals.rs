//! Programs from elsewhere travel with their plan: as copies in its folder, which the plan names relative to itself.

use std::path::{Path, PathBuf};
use std::{fs, io};

use crate::executable;
use crate::files;
use crate::plan::external::{self, Files, Form};
use crate::plan::{CellKind, Error, Plan};

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
            let made = fs::create_dir_all(folder.join(FOLDER)).and_then(|()| take(path, &to));
            made.map_err(|source| Error::Write { path: to, source })?;
        }
    }
    Ok(())
}

/// Of a folder only what is started. What was there before is replaced, whatever it was, once everything is copied.
fn take(from: &Path, to: &Path) -> io::Result<()> {
    let folder = tempfile::Builder::new().prefix(".unfinished-").tempdir_in(to.parent().unwrap_or(to))?;
    let new = folder.path().join("new");
    if Form::of(from) == Some(Form::Folder) {
        let Files { program, agent } = external::of_folder(from)?;
        for file in std::iter::once(&program).chain(&agent) {
            let copy = new.join(file.strip_prefix(from).map_err(io::Error::other)?);
            copy.parent().map_or(Ok(()), fs::create_dir_all)?;
            executable::copy(file, &copy)?;
        }
    } else {
        executable::copy(from, &new)?;
    }
    files::replace(&new, to)
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_a_folder_what_is_started_travels_with_the_plan() {
        let folder = tempfile::tempdir().unwrap();
        let opt = folder.path().join("opt");
        for name in ["extensions/agent", "bottlecap/agent", "bottlecap/manifest.json"] {
            fs::create_dir_all(opt.join(name).parent().unwrap()).unwrap();
            fs::write(opt.join(name), name).unwrap();
        }
        let to = folder.path().join("copy");
        // Another kind of program was there before, or the same one.
        for from in [Path::new("/bin/true"), &opt, &opt, &to] {
            take(from, &to).unwrap();
        }
        let agent = Some(to.join("bottlecap/agent"));
        assert_eq!(external::of_folder(&to).unwrap(), Files { program: to.join("extensions/agent"), agent });
        assert!(!to.join("bottlecap/manifest.json").exists());
        take(Path::new("/bin/true"), &to).unwrap();
        assert!(to.is_file());
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 2, "nothing unfinished is left");
    }
}
