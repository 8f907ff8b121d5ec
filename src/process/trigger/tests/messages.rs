use super::*;

const QUEUE: &str = "arn:aws:sqs:eu-west-1:123456789012:Paid-Orders";

#[test]
fn sqs_as_documented() {
    let event = parse(&documented(Kind::Sqs));
    assert_eq!(event.kind, Some(Kind::Sqs));
    assert_eq!(labels(&event), ["aws.sqs", "Paid-Orders", "Paid-Orders", "web"], "the first of two records");
    assert_start(&event, 1_717_236_001_250);
    let both = [
        ("retry_count", "3"),
        ("sender_id", "AIDAIENQZJOLO23YVJ4VO"),
        ("source_arn", QUEUE),
        ("aws_region", "eu-west-1"),
    ];
    let own = [("operation_name", "aws.sqs"), ("receipt_handle", "AQEBwJnKyrHigUMZj6rYigCgxlaS3SLy0a")];
    assert_span_tags(&event, Synchronicity::Async, &[&both[..], &own].concat());
    assert_trigger_tags(&event, "sqs", QUEUE, &both);
    assert_eq!(event.inferred.as_ref().unwrap().wrapped, None);
    assert_eq!(ids(&event), Some((TRACE_ID, PARENT_ID)));
}

#[test]
fn sqs_of_another_region_is_tagged_as_of_the_functions() {
    let mut event = documented(Kind::Sqs);
    event["Records"][0]["eventSourceARN"] = json!("arn:aws-cn:sqs:cn-north-1:42:q");
    let event = parse(&event);
    let arn = |key: &str| event.tags.get(key).map(|text| &**text);
    assert_eq!(arn("function_trigger.event_source_arn"), Some("arn:aws:sqs:eu-west-1:42:q"));
    assert_eq!(arn("source_arn"), Some("arn:aws-cn:sqs:cn-north-1:42:q"));
}

#[test]
fn sqs_without_a_source_and_with_attributes_of_a_customers_types() {
    let mut event = documented(Kind::Sqs);
    let record = &mut event["Records"][0];
    record.as_object_mut().unwrap().remove("eventSourceARN");
    record["attributes"] = Value::Null;
    // The documented carrier in base64.
    let binary = documented(Kind::Sns)["Records"][0]["Sns"]["MessageAttributes"]["_datadog"]["Value"].clone();
    record["messageAttributes"] = json!({"_datadog": {"binaryValue": binary, "dataType": "Binary.datadog"}});
    let read = parse(&event);
    assert_eq!(labels(&read), ["aws.sqs", "sqs", "", "web"]);
    assert_eq!((start(&read), ids(&read)), (0, Some((TRACE_ID, PARENT_ID))));
    let attributes = json!({"StringValue": "{\"X-Datadog-Trace-Id\":9007199254740993,\"x-DATADOG-parent-id\":8,\"other\":{}}", "DataType": "String.json"});
    event["Records"][0]["messageAttributes"] = json!({ "_datadog": attributes });
    assert_eq!(ids(&parse(&event)), Some((9_007_199_254_740_993, 8)), "names of any case, numbers beyond doubles");
    for broken in [
        json!({"dataType": "Binary", "binaryValue": "%"}),
        json!({"dataType": "String", "stringValue": "{"}),
        json!(7),
        json!([]),
    ] {
        event["Records"][0]["messageAttributes"]["_datadog"] = broken;
        assert_eq!(ids(&parse(&event)), None);
    }
}

#[test]
fn sqs_continues_the_trace_of_an_xray_header_if_there_is_no_other() {
    let mut event = documented(Kind::Sqs);
    let planted = "Root=1-665aee20-00000000112210f47de98115;Parent=208b2f3a4c5d6e7f;Sampled=0";
    event["Records"][0]["attributes"]["AWSTraceHeader"] = json!(planted);
    assert_eq!(ids(&parse(&event)), Some((TRACE_ID, PARENT_ID)), "the attribute counts more");
    event["Records"][0]["messageAttributes"] = Value::Null;
    let context = context(&parse(&event)).unwrap();
    assert_eq!((context.trace_id, context.span_id, context.priority), (TRACE_ID, 0x208b_2f3a_4c5d_6e7f, Some(0)));
}

#[test]
fn sns_as_documented() {
    let event = parse(&documented(Kind::Sns));
    let topic = "arn:aws:sns:eu-west-1:123456789012:Deliveries";
    assert_eq!(event.kind, Some(Kind::Sns));
    assert_eq!(labels(&event), ["aws.sns", "Deliveries", "Deliveries", "web"]);
    assert_eq!(start(&event), 1_717_236_001_500_000_000);
    assert_span_tags(
        &event,
        Synchronicity::Async,
        &[
            ("operation_name", "aws.sns"),
            ("topicname", "Deliveries"),
            ("topic_arn", topic),
            ("message_id", "95df01b4-ee98-5cb9-9903-4c221d41eb5e"),
            ("type", "Notification"),
            ("subject", "Dispatch"),
            (
                "event_subscription_arn",
                "arn:aws:sns:eu-west-1:123456789012:Deliveries:21be56ed-a058-49f5-8c98-aedd2564c486",
            ),
        ],
    );
    assert_trigger_tags(&event, "sns", topic, &[]);
    assert_eq!(ids(&event), Some((TRACE_ID, PARENT_ID)), "a binary attribute");
}

#[test]
fn sns_with_a_text_attribute_and_nulls() {
    let mut event = documented(Kind::Sns);
    let sns = &mut event["Records"][0]["Sns"];
    sns["Subject"] = Value::Null;
    sns["Timestamp"] = json!("yesterday");
    sns["MessageAttributes"] = json!({"_datadog": {"Type": "String", "Value": "{\"x-datadog-trace-id\":\"41\"}"}});
    event["Records"][0]["EventSubscriptionArn"] = Value::Null;
    let read = parse(&event);
    let meta = &read.inferred.as_ref().unwrap().outer.meta;
    assert!(!meta.contains("subject") && !meta.contains("event_subscription_arn"));
    assert_eq!((start(&read), ids(&read)), (0, Some((41, 0))));
    event["Records"][0]["Sns"]["MessageAttributes"] = Value::Null;
    assert_eq!(ids(&parse(&event)), None);
}

#[test]
fn eventbridge_as_documented() {
    let event = parse(&documented(Kind::EventBridge));
    assert_eq!(event.kind, Some(Kind::EventBridge));
    assert_eq!(labels(&event), ["aws.eventbridge", "orders", "orders", "web"]);
    assert_start(&event, 1_717_236_001_900);
    let tags = [("operation_name", "aws.eventbridge"), ("detail_type", "Order paid")];
    assert_span_tags(&event, Synchronicity::Async, &tags);
    assert_trigger_tags(&event, "eventbridge", "shop.orders", &[]);
    assert_eq!(ids(&event), Some((TRACE_ID, PARENT_ID)));
}

#[test]
fn eventbridge_of_a_sender_without_a_library() {
    let mut event = documented(Kind::EventBridge);
    event["detail"] = json!("text");
    let read = parse(&event);
    assert_eq!(labels(&read), ["aws.eventbridge", "shop.orders", "shop.orders", "web"]);
    assert_eq!((start(&read), ids(&read)), (1_717_236_002_000_000_000, None));
    event["detail"] =
        json!({"_datadog": {"x-datadog-trace-id": 51, "x-datadog-parent-id": "52", "x-datadog-start-time": true}});
    assert_eq!(ids(&parse(&event)), Some((51, 52)));
    event["source"] = json!("aws.events");
    assert_eq!(parse(&event).kind, None, "a schedule");
}
