//! Collects the inputs of a layer from the workspace and its builds.

use std::ffi::OsString;
use std::fs;
use std::path::Path;

use time::OffsetDateTime;

use super::make::{LayerInputs, Program, Target, Texts};
use super::{Error, bundled};
use crate::archive::{File, places};
use crate::build::profile::ReleaseProfile;
use crate::build::recipe::Recipe;
use crate::build::waf::{self, Artefact};
use crate::build::{self, BuildRecord, BuildReport, Origin, launcher, paths};
use crate::elf::Glibc;
use crate::flavour::{Flavour, Toolchain, Tools};
use crate::manifest::{Manifest, ON};
use crate::materials::packages::Packages;
use crate::materials::parts::Part;
use crate::materials::system::Libraries;
use crate::plan::Cell;
use crate::workspace::{builds_directory, sources, target_directory};

/// What decides a layer beside what its programs are built from: this tool, with the wrapper, and two texts.
pub(crate) const SOURCES_BESIDE: [&str; 3] = ["matrix", "LICENSE", "NOTICE"];

/// The inputs of the layer of a cell that was built from the workspace in `root`.
pub(super) fn layer_inputs(
    root: &Path,
    manifest: &Manifest,
    cell: Cell,
    built: BuildRecord,
    tools: &Toolchain,
    glibc_floor: Glibc,
) -> Result<LayerInputs, Error> {
    let BuildRecord { program: Some(program), agent, origin: Some(origin), failure: None, .. } = built else {
        let failure = built.failure.unwrap_or_default();
        return Err(Error::Failed { cell: cell.id, failure });
    };
    let programs = [(places::EXTENSION, Some(program)), (places::AGENT, agent)];
    let has_launcher = programs.iter().all(|(_, file)| file.is_some());
    let programs = programs.into_iter().filter_map(|(place, file)| {
        let is_launcher = has_launcher && place == places::EXTENSION;
        file.map(|file| if is_launcher { look_at_launcher(place, &file) } else { ask(place, &file) })
    });
    let mut programs: Vec<Program> = programs.collect::<Result<_, _>>()?;
    let worker = worker(root, &cell, &tools.launcher)?;
    programs.extend(worker.as_ref().map(|worker| worker.program.clone()));
    for Program { place, bytes, .. } in &programs {
        if let Some(folder) = paths::named(bytes, root) {
            return Err(Error::NamesItsPlace { place: place.clone(), folder });
        }
    }
    unmoved(root, &cell, &origin)?;
    let sources = self::sources(root)?;
    let Toolchain { agent: tools, launcher: launcher_tools } = tools;
    let recipe = Recipe::of(manifest, &cell.levels).with(tools);
    let workspace = recipe.workspace(root);
    let mut parts = tools.parts.clone();
    let mut packages = Packages::of(&workspace, &recipe.features, &tools.flavour.triple)?;
    if recipe.launcher {
        packages.add_program(launcher::packages(root, &launcher_tools.flavour.triple)?);
    }
    if worker.is_some() {
        packages.add_program(waf::packages(root, &launcher_tools.flavour.triple)?);
    }
    bundled::mark_replaced(&mut packages)?;
    parts.extend(bundled::of(&packages)?);
    let (files, libraries_beside) = worker.map(|worker| (worker.files, worker.parts)).unwrap_or_default();
    parts.extend(libraries_beside);
    let libraries = tools.system_linker().map(|linker| Libraries::of(&linker)).unwrap_or_default();
    let Flavour { name, triple, architecture, .. } = tools.flavour.clone();
    let target = Target { flavour: name, triple, architecture: architecture.to_string(), glibc_floor };
    Ok(LayerInputs {
        programs,
        files,
        packages,
        cell: cell.id,
        levels: cell.levels,
        target,
        origin: Origin { sources, ..origin },
        c_compiler: tools.c_compiler.clone(),
        parts,
        libraries,
        time: time(root, std::env::var_os("SOURCE_DATE_EPOCH"))?,
        profile: ReleaseProfile::of(&recipe, root).map_err(build::Error::Sources)?.into_keys(),
        recipe,
        texts: Texts {
            lock: read(&workspace.join("Cargo.lock"))?,
            licence: read(&root.join("LICENSE"))?,
            notice: read(&root.join("NOTICE"))?,
            rust: read(&tools.terms)?,
            rust_place: format!("{}.{}", places::RUST_LICENCES, tools.terms_ending()),
        },
    })
}

/// What a layer has beside an agent with AppSec.
struct Worker {
    program: Program,
    files: Vec<File>,
    parts: Vec<Part>,
}

/// Builds the worker; None for agents without AppSec.
fn worker(root: &Path, cell: &Cell, tools: &Tools) -> Result<Option<Worker>, Error> {
    if cell.levels.get(waf::SWITCH).is_none_or(|level| level != ON) {
        return Ok(None);
    }
    let target = target_directory();
    let progress = |step: &str| eprintln!("{step}");
    let artefact = Artefact::ensure(tools.flavour.architecture, &target, &progress)?;
    let built = waf::build(root, tools, &builds_directory(), &artefact, &|_| {});
    let built = built.map_err(|failure| Error::Failed { cell: waf::NAME.to_owned(), failure })?;
    let bytes = read(&built.program)?;
    let build_info = waf::document(&bytes).map_err(|reason| Error::Silent { place: places::WAF.to_owned(), reason })?;
    let plain = |place: &str, bytes| File { place: place.to_owned(), bytes, executable: false };
    let failed = |source| Error::File { path: artefact.rules.clone(), source };
    let files = vec![
        plain(places::WAF_LIBRARY, read(&artefact.library)?),
        plain(places::WAF_RULES, artefact.compressed_rules().map_err(failed)?),
    ];
    let program = Program { place: places::WAF.to_owned(), bytes, build_info };
    Ok(Some(Worker { program, files, parts: artefact.parts()? }))
}

/// A name for everything in the workspace that decides a layer.
pub(super) fn sources(root: &Path) -> Result<String, Error> {
    Ok(sources::state(root, &SOURCES_BESIDE).map_err(build::Error::Sources)?)
}

/// The time of the sources: what the variable `SOURCE_DATE_EPOCH` says, or that of the commit. Never the clock's: the same sources are the same bytes.
///
/// Source: "`SOURCE_DATE_EPOCH` specification" of reproducible-builds.org.
pub(super) fn time(root: &Path, epoch: Option<OsString>) -> Result<OffsetDateTime, Error> {
    match epoch.filter(|epoch| !epoch.is_empty()) {
        Some(epoch) => moment(&epoch.to_string_lossy()),
        None => moment(&sources::commit_time(root).map_err(Error::Time)?),
    }
}

fn moment(epoch: &str) -> Result<OffsetDateTime, Error> {
    let moment = epoch.parse().ok().and_then(|seconds| OffsetDateTime::from_unix_timestamp(seconds).ok());
    moment.ok_or_else(|| Error::Epoch(epoch.to_owned()))
}

/// Refuses what was built while its sources became others, as by a commit in the middle.
fn unmoved(root: &Path, cell: &Cell, origin: &Origin) -> Result<(), Error> {
    let now = sources::state(root, &[]).map_err(build::Error::Sources)?;
    if now == origin.sources { Ok(()) } else { Err(Error::Moved { cell: cell.id.clone() }) }
}

fn ask(place: &str, file: &Path) -> Result<Program, Error> {
    let build_info = BuildReport::document(file).map_err(|reason| Error::Silent { place: place.to_owned(), reason })?;
    Ok(Program { place: place.to_owned(), bytes: read(file)?, build_info })
}

fn look_at_launcher(place: &str, file: &Path) -> Result<Program, Error> {
    let bytes = read(file)?;
    let build_info = launcher::document(&bytes).map_err(|reason| Error::Silent { place: place.to_owned(), reason })?;
    Ok(Program { place: place.to_owned(), bytes, build_info })
}

fn read(path: &Path) -> Result<Vec<u8>, Error> {
    fs::read(path).map_err(|source| Error::File { path: path.to_owned(), source })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_built_from_other_sources_than_are_there_now_is_refused() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
        let (cell, _) = crate::plan::cell(Manifest::embedded().unwrap(), "ship").unwrap();
        let origin = |sources: String| Origin { sources, compiler: String::new() };
        assert!(unmoved(root, &cell, &origin(sources::state(root, &[]).unwrap())).is_ok());
        let error = unmoved(root, &cell, &origin("another commit".to_owned())).unwrap_err();
        assert_eq!(error.status(), crate::terminal::REFUSED);
        assert!(error.to_string().ends_with("the same command builds it again"), "{error}");
    }

    #[test]
    fn the_time_is_that_of_the_sources() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
        let of = |epoch: Option<&str>| time(root, epoch.map(OsString::from)).map(OffsetDateTime::unix_timestamp);
        let commit = sources::commit_time(root).unwrap();
        for none in [None, Some("")] {
            assert_eq!(of(none).unwrap().to_string(), commit);
        }
        assert_eq!(of(Some("86400")).unwrap(), 86_400);
        for epoch in ["yesterday", "1.5", "99999999999999"] {
            let error = of(Some(epoch)).unwrap_err();
            assert_eq!(error.status(), crate::terminal::USAGE);
            assert!(error.to_string().starts_with(&format!("SOURCE_DATE_EPOCH={epoch:?} is not")), "{error}");
        }
    }
}
