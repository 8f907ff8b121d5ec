//! What is in a program and comes from no package: the standard library, and the C library of a static one.

use super::elf::Linkage;

/// The terms of the GNU C library; the machine that builds need not have them.
const LESSER: &str = include_str!("LGPL-2.1.txt");
/// How a C library introduces itself in every program that it is linked into.
const BANNER: &[u8] = b"GNU C Library (";

/// Something that is linked in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Part {
    pub name: &'static str,
    pub version: String,
    /// An SPDX expression.
    pub licence: &'static str,
    /// How it is in there, and where the rest stands.
    pub about: &'static str,
    /// The terms, where they are not in a file of their own.
    pub texts: Vec<String>,
}

/// What these programs for a target have of it. `compiler` is as in `rustc --version`.
pub fn of(programs: &[&[u8]], compiler: &str, target: &str) -> Vec<Part> {
    let mut parts = vec![Part {
        name: "rust-std",
        version: version(compiler).to_owned(),
        licence: "MIT OR Apache-2.0",
        about: "the standard library; its terms, and those of what it is made of, are in the file licenses-rust beside this one",
        texts: Vec::new(),
    }];
    let is_static = |program: &&[u8]| Linkage::of(program).is_some_and(|linkage| linkage.is_static());
    if target.ends_with("-gnu") && programs.iter().any(is_static) {
        parts.push(Part {
            name: "glibc",
            // Small programs have no use for the banner, and then the version cannot be told.
            version: programs.iter().find_map(|program| c_library(program)).unwrap_or_default(),
            licence: "LGPL-2.1-or-later",
            about: "linked into the static programs, and nothing in it was changed; with the revision of our sources that manifest.json names, they can be \
                    linked with another version of it",
            texts: vec![LESSER.to_owned()],
        });
        parts.push(Part {
            name: "libgcc",
            version: String::new(),
            licence: "GPL-3.0-or-later WITH GCC-exception-3.1",
            about: "what the C compiler puts into every static program, under the exception that leaves those programs to their own licence",
            texts: Vec::new(),
        });
    }
    parts
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
        let parts = of(&[&this], "rustc 1.2.3 (abc 2026-01-01)", "x86_64-unknown-linux-gnu");
        let told: Vec<_> = parts.iter().map(|part| (part.name, part.version.as_str())).collect();
        assert_eq!(told, [("rust-std", "1.2.3")]);
    }
}
