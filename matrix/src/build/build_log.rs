//! `builds.jsonl`: a line as soon as a cell is done, so that what is interrupted loses nothing.

use std::collections::BTreeMap;
use std::fs::{self, OpenOptions};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use super::{BuildRecord, Error, FILE, sameness};
use crate::files;
use crate::plan::{Cell, SCHEMA};

/// The lines of one experiment, the last one of each cell.
#[derive(Debug)]
pub struct BuildLog {
    path: PathBuf,
    lines: BTreeMap<String, BuildRecord>,
}

impl BuildLog {
    /// What is there already. Half a line, of a run that was cut off, is no line.
    pub fn open(folder: &Path) -> Result<Self, Error> {
        let path = folder.join(FILE);
        let text = match fs::read_to_string(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => String::new(),
            read => read.map_err(|source| Error::File { path: path.clone(), source })?,
        };
        let lines = text.lines().filter_map(|line| serde_json::from_str::<BuildRecord>(line).ok());
        let lines = lines.filter(|built| built.schema == SCHEMA).map(|built| built.located(folder));
        let lines = lines.map(|built| (built.cell.clone(), built)).collect();
        Ok(Self { path, lines })
    }

    pub fn line(&self, cell: &str) -> Option<&BuildRecord> {
        self.lines.get(cell)
    }

    /// Adds a line.
    pub fn record(&mut self, built: BuildRecord) -> Result<(), Error> {
        // A build that fails has made no folder, and its failure is to be told all the same.
        let folder = self.path.parent().map_or(Ok(()), fs::create_dir_all);
        let open = folder.and_then(|()| OpenOptions::new().create(true).append(true).open(&self.path));
        let written = open.and_then(|mut file| {
            // A line that was cut off must not run into this one.
            let start = if ends_line(&self.path) { "" } else { "\n" };
            writeln!(file, "{start}{}", serde_json::to_string(&self.written(&built))?)
        });
        written.map_err(|source| Error::File { path: self.path.clone(), source })?;
        self.lines.insert(built.cell.clone(), built);
        Ok(())
    }

    /// Puts the lines in the plan's order, drops those of cells that it does not have, and marks what is the same program as an earlier cell's.
    pub fn finish(&mut self, cells: &[Cell]) -> Result<Vec<BuildRecord>, Error> {
        let mut records: Vec<BuildRecord> = Vec::new();
        let mut first: BTreeMap<String, String> = BTreeMap::new();
        for mut built in cells.iter().filter_map(|cell| self.lines.get(&cell.id)).cloned() {
            built.same_as = None;
            if built.failure.is_none() {
                let program = program_without_flags(&built);
                built.same_as = first.get(&program).cloned();
                first.entry(program).or_insert_with(|| built.cell.clone());
            }
            records.push(built);
        }
        let lines: Result<Vec<String>, _> =
            records.iter().map(|built| serde_json::to_string(&self.written(built)).map(|line| line + "\n")).collect();
        let written = lines.map_err(io::Error::other).and_then(|lines| files::write(&self.path, lines.concat()));
        written.map_err(|source| Error::File { path: self.path.clone(), source })?;
        Ok(records)
    }

    fn written(&self, built: &BuildRecord) -> BuildRecord {
        built.clone().beside(self.path.parent().unwrap_or(Path::new("")))
    }
}

/// The SHA-256 of a cell's programs without what they say of their compiler flags; of all that they are where they cannot be read.
fn program_without_flags(built: &BuildRecord) -> String {
    let files: Vec<&Path> = built.program.iter().chain(&built.agent).map(PathBuf::as_path).collect();
    let read = if files.is_empty() { None } else { sameness::of_files(files).ok() };
    read.unwrap_or_else(|| built.sha256.clone())
}

fn ends_line(path: &Path) -> bool {
    fs::read(path).map_or(true, |bytes| bytes.last().is_none_or(|last| *last == b'\n'))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::build::Failure;
    use crate::plan::CellKind;

    fn built(cell: &str, sha256: &str) -> BuildRecord {
        BuildRecord {
            schema: SCHEMA,
            cell: cell.to_owned(),
            program: Some(PathBuf::from("/p")),
            agent: None,
            sha256: sha256.to_owned(),
            bytes: 1,
            seconds: 1.5,
            cached: false,
            compiled: None,
            group: None,
            slowdown: None,
            launcher: None,
            brought: std::collections::BTreeSet::new(),
            origin: None,
            same_as: None,
            failure: None,
        }
    }

    fn cell(id: &str) -> Cell {
        Cell { id: id.to_owned(), kind: CellKind::Floor, levels: BTreeMap::new() }
    }

    #[test]
    fn what_is_recorded_is_there_after_a_crash() {
        let folder = tempfile::tempdir().unwrap();
        let folder = folder.path().join("not there yet");
        let mut build_log = BuildLog::open(&folder).unwrap();
        build_log.record(built("a", "1")).unwrap();
        let path = folder.join(FILE);
        let cut = fs::read_to_string(&path).unwrap() + "{\"schema\":1,\"cell\":\"b\",\"pro";
        fs::write(&path, cut).unwrap();

        let mut build_log = BuildLog::open(&folder).unwrap();
        assert_eq!(build_log.line("a"), Some(&built("a", "1")));
        assert_eq!(build_log.line("b"), None);
        build_log.record(built("c", "2")).unwrap();
        assert_eq!(BuildLog::open(&folder).unwrap().line("c"), Some(&built("c", "2")));
    }

    #[test]
    fn programs_beside_the_lines_are_found_where_the_folder_has_been_moved() {
        let folder = tempfile::tempdir().unwrap();
        let (before, after) = (folder.path().join("before"), folder.path().join("after"));
        fs::create_dir(&before).unwrap();
        let mut build_log = BuildLog::open(&before).unwrap();
        let program = |folder: &Path| Some(folder.join("programs/a/agent"));
        build_log.record(BuildRecord { program: program(&before), ..built("a", "1") }).unwrap();
        build_log.record(built("elsewhere", "2")).unwrap();
        fs::rename(&before, &after).unwrap();
        let build_log = BuildLog::open(&after).unwrap();
        assert_eq!(build_log.line("a").unwrap().program, program(&after));
        assert_eq!(build_log.line("elsewhere").unwrap().program, Some(PathBuf::from("/p")));
    }

    #[test]
    fn the_same_program_is_measured_in_the_first_cell_of_the_plan() {
        let folder = tempfile::tempdir().unwrap();
        let mut build_log = BuildLog::open(folder.path()).unwrap();
        let failed = |cell: &str| BuildRecord {
            failure: Some(Failure { command: String::new(), output: String::new() }),
            ..built(cell, "")
        };
        for line in [
            built("late", "1"),
            built("gone", "1"),
            failed("bad"),
            failed("worse"),
            built("first", "1"),
            built("other", "2"),
        ] {
            build_log.record(line).unwrap();
        }
        let cells = ["first", "late", "bad", "worse", "other"].map(cell);
        let records = build_log.finish(&cells).unwrap();
        let same: Vec<_> = records.iter().map(|built| (built.cell.as_str(), built.same_as.as_deref())).collect();
        let expected = [("first", None), ("late", Some("first")), ("bad", None), ("worse", None), ("other", None)];
        assert_eq!(same, expected);
        let read = BuildLog::open(folder.path()).unwrap();
        assert_eq!(read.line("late").unwrap().same_as.as_deref(), Some("first"));
        assert_eq!(read.line("gone"), None);
    }
}
