//! AWS-LC, the cryptography of AWS's own clients.

/// The name in `--version=json`.
pub const NAME: &str = "aws-lc";

/// All algorithms of AWS-LC.
pub fn provider() -> rustls::crypto::CryptoProvider {
    rustls::crypto::aws_lc_rs::default_provider()
}

/// This build of AWS-LC is not validated.
pub fn module() -> Option<String> {
    None
}
