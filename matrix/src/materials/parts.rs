//! What is in a program and comes from no package: the standard library, and the C library of a static one.

use super::packages::Key;
use super::purl::purl;
use super::system::{self, Libraries};
use crate::elf::Linkage;

/// The terms of the GNU C library; the machine that builds need not have them.
const LESSER: &str = include_str!("LGPL-2.1.txt");
/// How a C library introduces itself in every program that it is linked into.
const BANNER: &[u8] = b"GNU C Library (";

/// Something that is linked in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Part {
    pub name: &'static str,
    /// Empty where nothing tells it.
    pub version: String,
    /// An SPDX expression.
    pub licence: &'static str,
    /// How it is in there, and where the rest stands.
    pub about: &'static str,
    pub source: Source,
    /// The vendor and the product of its CPE name, with a colon between them; none where the dictionary has none.
    pub product: Option<&'static str>,
    /// The terms, where they are not in a file of their own.
    pub texts: Vec<String>,
}

/// Where the linker has it from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// What comes with a compiler.
    Compiler,
    /// A library that somebody else has compiled, in a file of its own.
    Artefact,
    /// A package of the distribution on the machine that builds.
    System(system::Package),
    /// A crate that carries sources of C code; `upstream` is where those are from.
    Crate { key: Key, upstream: &'static str },
}

/// What decides which parts programs have, beside those programs.
#[derive(Clone, Copy, Debug)]
pub struct Linker<'a> {
    /// As in `rustc --version`.
    pub compiler: &'a str,
    /// rustc's name of the target.
    pub target: &'a str,
    pub libraries: &'a Libraries,
    /// Whether the unwinder of libgcc is in dynamic programs as well.
    pub has_libgcc: bool,
}

/// What these programs have of it.
pub fn of(programs: &[&[u8]], linker: &Linker<'_>) -> Vec<Part> {
    let mut parts = vec![Part {
        name: "rust-std",
        version: version(linker.compiler).to_owned(),
        licence: "MIT OR Apache-2.0",
        about: "the standard library; its terms, and those of what it is made of, are in the file licenses-rust beside this one",
        source: Source::Compiler,
        product: Some("rust-lang:rust"),
        texts: Vec::new(),
    }];
    if !linker.target.ends_with("-gnu") {
        return parts;
    }
    let is_static = |program: &&[u8]| Linkage::of(program).is_some_and(|linkage| linkage.is_static());
    let any_is_static = programs.iter().any(is_static);
    if any_is_static {
        // Small programs have no use for the banner, and then the version is that of the package alone.
        let banner = programs.iter().find_map(|program| c_library(program));
        parts.push(glibc(banner, linker.libraries.c.as_ref()));
    }
    if any_is_static || linker.has_libgcc {
        let package = linker.libraries.compiler.as_ref();
        parts.push(Part {
            name: "libgcc",
            version: package.map(|package| package.version.clone()).unwrap_or_default(),
            licence: "GPL-3.0-or-later WITH GCC-exception-3.1",
            about: "what the C compiler puts into every static program, under the exception that leaves those programs to their own licence",
            source: Source::of(package),
            product: None,
            texts: Vec::new(),
        });
    }
    parts
}

/// The C library, with the version that programs tell of it. The package counts only where it is of that version: a program may be older than the package.
fn glibc(banner: Option<String>, package: Option<&system::Package>) -> Part {
    let is_of = |banner: &str, package: &system::Package| {
        // A package for another processor adds what it was rebuilt as.
        package.version.strip_prefix(banner).is_some_and(|rest| rest.is_empty() || rest.starts_with("cross"))
    };
    let package = package.filter(|package| banner.as_ref().is_none_or(|banner| is_of(banner, package)));
    Part {
        name: "glibc",
        version: package.map(|package| package.version.clone()).or(banner).unwrap_or_default(),
        licence: "LGPL-2.1-or-later",
        about: "linked into the static programs, and nothing in it was changed; with the revision of our sources that manifest.json names, they can be \
                linked with another version of it",
        source: Source::of(package),
        product: Some("gnu:glibc"),
        texts: vec![LESSER.to_owned()],
    }
}

impl Source {
    fn of(package: Option<&system::Package>) -> Self {
        package.map_or(Self::Compiler, |package| Self::System(package.clone()))
    }
}

impl Part {
    /// By which name it is known where it comes from.
    pub fn component(&self) -> &str {
        if let Source::System(package) = &self.source { &package.name } else { self.name }
    }

    pub fn purl(&self) -> String {
        match &self.source {
            Source::System(package) => package.purl(),
            Source::Compiler | Source::Artefact | Source::Crate { .. } => {
                purl("generic", self.name, &self.version, &[])
            }
        }
    }

    /// What it is called beside its licence.
    pub fn line(&self) -> String {
        let title = self.title();
        match &self.source {
            Source::Compiler | Source::Artefact => format!("{title}: {}; {}", self.licence, self.about),
            Source::System(_) => format!("{title}: {}; {}, {}", self.licence, self.name, self.about),
            Source::Crate { key, .. } => format!("{title}: {}; in {key}: {}", self.licence, self.about),
        }
    }

    /// Its name and, if there is one, its version.
    pub fn title(&self) -> String {
        format!("{} {}", self.component(), self.version).trim_end().to_owned()
    }

    /// Its name in the CPE dictionary. Distributions fix what they package under the upstream version, so that theirs has none.
    pub fn cpe(&self) -> Option<String> {
        let is_plain = !self.version.is_empty() && !matches!(self.source, Source::System(_));
        let product = self.product.filter(|_| is_plain)?;
        Some(format!("cpe:2.3:a:{product}:{}:*:*:*:*:*:*:*", self.version))
    }
}

/// The number in `rustc 1.0.0 (hash date)`.
pub fn version(compiler: &str) -> &str {
    compiler.split(' ').nth(1).unwrap_or("unknown")
}

/// The version of the GNU C library in a static program, with that of the distribution's package where it tells it.
fn c_library(program: &[u8]) -> Option<String> {
    let start = program.windows(BANNER.len()).position(|window| window == BANNER)?;
    let line = program.get(start..)?.split(|byte| *byte == b'\n' || *byte == 0).next()?;
    let line = String::from_utf8_lossy(line);
    let package = line.split(['(', ')']).nth(1)?.split(' ').next_back()?.to_owned();
    let release = || line.rsplit("version ").next().map(|number| number.trim_end_matches('.').to_owned());
    if package.starts_with(|c: char| c.is_ascii_digit()) { Some(package) } else { release() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_c_library_is_found_by_its_banner() {
        let program = |banner: &str| [b"\x7fELF\0", banner.as_bytes(), b"\nCopyright"].concat();
        let debian = program("GNU C Library (Debian GLIBC 2.36-9) stable release version 2.36.");
        assert_eq!(c_library(&debian).as_deref(), Some("2.36-9"));
        let own = program("GNU C Library (GNU libc) stable release version 2.40.");
        assert_eq!(c_library(&own).as_deref(), Some("2.40"));
        assert_eq!(c_library(b"nothing"), None);
    }

    #[test]
    fn a_dynamic_program_has_no_c_library_in_it() {
        let this = std::fs::read(std::env::current_exe().unwrap()).unwrap();
        let libraries = Libraries { c: None, compiler: Some(package("libgcc-12-dev", "12.2.0-14")) };
        let titles = |has_libgcc: bool| {
            let compiler = "rustc 1.2.3 (abc 2026-01-01)";
            let linker = Linker { compiler, target: "x86_64-unknown-linux-gnu", libraries: &libraries, has_libgcc };
            of(&[&this], &linker).iter().map(Part::title).collect::<Vec<_>>()
        };
        assert_eq!(titles(false), ["rust-std 1.2.3"]);
        assert_eq!(titles(true), ["rust-std 1.2.3", "libgcc-12-dev 12.2.0-14"], "the switch static-libgcc");
    }

    fn package(name: &str, version: &str) -> system::Package {
        let (architecture, distribution) = ("amd64".to_owned(), "debian-12".to_owned());
        let (name, version) = (name.to_owned(), version.to_owned());
        system::Package { name, version, architecture, distribution, ..system::Package::default() }
    }

    #[test]
    fn a_c_library_is_the_package_of_its_version() {
        let of = |banner: Option<&str>, version: &str| {
            let part = glibc(banner.map(str::to_owned), Some(&package("libc6-dev", version)));
            (part.title(), part.cpe().is_some(), part.purl().starts_with("pkg:deb/debian/libc6-dev@"))
        };
        let packaged = |version: &str| (format!("libc6-dev {version}"), false, true);
        assert_eq!(of(Some("2.36-9+deb12u14"), "2.36-9+deb12u14"), packaged("2.36-9+deb12u14"));
        assert_eq!(of(None, "2.36-9"), packaged("2.36-9"), "a small program has no banner");
        assert_eq!(of(Some("2.36-8"), "2.36-8cross1"), packaged("2.36-8cross1"));
        let other = of(Some("2.36-9"), "2.36-9+deb12u14");
        assert_eq!(other, ("glibc 2.36-9".to_owned(), true, false), "the program is older than the package");
        let unknown = glibc(Some("2.40".to_owned()), None);
        assert_eq!((unknown.purl().as_str(), unknown.title().as_str()), ("pkg:generic/glibc@2.40", "glibc 2.40"));
        assert_eq!(unknown.cpe().as_deref(), Some("cpe:2.3:a:gnu:glibc:2.40:*:*:*:*:*:*:*"));
    }
}
