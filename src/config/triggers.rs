//! What the rest of the extension sees of the settings about the services and callers that invoke the function.

use std::collections::BTreeMap;

/// How trace contexts are found in what invoked the function.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Propagation {
    /// The formats that are tried, in this order.
    pub styles: Vec<PropagationStyle>,
    /// Whether the first context that is found is taken as it is; otherwise W3C's adds to it.
    pub extract_first: bool,
    /// Whether `ot-baggage-*` headers become tags of spans.
    pub http_baggage: bool,
}

/// A format of trace contexts in headers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PropagationStyle {
    Datadog,
    /// W3C Trace Context.
    TraceContext,
    /// B3 in one header.
    B3,
    /// B3 in several headers.
    B3Multi,
    /// W3C Baggage, which has no trace context in it.
    Baggage,
    /// No format at all.
    None,
}

impl Default for Propagation {
    fn default() -> Self {
        Self {
            styles: vec![PropagationStyle::Datadog, PropagationStyle::TraceContext],
            extract_first: false,
            http_baggage: false,
        }
    }
}

/// How the spans that stand for services of AWS are made.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Triggers {
    /// The service of such a span by the name of its queue, topic, API, …, or by the name of the kind of service.
    pub service_mapping: BTreeMap<String, String>,
    /// Whether such spans have the function's service, if that is set.
    pub remove_integration_service_names: bool,
    /// Whether X-Ray's decision not to sample a trace counts for Datadog's.
    pub merge_xray_traces: bool,
}
