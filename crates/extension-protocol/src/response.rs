//! HTTP/1.1 responses, parsed where they were read: without I/O and without allocating.

use core::{error::Error, fmt, ops::Range};

use crate::{ascii, decimal, request::IDENTIFIER};

/// Maximum size of a response in bytes; a longer one is an error. Events hold ids and times, never what the function is invoked with.
pub const MAX_RESPONSE_BYTES: usize = 256 << 10;

/// A response.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Response<'a> {
    pub status: u16,
    /// The header [`IDENTIFIER`].
    pub identifier: Option<&'a str>,
    pub body: &'a [u8],
    /// The connection ends with this response.
    pub closes: bool,
}

/// A response at the front of what was read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ParsedResponse<'a> {
    pub response: Response<'a>,
    /// How many bytes it takes. What follows belongs to the next response.
    pub bytes: usize,
}

/// Why bytes are not an HTTP/1.1 response.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ResponseError {
    StatusLine,
    Header,
    ContentLength,
    ChunkSize,
    ChunkEnd,
    /// Longer than [`MAX_RESPONSE_BYTES`].
    TooLong,
    /// The connection has ended before the response.
    Truncated,
}

impl ResponseError {
    /// What is wrong, for error messages.
    #[must_use]
    pub fn reason(self) -> &'static str {
        match self {
            Self::StatusLine => "status line",
            Self::Header => "header",
            Self::ContentLength => "content-length",
            Self::ChunkSize => "chunk size",
            Self::ChunkEnd => "end of a chunk",
            Self::TooLong => "more than 256 KiB",
            Self::Truncated => "cut off",
        }
    }
}

impl fmt::Display for ResponseError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("invalid HTTP/1.1 response: ")?;
        f.write_str(self.reason())
    }
}

impl Error for ResponseError {}

/// The bounds of a whole response at the front of a buffer.
#[derive(Debug, Clone, Copy)]
pub struct ResponseBounds {
    head: Head,
    /// The bytes of the body, with the lines around chunks.
    taken: usize,
}

/// Parses the response at the front of `buffer`; None if it is not all there. `ended`: no more bytes will come.
pub fn parse(buffer: &mut [u8], ended: bool) -> Result<Option<ParsedResponse<'_>>, ResponseError> {
    find(buffer, ended)?.map(|bounds| bounds.response(buffer)).transpose()
}

/// Looks for a whole response at the front of `buffer`; None if it is not all there. `ended`: no more bytes will come.
pub fn find(buffer: &[u8], ended: bool) -> Result<Option<ResponseBounds>, ResponseError> {
    let Some(head) = Head::parse(buffer)? else { return incomplete(buffer, ended) };
    let rest = buffer.get(head.bytes..).unwrap_or_default();
    let Some(taken) = head.body.measure(rest, ended)? else { return incomplete(buffer, ended) };
    bounded(head.bytes.saturating_add(taken))?;
    Ok(Some(ResponseBounds { head, taken }))
}

impl ResponseBounds {
    /// The response, in the buffer in which it was found. A body that comes in chunks is joined there, so its bytes are to be removed before the next search.
    pub fn response(self, buffer: &mut [u8]) -> Result<ParsedResponse<'_>, ResponseError> {
        let Self { head: Head { status, body, closes, bytes }, taken } = self;
        let (head, rest) = buffer.split_at_mut_checked(bytes).ok_or(ResponseError::Truncated)?;
        let rest = rest.get_mut(..taken).ok_or(ResponseError::Truncated)?;
        let length = if matches!(body, BodyLength::Chunked) { join_chunks(rest)? } else { taken };
        let body = rest.get(..length).unwrap_or_default();
        let response = Response { status, identifier: identifier(head), body, closes };
        Ok(ParsedResponse { response, bytes: bytes + taken })
    }
}

fn incomplete(buffer: &[u8], ended: bool) -> Result<Option<ResponseBounds>, ResponseError> {
    bounded(buffer.len())?;
    if ended { Err(ResponseError::Truncated) } else { Ok(None) }
}

fn bounded(bytes: usize) -> Result<(), ResponseError> {
    if bytes > MAX_RESPONSE_BYTES { Err(ResponseError::TooLong) } else { Ok(()) }
}

#[derive(Debug, Clone, Copy)]
struct Head {
    status: u16,
    body: BodyLength,
    closes: bool,
    /// Offset of the body's first byte.
    bytes: usize,
}

/// The length of a body by its headers.
#[derive(Debug, Clone, Copy)]
enum BodyLength {
    Bytes(usize),
    Chunked,
    /// Until the connection ends.
    Open,
}

impl Head {
    /// None if it is not all there.
    fn parse(bytes: &[u8]) -> Result<Option<Self>, ResponseError> {
        let mut rest = bytes;
        let mut head = None;
        while let Some(line) = next_line(&mut rest) {
            match &mut head {
                // An earlier body may have had a line end too many.
                None if line.is_empty() => {}
                None => head = Some(Self::of_status_line(line)?),
                // 1xx only announces the response.
                Some(Self { status: 100..200, .. }) if line.is_empty() => head = None,
                Some(head) if line.is_empty() => return Ok(Some(head.finished(bytes.len() - rest.len()))),
                Some(head) => head.read(line)?,
            }
        }
        // What can't become a response is not waited for.
        if head.is_none()
            && !rest.iter().skip_while(|byte| **byte == b'\r').zip(VERSION).all(|(byte, expected)| byte == expected)
        {
            return Err(ResponseError::StatusLine);
        }
        Ok(None)
    }

    fn of_status_line(line: &[u8]) -> Result<Self, ResponseError> {
        let text = line.strip_prefix(VERSION).ok_or(ResponseError::StatusLine)?;
        let (is_old, text) = match text {
            [b'0', b' ', text @ ..] => (true, text),
            [b'1', b' ', text @ ..] => (false, text),
            _ => return Err(ResponseError::StatusLine),
        };
        let (digits, reason) = text.split_at_checked(3).ok_or(ResponseError::StatusLine)?;
        let status = decimal::parse(digits).and_then(|status| u16::try_from(status).ok());
        match (status, reason) {
            (Some(status), [] | [b' ', ..]) => Ok(Self { status, body: BodyLength::Open, closes: is_old, bytes: 0 }),
            _ => Err(ResponseError::StatusLine),
        }
    }

    /// Reads a header. A line without a name before a colon, or with a control character in its value, is refused.
    fn read(&mut self, line: &[u8]) -> Result<(), ResponseError> {
        let end = line.iter().position(|byte| *byte == b':').ok_or(ResponseError::Header)?;
        let (name, value) = line.split_at_checked(end).ok_or(ResponseError::Header)?;
        let is_valid = !name.is_empty() && name.iter().all(u8::is_ascii_graphic);
        if !is_valid || value.iter().any(|byte| *byte != b'\t' && byte.is_ascii_control()) {
            return Err(ResponseError::Header);
        }
        let value = value.get(1..).unwrap_or_default().trim_ascii();
        let has = |option: &[u8]| value.split(|byte| *byte == b',').any(|other| is_name(other.trim_ascii(), option));
        if is_name(name, b"connection") {
            // HTTP/1.1 keeps a connection unless it says otherwise, HTTP/1.0 only if it says so.
            self.closes = has(b"close") || (self.closes && !has(b"keep-alive"));
        } else if is_name(name, b"transfer-encoding") && has(b"chunked") {
            self.body = BodyLength::Chunked;
        } else if is_name(name, b"content-length") && matches!(self.body, BodyLength::Open) {
            let length = decimal::parse(value).filter(|length| *length <= MAX_RESPONSE_BYTES);
            self.body = BodyLength::Bytes(length.ok_or(ResponseError::ContentLength)?);
        }
        Ok(())
    }

    /// With what only all headers together say. The body begins after so many bytes.
    fn finished(self, bytes: usize) -> Self {
        let body = if matches!(self.status, 204 | 304) { BodyLength::Bytes(0) } else { self.body };
        Self { body, bytes, closes: self.closes || matches!(body, BodyLength::Open), ..self }
    }
}

/// How a status line begins, before the digit of the version.
const VERSION: &[u8] = b"HTTP/1.";

/// Whether a name is this one, which is in lower case. The standard library's comparison is made for long texts, and four times as large.
fn is_name(name: &[u8], lower: &[u8]) -> bool {
    name.len() == lower.len() && name.iter().zip(lower).all(|(byte, lower)| byte.to_ascii_lowercase() == *lower)
}

/// Takes a line off the front, without its end; None if that has not come yet.
fn next_line<'a>(rest: &mut &'a [u8]) -> Option<&'a [u8]> {
    let end = rest.iter().position(|byte| *byte == b'\n')?;
    let (line, after) = rest.split_at_checked(end)?;
    *rest = after.get(1..).unwrap_or_default();
    Some(line.strip_suffix(b"\r").unwrap_or(line))
}

/// The value of the identifier in a head that has been parsed.
fn identifier(mut head: &[u8]) -> Option<&str> {
    loop {
        let (name, value) = next_line(&mut head)?.split_at_checked(IDENTIFIER.len()).unwrap_or_default();
        if is_name(name, IDENTIFIER.as_bytes())
            && let Some(value) = value.strip_prefix(b":")
        {
            return ascii::text(value.trim_ascii());
        }
    }
}

impl BodyLength {
    /// How many bytes the body takes of what follows the head; None if it is not all there.
    fn measure(self, rest: &[u8], ended: bool) -> Result<Option<usize>, ResponseError> {
        match self {
            Self::Bytes(length) => Ok((rest.len() >= length).then_some(length)),
            Self::Open => Ok(ended.then_some(rest.len())),
            Self::Chunked => {
                let mut taken = 0;
                while let Some(chunk) = Chunk::parse(rest, taken)? {
                    taken = chunk.end;
                    if chunk.data.is_empty() {
                        return Ok(Some(taken));
                    }
                }
                Ok(None)
            }
        }
    }
}

/// Moves the data of the chunks of a whole body to its front. Gives their length.
fn join_chunks(body: &mut [u8]) -> Result<usize, ResponseError> {
    let (mut at, mut length) = (0, 0);
    while let Some(Chunk { data, end }) = Chunk::parse(body, at)? {
        if data.is_empty() {
            break;
        }
        let bytes = data.len();
        body.copy_within(data, length);
        length += bytes;
        at = end;
    }
    Ok(length)
}

/// A part of a body, at these places in it. The last one has no data, and ends with the body.
struct Chunk {
    data: Range<usize>,
    end: usize,
}

impl Chunk {
    /// The chunk that begins here; None if it is not all there.
    fn parse(body: &[u8], start: usize) -> Result<Option<Self>, ResponseError> {
        let mut rest = body.get(start..).unwrap_or_default();
        let Some(line) = next_line(&mut rest) else { return Ok(None) };
        let size = chunk_size(line).ok_or(ResponseError::ChunkSize)?;
        let begin = body.len() - rest.len();
        let end = begin + size;
        if size == 0 {
            // Header lines that nobody reads, and an empty line.
            while let Some(line) = next_line(&mut rest) {
                if line.is_empty() {
                    return Ok(Some(Self { data: begin..begin, end: body.len() - rest.len() }));
                }
            }
            return Ok(None);
        }
        match body.get(end..end + 2) {
            None => Ok(None),
            Some(b"\r\n") => Ok(Some(Self { data: begin..end, end: end + 2 })),
            Some(_) => Err(ResponseError::ChunkEnd),
        }
    }
}

/// The size in a chunk's first line: hexadecimal digits, and perhaps an extension that nobody reads.
fn chunk_size(line: &[u8]) -> Option<usize> {
    let digits = line.split(|byte| *byte == b';').next()?.trim_ascii();
    let add = |size: usize, digit: &u8| {
        let value = char::from(*digit).to_digit(16)?;
        Some(size * 16 + value as usize).filter(|size| *size <= MAX_RESPONSE_BYTES)
    };
    (!digits.is_empty()).then(|| digits.iter().try_fold(0, add))?
}

#[cfg(test)]
#[path = "response_tests.rs"]
mod tests;
