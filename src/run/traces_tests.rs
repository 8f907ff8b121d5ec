//! Payloads of the trace pipeline, as [`TracePipeline`] batches them.

use std::convert::Infallible;

use super::*;
use crate::{
    config::Tag,
    platform::Environment,
    process::{
        proxied::ROUTES,
        trace::{Source, Span, TracerHeaders},
    },
};

fn function_tags(config: &Config) -> FunctionTags {
    let name = |name: &str| (name == "AWS_LAMBDA_FUNCTION_NAME").then(|| "checkout".to_owned());
    FunctionTags::collect(&Environment::read(name), None, config)
}

fn started(config: &Config) -> TracePipeline {
    TracePipeline::start(None, otlp::Listeners::bind(&config.otlp), config, &function_tags(config), Arc::default())
}

#[test]
fn dd_tags_change_the_function_name_of_no_request_and_no_base_service() {
    let name = Tag { key: "functionname".to_owned(), value: "other".to_owned() };
    let config = Config { tags: vec![name], ..Config::default() };
    let mut traces = started(&config);
    assert_eq!(traces.streams.service, "checkout");
    let request = ProxiedRequest { route: ROUTES[1], query: None, headers: Vec::new(), body: Vec::new() };
    traces.take(TracerData::Proxied(request));
    traces.close_due();
    let requests = traces.take_full(&config.apm);
    let head = requests[0].head.as_ref().unwrap();
    assert_eq!(head.headers["x-datadog-additional-tags"], "_dd.origin:lambda;functionname:checkout");
    let mut span = Span { trace_id: 1, span_id: 1, ..Span::default() };
    span.meta.set("_inferred_span.tag_source", "self".into());
    let source = Source { headers: &TracerHeaders::default(), now: 0, room: usize::MAX };
    let output = pipeline(&config, &function_tags(&config)).run(source, [Ok::<_, Infallible>(vec![span])]).unwrap();
    let sent = String::from_utf8_lossy(output.payloads[0].bytes()).into_owned();
    assert!(sent.contains("_dd.base_service\u{12}\u{8}checkout"), "{sent}");
}

#[test]
fn oversized_spans_are_counted_apart_from_spans_without_room() {
    let mut traces = started(&Config::default());
    let (pipeline, headers) =
        (pipeline(&Config::default(), &function_tags(&Config::default())), TracerHeaders::default());
    let span = |id, bytes| Span { trace_id: 1, span_id: id, resource: "x".repeat(bytes).into(), ..Span::default() };
    let source = |room| Source { headers: &headers, now: 0, room };
    let spans = vec![span(1, trace::MAX_PAYLOAD_BYTES), span(2, 1)];
    let output = pipeline.run(source(usize::MAX), [Ok::<_, Infallible>(spans)]).unwrap();
    traces.take(TracerData::Traces(Box::new(output)));
    let output = pipeline.run(source(1), [Ok::<_, Infallible>(vec![span(3, 1)])]).unwrap();
    traces.take(TracerData::Traces(Box::new(output)));
    let one = DropCounts { spans: 1, ..DropCounts::default() };
    let none = DropCounts::default();
    for expected in [one, none] {
        assert_eq!((traces.take_oversized(), traces.take_without_room()), (expected, expected));
        assert_eq!(traces.take_dropped(), none);
    }
}
