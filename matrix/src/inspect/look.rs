//! Inspects a file: its kind, programs, files, manifest and problems.

use serde::Serialize;
use serde_json::Value;

use super::materials::{self, Materials};
use super::{Error, ask, check};
use crate::archive::{self, Entry, count};
use crate::archive::{limits, places};
use crate::build::{launcher, waf};
use crate::elf::{Glibc, Linkage, SYSTEMS};
use crate::hash;
use crate::layer::contents::{Contents, FileEntry};
use crate::terminal;

/// The magic number of a zip file that is not empty.
const ZIP: &[u8] = b"PK\x03\x04";

/// The result of an inspection, as `--json` prints it.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Document {
    /// The version of this document.
    pub schema: u32,
    /// The path as it was given.
    pub file: String,
    pub kind: Kind,
    /// Bytes of the file itself.
    pub bytes: u64,
    pub sha256: String,
    /// Bytes of everything in it, unpacked.
    pub unzipped: u64,
    /// The layer's manifest; `None` for layers of other builders.
    pub manifest: Option<Contents>,
    /// What its bill of materials says; none of layers without a manifest.
    pub materials: Option<Materials>,
    pub programs: Vec<Program>,
    pub files: Vec<InspectedFile>,
    /// Differences from the manifest and from Lambda's rules.
    pub problems: Vec<String>,
    /// Checks that were not possible, with the reason.
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
pub struct InspectedFile {
    pub place: String,
    #[serde(flatten)]
    pub is: FileEntry,
    /// Bytes in the zip file.
    pub zipped: u64,
    /// The permission bits, in octal; none if the zip file has none.
    pub mode: Option<String>,
    /// The target of a symbolic link.
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
    /// The output of `--version=json`, if the program was run.
    #[serde(rename = "told")]
    pub build_info: Option<Value>,
}

/// Whether a system of Lambda's starts a program.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Start {
    pub system: &'static str,
    pub glibc: Glibc,
    /// The reasons why it does not start; empty if it does.
    pub obstacles: Vec<String>,
}

/// Looks at a file. `run` says whether programs may be started; if this machine cannot, and nothing else is wrong with the file, that is an error.
pub fn look(name: &str, bytes: &[u8], run: bool) -> Result<Document, Error> {
    let blank = Document {
        schema: 1,
        file: name.to_owned(),
        kind: Kind::Program,
        bytes: count(bytes),
        sha256: hash::hexadecimal(bytes),
        unzipped: count(bytes),
        manifest: None,
        materials: None,
        programs: Vec::new(),
        files: Vec::new(),
        problems: Vec::new(),
        notes: Vec::new(),
    };
    if bytes.starts_with(ZIP) {
        return blank.layer(bytes, run);
    }
    let linkage = Linkage::of(bytes).ok_or_else(|| Error::Unknown(blank.file.clone()))?;
    blank.program(bytes, linkage, run)
}

impl Document {
    fn program(mut self, bytes: &[u8], linkage: Linkage, run: bool) -> Result<Self, Error> {
        let mut program = Program::new(&self.file, linkage, &[]);
        if !ask::knows_the_question(bytes) {
            self.notes.push("it is no build of this extension, and was not asked what it is".to_owned());
        } else if !run {
            self.notes.push("it was not started; --run asks it what it is".to_owned());
        } else {
            match ask::ask(bytes) {
                Ok(build_info) => program.build_info = Some(build_info),
                Err(source) if source.is_of_machine() => return Err(Error::NotAsked { place: program.place, source }),
                Err(reason) => self.problems.push(format!("it did not say what it is: {reason}")),
            }
        }
        self.programs.push(program);
        Ok(self)
    }

    fn layer(mut self, bytes: &[u8], run: bool) -> Result<Self, Error> {
        let entries = archive::read(bytes)?;
        self.kind = Kind::Layer;
        self.unzipped = entries.iter().map(|entry| count(&entry.file.bytes)).sum();
        self.files = entries.iter().map(InspectedFile::of).collect();
        self.problems.extend(limits::complaints(self.bytes, self.unzipped));
        let brought: Vec<&str> =
            entries.iter().filter_map(|entry| entry.file.place.strip_prefix(places::LIBRARIES)).collect();
        for entry in entries.iter().filter(|entry| !entry.link) {
            if let Some(linkage) = Linkage::of(&entry.file.bytes).filter(|linkage| is_program(entry, linkage)) {
                let place = &entry.file.place;
                let own = (place == places::WAF && self.files.iter().any(|seen| seen.place == places::WAF_LIBRARY))
                    .then_some(waf::LIBRARY);
                let brought: Vec<&str> = brought.iter().copied().chain(own).collect();
                self.programs.push(Program::new(place, linkage, &brought));
            }
        }
        let manifest = entries.iter().find(|entry| entry.file.place == places::MANIFEST);
        self.problems.extend(check::modes(&entries, manifest.is_some()));
        self.problems.extend(check::directories(&archive::directories(bytes)?, manifest.is_some()));
        match check::nested(&self.files) {
            Some(problem) => self.problems.push(problem),
            None if !self.files.iter().any(|seen| check::is_extension(&seen.place)) => {
                self.notes.push("there is no extension in it: nothing stands in extensions/".to_owned());
            }
            None => {}
        }
        // Whoever unpacks it by its entries gets what the manifest says as well.
        let inconsistency = manifest.and_then(|_| archive::inconsistency(bytes));
        self.problems.extend(inconsistency.map(|reason| format!("its directory is not that of its entries: {reason}")));
        match manifest.map(|entry| Contents::read(&entry.file.bytes)) {
            Some(Ok(contents)) => self.hold_to(contents, &entries, run)?,
            Some(Err(reason)) => self.problems.push(format!("its manifest cannot be used: {reason}")),
            None => {
                self.notes.push("there is no manifest in it, so its sources and later changes are unknown".to_owned());
            }
        }
        Ok(self)
    }

    /// Compares what is there with what the manifest says.
    fn hold_to(&mut self, contents: Contents, entries: &[Entry], run: bool) -> Result<(), Error> {
        self.problems.extend(check::manifest(&contents, &self.files, &self.programs));
        self.problems.extend(check::build(&contents, entries));
        self.materials = materials::of(&contents, entries, &mut self.problems);
        if run {
            self.ask(&contents, entries)?;
        } else {
            self.notes.push("its programs were not started; --run asks them what they are".to_owned());
        }
        self.manifest = Some(contents);
        Ok(())
    }

    /// Asks those programs that are what the manifest lists, and compares what they say.
    fn ask(&mut self, contents: &Contents, entries: &[Entry]) -> Result<(), Error> {
        let mut fault = None;
        for program in &mut self.programs {
            let Some(expected) = contents.programs.get(&program.place) else { continue };
            let entry = entries.iter().find(|entry| entry.file.place == program.place);
            let Some(file) = entry.map(|entry| &entry.file) else { continue };
            if contents.files.get(&program.place) != Some(&FileEntry::of(file)) {
                self.notes.push(format!("{} was not asked what it is, because it is another program", program.place));
                continue;
            }
            let answer = if launcher::is_build_info(expected) {
                // It would execute the agent, which is not there.
                launcher::document(&file.bytes).map_err(ask::Error::Program)
            } else if waf::is_build_info(expected) {
                // It would wait for an agent's messages.
                waf::document(&file.bytes).map_err(ask::Error::Program)
            } else {
                ask::ask(&file.bytes)
            };
            match answer {
                Ok(build_info) if build_info == *expected => program.build_info = Some(build_info),
                Ok(build_info) => {
                    self.problems.push(format!("{} says something else of itself than the manifest", program.place));
                    program.build_info = Some(build_info);
                }
                Err(source) if source.is_of_machine() => {
                    fault = Some(Error::NotAsked { place: program.place.clone(), source });
                }
                Err(reason) => self.problems.push(format!("{} did not say what it is: {reason}", program.place)),
            }
        }
        match fault {
            Some(fault) if self.problems.is_empty() => Err(fault),
            // What is wrong is wrong on every machine.
            fault => {
                self.notes.extend(fault.map(|fault| terminal::chain(&fault).replace('\n', "")));
                Ok(())
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
        Self { place: place.to_owned(), starts: starts.collect(), linkage, build_info: None }
    }
}

impl InspectedFile {
    fn of(entry: &Entry) -> Self {
        let link = entry.link.then(|| String::from_utf8_lossy(&entry.file.bytes).into_owned());
        Self {
            place: entry.file.place.clone(),
            is: FileEntry::of(&entry.file),
            zipped: entry.zipped,
            mode: entry.mode.map(|mode| format!("{mode:04o}")),
            link,
        }
    }
}

/// Libraries are no programs: they have no loader of their own, and nobody executes them.
fn is_program(entry: &Entry, linkage: &Linkage) -> bool {
    check::is_extension(&entry.file.place)
        || !linkage.is_static()
        || (entry.file.executable && !entry.file.place.contains(".so"))
}
