//! SNS, and what EventBridge delivers through it.
//!
//! Source: Lambda developer guide, "Invoking Lambda functions with Amazon SNS notifications".

use super::{
    Kind, Trigger, arn, attribute,
    checkpoints::{Checkpoints, Source},
    eventbridge,
    inferred::Synchronicity,
    json::Fields,
    settings::ServiceNames,
    trigger_data::{Input, TriggerData, from_rfc3339, set},
};
use crate::process::propagation::Carrier;

pub(super) const ROW: Trigger = Trigger { kind: Kind::Sns, matches, read, checkpoints };

/// The fields of a notification that are read.
pub(super) const NOTIFICATION: &[&str] =
    &["Message", "MessageAttributes", "MessageId", "Subject", "Timestamp", "TopicArn", "Type"];

fn matches(input: &Input) -> bool {
    input.record.has("Sns")
}

fn read(input: &mut Input) -> TriggerData {
    let fields = input.record.object("Sns", NOTIFICATION);
    let mut data = notification(input, &fields);
    if let Some(inferred) = &mut data.inferred {
        set(&mut inferred.outer.meta, "event_subscription_arn", input.record.text("EventSubscriptionArn"));
    }
    data
}

/// Whether a document is a notification; a customer's message that looks a little like one is not.
pub(super) fn is_notification(fields: &Fields) -> bool {
    let is_topic = |arn: &str| arn.starts_with("arn:");
    fields.string("TopicArn").as_deref().is_some_and(is_topic) && fields.has("MessageId") && fields.has("Timestamp")
}

/// Reads a notification that the function received, or a queue.
pub(super) fn notification(input: &mut Input, fields: &Fields) -> TriggerData {
    let arn = fields.text("TopicArn").unwrap_or_default();
    let topic = arn::name(&arn);
    let names = ServiceNames { specific: topic, generic: "lambda_sns", instance: topic, fallback: "sns" };
    let mut span = input.span("aws.sns", "web", from_rfc3339(fields.text("Timestamp")), &names);
    let tags = &mut span.meta;
    set(tags, "operation_name", Some("aws.sns"));
    set(tags, "topicname", Some(topic).filter(|topic| !topic.is_empty()));
    set(tags, "topic_arn", Some(&arn).filter(|arn| !arn.is_empty()));
    set(tags, "message_id", fields.text("MessageId"));
    set(tags, "type", fields.text("Type"));
    set(tags, "subject", fields.text("Subject"));
    let mut data = TriggerData::of("sns", &arn).with_span(span, Synchronicity::Async);
    data.name_resource(Some(topic));
    data.carrier = carrier(fields);
    if let Some(message) = fields.string("Message") {
        data.wrap(eventbridge::delivered(input, &message));
    }
    data
}

/// The carrier in the attributes of a notification.
pub(super) fn carrier(fields: &Fields) -> Carrier {
    attribute::carrier(&fields.object("MessageAttributes", &[attribute::NAME]))
}

fn checkpoints(input: &Input, checkpoints: &mut Checkpoints) {
    checkpoints.each(input.top.raw("Records"), &["Sns"], |checkpoints, record| {
        let fields = record.object("Sns", NOTIFICATION);
        let arn = fields.text("TopicArn").unwrap_or_default();
        let source = Source { kind: "sns", topic: &arn, exchange: None, group: None };
        checkpoints.push(&source, fields.string("Message").unwrap_or_default().len(), &carrier(&fields));
    });
}
