//! Whom we trust, and whose arithmetic checks it.

mod hash;
mod provider;
mod roots;

use std::{fs, path::Path};

use rustls::{
    ClientConfig, RootCertStore,
    pki_types::{CertificateDer, pem::PemObject},
};

pub use hash::{Sha256, hex};

use crate::{config::HttpProtocol, features};

/// What can go wrong with the trust store. The client works on without what could not be read.
#[derive(Debug, thiserror::Error)]
pub enum Problem {
    /// The operating system's store.
    #[error("the operating system's roots could not all be read: {0}")]
    Roots(String),
    /// The customer's file.
    #[error("DD_TLS_CERT_FILE {path:?} is not used: {why}")]
    CertFile {
        /// Which file.
        path: std::path::PathBuf,
        /// What is wrong with it.
        why: String,
    },
}

/// A client configuration, and what could not be taken into account.
#[derive(Debug)]
pub struct Trust {
    /// For every client that talks to Datadog.
    pub config: ClientConfig,
    /// To be logged.
    pub problems: Vec<Problem>,
}

/// Makes our provider the process's, once and for all, for clients that do not bring their own configuration. A second call changes nothing.
pub fn install_provider() {
    // An error only says that one is installed already.
    let _ = provider::provider().install_default();
}

/// Trusts the build's roots and, beside them, the certificates in the customer's file.
pub fn trust(cert_file: Option<&Path>, protocol: HttpProtocol) -> Result<Trust, rustls::Error> {
    let mut problems = Vec::new();
    let mut store = roots::load(&mut problems);
    if let Some(path) = cert_file
        && let Err(why) = add_file(&mut store, path)
    {
        problems.push(Problem::CertFile { path: path.to_owned(), why });
    }
    let provider = provider::provider().into();
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_root_certificates(store)
        .with_no_client_auth();
    config.alpn_protocols = match protocol {
        HttpProtocol::Automatic => vec![b"h2".to_vec(), b"http/1.1".to_vec()],
        HttpProtocol::Http1 => vec![b"http/1.1".to_vec()],
        HttpProtocol::Http2 => vec![b"h2".to_vec()],
    };
    Ok(Trust { config, problems })
}

/// Where the roots come from, for the log and for `--version`.
pub fn roots_origin() -> &'static str {
    if features::WEBPKI_ROOTS { "compiled in" } else { "operating system" }
}

fn add_file(store: &mut RootCertStore, path: &Path) -> Result<(), String> {
    let pem = fs::read(path).map_err(|error| error.to_string())?;
    let mut added = 0;
    for certificate in CertificateDer::pem_slice_iter(&pem) {
        let certificate = certificate.map_err(|error| error.to_string())?;
        store.add(certificate).map_err(|error| error.to_string())?;
        added += 1;
    }
    if added == 0 { Err("it holds no certificate".to_owned()) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_cannot_be_used_is_a_problem_not_a_failure() {
        let missing = trust(Some(Path::new("/nonexistent/ca.pem")), HttpProtocol::Automatic).unwrap();
        assert!(missing.problems.iter().any(|problem| problem.to_string().contains("/nonexistent/ca.pem")));
        let empty = trust(Some(Path::new("/dev/null")), HttpProtocol::Http1).unwrap();
        assert!(empty.problems.iter().any(|problem| problem.to_string().contains("no certificate")));
        assert_eq!(empty.config.alpn_protocols, [b"http/1.1".to_vec()]);
    }

    #[test]
    fn the_build_has_roots() {
        let mut problems = Vec::new();
        assert!(roots::load(&mut problems).roots.len() > 50, "{problems:?}");
    }
}
