use rand::{RngExt as _, SeedableRng as _, rngs::StdRng};

use super::*;
use crate::process::trace::stats::payload;

/// A body with one bucket of one group, as tracers send it.
fn body() -> Vec<u8> {
    let mut out = Writer::default();
    head().write(&mut out, 2);
    for start in [10, 20] {
        encode::bucket(&mut out, start, 10_000_000_000, -1, 1);
        group_of("res").write(&mut out);
    }
    out.into_bytes()
}

fn head() -> ClientHead<'static> {
    let (env, language, tags) = ("prod".into(), "go".into(), vec!["a:b".into()]);
    ClientHead { env, language, sequence: 3, tags, ..ClientHead::default() }
}

fn group_of(resource: &str) -> WireGroup<'_> {
    let (resource, peer_tags) = (resource.into(), vec!["p:q".into()]);
    WireGroup { resource, hits: 7, ok_summary: &[1, 2], peer_tags, is_root: 1, ..WireGroup::default() }
}

#[test]
fn stats_are_encoded_again_with_the_first_start_replaced() {
    let read = read(&body(), 99).unwrap().unwrap();
    let mut expected = Writer::default();
    head().write(&mut expected, 2);
    for start in [99, 20] {
        encode::bucket(&mut expected, start, 10_000_000_000, -1, 1);
        group_of("res").write(&mut expected);
    }
    assert_eq!((read.bytes(), read.groups), (expected.as_bytes(), 2));
}

#[test]
fn invalid_utf8_replaces_the_character_and_keeps_the_stats() {
    let with = |resource: &str| {
        let mut out = Writer::default();
        ClientHead { tags: vec!["v?".into()], ..head() }.write(&mut out, 1);
        encode::bucket(&mut out, 10, 10_000_000_000, -1, 2);
        group_of(resource).write(&mut out);
        group_of("others").write(&mut out);
        out.into_bytes()
    };
    let mut body = with("GET /?");
    for byte in body.iter_mut().filter(|byte| **byte == b'?') {
        *byte = 0xff;
    }
    let read = read(&body, 10).unwrap().unwrap();
    let mut expected = Writer::default();
    ClientHead { tags: vec!["v\u{fffd}".into()], ..head() }.write(&mut expected, 1);
    encode::bucket(&mut expected, 10, 10_000_000_000, -1, 2);
    group_of("GET /\u{fffd}").write(&mut expected);
    group_of("others").write(&mut expected);
    assert_eq!((read.bytes(), read.groups), (expected.as_bytes(), 2));
}

#[test]
fn what_a_tracer_leaves_out_has_its_default() {
    let mut out = Writer::default();
    out.map(2);
    out.text("Unknown");
    out.array(1);
    out.map(0);
    out.text("Stats");
    out.array(1);
    out.map(1);
    out.text("Stats");
    out.array(1);
    out.map(1);
    out.text("Hits");
    out.unsigned(2);
    let read = read(&out.into_bytes(), 5).unwrap().unwrap();
    let mut expected = Writer::default();
    ClientHead::default().write(&mut expected, 1);
    encode::bucket(&mut expected, 5, 0, 0, 1);
    WireGroup { hits: 2, ..WireGroup::default() }.write(&mut expected);
    assert_eq!((read.bytes(), read.groups), (expected.as_bytes(), 1));
}

#[test]
fn a_body_without_buckets_is_nothing() {
    assert_eq!(read(&[0x80], 1), Ok(None));
    assert_eq!(read(b"\x81\xa5Stats\x90", 1), Ok(None));
    assert_eq!(read(b"\x81\xa5Stats\xc0", 1), Ok(None));
}

#[test]
fn wrong_types_and_ends_anywhere_are_errors() {
    assert!(read(&[], 1).is_err());
    assert_eq!(read(&[0x90], 1).unwrap_err().to_string(), "byte 0: expected a map, found an array");
    assert_eq!(read(b"\x81\xa3Env\x01", 1).unwrap_err().to_string(), "byte 5: expected a string, found an integer");
    let body = body();
    for end in 0..body.len() {
        assert!(read(&body[..end], 1).is_err(), "{end}");
    }
}

#[test]
fn small_groups_can_not_become_large_memory() {
    let count = 2_000_000_u32;
    let mut body = [b"\x81\xa5Stats\x91\x81\xa5Stats\xdd", &count.to_be_bytes()[..]].concat();
    body.resize(body.len() + count as usize, 0x80);
    assert!(matches!(read(&body, 1), Err(DecodeError::TooLarge(_))));
}

#[test]
fn no_bytes_make_the_decoder_panic() {
    let mut random = StdRng::seed_from_u64(6);
    for _ in 0..20_000 {
        let mut body = body();
        for _ in 0..random.random_range(1..6) {
            let at = random.random_range(0..body.len());
            body[at] = random.random();
        }
        let _ = read(&body, 1);
    }
}

#[test]
fn clients_are_joined_to_one_payload() {
    let client = read(&body(), 10).unwrap().unwrap();
    let joined = payload([&client, &client].into_iter());
    let mut reader = Reader::new(&joined, usize::MAX);
    let mut keys = Vec::new();
    for _ in 0..reader.map_or_nil().unwrap() {
        let key = reader.text().unwrap().into_owned();
        match &*key {
            "Stats" => {
                assert_eq!(reader.array_or_nil().unwrap(), 2);
                for _ in 0..2 {
                    reader.skip().unwrap();
                }
            }
            "ClientComputed" => assert!(reader.bool_or_nil().unwrap()),
            "SplitPayload" => assert!(!reader.bool_or_nil().unwrap()),
            _ => assert_eq!(reader.text().unwrap(), ""),
        }
        keys.push(key);
    }
    keys.sort();
    assert_eq!(keys, ["AgentEnv", "AgentHostname", "AgentVersion", "ClientComputed", "SplitPayload", "Stats"]);
    assert_eq!(reader.offset(), joined.len());
    let split = payload([ClientPayload { is_part: true, ..client }].iter());
    assert!(split.windows(14).any(|bytes| bytes == b"\xacSplitPayload\xc3"));
}
