use std::convert::Infallible;

use super::*;
use crate::{
    config::{Config, Tag},
    platform::environment::Environment,
    process::trace::{
        settings::{FilterTags, Obfuscation, ReplaceRule},
        test_messages::{self, decode},
    },
};

const NOW: i64 = 1_700_000_000_000_000_000;

fn function_tags(config: &Config) -> FunctionTags {
    let name = |name: &str| (name == "AWS_LAMBDA_FUNCTION_NAME").then(|| "fn".to_owned());
    FunctionTags::collect(&Environment::read(name), None, config)
}

fn pipeline(settings: TraceSettings) -> Pipeline {
    let config = Config { service: Some("Shop".into()), env: Some("prod".into()), ..Config::default() };
    let (pipeline, bad) = Pipeline::new(settings, &function_tags(&config), stats::Keys::default());
    assert_eq!(bad, []);
    pipeline
}

fn span(id: u64, parent: u64) -> Span<'static> {
    let (service, name) = ("svc".into(), "web.request".into());
    Span { trace_id: 7, span_id: id, parent_id: parent, start: NOW, duration: 5, service, name, ..Span::default() }
}

fn with_meta(mut span: Span<'static>, tags: &[(&'static str, &'static str)]) -> Span<'static> {
    for (key, value) in tags {
        span.meta.set(*key, (*value).into());
    }
    span
}

fn with_priority(mut span: Span<'static>, priority: f64) -> Span<'static> {
    span.metrics.set("_sampling_priority_v1", priority);
    span
}

fn run_with(pipeline: &Pipeline, headers: &TracerHeaders, traces: Vec<Vec<Span<'static>>>) -> Output {
    let source = Source { headers, now: NOW, room: usize::MAX };
    pipeline.run(source, traces.into_iter().map(Ok::<_, Infallible>)).unwrap()
}

fn run(settings: TraceSettings, traces: Vec<Vec<Span<'static>>>) -> Output {
    run_with(&pipeline(settings), &TracerHeaders::default(), traces)
}

fn sent(settings: TraceSettings, trace: Vec<Span<'static>>) -> Vec<test_messages::Span> {
    test_messages::spans(&run(settings, vec![trace]).payloads)
}

fn names(output: &Output) -> Vec<u64> {
    test_messages::spans(&output.payloads).iter().map(|span| span.id).collect()
}

#[test]
fn every_span_gets_the_functions_tags_over_its_own() {
    let own = with_meta(span(1, 0), &[("functionname", "mine"), ("env", "Dev"), ("k", "v"), ("_dd.origin", "rum")]);
    let output = run(TraceSettings::default(), vec![vec![own]]);
    let payload = decode(&output.payloads);
    let [tracer] = &payload.tracers[..] else { panic!("{payload:?}") };
    let [chunk] = &tracer.chunks[..] else { panic!("{tracer:?}") };
    let meta = &chunk.spans[0].meta;
    for (key, value) in [
        ("functionname", "fn"),
        ("env", "prod"),
        ("service", "shop"),
        ("k", "v"),
        ("origin", "lambda"),
        ("_dd.origin", "lambda"),
        ("_dd.compute_stats", "1"),
    ] {
        assert_eq!(meta.get(key).map(String::as_str), Some(value), "{key}");
    }
    assert_eq!((chunk.priority, &*chunk.origin), (-128, "rum"), "the chunk keeps where the trace began");
    assert_eq!(tracer.env, "dev", "the tracer's environment is its own");
    assert_eq!(tracer.tags.keys().collect::<Vec<_>>(), ["_dd.tags.function"]);
    assert!(tracer.tags["_dd.tags.function"].contains("functionname:fn,"));
    assert_eq!((payload.target_tps, payload.error_tps), (60.0, 60.0));
}

#[test]
fn payload_head_names_the_tracer() {
    let headers = TracerHeaders {
        language: "python".into(),
        language_version: "3.13".into(),
        tracer_version: "4.1".into(),
        container_id: "c1".into(),
        ..TracerHeaders::default()
    };
    let root = with_meta(span(1, 0), &[("version", "2")]);
    let child = with_meta(span(2, 1), &[("version", "3"), ("runtime-id", "r"), ("_dd.hostname", "h")]);
    let output = run_with(&pipeline(TraceSettings::default()), &headers, vec![vec![child, root]]);
    let tracer = decode(&output.payloads).tracers.remove(0);
    let texts = [
        tracer.language,
        tracer.language_version,
        tracer.version,
        tracer.container_id,
        tracer.app_version,
        tracer.runtime_id,
        tracer.hostname,
    ];
    assert_eq!(texts, ["python", "3.13", "4.1", "c1", "2", "r", "h"]);
}

#[test]
fn compute_stats_mark_follows_who_computes_stats() {
    for (compute_stats, computed_stats, mark, groups) in [
        (false, false, true, false),
        (true, false, false, true),
        (false, true, false, false),
        (true, true, false, false),
    ] {
        let headers = TracerHeaders { computed_stats, ..TracerHeaders::default() };
        let settings = TraceSettings { compute_stats, ..TraceSettings::default() };
        let output = run_with(&pipeline(settings), &headers, vec![vec![span(1, 0)]]);
        let marked = test_messages::spans(&output.payloads)[0].meta.contains_key("_dd.compute_stats");
        assert_eq!((marked, !output.stats.is_empty()), (mark, groups), "{compute_stats} {computed_stats}");
    }
}

#[test]
fn chunks_that_were_sampled_out_count_in_stats_and_stay() {
    let traces = || [-1.0, 0.0, 1.0, 2.0].map(|priority| vec![with_priority(span(1, 0), priority)]).to_vec();
    let output = run(TraceSettings::default(), traces());
    assert_eq!(output.counts.sampled_out, 0, "the backend needs them for its stats");
    let settings = TraceSettings { compute_stats: true, ..TraceSettings::default() };
    let output = run(settings, traces());
    assert_eq!((output.counts.sampled_out, names(&output).len(), output.stats.hits()), (2, 2, 4));
    let output = run(TraceSettings { compute_stats: true, ..TraceSettings::default() }, vec![vec![span(1, 0)]]);
    assert_eq!(names(&output), [1], "a tracer that decided nothing decided against nothing");
}

#[test]
fn with_tracer_stats_sampled_out_chunks_are_removed_only_with_compute_stats_on() {
    let headers = TracerHeaders { computed_stats: true, ..TracerHeaders::default() };
    for (compute_stats, expected) in [(false, vec![1, 2]), (true, vec![2])] {
        let traces = vec![vec![with_priority(span(1, 0), 0.0)], vec![with_priority(span(2, 0), 1.0)]];
        let settings = TraceSettings { compute_stats, ..TraceSettings::default() };
        let output = run_with(&pipeline(settings), &headers, traces);
        assert_eq!((names(&output), output.stats.hits()), (expected, 0), "{compute_stats}");
    }
}

#[test]
fn the_error_sampler_rescues_chunks_with_an_error() {
    let failed = |priority| {
        let child = Span { error: 1, ..span(2, 1) };
        vec![with_priority(span(1, 0), priority), child]
    };
    let settings = TraceSettings { compute_stats: true, error_sampler: true, ..TraceSettings::default() };
    let traces = vec![failed(0.0), failed(-1.0), vec![with_priority(span(5, 0), 0.0)]];
    let output = run(settings.clone(), traces);
    let spans = test_messages::spans(&output.payloads);
    assert_eq!(spans.iter().map(|span| span.id).collect::<Vec<_>>(), [1, 2], "never what the user dropped");
    assert_eq!(spans[0].metrics.get("_dd.errors_sr"), Some(&1.0));
    let headers = TracerHeaders { computed_stats: true, ..TracerHeaders::default() };
    assert!(names(&run_with(&pipeline(settings), &headers, vec![failed(0.0)])).is_empty());
}

#[test]
fn filters_look_at_the_root_alone() {
    let filter_tags = FilterTags { reject: vec!["drop:1".into()], ..FilterTags::default() };
    let settings = TraceSettings { filter_tags, ..TraceSettings::default() };
    let drop = |span| with_meta(span, &[("drop", "1")]);
    let output = run(settings, vec![vec![drop(span(1, 0)), span(2, 1)], vec![span(3, 0), drop(span(4, 3))]]);
    assert_eq!((names(&output), output.counts.filtered), (vec![3, 4], 2));
}

#[test]
fn self_traffic_goes_and_leaves_no_empty_chunk() {
    let own = |id| Span { resource: "dd-tracer-serverless-span".into(), ..span(id, 0) };
    let output = run(TraceSettings::default(), vec![vec![own(1)], vec![own(2), span(3, 2)], vec![]]);
    let chunks = &decode(&output.payloads).tracers[0].chunks;
    assert_eq!((chunks.len(), output.counts.self_traffic, names(&output)), (1, 2, vec![3]));
    assert!(run(TraceSettings::default(), vec![vec![own(1)]]).payloads.is_empty());
}

#[test]
fn lambdas_own_spans_get_the_functions_service() {
    let lambda = Span { service: "aws.lambda".into(), ..span(1, 0) };
    let inferred = with_meta(span(2, 1), &[("_inferred_span.tag_source", "self")]);
    let named = with_meta(span(3, 1), &[("_inferred_span.tag_source", "self"), ("_dd.base_service", "x")]);
    let trace = vec![lambda, inferred, named];
    let service = Some("Shop".to_owned());
    let spans = sent(TraceSettings { service: service.clone(), ..TraceSettings::default() }, trace.clone());
    assert_eq!((&*spans[0].service, &*spans[1].service), ("shop", "svc"));
    let base = |spans: &[test_messages::Span]| [1, 2].map(|at| spans[at].meta["_dd.base_service"].clone());
    assert_eq!(base(&spans), ["Shop", "x"], "as it was set, not in lower case");
    let function_name = Some("fn".to_owned());
    let spans = sent(TraceSettings { function_name, ..TraceSettings::default() }, trace.clone());
    assert_eq!(base(&spans), ["fn", "x"]);
    let spans = sent(TraceSettings { service, service_representation: false, ..TraceSettings::default() }, trace);
    assert_eq!(base(&spans), ["aws.lambda", "x"]);
}

#[test]
fn obfuscation_follows_the_type_and_replacement_comes_last() {
    let settings = TraceSettings {
        obfuscation: Obfuscation { http_remove_query_string: true, ..Obfuscation::default() },
        replace_tags: vec![
            ReplaceRule { name: "resource.name".into(), pattern: "users".into(), replacement: "u".into() },
            ReplaceRule { name: "*".into(), pattern: r"\bfn\b".into(), replacement: "f".into() },
        ],
        ..TraceSettings::default()
    };
    let of = |kind: &'static str, resource: &'static str| Span {
        kind: kind.into(),
        resource: resource.into(),
        ..span(1, 0)
    };
    let spans = sent(
        settings,
        vec![
            of("sql", "SELECT * FROM users WHERE id = 42"),
            of("redis", "set k secret"),
            with_meta(of("http", "GET /x"), &[("http.url", "http://u:p@h/?t=1")]),
            with_meta(of("web", "GET /x"), &[("card", "4111111111111111")]),
            of("cassandra", ""),
        ],
    );
    assert_eq!(
        (&*spans[0].resource, &*spans[0].meta["sql.query"]),
        ("SELECT * FROM u WHERE id = ?", "SELECT * FROM users WHERE id = ?")
    );
    assert_eq!(spans[1].resource, "SET");
    assert_eq!(spans[2].meta["http.url"], "http://h/?");
    assert_eq!(spans[3].meta["card"], "4111111111111111", "no rule of the public extension's takes it out");
    assert_eq!(spans[3].meta["functionname"], "f", "rules mean the function's tags too");
    assert_eq!((&*spans[4].resource, spans[4].meta.contains_key("sql.query")), ("web.request", true));
}

#[test]
fn numbers_that_rules_make_texts_of_leave_as_texts_below_the_functions_tags() {
    let replace_tags = ["card.number", "functionname"].map(|name| ReplaceRule {
        name: name.into(),
        pattern: "[0-9]+".into(),
        replacement: "?".into(),
    });
    let mut own = span(1, 0);
    own.metrics.set("card.number", 4_111_111_111_111_111.0);
    own.metrics.set("functionname", 7.0);
    let output = run(TraceSettings { replace_tags: replace_tags.into(), ..TraceSettings::default() }, vec![vec![own]]);
    let sent = test_messages::spans(&output.payloads).remove(0);
    assert_eq!((&*sent.meta["card.number"], &*sent.meta["functionname"]), ("?", "fn"));
    assert!(!sent.metrics.contains_key("card.number") && !sent.metrics.contains_key("functionname"));
    let bytes = output.payloads.iter().flat_map(|payload| payload.bytes().windows(4));
    assert_eq!(bytes.filter(|bytes| bytes == b"4111").count(), 0);
}

#[test]
fn a_rule_for_all_tags_leaves_the_marks_of_traces_and_statistics() {
    let replace_tags = vec![ReplaceRule { name: "*".into(), pattern: "[0-9]+".into(), replacement: "?".into() }];
    let own = with_meta(span(1, 0), &[("_dd.p.tid", "66f0a1b200000000"), ("_dd.p.dm", "-1"), ("user", "joe-17")]);
    let spans = sent(TraceSettings { replace_tags, ..TraceSettings::default() }, vec![own]);
    let tags = ["_dd.p.tid", "_dd.p.dm", "_dd.compute_stats", "_dd.origin", "user"];
    let expected = ["66f0a1b200000000", "-1", "1", "lambda", "joe-?"];
    assert_eq!(tags.map(|tag| spans[0].meta[tag].clone()), expected);
}

#[test]
fn settings_that_do_not_compile_are_reported_and_have_no_effect() {
    let settings = TraceSettings {
        replace_tags: vec![ReplaceRule { name: "a".into(), pattern: "(".into(), replacement: String::new() }],
        filter_tags: FilterTags { regex_reject: vec!["b:(".into()], ..FilterTags::default() },
        ..TraceSettings::default()
    };
    let (pipeline, bad) = Pipeline::new(settings, &function_tags(&Config::default()), stats::Keys::default());
    assert_eq!(bad.iter().map(|bad| &*bad.name).collect::<Vec<_>>(), ["a", "b"]);
    let traces = vec![vec![with_meta(span(1, 0), &[("a", "x"), ("b", "y")])]];
    assert_eq!(names(&run_with(&pipeline, &TracerHeaders::default(), traces)), [1]);
}

#[test]
fn malformed_spans_are_sent_as_they_came() {
    let zero = Span { span_id: 0, ..span(0, 1) };
    let late = Span { name: "a b".into(), start: 0, ..span(2, 1) };
    let output = run(TraceSettings::default(), vec![vec![span(1, 0), zero, late]]);
    let spans = test_messages::spans(&output.payloads);
    assert_eq!((spans.len(), output.counts.malformed_traces), (3, 1));
    assert_eq!((&*spans[2].name, spans[2].start), ("a b", 0));
}

#[test]
fn an_error_of_the_traces_has_no_effect() {
    let headers = TracerHeaders::default();
    let source = Source { headers: &headers, now: NOW, room: usize::MAX };
    let traces = [Ok(vec![span(1, 0)]), Err("broken")];
    assert_eq!(pipeline(TraceSettings::default()).run(source, traces).unwrap_err(), "broken");
}

#[test]
fn additional_stats_tag_splits_groups() {
    let tags = vec![Tag { key: "span.kind".into(), value: "internal".into() }];
    let config = Config { tags, ..Config::default() };
    let settings = TraceSettings { compute_stats: true, ..TraceSettings::default() };
    let (pipeline, _) = Pipeline::new(settings, &function_tags(&config), stats::Keys::default());
    // A child of its own service, eligible by its kind alone, which the function's tag replaces.
    let child = with_meta(span(2, 1), &[("span.kind", "client")]);
    let output = run_with(&pipeline, &TracerHeaders::default(), vec![vec![span(1, 0), child]]);
    assert_eq!(output.stats.hits(), 1);
}

#[test]
fn texts_that_spans_share_in_the_body_are_made_only_as_far_as_there_is_room() {
    let columns: Vec<_> = (0..10_000).map(|number| format!("column{number}")).collect();
    let query = format!("SELECT {} FROM t WHERE a = 1", columns.join(", "));
    let spans: Vec<_> =
        (1..=1000).map(|id| Span { kind: "sql".into(), resource: Text::Borrowed(&query), ..span(id, 0) }).collect();
    let pipeline = pipeline(TraceSettings { compute_stats: true, ..TraceSettings::default() });
    let headers = TracerHeaders::default();
    let source = Source { headers: &headers, now: NOW, room: 1 << 20 };
    let output = pipeline.run(source, [Ok::<_, Infallible>(spans)]).unwrap();
    // A span has the text twice. What was obfuscated was counted as well.
    assert!((1..=10).contains(&output.stats.hits()), "{} spans of {} bytes", output.stats.hits(), 2 * query.len());
    let sent: usize = output.payloads.iter().map(|payload| payload.spans).sum();
    assert_eq!(sent + output.counts.without_room, 1000);
}

#[test]
fn texts_of_traces_that_are_not_sent_take_no_room() {
    let query = "x".repeat(200_000);
    let sql = |id, priority| Span {
        kind: "sql".into(),
        resource: query.clone().into(),
        ..with_priority(span(id, 0), priority)
    };
    let traces = (1..=10).map(|id| Ok::<_, Infallible>(vec![sql(id, if id < 10 { 0.0 } else { 1.0 })]));
    let pipeline = pipeline(TraceSettings { compute_stats: true, ..TraceSettings::default() });
    let headers = TracerHeaders::default();
    let output = pipeline.run(Source { headers: &headers, now: NOW, room: 500_000 }, traces).unwrap();
    assert_eq!((names(&output), output.stats.hits(), output.counts.without_room), (vec![10], 10, 0));
}
