use super::*;
use crate::{
    config::Config,
    platform::environment::Environment,
    process::{
        msgpack::Reader,
        tags::FunctionTags,
        trace::{
            Span,
            stats::{Keys, client, payload},
            tags::{CommonTags, common_tags},
        },
    },
};

const SECOND: i64 = 1_000_000_000;
const NOW: i64 = 1_700_000_000 * SECOND;

fn common() -> CommonTags {
    common_tags(&FunctionTags::collect(&Environment::read(|_| None), None, &Config::default()), |_| false)
}

fn origin() -> Origin {
    Origin { env: "prod".into(), version: "1".into(), service: "shop".into(), ..Origin::default() }
}

fn span(resource: &str, end: i64) -> Span<'static> {
    let mut span = Span { span_id: 1, service: "svc".into(), resource: resource.to_owned().into(), ..Span::default() };
    (span.start, span.duration) = (end - 5, 5);
    span.metrics.set("_top_level", 1.0);
    span
}

fn groups(spans: &[Span<'_>]) -> Groups {
    let mut groups = Groups::new(NOW + 100 * SECOND);
    for span in spans {
        groups.add(span, &common(), &Keys::default());
    }
    groups
}

/// What a client payload says of each group: the start of its bucket in seconds from [`NOW`], its resource, hits, errors and duration.
#[derive(Debug, PartialEq)]
struct GroupSummary {
    second: i64,
    resource: String,
    hits: u64,
    errors: u64,
    duration: u64,
}

fn read(payloads: &[ClientPayload]) -> Vec<GroupSummary> {
    let mut found = Vec::new();
    for payload in payloads {
        let mut reader = Reader::new(payload.bytes(), usize::MAX);
        for _ in 0..reader.map_or_nil().unwrap() {
            if reader.string().unwrap() != b"Stats" {
                reader.skip().unwrap();
                continue;
            }
            for _ in 0..reader.array_or_nil().unwrap() {
                read_bucket(&mut reader, &mut found);
            }
        }
    }
    found
}

fn read_bucket(reader: &mut Reader<'_>, found: &mut Vec<GroupSummary>) {
    let mut start = 0;
    for _ in 0..reader.map_or_nil().unwrap() {
        match reader.string().unwrap() {
            b"Start" => start = reader.integer().unwrap(),
            b"Duration" => assert_eq!(reader.integer::<i64>().unwrap(), BUCKET_NANOSECONDS),
            b"Stats" => {
                for _ in 0..reader.array_or_nil().unwrap() {
                    let second = (start - NOW) / SECOND;
                    let mut group = GroupSummary { second, resource: String::new(), hits: 0, errors: 0, duration: 0 };
                    for _ in 0..reader.map_or_nil().unwrap() {
                        match reader.string().unwrap() {
                            b"Resource" => group.resource = reader.text().unwrap().into_owned(),
                            b"Hits" => group.hits = reader.integer().unwrap(),
                            b"Errors" => group.errors = reader.integer().unwrap(),
                            b"Duration" => group.duration = reader.integer().unwrap(),
                            _ => reader.skip().unwrap(),
                        }
                    }
                    found.push(group);
                }
            }
            _ => reader.skip().unwrap(),
        }
    }
}

fn seconds(payloads: &[ClientPayload]) -> Vec<i64> {
    read(payloads).iter().map(|group| group.second).collect()
}

#[test]
fn equal_spans_make_one_group() {
    let mut concentrator = Concentrator::new(origin(), NOW, None);
    let failed = Span { error: 1, ..span("a", NOW) };
    concentrator.merge(groups(&[span("a", NOW), failed.clone(), span("b", NOW)]), NOW);
    concentrator.merge(groups(&[span("a", NOW)]), NOW);
    let payloads = concentrator.flush(NOW, Flush::All);
    let group = |resource: &str, hits, errors, duration| GroupSummary {
        second: 0,
        resource: resource.to_owned(),
        hits,
        errors,
        duration,
    };
    assert_eq!(read(&payloads), [group("a", 3, 1, 15), group("b", 1, 0, 5)]);
    assert_eq!((payloads.len(), payloads[0].groups), (1, 2));
    assert!(concentrator.flush(NOW, Flush::All).is_empty());
}

#[test]
fn the_two_latest_buckets_wait_for_late_spans() {
    let mut concentrator = Concentrator::new(origin(), NOW, None);
    for second in [0, 10, 20, 30] {
        concentrator.merge(groups(&[span("a", NOW + second * SECOND)]), NOW + second * SECOND);
    }
    assert_eq!(seconds(&concentrator.flush(NOW + 35 * SECOND, Flush::Due)), [0, 10]);
    assert!(concentrator.flush(NOW + 35 * SECOND, Flush::Due).is_empty());
    // A span of a bucket that has left goes to the oldest that has not.
    concentrator.merge(groups(&[span("late", NOW)]), NOW + 36 * SECOND);
    assert_eq!(seconds(&concentrator.flush(NOW + 36 * SECOND, Flush::All)), [20, 20, 30]);
    concentrator.merge(groups(&[span("later", NOW)]), NOW + 37 * SECOND);
    assert_eq!(seconds(&concentrator.flush(NOW + 37 * SECOND, Flush::All)), [30]);
}

#[test]
fn buckets_are_those_of_the_spans_end_and_never_ahead_of_the_clock() {
    let mut concentrator = Concentrator::new(origin(), NOW, None);
    let long = Span { start: NOW + 9 * SECOND, duration: 2 * SECOND, ..span("long", NOW) };
    concentrator.merge(groups(&[long, span("ahead", NOW + 90 * SECOND)]), NOW + 12 * SECOND);
    assert_eq!(seconds(&concentrator.flush(NOW + 12 * SECOND, Flush::All)), [10, 10]);
}

#[test]
fn too_many_distinct_values_are_counted_together() {
    let mut concentrator = Concentrator::new(origin(), NOW, None);
    let spans: Vec<_> = (0..3000).map(|number| span(&format!("r{number}"), NOW)).collect();
    let collapsed = concentrator.merge(groups(&spans), NOW);
    let found = read(&concentrator.flush(NOW, Flush::All));
    assert_eq!((collapsed.resources, collapsed.groups, found.len()), (3000 - MAX_RESOURCES, 0, MAX_RESOURCES + 1));
    let blocked = found.iter().find(|group| group.resource == BLOCKED).unwrap();
    assert_eq!(usize::try_from(blocked.hits).unwrap(), 3000 - MAX_RESOURCES);
    assert_eq!(found.iter().map(|group| group.hits).sum::<u64>(), 3000, "no hit is lost");
}

#[test]
fn too_many_groups_are_counted_together() {
    let mut concentrator = Concentrator::new(origin(), NOW, None);
    let spans: Vec<_> =
        (0..8000).map(|number| Span { name: format!("n{number:0>200}").into(), ..span("r", NOW) }).collect();
    let collapsed = concentrator.merge(groups(&spans), NOW);
    assert_eq!(collapsed.groups, 8000 - MAX_GROUPS);
    let payloads = concentrator.flush(NOW, Flush::All);
    let found = read(&payloads);
    assert_eq!((found.len(), found.iter().map(|group| group.hits).sum::<u64>()), (MAX_GROUPS + 1, 8000));
    assert!(payloads.len() > 1, "and a payload is cut where it becomes too large");
    assert!(payloads.iter().all(|one| payload(std::iter::once(one)).len() <= MAX_PAYLOAD_BYTES));
}

#[test]
fn keys_and_sketches_take_bounded_memory() {
    let mut concentrator = Concentrator::new(origin(), NOW, None);
    let large = "x".repeat(100_000);
    let spans: Vec<_> =
        (0..100).map(|number| Span { name: format!("{number}{large}").into(), ..span("r", NOW) }).collect();
    let collapsed = concentrator.merge(groups(&spans), NOW);
    assert!(collapsed.groups > 50 && concentrator.spare_key_bytes < 200_000, "{collapsed:?}");
    assert_eq!(read(&concentrator.flush(NOW, Flush::All)).iter().map(|group| group.hits).sum::<u64>(), 100);
    assert_eq!(
        (concentrator.spare_bins, concentrator.spare_key_bytes),
        (MAX_BINS, MAX_KEY_BYTES),
        "what leaves makes room"
    );
}

#[test]
fn the_first_tracer_says_where_stats_come_from() {
    let mut concentrator = Concentrator::new(origin(), NOW, None);
    for language in ["python", "java"] {
        let mut groups = groups(&[span("a", NOW)]);
        groups.set_origin(Origin { language: language.into(), env: "ignored".into(), ..Origin::default() });
        concentrator.merge(groups, NOW);
    }
    let expected = Origin { language: "python".into(), ..origin() };
    assert_eq!(concentrator.origin, expected);
    let mut unnamed = Concentrator::new(Origin::default(), NOW, None);
    unnamed.merge(groups(&[span("a", NOW)]), NOW);
    let payloads = unnamed.flush(NOW, Flush::All);
    let text = String::from_utf8_lossy(payloads[0].bytes()).into_owned();
    assert!(text.contains("unknown-env"), "{text}");
}

#[test]
fn a_tracer_that_comes_after_spans_of_no_tracer_says_where_stats_come_from() {
    let mut concentrator = Concentrator::new(origin(), NOW, None);
    let named = |language: &str, runtime_id: &str| Origin {
        language: language.into(),
        tracer_version: "4.1".into(),
        container_id: "c1".into(),
        runtime_id: runtime_id.into(),
        ..Origin::default()
    };
    for origin in [Origin::default(), named("python", ""), named("python", "r"), named("java", "other")] {
        let mut groups = groups(&[span("a", NOW)]);
        groups.set_origin(origin);
        concentrator.merge(groups, NOW);
    }
    let Origin { env, version, service, .. } = origin();
    assert_eq!(concentrator.origin, Origin { env, version, service, ..named("python", "r") });
    let payloads = concentrator.flush(NOW, Flush::All);
    let text = String::from_utf8_lossy(payloads[0].bytes()).into_owned();
    assert!(["python", "4.1", "c1"].iter().all(|said| text.contains(said)), "{text}");
}

#[test]
fn what_is_encoded_reads_like_a_clients_own_stats() {
    let mut concentrator = Concentrator::new(origin(), NOW, None);
    concentrator.merge(groups(&[span("a", NOW), span("b", NOW)]), NOW);
    let payloads = concentrator.flush(NOW, Flush::All);
    let again = client::read(payloads[0].bytes(), NOW.unsigned_abs()).unwrap().unwrap();
    assert_eq!(again, payloads[0], "the start of the bucket is the time of reading as well");
}

#[test]
fn one_request_has_no_more_groups_than_a_bucket_may_have() {
    let spans: Vec<_> = (0..14_000)
        .map(|number| Span { name: format!("n{number}").into(), ..span("r", NOW - (number % 100) * 10 * SECOND) })
        .collect();
    let groups = groups(&spans);
    assert_eq!(groups.buckets.values().map(|bucket| bucket.groups.len()).sum::<usize>(), MAX_GROUPS);
    assert_eq!((groups.collapsed, groups.hits()), (14_000 - MAX_GROUPS, 14_000), "no hit is lost");
}

#[test]
fn the_keys_of_one_request_take_bounded_memory() {
    let large = "x".repeat(100_000);
    let spans: Vec<_> =
        (0..100).map(|number| Span { name: format!("{number}{large}").into(), ..span("r", NOW) }).collect();
    let groups = groups(&spans);
    let keys = groups.buckets.values().flat_map(|bucket| bucket.groups.keys());
    assert!(keys.map(|key| key.len()).sum::<usize>() <= MAX_KEY_BYTES && groups.collapsed > 50);
    let mut concentrator = Concentrator::new(origin(), NOW, None);
    let expected = groups.collapsed;
    assert_eq!(concentrator.merge(groups, NOW).groups, expected, "what was counted together is reported");
}
