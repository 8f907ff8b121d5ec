//! A layer from everything that it is made of. Nothing else is looked at, so that the same inputs are the same bytes.

use std::collections::BTreeMap;

use serde_json::Value;
use time::OffsetDateTime;

use super::budget::{Budgets, Scope};
use super::contents::{Build, Contents, FileEntry, SCHEMA, Sources, Toolchain};
use super::{Error, licences, sbom};
use crate::archive::{self, File, count};
use crate::archive::{limits, places};
use crate::build::recipe::Recipe;
use crate::build::{Origin, launcher, waf};
use crate::elf::{Glibc, Linkage, Relro, SYSTEMS};
use crate::manifest::levels::binds_eagerly;
use crate::manifest::{Levels, ON};
use crate::materials::packages::Packages;
use crate::materials::parts;
use crate::materials::parts::{Linker, Part};
use crate::materials::system::Libraries;

/// The exec wrapper for managed runtimes.
pub const WRAPPER: &[u8] = include_bytes!("datadog_wrapper");

/// The inputs of a layer; the same inputs give the same bytes.
#[derive(Clone, Debug)]
pub struct LayerInputs {
    /// The name of the cell, by which it has its budget.
    pub cell: String,
    pub levels: Levels,
    pub recipe: Recipe,
    pub target: Target,
    pub programs: Vec<Program>,
    /// Files that the programs read at run time.
    pub files: Vec<File>,
    pub packages: Packages,
    pub origin: Origin,
    /// The first line of the C compiler's `--version`; several, where not all programs have the same.
    pub c_compiler: String,
    /// What the linker has added to the programs, of what comes with it or with the packages.
    pub parts: Vec<Part>,
    /// The packages that the C library of static programs comes from.
    pub libraries: Libraries,
    /// The time of the sources.
    pub time: OffsetDateTime,
    /// The whole release profile.
    pub profile: BTreeMap<String, String>,
    pub texts: Texts,
}

/// The target of a layer: flavour, processor, oldest glibc.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// By which it has its budget, together with the cell.
    pub flavour: String,
    /// rustc's name.
    pub triple: String,
    /// Lambda's name of the processor.
    pub architecture: String,
    /// The oldest C library with which every program has to start.
    pub glibc_floor: Glibc,
}

/// A program of the layer.
#[derive(Clone, Debug, PartialEq)]
pub struct Program {
    /// Its path below `/opt`.
    pub place: String,
    pub bytes: Vec<u8>,
    /// Its `--version=json`; of the launcher, what its file tells.
    pub build_info: Value,
}

/// Files of the workspace and of the toolchain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Texts {
    /// `Cargo.lock`.
    pub lock: Vec<u8>,
    pub licence: Vec<u8>,
    pub notice: Vec<u8>,
    /// The terms of the standard library and of all that is in it.
    pub rust: Vec<u8>,
    /// Their path below `/opt`.
    pub rust_place: String,
}

/// A finished layer.
#[derive(Clone, Debug, PartialEq)]
pub struct Layer {
    pub contents: Contents,
    pub zip: Vec<u8>,
    /// Bytes of all files together.
    pub unzipped: u64,
    /// The budget that it was held to, if there is one.
    pub budget: Option<Scope>,
}

/// Makes the layer, and refuses one that would not start or is too large.
pub fn make(inputs: LayerInputs, budgets: &Budgets) -> Result<Layer, Error> {
    refuse_what_would_not_start(&inputs)?;
    let parts = parts(&inputs);
    let licences = licences::text(&inputs.packages, &parts)?;
    let mut contents = contents(&inputs, &parts);
    let sbom = sbom::document(&contents, inputs.time, &inputs.packages, &parts)?;
    let mut files = files(inputs, Documents { sbom, licences });
    contents.files = files.iter().map(|file| (file.place.clone(), FileEntry::of(file))).collect();
    let mut document = serde_json::to_vec_pretty(&contents)?;
    document.push(b'\n');
    files.push(plain(places::MANIFEST, document));
    let unzipped = files.iter().map(|file| count(&file.bytes)).sum();
    let zip = archive::write(&files)?;
    let budget = refuse_what_is_too_large(&contents, count(&zip), unzipped, budgets)?;
    Ok(Layer { contents, zip, unzipped, budget })
}

/// The parts of the programs besides their packages: what the linker has added, and what comes with those.
fn parts(inputs: &LayerInputs) -> Vec<Part> {
    // The launcher and the WAF worker have nothing in them but their packages.
    let has_parts =
        |program: &&Program| !launcher::is_build_info(&program.build_info) && !waf::is_build_info(&program.build_info);
    let programs: Vec<&[u8]> = inputs.programs.iter().filter(has_parts).map(|program| &*program.bytes).collect();
    let linker = Linker {
        compiler: &inputs.origin.compiler,
        target: &inputs.target.triple,
        libraries: &inputs.libraries,
        has_libgcc: inputs.levels.get("static-libgcc").is_some_and(|level| level == ON),
    };
    let mut parts = parts::of(&programs, &linker);
    parts.extend(inputs.parts.iter().cloned());
    parts
}

/// What the manifest says of the layer; its files are not known yet.
fn contents(inputs: &LayerInputs, parts: &[Part]) -> Contents {
    let LayerInputs { recipe, target, origin, .. } = inputs;
    let version_of = |name: &str| {
        let part = parts.iter().find(|part| part.name == name && !part.version.is_empty());
        part.map(|part| part.version.clone())
    };
    Contents {
        schema: SCHEMA,
        cell: inputs.cell.clone(),
        flavour: target.flavour.clone(),
        architecture: target.architecture.clone(),
        target: target.triple.clone(),
        glibc_floor: target.glibc_floor,
        sources: Sources::of(&origin.sources, &inputs.texts.lock),
        toolchain: Toolchain {
            rustc: origin.compiler.clone(),
            cc: inputs.c_compiler.clone(),
            glibc: version_of("glibc"),
            musl: version_of("musl"),
        },
        levels: inputs.levels.clone(),
        build: Build {
            features: recipe.features.clone(),
            rustflags: recipe.rustflags.clone(),
            variables: recipe.env.clone(),
            profile: inputs.profile.clone(),
        },
        programs: inputs.programs.iter().map(|program| (program.place.clone(), program.build_info.clone())).collect(),
        files: BTreeMap::new(),
    }
}

/// The bill of materials and licences of a layer.
struct Documents {
    sbom: Vec<u8>,
    licences: String,
}

/// Every file but the manifest.
fn files(inputs: LayerInputs, documents: Documents) -> Vec<File> {
    let LayerInputs { programs, files: beside, texts, .. } = inputs;
    let mut files: Vec<File> =
        programs.into_iter().map(|Program { place, bytes, .. }| File { place, bytes, executable: true }).collect();
    files.extend(beside);
    files.push(File { place: places::WRAPPER.to_owned(), bytes: WRAPPER.to_vec(), executable: true });
    files.push(plain(places::SBOM, documents.sbom));
    files.push(plain(places::LICENCES, documents.licences.into_bytes()));
    files.push(plain(&texts.rust_place, texts.rust));
    files.push(plain(places::LICENCE, texts.licence));
    files.push(plain(places::NOTICE, texts.notice));
    files
}

fn plain(place: &str, bytes: Vec<u8>) -> File {
    File { place: place.to_owned(), bytes, executable: false }
}

fn refuse_what_would_not_start(inputs: &LayerInputs) -> Result<(), Error> {
    let Target { architecture, glibc_floor: floor, .. } = &inputs.target;
    let newest = crate::elf::newest();
    if *floor > newest {
        return Err(Error::Floor(*floor));
    }
    let mut refusals = Vec::new();
    for Program { place, bytes, .. } in &inputs.programs {
        let linkage = Linkage::of(bytes)
            .ok_or_else(|| Error::Silent { place: place.clone(), reason: "it is no program of 64 bits".to_owned() })?;
        if linkage.architecture != *architecture {
            let (place, found, wanted) = (place.clone(), linkage.architecture, architecture.clone());
            return Err(Error::Architecture { place, found, wanted });
        }
        if linkage.relro != Relro::Full && binds_eagerly(&inputs.levels) {
            return Err(Error::Writable { place: place.clone(), relro: linkage.relro });
        }
        let brought = if place == places::WAF { &[waf::LIBRARY][..] } else { &[] };
        let obstacles = linkage.obstacles_beside(*floor, brought);
        if obstacles.is_empty() {
            continue;
        }
        let systems: Vec<&str> = SYSTEMS
            .iter()
            .filter(|system| !linkage.obstacles_beside(system.glibc, brought).is_empty())
            .map(|system| system.name)
            .collect();
        let at =
            if systems.is_empty() { format!("with glibc {floor}") } else { format!("on {}", systems.join(" and ")) };
        refusals.push(format!("{place} would not start {at}: {}", obstacles.join("; ")));
        if linkage.obstacles_beside(newest, brought).is_empty() {
            refusals.push(format!(
                "  a static program starts everywhere: --set {}+static; with --glibc-floor {newest} the layer is for Amazon Linux 2023 alone",
                inputs.cell
            ));
        }
    }
    if refusals.is_empty() { Ok(()) } else { Err(Error::WouldNotStart(refusals)) }
}

/// Which budget there was.
fn refuse_what_is_too_large(
    of: &Contents,
    zipped: u64,
    unzipped: u64,
    budgets: &Budgets,
) -> Result<Option<Scope>, Error> {
    let mut complaints = limits::complaints(zipped, unzipped);
    let budget = budgets.of(&of.cell, &of.flavour, &of.levels);
    if let Some((_, budget)) = &budget {
        complaints.extend(budget.complaints(zipped, unzipped, &of.files));
    }
    if complaints.is_empty() {
        Ok(budget.map(|(scope, _)| scope))
    } else {
        Err(Error::TooLarge { cell: Budgets::name(&of.cell, &of.flavour), complaints })
    }
}
