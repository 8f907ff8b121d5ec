//! The floor: the minimum that an extension can do before its first event, with the standard library alone. All measurements are compared with it, in the same
//! run on the same machine.
//!
//! It registers, binds a port, subscribes and sends next, on one connection and one thread. Only then does it start a second thread, which accepts telemetry
//! and discards it.

use std::{
    env,
    io::{self, BufRead as _, BufReader, Error, Read as _, Write as _},
    net::{TcpListener, TcpStream},
    path::Path,
    thread,
};

fn main() -> io::Result<()> {
    let api = env::var("AWS_LAMBDA_RUNTIME_API").map_err(Error::other)?;
    let program = env::args_os().next().unwrap_or_default();
    let name = Path::new(&program).file_name().unwrap_or_default().to_string_lossy().into_owned();
    let mut platform = Platform { stream: BufReader::new(TcpStream::connect(&api)?), api };

    let events = r#"{"events":["INVOKE","SHUTDOWN"]}"#;
    platform.send("POST", "/2020-01-01/extension/register", &format!("Lambda-Extension-Name: {name}"), events)?;
    let registered = platform.answer()?;
    let id = format!("Lambda-Extension-Identifier: {}", registered.identifier);

    let listener = TcpListener::bind(("0.0.0.0", 0))?;
    let uri = format!("http://sandbox.localdomain:{}/", listener.local_addr()?.port());
    let subscription = format!(
        r#"{{"schemaVersion":"2022-12-13","destination":{{"protocol":"HTTP","URI":"{uri}"}},"types":["platform","extension","function"],"buffering":{{"maxItems":1000,"maxBytes":262144,"timeoutMs":25}}}}"#
    );
    platform.send("PUT", "/2022-07-01/telemetry", &id, &subscription)?;
    platform.answer()?;

    platform.send("GET", "/2020-01-01/extension/event/next", &id, "")?;
    thread::spawn(move || listener.incoming().flatten().for_each(discard));
    loop {
        match platform.answer() {
            Ok(answer) if answer.body.contains("SHUTDOWN") => return Ok(()),
            Ok(_) => {}
            // If the platform is gone, the connection fails, which ends this program.
            Err(_) => platform.stream = BufReader::new(TcpStream::connect(&platform.api)?),
        }
        platform.send("GET", "/2020-01-01/extension/event/next", &id, "")?;
    }
}

/// A connection to Lambda's APIs.
struct Platform {
    stream: BufReader<TcpStream>,
    api: String,
}

struct Response {
    identifier: String,
    body: String,
}

impl Platform {
    fn send(&mut self, method: &str, path: &str, header: &str, body: &str) -> io::Result<()> {
        let request = format!(
            "{method} {path} HTTP/1.1\r\nHost: {}\r\n{header}\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
            self.api,
            body.len()
        );
        self.stream.get_mut().write_all(request.as_bytes())
    }

    fn answer(&mut self) -> io::Result<Response> {
        let (mut identifier, mut length) = (String::new(), 0);
        let mut line = String::new();
        loop {
            match self.stream.read_line(&mut line)? {
                0 => return Err(io::ErrorKind::UnexpectedEof.into()),
                // The empty line after the headers.
                1 | 2 => break,
                _ => {}
            }
            if let Some((name, value)) = line.split_once(':') {
                match name.to_ascii_lowercase().as_str() {
                    "content-length" => length = value.trim().parse().map_err(Error::other)?,
                    "lambda-extension-identifier" => value.trim().clone_into(&mut identifier),
                    _ => {}
                }
            }
            line.clear();
        }
        let mut body = vec![0; length];
        self.stream.read_exact(&mut body)?;
        Ok(Response { identifier, body: String::from_utf8_lossy(&body).into_owned() })
    }
}

/// Answers every batch on one connection with 200.
fn discard(stream: TcpStream) {
    let mut platform = Platform { stream: BufReader::new(stream), api: String::new() };
    while platform.answer().is_ok() {
        if platform.stream.get_mut().write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n").is_err() {
            return;
        }
    }
}
