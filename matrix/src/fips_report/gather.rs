//! Finds what the proofs are about: builds the program, looks at it, asks it, and lets it meet servers.

use std::fs;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::certificate::Certified;
use super::document::{Document, Machine, NOT_CLAIMED, Subject};
use super::error::Error;
use super::graph;
use super::handshake::{self, Meeting};
use super::price::Price;
use super::proof::Proof;
use super::server::Taste;
use super::symbols::{self, Symbols};
use super::testimony::Testimony;
use crate::build::recipe::Recipe;
use crate::build::{self, Built, hash};
use crate::flavour::{Toolbox, Tools};
use crate::invoke::build::Profile;
use crate::layer::packages::{self, Packages};
use crate::manifest::Manifest;
use crate::plan::Cell;
use crate::{measure, plan, workspace};

/// What was found, and judged.
pub struct Found {
    pub proofs: Vec<Proof>,
    pub subject: Subject,
    pub certified: Certified,
}

/// All proofs but that of the price.
pub fn proofs(set: &str, interrupted: &AtomicBool) -> Result<Found, Error> {
    let manifest = Manifest::embedded().map_err(|_| plan::Error::Manifest)?;
    let certified = Certified::embedded()?;
    let (cell, notes) = plan::cell(manifest, set)?;
    for note in notes {
        eprintln!("note: {note}");
    }
    let root = workspace::root();
    let tools = Toolbox::plain(&root, Profile::Release).map_err(build::Error::from)?;
    let built = build::one(manifest, cell.clone(), tools.clone())?.ok_or(Error::Interrupted)?;
    let program = Program::of(&cell, &built)?;
    let mut proofs = vec![dependencies(&root, manifest, &cell, &certified)?];
    eprintln!("{}: the same program once more, with the names of what is in it", cell.id);
    proofs.push(names(manifest, &cell, &tools.agent, &program, &certified, interrupted)?);
    let asked = format!("{} --version=json", program.agent().display());
    let told = build::Testimony::document(program.agent());
    let told = told.and_then(|told| Testimony::of(&told));
    let told = told.map_err(|reason| Error::Mute { program: program.agent().to_owned(), reason })?;
    proofs.push(told.module(&certified, &asked));
    eprintln!("{}: handshakes", cell.id);
    let approved = meet(&program.subject, Taste::Approved, interrupted)?;
    let chacha = meet(&program.subject, Taste::ChaCha, interrupted)?;
    let x25519 = meet(&program.subject, Taste::X25519, interrupted)?;
    proofs.push(approved.offer());
    proofs.push(approved.accepted());
    proofs.push(chacha.refused("chacha", "nothing but suites with ChaCha20-Poly1305"));
    proofs.push(x25519.refused("x25519", "AES-GCM, but exchanges keys over X25519 alone,"));
    proofs.push(told.roots(approved.trusts(), &asked));
    let subject = described(&root, manifest, &cell, &tools.agent, &built)?;
    Ok(Found { proofs, subject, certified })
}

impl Found {
    /// Here and now.
    pub fn document(self, price: Option<Price>) -> Document {
        let Self { proofs, subject, certified } = self;
        let date = OffsetDateTime::now_utc().replace_nanosecond(0).ok().and_then(|now| now.format(&Rfc3339).ok());
        Document {
            schema: 1,
            holds: proofs.iter().all(|proof| proof.holds),
            date: date.unwrap_or_default(),
            subject,
            certified,
            proofs,
            price,
            machine: machine(),
            not_claimed: NOT_CLAIMED.to_vec(),
        }
    }
}

/// The files of a cell.
struct Program {
    subject: handshake::Subject,
    /// Of the agent.
    bytes: Vec<u8>,
}

impl Program {
    fn of(cell: &Cell, built: &Built) -> Result<Self, Error> {
        let Some(program) = built.program.clone() else {
            let failure = built.failure.clone().unwrap_or_default();
            return Err(Error::Failed { cell: cell.id.clone(), failure });
        };
        let subject = handshake::Subject { program, agent: built.agent.clone() };
        let bytes = read(subject.agent.as_ref().unwrap_or(&subject.program))?;
        Ok(Self { subject, bytes })
    }

    /// The program that has the cryptography in it.
    fn agent(&self) -> &Path {
        self.subject.agent.as_ref().unwrap_or(&self.subject.program)
    }
}

fn described(root: &Path, manifest: &Manifest, cell: &Cell, tools: &Tools, built: &Built) -> Result<Subject, Error> {
    let origin = built.origin.as_ref();
    let lock = Recipe::of(manifest, &cell.levels).workspace(root).join("Cargo.lock");
    Ok(Subject {
        cell: cell.id.clone(),
        sha256: built.sha256.clone(),
        bytes: built.bytes,
        sources: origin.map(|origin| origin.sources.clone()).unwrap_or_default(),
        lock_sha256: hash::hexadecimal(&read(&lock)?),
        rustc: origin.map(|origin| origin.compiler.clone()).unwrap_or_default(),
        cc: tools.c_compiler.clone(),
        target: build::target(),
        command: build::command(manifest, cell, tools),
    })
}

fn dependencies(root: &Path, manifest: &Manifest, cell: &Cell, certified: &Certified) -> Result<Proof, Error> {
    let recipe = Recipe::of(manifest, &cell.levels);
    let workspace = recipe.workspace(root);
    let packages = Packages::of(&workspace, &recipe, &build::target())?;
    let command = format!(
        "cargo tree --manifest-path {} --locked --package {} --edges normal,no-proc-macro --target {} --no-default-features --features {}",
        workspace.join("Cargo.toml").display(),
        packages::ROOT,
        build::target(),
        recipe.features.join(",")
    );
    Ok(graph::judge(&packages, certified, &command))
}

fn names(
    manifest: &Manifest,
    cell: &Cell,
    tools: &Tools,
    program: &Program,
    certified: &Certified,
    interrupted: &AtomicBool,
) -> Result<Proof, Error> {
    let (command, named) = build::named(manifest, cell, tools);
    // The signal has reached the compiler as well, so that its failure says nothing.
    check(interrupted)?;
    let named = named.map_err(|failure| Error::Failed { cell: cell.id.clone(), failure })?;
    let symbols = |bytes: &[u8], path: &Path| Symbols::of(bytes).ok_or_else(|| Error::Program(path.to_owned()));
    let with_names = symbols(&read(&named)?, &named)?;
    let shipped = symbols(&program.bytes, program.agent())?;
    Ok(symbols::judge(&with_names, &shipped, certified, &command))
}

fn meet(subject: &handshake::Subject, taste: Taste, interrupted: &AtomicBool) -> Result<Meeting, Error> {
    check(interrupted)?;
    Meeting::arrange(subject, taste)
}

fn check(interrupted: &AtomicBool) -> Result<(), Error> {
    if interrupted.load(Ordering::Relaxed) { Err(Error::Interrupted) } else { Ok(()) }
}

fn machine() -> Machine {
    let measure::Machine { cpu, cores, kernel, .. } = measure::Machine::here(Path::new("."));
    let load = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    let load = load.split_whitespace().take(3).collect::<Vec<_>>().join(" ");
    Machine { cpu, cores, kernel, load }
}

fn read(path: &Path) -> Result<Vec<u8>, Error> {
    fs::read(path).map_err(|source| Error::File { path: path.to_owned(), source })
}
