//! ring: small.

/// As `--version=json` has it.
pub const NAME: &str = "ring";

/// All of it.
pub fn provider() -> rustls::crypto::CryptoProvider {
    rustls::crypto::ring::default_provider()
}

/// It holds no certificate.
pub fn module() -> Option<String> {
    None
}
