//! One event of each AWS service that invokes functions, with the fields that AWS documents and, where the service can carry one, the trace context of a Datadog tracer.

use std::sync::LazyLock;
use std::time::{SystemTime, UNIX_EPOCH};

use regex::{Captures, Regex};
use time::OffsetDateTime;
use time::macros::format_description;

/// An event of a service.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SampleEvent {
    /// What the command line calls it.
    pub name: &'static str,
    /// The service, as AWS calls it.
    pub service: &'static str,
    /// A JSON document, with times in the first three seconds after [`WRITTEN_AT`].
    pub text: &'static str,
}

/// The second at which the events begin, since the epoch: 2024-06-01 at 10:00 UTC.
const WRITTEN_AT: i64 = 1_717_236_000;
/// The time between [`WRITTEN_AT`] and the invocation, in seconds.
const BEFORE_INVOCATION: i64 = 3;

macro_rules! samples {
    ($($constant:ident, $name:literal, $file:literal, $service:literal;)*) => {
        $(pub const $constant: SampleEvent = SampleEvent { name: $name, service: $service, text: include_str!($file) };)*

        /// All of them, in the order in which the documentation lists the services.
        pub const ALL: &[SampleEvent] = &[$($constant),*];
    };
}

samples! {
    REST_API, "apigateway", "rest_api.json", "API Gateway, REST API";
    HTTP_API, "apigateway-http", "http_api.json", "API Gateway, HTTP API";
    WEBSOCKET, "apigateway-websocket", "websocket.json", "API Gateway, WebSocket API";
    LOAD_BALANCER, "alb", "load_balancer.json", "Application Load Balancer";
    FUNCTION_URL, "function-url", "function_url.json", "function URL";
    SQS, "sqs", "sqs.json", "SQS, two messages";
    SNS, "sns", "sns.json", "SNS";
    S3, "s3", "s3.json", "S3";
    DYNAMODB, "dynamodb", "dynamodb.json", "DynamoDB stream, two records";
    KINESIS, "kinesis", "kinesis.json", "Kinesis stream";
    EVENTBRIDGE, "eventbridge", "eventbridge.json", "EventBridge";
    MSK, "msk", "msk.json", "Managed Streaming for Apache Kafka";
    STEP_FUNCTIONS, "step-functions", "step_functions.json", "Step Functions";
    SNS_SQS, "sns-sqs", "sns_sqs.json", "SNS, delivered to an SQS queue";
    EVENTBRIDGE_SQS, "eventbridge-sqs", "eventbridge_sqs.json", "EventBridge, delivered to an SQS queue";
    EVENTBRIDGE_SNS, "eventbridge-sns", "eventbridge_sns.json", "EventBridge, delivered to an SNS topic";
}

/// The event of this name.
pub fn named(name: &str) -> Option<SampleEvent> {
    ALL.iter().copied().find(|sample| sample.name == name)
}

/// A time of an event: seconds or milliseconds since the epoch, ISO 8601, or as API Gateway's logs have it.
static TIME: LazyLock<Option<Regex>> = LazyLock::new(|| {
    Regex::new(r"\b(?<epoch>17172[0-9]{5})(?<millis>[0-9]{3})?\b|2024-06-01T10:00:(?<iso>[0-9]{2})|01/Jun/2024:10:00:(?<log>[0-9]{2})").ok()
});

impl SampleEvent {
    /// The event with its times moved to the seconds before `now`, so that its spans are as long as in production.
    pub fn until(&self, now: SystemTime) -> String {
        let now = now.duration_since(UNIX_EPOCH).map_or(0, |since| i64::try_from(since.as_secs()).unwrap_or(i64::MAX));
        let begin = now - BEFORE_INVOCATION;
        let moved = |found: &Captures<'_>| moved(found, begin).unwrap_or_else(|| found[0].to_owned());
        TIME.as_ref().map_or_else(|| self.text.to_owned(), |time| time.replace_all(self.text, moved).into_owned())
    }
}

/// A time of an event that begins at `begin`, in seconds since the epoch, in the form in which it was found.
fn moved(found: &Captures<'_>, begin: i64) -> Option<String> {
    let number = |name: &str| found.name(name)?.as_str().parse::<i64>().ok();
    if let Some(epoch) = number("epoch") {
        let millis = found.name("millis").map_or("", |millis| millis.as_str());
        return Some(format!("{}{millis}", epoch - WRITTEN_AT + begin));
    }
    let at = |second: i64| OffsetDateTime::from_unix_timestamp(begin + second).ok();
    let iso = format_description!("[year]-[month]-[day]T[hour]:[minute]:[second]");
    let log = format_description!("[day]/[month repr:short]/[year]:[hour]:[minute]:[second]");
    match number("iso") {
        Some(second) => at(second)?.format(iso).ok(),
        None => at(number("log")?)?.format(log).ok(),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use serde_json::Value;

    use super::*;

    #[test]
    fn every_event_is_an_object_with_a_name_of_its_own() {
        for (index, sample) in ALL.iter().enumerate() {
            assert!(serde_json::from_str::<Value>(sample.text).unwrap().is_object(), "{}", sample.name);
            assert_eq!(ALL.iter().position(|other| other.name == sample.name), Some(index));
            assert_eq!(named(sample.name), Some(*sample));
        }
        assert_eq!(named("cron"), None);
    }

    #[test]
    fn times_of_every_form_are_moved_and_nothing_else() {
        let at = |sample: SampleEvent, seconds: u64| sample.until(UNIX_EPOCH + Duration::from_secs(seconds));
        for sample in ALL {
            assert_eq!(at(*sample, 1_717_236_003), sample.text, "{}", sample.name);
            let moved = at(*sample, 1_800_000_003);
            assert!(
                moved.len() == sample.text.len() && moved != sample.text || *sample == LOAD_BALANCER,
                "{}",
                sample.name
            );
            assert!(!moved.contains("171723") && !moved.contains("2024-06") && !moved.contains("Jun/2024"), "{moved}");
        }
        let websocket = at(WEBSOCKET, 1_800_000_003);
        assert!(websocket.contains(r#""requestTimeEpoch": 1800000000500"#), "{websocket}");
        assert!(websocket.contains(r#""connectedAt": 1799999990000"#), "{websocket}");
        assert!(websocket.contains("15/Jan/2027:08:00:00 +0000"), "{websocket}");
        assert!(at(KINESIS, 1_800_000_003).contains("1800000002.5"));
        assert!(at(S3, 1_800_000_003).contains("2027-01-15T08:00:01.750Z"));
        assert!(at(SNS_SQS, 1_800_000_003).contains(r#"\"2027-01-15T08:00:00.500Z\""#));
        assert!(at(EVENTBRIDGE_SQS, 1_800_000_003).contains(r#"\"1800000000100\""#));
    }
}
