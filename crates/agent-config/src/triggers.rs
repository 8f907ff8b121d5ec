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
    pub data_streams: DataStreams,
}

/// What is told about the records that the function consumes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DataStreams {
    pub enabled: bool,
    /// The name of the bus of events, if it is not the one that the rule names.
    pub exchange: Option<String>,
    /// The consumer group of Kafka.
    pub kafka_group: Option<String>,
}

#[cfg(test)]
mod tests {
    use PropagationStyle::{B3, B3Multi, Datadog, TraceContext};

    use super::*;
    use crate::tests::{env, yaml};

    #[test]
    fn propagation_styles_parse_in_any_case_and_unknown_ones_warn() {
        let styles = |text: &str| {
            let loaded = env([("DD_TRACE_PROPAGATION_STYLE", text)]);
            (loaded.config.propagation.styles, loaded.warnings.len())
        };
        assert_eq!(styles(" B3Multi , DATADOG"), (vec![B3Multi, Datadog], 0));
        assert_eq!(styles("b3 single header,baggage"), (vec![B3, PropagationStyle::Baggage], 0));
        assert_eq!(styles("none"), (vec![PropagationStyle::None], 0));
        assert_eq!(styles("b3,smoke"), (vec![B3], 1));
        assert_eq!(styles("smoke"), (vec![Datadog, TraceContext], 1));
        assert_eq!(styles(" , "), (vec![Datadog, TraceContext], 0));
        assert_eq!(yaml("trace_propagation_style: [b3, datadog]").config.propagation.styles, [B3, Datadog]);
    }

    #[test]
    fn the_styles_of_extraction_win_wherever_they_are_set() {
        let loaded = env([("DD_TRACE_PROPAGATION_STYLE_EXTRACT", "b3"), ("DD_TRACE_PROPAGATION_STYLE", "datadog")]);
        assert_eq!(loaded.config.propagation.styles, [B3]);
        let text = "trace_propagation_style_extract: b3multi";
        let loaded = crate::load([("DD_TRACE_PROPAGATION_STYLE", "datadog")], Some(text));
        assert_eq!(loaded.config.propagation.styles, [B3Multi]);
    }

    #[test]
    fn a_mapping_keeps_what_is_a_pair() {
        let loaded = env([("DD_SERVICE_MAPPING", "lambda_sqs: queues ,a:b:c,lonely,:x,y:")]);
        let expected = [("a", "b"), ("lambda_sqs", "queues")].map(|(from, to)| (from.to_owned(), to.to_owned()));
        assert_eq!(loaded.config.triggers.service_mapping, BTreeMap::from(expected.clone()));
        assert_eq!(loaded.warnings.len(), 1);
        let loaded = yaml("service_mapping: ['lambda_sqs:queues', 'a:b']");
        assert_eq!(loaded.config.triggers.service_mapping, BTreeMap::from(expected));
        assert_eq!(env([("DD_SERVICE_MAPPING", "")]).config.triggers, Triggers::default());
    }
}
