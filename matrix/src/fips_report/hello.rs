//! A client's first message, read byte by byte: all that it offers, and not what a library makes of it. Source: RFC 8446, sections 4.1.2, 4.2 and 5.1.

use rustls::{CipherSuite, NamedGroup, ProtocolVersion, SignatureScheme};
use serde::Serialize;

/// What a client offers, each list in its order.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Offer {
    pub suites: Vec<String>,
    /// Groups for the exchange of keys.
    pub groups: Vec<String>,
    /// Signatures that it accepts of a server.
    pub signatures: Vec<String>,
    /// Versions of TLS.
    pub versions: Vec<String>,
    /// Whether it knows extended master secrets (RFC 7627).
    pub extended_master_secret: bool,
}

/// How a record with a handshake message begins, and such a message that is a client's first.
const HANDSHAKE: u8 = 22;
const CLIENT_HELLO: u8 = 1;
/// Extensions.
const SUPPORTED_GROUPS: u16 = 10;
const SIGNATURE_ALGORITHMS: u16 = 13;
const EXTENDED_MASTER_SECRET: u16 = 23;
const SUPPORTED_VERSIONS: u16 = 43;

impl Offer {
    /// From the first record of a connection; none of what is no such message, or does not end with that record.
    pub fn of(record: &[u8]) -> Option<Self> {
        let mut record = Bytes(record);
        if record.number(1)? != u32::from(HANDSHAKE) {
            return None;
        }
        record.take(2)?;
        let mut message = record.vector(2)?;
        if message.number(1)? != u32::from(CLIENT_HELLO) {
            return None;
        }
        let mut hello = message.vector(3)?;
        let (_version, _random, _session) = (hello.take(2)?, hello.take(32)?, hello.vector(1)?);
        let suites = hello.vector(2)?.pairs(|suite| format!("{:?}", CipherSuite::from(suite)))?;
        hello.vector(1)?;
        let mut offer = Self { suites, ..Self::default() };
        let mut extensions = hello.vector(2)?;
        while !extensions.0.is_empty() {
            let (kind, mut body) = (extensions.number(2)?, extensions.vector(2)?);
            match u16::try_from(kind).ok()? {
                SUPPORTED_GROUPS => {
                    offer.groups = body.vector(2)?.pairs(|group| format!("{:?}", NamedGroup::from(group)))?;
                }
                SIGNATURE_ALGORITHMS => {
                    offer.signatures =
                        body.vector(2)?.pairs(|scheme| format!("{:?}", SignatureScheme::from(scheme)))?;
                }
                SUPPORTED_VERSIONS => {
                    offer.versions =
                        body.vector(1)?.pairs(|version| format!("{:?}", ProtocolVersion::from(version)))?;
                }
                EXTENDED_MASTER_SECRET => offer.extended_master_secret = true,
                _ => {}
            }
        }
        Some(offer)
    }
}

/// What is left of a message.
struct Bytes<'a>(&'a [u8]);

impl<'a> Bytes<'a> {
    fn take(&mut self, count: usize) -> Option<&'a [u8]> {
        let (taken, left) = self.0.split_at_checked(count)?;
        self.0 = left;
        Some(taken)
    }

    /// A number of so many bytes, the highest first.
    fn number(&mut self, count: usize) -> Option<u32> {
        Some(self.take(count)?.iter().fold(0, |number, byte| number << 8 | u32::from(*byte)))
    }

    /// What follows a length of so many bytes.
    fn vector(&mut self, count: usize) -> Option<Self> {
        let length = usize::try_from(self.number(count)?).ok()?;
        self.take(length).map(Self)
    }

    /// Names of numbers with two bytes each.
    fn pairs(mut self, name: impl Fn(u16) -> String) -> Option<Vec<String>> {
        let mut names = Vec::new();
        while !self.0.is_empty() {
            names.push(name(u16::try_from(self.number(2)?).ok()?));
        }
        Some(names)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use rustls::crypto::ring;
    use rustls::pki_types::ServerName;
    use rustls::{ClientConfig, ClientConnection, RootCertStore};

    use super::*;

    fn hello() -> Vec<u8> {
        let builder = ClientConfig::builder_with_provider(ring::default_provider().into());
        let config = builder.with_safe_default_protocol_versions().unwrap();
        let config = config.with_root_certificates(RootCertStore::empty()).with_no_client_auth();
        let name = ServerName::try_from("localhost").unwrap();
        let mut record = Vec::new();
        ClientConnection::new(Arc::new(config), name).unwrap().write_tls(&mut record).unwrap();
        record
    }

    #[test]
    fn everything_that_a_client_offers_is_read() {
        let offer = Offer::of(&hello()).unwrap();
        let has = |names: &[String], name: &str| names.iter().any(|there| there == name);
        assert!(has(&offer.suites, "TLS13_CHACHA20_POLY1305_SHA256") && has(&offer.groups, "X25519"), "{offer:?}");
        assert!(has(&offer.signatures, "ED25519") && offer.signatures.len() > 5, "{offer:?}");
        assert_eq!(offer.versions, ["TLSv1_3", "TLSv1_2"]);
        assert!(offer.extended_master_secret);
    }

    #[test]
    fn what_is_no_whole_first_message_is_none() {
        let hello = hello();
        for end in 0..hello.len() {
            assert_eq!(Offer::of(&hello[..end]), None, "{end}");
        }
        assert_eq!(Offer::of(b"POST / HTTP/1.1\r\n\r\n"), None);
    }
}
