//! HTTPS servers on loopback with certificates of every kind. The unit tests of the client use them, too.

use std::{
    io::{self, Read, Write},
    net::{Ipv4Addr, TcpListener, TcpStream},
    path::{Path, PathBuf},
    sync::{Arc, Mutex},
    thread,
};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};
use rustls::{
    ServerConfig, ServerConnection, StreamOwned,
    pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer},
};

/// An authority that nobody knows.
pub struct Authority {
    issuer: Issuer<'static, KeyPair>,
    certificate: CertificateDer<'static>,
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

/// What was agreed on in the handshake, for each connection.
pub type Agreed = Arc<Mutex<Vec<String>>>;

/// Answers every request on that port, or on any if it is zero, with 202. Returns the port.
pub fn serve(port: u16, config: ServerConfig, agreed: &Agreed) -> u16 {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).unwrap();
    let port = listener.local_addr().unwrap().port();
    let (config, told) = (Arc::new(config), agreed.clone());
    thread::spawn(move || {
        for stream in listener.incoming() {
            // A client that does not trust us breaks off, which is its right.
            let _ = answer(stream.unwrap(), config.clone(), &told);
        }
    });
    port
}

fn answer(stream: TcpStream, config: Arc<ServerConfig>, agreed: &Mutex<Vec<String>>) -> io::Result<()> {
    let mut connection = ServerConnection::new(config).map_err(io::Error::other)?;
    let mut stream = stream;
    while connection.is_handshaking() {
        connection.complete_io(&mut stream)?;
    }
    let protocol = connection.alpn_protocol().unwrap_or(b"none");
    agreed.lock().unwrap().push(String::from_utf8_lossy(protocol).into_owned());
    let mut stream = StreamOwned::new(connection, stream);
    let length = head(&mut stream)?.iter().find_map(|line| line.strip_prefix("content-length: ")?.parse().ok());
    stream.read_exact(&mut vec![0; length.unwrap_or(0)])?;
    stream.write_all(b"HTTP/1.1 202 X\r\ncontent-length: 0\r\n\r\n")?;
    stream.flush()
}

/// The lines of a request before its body, read byte by byte so that the body stays where it is.
fn head(stream: &mut impl Read) -> io::Result<Vec<String>> {
    let mut bytes = Vec::new();
    while !bytes.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        stream.read_exact(&mut byte)?;
        bytes.extend(byte);
    }
    Ok(String::from_utf8_lossy(&bytes).lines().map(str::to_owned).collect())
}
