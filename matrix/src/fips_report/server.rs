//! A TLS server on loopback that speaks as little as it is told to, and keeps what its clients offered.

use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rustls::crypto::{CryptoProvider, ring};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer, ServerName};
use rustls::server::{Accepted, Acceptor};
use rustls::{ClientConfig, ClientConnection, NamedGroup, RootCertStore, ServerConfig, ServerConnection, StreamOwned};
use serde::Serialize;

/// Nobody on loopback needs as long.
const PATIENCE: Duration = Duration::from_secs(5);

/// What a server agrees to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Taste {
    /// Suites with AES-GCM, over the curves P-256 and P-384: approved.
    Approved,
    /// Suites with ChaCha20-Poly1305 alone.
    ChaCha,
    /// The group X25519 alone.
    X25519,
}

/// A client, as the server saw it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Seen {
    /// Suites, in the client's order.
    pub suites: Vec<String>,
    /// Groups for the exchange of keys, in the client's order.
    pub groups: Vec<String>,
    /// The suite of a handshake that was completed.
    pub agreed: Option<String>,
    /// Bytes of application data that arrived.
    pub data: usize,
}

/// All clients, in the order in which they came.
pub type Guests = Arc<Mutex<Vec<Seen>>>;

/// A server that is not bound yet.
pub struct Server {
    config: Arc<ServerConfig>,
    certificate: CertificateDer<'static>,
}

impl Taste {
    fn provider(self) -> CryptoProvider {
        let mut provider = ring::default_provider();
        provider.cipher_suites.retain(|suite| {
            let is_chacha = format!("{:?}", suite.suite()).contains("CHACHA20");
            match self {
                Self::Approved | Self::X25519 => !is_chacha,
                Self::ChaCha => is_chacha,
            }
        });
        provider.kx_groups.retain(|group| match self {
            Self::Approved => group.name() != NamedGroup::X25519,
            Self::ChaCha => true,
            Self::X25519 => group.name() == NamedGroup::X25519,
        });
        provider
    }
}

impl Server {
    /// With a certificate for `localhost` that nobody else has issued.
    pub fn new(taste: Taste) -> Result<Self, Error> {
        let rcgen::CertifiedKey { cert, signing_key } = rcgen::generate_simple_self_signed(["localhost".to_owned()])?;
        let certificate = cert.der().clone();
        let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(signing_key.serialize_der()));
        let builder =
            ServerConfig::builder_with_provider(taste.provider().into()).with_safe_default_protocol_versions()?;
        let config = builder.with_no_client_auth().with_single_cert(vec![certificate.clone()], key)?;
        Ok(Self { config: Arc::new(config), certificate })
    }

    /// Writes the certificate where a variable can name it.
    pub fn save(&self, directory: &Path) -> io::Result<PathBuf> {
        let file = directory.join("roots.pem");
        std::fs::write(&file, pem(&self.certificate))?;
        Ok(file)
    }

    /// Answers every request on that port of this network, or on any if it is zero, with 202. Returns the port.
    pub fn serve(&self, port: u16, guests: &Guests) -> io::Result<u16> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port))?;
        let port = listener.local_addr()?.port();
        let (config, guests) = (Arc::clone(&self.config), Arc::clone(guests));
        thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                // A client that is refused breaks off, which is what it is here for.
                let _ = attend(stream, &config, &guests);
            }
        });
        Ok(port)
    }

    /// Whether a client with another cryptography, which offers everything, is served: a server that serves nobody would prove nothing.
    pub fn serves_others(&self) -> Result<Seen, Error> {
        let guests = Guests::default();
        let port = self.serve(0, &guests)?;
        let mut roots = RootCertStore::empty();
        roots.add(self.certificate.clone())?;
        let builder = ClientConfig::builder_with_provider(ring::default_provider().into());
        let config = builder.with_safe_default_protocol_versions()?.with_root_certificates(roots).with_no_client_auth();
        let name = ServerName::try_from("localhost").map_err(io::Error::other)?;
        let connection = ClientConnection::new(config.into(), name)?;
        let stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port))?;
        stream.set_read_timeout(Some(PATIENCE))?;
        let mut stream = StreamOwned::new(connection, stream);
        stream.write_all(b"POST / HTTP/1.1\r\ncontent-length: 2\r\n\r\n{}")?;
        let mut status = [0; 12];
        stream.read_exact(&mut status)?;
        let seen = guests.lock().unwrap_or_else(PoisonError::into_inner).first().cloned();
        Ok(seen.unwrap_or_default())
    }
}

/// Why there is no server, or it serves nobody.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("there is no certificate for the server")]
    Certificate(#[from] rcgen::Error),
    #[error("the server cannot be made, or serves nobody")]
    Tls(#[from] rustls::Error),
    #[error("the server cannot be reached")]
    Network(#[from] io::Error),
}

fn attend(mut stream: TcpStream, config: &Arc<ServerConfig>, guests: &Mutex<Vec<Seen>>) -> io::Result<()> {
    stream.set_read_timeout(Some(PATIENCE))?;
    let accepted = hello(&mut stream)?;
    let place = enter(&accepted, guests);
    let update = |change: &dyn Fn(&mut Seen)| {
        if let Some(seen) = guests.lock().unwrap_or_else(PoisonError::into_inner).get_mut(place) {
            change(seen);
        }
    };
    let mut connection = match accepted.into_connection(Arc::clone(config)) {
        Ok(connection) => connection,
        Err((error, mut alert)) => {
            alert.write_all(&mut stream)?;
            return Err(io::Error::other(error));
        }
    };
    while connection.is_handshaking() {
        connection.complete_io(&mut stream)?;
    }
    let suite = connection.negotiated_cipher_suite().map(|suite| format!("{:?}", suite.suite()));
    update(&|seen| seen.agreed.clone_from(&suite));
    let mut stream = StreamOwned::new(connection, stream);
    let bytes = request(&mut stream)?;
    update(&|seen| seen.data = bytes);
    stream.write_all(b"HTTP/1.1 202 X\r\ncontent-length: 0\r\n\r\n")?;
    stream.flush()
}

/// The client's first message.
fn hello(stream: &mut TcpStream) -> io::Result<Accepted> {
    let mut acceptor = Acceptor::default();
    loop {
        if acceptor.read_tls(stream)? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        match acceptor.accept() {
            Ok(Some(accepted)) => return Ok(accepted),
            Ok(None) => {}
            Err((error, mut alert)) => {
                alert.write_all(stream)?;
                return Err(io::Error::other(error));
            }
        }
    }
}

/// Writes down what the client offers, and returns at which place.
fn enter(accepted: &Accepted, guests: &Mutex<Vec<Seen>>) -> usize {
    let hello = accepted.client_hello();
    let suites = hello.cipher_suites().iter().map(|suite| format!("{suite:?}"));
    let groups = hello.named_groups().unwrap_or_default().iter().map(|group| format!("{group:?}"));
    let seen = Seen { suites: suites.collect(), groups: groups.collect(), ..Seen::default() };
    let mut guests = guests.lock().unwrap_or_else(PoisonError::into_inner);
    guests.push(seen);
    guests.len() - 1
}

/// Reads a request to its end, and returns how many bytes it has.
fn request(stream: &mut StreamOwned<ServerConnection, TcpStream>) -> io::Result<usize> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        stream.read_exact(&mut byte)?;
        head.extend(byte);
    }
    let text = String::from_utf8_lossy(&head).to_lowercase();
    let length = text.lines().find_map(|line| line.strip_prefix("content-length: ")?.parse().ok()).unwrap_or(0);
    stream.read_exact(&mut vec![0; length])?;
    Ok(head.len() + length)
}

fn pem(certificate: &CertificateDer<'_>) -> String {
    format!("-----BEGIN CERTIFICATE-----\n{}\n-----END CERTIFICATE-----\n", STANDARD.encode(certificate))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_taste_is_served_to_whoever_offers_it() {
        for (taste, name) in [(Taste::Approved, "GCM"), (Taste::ChaCha, "CHACHA20_POLY1305"), (Taste::X25519, "GCM")] {
            let seen = Server::new(taste).unwrap().serves_others().unwrap();
            assert!(seen.agreed.clone().unwrap().contains(name), "{taste:?}: {seen:?}");
            assert!(seen.data > 2 && seen.groups.contains(&"X25519".to_owned()), "{taste:?}: {seen:?}");
        }
    }

    #[test]
    fn a_taste_leaves_nothing_else() {
        let groups = |taste: Taste| taste.provider().kx_groups.iter().map(|group| group.name()).collect::<Vec<_>>();
        assert_eq!(groups(Taste::X25519), [NamedGroup::X25519]);
        assert!(!groups(Taste::Approved).contains(&NamedGroup::X25519) && groups(Taste::Approved).len() == 2);
        let suites = |taste: Taste| format!("{:?}", taste.provider().cipher_suites);
        assert!(!suites(Taste::ChaCha).contains("GCM") && !suites(Taste::Approved).contains("CHACHA20"));
    }

    #[test]
    fn a_client_that_offers_nothing_common_is_refused_and_remembered() {
        let server = Server::new(Taste::ChaCha).unwrap();
        let guests = Guests::default();
        let port = server.serve(0, &guests).unwrap();
        let builder = ClientConfig::builder_with_provider(Taste::Approved.provider().into());
        let mut roots = RootCertStore::empty();
        roots.add(server.certificate.clone()).unwrap();
        let config = builder.with_safe_default_protocol_versions().unwrap().with_root_certificates(roots);
        let name = ServerName::try_from("localhost").unwrap();
        let connection = ClientConnection::new(config.with_no_client_auth().into(), name).unwrap();
        let stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).unwrap();
        let mut stream = StreamOwned::new(connection, stream);
        assert!(
            stream.write_all(b"secret").and_then(|()| stream.flush()).and_then(|()| stream.read(&mut [0])).is_err()
        );
        let seen = guests.lock().unwrap().clone();
        assert_eq!(seen.len(), 1);
        assert!(seen[0].agreed.is_none() && seen[0].data == 0 && !seen[0].suites.is_empty(), "{seen:?}");
    }
}
