//! SHA-256 and HMAC-SHA-256 of the TLS provider, so that no second cryptographic library is needed.

use std::fmt::Write as _;

use rustls::{
    Tls13CipherSuite,
    crypto::{hash::HashAlgorithm, tls13::OkmBlock},
};

use super::provider;

/// Block size of SHA-256 in bytes.
const BLOCK: usize = 64;

/// The provider's SHA-256.
#[derive(Debug, Clone, Copy)]
pub struct Sha256(&'static Tls13CipherSuite);

impl Sha256 {
    /// None if no cipher suite of the provider uses SHA-256. Every TLS 1.3 client must support one.
    pub fn of_provider() -> Option<Self> {
        let suites = provider::provider().cipher_suites;
        let mut suites = suites.iter().filter_map(rustls::SupportedCipherSuite::tls13);
        suites.find(|suite| suite.common.hash_provider.algorithm() == HashAlgorithm::SHA256).map(Self)
    }

    /// The SHA-256 digest of the data.
    pub fn digest(self, data: &[u8]) -> Vec<u8> {
        self.0.common.hash_provider.hash(data).as_ref().to_vec()
    }

    /// The HMAC of a message (RFC 2104).
    pub fn hmac(self, key: &[u8], message: &[u8]) -> Vec<u8> {
        let key = if key.len() > BLOCK { OkmBlock::new(&self.digest(key)) } else { OkmBlock::new(key) };
        self.0.hkdf_provider.hmac_sign(&key, message).as_ref().to_vec()
    }
}

/// The SHA-256 digest of the data; None if no cipher suite of the provider uses SHA-256.
pub fn sha256(data: &[u8]) -> Option<[u8; 32]> {
    Sha256::of_provider()?.digest(data).try_into().ok()
}

/// Hexadecimal digits in lower case.
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(2 * bytes.len()), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Source: FIPS 180-4, and RFC 4231 test cases 1, 2 and 6; the last has a key longer than a block.
    #[test]
    fn known_answers() {
        let sha256 = Sha256::of_provider().unwrap();
        let digest = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        assert_eq!(hex(&sha256.digest(b"abc")), digest);
        assert_eq!(super::sha256(b"abc").map(|digest| hex(&digest)).as_deref(), Some(digest));
        let codes = [
            (vec![0x0b; 20], &b"Hi There"[..], "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7"),
            (
                b"Jefe".to_vec(),
                b"what do ya want for nothing?",
                "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843",
            ),
            (
                vec![0xaa; 131],
                b"Test Using Larger Than Block-Size Key - Hash Key First",
                "60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54",
            ),
        ];
        for (key, message, code) in codes {
            assert_eq!(hex(&sha256.hmac(&key, message)), code);
        }
    }
}
