//! Counts what the dynamic loader has to do for a program, from its ELF file.

use object::elf::{DT_NEEDED, SHT_REL, SHT_RELA, SHT_RELR};
use object::read::elf::{Dyn as _, ElfFile64, FileHeader as _, SectionHeader as _};

/// The loader's work for a 64-bit ELF file.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LoaderWork {
    /// Relocations: addresses that are patched before `main`.
    pub relocations: u64,
    /// Shared libraries that the file names directly, without their own dependencies.
    pub libraries: u64,
}

impl LoaderWork {
    /// `None` if the file is not a 64-bit ELF file, such as a script.
    pub fn of(file: &[u8]) -> Option<Self> {
        let elf = ElfFile64::<object::Endianness>::parse(file).ok()?;
        let endian = elf.endian();
        let sections = elf.elf_header().sections(endian, file).ok()?;
        let mut work = Self::default();
        for section in sections.iter() {
            // Sections without an address are for linkers and are not loaded.
            if section.sh_addr(endian) == 0 {
                continue;
            }
            let entry = section.sh_entsize(endian).max(1);
            work.relocations += match section.sh_type(endian) {
                SHT_REL | SHT_RELA => section.sh_size(endian) / entry,
                SHT_RELR => packed(section.data(endian, file).ok()?),
                _ => 0,
            };
        }
        let dynamic = sections.dynamic(endian, file).ok()?;
        let needed =
            dynamic.map_or(0, |(entries, _)| entries.iter().filter(|entry| entry.d_tag(endian) == DT_NEEDED).count());
        work.libraries = u64::try_from(needed).unwrap_or(u64::MAX);
        Some(work)
    }
}

/// The number of relocations in a packed (RELR) table of native words. An even word is the address of one; in an odd word the upper bits mark which of the next
/// 63 words are relocated.
fn packed(table: &[u8]) -> u64 {
    let (words, _) = table.as_chunks::<8>();
    let words = words.iter().map(|word| u64::from_ne_bytes(*word));
    words.map(|word| if word % 2 == 0 { 1 } else { u64::from((word >> 1).count_ones()) }).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_program_is_loaded_with_relocations_and_the_c_library() {
        let file = std::fs::read(std::env::current_exe().unwrap()).unwrap();
        let work = LoaderWork::of(&file).unwrap();
        assert!(work.relocations > 1000, "{work:?}");
        assert!((1..10).contains(&work.libraries), "{work:?}");
    }

    #[test]
    fn a_script_is_not_loaded() {
        assert_eq!(LoaderWork::of(b"#!/bin/sh\n"), None);
        assert_eq!(LoaderWork::of(b""), None);
    }

    #[test]
    fn a_packed_table_is_counted_by_its_bits() {
        let words = [0x1000_u64, 0b1011, u64::MAX, 0x2000];
        let table: Vec<u8> = words.iter().flat_map(|word| word.to_ne_bytes()).collect();
        assert_eq!(packed(&table), 1 + 2 + 63 + 1);
    }
}
