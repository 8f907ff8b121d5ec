use std::sync::Arc;
use std::time::Duration;

use serde_json::json;
use time::OffsetDateTime;

use super::*;
use crate::sandbox::intake::{
    AgentPayload, Bin, ClientStats, Distribution, ProxiedBody, RequestOutcome, SeriesPoint, Span, StatsBucket,
    StatsGroup, StatsPayload, TraceChunk, TracerPayload,
};

const FIRST: &str = "11111111-2222-3333-4444-555555555555";
const SECOND: &str = "99999999-8888-7777-6666-555555555555";

fn request(payload: Payload) -> Request {
    Request {
        number: 1,
        at: OffsetDateTime::UNIX_EPOCH,
        method: "POST".to_owned(),
        path: "/".to_owned(),
        headers: Vec::new(),
        api_key: None,
        encoding: "identity".to_owned(),
        wire_bytes: 0,
        body_bytes: 0,
        payload,
        answer: RequestOutcome::Status { code: 202, delay_ms: 0 },
        ended: Some(OffsetDateTime::UNIX_EPOCH),
        problems: Vec::new(),
    }
}

fn log(id: Option<&str>, text: &str) -> Value {
    json!({
        "message": {"message": text, "lambda": {"arn": "arn:f", "request_id": id}, "timestamp": 1_767_323_045_678_u64},
        "ddtags": "functionname:f,dd_extension_version:1",
    })
}

fn logs(elements: &[Value]) -> Request {
    request(Payload::Logs(elements.to_vec()))
}

fn sketch(metric: &str, tags: &[&str], samples: &[(i64, f64)]) -> Request {
    let distribution = |(ts, value): &(i64, f64)| Distribution {
        ts: *ts,
        cnt: 1,
        min: *value,
        max: *value,
        avg: *value,
        sum: *value,
        bins: vec![Bin { key: 1338, count: 1, low: 1.0 }],
    };
    request(Payload::Sketches(vec![Sketch {
        metric: metric.to_owned(),
        host: "h".to_owned(),
        tags: tags.iter().map(|tag| (*tag).to_owned()).collect(),
        distributions: samples.iter().map(distribution).collect(),
        origin: None,
    }]))
}

fn series(kind: Kind, values: &[f64]) -> Request {
    request(Payload::Series(vec![Series {
        metric: "orders".to_owned(),
        kind,
        points: values.iter().map(|value| SeriesPoint { timestamp: 5, value: *value }).collect(),
        tags: Vec::new(),
        resources: Vec::new(),
        interval: 10,
        unit: String::new(),
        source_type_name: String::new(),
        origin: None,
    }]))
}

fn of(requests: &[Request]) -> String {
    digest(requests, &[])
}

#[test]
fn another_run_of_the_same_program_has_the_same_digest() {
    let run = |id, duration: &str, value, version: &str| {
        let mut line = log(Some(id), &format!("REPORT RequestId: {id} Duration: {duration} ms"));
        line["ddtags"] = json!(format!("dd_extension_version:{version},functionname:f"));
        line["message"]["timestamp"] = json!(version.len());
        [
            logs(&[line]),
            sketch("aws.lambda.enhanced.duration", &["a:b"], &[(i64::try_from(version.len()).unwrap(), value)]),
        ]
    };
    let (one, other) = (of(&run(FIRST, "1.25", 17.0, "1")), of(&run(SECOND, "300.5", 18.0, "22")));
    assert_eq!(one, other);
    assert!(one.len() == 16 && one.chars().all(|digit| digit.is_ascii_hexdigit()), "{one}");
}

#[test]
fn batches_and_order_make_no_difference() {
    let (a, b, c) = (log(Some(FIRST), "a"), log(Some(SECOND), "b"), log(None, "c"));
    let apart = [&c, &b, &a].map(|element| logs(std::slice::from_ref(element)));
    assert_eq!(of(&[logs(&[a, b, c])]), of(&apart));
    let together = sketch("orders", &["a:b", "c:d"], &[(10, 1.0), (20, 2.0)]);
    let apart = [sketch("orders", &["c:d", "a:b"], &[(20, 2.0)]), sketch("orders", &["a:b", "c:d"], &[(10, 1.0)])];
    assert_eq!(of(&[together]), of(&apart));
    assert_eq!(of(&[series(Kind::Count, &[1.0, 2.0])]), of(&[series(Kind::Count, &[3.0])]), "counts add up");
}

type Change<'a> = &'a dyn Fn(&mut Vec<Request>);

#[test]
fn what_is_lost_doubled_or_changed_makes_a_difference() {
    let metric = |tags: &[&str], samples: &[(i64, f64)]| sketch("aws.lambda.enhanced.invocations", tags, samples);
    let base = || vec![logs(&[log(Some(FIRST), "a"), log(Some(FIRST), "b")]), metric(&["a:b"], &[(1, 1.0)])];
    let with = |change: Change| {
        let mut requests = base();
        change(&mut requests);
        of(&requests)
    };
    let changes: [(&str, Change); 8] = [
        ("a lost line", &|all| all[0] = logs(&[log(Some(FIRST), "a")])),
        ("a doubled line", &|all| all.push(logs(&[log(Some(FIRST), "a")]))),
        ("a changed line", &|all| all[0] = logs(&[log(Some(FIRST), "a"), log(Some(FIRST), "c")])),
        ("a missing request id", &|all| all[0] = logs(&[log(Some(FIRST), "a"), log(None, "b")])),
        ("another request id", &|all| all[0] = logs(&[log(Some(FIRST), "a"), log(Some(SECOND), "b")])),
        ("a doubled metric", &|all| all.push(metric(&["a:b"], &[(1, 1.0)]))),
        ("a changed tag", &|all| all[1] = metric(&["a:c"], &[(1, 1.0)])),
        ("a changed value", &|all| all[1] = metric(&["a:b"], &[(1, 2.0)])),
    ];
    let mut digests = vec![of(&base())];
    for (name, change) in changes {
        let changed = with(change);
        assert!(!digests.contains(&changed), "{name}");
        digests.push(changed);
    }
}

#[test]
fn of_what_is_measured_only_the_number_of_times_counts() {
    let cost = |samples: &[(i64, f64)]| of(&[sketch("aws.lambda.enhanced.estimated_cost", &[], samples)]);
    assert_eq!(cost(&[(1, 0.1)]), cost(&[(2, 0.2)]));
    assert_ne!(cost(&[(1, 0.1)]), cost(&[(1, 0.1), (2, 0.1)]));
    let memory = |value| of(&[sketch("aws.lambda.enhanced.out_of_memory", &[], &[(1, value)])]);
    assert_ne!(memory(1.0), memory(2.0), "it is a count in spite of its name");
    assert_ne!(of(&[series(Kind::Gauge, &[1.0, 2.0])]), of(&[series(Kind::Gauge, &[3.0])]), "gauges do not add up");
}

#[test]
fn digest_ignores_machine_metrics() {
    let invocations = |tags: &[&str]| sketch("aws.lambda.enhanced.invocations", tags, &[(1, 1.0)]);
    let base = of(&[invocations(&["runtime:python3.13"])]);
    for name in [
        "cpu_user_time",
        "cpu_total_utilization_pct",
        "num_cores",
        "rx_bytes",
        "tx_bytes",
        "total_network",
        "fd_max",
        "fd_use",
        "threads_max",
        "threads_use",
        "tmp_used",
        "tmp_free",
    ] {
        let read = sketch(&format!("aws.lambda.enhanced.{name}"), &[], &[(1, 5.0)]);
        assert_eq!(of(&[invocations(&["runtime:python3.13"]), read]), base, "{name}");
        assert_ne!(
            of(&[invocations(&["runtime:python3.13"]), sketch(name, &[], &[(1, 5.0)])]),
            base,
            "a customer's {name}"
        );
    }
    assert_eq!(of(&[invocations(&["runtime:unknown"])]), base);
    assert_ne!(of(&[invocations(&[])]), base);
    let shutdowns = sketch("aws.lambda.enhanced.shutdowns", &[], &[(1, 1.0)]);
    assert_ne!(of(&[invocations(&["runtime:python3.13"]), shutdowns]), base);
}

#[test]
fn an_extensions_own_lines_and_refused_requests_do_not_count() {
    let origin = Origin::Extension(Arc::from("datadog-agent"));
    let own = OutputLine { at: Duration::ZERO, origin, bytes: b"ready in 5 ms".to_vec() };
    let both = [logs(&[log(None, "ready in 5 ms"), log(Some(FIRST), "a")])];
    assert_eq!(digest(&both, &[own]), of(&[logs(&[log(Some(FIRST), "a")])]));
    let mut refused = logs(&[log(Some(FIRST), "a")]);
    refused.answer = RequestOutcome::Status { code: 500, delay_ms: 0 };
    assert_eq!(of(&[refused]), of(&[]));
}

fn span(name: &str, [trace, id, parent]: [u64; 3], start: i64) -> Span {
    Span {
        service: "shop".to_owned(),
        name: name.to_owned(),
        resource: "/".to_owned(),
        kind: "web".to_owned(),
        trace_id: trace,
        span_id: id,
        parent_id: parent,
        start,
        duration: start / 7,
        meta: [("dd_extension_version".to_owned(), start.to_string()), ("runtime".to_owned(), start.to_string())]
            .into(),
        metrics: [("process_id".to_owned(), f64::from(i32::try_from(start).unwrap()))].into(),
        ..Span::default()
    }
}

fn chunk(spans: Vec<Span>) -> TraceChunk {
    TraceChunk { priority: 1, spans, ..TraceChunk::default() }
}

fn traces(chunks: Vec<TraceChunk>) -> Request {
    let tracer_payloads = vec![TracerPayload { chunks, ..TracerPayload::default() }];
    request(Payload::Traces(AgentPayload { tracer_payloads, ..AgentPayload::default() }))
}

fn group(resource: &str, hits: u64) -> StatsGroup {
    StatsGroup { resource: resource.to_owned(), hits, ok_count: 1.0, duration: hits * 31, ..StatsGroup::default() }
}

fn stats(buckets: Vec<Vec<StatsGroup>>) -> Request {
    let bucket = |(at, groups)| StatsBucket { start: at, duration: 10, groups };
    let buckets = (0..).zip(buckets).map(bucket).collect();
    let stats = vec![ClientStats { buckets, ..ClientStats::default() }];
    request(Payload::Stats(StatsPayload { stats, ..StatsPayload::default() }))
}

#[test]
fn ids_times_order_and_cuts_of_spans_make_no_difference() {
    let two = |trace, start| vec![span("root", [trace, 7, 0], start), span("child", [trace, 8, 7], start + 1)];
    let shifted = |spans: Vec<Span>, by: u64| -> Vec<Span> {
        let parent = |id| if id == 0 { 0 } else { id + by };
        let shift = |span: Span| Span { span_id: span.span_id + by, parent_id: parent(span.parent_id), ..span };
        spans.into_iter().map(shift).collect()
    };
    let expected = of(&[traces(vec![chunk(two(1, 700)), chunk(shifted(two(2, 701), 30))])]);
    let mut reversed = two(9, 9_000);
    reversed.reverse();
    assert_eq!(of(&[traces(vec![chunk(reversed)]), traces(vec![chunk(shifted(two(8, 5), 60))])]), expected);
    assert_ne!(of(&[traces(vec![chunk(two(1, 7)), chunk(two(2, 8))])]), expected, "two traces share the ids of spans");
}

#[test]
fn a_span_that_is_dropped_changed_or_moved_changes_the_digest() {
    let whole = || vec![span("root", [1, 7, 0], 5), span("child", [1, 8, 7], 6), span("child", [1, 9, 8], 6)];
    let mut all = vec![of(&[traces(vec![chunk(whole())])])];
    let mut dropped = whole();
    dropped.pop();
    let mut failed = whole();
    failed[2].error = 1;
    let mut tagged = whole();
    tagged[2].meta.insert("team".to_owned(), "a".to_owned());
    let mut moved = whole();
    moved[2].parent_id = 7;
    let mut twice = whole();
    twice.push(twice[2].clone());
    for spans in [dropped, failed, tagged, moved, twice] {
        all.push(of(&[traces(vec![chunk(spans)])]));
    }
    all.push(of(&[traces(vec![TraceChunk { priority: 2, ..chunk(whole()) }])]));
    let different: std::collections::BTreeSet<_> = all.iter().collect();
    assert_eq!(different.len(), all.len());
}

#[test]
fn statistics_are_added_up_over_intervals_and_a_dropped_one_changes_the_digest() {
    let expected = of(&[stats(vec![vec![group("/a", 3), group("/b", 1)], vec![group("/a", 2)]])]);
    let cut = [stats(vec![vec![group("/a", 2)]]), stats(vec![vec![group("/b", 1)], vec![group("/a", 3)]])];
    assert_eq!(of(&cut), expected);
    assert_ne!(of(&cut[1..]), expected);
    assert_ne!(of(&[stats(vec![vec![group("/a", 5)], vec![group("/a", 1)], vec![group("/b", 1)]])]), expected);
}

#[test]
fn what_is_passed_on_counts_by_its_bytes() {
    let body = |hash: &str| ProxiedBody { sha256: hash.to_owned(), ..ProxiedBody::default() };
    let of_hash = |hash| of(&[request(Payload::Proxied(body(hash)))]);
    assert_eq!(of_hash("a"), of_hash("a"));
    assert_ne!(of_hash("a"), of_hash("b"));
}
