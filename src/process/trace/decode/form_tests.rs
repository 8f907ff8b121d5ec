//! The decoders read a value the same in every form that msgpack has for it, and a map of every size the same with and without the fast path for its entries.

use super::{tests::one, *};
use crate::process::{
    msgpack::Writer,
    trace::{map::Map, span::Text},
};

/// A text with a length of this marker's width, whether or not a shorter one would do.
fn text(marker: u8, text: &str) -> Vec<u8> {
    let length = u32::try_from(text.len()).unwrap().to_be_bytes();
    let length = match marker {
        0xa0 => return [&[0xa0 | length[3]], text.as_bytes()].concat(),
        0xd9 => &length[3..],
        0xda => &length[2..],
        _ => &length[..],
    };
    [&[marker], length, text.as_bytes()].concat()
}

/// A number of this marker's width; markers below 0x80 are those of a single byte.
fn integer(marker: u8, number: u64) -> Vec<u8> {
    let bytes = number.to_be_bytes();
    match marker {
        0 => vec![bytes[7]],
        0xcc | 0xd0 => vec![marker, bytes[7]],
        0xcd | 0xd1 => [&[marker], &bytes[6..]].concat(),
        0xce | 0xd2 => [&[marker], &bytes[4..]].concat(),
        _ => [&[marker], &bytes[..]].concat(),
    }
}

/// Markers of integers, each with the largest number that is read as it is.
const INTEGERS: [(u8, u64); 9] = [
    (0, 0x7f),
    (0xcc, 0xfe),
    (0xcd, 0x0102),
    (0xce, 0x0001_0203),
    (0xcf, 0x0001_0203),
    (0xd0, 0x7e),
    (0xd1, 0x0102),
    (0xd2, 0x0001_0203),
    (0xd3, 0x0001_0203),
];

/// Forms of the number 2.
fn floats() -> [Vec<u8>; 4] {
    let double = [&[0xcb], &2_f64.to_be_bytes()[..]].concat();
    let single = [&[0xca], &2_f32.to_be_bytes()[..]].concat();
    [double, single, vec![2], integer(0xd3, 2)]
}

#[test]
fn v04_texts_and_numbers_of_every_width_are_equal() {
    // A wrong length has to end inside of the text: what follows is no UTF-8, which the fast path leaves to the other.
    let long = ["x".repeat(31), "x".repeat(200), "x".repeat(0x0201), "x".repeat(70_000)];
    for (marker, longest) in [0xa0, 0xd9, 0xda, 0xdb].into_iter().zip(&long) {
        for (value, (width, number)) in ["", "v", longest.as_str()].into_iter().cycle().zip(INTEGERS) {
            for float in floats() {
                let mut body = vec![0x91, 0x91, 0x85];
                for part in [text(marker, "service"), text(marker, value), text(marker, "span_id")] {
                    body.extend(part);
                }
                body.extend(integer(width, number));
                body.extend([text(marker, "meta"), vec![0x81], text(marker, "k"), text(marker, value)].concat());
                body.extend([text(marker, "metrics"), vec![0x81], text(marker, "m"), float].concat());
                body.extend([text(marker, "name"), text(marker, "last")].concat());
                let span = one(Version::V04, &body);
                assert_eq!((&*span.service, span.span_id, &*span.name), (value, number, "last"));
                assert_eq!(span.meta.get("k").map(|value| &**value), Some(value));
                assert_eq!(span.metrics.get("m"), Some(&2.0));
            }
        }
    }
}

/// Begins a request of v0.5 with this table.
fn table(strings: &[Vec<u8>]) -> Vec<u8> {
    let mut out = Writer::default();
    out.array(2);
    out.array(strings.len());
    for text in strings {
        out.document(text);
    }
    out.into_bytes()
}

#[test]
fn v05_indexes_of_every_width_are_equal() {
    let count = 0x0001_0204_u32;
    let markers = [0xa0, 0xd9, 0xda, 0xdb].into_iter().cycle();
    let strings: Vec<_> = (0..count).zip(markers).map(|(index, marker)| text(marker, &index.to_string())).collect();
    let table = table(&strings);
    for (width, index) in INTEGERS {
        for float in floats() {
            let at = integer(width, index);
            let mut body = [&table[..], &[0x91, 0x91, 0x9c]].concat();
            body.extend(at.repeat(3));
            body.extend([1, 2, 3, 4, 5, 6]);
            body.extend([&[0x81], &at.repeat(2)[..], &[0x81], &at[..], &float[..], &at[..]].concat());
            let span = one(Version::V05, &body);
            let expected = index.to_string();
            assert_eq!([&span.service, &span.name, &span.resource, &span.kind], [&*expected; 4], "{width:x}");
            assert_eq!((span.trace_id, span.error), (1, 6));
            assert_eq!(span.meta.get(&expected).map(|value| &**value), Some(&*expected));
            assert_eq!(span.metrics.get(&expected), Some(&2.0));
        }
    }
}

/// Sizes of maps: none, one, about a word of bits, and about the room that is reserved at first.
const SIZES: [usize; 8] = [0, 1, 64, 65, 4_095, 4_096, 4_097, 10_000];

/// Which entries are of a form without a fast path: none, all, a few, the last before and the first after the room that is reserved at first.
const ODD: [fn(usize) -> bool; 5] =
    [|_| false, |_| true, |index| index % 7 == 3, |index| index == 4_094 || index == 4_095, |index| index >= 4_096];

/// The entries of a map with their names, which have their index in them.
fn assert_entries<V: PartialEq + std::fmt::Debug>(map: &Map<'_, V>, expected: &[(String, V)]) {
    assert_eq!(map.len(), expected.len());
    for ((key, value), (expected_key, expected_value)) in map.iter().zip(expected) {
        assert_eq!((key, value), (expected_key.as_str(), expected_value));
    }
}

/// What is left of the memory for the spans of one trace is what they do not take. `texts`: bytes that are counted for texts with a replaced character.
fn assert_memory(version: Version, body: &[u8], texts: usize) {
    let mut all = traces(version, body).unwrap();
    let spans = all.next().unwrap().unwrap();
    let maps =
        size_of::<(Text, Text)>() * spans[0].meta.capacity() + size_of::<(Text, f64)>() * spans[0].metrics.capacity();
    // Processing adds one; only where the room that is reserved at first is just enough, none is made for it.
    let size = spans[0].metrics.len();
    let spare = usize::from(size != 0 && size != 4_096);
    assert_eq!(spans[0].metrics.capacity(), size + spare);
    let taken = size_of::<Span>() * spans.capacity() + maps + texts;
    assert_eq!(all.reader.memory(), MAX_TRACE_BYTES - taken, "{version:?}");
}

#[test]
fn v04_maps_of_every_size_have_all_entries_in_order() {
    for size in SIZES {
        for is_odd in ODD {
            let mut out = Writer::default();
            out.document(&[0x91, 0x91, 0x83]);
            out.text("meta");
            out.map(size);
            let (mut meta, mut metrics) = (Vec::new(), Vec::new());
            for index in 0..size {
                let key = index.to_string();
                out.text(&key);
                // Nothing, which is no entry, or a text that is no UTF-8.
                match (is_odd(index), index % 2) {
                    (true, 0) => out.document(&[0xc0]),
                    (true, _) => {
                        out.document(&[0xa2, b'a', 0xff]);
                        meta.push((key, Text::from("a\u{fffd}")));
                    }
                    (false, _) => {
                        out.text("v");
                        meta.push((key, "v".into()));
                    }
                }
            }
            out.text("metrics");
            out.map(size);
            for index in 0..size {
                out.text(&index.to_string());
                let form = if is_odd(index) { 1 + index % 3 } else { 0 };
                out.document(&floats()[form]);
                metrics.push((index.to_string(), 2.0));
            }
            out.text("error");
            out.unsigned(1);
            let body = out.into_bytes();
            let span = one(Version::V04, &body);
            assert_entries(&span.meta, &meta);
            assert_entries(&span.metrics, &metrics);
            assert_eq!(span.error, 1);
            let texts = meta.iter().filter(|(_, value)| &**value != "v").count() * 3 * b"a\xff".len();
            assert_memory(Version::V04, &body, texts);
        }
    }
}

#[test]
fn v05_maps_of_every_size_have_all_entries_in_order() {
    let strings: Vec<_> = (0..10_000).map(|index: usize| text(0xa0, &index.to_string())).collect();
    let table = table(&[&strings[..], &[vec![0xa2, b'a', 0xff]]].concat());
    for size in SIZES {
        for is_odd in ODD {
            let mut out = Writer::default();
            out.document(&[0x91, 0x91, 0x9c, 0, 0, 0, 1, 2, 3, 4, 5, 6]);
            out.map(size);
            let (mut meta, mut metrics) = (Vec::new(), Vec::new());
            for index in 0..size {
                // An index of a signed type, or of a text that was no UTF-8.
                let key = if is_odd(index) { 0xd3 } else { 0xcf };
                out.document(&integer(key, index as u64));
                let is_replaced = is_odd(index) && index % 2 == 0;
                out.unsigned(if is_replaced { 10_000 } else { 7 });
                meta.push((index.to_string(), Text::from(if is_replaced { "a\u{fffd}" } else { "7" })));
            }
            out.map(size);
            for index in 0..size {
                out.unsigned(index as u64);
                let form = if is_odd(index) { 1 + index % 3 } else { 0 };
                out.document(&floats()[form]);
                metrics.push((index.to_string(), 2.0));
            }
            out.unsigned(9);
            let body = [&table[..], out.as_bytes()].concat();
            let span = one(Version::V05, &body);
            assert_entries(&span.meta, &meta);
            assert_entries(&span.metrics, &metrics);
            assert_eq!(&*span.kind, "9");
            let texts = meta.iter().filter(|(_, value)| &**value != "7").count() * "a\u{fffd}".len();
            assert_memory(Version::V05, &body, texts);
        }
    }
}
