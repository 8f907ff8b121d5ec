//! Algorithms of cryptography in a file, by constants that their implementations have in their tables.

use std::collections::BTreeSet;

/// Constants as they are in the files of both processors, which store the lowest byte first.
enum Constant {
    Bytes(&'static [u8]),
    Words(&'static [u32]),
    Quads(&'static [u64]),
}

use Constant::{Bytes, Quads, Words};

/// The beginnings of tables, by the algorithms that have them. Sources: FIPS 180-4 (sections 4.2 and 5.3), FIPS 197 (figure 7, and the first table of its usual implementation by
/// tables, in either order of bytes), FIPS 202 (section 3.2.5), SP 800-186 (section 3.2.1), RFC 1321 (section 3.4), RFC 7748 (section 4.1), RFC 8439 (section 2.3).
const KNOWN: [(&str, Constant); 12] = [
    ("MD5", Words(&[0xd76a_a478, 0xe8c7_b756, 0x2420_70db])),
    ("MD5 or SHA-1", Words(&[0x6745_2301, 0xefcd_ab89, 0x98ba_dcfe, 0x1032_5476])),
    ("SHA-256", Words(&[0x428a_2f98, 0x7137_4491, 0xb5c0_fbcf, 0xe9b5_dba5])),
    ("SHA-512", Quads(&[0x428a_2f98_d728_ae22, 0x7137_4491_23ef_65cd])),
    ("SHA-512 or BLAKE2b", Quads(&[0x6a09_e667_f3bc_c908, 0xbb67_ae85_84ca_a73b])),
    ("SHA-3", Quads(&[1, 0x8082, 0x8000_0000_0000_808a])),
    ("AES", Bytes(&[0x63, 0x7c, 0x77, 0x7b, 0xf2, 0x6b, 0x6f, 0xc5])),
    ("AES", Words(&[0xa563_63c6, 0x847c_7cf8])),
    ("AES", Words(&[0xc663_63a5, 0xf87c_7c84])),
    ("ChaCha20 or Salsa20", Bytes(b"expand 32-byte k")),
    ("P-256", Quads(&[u64::MAX, 0xffff_ffff, 0, 0xffff_ffff_0000_0001])),
    ("Curve25519", Quads(&[u64::MAX - 18, u64::MAX, u64::MAX, u64::MAX >> 1])),
];

impl Constant {
    fn bytes(&self) -> Vec<u8> {
        match self {
            Bytes(bytes) => bytes.to_vec(),
            Words(words) => words.iter().flat_map(|word| word.to_le_bytes()).collect(),
            Quads(quads) => quads.iter().flat_map(|quad| quad.to_le_bytes()).collect(),
        }
    }
}

/// What a file has of these constants. One that computes them, or takes an instruction of the processor for them, has none.
pub(super) fn of(file: &[u8]) -> BTreeSet<&'static str> {
    let known = KNOWN.iter().map(|(name, constant)| (*name, constant.bytes()));
    let found = known.filter(|(_, bytes)| file.windows(bytes.len()).any(|window| window == bytes));
    found.map(|(name, _)| name).collect()
}

/// All that are looked for.
pub(super) fn known() -> String {
    KNOWN.iter().map(|(name, _)| *name).collect::<BTreeSet<_>>().into_iter().collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_constant_is_found_wherever_it_is() {
        for (name, constant) in &KNOWN {
            let file = [&[7; 13][..], &constant.bytes(), b"behind"].concat();
            assert!(of(&file).contains(name), "{name}");
        }
        assert!(of(b"").is_empty() && of(&[0; 4096]).is_empty() && of(&[255; 4096]).is_empty());
    }

    #[test]
    fn constants_are_those_of_the_standards_in_the_order_of_bytes_of_both_processors() {
        for (name, bytes) in [
            ("MD5", &b"\x78\xa4\x6a\xd7\x56\xb7\xc7\xe8\xdb\x70\x20\x24"[..]),
            ("MD5 or SHA-1", b"\x01\x23\x45\x67\x89\xab\xcd\xef\xfe\xdc\xba\x98\x76\x54\x32\x10"),
            ("SHA-256", b"\x98\x2f\x8a\x42\x91\x44\x37\x71\xcf\xfb\xc0\xb5\xa5\xdb\xb5\xe9"),
            ("AES", b"\xa5\x63\x63\xc6\x84\x7c\x7c\xf8"),
            ("AES", b"\xc6\x63\x63\xa5\xf8\x7c\x7c\x84"),
            ("ChaCha20 or Salsa20", b"expand 32-byte k"),
        ] {
            assert_eq!(of(bytes), BTreeSet::from([name]));
        }
    }

    /// A library for certificates has them, whoever has compiled it: this program checks certificates with ring.
    #[test]
    fn cryptographic_program_is_recognized_by_its_symbols() {
        let found = of(&std::fs::read(std::env::current_exe().unwrap()).unwrap());
        assert!(["SHA-256", "SHA-512", "P-256"].iter().all(|name| found.contains(name)), "{found:?}");
    }
}
