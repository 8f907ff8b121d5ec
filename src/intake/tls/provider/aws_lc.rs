//! AWS-LC: what AWS's own clients use.

/// As `--version=json` has it.
pub const NAME: &str = "aws-lc";

/// All of it.
pub fn provider() -> rustls::crypto::CryptoProvider {
    rustls::crypto::aws_lc_rs::default_provider()
}

/// It holds no certificate in this shape.
pub fn module() -> Option<String> {
    None
}
