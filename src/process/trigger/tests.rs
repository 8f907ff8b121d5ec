use std::collections::BTreeMap;

use matrix::sample_events;
use serde_json::{Value, json};

use super::*;
use crate::{
    config::{Config, Propagation, Triggers},
    intake::tls::sha256,
    platform::environment::Environment,
};

mod carriers;
mod checkpoints;
mod hostile;
mod http;
mod messages;
mod order;
mod step_functions;
mod streams;
mod wrapped;

/// One documented event of each trigger.
const DOCUMENTED: [(Kind, &str); 13] = [
    (Kind::HttpApi, sample_events::HTTP_API.text),
    (Kind::RestApi, sample_events::REST_API.text),
    (Kind::WebSocket, sample_events::WEBSOCKET.text),
    (Kind::LoadBalancer, sample_events::LOAD_BALANCER.text),
    (Kind::FunctionUrl, sample_events::FUNCTION_URL.text),
    (Kind::Msk, sample_events::MSK.text),
    (Kind::Sqs, sample_events::SQS.text),
    (Kind::Sns, sample_events::SNS.text),
    (Kind::DynamoDb, sample_events::DYNAMODB.text),
    (Kind::S3, sample_events::S3.text),
    (Kind::EventBridge, sample_events::EVENTBRIDGE.text),
    (Kind::Kinesis, sample_events::KINESIS.text),
    (Kind::StepFunctions, sample_events::STEP_FUNCTIONS.text),
];

/// The ids that the documented events have, except those of Step Functions and of the function URL.
const TRACE_ID: u64 = 1_234_567_890_123_456_789;
const PARENT_ID: u64 = 2_345_678_901_234_567_890;

fn documented(kind: Kind) -> Value {
    let text = DOCUMENTED.iter().find(|(known, _)| *known == kind).unwrap().1;
    serde_json::from_str(text).unwrap()
}

fn settings_with(change: impl FnOnce(&mut Config)) -> Settings {
    let environment = Environment::read(|name| match name {
        "AWS_REGION" => Some("eu-west-1".to_owned()),
        "AWS_LAMBDA_FUNCTION_NAME" => Some("fulfil".to_owned()),
        _ => None,
    });
    let mut config = Config { service: Some("shop".to_owned()), ..Config::default() };
    change(&mut config);
    Settings::new(&config, &environment, sha256)
}

fn parse_bytes(event: &[u8], settings: &Settings) -> Event {
    let mut id = 100;
    Event::parse(event, settings, &mut || {
        id += 1;
        id
    })
}

/// Reads an event with the ids 101 and 102 for its spans.
fn parse(event: &Value) -> Event {
    parse_bytes(event.to_string().as_bytes(), &settings_with(|_| {}))
}

/// The context with the default styles and no headers of the call.
fn context(event: &Event) -> Option<TraceContext> {
    event.context(&Propagator::new(Propagation::default()), &Carrier::default())
}

/// Trace id, parent id and priority of the context.
fn ids(event: &Event) -> Option<(u64, u64)> {
    context(event).map(|context| (context.trace_id, context.span_id))
}

fn sorted(tags: &Tags) -> BTreeMap<&str, &str> {
    tags.iter().map(|(key, value)| (key, &**value)).collect()
}

/// The tags of the `aws.lambda` span, exactly.
fn assert_trigger_tags(event: &Event, source: &str, arn: &str, others: &[(&str, &str)]) {
    let mut expected: BTreeMap<&str, &str> = others.iter().copied().collect();
    expected.insert("function_trigger.event_source", source);
    expected.insert("function_trigger.event_source_arn", arn);
    assert_eq!(sorted(&event.tags), expected);
}

/// The tags of the inferred span, exactly, and how long its caller waits.
fn assert_span_tags(event: &Event, synchronicity: Synchronicity, others: &[(&str, &str)]) {
    let inferred = event.inferred.as_ref().unwrap();
    assert_eq!(inferred.synchronicity, synchronicity);
    let mut expected: BTreeMap<&str, &str> = others.iter().copied().collect();
    expected.insert("_inferred_span.tag_source", "self");
    let is_sync = synchronicity == Synchronicity::Sync;
    expected.insert("_inferred_span.synchronicity", if is_sync { "sync" } else { "async" });
    assert_eq!(sorted(&inferred.outer.meta), expected);
}

/// Name, service, resource and type of the inferred span.
fn labels(event: &Event) -> [&str; 4] {
    let outer = &event.inferred.as_ref().unwrap().outer;
    assert_eq!((outer.span_id, outer.trace_id, outer.parent_id, outer.error), (101, 0, 0, 0));
    [&outer.name, &outer.service, &outer.resource, &outer.kind]
}

fn start(event: &Event) -> i64 {
    event.inferred.as_ref().unwrap().outer.start
}

/// Milliseconds since the epoch as Datadog's libraries convert them: the result may be some hundred nanoseconds off.
fn assert_start(event: &Event, millis: i64) {
    assert!((start(event) - millis * 1_000_000).abs() < 512, "{}", start(event));
}
