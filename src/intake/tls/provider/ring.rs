//! ring, a small provider.

/// The name in `--version=json`.
pub const NAME: &str = "ring";

/// All algorithms of ring.
pub fn provider() -> rustls::crypto::CryptoProvider {
    rustls::crypto::ring::default_provider()
}

/// ring is not validated.
pub fn module() -> Option<String> {
    None
}
