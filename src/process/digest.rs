//! Hashes, which come in from the TLS provider, so that no second cryptographic library is needed.

/// SHA-256; None if the provider has none, which costs the ids that follow from a hash.
pub type Digest = fn(&[u8]) -> Option<[u8; 32]>;
