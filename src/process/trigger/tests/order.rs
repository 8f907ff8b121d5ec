use super::*;

#[test]
fn the_first_row_that_matches_decides() {
    for (index, (kind, text)) in DOCUMENTED.into_iter().enumerate() {
        let mut event: Value = serde_json::from_str(text).unwrap();
        // Later rows' fields change nothing. Records and request contexts are of one kind only, and every request of version 2.0 is one of an HTTP API.
        for (_, other) in DOCUMENTED.into_iter().skip(index + 1) {
            let Value::Object(other) = serde_json::from_str(other).unwrap() else { panic!("no object") };
            for (key, value) in other.into_iter().filter(|(key, _)| !["version", "rawQueryString"].contains(&&**key)) {
                event.as_object_mut().unwrap().entry(key).or_insert(value);
            }
        }
        assert_eq!(parse(&event).kind, Some(kind));
    }
}

#[test]
fn events_of_other_services_and_of_customers_are_of_no_kind() {
    for event in [
        json!({}),
        json!({"Records": []}),
        json!({"Records": [{"eventSource": "aws:codecommit"}]}),
        json!({"Records": {"0": {"eventSource": "aws:sqs"}}}),
        json!({"awslogs": {"data": "H4sIAAAAAAAAAHWPwQqCQBCGX0Xm7EFtK"}}),
        json!({"detail-type": "Scheduled Event", "source": "aws.events", "detail": {}}),
        json!({"records": {"a-0": []}}),
        json!({"records": [{"topic": "t"}]}),
        json!({"order": 4711}),
    ] {
        assert_eq!(parse(&event), Event::default(), "{event}");
    }
    for text in ["", "null", "[]", "7", "\"{}\"", "{", "{\"a\":1}}", "\u{feff}{}"] {
        assert_eq!(parse_bytes(text.as_bytes(), &settings_with(|_| {})), Event::default(), "{text}");
    }
    assert_eq!(parse_bytes(b"{\"a\":\"\xff\"}", &settings_with(|_| {})), Event::default());
}

/// Where a context is looked for, from the first to the last.
#[test]
fn every_source_of_a_context_counts_where_those_before_it_have_none() {
    let mut event = documented(Kind::Sqs);
    event["Records"][0]["attributes"]["AWSTraceHeader"] =
        json!("Root=1-665aee20-0000000000000000000000a1;Parent=00000000000000a2;Sampled=1");
    event["request"] = json!({"headers": {"X-Datadog-Trace-Id": "3", "x-datadog-parent-id": ["4"]}});
    event["headers"] = json!({"X-DATADOG-TRACE-ID": 5});
    let call = Carrier::collect([("X-Datadog-Trace-Id", "7")]);
    let trace = |event: &Value| {
        let context = parse(event).context(&Propagator::new(Propagation::default()), &call);
        context.map(|context| context.trace_id)
    };
    assert_eq!(trace(&event), Some(TRACE_ID));
    event["Records"][0]["messageAttributes"] = Value::Null;
    assert_eq!(trace(&event), Some(0xa1));
    event["Records"][0]["attributes"]["AWSTraceHeader"] = Value::Null;
    assert_eq!(trace(&event), Some(3));
    event["request"] = json!([]);
    assert_eq!(trace(&event), Some(5));
    event["headers"] = Value::Null;
    assert_eq!(trace(&event), Some(7));
    assert_eq!(trace(&json!("no object")), Some(7), "even of an event that is none");
}

#[test]
fn the_service_follows_the_mapping_then_the_customers_switches() {
    let service = |change: &dyn Fn(&mut Config), kind: Kind| {
        let event = parse_bytes(documented(kind).to_string().as_bytes(), &settings_with(change));
        event.inferred.unwrap().outer.service.into_owned()
    };
    let map = |pairs: &[(&str, &str)]| Triggers {
        service_mapping: pairs.iter().map(|(from, to)| ((*from).to_owned(), (*to).to_owned())).collect(),
        remove_integration_service_names: true,
        ..Triggers::default()
    };
    let both = map(&[("lambda_sqs", "queues"), ("Paid-Orders", "paid"), ("lambda_s3", "files")]);
    let generic = map(&[("lambda_sqs", "queues")]);
    assert_eq!(service(&|config| config.triggers = both.clone(), Kind::Sqs), "paid");
    assert_eq!(service(&|config| config.triggers = generic.clone(), Kind::Sqs), "queues");
    assert_eq!(
        service(&|config| config.triggers = generic.clone(), Kind::Sns),
        "shop",
        "the function's, by the switch"
    );
    let unset = |config: &mut Config| {
        config.triggers.remove_integration_service_names = true;
        config.service = None;
    };
    assert_eq!(service(&unset, Kind::Sns), "Deliveries", "without a service the switch is off");
    let off = |config: &mut Config| config.apm.service_representation = false;
    for (kind, fallback) in [
        (Kind::HttpApi, "shop1api23.execute-api.eu-west-1.amazonaws.com"),
        (Kind::RestApi, "bill9api87.execute-api.eu-west-1.amazonaws.com"),
        (Kind::WebSocket, "api_gateway_websocket"),
        (Kind::FunctionUrl, "url7id89xyz.lambda-url.eu-west-1.on.aws"),
        (Kind::Msk, "msk"),
        (Kind::Sqs, "sqs"),
        (Kind::Sns, "sns"),
        (Kind::DynamoDb, "dynamodb"),
        (Kind::S3, "s3"),
        (Kind::EventBridge, "eventbridge"),
        (Kind::Kinesis, "kinesis"),
    ] {
        assert_eq!(service(&off, kind), fallback);
    }
}

#[test]
fn every_kind_has_a_generic_key_of_the_mapping_and_a_specific_one() {
    for (kind, generic, specific) in [
        (Kind::HttpApi, "lambda_api_gateway", "shop1api23"),
        (Kind::RestApi, "lambda_api_gateway", "bill9api87"),
        (Kind::WebSocket, "lambda_api_gateway", "chat4api56"),
        (Kind::FunctionUrl, "lambda_url", "url7id89xyz"),
        (Kind::Msk, "lambda_msk", "payments"),
        (Kind::Sqs, "lambda_sqs", "Paid-Orders"),
        (Kind::Sns, "lambda_sns", "Deliveries"),
        (Kind::DynamoDb, "lambda_dynamodb", "Orders"),
        (Kind::S3, "lambda_s3", "test-bucket"),
        (Kind::EventBridge, "lambda_eventbridge", "orders"),
        (Kind::Kinesis, "lambda_kinesis", "Clicks"),
    ] {
        for key in [generic, specific] {
            let settings = settings_with(|config| {
                config.triggers.service_mapping.insert(key.to_owned(), "mapped".to_owned());
            });
            let event = parse_bytes(documented(kind).to_string().as_bytes(), &settings);
            assert_eq!(event.inferred.unwrap().outer.service, "mapped", "{kind:?} {key}");
        }
    }
}

#[test]
fn arns_have_the_partition_of_the_functions_region() {
    let arn = |region: &str| {
        let settings = Settings { region: region.to_owned(), ..settings_with(|_| {}) };
        let event = parse_bytes(documented(Kind::HttpApi).to_string().as_bytes(), &settings);
        event.inferred.unwrap().outer.meta.get("dd_resource_key").unwrap().to_string()
    };
    assert_eq!(arn("us-gov-west-1"), "arn:aws-us-gov:apigateway:us-gov-west-1::/apis/shop1api23");
    assert_eq!(arn("cn-north-1"), "arn:aws-cn:apigateway:cn-north-1::/apis/shop1api23");
    assert_eq!(arn("eu-central-2"), "arn:aws:apigateway:eu-central-2::/apis/shop1api23");
}

#[test]
fn a_caller_that_waits_has_a_span_until_the_end_and_others_until_the_beginning() {
    let duration = |kind: Kind, start: i64| {
        let inferred = parse(&documented(kind)).inferred.unwrap();
        let start = inferred.outer.start + start;
        let lambda = crate::process::trace::Span { start, duration: 30, trace_id: 9, ..Default::default() };
        let [outer]: [_; 1] = inferred.complete(&lambda).try_into().unwrap();
        assert_eq!((outer.trace_id, outer.parent_id), (9, 0));
        outer.duration
    };
    assert_eq!((duration(Kind::HttpApi, 50), duration(Kind::Kinesis, 50)), (80, 50));
    assert_eq!((duration(Kind::HttpApi, -50), duration(Kind::Kinesis, -50)), (0, 0), "clocks differ");
}
