//! The programs of a plan's cells, as private copies.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use sha2::{Digest as _, Sha256};

use super::{Error, hexadecimal, reading, writing};
use crate::build::{self, BuildRecord, yardstick};
use crate::elf::loader_work::LoaderWork;
use crate::executable;
use crate::plan::external::Form;
use crate::plan::{AppSec, Cell, CellKind, Plan};
use crate::sandbox::setup::LayerFile;
use crate::sandbox::{Extension, page_cache};

/// The path below `/opt` at which a launcher finds the agent that it executes.
const AGENT_PLACE: &str = "bottlecap/agent";

/// The variable that asks for the evaluation of requests for attacks.
const PROTECTED: &str = "DD_SERVERLESS_APPSEC_ENABLED";

/// The variable that every agent of ours looks for.
const HANDOVER: &[u8] = b"BOTTLECAP_HANDOVER";

/// A cell with its program.
#[derive(Clone, Debug)]
pub(super) struct MeasuredCell {
    pub cell: String,
    /// The program's digest, as in [`super::sample::Sample::program`].
    pub program: String,
    /// Whether it was built from this workspace; then every payload that it sends has to be accepted.
    pub ours: bool,
    /// Whether it is an agent of ours, wherever it was built, so that its sockets are known.
    pub serves: bool,
    /// Whether it has to deliver the same payload as the other programs.
    pub held: bool,
    /// Measures of the files that need no start.
    pub fixed: BTreeMap<String, f64>,
    environment: BTreeMap<String, String>,
    /// The files of the WAF worker.
    waf: Vec<LayerFile>,
    /// The program, and with a launcher the agent. They are copies: no other process has them mapped, and they cannot be replaced during the run.
    files: Vec<PathBuf>,
}

impl MeasuredCell {
    /// The extension as it is in `/opt`.
    pub(super) fn extension(&self, appsec: AppSec) -> Extension {
        let mut files = self.files.iter();
        let mut extension = Extension::new(super::AGENT, files.next().cloned().unwrap_or_default());
        let layer_file = |file: &PathBuf| LayerFile { place: PathBuf::from(AGENT_PLACE), source: file.clone() };
        extension.layer_files = files.map(layer_file).collect();
        extension.environment.clone_from(&self.environment);
        if appsec == AppSec::On {
            extension.layer_files.extend(self.waf.iter().cloned());
            extension.environment.insert(PROTECTED.to_owned(), "true".to_owned());
        }
        extension
    }

    /// Reads the files into the page cache.
    pub(super) fn read(&self) -> std::io::Result<()> {
        self.files.iter().try_for_each(|file| page_cache::read_pages(file))
    }

    /// Drops the files from the page cache, to test whether this machine allows it. Returns the number of bytes that remain.
    pub(super) fn forget(&self) -> std::io::Result<u64> {
        self.files.iter().try_for_each(|file| page_cache::drop_pages(file))?;
        self.resident()
    }

    /// Bytes of the files that are in the page cache.
    pub(super) fn resident(&self) -> std::io::Result<u64> {
        self.files.iter().map(|file| page_cache::resident(file)).sum()
    }

    /// Bytes of the file that is executed first that are in the page cache.
    pub(super) fn entry_resident(&self) -> std::io::Result<u64> {
        self.files.first().map_or(Ok(0), |file| page_cache::resident(file))
    }
}

/// The cells that have a program, in the plan's order, with copies of their programs in `directory`.
/// `waf` has the WAF worker, if there is one.
pub(super) fn of(
    plan: &Plan,
    built: &[BuildRecord],
    directory: &Path,
    waf: Option<&Path>,
) -> Result<Vec<MeasuredCell>, Error> {
    let waf = waf.map(build::waf::layer_files).unwrap_or_default();
    let mut cells = Vec::new();
    for cell in &plan.cells {
        let source = source(plan, cell)?;
        let line = built.iter().find(|built| built.cell == source.id);
        // A build that equals another's is measured once; a control is measured twice on purpose.
        let is_twin = line.is_some_and(|built| built.same_as.is_some()) && source.id == cell.id;
        if let Some(files) = files(source, line).filter(|_| !is_twin) {
            let is_ours_or_external = matches!(source.kind, CellKind::Build | CellKind::External { .. });
            let held = is_ours_or_external && !plan.sends_its_own(source);
            let waf = waf.clone();
            cells.push(MeasuredCell { held, waf, ..measured_cell(cell, source, line, &files, directory)? });
        }
    }
    if cells.is_empty() { Err(Error::NothingToMeasure) } else { Ok(cells) }
}

/// The cell whose program this one has: itself, or for a control its original.
fn source<'a>(plan: &'a Plan, cell: &'a Cell) -> Result<&'a Cell, Error> {
    let CellKind::Again { of } = &cell.kind else { return Ok(cell) };
    let other = plan.cells.iter().find(|other| other.id == *of && !matches!(other.kind, CellKind::Again { .. }));
    other.ok_or_else(|| Error::NoSuchCell { cell: cell.id.clone(), of: of.clone() })
}

fn files(cell: &Cell, built: Option<&BuildRecord>) -> Option<Vec<PathBuf>> {
    if let Some(built) = built {
        return Some(std::iter::once(built.program.clone()?).chain(built.agent.clone()).collect());
    }
    match &cell.kind {
        // `build` unpacks anything that is not a program.
        CellKind::External { path, .. } => Some(vec![path.clone()]).filter(|_| Form::of(path) == Some(Form::Program)),
        // A yardstick may have come with this program.
        CellKind::Floor => Some(vec![yardstick::beside(yardstick::FLOOR)?]),
        CellKind::StdFloor => Some(vec![yardstick::beside(yardstick::STD_FLOOR)?]),
        CellKind::Build | CellKind::Again { .. } => None,
    }
}

fn measured_cell(
    cell: &Cell,
    source: &Cell,
    built: Option<&BuildRecord>,
    files: &[PathBuf],
    directory: &Path,
) -> Result<MeasuredCell, Error> {
    let contents = files.iter().map(|file| fs::read(file).map_err(reading(file))).collect::<Result<Vec<_>, _>>()?;
    let changed = || Error::Changed { cell: cell.id.clone() };
    // The digest of all files concatenated, as the build computes it.
    let sha256 = hexadecimal(&contents.iter().fold(Sha256::new(), sha2::Digest::chain_update).finalize());
    if built.is_some_and(|built| built.sha256 != sha256) {
        return Err(changed());
    }
    let mut copies = Vec::new();
    for (file, content) in files.iter().zip(&contents) {
        let to = directory.join(head(&hexadecimal(&Sha256::digest(content))));
        copies.push(copy(file, content, &to)?.ok_or_else(changed)?);
    }
    let environment = match &source.kind {
        CellKind::External { environment, .. } => environment.clone(),
        _ => BTreeMap::new(),
    };
    Ok(MeasuredCell {
        cell: cell.id.clone(),
        program: head(&sha256).to_owned(),
        ours: source.kind == CellKind::Build,
        serves: contents.iter().any(|content| content.windows(HANDOVER.len()).any(|window| window == HANDOVER)),
        held: false,
        fixed: fixed(&contents),
        environment,
        waf: Vec::new(),
        files: copies,
    })
}

/// Measures of the files, summed over launcher and agent: a launcher only defers the agent's work.
fn fixed(contents: &[Vec<u8>]) -> BTreeMap<String, f64> {
    let bytes = contents.iter().map(Vec::len).sum::<usize>();
    let mut fixed = BTreeMap::from([("file_size".to_owned(), number(bytes as u64))]);
    fixed.extend(contents.first().map(|first| ("entry_size".to_owned(), number(first.len() as u64))));
    let work: Option<Vec<_>> = contents.iter().map(|content| LoaderWork::of(content)).collect();
    if let Some(work) = work {
        let sum = |of: fn(&LoaderWork) -> u64| number(work.iter().map(of).sum());
        fixed.insert("relocations".to_owned(), sum(|work| work.relocations));
        fixed.insert("libraries".to_owned(), sum(|work| work.libraries));
    }
    fixed
}

/// A count as the value of a measure.
#[expect(clippy::cast_precision_loss, reason = "nothing that is counted here comes near 2^53")]
pub(super) fn number(count: u64) -> f64 {
    count as f64
}

/// Copies a file under a name that contains its digest, so that one copy is enough. `None` if the file has changed since `content` was read.
fn copy(file: &Path, content: &[u8], to: &Path) -> Result<Option<PathBuf>, Error> {
    let is_whole = || fs::read(to).is_ok_and(|copied| copied == content);
    if !is_whole() {
        let unfinished = to.with_extension("unfinished");
        executable::copy(file, &unfinished).map_err(writing(&unfinished))?;
        fs::rename(&unfinished, to).map_err(writing(to))?;
    }
    Ok(is_whole().then(|| to.to_owned()))
}

fn head(sha256: &str) -> &str {
    sha256.get(..16).unwrap_or(sha256)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_worker_is_in_the_layer_where_the_condition_has_app_and_api_protection() {
        let cell = MeasuredCell {
            cell: "ship".to_owned(),
            program: String::new(),
            ours: true,
            serves: true,
            held: true,
            fixed: BTreeMap::new(),
            environment: BTreeMap::from([("A".to_owned(), "b".to_owned())]),
            waf: build::waf::layer_files(Path::new("/plan/waf")),
            files: vec!["/programs/launcher".into(), "/programs/agent".into()],
        };
        let places = |appsec| cell.extension(appsec).layer_files.into_iter().map(|file| file.place).collect::<Vec<_>>();
        assert_eq!(places(AppSec::Off), [Path::new(AGENT_PLACE)]);
        let worker = ["bottlecap/waf", "bottlecap/libddwaf.so", "bottlecap/rules.json.gz"];
        assert_eq!(
            places(AppSec::On),
            [&[AGENT_PLACE][..], &worker].concat().into_iter().map(PathBuf::from).collect::<Vec<_>>()
        );
        let variables = |appsec| cell.extension(appsec).environment.into_keys().collect::<Vec<_>>();
        assert_eq!(
            (variables(AppSec::Off), variables(AppSec::On)),
            (vec!["A".to_owned()], vec!["A".to_owned(), PROTECTED.to_owned()])
        );
    }
}
