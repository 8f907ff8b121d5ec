use super::*;
use crate::{config::DataStreams, process::data_streams::Pathway};

/// Source: the test vector of Datadog's tracers.
const PATHWAY: &str = "Z7CzXmXArPrE58Cfj2LI2cOfj2I=";

fn settings() -> Settings {
    let data_streams = DataStreams { enabled: true, exchange: None, kafka_group: Some("billing".to_owned()) };
    settings_with(|config| config.triggers.data_streams = data_streams)
}

/// Tags, joined by blanks, bytes, and whether the sender said where the record came from.
fn checkpoints(event: &Value) -> Vec<(String, u64, bool)> {
    let found = parse_bytes(event.to_string().as_bytes(), &settings()).checkpoints;
    let start = 1_685_673_482_722;
    let is_known = |pathway: Option<Pathway>| pathway.inspect(|pathway| assert_eq!(pathway.start, start)).is_some();
    found.into_iter().map(|found| (found.tags.join(" "), found.bytes, is_known(found.pathway))).collect()
}

fn checkpoint(tags: &str, bytes: u64, is_known: bool) -> (String, u64, bool) {
    (tags.to_owned(), bytes, is_known)
}

#[test]
fn every_record_of_a_queue_is_a_checkpoint() {
    let mut event = documented(Kind::Sqs);
    let carrier = json!({"dd-pathway-ctx-base64": PATHWAY}).to_string();
    event["Records"][1]["messageAttributes"]["_datadog"] = json!({"stringValue": carrier, "dataType": "String"});
    let tags = "direction:in topic:Paid-Orders type:sqs";
    assert_eq!(checkpoints(&event), [checkpoint(tags, 19, false), checkpoint(tags, 19, true)]);
    let mut notification = documented(Kind::Sns)["Records"][0]["Sns"].clone();
    notification["MessageAttributes"]["_datadog"] = json!({"Type": "String", "Value": carrier});
    event["Records"] = json!([{"eventSource": "aws:sqs", "body": notification.to_string()}]);
    let bytes = u64::try_from(notification.to_string().len()).unwrap();
    assert_eq!(checkpoints(&event), [checkpoint("direction:in type:sqs", bytes, true)]);
}

#[test]
fn every_record_of_topics_streams_and_buses_is_a_checkpoint() {
    let topic = "direction:in topic:arn:aws:sns:eu-west-1:123456789012:Deliveries type:sns";
    assert_eq!(checkpoints(&documented(Kind::Sns)), [checkpoint(topic, 20, false)]);
    let mut event = documented(Kind::Kinesis);
    let stream = "direction:in topic:Clicks type:kinesis";
    assert_eq!(checkpoints(&event), [checkpoint(stream, 148, false)]);
    event["Records"][0]["eventSourceARN"] = Value::Null;
    event["Records"][0]["kinesis"]["data"] = json!("YQ==");
    assert_eq!(checkpoints(&event), [checkpoint("direction:in type:kinesis", 1, false)]);

    let mut event = documented(Kind::Msk);
    event["records"]["refunded-1"] =
        json!({"0": {"topic": "refunded", "value": null, "headers": {"0": {"dd-pathway-ctx": PATHWAY.as_bytes()}}}});
    let settled = checkpoint("direction:in group:billing topic:settled type:kafka", 15, false);
    let refunded = checkpoint("direction:in group:billing topic:refunded type:kafka", 0, true);
    assert_eq!(checkpoints(&event), [settled, refunded]);

    let mut event = documented(Kind::EventBridge);
    event["detail"] = json!({"_datadog": {"dd-pathway-ctx": PATHWAY}});
    let bytes = u64::try_from(event["detail"].to_string().len()).unwrap();
    let bus = |exchange: &str| {
        checkpoint(&format!("direction:in exchange:{exchange} topic:Order paid type:eventbridge"), bytes, true)
    };
    assert_eq!(checkpoints(&event), [bus("orders")]);
    for resources in [json!(["arn:aws:events:eu-west-1:1:rule/paid", 7]), json!([]), Value::Null] {
        event["resources"] = resources;
        assert_eq!(checkpoints(&event), [bus("default")]);
    }
}

#[test]
fn other_triggers_have_no_checkpoints_and_all_need_the_setting() {
    for (kind, text) in DOCUMENTED {
        let is_message = matches!(kind, Kind::Sqs | Kind::Sns | Kind::Kinesis | Kind::Msk | Kind::EventBridge);
        assert_eq!(!parse_bytes(text.as_bytes(), &settings()).checkpoints.is_empty(), is_message, "{kind:?}");
        assert!(parse(&documented(kind)).checkpoints.is_empty());
    }
}

#[test]
fn records_are_looked_at_up_to_the_largest_batch() {
    let record = documented(Kind::Sqs)["Records"][0].clone();
    let event = json!({"Records": vec![record; 10_001]}).to_string();
    let found = parse_bytes(event.as_bytes(), &settings()).checkpoints;
    assert_eq!(found.len(), 10_000);
    let first = &found[0].tags;
    assert!(
        found.iter().all(|found| std::sync::Arc::ptr_eq(&found.tags, first)),
        "records of one queue share their tags"
    );
}
