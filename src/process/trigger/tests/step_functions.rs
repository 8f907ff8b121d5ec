use super::*;

const MACHINE: &str = "arn:aws:states:eu-west-1:123456789012:stateMachine:Fulfilment";

#[test]
fn step_functions_as_documented() {
    let event = parse(&documented(Kind::StepFunctions));
    assert_eq!((event.kind, &event.inferred), (Some(Kind::StepFunctions), &None));
    assert_trigger_tags(&event, "states", MACHINE, &[]);
    let context = context(&event).unwrap();
    assert_eq!((context.trace_id, context.span_id), (8_144_432_932_890_110_460, 1_273_294_546_506_131_586));
    assert_eq!((context.priority, context.origin.as_deref()), (Some(1), Some("states")));
    assert_eq!(sorted(&context.tags), [("_dd.p.tid", "108f78a8f08d4e85")].into());
}

#[test]
fn the_context_object_may_be_the_event_or_in_the_payload_of_an_older_integration() {
    let documented = documented(Kind::StepFunctions);
    let inner = documented["_datadog"].clone();
    let expected = context(&parse(&documented));
    for event in [inner.clone(), json!({"Payload": documented}), json!({"Payload": inner})] {
        let event = parse(&event);
        assert_eq!((event.kind, context(&event)), (Some(Kind::StepFunctions), expected.clone()));
    }
}

#[test]
fn retries_and_redrives_are_states_of_their_own() {
    let mut event = documented(Kind::StepFunctions);
    event["_datadog"]["State"]["RetryCount"] = json!(2);
    event["_datadog"]["Execution"]["RedriveCount"] = json!("1");
    assert_eq!(ids(&parse(&event)), Some((8_144_432_932_890_110_460, 8_732_662_326_422_903_661)));
}

/// Source: the test vector of Datadog's libraries.
#[test]
fn the_id_of_a_state_is_what_every_library_computes() {
    let execution = "arn:aws:states:sa-east-1:601427271234:express:DatadogStateMachine:acaf1a67-336a-e854-1599-2a627eb2dd8a:c8baf081-31f1-464d-971f-70cb17d01111";
    let event = json!({
        "Execution": {"Id": execution},
        "State": {"Name": "step-one", "EnteredTime": "2022-12-08T21:08:19.224Z"},
        "StateMachine": null,
    });
    let event = parse(&event);
    assert_eq!(ids(&event).map(|(_, parent)| parent), Some(4_340_734_536_022_949_921));
    assert!(event.tags.get("function_trigger.event_source_arn").is_none());
}

#[test]
fn a_nested_machine_is_a_part_of_the_trace_of_the_outermost() {
    let execution = "arn:aws:states:eu-west-1:123456789012:execution:Fulfilment:0";
    let mut event = documented(Kind::StepFunctions);
    event["_datadog"]["RootExecutionId"] = json!(execution);
    let context = context(&parse(&event)).unwrap();
    assert_eq!((context.trace_id, context.span_id), (1_983_097_607_511_263_735, 1_273_294_546_506_131_586));
    assert_eq!(sorted(&context.tags), [("_dd.p.tid", "35b4e8b513f9a0")].into(), "without leading zeros");
    assert_eq!(context.high_half(), 0x0035_b4e8_b513_f9a0);
}

#[test]
fn a_function_that_started_the_machine_gives_its_trace() {
    let mut event = documented(Kind::StepFunctions);
    event["_datadog"]["x-datadog-trace-id"] = json!(TRACE_ID.to_string());
    event["_datadog"]["x-datadog-tags"] = json!("_dd.p.dm=-0,_dd.p.tid=672a7cb100000000,other=1");
    let read = context(&parse(&event)).unwrap();
    assert_eq!((read.trace_id, read.span_id, read.priority), (TRACE_ID, 1_273_294_546_506_131_586, Some(1)));
    assert_eq!(sorted(&read.tags), [("_dd.p.dm", "-0"), ("_dd.p.tid", "672a7cb100000000")].into());
    event["_datadog"]["x-datadog-trace-id"] = json!("none");
    assert_eq!(ids(&parse(&event)).map(|(trace, _)| trace), Some(8_144_432_932_890_110_460));
}

#[test]
fn without_a_hash_there_is_no_context_but_the_tags_are_there() {
    let settings = Settings { sha256: |_| None, ..settings_with(|_| {}) };
    for (kind, text) in DOCUMENTED {
        let event = parse_bytes(text.as_bytes(), &settings);
        assert_eq!(event.kind, Some(kind));
        assert!(!event.tags.is_empty() && event.inferred.is_none_or(|inferred| inferred.pointers.is_empty()));
    }
}
