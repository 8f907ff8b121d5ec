//! The root of a trace of ours is the span of the invocation, or what is above it: filters look at its tags.

use std::convert::Infallible;

use super::*;
use crate::{
    config::Config,
    platform::environment::Environment,
    process::{
        tags::FunctionTags,
        trace::{Pipeline, Source, TraceSettings, TracerHeaders, settings::FilterTags, stats},
    },
};

/// A request of a load balancer, which has no span of its own, with these headers.
fn start_call(headers: &str) -> StartCall {
    let context =
        r#"{"elb":{"targetGroupArn":"arn:aws:elasticloadbalancing:us-east-1:1:targetgroup/t/6d0ecf831eec9f09"}}"#;
    let event = format!(r#"{{"requestContext":{context},"httpMethod":"GET","path":"/","headers":{headers}}}"#);
    decoder(None).start(|_| None, &Carrier::default(), event.as_bytes(), 0)
}

/// What is built of two invocations, of which the first is cold.
fn traces(headers: &str) -> Vec<InvocationTrace> {
    let mut bench = Bench::new(ON_DEMAND);
    bench.step("a", 1000, Step::InitStart).step("a", 1000, Step::InitReport);
    for (id, at) in [("a", 1000), ("b", 2000)] {
        for step in attempt() {
            if step == Step::StartCall {
                let call = StartCall { request_id: Some(id.into()), time: at + 2, ..start_call(headers) };
                bench.processor.call(Call::Start(Box::new(call)), &mut bench.out);
            } else {
                bench.step(id, at, step);
            }
        }
    }
    bench.processor.build_spans(Timestamp::MAX, &mut bench.out);
    bench.out.traces
}

/// How many spans of each trace are sent.
fn sent(traces: Vec<InvocationTrace>, filter_tags: &FilterTags) -> Vec<usize> {
    let settings = TraceSettings { filter_tags: filter_tags.clone(), ..TraceSettings::default() };
    let function = FunctionTags::collect(&Environment::read(|_| None), None, &Config::default());
    let (pipeline, _) = Pipeline::new(settings, &function, stats::Keys::default());
    let headers = TracerHeaders::default();
    let spans = traces.into_iter().map(|trace| {
        let source = Source { headers: &headers, now: 1_700_000_000_000_000_000, room: usize::MAX };
        let output = pipeline.run(source, [Ok::<_, Infallible>(trace.spans)]).unwrap();
        output.payloads.iter().map(|payload| payload.spans).sum()
    });
    spans.collect()
}

#[test]
fn filters_judge_a_cold_invocation_by_its_own_tags_as_a_warm_one() {
    let get = || vec!["http.method:GET".to_owned()];
    for headers in ["{}", r#"{"x-datadog-trace-id":"7","x-datadog-parent-id":"20"}"#] {
        for (filter_tags, expected) in [
            (FilterTags::default(), [2, 1]),
            (FilterTags { require: get(), ..FilterTags::default() }, [2, 1]),
            (FilterTags { reject: get(), ..FilterTags::default() }, [0, 0]),
        ] {
            assert_eq!(sent(traces(headers), &filter_tags), expected, "{headers} {filter_tags:?}");
        }
    }
}
