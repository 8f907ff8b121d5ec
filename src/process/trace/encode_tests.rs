use super::*;
use crate::process::trace::span::{Event, Link, Value};
use crate::{
    config::Config,
    platform::environment::Environment,
    process::{
        tags::FunctionTags,
        trace::{
            replace::Replacements,
            test_messages::{self, decode},
        },
    },
};

fn tags() -> CommonTags {
    let function = FunctionTags::collect(&Environment::read(|_| None), None, &Config::default());
    CommonTags::new(&function, false, &Replacements::default(), |_| false)
}

fn span(id: u64, bytes: usize) -> Span<'static> {
    let mut span = Span { trace_id: 7, span_id: id, parent_id: id - 1, service: "s".into(), ..Span::default() };
    span.meta.set("large", "x".repeat(bytes).into());
    span
}

fn chunk(spans: Vec<Span<'_>>) -> Chunk<'_> {
    Chunk::new(spans, false).unwrap()
}

#[test]
fn every_field_is_where_another_decoder_looks_for_it() {
    let mut span = Span {
        service: "s".into(),
        name: "n".into(),
        resource: "r".into(),
        kind: "web".into(),
        trace_id: u64::MAX,
        span_id: 2,
        parent_id: 3,
        start: -4,
        duration: 5,
        error: -1,
        ..Span::default()
    };
    span.meta.set("k", "ü".into());
    span.meta.set("empty", "".into());
    span.metrics.set("m", 1.5);
    span.metrics.set("zero", 0.0);
    span.meta_struct.set("appsec", vec![0x80].into());
    span.links.push(Link {
        trace_id: 5,
        trace_id_high: 6,
        span_id: 7,
        tracestate: "dd=s:1".into(),
        flags: 1 << 31,
        ..Link::default()
    });
    span.links[0].attributes.set("a", "b".into());
    let mut event = Event { time: 9, name: "e".into(), ..Event::default() };
    let values = [
        ("text", Value::Text("t".into())),
        ("bool", Value::Bool(true)),
        ("int", Value::Int(-3)),
        ("double", Value::Double(0.5)),
        ("array", Value::Array(vec![Value::Int(1), Value::Text("x".into()), Value::Bool(false), Value::Double(2.0)])),
    ];
    for (key, value) in values {
        event.attributes.set(key, value);
    }
    span.events.push(event);
    let tags = tags();
    let mut encoder = Encoder::new(&tags, usize::MAX);
    encoder.push(&chunk(vec![span]));
    let (payloads, lost) = encoder.finish(&Head::default());
    assert_eq!((payloads.len(), payloads[0].spans, lost), (1, 1, UnsendableSpans::default()));
    let read = test_messages::spans(&payloads).remove(0);
    assert_eq!([read.service, read.name, read.resource, read.kind], ["s", "n", "r", "web"]);
    assert_eq!((read.trace_id, read.id, read.parent_id), (u64::MAX, 2, 3));
    assert_eq!((read.start, read.duration, read.error), (-4, 5, -1));
    assert_eq!((&*read.meta["k"], &*read.meta["empty"], &*read.meta["origin"]), ("ü", "", "lambda"));
    assert_eq!((read.metrics["m"], read.metrics["zero"]), (1.5, 0.0));
    assert_eq!(read.meta_struct["appsec"], [0x80]);
    let link = &read.links[0];
    assert_eq!((link.trace_id, link.trace_id_high, link.span_id, link.flags), (5, 6, 7, 1 << 31));
    assert_eq!((&*link.attributes["a"], &*link.tracestate), ("b", "dd=s:1"));
    assert_attributes(&read.events[0]);
}

fn assert_attributes(event: &test_messages::Event) {
    let attributes = &event.attributes;
    assert_eq!((event.time, &*event.name), (9, "e"));
    assert_eq!((attributes["text"].kind, &*attributes["text"].text), (0, "t"));
    assert_eq!((attributes["bool"].kind, attributes["bool"].bool), (1, true));
    assert_eq!((attributes["int"].kind, attributes["int"].int), (2, -3));
    assert_eq!((attributes["double"].kind, attributes["double"].double), (3, 0.5));
    let elements = &attributes["array"].array.as_ref().unwrap().values;
    assert_eq!((attributes["array"].kind, elements.len()), (4, 4));
    assert_eq!((elements[0].int, &*elements[1].text, elements[3].double), (1, "x", 2.0));
    assert_eq!(elements.iter().map(|element| element.kind).collect::<Vec<_>>(), [2, 0, 1, 3]);
}

#[test]
fn payloads_stay_below_the_limit_and_hold_whole_chunks() {
    let tags = tags();
    let mut encoder = Encoder::new(&tags, usize::MAX);
    let ids = 1..=10_u64;
    for id in ids.clone() {
        encoder.push(&chunk(vec![span(id * 2, 1_500_000), span(id * 2 + 1, 1_500_000)]));
    }
    let (payloads, lost) = encoder.finish(&Head { function_tags: "é".repeat(50_000), ..Head::default() });
    assert_eq!((payloads.len(), lost), (4, UnsendableSpans::default()));
    let mut seen = Vec::new();
    for payload in &payloads {
        let alone = std::slice::from_ref(payload);
        assert!(agent_payload(alone.to_vec()).len() <= MAX_PAYLOAD_BYTES);
        for chunk in &decode(alone).tracers[0].chunks {
            assert_eq!(chunk.spans.len(), 2, "small chunks are not cut");
            seen.push(chunk.spans[0].id);
        }
    }
    assert_eq!(seen, ids.map(|id| id * 2).collect::<Vec<_>>());
}

#[test]
fn a_chunk_that_is_too_large_is_spread_over_chunks_of_the_same_trace() {
    let tags = tags();
    // A span of 13 MB does not fit, whether or not it is the one that says what the trace as a whole does.
    for oversized in [4, 1] {
        let mut spans: Vec<_> =
            (1..=30).map(|id| span(id, if id == oversized { 13_000_000 } else { 1_000_000 })).collect();
        spans[0].meta.set("_dd.p.tid", "abc".into());
        spans[0].meta.set("_dd.p.dm", "-1".into());
        spans[20].meta.set("_dd.p.dm", "-4".into());
        let mut encoder = Encoder::new(&tags, usize::MAX);
        encoder.push(&Chunk { priority: 2, origin: "rum".into(), ..chunk(spans) });
        let (payloads, lost) = encoder.finish(&Head::default());
        assert_eq!(lost, UnsendableSpans { oversized: 1, without_room: 0 });
        let decoded = |payload| decode(std::slice::from_ref(payload)).tracers.remove(0).chunks;
        let chunks: Vec<_> = payloads.iter().flat_map(decoded).collect();
        assert!(chunks.len() >= 3 && payloads.iter().all(|payload| payload.bytes().len() < MAX_PAYLOAD_BYTES));
        let mut ids = Vec::new();
        for chunk in &chunks {
            assert_eq!((chunk.priority, &*chunk.origin), (2, "rum"));
            let first = chunk.spans[0].meta.get("_dd.p.tid").map(String::as_str);
            assert_eq!(first, Some("abc"), "every piece says what the trace as a whole does");
            let others = chunk.spans.iter().skip(1).filter(|span| span.meta.contains_key("_dd.p.tid"));
            assert_eq!(others.count(), 0);
            ids.extend(chunk.spans.iter().map(|span| span.id));
        }
        assert_eq!(ids, (1..=30).filter(|id| *id != oversized).collect::<Vec<_>>(), "every other span once, in order");
        let own = chunks.iter().flat_map(|chunk| &chunk.spans).find(|span| span.id == 21).unwrap();
        assert_eq!(own.meta["_dd.p.dm"], "-4", "what a span says itself stays");
    }
}

#[test]
fn what_has_no_room_is_counted_and_nothing_more_is_written() {
    let tags = tags();
    let mut encoder = Encoder::new(&tags, 5_000);
    for id in 1..=10 {
        encoder.push(&chunk(vec![span(id, 500), span(id + 100, 500)]));
    }
    let (payloads, lost) = encoder.finish(&Head::default());
    let written: usize = payloads.iter().map(|payload| payload.spans).sum();
    assert!(written > 0 && written + lost.without_room == 20, "{written} {lost:?}");
    assert!(payloads[0].bytes().len() < 5_100);
    let (none, lost) = {
        let mut encoder = Encoder::new(&tags, 0);
        encoder.push(&chunk(vec![span(1, 1)]));
        encoder.finish(&Head::default())
    };
    assert_eq!((none.len(), lost.without_room), (0, 1));
}

#[test]
fn one_pass_over_a_chunk_gives_the_bytes_of_two() {
    let tags = tags();
    for sizes in [
        &[0][..],
        &[1, 20_000],
        &[20_000, 1],
        &[1, 200_000, 200_000, 200_000, 200_000, 200_000, 200_000, 200_000, 200_000, 200_000, 200_000, 200_000],
        &[200_000, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1],
        &[100; 40],
        &[200_000; 40],
    ] {
        let payloads = |passes: usize| {
            let mut encoder = Encoder::new(&tags, usize::MAX);
            // Of two that are large, the second one has no place behind the first.
            for _ in 0..2 {
                let chunk = chunk(sizes.iter().zip(1..).map(|(bytes, id)| span(id, *bytes)).collect());
                if passes == 1 {
                    assert!(encoder.push_at_once(&chunk));
                } else {
                    encoder.push_measured(&chunk);
                }
            }
            encoder.finish(&Head::default())
        };
        assert!(payloads(1) == payloads(2), "{sizes:?}");
    }
}

#[test]
fn a_chunk_for_which_there_is_just_enough_room_is_written() {
    let tags = tags();
    let whole = chunk(vec![span(1, 10), span(2, 1000)]);
    let mut encoder = Encoder::new(&tags, usize::MAX);
    encoder.push(&whole);
    let bytes = usize::MAX - encoder.room;
    for (room, without_room) in [(bytes, 0), (bytes - 1, 2)] {
        let mut encoder = Encoder::new(&tags, room);
        encoder.push(&whole);
        assert_eq!(encoder.finish(&Head::default()).1, UnsendableSpans { oversized: 0, without_room });
    }
}

#[test]
fn large_spans_are_written_without_a_copy_of_their_own() {
    let tags = tags();
    let mut encoder = Encoder::new(&tags, usize::MAX);
    encoder.push(&chunk(vec![span(1, 10), span(2, 4 << 20)]));
    assert!(encoder.scratch.capacity() < MAX_SCRATCH_SPAN);
    assert_eq!(encoder.current.spans, 2);
    assert!(encoder.current.buffer.len() > 4 << 20);
}
