//! Build flavours (processor, C library, compiler): `flavours.toml`.

pub mod c_tools;
mod compiler;
mod error;
mod tools;
mod zig;

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;
use std::sync::LazyLock;

use serde::Deserialize;

use crate::elf::{self, Glibc};
use crate::manifest::{Choice, Levels, ON};
use crate::target::{Architecture, Libc};

pub use error::Error;
pub use tools::{Toolchain, Tools};

/// The text of the table, as it was when this program was built.
const TEXT: &str = include_str!("../../flavours.toml");

static EMBEDDED: LazyLock<Result<Flavours, toml::de::Error>> = LazyLock::new(|| toml::from_str(TEXT));

/// Every flavour, in the order in which they are looked for, and what they are made with.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Flavours {
    pub debian: Debian,
    pub zig: Zig,
    /// By which file a package is known to be there.
    pub packages: BTreeMap<String, PathBuf>,
    #[serde(rename = "flavour")]
    pub all: Vec<Flavour>,
    pub refused: Vec<Exclusion>,
    pub required: Vec<RequiredPrograms>,
}

/// The compiler of the distribution.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Debian {
    /// Exactly.
    pub version: String,
    pub rustc: PathBuf,
    pub cargo: PathBuf,
    /// The terms of its standard library, and of all that is in it.
    pub terms: PathBuf,
}

/// Packages of Python's index.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Zig {
    /// As pip reads them, with exact versions.
    pub requirements: Vec<String>,
}

/// One way to build a program.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Flavour {
    /// What a layer of it is called, and has its budget by.
    pub name: String,
    /// The machine that builds.
    pub machine: Architecture,
    pub architecture: Architecture,
    pub libc: Libc,
    pub links: Links,
    /// The lowest floor that it can build for; none if there is no lowest.
    pub from: Option<Glibc>,
    /// rustc's name of the target.
    pub triple: String,
    pub compiler: Compiler,
    pub linker: Linker,
    /// Whether the standard library is built as well.
    #[serde(default)]
    pub build_std: bool,
    /// What has to be installed, beside what the workspace needs anyway.
    #[serde(default)]
    pub packages: Vec<String>,
}

/// How a program comes by its C library.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Links {
    Static,
    Dynamic,
}

/// Who compiles Rust.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Compiler {
    /// That of `rust-toolchain.toml`.
    Workspace,
    Debian,
}

/// Who compiles C and links.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Linker {
    /// That of the machine, for itself.
    Cc,
    /// GCC for another processor.
    Gcc,
    Zig,
}

/// A switch that some flavours cannot have.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Exclusion {
    pub choice: Choice,
    pub architecture: Option<Architecture>,
    pub libc: Option<Libc>,
    pub linker: Option<Linker>,
    /// Whether it can be built, and nobody here can say what the program is worth then.
    #[serde(default)]
    pub open: bool,
    /// What the C compiler has to be told where it is built.
    #[serde(default)]
    pub c_flags: Vec<String>,
    /// With what to do instead.
    pub reason: String,
}

/// What a switch needs on the machine that builds.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RequiredPrograms {
    pub choice: Choice,
    /// Programs on the path, each with the package that has it.
    pub programs: BTreeMap<String, String>,
}

/// What a layer is to be for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LayerTarget {
    pub architecture: Architecture,
    pub libc: Libc,
    pub glibc_floor: Glibc,
    /// Whether what is open is accepted.
    pub accepts_open: bool,
}

impl Flavours {
    /// Those that this program was built with.
    pub fn embedded() -> Result<&'static Self, Error> {
        EMBEDDED.as_ref().map_err(|error| Error::Table(error.clone()))
    }

    /// The first that fits what is wanted and these switches; the reason where there is none.
    pub fn of(&self, machine: Architecture, wanted: &LayerTarget, levels: &Levels) -> Result<&Flavour, Error> {
        let is_static = levels.get("static").is_some_and(|level| level == ON);
        let links = if is_static { Links::Static } else { Links::Dynamic };
        let LayerTarget { architecture, libc, glibc_floor, .. } = *wanted;
        // First, because a switch may be what stands against all of them.
        self.accept(wanted, None, levels)?;
        let fits = |flavour: &&Flavour| {
            let is_for = (flavour.machine, flavour.architecture, flavour.libc, flavour.links);
            is_for == (machine, architecture, libc, links) && flavour.from.is_none_or(|from| from <= glibc_floor)
        };
        let flavour = self.all.iter().find(fits);
        let flavour = flavour.ok_or(Error::NotHere { architecture, libc, links, glibc_floor, machine })?;
        self.accept(wanted, Some(flavour.linker), levels)?;
        Ok(flavour)
    }

    /// The flavour of a plain build on this machine, for whatever C library it has.
    pub fn plain(&self, machine: Architecture) -> Result<&Flavour, Error> {
        let plain = |flavour: &&Flavour| {
            (flavour.machine, flavour.architecture, flavour.linker) == (machine, machine, Linker::Cc)
        };
        let (libc, links, glibc_floor) = (Libc::Gnu, Links::Dynamic, elf::newest());
        let missing = Error::NotHere { architecture: machine, libc, links, glibc_floor, machine };
        self.all.iter().find(plain).ok_or(missing)
    }

    /// What stands against these switches, accepted or not.
    fn objections(
        &self,
        wanted: &LayerTarget,
        linker: Option<Linker>,
        levels: &Levels,
    ) -> impl Iterator<Item = &Exclusion> {
        self.refused.iter().filter(move |refused| refused.holds(wanted, linker) && refused.choice.holds(levels))
    }

    fn accept(&self, wanted: &LayerTarget, linker: Option<Linker>, levels: &Levels) -> Result<(), Error> {
        let mut objections = self.objections(wanted, linker, levels);
        let refused = objections.find(|refused| !(refused.open && wanted.accepts_open));
        refused.map_or(Ok(()), |refused| {
            let Exclusion { choice, reason, .. } = refused.clone();
            Err(Error::Exclusion { choice, reason })
        })
    }
}

impl Exclusion {
    fn holds(&self, wanted: &LayerTarget, linker: Option<Linker>) -> bool {
        self.architecture.is_none_or(|architecture| architecture == wanted.architecture)
            && self.libc.is_none_or(|libc| libc == wanted.libc)
            && self.linker.is_none_or(|known| Some(known) == linker)
    }
}

impl fmt::Display for Links {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Static => "static",
            Self::Dynamic => "dynamic",
        })
    }
}

#[cfg(test)]
mod tests;
