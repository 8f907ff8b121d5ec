//! Everything that a file tells.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;
use serde_json::Value;

use super::{Error, ask};
use crate::build::hash;
use crate::layer::archive::{self, Entry, count};
use crate::layer::contents::{Contents, Listed};
use crate::layer::elf::{self, Glibc, Linkage, Relro, SYSTEMS};
use crate::layer::{limits, places};

/// How every zip file begins that has something in it.
const ZIP: &[u8] = b"PK\x03\x04";

/// What there is to be told of a file.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Document {
    /// The version of this document.
    pub schema: u32,
    /// As it was named.
    pub file: String,
    pub kind: Kind,
    /// Bytes of the file itself.
    pub bytes: u64,
    pub sha256: String,
    /// Bytes of everything in it, unpacked.
    pub unzipped: u64,
    /// What the layer says of itself; none of layers that are not ours.
    pub manifest: Option<Contents>,
    pub programs: Vec<Program>,
    pub files: Vec<Seen>,
    /// What is not as it has to be.
    pub problems: Vec<String>,
    /// What could not be told, and why.
    pub notes: Vec<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    Layer,
    Program,
}

/// A file of a layer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Seen {
    pub place: String,
    #[serde(flatten)]
    pub is: Listed,
    /// Bytes in the zip file.
    pub zipped: u64,
    /// Where a symbolic link leads.
    pub link: Option<String>,
}

/// A program.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Program {
    /// Where it stands in the layer; the file's name of a program by itself.
    pub place: String,
    #[serde(flatten)]
    pub linkage: Linkage,
    pub starts: Vec<Start>,
    /// What it says with `--version=json`, if it was asked.
    pub told: Option<Value>,
}

/// Whether a system of Lambda's starts a program.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Start {
    pub system: &'static str,
    pub glibc: Glibc,
    /// Why not; empty if it does.
    pub obstacles: Vec<String>,
}

/// Looks at a file. `run` says whether programs may be started.
pub fn look(name: &str, bytes: &[u8], run: bool) -> Result<Document, Error> {
    let blank = Document {
        schema: 1,
        file: name.to_owned(),
        kind: Kind::Program,
        bytes: count(bytes),
        sha256: hash::hexadecimal(bytes),
        unzipped: count(bytes),
        manifest: None,
        programs: Vec::new(),
        files: Vec::new(),
        problems: Vec::new(),
        notes: Vec::new(),
    };
    if bytes.starts_with(ZIP) {
        return blank.layer(bytes, run);
    }
    let linkage = Linkage::of(bytes).ok_or(Error::Unknown)?;
    Ok(blank.program(bytes, linkage, run))
}

impl Document {
    fn program(mut self, bytes: &[u8], linkage: Linkage, run: bool) -> Self {
        let mut program = Program::new(&self.file, linkage, &[]);
        if !ask::knows_the_question(bytes) {
            self.notes.push("it is no build of this extension, and was not asked what it is".to_owned());
        } else if run {
            match ask::ask(bytes) {
                Ok(told) => program.told = Some(told),
                Err(reason) => self.notes.push(format!("it was not asked what it is: {reason}")),
            }
        }
        self.programs.push(program);
        self
    }

    fn layer(mut self, bytes: &[u8], run: bool) -> Result<Self, Error> {
        let entries = archive::read(bytes)?;
        self.kind = Kind::Layer;
        self.unzipped = entries.iter().map(|entry| count(&entry.file.bytes)).sum();
        self.files = entries.iter().map(Seen::of).collect();
        self.problems.extend(limits::complaints(self.bytes, self.unzipped));
        let brought: Vec<&str> =
            entries.iter().filter_map(|entry| entry.file.place.strip_prefix(places::LIBRARIES)).collect();
        for entry in entries.iter().filter(|entry| !entry.link) {
            if let Some(linkage) = Linkage::of(&entry.file.bytes).filter(|linkage| is_program(entry, linkage)) {
                self.programs.push(Program::new(&entry.file.place, linkage, &brought));
            }
        }
        for seen in self.files.iter().filter(|seen| is_extension(&seen.place) && !seen.is.executable) {
            self.problems.push(format!("{} is not executable, so that Lambda cannot start it", seen.place));
        }
        if !self.files.iter().any(|seen| is_extension(&seen.place)) {
            self.notes.push("there is no extension in it: nothing stands in extensions/".to_owned());
        }
        match entries.iter().find(|entry| entry.file.place == places::MANIFEST) {
            Some(entry) => match Contents::read(&entry.file.bytes) {
                Ok(contents) => {
                    self.hold_to(&contents);
                    if run {
                        self.ask(&contents, &entries);
                    }
                    self.manifest = Some(contents);
                }
                Err(reason) => self.problems.push(format!("its manifest cannot be used: {reason}")),
            },
            None => self.notes.push(
                "there is no manifest in it: what it was built from, and whether anybody has changed it since, cannot be told".to_owned(),
            ),
        }
        Ok(self)
    }

    /// Compares what is there with what the manifest says.
    fn hold_to(&mut self, contents: &Contents) {
        let mut missing: BTreeMap<&String, &Listed> = contents.files.iter().collect();
        let mut before = BTreeSet::new();
        for seen in &self.files {
            if !before.insert(&seen.place) {
                self.problems.push(format!("{} is in it twice", seen.place));
            }
            match missing.remove(&seen.place) {
                _ if seen.place == places::MANIFEST => {}
                None => self.problems.push(format!("{} is not in the manifest", seen.place)),
                Some(listed) if *listed != seen.is || seen.link.is_some() => self.problems.push(format!(
                    "{} is not what the manifest says: it has {} and SHA-256 {}, and should have {} and {}",
                    seen.place,
                    size(&seen.is),
                    seen.is.sha256,
                    size(listed),
                    listed.sha256
                )),
                Some(_) => {}
            }
        }
        self.problems.extend(missing.keys().map(|place| format!("{place} is in the manifest and not in the layer")));
        for program in self.programs.iter().filter(|program| contents.programs.contains_key(&program.place)) {
            let Linkage { architecture, .. } = &program.linkage;
            if *architecture != contents.architecture {
                self.problems.push(format!("{} is for {architecture}, not {}", program.place, contents.architecture));
            }
            let relro = program.linkage.relro;
            if relro != Relro::Full && elf::binds_eagerly(&contents.levels) {
                self.problems.push(format!("{} has {relro} RELRO, and the manifest promises full", program.place));
            }
            let obstacles = program.linkage.obstacles(contents.glibc_floor);
            if !obstacles.is_empty() {
                let floor = contents.glibc_floor;
                self.problems.push(format!(
                    "{} does not start with glibc {floor}: {}",
                    program.place,
                    obstacles.join("; ")
                ));
            }
        }
    }

    /// Asks those programs that are what the manifest lists, and compares what they say.
    fn ask(&mut self, contents: &Contents, entries: &[Entry]) {
        for program in &mut self.programs {
            let Some(expected) = contents.programs.get(&program.place) else { continue };
            let entry = entries.iter().find(|entry| entry.file.place == program.place);
            let Some(file) = entry.map(|entry| &entry.file) else { continue };
            if contents.files.get(&program.place) != Some(&Listed::of(file)) {
                self.notes.push(format!("{} was not asked what it is, because it is another program", program.place));
                continue;
            }
            match ask::ask(&file.bytes) {
                Ok(told) if told == *expected => program.told = Some(told),
                Ok(told) => {
                    self.problems.push(format!("{} says something else of itself than the manifest", program.place));
                    program.told = Some(told);
                }
                Err(reason) => self.notes.push(format!("{} was not asked what it is: {reason}", program.place)),
            }
        }
    }
}

impl Program {
    fn new(place: &str, linkage: Linkage, brought: &[&str]) -> Self {
        let starts = SYSTEMS.iter().map(|system| Start {
            system: system.name,
            glibc: system.glibc,
            obstacles: linkage.obstacles_beside(system.glibc, brought),
        });
        Self { place: place.to_owned(), starts: starts.collect(), linkage, told: None }
    }
}

impl Seen {
    fn of(entry: &Entry) -> Self {
        let link = entry.link.then(|| String::from_utf8_lossy(&entry.file.bytes).into_owned());
        Self { place: entry.file.place.clone(), is: Listed::of(&entry.file), zipped: entry.zipped, link }
    }
}

fn size(listed: &Listed) -> String {
    let executable = if listed.executable { ", is executable" } else { "" };
    format!("{} bytes{executable}", listed.bytes)
}

fn is_extension(place: &str) -> bool {
    let name = place.strip_prefix(places::EXTENSIONS).and_then(|rest| rest.strip_prefix('/'));
    name.is_some_and(|name| !name.contains('/'))
}

/// Libraries are no programs: they have no loader of their own, and nobody executes them.
fn is_program(entry: &Entry, linkage: &Linkage) -> bool {
    is_extension(&entry.file.place)
        || !linkage.is_static()
        || (entry.file.executable && !entry.file.place.contains(".so"))
}
