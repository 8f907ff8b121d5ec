//! Events of invocations, and the headers of callers.

use bottlecap::{
    config::{Config, Propagation, PropagationStyle},
    intake::tls::sha256,
    platform::Environment,
    process::{
        propagation::{Carrier, Propagator, TraceContext, reply_headers, xray_context},
        trace::Span,
        trigger::{Event, MAX_TEXT_BYTES, Settings},
    },
};
use matrix::sample_events;

use crate::fuzz;

/// A notification of EventBridge's in one of SNS in a message of SQS, with a trace of X-Ray's and one of Datadog's.
const WRAPPED: &[u8] = br#"{"Records":[{"eventSource":"aws:sqs","attributes":{"AWSTraceHeader":"Root=1-665aee20-00000000112210f47de98115;Parent=208b2f3a4c5d6e7f;Sampled=0"},"body":"{\"TopicArn\":\"arn:aws:sns:eu-west-1:1:t\",\"MessageId\":\"m\",\"Timestamp\":\"2024-06-01T10:00:01.500Z\",\"Message\":\"{\\\"detail-type\\\":\\\"d\\\",\\\"source\\\":\\\"s\\\",\\\"detail\\\":{\\\"_datadog\\\":{\\\"x-datadog-trace-id\\\":7}}}\"}"}]}"#;

const HEADERS: [&[u8]; 5] = [
    b"x-datadog-trace-id: 7\nx-datadog-parent-id: 8\nx-datadog-sampling-priority: 1\nx-datadog-origin: rum\nx-datadog-tags: _dd.p.dm=-4,_dd.p.tid=66f1a2b300000000",
    b"traceparent: 00-66f1a2b300000000112210f47de98115-208b2f3a4c5d6e7f-01\ntracestate: dd=s:2;o:rum;p:00000000000000ff;t.dm:-4,other=1",
    b"b3: 66f1a2b300000000112210f47de98115-208b2f3a4c5d6e7f-d-0000000000000001",
    b"X-B3-TraceId: 112210f47de98115\nX-B3-SpanId: 208b2f3a4c5d6e7f\nX-B3-Sampled: 1\nX-B3-Flags: 1\not-baggage-user: anna",
    b"Root=1-665aee20-00000000112210f47de98115;Parent=208b2f3a4c5d6e7f;Sampled=0",
];

const STYLES: [PropagationStyle; 4] =
    [PropagationStyle::Datadog, PropagationStyle::TraceContext, PropagationStyle::B3, PropagationStyle::B3Multi];

fn propagator(styles: &[PropagationStyle]) -> Propagator {
    Propagator::new(Propagation { styles: styles.to_vec(), extract_first: false, http_baggage: true })
}

/// A trace that is continued has an id, and the reply names the same one.
fn check_context(context: &TraceContext) {
    assert_ne!(context.trace_id, 0);
    assert!(context.tags.len() < 512 && context.tags.iter().all(|(_, text)| text.len() <= MAX_TEXT_BYTES));
    let reply = propagator(&[PropagationStyle::Datadog]).extract(&Carrier::collect(reply_headers(context)));
    let reply = reply.map(|reply| (reply.trace_id, reply.priority));
    assert_eq!(reply, Some((context.trace_id, context.priority)));
}

#[test]
fn every_event_gives_bounded_tags_and_complete_spans() {
    let environment = Environment::read(|_| None);
    let mut settings = Settings::new(&Config::default(), &environment, sha256);
    settings.data_streams.enabled = true;
    let propagator = propagator(&STYLES);
    let events: Vec<&[u8]> = sample_events::ALL.iter().map(|sample| sample.text.as_bytes()).chain([WRAPPED]).collect();
    for event in &events {
        assert!(Event::parse(event, &settings, &mut || 1).kind.is_some());
    }
    fuzz(&events, |input, _| {
        let mut id = 0;
        let event = Event::parse(input, &settings, &mut || {
            id += 1;
            id
        });
        assert_eq!(event.kind.is_none(), event.tags.is_empty());
        assert!(event.tags.iter().all(|(_, text)| text.len() <= MAX_TEXT_BYTES));
        let context = event.context(&propagator, &Carrier::default());
        context.as_ref().inspect(|context| check_context(context));
        let Some(mut inferred) = event.inferred else { return };
        if let Some(context) = &context {
            inferred.adopt(context);
        }
        let lambda = Span { trace_id: 5, start: 1_717_236_000_000_000_000, duration: 10, ..Span::default() };
        let spans = inferred.complete(&lambda);
        assert!((1..=2).contains(&spans.len()));
        for span in &spans {
            assert!(span.trace_id == 5 && span.start >= 0 && span.duration >= 0 && span.span_id != span.parent_id);
        }
    });
}

#[test]
fn every_header_gives_a_context_with_ids_or_none() {
    let lines = |input: &[u8]| -> Carrier {
        let text = String::from_utf8_lossy(input);
        Carrier::collect(text.lines().filter_map(|line| line.split_once(':')))
    };
    for (headers, style) in HEADERS.into_iter().zip(STYLES) {
        assert!(propagator(&[style]).extract(&lines(headers)).is_some(), "{style:?}");
    }
    fuzz(&HEADERS, |input, _| {
        let carrier = lines(input);
        for styles in [&STYLES[..], &STYLES[..1], &STYLES[1..2], &STYLES[2..3], &STYLES[3..]] {
            propagator(styles).extract(&carrier).as_ref().inspect(|context| check_context(context));
        }
        let header = String::from_utf8_lossy(input);
        for is_merged in [false, true] {
            xray_context(&header, is_merged).as_ref().inspect(|context| check_context(context));
        }
    });
}
