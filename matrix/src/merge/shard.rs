//! Reads a shard: the files that one machine has written.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use serde::de::DeserializeOwned;

use super::Error;
use crate::build::{BuildRecord, FILE, latest};
use crate::measure::Run;
use crate::measure::sample::Sample;
use crate::plan::{Plan, SCHEMA, file};

/// The files of one shard's folder.
#[derive(Debug)]
pub struct Shard {
    pub folder: PathBuf,
    pub plan: Plan,
    pub builds: Vec<BuildRecord>,
    pub run: Option<Run>,
    pub starts: Vec<Start>,
}

/// A start with its line as it was written. Parsed numbers would lose their last digits when written again.
#[derive(Debug)]
pub struct Start {
    pub sample: Sample,
    pub line: String,
}

impl Shard {
    pub fn read(folder: &Path) -> Result<Self, Error> {
        let path = folder.join("run.json");
        let run = optional(&path)?.map(|text| parse(&path, 1, &text)).transpose()?;
        let path = folder.join(FILE);
        let builds = optional(&path)?.unwrap_or_default();
        let builds = numbered(&builds).map(|(number, line)| parse(&path, number, line));
        Ok(Self {
            folder: folder.to_owned(),
            plan: file::read(folder)?,
            builds: latest(builds.collect::<Result<_, _>>()?),
            run,
            starts: starts(&folder.join("samples.jsonl"))?,
        })
    }
}

fn starts(path: &Path) -> Result<Vec<Start>, Error> {
    let text = fs::read_to_string(path).map_err(|source| Error::Read { path: path.to_owned(), source })?;
    // The last line of an interrupted run may be unfinished; it is ignored.
    let whole = text.rfind('\n').map_or("", |end| text.get(..end).unwrap_or_default());
    let start = |(number, line): (usize, &str)| {
        let sample: Sample = parse(path, number, line)?;
        match sample.schema {
            SCHEMA => Ok(Start { sample, line: line.to_owned() }),
            found => Err(Error::Schema { path: path.to_owned(), found }),
        }
    };
    numbered(whole).map(start).collect()
}

fn numbered(text: &str) -> impl Iterator<Item = (usize, &str)> {
    (1..).zip(text.lines()).filter(|(_, line)| !line.trim().is_empty())
}

fn optional(path: &Path) -> Result<Option<String>, Error> {
    match fs::read_to_string(path) {
        Ok(text) => Ok(Some(text)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(source) => Err(Error::Read { path: path.to_owned(), source }),
    }
}

fn parse<T: DeserializeOwned>(path: &Path, line: usize, text: &str) -> Result<T, Error> {
    serde_json::from_str(text).map_err(|source| Error::Content { path: path.to_owned(), line, source })
}
