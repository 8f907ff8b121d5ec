//! A TLS server on loopback that speaks as little as it is told to, and keeps what its clients offered.
//!
//! Not the server of the tests (`tests/tls_server`): it is a part of the proofs, which vary its cipher suites, groups and certificates, and it reads the client's first
//! message itself.

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
use rustls::{ClientConfig, ClientConnection, NamedGroup, ServerConfig, ServerConnection, StreamOwned};
use serde::Serialize;

use super::hello::Offer;
use super::lenient::InsecureVerifier;

/// Nobody on loopback needs as long.
const PATIENCE: Duration = Duration::from_secs(5);
/// The host of every URL that the program is given.
pub const HOST: &str = "localhost";

/// What a server agrees to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ServerTlsConfig {
    /// Suites with AES-GCM, over the curves P-256 and P-384: approved.
    Approved,
    /// Suites with ChaCha20-Poly1305 alone.
    ChaCha,
    /// The group X25519 alone.
    X25519,
    /// TLS 1.2 without extended master secret. Such a server answers once, and goes no further.
    NoExtendedMasterSecret,
}

/// What a server shows, issued by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ServerCertificate {
    /// For [`HOST`], and valid.
    Good,
    /// For another host.
    OtherHost,
    /// Not valid any more.
    Expired,
    /// Not valid yet.
    NotYetValid,
}

/// A connection, as the server observed it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct ObservedConnection {
    #[serde(flatten)]
    pub offer: Offer,
    /// The suite of a handshake that was completed.
    pub agreed: Option<String>,
    /// Bytes of application data that arrived.
    pub data: usize,
    /// Whether one of both refused the handshake, so that nobody broke it off.
    pub refused: bool,
    /// The alert with which the client answered a server that goes no further.
    pub alert: Option<u8>,
}

/// All connections, in the order in which they came.
pub type ConnectionLog = Arc<Mutex<Vec<ObservedConnection>>>;

/// A server that is not bound yet.
pub struct Server {
    tls: ServerTlsConfig,
    config: Arc<ServerConfig>,
    certificate: CertificateDer<'static>,
}

impl ServerTlsConfig {
    fn provider(self) -> CryptoProvider {
        let mut provider = ring::default_provider();
        provider.cipher_suites.retain(|suite| {
            let is_chacha = format!("{:?}", suite.suite()).contains("CHACHA20");
            is_chacha == (self == Self::ChaCha)
        });
        provider.kx_groups.retain(|group| match self {
            Self::Approved | Self::NoExtendedMasterSecret => group.name() != NamedGroup::X25519,
            Self::ChaCha => true,
            Self::X25519 => group.name() == NamedGroup::X25519,
        });
        provider
    }
}

impl Server {
    /// With a certificate that nobody else has issued.
    pub fn new(tls: ServerTlsConfig, shown: ServerCertificate) -> Result<Self, Error> {
        let host = if shown == ServerCertificate::OtherHost { "other.example" } else { HOST };
        let mut wanted = rcgen::CertificateParams::new(vec![host.to_owned()])?;
        match shown {
            ServerCertificate::Good | ServerCertificate::OtherHost => {}
            ServerCertificate::Expired => wanted.not_after = rcgen::date_time_ymd(2001, 1, 1),
            ServerCertificate::NotYetValid => wanted.not_before = rcgen::date_time_ymd(3001, 1, 1),
        }
        let signing_key = rcgen::KeyPair::generate()?;
        let certificate = wanted.self_signed(&signing_key)?.der().clone();
        let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(signing_key.serialize_der()));
        let builder =
            ServerConfig::builder_with_provider(tls.provider().into()).with_safe_default_protocol_versions()?;
        let config = builder.with_no_client_auth().with_single_cert(vec![certificate.clone()], key)?;
        Ok(Self { tls, config: Arc::new(config), certificate })
    }

    /// The certificate, as files with roots have it.
    pub fn pem(&self) -> String {
        format!("-----BEGIN CERTIFICATE-----\n{}\n-----END CERTIFICATE-----\n", STANDARD.encode(&self.certificate))
    }

    /// Writes the certificate where a variable can name it.
    pub fn save(&self, directory: &Path) -> io::Result<PathBuf> {
        let file = directory.join("roots.pem");
        std::fs::write(&file, self.pem())?;
        Ok(file)
    }

    /// Answers every request on that port of this network, or on any if it is zero, with 202. Returns the port.
    pub fn serve(&self, port: u16, connections: &ConnectionLog) -> io::Result<u16> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port))?;
        let port = listener.local_addr()?.port();
        let (tls, config, connections) = (self.tls, Arc::clone(&self.config), Arc::clone(connections));
        thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                // A client that is refused breaks off, which is what it is here for.
                let _ = serve_connection(stream, tls, &config, &connections);
            }
        });
        Ok(port)
    }

    /// What a client with another cryptography sees, which offers everything, trusts everybody and does without extended master secrets: a server that serves nobody
    /// would prove nothing.
    pub fn serves_others(&self) -> Result<ObservedConnection, Error> {
        let connections = ConnectionLog::default();
        let port = self.serve(0, &connections)?;
        let provider = Arc::new(ring::default_provider());
        let lenient = Arc::new(InsecureVerifier(provider.signature_verification_algorithms));
        let builder = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions()?;
        let config = builder.dangerous().with_custom_certificate_verifier(lenient).with_no_client_auth();
        let name = ServerName::try_from(HOST).map_err(io::Error::other)?;
        let connection = ClientConnection::new(config.into(), name)?;
        let stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port))?;
        stream.set_read_timeout(Some(PATIENCE))?;
        let mut stream = StreamOwned::new(connection, stream);
        let sent = stream.write_all(b"POST / HTTP/1.1\r\ncontent-length: 2\r\n\r\n{}");
        let answered = sent.and_then(|()| stream.read_exact(&mut [0; 12]));
        if self.tls != ServerTlsConfig::NoExtendedMasterSecret {
            answered?;
        }
        // Its end is what the server waits for, and then it has written down all that it saw.
        drop(stream);
        let end = std::time::Instant::now() + PATIENCE;
        loop {
            let seen = connections.lock().unwrap_or_else(PoisonError::into_inner).first().cloned().unwrap_or_default();
            if seen.data > 0 || seen.alert.is_some() || std::time::Instant::now() > end {
                return Ok(seen);
            }
            thread::sleep(Duration::from_millis(1));
        }
    }
}

/// Why there is no server, or it serves nobody.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("cannot create the certificate of the TLS test server")]
    Certificate(#[from] rcgen::Error),
    #[error("cannot set up the TLS test server")]
    Tls(#[from] rustls::Error),
    #[error("cannot reach the TLS test server")]
    Network(#[from] io::Error),
}

fn serve_connection(
    mut stream: TcpStream,
    tls: ServerTlsConfig,
    config: &Arc<ServerConfig>,
    connections: &Mutex<Vec<ObservedConnection>>,
) -> io::Result<()> {
    stream.set_read_timeout(Some(PATIENCE))?;
    let first = record(&mut stream)?;
    let place = register_connection(&first, connections);
    let update = |change: &dyn Fn(&mut ObservedConnection)| {
        if let Some(seen) = connections.lock().unwrap_or_else(PoisonError::into_inner).get_mut(place) {
            change(seen);
        }
    };
    if tls == ServerTlsConfig::NoExtendedMasterSecret {
        let alert = old_answer(&mut stream)?;
        update(&|seen| seen.alert = alert);
        return Ok(());
    }
    let accepted = hello(&first, &mut stream)?;
    let mut connection = match accepted.into_connection(Arc::clone(config)) {
        Ok(connection) => connection,
        Err((error, mut alert)) => {
            update(&|seen| seen.refused = true);
            alert.write_all(&mut stream)?;
            return Err(io::Error::other(error));
        }
    };
    while connection.is_handshaking() {
        if let Err(error) = connection.complete_io(&mut stream) {
            // Either the client's alert or what the server has against it; a connection that was broken off is an error of the socket.
            let is_refusal = matches!(error.get_ref(), Some(inner) if inner.is::<rustls::Error>());
            update(&|seen| seen.refused = is_refusal);
            return Err(error);
        }
    }
    let suite = connection.negotiated_cipher_suite().map(|suite| format!("{:?}", suite.suite()));
    update(&|seen| seen.agreed.clone_from(&suite));
    let mut stream = StreamOwned::new(connection, stream);
    let bytes = request(&mut stream)?;
    update(&|seen| seen.data = bytes);
    stream.write_all(b"HTTP/1.1 202 X\r\ncontent-length: 0\r\n\r\n")?;
    stream.flush()
}

/// A record as it comes, with the five bytes before it.
fn record(stream: &mut TcpStream) -> io::Result<Vec<u8>> {
    let mut record = vec![0; 5];
    stream.read_exact(&mut record)?;
    let length = record.last_chunk::<2>().map_or(0, |length| usize::from(u16::from_be_bytes(*length)));
    let mut rest = vec![0; length];
    stream.read_exact(&mut rest)?;
    record.extend(rest);
    Ok(record)
}

/// The answer of a server with TLS 1.2 that knows nothing of extended master secrets (RFC 5246, section 7.4.1.3), and the end of its part of the handshake, which comes
/// too early. Returns the client's alert: it is one (10) about that end if the client has taken the answer, and another one (40) if the answer was refused.
fn old_answer(stream: &mut TcpStream) -> io::Result<Option<u8>> {
    const ALERT: u8 = 21;
    let mut hello = vec![0x03, 0x03];
    hello.extend([0x5a; 32]);
    // No session, TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256, no compression, and one extension: renegotiation is understood (RFC 5746).
    hello.extend([0, 0xc0, 0x2f, 0, 0, 5, 0xff, 0x01, 0, 1, 0]);
    let length = u8::try_from(hello.len()).unwrap_or(u8::MAX);
    let messages = [&[2, 0, 0, length], &hello[..], &[14, 0, 0, 0]].concat();
    let length = u8::try_from(messages.len()).unwrap_or(u8::MAX);
    stream.write_all(&[&[22, 0x03, 0x03, 0, length], &messages[..]].concat())?;
    let answer = record(stream)?;
    Ok(answer.last().copied().filter(|_| answer.first() == Some(&ALERT)))
}

/// The client's first message, whose first record has been read already.
fn hello(first: &[u8], stream: &mut TcpStream) -> io::Result<Accepted> {
    let mut acceptor = Acceptor::default();
    let mut source = first.chain(stream.try_clone()?);
    loop {
        if acceptor.read_tls(&mut source)? == 0 {
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

/// Writes down what the client offers, and returns at which place. What cannot be read is no offer.
fn register_connection(first: &[u8], connections: &Mutex<Vec<ObservedConnection>>) -> usize {
    let seen = ObservedConnection { offer: Offer::of(first).unwrap_or_default(), ..ObservedConnection::default() };
    let mut connections = connections.lock().unwrap_or_else(PoisonError::into_inner);
    connections.push(seen);
    connections.len() - 1
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

#[cfg(test)]
mod tests {
    use rustls::RootCertStore;

    use super::*;

    #[test]
    fn every_tls_config_accepts_clients_that_offer_it() {
        for (tls, name) in [
            (ServerTlsConfig::Approved, "GCM"),
            (ServerTlsConfig::ChaCha, "CHACHA20_POLY1305"),
            (ServerTlsConfig::X25519, "GCM"),
        ] {
            let seen = Server::new(tls, ServerCertificate::Good).unwrap().serves_others().unwrap();
            assert!(seen.agreed.clone().unwrap().contains(name), "{tls:?}: {seen:?}");
            assert!(seen.data > 2 && seen.offer.groups.contains(&"X25519".to_owned()), "{tls:?}: {seen:?}");
        }
        for shown in [ServerCertificate::OtherHost, ServerCertificate::Expired, ServerCertificate::NotYetValid] {
            assert!(
                Server::new(ServerTlsConfig::Approved, shown).unwrap().serves_others().unwrap().data > 2,
                "{shown:?}"
            );
        }
    }

    #[test]
    fn client_without_extended_master_secret_accepts_such_a_server() {
        let server = Server::new(ServerTlsConfig::NoExtendedMasterSecret, ServerCertificate::Good).unwrap();
        let seen = server.serves_others().unwrap();
        assert_eq!((seen.alert, seen.data), (Some(10), 0), "{seen:?}");
        let connections = ConnectionLog::default();
        let port = server.serve(0, &connections).unwrap();
        let mut config = strict(&server);
        config.require_ems = true;
        assert!(talk(config, port).is_err());
        wait(|| connections.lock().unwrap().first().is_some_and(|seen| seen.alert == Some(40)));
    }

    #[test]
    fn a_tls_config_leaves_nothing_else() {
        let groups =
            |tls: ServerTlsConfig| tls.provider().kx_groups.iter().map(|group| group.name()).collect::<Vec<_>>();
        assert_eq!(groups(ServerTlsConfig::X25519), [NamedGroup::X25519]);
        assert!(
            !groups(ServerTlsConfig::Approved).contains(&NamedGroup::X25519)
                && groups(ServerTlsConfig::Approved).len() == 2
        );
        let suites = |tls: ServerTlsConfig| format!("{:?}", tls.provider().cipher_suites);
        assert!(
            !suites(ServerTlsConfig::ChaCha).contains("GCM") && !suites(ServerTlsConfig::Approved).contains("CHACHA20")
        );
    }

    #[test]
    fn a_client_that_offers_nothing_common_is_refused_and_remembered() {
        let server = Server::new(ServerTlsConfig::ChaCha, ServerCertificate::Good).unwrap();
        let connections = ConnectionLog::default();
        let port = server.serve(0, &connections).unwrap();
        assert!(talk(strict(&server), port).is_err());
        let seen = connections.lock().unwrap().clone();
        assert_eq!(seen.len(), 1);
        assert!(seen[0].agreed.is_none() && seen[0].data == 0 && !seen[0].offer.suites.is_empty(), "{seen:?}");
        assert!(seen[0].refused, "{seen:?}");
    }

    #[test]
    fn a_client_that_checks_certificates_accepts_the_good_one_alone() {
        for (shown, accepted) in [
            (ServerCertificate::Good, true),
            (ServerCertificate::OtherHost, false),
            (ServerCertificate::Expired, false),
            (ServerCertificate::NotYetValid, false),
        ] {
            let server = Server::new(ServerTlsConfig::Approved, shown).unwrap();
            let connections = ConnectionLog::default();
            let port = server.serve(0, &connections).unwrap();
            assert_eq!(talk(strict(&server), port).is_ok(), accepted, "{shown:?}");
            wait(|| connections.lock().unwrap().first().is_some_and(|seen| seen.refused != accepted));
        }
    }

    #[test]
    fn a_client_that_breaks_off_has_refused_nothing() {
        let server = Server::new(ServerTlsConfig::Approved, ServerCertificate::Good).unwrap();
        let connections = ConnectionLog::default();
        let port = server.serve(0, &connections).unwrap();
        let connection = ClientConnection::new(strict(&server).into(), ServerName::try_from(HOST).unwrap()).unwrap();
        let mut stream = StreamOwned::new(connection, TcpStream::connect((Ipv4Addr::LOCALHOST, port)).unwrap());
        stream.conn.write_tls(&mut stream.sock).unwrap();
        wait(|| connections.lock().unwrap().len() == 1);
        drop(stream);
        // The server serves one after the other: whoever comes next is served after that one.
        talk(strict(&server), port).unwrap();
        let seen = connections.lock().unwrap().clone();
        assert!(!seen[0].refused && seen[0].agreed.is_none(), "{seen:?}");
    }

    /// A client that offers what is approved, and trusts this server.
    fn strict(server: &Server) -> ClientConfig {
        let builder = ClientConfig::builder_with_provider(ServerTlsConfig::Approved.provider().into());
        let mut roots = RootCertStore::empty();
        roots.add(server.certificate.clone()).unwrap();
        let config = builder.with_safe_default_protocol_versions().unwrap().with_root_certificates(roots);
        config.with_no_client_auth()
    }

    fn talk(config: ClientConfig, port: u16) -> io::Result<()> {
        let connection = ClientConnection::new(config.into(), ServerName::try_from(HOST).unwrap()).unwrap();
        let mut stream = StreamOwned::new(connection, TcpStream::connect((Ipv4Addr::LOCALHOST, port))?);
        stream.write_all(b"POST / HTTP/1.1\r\ncontent-length: 0\r\n\r\n")?;
        stream.flush()?;
        stream.read_exact(&mut [0])
    }

    fn wait(until: impl Fn() -> bool) {
        let end = std::time::Instant::now() + PATIENCE;
        while !until() {
            assert!(std::time::Instant::now() < end, "it does not come");
            thread::sleep(Duration::from_millis(1));
        }
    }
}
