//! The parts of a 64-bit ELF file: its symbols, its sections, and where its bytes are loaded.

use std::ops::Range;

use object::elf::{ELFMAG, EM_AARCH64, EM_X86_64, Machine, PT_DYNAMIC, SHF_EXECINSTR};
use object::read::elf::{ElfFile64, FileHeader as _, ProgramHeader as _, SectionHeader as _};
use object::{Endianness, Object as _, ObjectSection as _, ObjectSegment as _, ObjectSymbol, SymbolKind};

/// How an ELF file begins.
pub const MAGIC: [u8; 4] = ELFMAG;

/// The length of the header up to `e_version`, which is enough to know the processor.
pub const HEADER_BYTES: usize = 20;

/// A 64-bit ELF file.
pub struct Program<'f> {
    elf: ElfFile64<'f, Endianness>,
    file: &'f [u8],
}

/// A name in the symbol table that the linker leaves for debuggers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Symbol<'f> {
    pub name: &'f str,
    pub address: u64,
    /// Whether it belongs to this file; what an assembler has left without a type may.
    pub is_own: bool,
}

/// The error that a file is no 64-bit ELF file.
#[derive(Debug, thiserror::Error)]
#[error(transparent)]
pub struct NotElf(#[from] object::Error);

impl<'f> Program<'f> {
    pub fn parse(file: &'f [u8]) -> Result<Self, NotElf> {
        Ok(Self { elf: ElfFile64::parse(file)?, file })
    }

    /// The named symbols; none of a program that is stripped.
    pub fn symbols(&self) -> impl Iterator<Item = Symbol<'f>> + '_ {
        self.elf.symbols().filter_map(|symbol| {
            let name = symbol.name().ok().filter(|name| !name.is_empty())?;
            let is_own = symbol.is_definition() || symbol.kind() == SymbolKind::Unknown;
            Some(Symbol { name, address: symbol.address(), is_own })
        })
    }

    /// The names of what a program takes from its libraries, sorted.
    pub fn imports(&self) -> Vec<String> {
        let symbols = self.elf.dynamic_symbols().filter(ObjectSymbol::is_undefined);
        let mut names: Vec<String> = symbols.filter_map(|symbol| symbol.name().ok().map(str::to_owned)).collect();
        names.retain(|name| !name.is_empty());
        names.sort();
        names
    }

    /// Whether it has a dynamic segment, so that it has to be relocated.
    pub fn is_dynamic(&self) -> bool {
        let endian = self.elf.endian();
        let segments = self.elf.elf_header().program_headers(endian, self.file).unwrap_or_default();
        segments.iter().any(|segment| segment.p_type(endian) == PT_DYNAMIC)
    }

    /// The bytes of a section in the file.
    pub fn section(&self, name: &str) -> Option<Range<usize>> {
        let (start, size) = self.elf.section_by_name(name)?.file_range()?;
        range(start, size)
    }

    /// The content of all sections that the processor can execute, one after the other.
    pub fn executable_code(&self) -> Option<Vec<u8>> {
        let endian = self.elf.endian();
        let sections = self.elf.sections();
        let executable =
            sections.filter(|section| section.elf_section_header().sh_flags(endian).contains(SHF_EXECINSTR));
        let code = executable.map(|section| section.data()).collect::<Result<Vec<_>, _>>().ok()?;
        Some(code.concat())
    }

    /// The bytes in the file that are loaded at these addresses; `None` unless one segment has all of them.
    pub fn loaded_at(&self, addresses: Range<u64>) -> Option<Range<usize>> {
        let Range { start, end } = addresses;
        let segment = self.elf.segments().find(|segment| {
            let at = segment.address();
            at <= start && start < end && end <= at.saturating_add(segment.file_range().1)
        })?;
        range(segment.file_range().0 + start - segment.address(), end - start)
    }
}

fn range(start: u64, size: u64) -> Option<Range<usize>> {
    let start = usize::try_from(start).ok()?;
    Some(start..start.checked_add(usize::try_from(size).ok()?)?)
}

/// Lambda's name of a program's processor, by the program's header; `None` for other files and other processors.
pub fn architecture(header: &[u8; HEADER_BYTES]) -> Option<&'static str> {
    let [magic @ .., low, high] = header;
    let machine = Machine(u16::from_le_bytes([*low, *high]));
    architecture_name(machine).filter(|_| magic.starts_with(&MAGIC))
}

/// Lambda's name of a processor: `x86_64` or `arm64`.
pub(super) fn architecture_name(machine: Machine) -> Option<&'static str> {
    match machine {
        EM_X86_64 => Some("x86_64"),
        EM_AARCH64 => Some("arm64"),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::elf::Linkage;

    #[test]
    fn this_program_has_symbols_imports_and_code() {
        let file = std::fs::read(std::env::current_exe().unwrap()).unwrap();
        let program = Program::parse(&file).unwrap();
        let main = program.symbols().find(|symbol| symbol.name == "main").unwrap();
        assert!(main.is_own);
        let code = program.loaded_at(main.address..main.address + 1).unwrap();
        assert!(program.section(".text").unwrap().contains(&code.start));
        assert!(program.imports().contains(&"__libc_start_main".to_owned()) && program.is_dynamic());
        assert!(program.executable_code().unwrap().len() >= program.section(".text").unwrap().len());
        assert_eq!(architecture(file.first_chunk().unwrap()), Some(Linkage::of(&file).unwrap().architecture.as_str()));
        assert_eq!((program.section(".none"), program.loaded_at(0..u64::MAX)), (None, None));
    }

    #[test]
    fn a_script_is_no_program() {
        assert!(Program::parse(b"#!/bin/sh\n").is_err());
        assert_eq!(architecture(b"#!/bin/sh\nexit 0 # ."), None);
    }
}
