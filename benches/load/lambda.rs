//! Lambda's APIs, as far as an extension and a runtime that have no other work to do need them, and such a runtime.

use std::{
    io::{self, BufRead as _, BufReader, Read as _, Write},
    net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream},
    sync::Arc,
    thread,
    time::Duration,
};

/// Bytes of a chunk of a streamed response, and of what is received at a time.
const CHUNK_BYTES: usize = 64 << 10;
/// What a response that is streamed to an HTTP client says of itself before its content.
const PRELUDE: &[u8] = b"{\"statusCode\":200}\0\0\0\0\0\0\0\0";

/// Answers the extension and the runtime, on threads that live as long as the process.
pub struct Lambda {
    pub address: SocketAddr,
}

/// What every connection is answered with.
struct Answers {
    event: Vec<u8>,
    /// After each chunk of a response that is received.
    pause: Option<Duration>,
}

impl Lambda {
    /// Has the same event for every invocation at once.
    pub fn start(event: Vec<u8>, pause: Option<Duration>) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let address = listener.local_addr().unwrap();
        let answers = Arc::new(Answers { event, pause });
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let answers = Arc::clone(&answers);
                // A client that goes away is no news.
                thread::spawn(move || answers.serve(&stream));
            }
        });
        Self { address }
    }
}

impl Answers {
    fn serve(&self, stream: &TcpStream) -> io::Result<()> {
        stream.set_nodelay(true)?;
        let mut reader = BufReader::with_capacity(CHUNK_BYTES, stream);
        let id = "8f507cfc-8f50-4cfc-8f50-7cfc8f507cfc";
        loop {
            let Some(head) = Head::read(&mut reader)? else { return Ok(()) };
            head.skip_body(&mut reader, self.pause)?;
            let path = head.first.split(' ').nth(1).unwrap_or_default();
            let (headers, body): (String, &[u8]) = match path.rsplit('/').next().unwrap_or_default() {
                "register" => (
                    format!("Lambda-Extension-Identifier: {id}\r\n"),
                    br#"{"functionName":"checkout","functionVersion":"1","handler":"run.sh","accountId":"123456789012"}"#,
                ),
                // The extension waits for its event as long as the sandbox is frozen.
                "next" if path.contains("/extension/") => loop {
                    thread::park();
                },
                "next" => (
                    format!(
                        "Lambda-Runtime-Aws-Request-Id: {id}\r\nLambda-Runtime-Deadline-Ms: 4000000000000\r\n\
                         Lambda-Runtime-Invoked-Function-Arn: arn:aws:lambda:eu-west-1:123456789012:function:checkout\r\n"
                    ),
                    &self.event,
                ),
                _ => (String::new(), b"OK"),
            };
            let length = body.len();
            let head = format!(
                "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n{headers}Content-Length: {length}\r\n\r\n"
            );
            send(stream, head.as_bytes(), body)?;
        }
    }
}

/// A short message is one write, as clients and servers send it.
fn send(mut stream: &TcpStream, head: &[u8], body: &[u8]) -> io::Result<()> {
    if body.len() <= CHUNK_BYTES {
        return stream.write_all(&[head, body].concat());
    }
    stream.write_all(head)?;
    stream.write_all(body)
}

/// The head of a request or a response.
struct Head {
    first: String,
    /// Of the body; None: it comes in chunks.
    length: Option<u64>,
}

impl Head {
    /// None at the end of the connection.
    fn read(reader: &mut BufReader<&TcpStream>) -> io::Result<Option<Self>> {
        let (mut first, mut length) = (String::new(), Some(0));
        if reader.read_line(&mut first)? == 0 {
            return Ok(None);
        }
        loop {
            let mut line = String::new();
            reader.read_line(&mut line)?;
            let line = line.trim_ascii().to_ascii_lowercase();
            if let Some(value) = line.strip_prefix("content-length:") {
                length = Some(value.trim().parse().map_err(io::Error::other)?);
            } else if line.starts_with("transfer-encoding:") {
                length = None;
            } else if line.is_empty() {
                return Ok(Some(Self { first, length }));
            }
        }
    }

    /// Receives the body, and throws it away.
    fn skip_body(&self, reader: &mut BufReader<&TcpStream>, pause: Option<Duration>) -> io::Result<()> {
        if let Some(length) = self.length {
            return skip(reader, length);
        }
        loop {
            let mut line = String::new();
            reader.read_line(&mut line)?;
            let length = u64::from_str_radix(line.trim_ascii(), 16).map_err(io::Error::other)?;
            // With the end of the line behind it.
            skip(reader, length + 2)?;
            if length == 0 {
                return Ok(());
            }
            if let Some(pause) = pause {
                thread::sleep(pause);
            }
        }
    }
}

fn skip(reader: &mut BufReader<&TcpStream>, length: u64) -> io::Result<()> {
    let skipped = io::copy(&mut reader.take(length), &mut io::sink())?;
    if skipped == length { Ok(()) } else { Err(io::ErrorKind::UnexpectedEof.into()) }
}

/// The response of a runtime to an event.
pub enum FunctionResponse {
    /// A body with a content length.
    Whole(Vec<u8>),
    /// About so many bytes in chunks, for an HTTP client.
    Streamed(usize),
}

impl FunctionResponse {
    /// A JSON text of so many bytes.
    pub fn whole(bytes: usize) -> Self {
        let mut body = vec![b'x'; bytes];
        body[0] = b'"';
        body[bytes - 1] = b'"';
        Self::Whole(body)
    }

    pub fn bytes(&self) -> usize {
        match self {
            Self::Whole(body) => body.len(),
            Self::Streamed(bytes) => *bytes,
        }
    }
}

/// A runtime with one connection, to Lambda or to a proxy.
pub struct Runtime(TcpStream);

impl Runtime {
    pub fn connect(address: SocketAddr) -> io::Result<Self> {
        let stream = TcpStream::connect(address)?;
        stream.set_nodelay(true)?;
        Ok(Self(stream))
    }

    /// One invocation: gets the event, and posts the response.
    pub fn invoke(&mut self, answer: &FunctionResponse) {
        let next = b"GET /2018-06-01/runtime/invocation/next HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n";
        self.exchange(|mut stream| stream.write_all(next));
        let post = "POST /2018-06-01/runtime/invocation/8f507cfc-8f50-4cfc-8f50-7cfc8f507cfc/response HTTP/1.1\r\nHost: 127.0.0.1\r\n";
        self.exchange(|stream| match answer {
            FunctionResponse::Whole(body) => {
                let length = body.len();
                let head = format!("{post}Content-Type: application/json\r\nContent-Length: {length}\r\n\r\n");
                send(stream, head.as_bytes(), body)
            }
            FunctionResponse::Streamed(bytes) => stream_chunks(stream, post, *bytes),
        });
    }

    fn exchange(&mut self, send: impl FnOnce(&TcpStream) -> io::Result<()>) {
        send(&self.0).unwrap();
        let mut reader = BufReader::with_capacity(CHUNK_BYTES, &self.0);
        let head = Head::read(&mut reader).unwrap().unwrap();
        assert!(head.first.starts_with("HTTP/1.1 200"), "{}", head.first);
        head.skip_body(&mut reader, None).unwrap();
    }
}

fn stream_chunks(mut stream: &TcpStream, post: &str, bytes: usize) -> io::Result<()> {
    let head = format!(
        "{post}Content-Type: application/vnd.awslambda.http-integration-response\r\n\
         Lambda-Runtime-Function-Response-Mode: streaming\r\nTransfer-Encoding: chunked\r\n\r\n"
    );
    stream.write_all(head.as_bytes())?;
    stream.write_all(&chunk(PRELUDE))?;
    let chunk = chunk(&vec![b'x'; CHUNK_BYTES]);
    for _ in 0..bytes / CHUNK_BYTES {
        stream.write_all(&chunk)?;
    }
    stream.write_all(b"0\r\n\r\n")
}

fn chunk(content: &[u8]) -> Vec<u8> {
    [format!("{:x}\r\n", content.len()).as_bytes(), content, b"\r\n"].concat()
}
