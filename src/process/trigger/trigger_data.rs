//! What a row of the table gets, and what it gives.

use super::{
    InferredSpans, Settings, SpanPointer, Tags,
    inferred::Synchronicity,
    json::{Fields, bounded},
    settings::ServiceNames,
};
use crate::process::{
    propagation::{Carrier, TraceContext},
    trace::Span,
};

/// The fields of an event that any row needs.
pub(super) const TOP: &[&str] = &[
    "version",
    "rawPath",
    "rawQueryString",
    "routeKey",
    "requestContext",
    "httpMethod",
    "path",
    "resource",
    "headers",
    "multiValueHeaders",
    "request",
    "Records",
    "records",
    "eventSource",
    "eventSourceArn",
    "detail-type",
    "source",
    "detail",
    "time",
    "id",
    "resources",
    "Payload",
    "_datadog",
    "Execution",
    "State",
    "StateMachine",
    "RootExecutionId",
    "x-datadog-trace-id",
    "x-datadog-tags",
];

/// The fields of a request context that tell triggers apart.
const REQUEST_CONTEXT: &[&str] = &["stage", "domainName", "messageDirection", "elb"];

/// The fields of the first record that any row needs.
const RECORD: &[&str] = &[
    "eventSource",
    "eventSourceARN",
    "eventID",
    "eventName",
    "eventTime",
    "eventVersion",
    "awsRegion",
    "messageId",
    "receiptHandle",
    "body",
    "attributes",
    "messageAttributes",
    "Sns",
    "EventSubscriptionArn",
    "dynamodb",
    "s3",
    "kinesis",
];

/// An event whose trigger is looked for.
pub(super) struct Input<'a> {
    pub(super) top: Fields<'a>,
    /// `requestContext`, which tells the kinds of requests apart.
    pub(super) request: Fields<'a>,
    /// The first of `Records`.
    pub(super) record: Fields<'a>,
    pub(super) settings: &'a Settings,
    ids: &'a mut dyn FnMut() -> u64,
}

impl<'a> Input<'a> {
    pub(super) fn new(top: Fields<'a>, settings: &'a Settings, ids: &'a mut dyn FnMut() -> u64) -> Self {
        let request = top.object("requestContext", REQUEST_CONTEXT);
        let record = top.first("Records").and_then(|first| Fields::pick(first, RECORD)).unwrap_or_default();
        Self { top, request, record, settings, ids }
    }

    /// A span that stands for a service. Its start is in nanoseconds since the epoch.
    pub(super) fn span(
        &mut self,
        name: &'static str,
        kind: &'static str,
        start: i64,
        names: &ServiceNames,
    ) -> Span<'static> {
        let service = self.settings.service_of(names);
        Span {
            name: name.into(),
            kind: kind.into(),
            service: bounded(&service).to_owned().into(),
            span_id: (self.ids)(),
            start,
            ..Span::default()
        }
    }
}

/// The data that an event yields about its trigger.
#[derive(Debug, Default)]
pub(super) struct TriggerData {
    /// For the `aws.lambda` span.
    pub(super) tags: Tags,
    pub(super) inferred: Option<InferredSpans>,
    pub(super) carrier: Carrier,
    /// The context that follows from the event without a carrier.
    pub(super) generated: Option<TraceContext>,
}

impl TriggerData {
    /// The two tags that every trigger has.
    pub(super) fn of(source: &str, arn: &str) -> Self {
        let mut data = Self::default();
        set(&mut data.tags, SOURCE, Some(source));
        set(&mut data.tags, SOURCE_ARN, Some(arn).filter(|arn| !arn.is_empty()));
        data
    }

    pub(super) fn with_span(mut self, span: Span<'static>, synchronicity: Synchronicity) -> Self {
        self.inferred = Some(InferredSpans::new(span, synchronicity));
        self
    }

    /// Adds what another service delivered to the outer one: its span, and its carrier where the outer one has none.
    pub(super) fn wrap(&mut self, delivered: Option<Self>) {
        let (Some(inferred), Some(delivered)) = (&mut self.inferred, delivered) else { return };
        if let Some(wrapped) = delivered.inferred {
            inferred.wrap(wrapped.outer, delivered.tags.get(SOURCE).map(|source| &**source));
        }
        if self.carrier.is_empty() {
            self.carrier = delivered.carrier;
        }
    }

    /// Names the resource of the inferred span, if there is a name for it.
    pub(super) fn name_resource(&mut self, resource: Option<impl AsRef<str>>) {
        if let (Some(inferred), Some(resource)) = (&mut self.inferred, resource) {
            inferred.outer.resource = bounded(resource.as_ref()).to_owned().into();
        }
    }

    pub(super) fn with_pointers(mut self, pointers: Vec<SpanPointer>) -> Self {
        if let Some(inferred) = &mut self.inferred {
            inferred.pointers = pointers;
        }
        self
    }
}

/// The tag that names the kind of service.
pub(super) const SOURCE: &str = "function_trigger.event_source";
const SOURCE_ARN: &str = "function_trigger.event_source_arn";

/// Sets a tag to the beginning of a text, if there is one.
pub(super) fn set(tags: &mut Tags, key: &'static str, value: Option<impl AsRef<str>>) {
    if let Some(value) = value {
        tags.set(key, bounded(value.as_ref()).to_owned().into());
    }
}

/// Nanoseconds of a time in milliseconds since the epoch, as a JSON number or in a string; 0 without a usable one. The product of two floating-point numbers, as Datadog's
/// libraries compute it, so that a span of theirs starts at the same nanosecond.
#[allow(clippy::cast_possible_truncation, reason = "saturates, and NaN becomes 0")]
pub(super) fn from_millis(millis: Option<f64>) -> i64 {
    (millis.unwrap_or_default().max(0.0) * 1e6) as i64
}

/// Nanoseconds of a time in seconds since the epoch.
#[allow(clippy::cast_possible_truncation, reason = "saturates, and NaN becomes 0")]
pub(super) fn from_seconds(seconds: Option<f64>) -> i64 {
    (seconds.unwrap_or_default().max(0.0) * 1e9) as i64
}

/// Nanoseconds of a time as RFC 3339 writes it; 0 without a usable one.
pub(super) fn from_rfc3339(text: Option<impl AsRef<str>>) -> i64 {
    let parse = |text: &str| time::OffsetDateTime::parse(text, &time::format_description::well_known::Rfc3339).ok();
    let time = text.and_then(|text| parse(text.as_ref()));
    time.and_then(|time| i64::try_from(time.unix_timestamp_nanos()).ok()).unwrap_or_default().max(0)
}
