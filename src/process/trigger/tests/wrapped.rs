use super::*;
use crate::process::trace::Span;

/// The documented notification as SNS writes it into a queue.
fn notification() -> Value {
    let mut notification = documented(Kind::Sns)["Records"][0]["Sns"].clone();
    notification["MessageAttributes"]["_datadog"] = json!({"Type": "String", "Value": format!("{{\"x-datadog-trace-id\":\"{TRACE_ID}\",\"x-datadog-parent-id\":\"{PARENT_ID}\"}}")});
    notification
}

fn queue_with(body: &Value) -> Event {
    let mut event = documented(Kind::Sqs);
    event["Records"][0]["messageAttributes"] = json!({});
    event["Records"][0]["body"] = json!(body.to_string());
    parse(&event)
}

fn wrapped(event: &Event) -> &Span<'static> {
    event.inferred.as_ref().unwrap().wrapped.as_ref().unwrap()
}

/// What is not known before the invocation is over, of the outer and of the wrapped span: parent, duration, peer.
fn assert_completed(event: Event, context: &TraceContext, peer: &str) {
    let mut inferred = event.inferred.unwrap();
    inferred.adopt(context);
    let start = inferred.outer.start + 5_000;
    let mut lambda =
        Span { trace_id: TRACE_ID, start, duration: 700, error: 1, service: "shop".into(), ..Span::default() };
    lambda.metrics.set("_dd.appsec.enabled", 1.0);
    lambda.meta.set("_dd.appsec.json", "{}".into());
    let between = inferred.outer.start - inferred.wrapped.as_ref().unwrap().start;
    let [outer, wrapped]: [Span; 2] = inferred.complete(&lambda).try_into().unwrap();
    assert_eq!((outer.span_id, outer.parent_id, wrapped.span_id, wrapped.parent_id), (101, 102, 102, context.span_id));
    assert_eq!((outer.duration, wrapped.duration), (5_000, between));
    for (span, peer) in [(&outer, "shop"), (&wrapped, peer)] {
        assert_eq!((span.trace_id, span.error), (TRACE_ID, 1));
        assert_eq!(span.meta.get("peer.service").map(|text| &**text), Some(peer));
        assert_eq!(span.metrics.get("_dd.appsec.enabled"), Some(&1.0));
        assert_eq!(span.meta.get("_dd.appsec.json").map(|text| &**text), Some("{}"));
    }
    assert_eq!(outer.meta.get("span.kind").map(|text| &**text), Some("server"));
}

#[test]
fn sns_through_sqs() {
    let event = queue_with(&notification());
    let span = wrapped(&event);
    assert_eq!(
        [&*span.name, &span.service, &span.resource, &span.kind],
        ["aws.sns", "Deliveries", "Deliveries", "web"]
    );
    assert_eq!(span.start, 1_717_236_001_500_000_000);
    let outer = &event.inferred.as_ref().unwrap().outer;
    assert_eq!(outer.meta.get("function_trigger.event_source").map(|text| &**text), Some("sns"));
    assert_eq!(event.tags.get("function_trigger.event_source").map(|text| &**text), Some("sqs"));
    assert_eq!(ids(&event), Some((TRACE_ID, PARENT_ID)));
    assert!(!span.meta.contains("event_subscription_arn"));
    let spans = event.inferred.unwrap().complete(&Span { start: i64::MAX, ..Span::default() });
    assert_eq!(spans[1].duration, 0, "the queue's clock is behind the topic's");
}

#[test]
fn spans_without_a_time_begin_with_what_follows_them() {
    let mut body = notification();
    body["Timestamp"] = json!("at noon");
    let mut event = documented(Kind::Sqs);
    event["Records"][0]["body"] = json!(body.to_string());
    event["Records"][0]["attributes"] = Value::Null;
    let lambda = Span { start: 1_717_236_009_000_000_000, duration: 5, ..Span::default() };
    let times = |event: &Value| -> Vec<(i64, i64)> {
        let spans = parse(event).inferred.unwrap().complete(&lambda);
        spans.iter().map(|span| (span.start, span.duration)).collect()
    };
    assert_eq!(times(&event), [(lambda.start, 0), (lambda.start, 0)]);
    let mut event = documented(Kind::HttpApi);
    event["requestContext"]["timeEpoch"] = Value::Null;
    assert_eq!(times(&event), [(lambda.start, 5)], "a caller that waits");
}

#[test]
fn a_wrapped_span_lies_between_the_sender_and_the_queue() {
    let mut body = notification();
    body["Timestamp"] = json!("2024-06-01T10:00:00.500Z");
    let event = queue_with(&body);
    let between = event.inferred.as_ref().unwrap().outer.start - wrapped(&event).start;
    assert!((between - 750_000_000).abs() < 512);
    let context = context(&event).unwrap();
    assert_completed(event, &context, "Paid-Orders");
}

#[test]
fn eventbridge_through_sqs() {
    let mut body = documented(Kind::EventBridge);
    body["detail"]["_datadog"]["x-datadog-start-time"] = json!(1_717_236_000_100_u64);
    let event = queue_with(&body);
    let span = wrapped(&event);
    assert_eq!([&*span.name, &span.service, &span.resource], ["aws.eventbridge", "orders", "orders"]);
    let outer = &event.inferred.as_ref().unwrap().outer;
    assert!((outer.start - span.start - 1_150_000_000).abs() < 512);
    assert_eq!(outer.meta.get("function_trigger.event_source").map(|text| &**text), Some("eventbridge"));
    let context = context(&event).unwrap();
    assert_eq!((context.trace_id, context.span_id), (TRACE_ID, PARENT_ID));
    assert_completed(event, &context, "Paid-Orders");
}

#[test]
fn eventbridge_through_sns() {
    let mut event = documented(Kind::Sns);
    let mut message = documented(Kind::EventBridge);
    message["detail"]["_datadog"]["x-datadog-start-time"] = json!("1717236001000.0");
    event["Records"][0]["Sns"]["Message"] = json!(message.to_string());
    event["Records"][0]["Sns"]["MessageAttributes"] = json!({});
    let event = parse(&event);
    assert_eq!(&*wrapped(&event).name, "aws.eventbridge");
    let outer = &event.inferred.as_ref().unwrap().outer;
    assert_eq!(outer.meta.get("function_trigger.event_source").map(|text| &**text), Some("eventbridge"));
    assert_eq!(ids(&event), Some((TRACE_ID, PARENT_ID)), "the carrier of what is inside");
    let context = context(&event).unwrap();
    assert_completed(event, &context, "Deliveries");
}

#[test]
fn eventbridge_through_sns_and_sqs_has_two_spans_and_the_trace_of_the_innermost() {
    let mut body = notification();
    body["Message"] = json!(documented(Kind::EventBridge).to_string());
    body["MessageAttributes"] = Value::Null;
    let event = queue_with(&body);
    assert_eq!(&*wrapped(&event).name, "aws.sns");
    assert_eq!(ids(&event), Some((TRACE_ID, PARENT_ID)));
}

#[test]
fn a_message_that_looks_a_little_like_a_delivery_is_none() {
    for body in [
        json!({"TopicArn": "mine", "MessageId": 1, "Timestamp": 2}),
        json!({"TopicArn": "arn:aws:sns:eu-west-1:1:t", "Message": "m"}),
        json!({"detail-type": "x", "source": "y"}),
        json!({"detail-type": 1, "source": "y", "detail": {}}),
        json!([1, 2]),
        json!("text"),
        json!(null),
    ] {
        let event = queue_with(&body);
        assert_eq!((event.kind, &event.inferred.as_ref().unwrap().wrapped), (Some(Kind::Sqs), &None), "{body}");
    }
}
