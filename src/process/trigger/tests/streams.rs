use super::*;

fn hashes(event: &Event) -> Vec<(&str, &str)> {
    event.inferred.as_ref().unwrap().pointers.iter().map(|pointer| (pointer.kind, &*pointer.hash)).collect()
}

#[test]
fn kinesis_as_documented() {
    let event = parse(&documented(Kind::Kinesis));
    let stream = "arn:aws:kinesis:eu-west-1:123456789012:stream/Clicks";
    let shard = "shardId-000000000006";
    let id = format!("{shard}:49590338271490256608559692538361571095921575989136588898");
    assert_eq!(event.kind, Some(Kind::Kinesis));
    assert_eq!(labels(&event), ["aws.kinesis", "Clicks", "Clicks", "web"]);
    assert_start(&event, 1_717_236_002_500);
    assert_span_tags(
        &event,
        Synchronicity::Async,
        &[
            ("operation_name", "aws.kinesis"),
            ("stream_name", "Clicks"),
            ("shard_id", shard),
            ("event_source_arn", stream),
            ("event_id", &id),
            ("event_name", "aws:kinesis:record"),
            ("event_version", "1.0"),
            ("partition_key", "customer-88"),
        ],
    );
    assert_trigger_tags(&event, "kinesis", stream, &[]);
    assert_eq!(ids(&event), Some((TRACE_ID, PARENT_ID)));
}

#[test]
fn kinesis_without_a_source_and_with_data_of_other_kinds() {
    let mut event = documented(Kind::Kinesis);
    event["Records"][0]["eventSourceARN"] = Value::Null;
    for data in [json!("bm90IEpTT04="), json!("not base64"), json!("gICA"), json!(7), Value::Null] {
        event["Records"][0]["kinesis"]["data"] = data;
        let event = parse(&event);
        assert_eq!((labels(&event), ids(&event)), (["aws.kinesis", "kinesis", "", "web"], None));
    }
}

#[test]
fn dynamodb_as_documented() {
    let event = parse(&documented(Kind::DynamoDb));
    let arn = "arn:aws:dynamodb:eu-west-1:123456789012:table/Orders/stream/2024-05-01T00:00:00.000";
    assert_eq!(event.kind, Some(Kind::DynamoDb));
    assert_eq!(labels(&event), ["aws.dynamodb", "Orders", "MODIFY Orders", "web"], "the first of two records");
    assert_eq!(start(&event), 1_717_236_001_000_000_000);
    assert_span_tags(
        &event,
        Synchronicity::Async,
        &[
            ("operation_name", "aws.dynamodb"),
            ("event_id", "1b2c3d4e5f60718293a4b5c6d7e8f901"),
            ("event_name", "MODIFY"),
            ("event_version", "1.1"),
            ("event_source_arn", arn),
            ("size_bytes", "59"),
            ("stream_view_type", "NEW_AND_OLD_IMAGES"),
            ("table_name", "Orders"),
        ],
    );
    assert_trigger_tags(&event, "dynamodb", arn, &[]);
    assert_eq!(
        hashes(&event),
        [("aws.dynamodb.item", "08c197f6385565e77376e6d644fab722")],
        "keys in the order of their names"
    );
    assert_eq!(ids(&event), None);
}

/// Source: the test vectors of Datadog's documentation of span pointers.
#[test]
fn dynamodb_pointers_of_every_type_of_key_and_of_no_key() {
    let with = |keys: Value, table: &str| {
        let mut event = documented(Kind::DynamoDb);
        event["Records"][0]["dynamodb"]["Keys"] = keys;
        event["Records"][0]["eventSourceARN"] = json!(format!("arn:aws:dynamodb:eu-west-1:1:table/{table}/stream/x"));
        let event = parse(&event);
        assert_eq!(labels(&event)[0], "aws.dynamodb");
        hashes(&event).first().map(|(_, hash)| (*hash).to_owned())
    };
    let one = with(json!({"id": {"S": "abc123"}}), "TestTable");
    assert_eq!(one.as_deref(), Some("69706c9e1e41a2f0cf8c0650f91cb0c2"));
    let two = with(json!({"num_key": {"N": "42"}, "bin_key": {"B": "SGVsbG8gV29ybGQ="}}), "TestTable");
    assert_eq!(two.as_deref(), Some("2031d2d69b45adc3d5c27691924ddfcc"));
    for keys in [
        Value::Null,
        json!({}),
        json!([]),
        json!({"id": "abc"}),
        json!({"id": {"BOOL": true}}),
        json!({"id": {"B": "gICA"}}),
        json!({"a": {"S": "1"}, "b": {"S": "2"}, "c": {"S": "3"}}),
    ] {
        assert_eq!(with(keys.clone(), "TestTable"), None, "{keys}");
    }
    assert_eq!(with(json!({"id": {"S": "abc123"}}), ""), None);
}

#[test]
fn s3_as_documented() {
    let event = parse(&documented(Kind::S3));
    assert_eq!(event.kind, Some(Kind::S3));
    assert_eq!(labels(&event), ["aws.s3", "test-bucket", "test-bucket", "web"]);
    assert_eq!(start(&event), 1_717_236_001_750_000_000);
    assert_span_tags(
        &event,
        Synchronicity::Async,
        &[
            ("operation_name", "aws.s3"),
            ("event_name", "ObjectCreated:Put"),
            ("bucketname", "test-bucket"),
            ("bucket_arn", "arn:aws:s3:::test-bucket"),
            ("object_key", "test/key"),
            ("object_size", "1305107"),
            ("object_etag", "0123456789abcdef0123456789abcdef"),
        ],
    );
    assert_trigger_tags(&event, "s3", "aws:s3", &[]);
    assert_eq!(hashes(&event), [("aws.s3.object", "40df87dbfdf59f32253a2668c23e51b4")]);
}

#[test]
fn s3_of_a_removal_and_with_a_quoted_tag() {
    let mut event = documented(Kind::S3);
    event["Records"][0]["eventName"] = json!("ObjectRemoved:Delete");
    event["Records"][0]["s3"]["object"] = json!({"key": "test/key", "sequencer": "1"});
    event["Records"][0]["eventTime"] = Value::Null;
    let read = parse(&event);
    assert_eq!((labels(&read)[0], start(&read), hashes(&read)), ("aws.s3", 0, Vec::new()));
    event["Records"][0]["s3"] =
        json!({"bucket": {"name": "some-bucket"}, "object": {"key": "some-key.data", "eTag": "\"ab12ef34\""}});
    assert_eq!(hashes(&parse(&event)), [("aws.s3.object", "e721375466d4116ab551213fdea08413")]);
}

#[test]
fn the_pointer_to_an_object_is_that_of_its_key_before_s3_encoded_it() {
    let mut event = documented(Kind::S3);
    let mut hash = |key: &str, tag: &str| {
        event["Records"][0]["s3"] =
            json!({"bucket": {"name": "some-bucket"}, "object": {"key": key, "eTag": "ab12ef34"}});
        let event = parse(&event);
        assert_eq!(sorted(&event.inferred.as_ref().unwrap().outer.meta)["object_key"], tag);
        hashes(&event)[0].1.to_owned()
    };
    let pointer = |key: &str| {
        let parts = ["some-bucket", key, "ab12ef34"].join("|");
        let digest = sha256(parts.as_bytes()).unwrap();
        format!("{:032x}", u128::from_be_bytes(*digest.first_chunk().unwrap()))
    };
    assert_eq!(pointer("some-key.data"), "e721375466d4116ab551213fdea08413");
    for (key, plain) in
        [("red+flower.jpg", "red flower.jpg"), ("a/%C3%A9%2B%26.txt", "a/é+&.txt"), ("100%", "100%"), ("%ff", "%ff")]
    {
        assert_eq!(hash(key, key), pointer(plain), "{key}");
    }
}

#[test]
fn pointers_join_the_links_that_the_span_has() {
    let complete = |present: Option<&str>| {
        let mut inferred = parse(&documented(Kind::S3)).inferred.unwrap();
        if let Some(present) = present {
            inferred.outer.meta.set("_dd.span_links", present.to_owned().into());
        }
        let spans = inferred.complete(&crate::process::trace::Span::default());
        let links = spans[0].meta.get("_dd.span_links").unwrap();
        serde_json::from_str::<Value>(links).unwrap()
    };
    let own = json!({"trace_id": 0, "trace_id_high": 0, "span_id": 0, "tracestate": "", "flags": 0, "attributes": {
        "link.kind": "span-pointer", "ptr.dir": "u", "ptr.hash": "40df87dbfdf59f32253a2668c23e51b4", "ptr.kind": "aws.s3.object"}});
    assert_eq!(complete(None), json!([own]));
    assert_eq!(complete(Some(r#"[{"trace_id":18446744073709551615}]"#)), json!([{"trace_id": u64::MAX}, own]));
    assert_eq!(complete(Some("no list")), json!([own]));
}

#[test]
fn msk_as_documented() {
    let event = parse(&documented(Kind::Msk));
    let arn = "arn:aws:kafka:eu-west-1:123456789012:cluster/payments/6f1b7c1e-0a2b-4c3d-8e4f-5a6b7c8d9e0f-3";
    assert_eq!(event.kind, Some(Kind::Msk));
    assert_eq!(labels(&event), ["aws.msk", "payments", "settled", "web"]);
    assert_start(&event, 1_717_236_001_000);
    assert_span_tags(
        &event,
        Synchronicity::Async,
        &[
            ("operation_name", "aws.msk"),
            ("topic", "settled"),
            ("partition", "0"),
            ("event_source", "aws:kafka"),
            ("event_source_arn", arn),
        ],
    );
    assert_trigger_tags(&event, "msk", arn, &[]);
    assert_eq!(ids(&event), Some((TRACE_ID, PARENT_ID)));
}

#[test]
fn msk_in_javas_shape_prefers_the_record_with_a_trace() {
    let bytes = |text: &str| -> Value {
        let bytes = text.bytes().enumerate().map(|(index, byte)| (index.to_string(), json!(byte.to_string())));
        bytes.collect::<serde_json::Map<_, _>>().into()
    };
    let mut event = documented(Kind::Msk);
    event["records"] = json!({
        "a-0": {"0": {"topic": "a", "partition": 3, "timestamp": 1, "headers": {}}, "1": {"topic": "a", "headers": null}},
        "b-1": {"0": {"topic": "b", "headers": {"0": {"other": [1, 2]}}}, "1": {"topic": "b", "partition": 7, "timestamp": "5000", "headers": {
            "0": {"TraceParent": bytes("00-66f1a2b300000000112210f47de98115-208b2f3a4c5d6e7f-01")}}}},
    });
    let read = parse(&event);
    assert_eq!(labels(&read), ["aws.msk", "payments", "b", "web"]);
    assert_eq!((start(&read), ids(&read)), (5_000_000_000, Some((TRACE_ID, 0x208b_2f3a_4c5d_6e7f))));
    event["records"]["b-1"] = Value::Null;
    event["eventSourceArn"] = Value::Null;
    let read = parse(&event);
    assert_eq!(
        (labels(&read), start(&read), ids(&read)),
        (["aws.msk", "msk", "a", "web"], 1_000_000, None),
        "else the first"
    );
}
