use rand::{RngExt as _, SeedableRng as _, rngs::StdRng};

use super::*;
use crate::process::{
    msgpack::Writer,
    trace::span::{Event, Link, Text, Value},
};

fn read(version: Version, body: &[u8]) -> Result<Vec<Vec<Span<'_>>>, DecodeError> {
    traces(version, body)?.collect()
}

pub(super) fn one(version: Version, body: &[u8]) -> Span<'_> {
    read(version, body).unwrap().remove(0).remove(0)
}

/// A request of one span with every field.
fn v04() -> Vec<u8> {
    let mut out = Writer::default();
    out.array(1);
    out.array(1);
    out.map(16);
    for (key, text) in [("service", "svc"), ("name", "op"), ("resource", "res"), ("type", "web")] {
        out.text(key);
        out.text(text);
    }
    for (key, number) in
        [("trace_id", u64::MAX), ("span_id", 2), ("parent_id", 1), ("start", 1 << 60), ("duration", 300)]
    {
        out.text(key);
        out.unsigned(number);
    }
    out.text("error");
    out.signed(-1);
    out.text("meta");
    out.map(2);
    for text in &["k", "v", "nothing"] {
        out.text(text);
    }
    out.document(&[0xc0]);
    out.text("metrics");
    out.map(2);
    out.text("m");
    out.document(&[0xcb, 0x3f, 0xf8, 0, 0, 0, 0, 0, 0]);
    out.text("whole");
    out.unsigned(7);
    out.text("meta_struct");
    out.map(1);
    out.text("appsec");
    out.bytes(&[0x81, 0xa1, b'a', 1]);
    out.text("span_links");
    out.array(1);
    out.map(6);
    for (key, number) in [("trace_id", 5), ("trace_id_high", 6), ("span_id", 7), ("flags", 1 << 31)] {
        out.text(key);
        out.unsigned(number);
    }
    out.text("attributes");
    out.map(1);
    for text in &["a", "b", "tracestate", "dd=s:1"] {
        out.text(text);
    }
    out.text("span_events");
    events(&mut out);
    out.text("unknown");
    out.array(2);
    out.map(1);
    out.bool(true);
    out.document(&[0xc7, 2, 9, 1, 2]);
    out.document(&[0xd6, 1, 2, 3, 4, 5]);
    out.into_bytes()
}

fn events(out: &mut Writer) {
    out.array(1);
    out.map(3);
    out.text("time_unix_nano");
    out.unsigned(9);
    out.text("name");
    out.text("ev");
    out.text("attributes");
    out.map(2);
    out.text("s");
    out.map(2);
    out.text("type");
    out.unsigned(0);
    out.text("string_value");
    out.text("x");
    out.text("list");
    out.map(2);
    out.text("type");
    out.unsigned(4);
    out.text("array_value");
    out.map(1);
    out.text("values");
    out.array(1);
    out.map(2);
    out.text("type");
    out.unsigned(2);
    out.text("int_value");
    out.signed(-5);
}

/// The strings of [`v05`].
const STRINGS: [&str; 8] = ["", "svc", "op", "res", "web", "k", "v", "m"];

/// A request of one span that has a text tag and a metric.
fn v05() -> Vec<u8> {
    let mut out = Writer::default();
    out.array(2);
    out.array(STRINGS.len());
    for text in &STRINGS {
        out.text(text);
    }
    out.array(1);
    out.array(1);
    out.array(12);
    for number in &[1, 2, 3, u64::MAX, 2, 1, 1 << 60, 300, 0] {
        out.unsigned(*number);
    }
    out.map(1);
    for index in &[5, 6] {
        out.unsigned(*index);
    }
    out.map(1);
    out.unsigned(7);
    out.document(&[0xca, 0x3f, 0xc0, 0, 0]);
    out.unsigned(4);
    out.into_bytes()
}

#[test]
fn v04_reads_every_field() {
    let body = v04();
    let span = one(Version::V04, &body);
    assert_eq!([&span.service, &span.name, &span.resource, &span.kind], ["svc", "op", "res", "web"]);
    assert_eq!((span.trace_id, span.span_id, span.parent_id), (u64::MAX, 2, 1));
    assert_eq!((span.start, span.duration, span.error), (1 << 60, 300, -1));
    assert_eq!((span.meta.len(), span.meta.get("k").map(|value| &**value)), (1, Some("v")), "nothing is no value");
    assert_eq!((span.metrics.get("m"), span.metrics.get("whole")), (Some(&1.5), Some(&7.0)));
    assert_eq!(span.meta_struct.get("appsec").map(|bytes| bytes.len()), Some(4));
    let link = &span.links[0];
    assert_eq!((link.trace_id, link.trace_id_high, link.span_id, link.flags), (5, 6, 7, 1 << 31));
    assert_eq!((link.attributes.get("a").map(|value| &**value), &*link.tracestate), (Some("b"), "dd=s:1"));
    let event = &span.events[0];
    assert_eq!((event.time, &*event.name), (9, "ev"));
    assert_eq!(event.attributes.get("s"), Some(&Value::Text("x".into())));
    assert_eq!(event.attributes.get("list"), Some(&Value::Array(vec![Value::Int(-5)])));
}

#[test]
fn v05_reads_the_same_span() {
    let body = v05();
    let span = one(Version::V05, &body);
    assert_eq!([&span.service, &span.name, &span.resource, &span.kind], ["svc", "op", "res", "web"]);
    assert_eq!((span.trace_id, span.span_id, span.parent_id), (u64::MAX, 2, 1));
    assert_eq!((span.start, span.duration, span.error), (1 << 60, 300, 0));
    assert_eq!((span.meta.get("k").map(|value| &**value), span.metrics.get("m")), (Some("v"), Some(&1.5)));
}

#[test]
fn strings_are_slices_of_the_body() {
    for (version, body) in [(Version::V04, v04()), (Version::V05, v05())] {
        let span = one(version, &body);
        let range = body.as_ptr_range();
        assert!(range.contains(&span.service.as_ptr()) && range.contains(&span.meta.iter().next().unwrap().0.as_ptr()));
    }
}

#[test]
fn empty_requests_are_requests() {
    assert_eq!(read(Version::V04, &[0x90]), Ok(vec![]));
    assert_eq!(read(Version::V04, &[0x91, 0x90]), Ok(vec![vec![]]));
    assert_eq!(read(Version::V04, &[0x91, 0x91, 0x80]), Ok(vec![vec![Span::default()]]));
    assert_eq!(read(Version::V05, &[0x92, 0x90, 0x90]), Ok(vec![]));
    assert!(read(Version::V04, &[]).is_err() && read(Version::V05, &[0x91, 0x90]).is_err());
}

#[test]
fn the_last_of_a_repeated_field_counts() {
    let mut out = Writer::default();
    out.array(1);
    out.array(1);
    out.map(3);
    for text in &["name", "first", "name", "last", "meta"] {
        out.text(text);
    }
    out.map(2);
    for text in &["k", "1", "k", "2"] {
        out.text(text);
    }
    let body = out.into_bytes();
    let span = one(Version::V04, &body);
    assert_eq!((&*span.name, span.meta.len(), span.meta.get("k").map(|value| &**value)), ("last", 1, Some("2")));
}

#[test]
fn wrong_types_are_named() {
    for (body, expected) in [
        (&[0x80][..], "byte 0: expected an array, found a map"),
        (&[0x91, 0x91, 0x81, 0x01, 0x01], "byte 3: expected a string, found an integer"),
        (b"\x91\x91\x81\xa4name\x01", "byte 8: expected a string, found an integer"),
        (b"\x91\x91\x81\xa5error\xa1x", "byte 9: expected an integer, found a string"),
        (b"\x91\x91\x81\xa5error\xcb\0\0\0\0\0\0\0\0", "byte 9: expected an integer, found a float"),
        (b"\x91\x91\x81\xa5error\xce\xff\xff\xff\xff", "byte 9: a number is out of range for its field"),
        (b"\x91\x91\x81\xa7span_id\xff", "byte 11: a number is out of range for its field"),
        (b"\x91\x91\x81\xa4meta\x91\x01", "byte 8: expected a map, found an array"),
        (b"\x91\x91\x81\xa1x\xc1", "byte 5: expected a value, found a reserved byte"),
        (b"\x91\x91\x82\xa1x", "the body ends at byte 5, inside a value"),
    ] {
        assert_eq!(read(Version::V04, body).unwrap_err().to_string(), expected);
    }
    for (body, expected) in [
        (&[0x92, 0x90, 0x91, 0x91, 0x9b][..], "the body ends at byte 5, inside a value"),
        (b"\x92\x90\x91\x91\x9b\0\0\0\0\0\0\0\0\0\0\0", "byte 4: a span of 11 elements instead of 12"),
        (b"\x92\x91\xa0\x91\x91\x9c\0\0\x01\0\0\0\0\0\0\x80\x80\0", "byte 8: string 1 of a table of 1"),
    ] {
        assert_eq!(read(Version::V05, body).unwrap_err().to_string(), expected);
    }
}

#[test]
fn invalid_utf8_replaces_the_character_and_keeps_the_request() {
    let span = read(Version::V04, b"\x91\x91\x81\xa4name\xa3a\xffb").unwrap().remove(0).remove(0);
    assert_eq!(span.name, "a\u{fffd}b");
}

#[test]
fn a_request_that_ends_anywhere_is_an_error() {
    for (version, body) in [(Version::V04, v04()), (Version::V05, v05())] {
        for end in 0..body.len() {
            assert!(read(version, &body[..end]).is_err(), "{version:?} {end}");
        }
        assert_eq!(read(version, &body).unwrap().len(), 1);
    }
}

#[test]
fn claimed_counts_reserve_no_memory() {
    let huge = [0xdd, 0xff, 0xff, 0xff, 0xff];
    let table = [&[0x92, 0xdd][..], &25_000_000_u32.to_be_bytes(), &[0xa0; 100]].concat();
    let map = [&[0x91, 0x91, 0x81][..], b"\xa4meta", &[0xdf, 0xff, 0xff, 0xff, 0xff], &[0xa0; 100]].concat();
    for (version, body) in [
        (Version::V04, huge.to_vec()),
        (Version::V04, [&[0x91][..], &huge].concat()),
        (Version::V04, map),
        (Version::V05, table),
        (Version::V05, [&[0x92, 0x90][..], &huge].concat()),
    ] {
        assert!(matches!(read(version, &body), Err(DecodeError::Truncated(_))), "{body:?}");
    }
}

#[test]
fn a_table_of_too_many_strings_is_refused_before_it_is_read() {
    let count = 25_000_000_u32;
    let mut body = [&[0x92, 0xdd][..], &count.to_be_bytes()].concat();
    body.resize(body.len() + count as usize, 0xa0);
    let error = read(Version::V05, &body).unwrap_err();
    assert_eq!(error, DecodeError::TooManyStrings { strings: 25_000_000, max: MAX_STRINGS });
}

#[test]
fn empty_spans_can_not_take_all_memory() {
    let count = 2_000_000_u32;
    let mut body = [&[0x91, 0xdd][..], &count.to_be_bytes()].concat();
    body.resize(body.len() + count as usize, 0x80);
    assert!(matches!(read(Version::V04, &body), Err(DecodeError::TooLarge(_))));
}

#[test]
fn keys_with_nothing_can_not_take_all_memory() {
    // A list of so many entries is reserved for each, and stays empty.
    let (spans, keys) = (50_000_u32, 300_u16);
    let span = [&b"\x81\xa4meta\xde"[..], &keys.to_be_bytes(), &b"\xa0\xc0".repeat(keys.into())].concat();
    let body = [&[0x91, 0xdd][..], &spans.to_be_bytes(), &span.repeat(spans as usize)].concat();
    assert!(matches!(read(Version::V04, &body), Err(DecodeError::TooLarge(_))));
}

#[test]
fn memory_that_is_counted_is_memory_that_is_reserved() {
    for (version, body) in [(Version::V04, v04()), (Version::V05, v05())] {
        let mut all = traces(version, &body).unwrap();
        let spans = all.next().unwrap().unwrap();
        let span = &spans[0];
        let entry = size_of::<(Text, Text)>() * (span.meta.capacity() + span.meta_struct.capacity())
            + size_of::<(Text, f64)>() * span.metrics.capacity();
        let rest = size_of::<Link>() * span.links.capacity() + size_of::<Event>() * span.events.capacity();
        let link = span.links.first().map_or(0, |link| size_of::<(Text, Text)>() * link.attributes.capacity());
        let of_event = |event: &Event| {
            let array = |value: &Value| if let Value::Array(values) = value { values.capacity() } else { 0 };
            let arrays: usize = event.attributes.iter().map(|(_, value)| size_of::<Value>() * array(value)).sum();
            arrays + size_of::<(Text, Value)>() * event.attributes.capacity()
        };
        let event = span.events.first().map_or(0, of_event);
        let taken = size_of::<Span>() * spans.capacity() + entry + rest + link + event;
        assert_eq!(all.reader.memory(), MAX_TRACE_BYTES - taken, "{version:?}");
    }
}

#[test]
fn a_long_list_takes_the_room_of_its_elements() {
    for count in [4_096_u32, 4_097, 10_000] {
        let mut body = [&[0x91, 0xdd][..], &count.to_be_bytes()].concat();
        body.resize(body.len() + count as usize, 0x80);
        let spans = read(Version::V04, &body).unwrap().remove(0);
        assert_eq!(spans.capacity(), count as usize);
    }
}

#[test]
fn nesting_is_no_danger() {
    for opening in [&[0x91][..], &[0x81, 0xa0], &[0xdd, 0, 0, 0, 1]] {
        let deep = opening.repeat(1_000_000);
        let body = [b"\x91\x91\x81\xa1x", &deep[..], &[0xc0]].concat();
        assert_eq!(read(Version::V04, &body), Ok(vec![vec![Span::default()]]));
    }
}

#[test]
fn no_bytes_make_a_decoder_panic() {
    let mut random = StdRng::seed_from_u64(18);
    for (version, body) in [(Version::V04, v04()), (Version::V05, v05())] {
        for _ in 0..20_000 {
            let mut body = body.clone();
            for _ in 0..random.random_range(1..6) {
                let at = random.random_range(0..body.len());
                body[at] = random.random();
            }
            body.truncate(random.random_range(1..=body.len()));
            // An error is as good as a span; what comes of it must fit into memory.
            let _ = read(version, &body);
        }
        for _ in 0..20_000 {
            let noise: Vec<u8> = (0..random.random_range(0..200)).map(|_| random.random()).collect();
            let _ = read(version, &noise);
        }
    }
}
