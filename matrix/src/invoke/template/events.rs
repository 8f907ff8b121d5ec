//! What invokes a function of a template: the events of SAM's functions and of those of the Serverless Framework, as names of sample events.
//!
//! Sources: the event sources of the SAM specification, and "AWS Lambda Events" of the Serverless Framework.

use serde_json::Value;

/// The services of SAM, by the type of an event, with the name of their sample event.
const OF_SAM: [(&str, &str); 13] = [
    ("Api", "apigateway"),
    ("HttpApi", "apigateway-http"),
    ("SQS", "sqs"),
    ("SNS", "sns"),
    ("S3", "s3"),
    ("DynamoDB", "dynamodb"),
    ("Kinesis", "kinesis"),
    ("EventBridgeRule", "eventbridge"),
    ("CloudWatchEvent", "eventbridge"),
    ("Schedule", "eventbridge"),
    ("ScheduleV2", "eventbridge"),
    ("MSK", "msk"),
    ("ALB", "alb"),
];
/// Those of the Serverless Framework. A `stream` is of one of two services.
const OF_SERVERLESS: [(&str, &str); 11] = [
    ("http", "apigateway"),
    ("httpApi", "apigateway-http"),
    ("websocket", "apigateway-websocket"),
    ("alb", "alb"),
    ("sqs", "sqs"),
    ("sns", "sns"),
    ("s3", "s3"),
    ("eventBridge", "eventbridge"),
    ("cloudwatchEvent", "eventbridge"),
    ("schedule", "eventbridge"),
    ("msk", "msk"),
];
const FUNCTION_URL: &str = "function-url";

/// What invokes a function of SAM or `CloudFormation` with these properties, in the order of the template.
pub fn of_sam(properties: &Value) -> Vec<&'static str> {
    let events = properties.get("Events").and_then(Value::as_object).into_iter().flatten();
    let of_events = events.filter_map(|(_, event)| named(&OF_SAM, event.get("Type")?.as_str()?));
    let url = properties.get("FunctionUrlConfig").map(|_| FUNCTION_URL);
    unique(of_events.chain(url))
}

/// What invokes a function of the Serverless Framework, in the order of the service.
pub fn of_serverless(function: &Value) -> Vec<&'static str> {
    let events = function.get("events").and_then(Value::as_array).into_iter().flatten();
    let of_events = events.filter_map(|event| {
        let (name, settings) = match event {
            Value::String(name) => (name.as_str(), &Value::Null),
            _ => event.as_object()?.iter().next().map(|(name, settings)| (name.as_str(), settings))?,
        };
        if name == "stream" { Some(stream(settings)) } else { named(&OF_SERVERLESS, name) }
    });
    let url = function.get("url").filter(|url| **url != Value::Bool(false)).map(|_| FUNCTION_URL);
    unique(of_events.chain(url))
}

/// The service of a stream: by its type, or else by its ARN.
fn stream(settings: &Value) -> &'static str {
    let text = |value: Option<&Value>| value.and_then(Value::as_str).unwrap_or_default().to_owned();
    let words = [text(Some(settings)), text(settings.get("type")), text(settings.get("arn"))];
    if words.iter().any(|word| word.contains("kinesis")) { "kinesis" } else { "dynamodb" }
}

fn named(table: &[(&str, &'static str)], name: &str) -> Option<&'static str> {
    table.iter().find(|(known, _)| *known == name).map(|(_, sample)| *sample)
}

fn unique(names: impl Iterator<Item = &'static str>) -> Vec<&'static str> {
    names.fold(Vec::new(), |mut all, name| {
        if !all.contains(&name) {
            all.push(name);
        }
        all
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::sample_events;

    #[test]
    fn every_service_has_a_sample_event() {
        for (_, sample) in OF_SAM.iter().chain(&OF_SERVERLESS) {
            assert!(sample_events::named(sample).is_some(), "{sample}");
        }
        assert!(sample_events::named(FUNCTION_URL).is_some());
    }

    #[test]
    fn events_of_sam_are_found_by_their_types() {
        let properties = json!({
            "Events": {"Orders": {"Type": "SQS"}, "Daily": {"Type": "Schedule"}, "More": {"Type": "SQS"}, "Skill": {"Type": "AlexaSkill"}},
            "FunctionUrlConfig": {"AuthType": "NONE"},
        });
        assert_eq!(of_sam(&properties), ["sqs", "eventbridge", "function-url"]);
        assert_eq!(of_sam(&json!({"Events": "!Ref"})), [""; 0]);
    }

    #[test]
    fn events_of_a_service_are_found_by_their_keys() {
        let function = json!({"url": true, "events": [
            {"httpApi": "GET /"},
            {"stream": {"type": "kinesis", "arn": {"Fn::GetAtt": ["Orders", "Arn"]}}},
            {"stream": "arn:aws:dynamodb:us-east-1:123456789012:table/a/stream/x"},
            "schedule",
            {"alexaSkill": "x"},
            {},
        ]});
        assert_eq!(of_serverless(&function), ["apigateway-http", "kinesis", "dynamodb", "eventbridge", "function-url"]);
        assert_eq!(of_serverless(&json!({"url": false})), [""; 0]);
    }
}
