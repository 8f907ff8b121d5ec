//! `samples.jsonl`: one line for each start, written as soon as the start is over.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use super::sample::Sample;
use super::{Error, reading, writing};
use crate::plan::{Condition, SCHEMA};

/// The samples of a run, including those from before an interruption.
#[derive(Debug)]
pub struct Samples {
    path: PathBuf,
    file: File,
    /// The offset of an unfinished last line, which an interrupted run left.
    torn: Option<u64>,
    there: BTreeSet<Key>,
    programs: BTreeMap<String, String>,
}

#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Key {
    cell: String,
    condition: Condition,
    block: u32,
}

impl Samples {
    /// Opens or creates the file. An unfinished last line is cut off before the first sample is appended, and not at once: the file may turn out to be of
    /// another run.
    pub fn open(path: &Path) -> Result<Self, Error> {
        let text = match fs::read_to_string(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => String::new(),
            read => read.map_err(reading(path))?,
        };
        let whole = text.rfind('\n').map_or(0, |end| end + 1);
        let file = OpenOptions::new().append(true).create(true).open(path).map_err(writing(path))?;
        let torn = (whole < text.len()).then_some(whole as u64);
        let mut samples = Self { path: path.to_owned(), file, torn, there: BTreeSet::new(), programs: BTreeMap::new() };
        for (number, line) in text.get(..whole).unwrap_or_default().lines().enumerate() {
            let malformed = |source| Error::Malformed { path: path.to_owned(), line: number + 1, source };
            let sample: Sample = serde_json::from_str(line).map_err(malformed)?;
            if sample.schema != SCHEMA {
                return Err(Error::Schema { path: path.to_owned(), found: sample.schema });
            }
            samples.note(&sample);
        }
        Ok(samples)
    }

    /// Whether this start was recorded, failed or not. A start that the sandbox could not make does not count.
    pub fn has(&self, cell: &str, condition: &Condition, block: u32) -> bool {
        self.there.contains(&Key { cell: cell.to_owned(), condition: condition.clone(), block })
    }

    /// The program of a cell that has samples.
    pub fn program(&self, cell: &str) -> Option<&str> {
        self.programs.get(cell).map(String::as_str)
    }

    /// The path of the file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Appends a sample. When this returns, the sample survives the end of this process.
    pub fn append(&mut self, sample: &Sample) -> Result<(), Error> {
        let mut line = serde_json::to_string(sample).map_err(io::Error::from).map_err(writing(&self.path))?;
        line.push('\n');
        if let Some(whole) = self.torn.take() {
            self.file.set_len(whole).map_err(writing(&self.path))?;
        }
        self.file.write_all(line.as_bytes()).map_err(writing(&self.path))?;
        self.note(sample);
        Ok(())
    }

    fn note(&mut self, sample: &Sample) {
        let Sample { cell, condition, block, program, .. } = sample;
        self.programs.insert(cell.clone(), program.clone());
        if sample.harness {
            return;
        }
        self.there.insert(Key { cell: cell.clone(), condition: condition.clone(), block: *block });
    }
}
