//! The cryptographic libraries in a program, by its symbol table.

use std::collections::BTreeMap;

use regex::Regex;

use super::certificate::CertifiedModule;
use super::proof::{Facts, Proof};
use crate::elf::Linkage;
use crate::elf::program::Program;
use crate::hash;

/// Matches the symbols of libraries that prefix each with their name and version.
const MARKED: &str = r"^(aws_lc_fips|aws_lc|ring_core)_[0-9]+_[0-9]+_[0-9]+";

/// One symbol of each library without such a prefix.
const TELLING: [&str; 6] =
    ["EVP_CIPHER_CTX_new", "SSL_CTX_new", "gnutls_init", "mbedtls_ssl_init", "wolfSSL_Init", "NSS_Init"];

/// Cryptographic libraries that a program may not load dynamically.
const LOADED: [&str; 5] = ["libcrypto", "libgnutls", "libmbedtls", "libnss3", "libssl"];

/// The cryptographic libraries in an ELF file, by its symbols and needed libraries.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Symbols {
    /// The number of symbols by prefix.
    pub marked: BTreeMap<String, usize>,
    /// The symbols of libraries without a prefix.
    pub telling: Vec<String>,
    /// Libraries that are loaded at the start.
    pub loaded: Vec<String>,
    /// The number of symbols.
    pub count: usize,
    /// The SHA-256 of the executable segments.
    pub code: String,
}

impl Symbols {
    /// Reads the symbols of a file; `None` if it is no 64-bit ELF file.
    pub fn of(file: &[u8]) -> Option<Self> {
        let marks = Regex::new(MARKED).ok()?;
        let program = Program::parse(file).ok()?;
        let code = hash::hexadecimal(&program.executable_code()?);
        let mut symbols = Self { loaded: Linkage::of(file)?.libraries, code, ..Self::default() };
        for name in program.symbols().filter(|symbol| symbol.is_own).map(|symbol| symbol.name) {
            symbols.count += 1;
            if let Some(mark) = marks.find(name) {
                *symbols.marked.entry(mark.as_str().to_owned()).or_default() += 1;
            } else if TELLING.contains(&name) {
                symbols.telling.push(name.to_owned());
            }
        }
        Some(symbols)
    }
}

/// The module is the only cryptography in a program that can be told by its names. `named` has the names; `shipped` is the program as it is used, which has none any more, but the
/// same code.
pub fn judge(named: &Symbols, shipped: &Symbols, certified: &CertifiedModule, command: &str) -> Proof {
    let mut facts = Facts::default();
    let expected =
        format!("{}_{}", certified.package, certified.package_version).replace("-sys", "").replace(['-', '.'], "_");
    facts.note(named.count > 0, format!("{} names are left in the program", named.count));
    for (library, count) in &named.marked {
        facts.note(*library == expected, format!("{count} of them are of {library}"));
    }
    if !named.marked.contains_key(&expected) {
        facts.note(false, format!("none of them is of {expected}"));
    }
    for name in &named.telling {
        facts.note(false, format!("{name} is in it"));
    }
    let is_cryptography = |library: &&String| LOADED.iter().any(|name| library.starts_with(name));
    for library in named.loaded.iter().chain(&shipped.loaded).filter(is_cryptography) {
        facts.note(false, format!("{library} is loaded at the start"));
    }
    let same = if named.code == shipped.code { "the same code as" } else { "other code than" };
    facts.note(
        named.code == shipped.code,
        format!("it has {same} the program that is shipped, byte for byte: SHA-256 {}", named.code),
    );
    let claim = "Of the libraries that mark their names with their version, AWS-LC and ring, the module is the only one in the program; OpenSSL, GnuTLS, Mbed TLS, wolfSSL and NSS are neither in it, by one telling name of each, nor loaded at the start. Cryptography in Rust has no such names: whether there is any, the list of packages answers.";
    Proof::new("symbols", claim, format!("`{command}`, and `nm` of what it makes"), facts)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn symbols(marked: &[&str]) -> Symbols {
        let marked = marked.iter().map(|mark| ((*mark).to_owned(), 9)).collect();
        Symbols { marked, count: 99, code: "c".to_owned(), loaded: vec!["libc.so.6".to_owned()], ..Symbols::default() }
    }

    fn holds(named: &Symbols, shipped: &Symbols) -> bool {
        judge(named, shipped, &CertifiedModule::embedded().unwrap(), "cargo").holds
    }

    #[test]
    fn the_module_alone_is_what_is_claimed() {
        let good = symbols(&["aws_lc_fips_0_13_11"]);
        assert!(holds(&good, &good));
        for marked in [
            &["aws_lc_fips_0_13_11", "aws_lc_0_42_0"][..],
            &["aws_lc_fips_0_13_11", "ring_core_0_17_14"],
            &["aws_lc_fips_0_14_4"],
            &[],
        ] {
            assert!(!holds(&symbols(marked), &good), "{marked:?}");
        }
    }

    #[test]
    fn a_library_without_a_mark_is_against_it_linked_or_loaded() {
        let good = symbols(&["aws_lc_fips_0_13_11"]);
        assert!(!holds(&Symbols { telling: vec!["SSL_CTX_new".to_owned()], ..good.clone() }, &good));
        let loads = Symbols { loaded: vec!["libssl.so.3".to_owned()], ..good.clone() };
        assert!(!holds(&loads, &good) && !holds(&good, &loads));
    }

    #[test]
    fn the_program_that_is_shipped_has_to_be_the_one_that_was_looked_at() {
        let good = symbols(&["aws_lc_fips_0_13_11"]);
        assert!(!holds(&good, &Symbols { code: "d".to_owned(), ..good.clone() }));
        assert!(!holds(&Symbols { count: 0, ..good.clone() }, &good), "a program without names tells nothing");
    }

    /// This program checks certificates with ring.
    #[test]
    fn the_names_of_a_real_program_are_read() {
        let file = std::fs::read(std::env::current_exe().unwrap()).unwrap();
        let symbols = Symbols::of(&file).unwrap();
        assert!(symbols.count > 1000 && symbols.code.len() == 64);
        assert!(symbols.marked.keys().any(|mark| mark.starts_with("ring_core_0_")), "{:?}", symbols.marked);
        assert_eq!(Symbols::of(b"#!/bin/sh\n"), None);
    }
}
