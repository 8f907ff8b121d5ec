//! Programs from elsewhere travel with their plan: as copies in its folder, which the plan names relative to itself.

use std::path::{Path, PathBuf};
use std::{fs, io};

use crate::executable;
use crate::files;
use crate::plan::external::{self, Files, Form};
use crate::plan::{CellKind, Error, Plan, file};

/// The folder of the copies, beside the plan.
const FOLDER: &str = "externals";
/// The file in it that says that nothing there is of anybody else.
const MARKER: &str = ".cargo-matrix";
const MARK: &str = "cargo matrix has made this directory, and replaces what is in it.\n";

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

/// Makes the copies. What somebody else has put in their place stays, and is an error.
pub(super) fn copy(plan: &Plan, folder: &Path) -> Result<(), Error> {
    let copies = plan.cells.iter().filter_map(|cell| match &cell.kind {
        CellKind::External { path, .. } => Some((path, folder.join(place(&cell.id)))),
        _ => None,
    });
    let copies: Vec<(&PathBuf, PathBuf)> = copies.collect();
    if copies.is_empty() {
        return Ok(());
    }
    let failed = |path: &Path| {
        let path = path.to_owned();
        move |source| Error::Write { path, source }
    };
    let (all, before) = (folder.join(FOLDER), file::read(folder).ok());
    let is_ours = all.join(MARKER).exists() || !all.exists();
    let is_named = |to: &Path| before.as_ref().is_some_and(|before| names(before, folder, to));
    if let Some((_, to)) = copies.iter().find(|(_, to)| !is_ours && to.symlink_metadata().is_ok() && !is_named(to)) {
        return Err(Error::NotCopied(to.clone()));
    }
    if is_ours {
        fs::create_dir_all(&all).map_err(failed(&all))?;
        files::write(&all.join(MARKER), MARK).map_err(failed(&all))?;
    }
    copies.iter().try_for_each(|(path, to)| take(path, to).map_err(failed(to)))
}

/// Whether a plan in this folder has such a copy.
fn names(plan: &Plan, folder: &Path, copy: &Path) -> bool {
    plan.cells.iter().any(|cell| matches!(&cell.kind, CellKind::External { path, .. } if folder.join(path) == copy))
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
    use crate::manifest::Manifest;
    use crate::plan::arguments::External;
    use crate::plan::{Arguments, DesignName, cells};

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

    /// A plan of cargo matrix with one program from elsewhere.
    fn plan(id: &str) -> Plan {
        let named = External { name: id.to_owned(), path: "/bin/true".into() };
        let cells = vec![id.to_owned()];
        let arguments = Arguments { cells, external: vec![named], ..Arguments::new(DesignName::Cells, Path::new(".")) };
        cells::plan(Manifest::embedded().unwrap(), &arguments).unwrap().0
    }

    #[test]
    fn foreign_file_in_the_place_of_a_copy_stays() {
        let folder = tempfile::tempdir().unwrap();
        let (folder, plan) = (folder.path(), plan("mine"));
        let (copied, results) = (folder.join("externals/mine"), folder.join("externals/mine/results.csv"));
        files::write(&results, "precious").unwrap();
        assert!(matches!(copy(&plan, folder), Err(Error::NotCopied(path)) if path == copied));
        assert_eq!(fs::read_to_string(&results).unwrap(), "precious");
        // A plan of before, of a version that marked nothing.
        file::write(&packed(&plan), folder).unwrap();
        copy(&plan, folder).unwrap();
        assert!(copied.is_file());
        // Its own folder, without a plan: the tool was killed before that was written.
        let other = tempfile::tempdir().unwrap();
        copy(&plan, other.path()).unwrap();
        copy(&plan, other.path()).unwrap();
        assert!(other.path().join("externals/mine").is_file());
    }
}
