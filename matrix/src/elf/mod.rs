//! What a program needs to be started, read from its file.

pub mod loader_work;
pub mod program;

use std::fmt;
use std::ops::Range;
use std::str::FromStr;

use object::elf::{DF_1_NOW, DF_BIND_NOW, DT_FLAGS, DT_FLAGS_1, DT_NEEDED, FileHeader64, PT_GNU_RELRO};
use object::read::elf::{Dyn as _, ElfFile64, FileHeader as _, ProgramHeader as _, SectionHeader as _, SectionTable};
use serde::{Deserialize, Serialize};

use self::program::{Program, architecture_name};

/// The systems of Lambda's runtimes, with their C library.
pub const SYSTEMS: [System; 2] = [
    System { name: "Amazon Linux 2", glibc: Glibc { major: 2, minor: 26 } },
    System { name: "Amazon Linux 2023", glibc: Glibc { major: 2, minor: 34 } },
];

/// Libraries that both have, also in the images without a language: those of glibc, and the unwinder.
const PRESENT: [&str; 10] = [
    "ld-linux-aarch64.so.1",
    "ld-linux-x86-64.so.2",
    "libc.so.6",
    "libdl.so.2",
    "libgcc_s.so.1",
    "libm.so.6",
    "libpthread.so.0",
    "libresolv.so.2",
    "librt.so.1",
    "libutil.so.1",
];

/// A mark that the linker leaves where relocations are packed, and the first glibc that knows it.
const PACKED: (&str, Glibc) = ("GLIBC_ABI_DT_RELR", Glibc { major: 2, minor: 36 });

/// A system that a function runs on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct System {
    pub name: &'static str,
    pub glibc: Glibc,
}

/// The newest C library that a function can have.
pub fn newest() -> Glibc {
    let [_, newest] = SYSTEMS;
    newest.glibc
}

/// The oldest C library that a function can have.
pub fn oldest() -> Glibc {
    let [oldest, _] = SYSTEMS;
    oldest.glibc
}

/// A version of the GNU C library, such as `2.26`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize, Serialize)]
#[serde(try_from = "String", into = "String")]
pub struct Glibc {
    pub major: u32,
    pub minor: u32,
}

/// How a program comes into memory.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Linkage {
    /// Lambda's name of the processor: `x86_64` or `arm64`; that of others is their number in ELF.
    pub architecture: String,
    /// The loader; none of a static program.
    pub interpreter: Option<String>,
    /// The libraries that it names, in its order.
    pub libraries: Vec<String>,
    /// The newest glibc of which it needs a symbol.
    pub glibc: Option<Glibc>,
    pub relro: Relro,
}

/// How much of what a program calls by is read-only once it is loaded ("RELRO").
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Relro {
    /// Every table of addresses; nothing is bound later.
    Full,
    /// Some of them.
    Partial,
    /// None of them.
    None,
}

impl Linkage {
    /// None for what is no 64-bit ELF file.
    pub fn of(file: &[u8]) -> Option<Self> {
        let elf = ElfFile64::<object::Endianness>::parse(file).ok()?;
        let (endian, header) = (elf.endian(), elf.elf_header());
        let machine = header.e_machine(endian);
        let architecture = architecture_name(machine).map_or_else(|| format!("{machine:?}"), str::to_owned);
        let segments = header.program_headers(endian, file).ok()?;
        let interpreter = segments.iter().find_map(|segment| segment.interpreter(endian, file).ok().flatten());
        let sections = header.sections(endian, file).ok()?;
        let protected = segments.iter().find(|segment| segment.p_type(endian) == PT_GNU_RELRO);
        let protected = protected.map(|segment| {
            let start = segment.p_vaddr(endian);
            start..start.saturating_add(segment.p_memsz(endian))
        });
        let mut relro = relro(&sections, endian, protected.as_ref());
        let mut libraries = Vec::new();
        if let Some((entries, link)) = sections.dynamic(endian, file).ok()? {
            let strings = sections.strings(endian, file, link).ok()?;
            let binds_now = |entry: &object::elf::Dyn64<_>| match entry.d_tag(endian) {
                DT_FLAGS => entry.d_val(endian) & DF_BIND_NOW.0 != 0,
                DT_FLAGS_1 => entry.d_val(endian) & DF_1_NOW.0 != 0,
                _ => false,
            };
            if relro == Relro::Full && interpreter.is_some() && !entries.iter().any(binds_now) {
                relro = Relro::Partial;
            }
            for entry in entries.iter().filter(|entry| entry.d_tag(endian) == DT_NEEDED) {
                libraries.push(text(entry.string(endian, strings).ok()?));
            }
        }
        let mut glibc: Option<Glibc> = None;
        if let Some((mut needs, link)) = sections.gnu_verneed(endian, file).ok()? {
            let strings = sections.strings(endian, file, link).ok()?;
            while let Some((_, mut versions)) = needs.next().ok()? {
                while let Some(version) = versions.next().ok()? {
                    glibc = glibc.max(needed(&text(version.name(endian, strings).ok()?)));
                }
            }
        }
        Some(Self { architecture, interpreter: interpreter.map(text), libraries, glibc, relro })
    }

    pub fn is_static(&self) -> bool {
        self.interpreter.is_none()
    }

    /// Why a system with this glibc would not start it; nothing if it would.
    pub fn obstacles(&self, glibc: Glibc) -> Vec<String> {
        self.obstacles_beside(glibc, &[])
    }

    /// The same for a program whose layer brings libraries along, in `lib`, where the loader looks as well.
    pub fn obstacles_beside(&self, glibc: Glibc, brought: &[&str]) -> Vec<String> {
        let mut obstacles = Vec::new();
        if let Some(interpreter) = self.interpreter.as_ref().filter(|interpreter| !interpreter.contains("/ld-linux")) {
            obstacles.push(format!("its loader is {interpreter}, which is not there"));
        }
        if !self.is_static() && self.libraries.is_empty() {
            obstacles.push("it does not list the libraries that it needs, as packed programs do not".to_owned());
        }
        if let Some(needed) = self.glibc.filter(|needed| *needed > glibc) {
            obstacles.push(format!("it needs GLIBC_{needed}, and the C library there is {glibc}"));
        }
        let is_there = |library: &str| PRESENT.contains(&library) || brought.contains(&library);
        let missing = self.libraries.iter().filter(|library| !is_there(library));
        obstacles.extend(missing.map(|library| format!("it needs {library}, which is not there")));
        obstacles
    }
}

/// The names of what a program takes from its libraries; none of what is no 64-bit ELF file.
pub fn imports(file: &[u8]) -> Vec<String> {
    Program::parse(file).map(|program| program.imports()).unwrap_or_default()
}

/// What is protected of the tables of addresses; where there are none, all of them are.
fn relro(
    sections: &SectionTable<'_, FileHeader64<object::Endianness>>,
    endian: object::Endianness,
    protected: Option<&Range<u64>>,
) -> Relro {
    let tables = sections.iter().filter(|section| {
        let name = sections.section_name(endian, section).unwrap_or_default();
        name == b".got" || name == b".got.plt"
    });
    let is_within = |start: u64, size: u64| {
        let last = start.saturating_add(size.saturating_sub(1));
        protected.is_some_and(|range| range.contains(&start) && range.contains(&last))
    };
    let open = tables.filter(|table| !is_within(table.sh_addr(endian), table.sh_size(endian))).count();
    match (open, protected.is_some()) {
        (0, _) => Relro::Full,
        (_, true) => Relro::Partial,
        (_, false) => Relro::None,
    }
}

/// The glibc that a version of a symbol asks for.
fn needed(version: &str) -> Option<Glibc> {
    let (packed, since) = PACKED;
    if version == packed { Some(since) } else { version.strip_prefix("GLIBC_")?.parse().ok() }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

impl FromStr for Glibc {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let mut numbers = text.split('.').map(str::parse);
        match (numbers.next(), numbers.next(), numbers.next()) {
            // The third number of the old ones, such as 2.2.5, is that of a correction.
            (Some(Ok(major)), Some(Ok(minor)), None | Some(Ok(_))) => Ok(Self { major, minor }),
            _ => Err(format!("\"{text}\" is no version of glibc, such as 2.26")),
        }
    }
}

impl TryFrom<String> for Glibc {
    type Error = String;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<Glibc> for String {
    fn from(glibc: Glibc) -> Self {
        glibc.to_string()
    }
}

impl fmt::Display for Relro {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Full => "full",
            Self::Partial => "partial",
            Self::None => "none",
        })
    }
}

impl fmt::Display for Glibc {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.major, self.minor)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn glibc(text: &str) -> Glibc {
        text.parse().unwrap()
    }

    fn dynamic(libraries: &[&str], needed: Option<&str>) -> Linkage {
        Linkage {
            architecture: "x86_64".to_owned(),
            interpreter: Some("/lib64/ld-linux-x86-64.so.2".to_owned()),
            libraries: libraries.iter().map(|library| (*library).to_owned()).collect(),
            glibc: needed.map(glibc),
            relro: Relro::Full,
        }
    }

    #[test]
    fn versions_are_compared_as_numbers() {
        assert!(glibc("2.9") < glibc("2.26") && glibc("2.26") < glibc("2.34"));
        assert_eq!(glibc("2.2.5").to_string(), "2.2");
        assert!("2".parse::<Glibc>().is_err() && "2.x".parse::<Glibc>().is_err() && "".parse::<Glibc>().is_err());
        assert_eq!(needed("GLIBC_PRIVATE"), None);
        assert_eq!(needed("GLIBC_ABI_DT_RELR"), Some(glibc("2.36")), "packed relocations are a need of their own");
    }

    #[test]
    fn this_program_is_read() {
        let file = std::fs::read(std::env::current_exe().unwrap()).unwrap();
        let linkage = Linkage::of(&file).unwrap();
        assert!(!linkage.is_static() && linkage.libraries.contains(&"libc.so.6".to_owned()), "{linkage:?}");
        assert!(linkage.glibc > Some(glibc("2.2")), "{linkage:?}");
        assert_eq!(Linkage::of(b"#!/bin/sh\n"), None);
    }

    #[test]
    fn missing_libraries_and_versions_are_reported() {
        assert_eq!(dynamic(&["libc.so.6"], Some("2.26")).obstacles(glibc("2.26")), Vec::<String>::new());
        let newer = dynamic(&["libc.so.6"], Some("2.34")).obstacles(glibc("2.26"));
        assert_eq!(newer, ["it needs GLIBC_2.34, and the C library there is 2.26"]);
        let strange = dynamic(&["libcurl.so.4"], None).obstacles(glibc("2.34"));
        assert_eq!(strange, ["it needs libcurl.so.4, which is not there"]);
        let brought = dynamic(&["libcurl.so.4"], None).obstacles_beside(glibc("2.34"), &["libcurl.so.4"]);
        assert_eq!(brought, Vec::<String>::new());
        let musl = Linkage { interpreter: Some("/lib/ld-musl-x86_64.so.1".to_owned()), ..dynamic(&[], None) };
        assert!(musl.obstacles(glibc("2.34")).concat().contains("ld-musl"));
        let packed = dynamic(&[], None).obstacles(glibc("2.34"));
        assert!(packed.concat().contains("does not list the libraries"), "what cannot be told is not promised");
        let alone = Linkage { interpreter: None, ..dynamic(&[], None) };
        assert_eq!(alone.obstacles(glibc("2.26")), Vec::<String>::new());
    }
}
