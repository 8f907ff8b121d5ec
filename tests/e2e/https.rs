//! HTTPS servers on loopback. The unit tests of the client use them, too.

use std::{
    io::{self, Read, Write},
    net::{Ipv4Addr, TcpListener, TcpStream},
    sync::{Arc, Mutex},
    thread,
};

use rustls::{ServerConfig, ServerConnection, StreamOwned};

#[path = "certificates.rs"]
pub mod certificates;

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
