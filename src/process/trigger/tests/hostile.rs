use super::*;
use crate::os::allocator::counting::allocations;

/// The fields without which an event is not recognized.
const DECISIVE: [(Kind, &[&str]); 13] = [
    (Kind::HttpApi, &["/version", "/rawQueryString", "/requestContext", "/requestContext/domainName"]),
    (Kind::RestApi, &["/requestContext", "/requestContext/stage", "/httpMethod", "/resource"]),
    (Kind::WebSocket, &["/requestContext", "/requestContext/messageDirection"]),
    (Kind::LoadBalancer, &["/requestContext", "/requestContext/elb", "/requestContext/elb/targetGroupArn"]),
    (Kind::FunctionUrl, &["/requestContext", "/requestContext/domainName"]),
    (Kind::Msk, &["/records", "/records/settled-0", "/records/settled-0/0", "/records/settled-0/0/topic"]),
    (Kind::Sqs, &["/Records", "/Records/0", "/Records/0/eventSource"]),
    (Kind::Sns, &["/Records", "/Records/0", "/Records/0/Sns"]),
    (Kind::DynamoDb, &["/Records", "/Records/0", "/Records/0/dynamodb"]),
    (Kind::S3, &["/Records", "/Records/0", "/Records/0/s3"]),
    (Kind::EventBridge, &["/detail-type", "/source"]),
    (Kind::Kinesis, &["/Records", "/Records/0", "/Records/0/kinesis"]),
    (
        Kind::StepFunctions,
        &[
            "/_datadog",
            "/_datadog/Execution",
            "/_datadog/Execution/Id",
            "/_datadog/State",
            "/_datadog/State/Name",
            "/_datadog/State/EnteredTime",
        ],
    ),
];

/// The paths of all values of a document, as `serde_json` writes them.
fn pointers(value: &Value, path: &str, found: &mut Vec<String>) {
    let children: Vec<(String, &Value)> = match value {
        Value::Object(fields) => fields.iter().map(|(name, value)| (name.replace('/', "~1"), value)).collect(),
        Value::Array(items) => items.iter().enumerate().map(|(index, item)| (index.to_string(), item)).collect(),
        _ => return,
    };
    for (name, child) in children {
        let path = format!("{path}/{name}");
        pointers(child, &path, found);
        found.push(path);
    }
}

/// Each documented event with each of its values replaced: by JSON, in place of a text that no event has.
fn each_replaced(mut see: impl FnMut(Kind, &str, bool, &str)) {
    for ((kind, text), (of, decisive)) in DOCUMENTED.into_iter().zip(DECISIVE) {
        assert_eq!(kind, of);
        let event: Value = serde_json::from_str(text).unwrap();
        let mut paths = Vec::new();
        pointers(&event, "", &mut paths);
        for path in paths {
            let mut event = event.clone();
            *event.pointer_mut(&path).unwrap() = json!("@here@");
            see(kind, &event.to_string(), decisive.contains(&&*path), &path);
        }
    }
}

fn assert_bounded(event: &Event) {
    let spans = event.inferred.iter().flat_map(|inferred| std::iter::once(&inferred.outer).chain(&inferred.wrapped));
    for span in spans {
        for text in [&span.service, &span.resource].into_iter().chain(span.meta.iter().map(|(_, text)| text)) {
            assert!(text.len() <= json::MAX_TEXT_BYTES);
        }
        assert!(span.start >= 0 && span.span_id > 0);
    }
    assert!(event.tags.iter().all(|(_, text)| text.len() <= json::MAX_TEXT_BYTES));
}

#[test]
fn missing_or_mistyped_field_drops_no_span() {
    let settings = settings_with(|_| {});
    let odd = [
        "null",
        "true",
        "-1e999",
        "18446744073709551616",
        "\"\"",
        "\"\\ud800\"",
        "\"x\"",
        "[]",
        "[[null]]",
        "{}",
        "{\"\":0}",
    ];
    each_replaced(|kind, text, is_decisive, path| {
        for odd in odd {
            let event = parse_bytes(text.replace("\"@here@\"", odd).as_bytes(), &settings);
            assert_bounded(&event);
            let has_span = !matches!(kind, Kind::LoadBalancer | Kind::StepFunctions);
            if !is_decisive {
                assert_eq!((event.kind, event.inferred.is_some()), (Some(kind), has_span), "{path} = {odd}");
            }
        }
    });
}

/// Deeper than any parser of ours recurses, in the event and in the documents that are texts in it.
#[test]
fn nesting_of_ten_thousand_levels_overflows_no_stack() {
    let run = || {
        let settings = settings_with(|_| {});
        let deep = [
            format!("{}{}", "[".repeat(10_000), "]".repeat(10_000)),
            format!("{}0{}", "{\"a\":".repeat(10_000), "}".repeat(10_000)),
        ];
        let deep = deep.into_iter().flat_map(|deep| [serde_json::to_string(&deep).unwrap(), deep]);
        let deep: Vec<String> = deep.collect();
        each_replaced(|kind, text, is_decisive, path| {
            for deep in &deep {
                let event = parse_bytes(text.replace("\"@here@\"", deep).as_bytes(), &settings);
                assert_bounded(&event);
                assert!(is_decisive || event.kind == Some(kind), "{path}");
            }
        });
        let unclosed = parse_bytes("[{\"a\":".repeat(1 << 20).as_bytes(), &settings);
        assert_eq!(unclosed, Event::default());
    };
    std::thread::Builder::new().stack_size(256 << 10).spawn(run).unwrap().join().unwrap();
}

#[test]
fn what_is_inside_a_message_may_be_of_any_size_and_depth() {
    let deep = format!("{}{}", "[".repeat(10_000), "]".repeat(10_000));
    let long = json!("é".repeat(3 << 20)).to_string();
    for (sample, place) in [
        (sample_events::SNS_SQS, "/Records/0/body"),
        (sample_events::EVENTBRIDGE_SQS, "/Records/0/body"),
        (sample_events::EVENTBRIDGE_SNS, "/Records/0/Sns/Message"),
    ] {
        let whole: Value = serde_json::from_str(sample.text).unwrap();
        assert!(parse(&whole).inferred.unwrap().wrapped.is_some(), "{}", sample.name);
        let inside: Value = serde_json::from_str(whole.pointer(place).unwrap().as_str().unwrap()).unwrap();
        let mut paths = Vec::new();
        pointers(&inside, "", &mut paths);
        let cases = paths.iter().map(|path| (path, &deep)).chain(paths.last().map(|path| (path, &long)));
        for (path, value) in cases {
            let (mut event, mut inside) = (whole.clone(), inside.clone());
            *inside.pointer_mut(path).unwrap() = json!("@here@");
            *event.pointer_mut(place).unwrap() = json!(inside.to_string().replace("\"@here@\"", value));
            let event = parse(&event);
            assert_bounded(&event);
            assert!(event.inferred.is_some(), "{} {path}", sample.name);
        }
    }
}

/// Events in another shape than the documented one, and a value in each that may be of any size.
fn other_shapes() -> [(Kind, &'static str, Value); 6] {
    let mut java = documented(Kind::Msk);
    java["records"] = json!({"a-0": {"0": {"topic": "a", "headers": {"0": {"traceparent": {"0": "48", "1": "x"}}}}}});
    let mut rest = documented(Kind::RestApi);
    rest["headers"] = Value::Null;
    rest["multiValueHeaders"] = json!({"x-datadog-trace-id": ["7", "8"], "referer": ["r"]});
    let state = documented(Kind::StepFunctions);
    let (inner, mut nested) = (state["_datadog"].clone(), state["_datadog"].clone());
    nested["RootExecutionId"] = json!("arn:aws:states:eu-west-1:123456789012:execution:Fulfilment:0");
    let mut started = inner.clone();
    started["x-datadog-trace-id"] = json!("7");
    started["x-datadog-tags"] = json!("_dd.p.tid=672a7cb100000000");
    [
        (Kind::Msk, "/records/a-0/0/headers/0/traceparent/0", java),
        (Kind::RestApi, "/multiValueHeaders/referer/0", rest),
        (Kind::StepFunctions, "/Execution/Id", inner),
        (Kind::StepFunctions, "/Payload/_datadog/State/Name", json!({ "Payload": state })),
        (Kind::StepFunctions, "/RootExecutionId", nested),
        (Kind::StepFunctions, "/x-datadog-tags", started),
    ]
}

#[test]
fn other_shapes_of_events_may_be_of_any_size_and_depth_too() {
    let settings = settings_with(|_| {});
    let deep = format!("{}{}", "[".repeat(10_000), "]".repeat(10_000));
    let long = json!("é".repeat(3 << 20)).to_string();
    for (kind, place, event) in other_shapes() {
        let read = |place: &str, value: &str| {
            let mut event = event.clone();
            *event.pointer_mut(place).unwrap() = json!("@here@");
            let read = parse_bytes(event.to_string().replace("\"@here@\"", value).as_bytes(), &settings);
            assert_bounded(&read);
            context(&read);
            read.kind
        };
        assert_eq!(read(place, &long), Some(kind), "{place}");
        let mut paths = Vec::new();
        pointers(&event, "", &mut paths);
        for path in paths {
            let found = read(&path, &deep);
            assert!(found.is_none_or(|found| found == kind), "{path} makes {found:?} of {kind:?}");
        }
    }
}

#[test]
fn a_trace_is_looked_for_in_as_many_records_of_kafka_as_a_batch_has() {
    let traced = json!({"headers": [{"x-datadog-trace-id": b"7"}]});
    for (before, trace) in [(9_998, Some(7)), (9_999, None)] {
        let mut records = vec![json!({"topic": "t"})];
        records.extend(std::iter::repeat_n(json!(0), before));
        records.push(traced.clone());
        let event = parse(&json!({"records": {"t-0": records}}));
        assert_eq!((event.kind, ids(&event).map(|(trace, _)| trace)), (Some(Kind::Msk), trace));
    }
}

#[test]
fn six_mebibytes_of_anything_are_kept_in_part_only() {
    const SIZE: usize = 6 << 20;
    let settings = settings_with(|_| {});
    for (kind, text) in DOCUMENTED {
        let mut event: Value = serde_json::from_str(text).unwrap();
        let text = "é".repeat(SIZE / 2);
        let place = match kind {
            Kind::HttpApi | Kind::FunctionUrl => "/requestContext/http/path",
            Kind::RestApi => "/requestContext/path",
            Kind::WebSocket => "/requestContext/routeKey",
            Kind::LoadBalancer => "/httpMethod",
            Kind::Msk => "/eventSourceArn",
            Kind::Sqs => "/Records/0/receiptHandle",
            Kind::Sns => "/Records/0/Sns/TopicArn",
            Kind::DynamoDb | Kind::Kinesis => "/Records/0/eventSourceARN",
            Kind::S3 => "/Records/0/s3/object/key",
            Kind::EventBridge => "/source",
            Kind::StepFunctions => "/_datadog/StateMachine/Id",
        };
        *event.pointer_mut(place).unwrap() = json!(format!("{text}/{text}:{text}"));
        let read = parse(&event);
        assert_eq!(read.kind, Some(kind));
        assert_bounded(&read);
    }
    let headers: Vec<String> = (0..SIZE / 24).map(|index| format!(",\"ot-baggage-{index}\":\"v\"")).collect();
    let headers = headers.concat();
    let event = format!(
        "{{\"requestContext\":{{\"domainName\":\"x.lambda-url.y\"}},\"headers\":{{\"x-datadog-trace-id\":5{headers}}}}}"
    );
    let read = parse_bytes(event.as_bytes(), &settings);
    let propagator = Propagator::new(Propagation { http_baggage: true, ..Propagation::default() });
    let context = read.context(&propagator, &Carrier::default()).unwrap();
    assert_eq!((read.kind, context.trace_id, context.tags.len()), (Some(Kind::FunctionUrl), 5, 64));
}

/// Each text that a span has is one allocation, and what is not asked for costs none, however long it is.
#[test]
fn allocations_depend_on_the_trigger_and_not_on_the_size_of_the_event() {
    let settings = settings_with(|_| {});
    let count = |text: &str| {
        let mut event = None;
        let allocations = allocations(|| event = Some(parse_bytes(text.as_bytes(), &settings)));
        assert!(event.unwrap().kind.is_some());
        allocations
    };
    for (kind, text) in DOCUMENTED {
        let small = count(text);
        assert!((1..=MAX_ALLOCATIONS).contains(&small), "{kind:?}: {small}");
        let padding = format!("{{\"unknown\":[{}0],", "{\"a\":\"b\"},".repeat(100_000));
        let large = count(&text.replacen('{', &padding, 1));
        assert_eq!(large, small, "{kind:?}");
    }
}

/// Maximum number of allocations that reading a documented event takes.
const MAX_ALLOCATIONS: usize = 150;

#[test]
fn unknown_fields_and_their_order_change_nothing() {
    for (kind, text) in DOCUMENTED {
        let event: Value = serde_json::from_str(text).unwrap();
        let (before, after) = (parse(&event), parse(&changed(&event)));
        assert_eq!((before.kind, after.kind), (Some(kind), Some(kind)));
        assert_eq!((&before.tags, &before.inferred, context(&before)), (&after.tags, &after.inferred, context(&after)));
    }
}

/// The same document with its fields in the reverse order and unknown ones between them, but for maps of somebody's own names.
fn changed(value: &Value) -> Value {
    match value {
        Value::Object(fields) => {
            let has_own_names =
                fields.keys().any(|name| name == "settled-0" || name == "customer" || name.contains("-id"));
            let fields = fields.iter().rev().map(|(name, value)| (name.clone(), changed(value)));
            let unknown = [("new\u{e9}".to_owned(), json!({"x": [1]})), ("\u{1f980}".to_owned(), Value::Null)];
            fields.chain(unknown.into_iter().filter(|_| !has_own_names)).collect()
        }
        Value::Array(items) => items.iter().map(changed).collect(),
        other => other.clone(),
    }
}
