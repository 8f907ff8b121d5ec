//! HTTP/1.1 responses, parsed where they were read: without I/O and without allocating.

use core::{error::Error, fmt, ops::Range};

use crate::{decimal, request::IDENTIFIER};

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
pub struct Parsed<'a> {
    pub response: Response<'a>,
    /// How many bytes it takes. What follows belongs to the next response.
    pub bytes: usize,
}

/// Why bytes are not an HTTP/1.1 response.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Malformed {
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

impl Malformed {
    /// For error messages.
    #[must_use]
    pub fn reason(self) -> &'static str {
        match self {
            Self::StatusLine => "not HTTP/1.1: invalid status line",
            Self::Header => "not HTTP/1.1: invalid header",
            Self::ContentLength => "not HTTP/1.1: invalid content-length",
            Self::ChunkSize => "not HTTP/1.1: invalid chunk size",
            Self::ChunkEnd => "not HTTP/1.1: a chunk is longer than its size",
            Self::TooLong => "the response is longer than 256 KiB",
            Self::Truncated => "the connection ended before the response",
        }
    }
}

impl fmt::Display for Malformed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.reason())
    }
}

impl Error for Malformed {}

/// A whole response in what was read, whose parts have not been taken from there yet.
#[derive(Debug, Clone, Copy)]
pub struct Found {
    head: Head,
    /// Where its head begins, behind those that only announced it.
    start: usize,
    /// The bytes of the body, with the lines around chunks.
    taken: usize,
}

/// Parses the response at the front of `buffer`; None if it is not all there. `ended`: no more bytes will come.
pub fn parse(buffer: &mut [u8], ended: bool) -> Result<Option<Parsed<'_>>, Malformed> {
    find(buffer, ended)?.map(|found| found.response(buffer)).transpose()
}

/// Looks for a whole response at the front of `buffer`; None if it is not all there. `ended`: no more bytes will come.
pub fn find(buffer: &[u8], ended: bool) -> Result<Option<Found>, Malformed> {
    let mut start = 0;
    loop {
        let bytes = buffer.get(start..).unwrap_or_default();
        let Some(head) = Head::parse(bytes)? else { return incomplete(buffer.len(), ended) };
        bounded(head.bytes)?;
        // 1xx only announces the response.
        if (100..200).contains(&head.status) {
            start += head.bytes;
            continue;
        }
        let Some(taken) = head.body.measure(bytes.get(head.bytes..).unwrap_or_default(), ended)? else {
            return incomplete(buffer.len(), ended);
        };
        bounded(head.bytes.saturating_add(taken))?;
        return Ok(Some(Found { head, start, taken }));
    }
}

impl Found {
    /// The response, in the buffer in which it was found. A body that comes in chunks is joined there, so its bytes are to be removed before the next search.
    pub fn response(self, buffer: &mut [u8]) -> Result<Parsed<'_>, Malformed> {
        let Self { head: Head { status, body, closes, bytes }, start, taken } = self;
        let (heads, rest) = buffer.split_at_mut_checked(start + bytes).ok_or(Malformed::Truncated)?;
        let rest = rest.get_mut(..taken).ok_or(Malformed::Truncated)?;
        let length = if matches!(body, BodyLength::Chunked) { join_chunks(rest)? } else { taken };
        let identifier = header(heads.get(start..).unwrap_or_default(), IDENTIFIER);
        let response = Response { status, identifier, body: rest.get(..length).unwrap_or_default(), closes };
        Ok(Parsed { response, bytes: start + bytes + taken })
    }
}

fn incomplete(length: usize, ended: bool) -> Result<Option<Found>, Malformed> {
    bounded(length)?;
    if ended { Err(Malformed::Truncated) } else { Ok(None) }
}

fn bounded(bytes: usize) -> Result<(), Malformed> {
    if bytes > MAX_RESPONSE_BYTES { Err(Malformed::TooLong) } else { Ok(()) }
}

#[derive(Debug, Clone, Copy)]
struct Head {
    status: u16,
    body: BodyLength,
    closes: bool,
    /// Where the body begins.
    bytes: usize,
}

/// How long a body is.
#[derive(Debug, Clone, Copy)]
enum BodyLength {
    Bytes(usize),
    Chunked,
    /// Until the connection ends.
    Open,
}

impl Head {
    /// None if it is not all there.
    fn parse(bytes: &[u8]) -> Result<Option<Self>, Malformed> {
        // An earlier body may have had a line end too many.
        let blank = bytes.iter().take_while(|byte| matches!(byte, b'\r' | b'\n')).count();
        let mut lines = bytes.get(blank..).unwrap_or_default().split_inclusive(|byte| *byte == b'\n');
        let Some(first) = lines.next() else { return Ok(None) };
        let Some(StatusLine { status, is_old }) = StatusLine::parse(first)? else { return Ok(None) };
        let mut end = blank + first.len();
        for line in lines {
            let Some(text) = content(line) else { return Ok(None) };
            end += line.len();
            if !text.is_empty() {
                check_header(text)?;
                continue;
            }
            let head = bytes.get(..end).unwrap_or_default();
            let body = BodyLength::of(status, head)?;
            let closes = matches!(body, BodyLength::Open) || closes(is_old, header(head, "connection"));
            return Ok(Some(Self { status, body, closes, bytes: end }));
        }
        Ok(None)
    }
}

struct StatusLine {
    status: u16,
    /// HTTP/1.0.
    is_old: bool,
}

impl StatusLine {
    /// None if it is not all there; an error as soon as it can't become one.
    fn parse(line: &[u8]) -> Result<Option<Self>, Malformed> {
        const VERSION: &[u8] = b"HTTP/1.";
        if !line.iter().zip(VERSION).all(|(byte, expected)| byte == expected) {
            return Err(Malformed::StatusLine);
        }
        let Some(text) = content(line) else { return Ok(None) };
        let rest = text.strip_prefix(VERSION).ok_or(Malformed::StatusLine)?;
        let is_old = match rest.first() {
            Some(b'0') => true,
            Some(b'1') => false,
            _ => return Err(Malformed::StatusLine),
        };
        let mut parts = rest.get(1..).unwrap_or_default().splitn(3, |byte| *byte == b' ');
        let status = parts.next().filter(|gap| gap.is_empty()).and_then(|_| parts.next());
        let status = status.filter(|digits| digits.len() == 3).and_then(decimal::parse);
        let status = status.and_then(|status| u16::try_from(status).ok()).ok_or(Malformed::StatusLine)?;
        Ok(Some(Self { status, is_old }))
    }
}

/// A line without its end; None if that has not come yet.
fn content(line: &[u8]) -> Option<&[u8]> {
    let line = line.strip_suffix(b"\n")?;
    Some(line.strip_suffix(b"\r").unwrap_or(line))
}

/// Refuses a line that has no name before a colon, or a control character in its value.
fn check_header(line: &[u8]) -> Result<(), Malformed> {
    let end = line.iter().position(|byte| *byte == b':').ok_or(Malformed::Header)?;
    let (name, value) = line.split_at_checked(end).ok_or(Malformed::Header)?;
    let is_name = !name.is_empty() && name.iter().all(u8::is_ascii_graphic);
    let is_value = value.iter().all(|byte| *byte == b'\t' || !byte.is_ascii_control());
    if is_name && is_value { Ok(()) } else { Err(Malformed::Header) }
}

/// The value of the first header of this name in a head.
fn header<'a>(head: &'a [u8], name: &str) -> Option<&'a str> {
    let value = head.split(|byte| *byte == b'\n').find_map(|line| {
        let (found, value) = line.split_at_checked(name.len())?;
        found.eq_ignore_ascii_case(name.as_bytes()).then(|| value.strip_prefix(b":"))?
    })?;
    str::from_utf8(value.trim_ascii()).ok()
}

/// Whether the connection ends with this response: HTTP/1.1 keeps it unless it says otherwise, HTTP/1.0 only if it says so.
fn closes(is_old: bool, connection: Option<&str>) -> bool {
    let says = |option: &str| {
        connection
            .is_some_and(|options| options.split(',').any(|other| other.trim_ascii().eq_ignore_ascii_case(option)))
    };
    says("close") || (is_old && !says("keep-alive"))
}

impl BodyLength {
    fn of(status: u16, head: &[u8]) -> Result<Self, Malformed> {
        const CHUNKED: &str = "chunked";
        if matches!(status, 100..200 | 204 | 304) {
            return Ok(Self::Bytes(0));
        }
        let is_chunked = |coding: &str| {
            let start = coding.len().checked_sub(CHUNKED.len());
            start.and_then(|start| coding.get(start..)).is_some_and(|last| last.eq_ignore_ascii_case(CHUNKED))
        };
        if header(head, "transfer-encoding").is_some_and(is_chunked) {
            return Ok(Self::Chunked);
        }
        let Some(length) = header(head, "content-length") else { return Ok(Self::Open) };
        let length = decimal::parse(length.as_bytes()).filter(|length| *length <= MAX_RESPONSE_BYTES);
        length.map(Self::Bytes).ok_or(Malformed::ContentLength)
    }

    /// How many bytes the body takes of what follows the head; None if it is not all there.
    fn measure(self, rest: &[u8], ended: bool) -> Result<Option<usize>, Malformed> {
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
fn join_chunks(body: &mut [u8]) -> Result<usize, Malformed> {
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
    fn parse(body: &[u8], start: usize) -> Result<Option<Self>, Malformed> {
        let rest = body.get(start..).unwrap_or_default();
        let Some(line) = rest.split_inclusive(|byte| *byte == b'\n').next() else { return Ok(None) };
        let Some(text) = content(line) else { return Ok(None) };
        let size = chunk_size(text).ok_or(Malformed::ChunkSize)?;
        let begin = start + line.len();
        let end = begin + size;
        if size == 0 {
            let trailer = trailer(body.get(begin..).unwrap_or_default());
            return Ok(trailer.map(|length| Self { data: begin..begin, end: end + length }));
        }
        match body.get(end..end + 2) {
            None => Ok(None),
            Some(b"\r\n") => Ok(Some(Self { data: begin..end, end: end + 2 })),
            Some(_) => Err(Malformed::ChunkEnd),
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

/// The length of what follows the last chunk: header lines that nobody reads, and an empty line. None if it is not all there.
fn trailer(bytes: &[u8]) -> Option<usize> {
    let mut taken = 0;
    for line in bytes.split_inclusive(|byte| *byte == b'\n') {
        taken += line.len();
        if content(line)?.is_empty() {
            return Some(taken);
        }
    }
    None
}

#[cfg(test)]
#[path = "response_tests.rs"]
mod tests;
