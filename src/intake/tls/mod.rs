//! TLS client configuration: trusted roots and cryptographic provider.

mod bundle;
mod hash;
mod insecure_verifier;
mod provider;
mod roots;

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use insecure_verifier::InsecureVerifier;
use rustls::{ClientConfig, ConfigBuilder, RootCertStore, WantsVerifier};

pub use hash::{Sha256, hex, sha256};

use crate::{config::HttpProtocol, features};

/// The name that a build of the cryptographic module that was validated reports. Certificates 5314 (static library, as linked here) and 5298 (dynamic library) of NIST's
/// Cryptographic Module Validation Program cover it.
///
/// Source: the list of validations in AWS-LC's `crypto/fipsmodule/FIPS.md`, which names version 3.1 for both.
pub const FIPS_MODULE: &str = "AWS-LC FIPS 3.1.0";

/// The setting that names a file of additional trusted certificates.
const CERT_FILE: &str = "DD_TLS_CERT_FILE";

/// The reason why there is no TLS client configuration.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// rustls rejects the configuration.
    #[error(transparent)]
    Library(#[from] rustls::Error),
    /// The build requires the module that was validated, and a different one is linked.
    #[error("the cryptographic module is {0}, and not {FIPS_MODULE} in its FIPS mode")]
    Module(String),
    /// The build requires FIPS, and the configuration allows algorithms that are not approved.
    #[error("the TLS configuration allows what FIPS 140-3 does not approve of")]
    NotApproved,
}

/// A part of the trust store that cannot be used. The client uses the rest.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TlsWarning {
    /// The operating system's store could not be read completely.
    #[error("the operating system's roots could not all be read: {0}")]
    Roots(String),
    /// A whole file that a setting names.
    #[error("{setting} {path:?} is not used: {why}")]
    CertFile {
        /// The setting.
        setting: &'static str,
        /// The file.
        path: PathBuf,
        /// The reason.
        why: String,
    },
    /// Some certificates of a file that a setting names.
    #[error(
        "{setting} {path:?}: {unusable} of {total} certificates cannot be used, the first of them because of {why}"
    )]
    Certificates {
        /// The setting.
        setting: &'static str,
        /// The file.
        path: PathBuf,
        /// Number of unusable certificates.
        unusable: usize,
        /// Number of all certificates.
        total: usize,
        /// The reason for the first of them.
        why: String,
    },
}

/// A client configuration, and the warnings from building it.
#[derive(Debug)]
pub struct Trust {
    /// The configuration for HTTP clients.
    pub config: ClientConfig,
    /// Warnings to be logged.
    pub warnings: Vec<TlsWarning>,
}

/// Installs the TLS provider as the default of the process, for clients that do not bring their own configuration. A second call changes nothing.
pub fn install_provider() {
    // An error means that a provider is already installed.
    let _ = provider::provider().install_default();
}

/// A client configuration that trusts the build's roots and the certificates in the customer's file.
pub fn trust(cert_file: Option<&Path>, protocol: HttpProtocol) -> Result<Trust, Error> {
    let mut warnings = Vec::new();
    let store = roots(cert_file, &mut warnings);
    let config = check_fips(versions()?.with_root_certificates(store).with_no_client_auth(), protocol)?;
    Ok(Trust { config, warnings })
}

/// A client configuration that accepts every certificate; used only if the customer disables validation.
pub fn insecure_client_config(protocol: HttpProtocol) -> Result<ClientConfig, Error> {
    let insecure_verifier = Arc::new(InsecureVerifier(provider::provider().signature_verification_algorithms));
    check_fips(
        versions()?.dangerous().with_custom_certificate_verifier(insecure_verifier).with_no_client_auth(),
        protocol,
    )
}

fn versions() -> Result<ConfigBuilder<ClientConfig, WantsVerifier>, Error> {
    let builder = ClientConfig::builder_with_provider(provider::provider().into());
    Ok(builder.with_safe_default_protocol_versions()?)
}

/// Checks the configuration of a FIPS build.
fn check_fips(mut config: ClientConfig, protocol: HttpProtocol) -> Result<ClientConfig, Error> {
    if features::FIPS {
        match provider::module() {
            Some(module) if module == FIPS_MODULE => {}
            other => return Err(Error::Module(other.unwrap_or_else(|| "not validated".to_owned()))),
        }
        if !config.fips() {
            return Err(Error::NotApproved);
        }
    }
    config.alpn_protocols = match protocol {
        HttpProtocol::Automatic => vec![b"h2".to_vec(), b"http/1.1".to_vec()],
        HttpProtocol::Http1 => vec![b"http/1.1".to_vec()],
        HttpProtocol::Http2 => vec![b"h2".to_vec()],
    };
    Ok(config)
}

/// The build's roots and the certificates in the customer's file.
fn roots(cert_file: Option<&Path>, warnings: &mut Vec<TlsWarning>) -> RootCertStore {
    let mut store = roots::load(warnings);
    if let Some(path) = cert_file {
        warnings.extend(bundle::add(&mut store, CERT_FILE, path));
    }
    store
}

/// The name of the linked module of FIPS 140-3; None without one. No client is built if it is not [`FIPS_MODULE`], or if its configuration allows
/// algorithms that are not approved.
pub fn module() -> Option<String> {
    provider::module()
}

/// The name of the cryptographic provider.
pub fn provider_name() -> &'static str {
    provider::NAME
}

/// Whether the configuration of a client, asked for it, allows approved algorithms alone. No roots are loaded for that: whom it trusts has no part in the answer.
pub fn is_approved() -> bool {
    let config = versions().map(|builder| builder.with_root_certificates(RootCertStore::empty()).with_no_client_auth());
    config.and_then(|config| check_fips(config, HttpProtocol::Automatic)).is_ok_and(|config| config.fips())
}

/// Report on the build's cryptography for `--version=json`: the provider, the linked module if it is in FIPS mode, whether the client
/// configuration allows only approved algorithms, and the source of the roots. It contains nothing that differs between machines, because it becomes
/// part of a layer's manifest.
pub fn crypto_report() -> serde_json::Value {
    serde_json::json!({
        "provider": provider_name(),
        "module": module(),
        "fips": trust(None, HttpProtocol::Automatic).is_ok_and(|trust| trust.config.fips()),
        "roots": roots_origin(),
    })
}

/// Whether an environment variable of OpenSSL names the root files, which may be on a slow file system.
pub fn roots_are_in_named_files() -> bool {
    roots::are_in_named_files()
}

/// The source of the roots, for the log and for `--version=json`.
pub fn roots_origin() -> &'static str {
    if features::COMPILED_ROOTS { "compiled in" } else { "operating system" }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use rustls::{
        client::{WebPkiServerVerifier, danger::ServerCertVerifier as _},
        pki_types::{CertificateDer, ServerName, UnixTime, pem::PemObject as _},
    };

    use super::*;

    #[test]
    fn a_file_that_cannot_be_used_is_a_problem_not_a_failure() {
        let missing = trust(Some(Path::new("/nonexistent/ca.pem")), HttpProtocol::Http1).unwrap();
        assert!(missing.warnings.iter().any(|warning| warning.to_string().contains("/nonexistent/ca.pem")));
        assert_eq!(missing.config.alpn_protocols, [b"http/1.1".to_vec()]);
    }

    /// The authorities that AWS and Datadog use are identified by name, which a root's encoding contains as plain text.
    #[test]
    fn the_build_has_roots() {
        let mut warnings = Vec::new();
        let store = roots(None, &mut warnings);
        assert!(store.len() > 50, "{warnings:?}");
        for name in ["Amazon Root CA 1", "DigiCert Global Root G2", "ISRG Root X1"] {
            let is_named = |subject: &[u8]| subject.windows(name.len()).any(|part| part == name.as_bytes());
            assert!(store.roots.iter().any(|root| is_named(&root.subject)), "{name}");
        }
    }

    /// A server on loopback cannot have the private key of a public certificate, so there is no handshake with one. Instead, the test verifies the
    /// certificate chain that `aws.amazon.com` used until October 2026 against the build's roots, with the verifier of the client configuration.
    #[test]
    fn what_a_public_server_shows_is_accepted_by_the_builds_roots_alone() {
        const HELD: u64 = 1_780_272_000;
        const OVER: u64 = 1_793_491_200;
        let chain = CertificateDer::pem_slice_iter(include_bytes!("public_chain.pem"));
        let chain: Vec<_> = chain.collect::<Result<_, _>>().unwrap();
        let (server, others) = chain.split_first().unwrap();
        let shown = |roots: RootCertStore, host: &str, at: u64| {
            let verifier = WebPkiServerVerifier::builder_with_provider(roots.into(), provider::provider().into());
            let host = ServerName::try_from(host).unwrap();
            let at = UnixTime::since_unix_epoch(Duration::from_secs(at));
            verifier.build().unwrap().verify_server_cert(server, others, &host, &[], at)
        };
        let ours = || roots(None, &mut Vec::new());
        shown(ours(), "aws.amazon.com", HELD).unwrap();
        let mut stranger = RootCertStore::empty();
        stranger.add(crate::intake::client::tls_server::certificates::Authority::new("Own").certificate).unwrap();
        for (roots, host, at, why) in [
            (stranger, "aws.amazon.com", HELD, "UnknownIssuer"),
            (ours(), "datadoghq.com", HELD, "not valid for name"),
            (ours(), "aws.amazon.com", OVER, "expired"),
        ] {
            let error = shown(roots, host, at).unwrap_err().to_string();
            assert!(error.contains(why), "{error}");
        }
    }

    #[test]
    fn the_usual_roots_stay_beside_the_customers() {
        let mut warnings = Vec::new();
        let usual = roots(None, &mut warnings);
        let directory = tempfile::tempdir().unwrap();
        let own = crate::intake::client::tls_server::certificates::Authority::new("Own").save(directory.path());
        let both = roots(Some(&own), &mut warnings);
        assert_eq!(both.len(), usual.len() + 1);
        assert!(usual.roots.iter().all(|root| both.roots.contains(root)));
    }

    #[test]
    fn a_build_that_promises_a_validated_module_has_it_in_every_configuration() {
        let module = provider::module();
        assert_eq!(module.as_deref(), features::FIPS.then_some(FIPS_MODULE));
        assert_eq!(provider::provider().fips(), features::FIPS);
        assert_eq!(is_approved(), features::FIPS);
        for protocol in [HttpProtocol::Automatic, HttpProtocol::Http1, HttpProtocol::Http2] {
            assert_eq!(trust(None, protocol).unwrap().config.fips(), features::FIPS);
            assert_eq!(insecure_client_config(protocol).unwrap().fips(), features::FIPS);
        }
    }

    #[test]
    fn crypto_report_matches_the_clients_configuration() {
        let told = crypto_report();
        assert_eq!(told["module"].as_str(), features::FIPS.then_some(FIPS_MODULE));
        assert_eq!(told["fips"], features::FIPS);
        assert_eq!(told["provider"] == "aws-lc-fips", features::FIPS);
        assert_eq!(told["roots"] == "compiled in", features::COMPILED_ROOTS);
    }

    #[test]
    fn what_is_not_approved_is_noticed() {
        let config = ClientConfig::builder_with_provider(rustls::crypto::ring::default_provider().into());
        let config = config.with_safe_default_protocol_versions().unwrap();
        let config = config.with_root_certificates(RootCertStore::empty()).with_no_client_auth();
        assert_eq!(check_fips(config, HttpProtocol::Http1).is_err(), features::FIPS);
    }
}
