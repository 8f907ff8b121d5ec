//! Triggers: what the event of an invocation says about the AWS service that caused it.
//!
//! ```text
//! event ──▶ Event::parse ──▶ tags of `aws.lambda`, inferred spans, span pointers, checkpoints of data streams
//!           TABLE: the            └──▶ Event::context ──▶ TraceContext: the trace that the invocation continues
//!           first row that
//!           matches decides
//! ```
//!
//! An event is read field by field, and only the fields that a row needs: a field that is missing, null or of another type costs what depends on it and nothing else.
//! What is not asked for is skipped without recursion, so that neither depth nor size of an event matter; memory is bounded by a few copies of the event while it is
//! parsed, and by [`MAX_TEXT_BYTES`] for each text that is kept.

mod dynamodb;
mod eventbridge;
mod function_url;
mod http_api;
mod kinesis;
mod load_balancer;
mod msk;
mod rest_api;
mod s3;
mod sns;
mod sqs;
mod step_functions;
mod websocket;

mod arn;
mod attribute;
mod checkpoints;
mod http;
mod inferred;
mod json;
mod path;
mod pointer;
mod settings;
mod trigger_data;

#[cfg(test)]
mod tests;

use checkpoints::Checkpoints;
pub use inferred::{APM_ENABLED, APPSEC_ENABLED, InferredSpans, Synchronicity};
use json::Fields;
pub use json::{MAX_TEXT_BYTES, entries, field, items, string};
pub use pointer::SpanPointer;
pub use settings::Settings;
use trigger_data::{Input, TriggerData};

pub use super::Digest;
use super::{
    data_streams::Checkpoint,
    propagation::{Carrier, Propagator, TraceContext},
    trace::{map::Map, span::Text},
};

/// Tags of a span.
pub type Tags = Map<'static, Text<'static>>;

/// The kinds of event that are told apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    /// API Gateway, HTTP API with payload format 2.0.
    HttpApi,
    /// API Gateway, REST API, or HTTP API with payload format 1.0.
    RestApi,
    /// API Gateway, WebSocket API.
    WebSocket,
    /// Application Load Balancer.
    LoadBalancer,
    FunctionUrl,
    /// Managed Streaming for Kafka.
    Msk,
    Sqs,
    Sns,
    DynamoDb,
    S3,
    EventBridge,
    Kinesis,
    StepFunctions,
}

/// One row of the table of triggers.
struct Trigger {
    kind: Kind,
    matches: fn(&Input) -> bool,
    read: fn(&mut Input) -> TriggerData,
    /// Of every record.
    checkpoints: fn(&Input, &mut Checkpoints),
}

/// Every trigger, in the order in which they are tried.
static TABLE: [Trigger; 13] = [
    http_api::ROW,
    rest_api::ROW,
    websocket::ROW,
    load_balancer::ROW,
    function_url::ROW,
    msk::ROW,
    sqs::ROW,
    sns::ROW,
    dynamodb::ROW,
    s3::ROW,
    eventbridge::ROW,
    kinesis::ROW,
    step_functions::ROW,
];

/// What the extension keeps of an invocation's event.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Event {
    /// None for an event of a service, or of a customer, that is not told apart.
    pub kind: Option<Kind>,
    /// Tags of the `aws.lambda` span, among them `function_trigger.event_source` and `function_trigger.event_source_arn`.
    pub tags: Tags,
    /// The spans that stand for the services between the caller and the function; None for triggers without one.
    pub inferred: Option<InferredSpans>,
    /// What was consumed, one for each record; empty unless data streams are monitored.
    pub checkpoints: Vec<Checkpoint>,
    contexts: Contexts,
}

/// Where a trace context may be, in the order in which they are tried.
#[derive(Debug, Clone, PartialEq, Default)]
struct Contexts {
    /// Headers or attributes that the trigger delivers.
    carrier: Carrier,
    /// What follows from the event without a carrier: X-Ray's header, an execution of Step Functions.
    generated: Option<TraceContext>,
    /// `request.headers` of the event, as AppSync sends them.
    request_headers: Carrier,
    /// `headers` of the event.
    headers: Carrier,
}

impl Event {
    /// Reads an event. Takes an id from `ids`, random and not 0, for each inferred span. Never fails: from what is no JSON object nothing is learnt.
    pub fn parse(body: &[u8], settings: &Settings, ids: &mut dyn FnMut() -> u64) -> Self {
        let Some(top) = std::str::from_utf8(body).ok().and_then(|text| Fields::pick(text, trigger_data::TOP)) else {
            return Self::default();
        };
        let mut input = Input::new(top, settings, ids);
        let mut event = match TABLE.iter().find(|row| (row.matches)(&input)) {
            Some(row) => Self::from_row(row, &mut input),
            None => Self::default(),
        };
        event.contexts.request_headers = http::carrier(input.top.object("request", &["headers"]).raw("headers"));
        event.contexts.headers = http::carrier(input.top.raw("headers"));
        event
    }

    fn from_row(row: &Trigger, input: &mut Input) -> Self {
        let TriggerData { tags, inferred, carrier, generated } = (row.read)(input);
        let mut checkpoints = Checkpoints::new(input.settings);
        if input.settings.data_streams.enabled {
            (row.checkpoints)(input, &mut checkpoints);
        }
        let contexts = Contexts { carrier, generated, ..Contexts::default() };
        Self { kind: Some(row.kind), tags, inferred, checkpoints: checkpoints.into_found(), contexts }
    }

    /// The trace that the invocation continues: of the trigger's carrier, of what is generated from the event, of the event's headers, and at last of the headers of the
    /// call that brought the event. None if there is none anywhere, and the tracer begins a trace of its own.
    pub fn context(&self, propagator: &Propagator, call: &Carrier) -> Option<TraceContext> {
        let Contexts { carrier, generated, request_headers, headers } = &self.contexts;
        let extract = |carrier: &Carrier| propagator.extract(carrier);
        extract(carrier)
            .or_else(|| generated.clone())
            .or_else(|| extract(request_headers))
            .or_else(|| extract(headers))
            .or_else(|| extract(call))
    }
}
