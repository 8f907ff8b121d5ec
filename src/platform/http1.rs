//! The answers of HTTP/1.1, from bytes that come in any pieces. No I/O.

use std::mem::MaybeUninit;

use super::requests::{IDENTIFIER, Response};

/// Maximum size of a response in bytes; a longer one is an error. Events hold ids and times, never what the function is invoked with.
pub const MAX_BYTES: usize = 256 << 10;
/// Maximum number of header lines; more are an error. Proxies in front of emulators add some.
const MAX_HEADERS: usize = 256;

/// Takes bytes and gives answers, one after the other on the same connection.
#[derive(Debug, Default)]
pub struct Parser {
    buffer: Vec<u8>,
}

/// The bytes are not HTTP/1.1.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("not HTTP/1.1: {0}")]
pub struct Malformed(String);

/// How long a body is.
#[derive(Debug, Clone, Copy)]
enum Length {
    Bytes(usize),
    Chunked,
    /// Until the connection ends.
    Open,
}

struct Head {
    response: Response,
    length: Length,
    /// Where the body begins.
    bytes: usize,
}

impl Parser {
    /// Takes what has been read. Fails if there is no memory for it.
    pub fn feed(&mut self, bytes: &[u8]) -> Result<(), Malformed> {
        self.buffer.try_reserve(bytes.len()).map_err(|error| Malformed(error.to_string()))?;
        self.buffer.extend_from_slice(bytes);
        Ok(())
    }

    /// The next whole answer; None if it is not all there. `ended`: no more bytes will come.
    pub fn response(&mut self, ended: bool) -> Result<Option<Response>, Malformed> {
        loop {
            let Some(mut head) = self.head()? else { return self.incomplete(ended) };
            bounded(head.bytes)?;
            // 1xx only announces the answer.
            if (100..200).contains(&head.response.status) {
                self.buffer.drain(..head.bytes);
                continue;
            }
            let rest = self.buffer.get(head.bytes..).unwrap_or_default();
            let body = match head.length {
                Length::Bytes(length) => rest.get(..length).map(|body| Body { bytes: body.to_vec(), taken: length }),
                Length::Chunked => chunks(rest)?,
                Length::Open => ended.then(|| Body { bytes: rest.to_vec(), taken: rest.len() }),
            };
            let Some(body) = body else { return self.incomplete(ended) };
            bounded(head.bytes + body.taken)?;
            self.buffer.drain(..head.bytes + body.taken);
            head.response.body = body.bytes;
            return Ok(Some(head.response));
        }
    }

    fn incomplete(&self, ended: bool) -> Result<Option<Response>, Malformed> {
        bounded(self.buffer.len())?;
        if ended { Err(Malformed(format!("it ends after {} bytes", self.buffer.len()))) } else { Ok(None) }
    }

    fn head(&self) -> Result<Option<Head>, Malformed> {
        let mut headers = [MaybeUninit::uninit(); MAX_HEADERS];
        let mut parsed = httparse::Response::new(&mut []);
        let parser = httparse::ParserConfig::default();
        let bytes = match parser.parse_response_with_uninit_headers(&mut parsed, &self.buffer, &mut headers) {
            Ok(httparse::Status::Complete(bytes)) => bytes,
            Ok(httparse::Status::Partial) => return Ok(None),
            Err(error) => return Err(Malformed(error.to_string())),
        };
        let status = parsed.code.unwrap_or_default();
        let text = |name: &str| {
            let header = parsed.headers.iter().find(|header| header.name.eq_ignore_ascii_case(name))?;
            std::str::from_utf8(header.value).ok().map(str::trim)
        };
        let length = if matches!(status, 100..200 | 204 | 304) {
            Length::Bytes(0)
        } else if text("transfer-encoding").is_some_and(|coding| coding.to_ascii_lowercase().ends_with("chunked")) {
            Length::Chunked
        } else if let Some(length) = text("content-length") {
            let length = length.parse().map_err(|_| Malformed(format!("content-length: {length}")))?;
            if length > MAX_BYTES {
                return Err(Malformed(format!("content-length: {length}")));
            }
            Length::Bytes(length)
        } else {
            Length::Open
        };
        let identifier = text(IDENTIFIER).map(str::to_owned);
        let closes = matches!(length, Length::Open) || closes(parsed.version, text("connection"));
        Ok(Some(Head { response: Response { status, identifier, body: Vec::new(), closes }, length, bytes }))
    }
}

fn bounded(bytes: usize) -> Result<(), Malformed> {
    if bytes > MAX_BYTES { Err(Malformed(format!("more than {MAX_BYTES} bytes"))) } else { Ok(()) }
}

/// Whether the connection ends with this response: HTTP/1.1 keeps it unless it says otherwise, HTTP/1.0 only if it says so.
fn closes(version: Option<u8>, connection: Option<&str>) -> bool {
    let says = |option: &str| {
        connection.is_some_and(|options| options.split(',').any(|other| other.trim().eq_ignore_ascii_case(option)))
    };
    says("close") || (version == Some(0) && !says("keep-alive"))
}

struct Body {
    bytes: Vec<u8>,
    taken: usize,
}

/// The body in chunks; None if it is not all there.
fn chunks(bytes: &[u8]) -> Result<Option<Body>, Malformed> {
    let mut body = Body { bytes: Vec::new(), taken: 0 };
    loop {
        let rest = bytes.get(body.taken..).unwrap_or_default();
        let (at, size) = match httparse::parse_chunk_size(rest) {
            Ok(httparse::Status::Complete(found)) => found,
            Ok(httparse::Status::Partial) => return Ok(None),
            Err(_) => return Err(Malformed("chunk size".to_owned())),
        };
        let size = usize::try_from(size)
            .ok()
            .filter(|size| *size <= MAX_BYTES)
            .ok_or_else(|| Malformed("chunk size".to_owned()))?;
        if size == 0 {
            return Ok(trailer(rest.get(at..).unwrap_or_default())
                .map(|length| Body { taken: body.taken + at + length, ..body }));
        }
        let Some(chunk) = rest.get(at..at + size + 2) else { return Ok(None) };
        let Some(data) = chunk.strip_suffix(b"\r\n") else { return Err(Malformed("chunk end".to_owned())) };
        body.bytes.extend_from_slice(data);
        body.taken += at + size + 2;
    }
}

/// The length of what follows the last chunk: header lines that nobody reads, and an empty line.
fn trailer(bytes: &[u8]) -> Option<usize> {
    let mut taken = 0;
    loop {
        let line = bytes.get(taken..)?.split_inclusive(|byte| *byte == b'\n').next()?;
        if !line.ends_with(b"\n") {
            return None;
        }
        taken += line.len();
        if line == b"\r\n" {
            return Some(taken);
        }
    }
}

#[cfg(test)]
#[path = "http1_tests.rs"]
mod tests;
