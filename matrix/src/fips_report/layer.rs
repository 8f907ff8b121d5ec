//! The zip file that a report is about: inspected before anything in it is believed, and refused unless it is, byte for byte, what `cargo matrix layer` makes of the
//! program that is proven.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::{fs, io};

use serde::Serialize;

use super::proof::{Facts, Proof};
use crate::archive::places;
use crate::archive::{self, Entry, File};
use crate::build::waf;
use crate::elf::{self, Glibc, Linkage};
use crate::hash;
use crate::layer::make::WRAPPER;
use crate::{executable, files, inspect, terminal};

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("{} cannot be read", path.display())]
    Read { path: PathBuf, source: io::Error },
    #[error("{} is no layer", path.display())]
    Inspect { path: PathBuf, source: inspect::Error },
    #[error(
        "{} cannot be proven on this machine, which says nothing of the file: its programs are asked what they are as the user nobody, in namespaces of their own; \
         run the same as root, for example with sudo --preserve-env=HOME,PATH, and where user namespaces and mounts are allowed",
        path.display()
    )]
    Machine { path: PathBuf, source: inspect::Error },
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
            Self::Read { .. } | Self::Machine { .. } | Self::Unpack { .. } => terminal::SETUP_FAILED,
        }
    }

    /// Why a file was not inspected to the end: because of the machine, or because of the file.
    fn of(path: &Path, source: inspect::Error) -> Self {
        let path = path.to_owned();
        match source {
            inspect::Error::NotAsked { .. } | inspect::Error::NotRoot => Self::Machine { path, source },
            source => Self::Inspect { path, source },
        }
    }
}

/// A layer's zip file whose form has been inspected. Whether it is the right one is for [`LayerFile::identity`] to tell.
#[derive(Debug)]
pub struct LayerFile {
    path: PathBuf,
    pub document: LayerDocument,
    /// The oldest C library with which it says that it starts.
    pub glibc_floor: Glibc,
    bytes: Vec<u8>,
    entries: Vec<Entry>,
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

/// The layer that a report was asked for.
#[derive(Clone, Copy, Debug)]
pub struct ExpectedLayer<'a> {
    /// The name of the cell.
    pub cell: &'a str,
    /// Lambda's name of the processor.
    pub architecture: &'a str,
    /// Whether the set has the WAF worker, with its library and its rules.
    pub has_worker: bool,
    /// Whether the programs can be started here, to be asked what they are.
    pub runs: bool,
}

impl LayerFile {
    /// Reads and inspects a zip file.
    pub fn open(path: &Path, expected: &ExpectedLayer<'_>) -> Result<Self, Error> {
        let bytes = files::read(path).map_err(|source| Error::Read { path: path.to_owned(), source })?;
        let no_layer = |source| Error::of(path, source);
        let seen = inspect::look(&path.display().to_string(), &bytes, expected.runs).map_err(no_layer)?;
        let entries = match seen.kind {
            inspect::Kind::Program => Vec::new(),
            inspect::Kind::Layer => archive::read(&bytes).map_err(|error| no_layer(error.into()))?,
        };
        let problems = problems(&seen, &entries, expected);
        if !problems.is_empty() {
            return Err(Error::Refused { path: path.to_owned(), problems });
        }
        let programs = programs(&entries).map(|file| ProgramFile::of(&file.place, &file.bytes)).collect();
        let document = LayerDocument { file: seen.file, sha256: seen.sha256, bytes: seen.bytes, programs };
        let glibc_floor = seen.manifest.map_or_else(elf::oldest, |manifest| manifest.glibc_floor);
        Ok(Self { path: path.to_owned(), document, glibc_floor, bytes, entries })
    }

    /// Compares the zip file with the one that was made here. An error names each file in which they differ.
    pub fn identity(&self, made: &[u8]) -> Result<Proof, Error> {
        let refused = |problems| Err(Error::Refused { path: self.path.clone(), problems });
        let others = archive::read(made).map_err(|error| self.no_layer(error.into()))?;
        let problems = differences(&self.entries, &others);
        if !problems.is_empty() {
            return refused(problems);
        }
        if self.bytes != made {
            let what = "its files are those that these sources make, and the zip file has something else in it: folders, comments, other settings of the compression, or bytes that no entry names";
            return refused(vec![what.to_owned()]);
        }
        let mut facts = Facts::default();
        facts.note(true, format!("the zip file has SHA-256 {}, as it is made here", self.document.sha256));
        for Entry { file, .. } in &self.entries {
            facts.note(true, format!("{} has SHA-256 {}", file.place, hash::hexadecimal(&file.bytes)));
        }
        let claim = "The layer's zip file is, byte for byte, what `cargo matrix layer` makes of the program that this report is about.";
        let how = format!(
            "`cargo matrix inspect --run --require-manifest {}`, and the same layer made anew from these sources",
            self.path.display()
        );
        Ok(Proof::new("layer", claim, how, facts))
    }

    /// The bytes of the file at a place.
    pub fn file(&self, place: &str) -> Option<&[u8]> {
        self.entries.iter().find(|entry| entry.file.place == place).map(|entry| &*entry.file.bytes)
    }

    fn no_layer(&self, source: inspect::Error) -> Error {
        Error::of(&self.path, source)
    }

    /// Writes the programs below a folder, to be started from there: the extension, and what a launcher executes.
    pub fn unpack(&self, folder: &Path) -> Result<(PathBuf, Option<PathBuf>), Error> {
        let mut agent = None;
        for program in programs(&self.entries) {
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

/// Those that Lambda, a launcher or an agent executes, and what one of them loads.
fn programs(entries: &[Entry]) -> impl Iterator<Item = &File> {
    const PLACES: [&str; 4] = [places::EXTENSION, places::AGENT, places::WAF, places::WAF_LIBRARY];
    entries.iter().map(|entry| &entry.file).filter(|file| PLACES.contains(&file.place.as_str()))
}

/// What differs between the files of two layers, by place.
fn differences(found: &[Entry], made: &[Entry]) -> Vec<String> {
    // How well a file was compressed is no part of it.
    let by_place = |entries: &[Entry], place: &str| -> Vec<Entry> {
        let there = entries.iter().filter(|entry| entry.file.place == place);
        there.map(|entry| Entry { zipped: 0, ..entry.clone() }).collect()
    };
    let places: BTreeSet<&str> = found.iter().chain(made).map(|entry| entry.file.place.as_str()).collect();
    let problem = |place: &str| {
        let (there, here) = (by_place(found, place), by_place(made, place));
        match (&there[..], &here[..]) {
            _ if there == here => None,
            ([], _) => Some(format!("{place} is not in it")),
            (_, []) => Some(format!("{place} is not in the layer that these sources make")),
            ([there], [here]) if there.file.bytes != here.file.bytes => Some(format!(
                "{place} is another file than the one that these sources and tools make: it has SHA-256 {}, and theirs has {}",
                hash::hexadecimal(&there.file.bytes),
                hash::hexadecimal(&here.file.bytes)
            )),
            _ => Some(format!("{place} is in it twice, or has another mode than the one that these sources make")),
        }
    };
    places.into_iter().filter_map(problem).collect()
}

/// Why a file is not the layer that was asked for, before anything of it is compared with a build.
fn problems(seen: &inspect::Document, entries: &[Entry], expected: &ExpectedLayer<'_>) -> Vec<String> {
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
    problems.extend(entries.iter().filter_map(|entry| problem(entry, expected)));
    problems
}

/// What `cargo matrix layer` does not write. Runtimes, loaders and users look for files of their own in many places below `/opt`, and a list of those would never be complete.
fn problem(entry: &Entry, expected: &ExpectedLayer<'_>) -> Option<String> {
    const TERMS: [&str; 2] = ["html", "txt"];
    let place = entry.file.place.as_str();
    let is_elf = Linkage::of(&entry.file.bytes).is_some();
    let is_terms = place.strip_prefix(places::RUST_LICENCES).and_then(|rest| rest.strip_prefix('.'));
    match place {
        _ if entry.link => Some(format!("{place} is a symbolic link")),
        places::EXTENSION | places::AGENT => (!is_elf).then(|| format!("{place} is no ELF program of 64 bits")),
        places::WAF if expected.has_worker => (!is_elf).then(|| format!("{place} is no ELF program of 64 bits")),
        places::WAF_LIBRARY if expected.has_worker => {
            let pinned = waf::pinned().ok();
            let pinned = pinned.as_ref().and_then(|pinned| pinned.library_sha256(expected.architecture));
            let is_pinned = pinned.is_some_and(|pinned| pinned == hash::hexadecimal(&entry.file.bytes));
            let is_plain = !entry.file.executable;
            (!is_pinned || !is_plain).then(|| format!("{place} is not the library that {} pins", waf::PINS))
        }
        places::WAF_RULES if expected.has_worker && !is_elf && !entry.file.executable => None,
        places::WRAPPER => {
            (entry.file.bytes != WRAPPER).then(|| format!("{place} is another script than that of this tool"))
        }
        _ if is_elf || entry.file.executable => {
            Some(format!("{place} is a program that belongs to no layer that can be proven"))
        }
        places::MANIFEST | places::SBOM | places::LICENCE | places::NOTICE | places::LICENCES => None,
        _ if is_terms.is_some_and(|ending| TERMS.contains(&ending)) => None,
        _ => Some(format!("{place} belongs to no layer that can be proven")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(place: &str, bytes: &[u8], executable: bool, link: bool) -> Entry {
        let file = File { place: place.to_owned(), bytes: bytes.to_vec(), executable };
        Entry { file, zipped: 1, link, mode: Some(if executable { 0o755 } else { 0o644 }) }
    }

    #[test]
    fn the_programs_are_unpacked_as_they_are() {
        let folder = tempfile::tempdir().unwrap();
        let entries = vec![
            entry(places::EXTENSION, b"launcher", true, false),
            entry(places::AGENT, b"agent", true, false),
            entry(places::NOTICE, b"notice", false, false),
        ];
        let document =
            LayerDocument { file: "l.zip".to_owned(), sha256: "ff".to_owned(), bytes: 1, programs: Vec::new() };
        let path = PathBuf::from("l.zip");
        let layer = LayerFile { path, document, glibc_floor: elf::oldest(), bytes: Vec::new(), entries };
        let (program, agent) = layer.unpack(folder.path()).unwrap();
        assert_eq!(
            (fs::read(program).unwrap(), fs::read(agent.unwrap()).unwrap()),
            (b"launcher".to_vec(), b"agent".to_vec())
        );
        assert!(!folder.path().join(places::NOTICE).exists());
    }

    #[test]
    fn unaskable_program_and_invalid_layer_have_different_statuses() {
        let source = inspect::AskError::Isolate(io::ErrorKind::PermissionDenied.into());
        let not_asked = inspect::Error::NotAsked { place: places::AGENT.to_owned(), source };
        for source in [not_asked, inspect::Error::NotRoot] {
            let error = Error::of(Path::new("l.zip"), source);
            assert_eq!(error.status(), terminal::SETUP_FAILED, "{error:?}");
            assert!(error.to_string().contains("run the same as root"), "{error}");
        }
        let error = Error::of(Path::new("l.zip"), inspect::Error::Unknown("l.zip".to_owned()));
        assert_eq!((error.status(), error.to_string().as_str()), (terminal::REFUSED, "l.zip is no layer"));
    }

    #[test]
    fn differences_of_two_layers_are_listed_by_path() {
        let made = [entry("a", b"1", false, false), entry("b", b"2", true, false)];
        assert_eq!(differences(&made, &made), [""; 0]);
        for (found, problem) in [
            (vec![made[0].clone()], "b is not in it"),
            (vec![made[0].clone(), made[1].clone(), entry("c", b"3", false, false)], "c is not in the layer"),
            (vec![made[0].clone(), entry("b", b"3", true, false)], "b is another file"),
            (vec![made[0].clone(), entry("b", b"2", false, false)], "b is in it twice, or has another mode"),
            (vec![made[0].clone(), made[1].clone(), made[1].clone()], "b is in it twice"),
            (vec![made[0].clone(), entry("b", b"2", true, true)], "b is in it twice, or has another mode"),
        ] {
            let found = differences(&found, &made);
            assert!(found.len() == 1 && found[0].starts_with(problem), "{problem}: {found:?}");
        }
    }

    #[test]
    fn what_cargo_matrix_layer_does_not_write_is_a_problem() {
        let layer_problem = |has_worker: bool, place: &str, bytes: &[u8], executable, link| {
            let expected = ExpectedLayer { cell: "ship-fips", architecture: "x86_64", has_worker, runs: false };
            super::problem(&entry(place, bytes, executable, link), &expected)
        };
        let problem =
            |place: &str, bytes: &[u8], executable, link| layer_problem(false, place, bytes, executable, link);
        let elf = fs::read(std::env::current_exe().unwrap()).unwrap();
        assert_eq!(problem(places::EXTENSION, &elf, true, false), None);
        assert_eq!(problem(places::WRAPPER, WRAPPER, true, false), None);
        for place in [places::NOTICE, places::SBOM, "bottlecap/licenses-rust.html", "bottlecap/licenses-rust.txt"] {
            assert_eq!(problem(place, b"text", false, false), None, "{place}");
        }
        for (place, bytes, executable, link) in [
            (places::EXTENSION, &b"#!/bin/sh\n"[..], true, false),
            (places::WRAPPER, b"#!/bin/sh\n", true, false),
            ("bottlecap/helper", &elf, false, false),
            ("bottlecap/script", b"#!/bin/sh\n", true, false),
            ("lib/libssl.so.3", b"no program", false, false),
            ("extensions/other", b"no program", false, false),
            ("python/sitecustomize.py", b"import os", false, false),
            ("nodejs/node_modules/a/index.js", b"", false, false),
            ("java/lib/a.jar", b"", false, false),
            ("ruby/gems/a.rb", b"", false, false),
            ("bottlecap/readme", b"", false, false),
            ("bottlecap/licenses-rust.py", b"", false, false),
            (places::SBOM, &elf, false, false),
            (places::NOTICE, b"text", true, false),
            (places::NOTICE, b"/tmp/x", false, true),
            (places::WAF, &elf, true, false),
            (places::WAF_LIBRARY, &elf, false, false),
            (places::WAF_RULES, b"rules", false, false),
        ] {
            assert!(problem(place, bytes, executable, link).is_some(), "{place}");
        }
        let with_worker = |place: &str, bytes: &[u8], executable| layer_problem(true, place, bytes, executable, false);
        assert_eq!(with_worker(places::WAF, &elf, true), None);
        assert_eq!(with_worker(places::WAF_RULES, b"rules", false), None);
        let text = with_worker(places::WAF_LIBRARY, &elf, false).unwrap();
        assert!(text.contains("is not the library that matrix/waf.toml pins"), "{text}");
        for (place, bytes, executable) in [
            (places::WAF, &b"#!/bin/sh\n"[..], true),
            (places::WAF_RULES, &elf, false),
            (places::WAF_RULES, b"rules", true),
            ("bottlecap/other", &elf, true),
        ] {
            assert!(with_worker(place, bytes, executable).is_some(), "{place}");
        }
    }
}
