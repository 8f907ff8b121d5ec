//! What the backend expects of every span: names of a bounded length and alphabet, ids, times that can be.
//!
//! Source: the rules of the full agent. Written by hand: `libdd-trace-normalization` changes owned strings of its own span type and reads the clock.

use std::borrow::Cow;

use super::span::{Span, Text, is_same};

const MAX_NAME_BYTES: usize = 100;
const MAX_SERVICE_BYTES: usize = 100;
const MAX_TYPE_BYTES: usize = 100;
/// Characters and bytes of a tag's value.
const MAX_TAG_CHARS: usize = 200;
const MAX_TAG_BYTES: usize = 400;

/// Nanoseconds from the epoch to the year 2000. An earlier start is a mistake of units.
const YEAR_2000: i64 = 946_684_800_000_000_000;

/// Why the spans of a trace from a certain one on are left as they came.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum NormalizeError {
    #[error("its spans have different trace ids")]
    ForeignSpan,
    #[error("a trace id is zero")]
    ZeroTraceId,
    #[error("a span id is zero")]
    ZeroSpanId,
}

/// Normalises the spans of a trace up to the first that has no place in it. `now` is in nanoseconds since the epoch.
pub(super) fn trace(spans: &mut [Span<'_>], now: i64) -> Result<(), NormalizeError> {
    let trace_id = spans.first().map(|span| span.trace_id);
    let mut known = PreviousSpan::default();
    for one in spans {
        if Some(one.trace_id) != trace_id {
            return Err(NormalizeError::ForeignSpan);
        }
        if one.trace_id == 0 {
            return Err(NormalizeError::ZeroTraceId);
        }
        if one.span_id == 0 {
            return Err(NormalizeError::ZeroSpanId);
        }
        span(one, now, &mut known);
    }
    Ok(())
}

/// Values of the previous span that were in normal form: the next one most often has the same.
#[derive(Default)]
struct PreviousSpan<'b> {
    service: &'b str,
    name: &'b str,
    env: &'b str,
}

/// Whether a text is known to be normal.
fn is_known(text: &Text<'_>, known: &str) -> bool {
    !known.is_empty() && is_same(text, known)
}

/// Remembers a text that needed no change, or was given a constant.
fn learn<'b>(known: &mut &'b str, text: &Text<'b>) {
    if let Cow::Borrowed(text) = text {
        *known = text;
    }
}

fn span<'b>(span: &mut Span<'b>, now: i64, known: &mut PreviousSpan<'b>) {
    if !is_known(&span.service, known.service) {
        truncate(&mut span.service, MAX_SERVICE_BYTES);
        tag(&mut span.service);
        if span.service.is_empty() {
            span.service = "unnamed-service".into();
        }
        learn(&mut known.service, &span.service);
    }
    if !is_known(&span.name, known.name) {
        truncate(&mut span.name, MAX_NAME_BYTES);
        metric_name(&mut span.name);
        if span.name.is_empty() {
            span.name = "unnamed_operation".into();
        }
        learn(&mut known.name, &span.name);
    }
    if span.resource.is_empty() {
        span.resource = span.name.clone();
    }
    if span.parent_id == span.trace_id && span.parent_id == span.span_id {
        span.parent_id = 0;
    }
    times(span, now);
    truncate(&mut span.kind, MAX_TYPE_BYTES);
    if let Some(env) = span.meta.get_mut("env").filter(|env| !is_known(env, known.env)) {
        tag(env);
        learn(&mut known.env, env);
    }
    if span.meta.get("http.status_code").is_some_and(|code| !is_status_code(code)) {
        span.meta.remove("http.status_code");
    }
}

fn times(span: &mut Span<'_>, now: i64) {
    if span.duration < 0 || span.start.checked_add(span.duration).is_none() {
        span.duration = 0;
    }
    if span.start < YEAR_2000 {
        let start = now.saturating_sub(span.duration);
        span.start = if start < 0 { now } else { start };
    }
}

fn is_status_code(code: &str) -> bool {
    // Nearly all codes have three digits.
    matches!(code.as_bytes(), [b'1'..=b'5', b'0'..=b'9', b'0'..=b'9'])
        || code.parse::<i64>().is_ok_and(|code| (100..600).contains(&code))
}

fn truncate(text: &mut Text<'_>, bytes: usize) {
    if text.len() <= bytes {
        return;
    }
    let end = text.floor_char_boundary(bytes);
    match text {
        Cow::Borrowed(borrowed) => *borrowed = borrowed.get(..end).unwrap_or_default(),
        Cow::Owned(owned) => owned.truncate(end),
    }
}

/// Lower case, letters, digits and `_:./-`, runs of anything else one underscore; nothing but a letter or a colon at the start, no underscore at the end.
pub(in crate::process) fn tag(text: &mut Text<'_>) {
    if !is_tag(text.as_bytes()) {
        *text = Cow::Owned(normal_tag(text));
    }
}

/// Whether a text is a tag already, for the most frequent kind of it.
fn is_tag(bytes: &[u8]) -> bool {
    let Some((first, rest)) = bytes.split_first() else { return true };
    let mut after_underscore = false;
    let is_allowed = |byte: &u8| {
        let doubled = after_underscore && *byte == b'_';
        after_underscore = *byte == b'_';
        !doubled && matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'_' | b':' | b'.' | b'/' | b'-')
    };
    matches!(first, b'a'..=b'z' | b':')
        && bytes.len() <= MAX_TAG_CHARS
        && rest.iter().all(is_allowed)
        && !after_underscore
}

fn normal_tag(text: &str) -> String {
    let mut normal = String::with_capacity(text.len().min(MAX_TAG_BYTES));
    // Whether what was last seen has no place in a tag; where that was written down, it is one underscore.
    let mut gap = true;
    let mut chars = 0;
    for char in text.chars() {
        if chars >= MAX_TAG_CHARS || normal.len() >= MAX_TAG_BYTES {
            break;
        }
        let written = match char {
            'a'..='z' | ':' => Some(char),
            'A'..='Z' => Some(char.to_ascii_lowercase()),
            '0'..='9' | '.' | '/' | '-' => {
                if normal.is_empty() {
                    continue;
                }
                Some(char)
            }
            _ if char.is_ascii() => None,
            _ => match lower(char) {
                letter if letter.is_alphabetic() => Some(letter),
                number if number.is_numeric() => {
                    if normal.is_empty() {
                        continue;
                    }
                    Some(number)
                }
                _ => None,
            },
        };
        if written.is_none() && gap {
            continue;
        }
        gap = written.is_none();
        normal.push(written.unwrap_or('_'));
        chars += 1;
    }
    if gap && !normal.is_empty() {
        normal.pop();
    }
    normal
}

/// The lower case of a letter, where it is one that is no longer.
fn lower(char: char) -> char {
    let lower = if char.is_uppercase() { char.to_lowercase().next() } else { None };
    lower.filter(|lower| lower.len_utf8() <= char.len_utf8()).unwrap_or(char)
}

/// Starts with the first letter; ASCII letters, digits, `.` and `_`; anything else an underscore. An underscore stands neither
/// beside another nor beside a dot nor at the end.
fn metric_name(text: &mut Text<'_>) {
    if is_metric_name(text.as_bytes()) {
        return;
    }
    let mut normal = String::with_capacity(text.len());
    for byte in text.bytes().skip_while(|byte| !byte.is_ascii_alphabetic()) {
        let last = normal.as_bytes().last().copied();
        match (byte, last) {
            (b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9', _) => normal.push(char::from(byte)),
            (b'.', Some(b'_')) => {
                normal.pop();
                normal.push('.');
            }
            (b'.', _) => normal.push('.'),
            (_, Some(b'_' | b'.')) => {}
            _ => normal.push('_'),
        }
    }
    if normal.ends_with('_') {
        normal.pop();
    }
    *text = Cow::Owned(normal);
}

fn is_metric_name(bytes: &[u8]) -> bool {
    let Some(first) = bytes.first() else { return true };
    let mut before = 0;
    let is_allowed = |byte: &u8| {
        let is_needless = matches!((before, byte), (b'_', b'_' | b'.') | (b'.', b'_'));
        before = *byte;
        !is_needless && (matches!(byte, b'.' | b'_') || byte.is_ascii_alphanumeric())
    };
    first.is_ascii_alphabetic() && bytes.iter().all(is_allowed) && before != b'_'
}

#[cfg(test)]
#[path = "normalize_tests.rs"]
mod tests;
