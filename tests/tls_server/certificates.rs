//! Certificates of every kind, made on the spot.

use std::path::{Path, PathBuf};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};
use rustls::{
    ServerConfig,
    pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer},
};

/// An authority that nobody knows.
pub struct Authority {
    issuer: Issuer<'static, KeyPair>,
    /// As whoever trusts it has it.
    pub certificate: CertificateDer<'static>,
}

/// What a server shows, and the key to it.
pub struct Identity {
    certificate: CertificateDer<'static>,
    key: Vec<u8>,
}

impl Authority {
    /// Two of one name could not be told apart by whoever looks for the issuer of a certificate.
    pub fn new(name: &str) -> Self {
        let mut params = CertificateParams::new([]).unwrap();
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().unwrap();
        let certificate = params.self_signed(&key).unwrap().der().clone();
        Self { issuer: Issuer::new(params, key), certificate }
    }

    /// For a server that is called so.
    pub fn issue(&self, host: &str) -> Identity {
        self.sign(&named(host))
    }

    /// For a server that is called so, and was too long ago.
    pub fn issue_expired(&self, host: &str) -> Identity {
        let mut params = named(host);
        params.not_before = rcgen::date_time_ymd(2001, 1, 1);
        params.not_after = rcgen::date_time_ymd(2002, 1, 1);
        self.sign(&params)
    }

    /// Writes its certificate where a setting can name it.
    pub fn save(&self, directory: &Path) -> PathBuf {
        save(&self.certificate, directory)
    }

    fn sign(&self, params: &CertificateParams) -> Identity {
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &self.issuer).unwrap().der().clone();
        Identity { certificate, key: key.serialize_der() }
    }
}

impl Identity {
    /// Vouched for by nobody but itself.
    pub fn self_signed(host: &str) -> Self {
        let key = KeyPair::generate().unwrap();
        let certificate = named(host).self_signed(&key).unwrap().der().clone();
        Self { certificate, key: key.serialize_der() }
    }

    /// Writes its certificate where a setting can name it.
    pub fn save(&self, directory: &Path) -> PathBuf {
        save(&self.certificate, directory)
    }

    /// For a server that speaks these protocols.
    pub fn config(self, protocols: &[&str]) -> ServerConfig {
        // One provider for all servers: what varies is the client.
        let provider = rustls::crypto::ring::default_provider().into();
        let builder = ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
        let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(self.key));
        let mut config = builder.with_no_client_auth().with_single_cert(vec![self.certificate], key).unwrap();
        config.alpn_protocols = protocols.iter().map(|protocol| protocol.as_bytes().to_vec()).collect();
        config
    }
}

fn named(host: &str) -> CertificateParams {
    CertificateParams::new([host.to_owned()]).unwrap()
}

fn save(certificate: &CertificateDer<'_>, directory: &Path) -> PathBuf {
    let file = directory.join("certificate.pem");
    let pem = STANDARD.encode(certificate);
    std::fs::write(&file, format!("-----BEGIN CERTIFICATE-----\n{pem}\n-----END CERTIFICATE-----\n")).unwrap();
    file
}
