//! The zip file that a report is about: inspected before anything in it is believed, and refused unless its programs are the ones that are proven.

use std::path::{Path, PathBuf};
use std::{fs, io};

use serde::Serialize;

use super::proof::{Facts, Proof};
use crate::archive::places;
use crate::archive::{self, Entry};
use crate::elf::Linkage;
use crate::hash;
use crate::layer::make::WRAPPER;
use crate::{executable, inspect, terminal};

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("{} cannot be read", path.display())]
    Read { path: PathBuf, source: io::Error },
    #[error("{} is no layer", path.display())]
    Inspect { path: PathBuf, source: inspect::Error },
    #[error("{} is refused:\n  {}", path.display(), problems.join("\n  "))]
    Refused { path: PathBuf, problems: Vec<String> },
    #[error("{} cannot be unpacked to {}", path.display(), place.display())]
    Unpack { path: PathBuf, place: PathBuf, source: io::Error },
}

impl Error {
    /// The status of the process.
    pub fn status(&self) -> u8 {
        match self {
            Self::Inspect { .. } | Self::Refused { .. } => terminal::REFUSED,
            Self::Read { .. } | Self::Unpack { .. } => terminal::SETUP_FAILED,
        }
    }
}

/// A layer's zip file whose form has been inspected. Whether its programs are the right ones is for [`LayerFile::identity`] to tell.
#[derive(Debug)]
pub struct LayerFile {
    path: PathBuf,
    pub document: LayerDocument,
    programs: Vec<Program>,
}

/// What the report says of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct LayerDocument {
    /// As it was named.
    pub file: String,
    pub sha256: String,
    pub bytes: u64,
    pub programs: Vec<ProgramFile>,
}

/// A program of a layer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ProgramFile {
    /// Below `/opt`.
    pub place: String,
    pub sha256: String,
    pub bytes: u64,
}

#[derive(Debug)]
struct Program {
    place: String,
    bytes: Vec<u8>,
}

/// The layer that a report was asked for.
#[derive(Clone, Copy, Debug)]
pub struct Expected<'a> {
    /// The name of the cell.
    pub cell: &'a str,
    /// Lambda's name of the processor.
    pub architecture: &'a str,
    /// Whether the programs can be started here, to be asked what they are.
    pub runs: bool,
}

impl LayerFile {
    /// Reads and inspects a zip file.
    pub fn open(path: &Path, expected: &Expected<'_>) -> Result<Self, Error> {
        let bytes = fs::read(path).map_err(|source| Error::Read { path: path.to_owned(), source })?;
        let no_layer = |source| Error::Inspect { path: path.to_owned(), source };
        let seen = inspect::look(&path.display().to_string(), &bytes, expected.runs).map_err(no_layer)?;
        let entries = match seen.kind {
            inspect::Kind::Program => Vec::new(),
            inspect::Kind::Layer => archive::read(&bytes).map_err(|error| no_layer(error.into()))?,
        };
        let problems = problems(&seen, &entries, expected);
        if !problems.is_empty() {
            return Err(Error::Refused { path: path.to_owned(), problems });
        }
        let programs: Vec<Program> = entries
            .into_iter()
            .filter(|entry| [places::EXTENSION, places::AGENT].contains(&entry.file.place.as_str()))
            .map(|entry| Program { place: entry.file.place, bytes: entry.file.bytes })
            .collect();
        let document = LayerDocument {
            file: seen.file,
            sha256: seen.sha256,
            bytes: seen.bytes,
            programs: programs.iter().map(|program| ProgramFile::of(&program.place, &program.bytes)).collect(),
        };
        Ok(Self { path: path.to_owned(), document, programs })
    }

    /// Compares the programs of the layer with those that are built from the sources here, by place. An error names each that is another one.
    pub fn identity(&self, built: &[ProgramFile]) -> Result<Proof, Error> {
        let mut facts = Facts::default();
        facts.note(true, format!("the zip file has SHA-256 {}", self.document.sha256));
        let found = &self.document.programs;
        for program in found {
            match built.iter().find(|other| other.place == program.place) {
                Some(other) if other == program => {
                    facts.note(true, format!("{} has SHA-256 {}, as it is built here", program.place, program.sha256));
                }
                Some(other) => facts.note(
                    false,
                    format!(
                        "{} is another program than the one that is proven: it has SHA-256 {}, and these sources and tools make {}",
                        program.place, program.sha256, other.sha256
                    ),
                ),
                None => facts.note(false, format!("{} is no program of this set", program.place)),
            }
        }
        for other in built.iter().filter(|other| !found.iter().any(|program| program.place == other.place)) {
            facts.note(false, format!("{} is not in it", other.place));
        }
        if !facts.against.is_empty() {
            return Err(Error::Refused { path: self.path.clone(), problems: facts.against });
        }
        let claim =
            "Every program of the layer is, byte for byte, the one that this report is about, and there is no other.";
        let how = format!(
            "`cargo matrix inspect --run --require-manifest {}`, and a build from these sources",
            self.path.display()
        );
        Ok(Proof::new("layer", claim, how, facts))
    }

    /// Writes the programs below a folder, to be started from there: the extension, and what a launcher executes.
    pub fn unpack(&self, folder: &Path) -> Result<(PathBuf, Option<PathBuf>), Error> {
        let mut agent = None;
        for program in &self.programs {
            let place = folder.join(&program.place);
            let failed = |source| Error::Unpack { path: self.path.clone(), place: place.clone(), source };
            place.parent().map_or(Ok(()), fs::create_dir_all).map_err(failed)?;
            executable::write(&place, &program.bytes).map_err(failed)?;
            agent = agent.or_else(|| (program.place == places::AGENT).then(|| place.clone()));
        }
        Ok((folder.join(places::EXTENSION), agent))
    }
}

impl ProgramFile {
    pub fn of(place: &str, bytes: &[u8]) -> Self {
        Self { place: place.to_owned(), sha256: hash::hexadecimal(bytes), bytes: archive::count(bytes) }
    }
}

/// Why a file is not the layer that was asked for, before anything of it is compared with a build.
fn problems(seen: &inspect::Document, entries: &[Entry], expected: &Expected<'_>) -> Vec<String> {
    if seen.kind == inspect::Kind::Program {
        return vec!["it is a program, not a layer's zip file".to_owned()];
    }
    let mut problems = seen.problems.clone();
    match &seen.manifest {
        None if problems.is_empty() => problems.push("there is no manifest in it".to_owned()),
        Some(manifest) if manifest.cell != expected.cell => {
            problems.push(format!("its manifest says that it is {}, not {}", manifest.cell, expected.cell));
        }
        Some(manifest) if manifest.architecture != expected.architecture => {
            let there = &manifest.architecture;
            problems.push(format!("it is for {there}, not {}: --arch {there}", expected.architecture));
        }
        _ => {}
    }
    problems.extend(entries.iter().filter_map(problem));
    problems
}

/// What Lambda would execute or load in a layer is the extension, what a launcher executes, and the wrapper of this tool.
fn problem(entry: &Entry) -> Option<String> {
    let place = entry.file.place.as_str();
    let is_elf = Linkage::of(&entry.file.bytes).is_some();
    match place {
        _ if entry.link => Some(format!("{place} is a symbolic link")),
        places::EXTENSION | places::AGENT => (!is_elf).then(|| format!("{place} is no ELF program of 64 bits")),
        places::WRAPPER => {
            (entry.file.bytes != WRAPPER).then(|| format!("{place} is another script than that of this tool"))
        }
        _ if is_elf || entry.file.executable => Some(format!("{place} is a program that belongs to no layer of ours")),
        _ if place.starts_with(places::LIBRARIES) => Some(format!("{place} is where the loader looks for libraries")),
        _ if place.starts_with(places::EXTENSIONS) => Some(format!("{place} is where Lambda looks for extensions")),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(programs: &[(&str, &[u8])]) -> LayerFile {
        let programs: Vec<Program> = programs
            .iter()
            .map(|(place, bytes)| Program { place: (*place).to_owned(), bytes: bytes.to_vec() })
            .collect();
        let listed = programs.iter().map(|program| ProgramFile::of(&program.place, &program.bytes)).collect();
        let document = LayerDocument { file: "l.zip".to_owned(), sha256: "ff".to_owned(), bytes: 1, programs: listed };
        LayerFile { path: PathBuf::from("l.zip"), document, programs }
    }

    #[test]
    fn only_the_programs_that_are_proven_are_accepted() {
        let extension = ProgramFile::of(places::EXTENSION, b"program");
        let layer = file(&[(places::EXTENSION, b"program")]);
        assert!(layer.identity(std::slice::from_ref(&extension)).unwrap().holds);
        let refused = |layer: &LayerFile, built: &[ProgramFile]| layer.identity(built).unwrap_err().to_string();
        let doctored = refused(&file(&[(places::EXTENSION, b"doctored")]), std::slice::from_ref(&extension));
        assert!(
            doctored.contains("extensions/datadog-agent is another program than the one that is proven"),
            "{doctored}"
        );
        let agent = ProgramFile::of(places::AGENT, b"agent");
        assert!(refused(&layer, &[extension.clone(), agent]).contains("bottlecap/agent is not in it"));
        let more = file(&[(places::EXTENSION, b"program"), (places::AGENT, b"agent")]);
        assert!(refused(&more, &[extension]).contains("bottlecap/agent is no program of this set"));
    }

    #[test]
    fn the_programs_are_unpacked_as_they_are() {
        let folder = tempfile::tempdir().unwrap();
        let layer = file(&[(places::EXTENSION, b"launcher"), (places::AGENT, b"agent")]);
        let (program, agent) = layer.unpack(folder.path()).unwrap();
        assert_eq!(
            (fs::read(program).unwrap(), fs::read(agent.unwrap()).unwrap()),
            (b"launcher".to_vec(), b"agent".to_vec())
        );
    }

    #[test]
    fn whatever_else_could_be_executed_or_loaded_is_a_problem() {
        let entry = |place: &str, bytes: &[u8], executable, link| {
            let file = archive::File { place: place.to_owned(), bytes: bytes.to_vec(), executable };
            problem(&Entry { file, zipped: 1, link, mode: Some(0o644) })
        };
        let elf = fs::read(std::env::current_exe().unwrap()).unwrap();
        assert_eq!(entry(places::EXTENSION, &elf, true, false), None);
        assert_eq!(entry(places::WRAPPER, WRAPPER, true, false), None);
        assert_eq!(entry(places::NOTICE, b"text", false, false), None);
        for (place, bytes, executable, link) in [
            (places::EXTENSION, &b"#!/bin/sh\n"[..], true, false),
            (places::WRAPPER, b"#!/bin/sh\n", true, false),
            ("bottlecap/helper", &elf, false, false),
            ("bottlecap/script", b"#!/bin/sh\n", true, false),
            ("lib/libssl.so.3", b"no program", false, false),
            ("extensions/other", b"no program", false, false),
            (places::NOTICE, b"/tmp/x", false, true),
        ] {
            assert!(entry(place, bytes, executable, link).is_some(), "{place}");
        }
    }
}
