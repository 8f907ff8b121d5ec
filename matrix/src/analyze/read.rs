//! Reads the files of a run: the plan, the build records, and samples from any number of files.

use std::fs;
use std::path::Path;

use serde::Deserialize;
use serde::de::DeserializeOwned;

use super::Error;
use crate::measure::Run;
use crate::plan::{Plan, SCHEMA};

/// Reads `plan.json`.
pub fn plan(path: &Path) -> Result<Plan, Error> {
    let bytes = read(path)?;
    let plan: Plan = document(&bytes, path, 1)?;
    if plan.cells.is_empty() {
        return Err(Error::NoCells(path.to_owned()));
    }
    let complaints = plan.contradictions();
    if complaints.is_empty() { Ok(plan) } else { Err(Error::Plan { path: path.to_owned(), complaints }) }
}

/// The values that were read and the lines that could not be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lines<T> {
    pub values: Vec<T>,
    /// A note for each last line that an interrupted run left unfinished.
    pub torn: Vec<String>,
}

/// Reads one value from each line of a file such as `samples.jsonl`.
///
/// An interrupted run leaves its last line unfinished. That line is left out and noted in [`Lines::torn`]. Any other unreadable line is an error, also where
/// another file was appended directly to an unfinished line: the start on that line is lost without a note.
pub fn lines<T: DeserializeOwned>(path: &Path) -> Result<Lines<T>, Error> {
    let bytes = read(path)?;
    let mut found = Lines { values: Vec::new(), torn: Vec::new() };
    let mut lines = bytes.split(|&byte| byte == b'\n').enumerate().peekable();
    while let Some((index, line)) = lines.next() {
        if line.trim_ascii().is_empty() {
            continue;
        }
        let number = index + 1;
        let torn =
            || format!("{}:{number} was left unfinished by an interrupted run, and is left out.", path.display());
        match document(line, path, number) {
            Ok(value) => found.values.push(value),
            Err(error @ Error::Schema { .. }) => return Err(error),
            // A file that ends without a line feed has no further line, not even an empty one.
            Err(_) if lines.peek().is_none() => found.torn.push(torn()),
            Err(error) => return Err(error),
        }
    }
    Ok(found)
}

/// Reads the `run.json` beside one of these files, if there is one.
pub fn run_beside<'p>(paths: impl IntoIterator<Item = &'p Path>) -> Result<Option<Run>, Error> {
    let mut beside = paths.into_iter().map(|path| path.with_file_name("run.json"));
    match beside.find(|path| path.exists()) {
        Some(path) => Ok(Some(document(&read(&path)?, &path, 1)?)),
        None => Ok(None),
    }
}

fn read(path: &Path) -> Result<Vec<u8>, Error> {
    fs::read(path).map_err(|source| Error::Read { path: path.to_owned(), source })
}

/// Parses a document. The schema is checked first, because a file of another version would fail on some field.
fn document<T: DeserializeOwned>(bytes: &[u8], path: &Path, line: usize) -> Result<T, Error> {
    #[derive(Deserialize)]
    struct Version {
        schema: u32,
    }
    let error = |source| Error::Line { path: path.to_owned(), line, source };
    let Version { schema } = serde_json::from_slice(bytes).map_err(error)?;
    if schema != SCHEMA {
        return Err(Error::Schema { path: path.to_owned(), found: schema });
    }
    serde_json::from_slice(bytes).map_err(error)
}
