//! Bodies with parts: forms with files.
//!
//! Source: RFC 7578, "Returning Values from Forms: multipart/form-data", and RFC 2046, section 5.1.

use waf_protocol::Value;

use super::{
    body,
    limits::{self, Budget},
};

/// Maximum length of a boundary in bytes, according to RFC 2046. The time in which delimiters are found depends on it.
const MAX_BOUNDARY_BYTES: usize = 70;

/// The boundary among the parameters of a content type; None if there is none, or none that is allowed.
pub fn boundary(parameters: &str) -> Option<&str> {
    parameter(parameters, "boundary").filter(|boundary| (1..=MAX_BOUNDARY_BYTES).contains(&boundary.len()))
}

/// A map from the names of parts to their contents, each parsed by its own content type; one whose type is not analysed is null. None if no part has a name.
pub fn parse(boundary: &[u8], body: &[u8], budget: &mut Budget) -> Option<Value> {
    let delimiter = [b"--", boundary].concat();
    let parts = pieces(body, &delimiter).skip(1).take(limits::MAX_ENTRIES);
    let parts: Vec<_> =
        parts.take_while(|part| !part.starts_with(b"--")).filter_map(|bytes| part(bytes, budget)).collect();
    (!parts.is_empty()).then_some(Value::Map(parts))
}

fn part(part: &[u8], budget: &mut Budget) -> Option<(Vec<u8>, Value)> {
    let part = part.strip_prefix(b"\r\n").or_else(|| part.strip_prefix(b"\n"))?;
    let part = part.strip_suffix(b"\r\n").or_else(|| part.strip_suffix(b"\n")).unwrap_or(part);
    let (head, content) = split(part, b"\r\n\r\n").or_else(|| split(part, b"\n\n"))?;
    let head = String::from_utf8_lossy(limits::cut(head));
    let header = |wanted: &str| {
        let mut lines = head.lines().filter_map(|line| line.split_once(':'));
        lines.find(|(name, _)| name.trim().eq_ignore_ascii_case(wanted)).map(|(_, value)| value.trim())
    };
    let name = parameter(header("content-disposition")?.split_once(';')?.1, "name")?;
    let content_type = header("content-type").unwrap_or("text/plain");
    let value = body::parse_part(content_type, content, false, budget).unwrap_or(Value::Null);
    Some((name.as_bytes().to_vec(), value))
}

/// The value of a parameter, without quotation marks.
fn parameter<'p>(parameters: &'p str, wanted: &str) -> Option<&'p str> {
    let mut pairs = parameters.split(';').filter_map(|pair| pair.split_once('='));
    let (_, value) = pairs.find(|(name, _)| name.trim().eq_ignore_ascii_case(wanted))?;
    Some(value.trim().trim_matches('"'))
}

/// Parts of a multipart body, without delimiters.
fn pieces<'b>(body: &'b [u8], delimiter: &[u8]) -> impl Iterator<Item = &'b [u8]> {
    let mut rest = Some(body);
    std::iter::from_fn(move || {
        let all = rest?;
        match split(all, delimiter) {
            Some((piece, behind)) => {
                rest = Some(behind);
                Some(piece)
            }
            None => rest.take(),
        }
    })
}

/// What is before and behind the first occurrence of a text that is not empty.
fn split<'b>(bytes: &'b [u8], wanted: &[u8]) -> Option<(&'b [u8], &'b [u8])> {
    let first = wanted.first()?;
    let mut from = 0;
    loop {
        let at = from + bytes.get(from..)?.iter().position(|byte| byte == first)?;
        if let Some(behind) = bytes.get(at..).and_then(|rest| rest.strip_prefix(wanted)) {
            return Some((bytes.get(..at)?, behind));
        }
        from = at + 1;
    }
}
