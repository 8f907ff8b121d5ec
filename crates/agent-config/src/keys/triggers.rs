//! Settings about what invokes the function: trace contexts and the spans of services.

use super::super::read::{Effect, ParsedList};
#[cfg(test)]
use super::{Doc, Kind, beside};
use super::{Key, Scope, keys, list, name, taken};

keys! { KEYS
    Datadog TRACE_PROPAGATION_STYLE {
        yaml: Some("trace_propagation_style"), kind: Kind::Styles, default: "datadog,tracecontext",
        example: "tracecontext,b3multi", reader: "process",
        meaning: "Formats in which the caller's trace is looked for, in this order. The first that finds one decides; W3C's adds to a trace that Datadog's headers \
                  name too.",
        set: |builder, given, _| {
            let ParsedList { items, skipped } = given.styles()?;
            builder.skipped = skipped;
            Ok(list(&mut builder.config.propagation.styles, items))
        },
    }
    Datadog TRACE_PROPAGATION_STYLE_EXTRACT {
        yaml: Some("trace_propagation_style_extract"), kind: Kind::Styles, default: "",
        example: "b3", reader: "process",
        meaning: "As `DD_TRACE_PROPAGATION_STYLE`, which it replaces wherever that one is set.",
        set: |builder, given, _| {
            let ParsedList { items, skipped } = given.styles()?;
            builder.skipped = skipped;
            Ok(list(&mut builder.config.propagation.styles, items))
        },
    }
    Datadog TRACE_PROPAGATION_EXTRACT_FIRST {
        yaml: Some("trace_propagation_extract_first"), kind: Kind::Boolean, default: "false", example: "true",
        reader: "process",
        meaning: "Take the trace that the first format of `DD_TRACE_PROPAGATION_STYLE` finds as it is, and look at no further format.",
        set: |builder, given, _| taken(given.boolean().map(|on| builder.config.propagation.extract_first = on)),
    }
    Datadog TRACE_PROPAGATION_HTTP_BAGGAGE_ENABLED {
        yaml: Some("trace_propagation_http_baggage_enabled"), kind: Kind::Boolean, default: "false", example: "true",
        reader: "process",
        meaning: "Make tags of the caller's `ot-baggage-*` headers, without that prefix.",
        set: |builder, given, _| taken(given.boolean().map(|on| builder.config.propagation.http_baggage = on)),
    }
    Datadog SERVICE_MAPPING {
        yaml: Some("service_mapping"), kind: Kind::Mapping, default: "",
        example: "lambda_sqs:queues,checkout-events:checkout", reader: "process",
        meaning: "Services of the spans of queues, topics, APIs, …: by their name or id, or by kind: `lambda_api_gateway`, `lambda_url`, `lambda_sqs`, `lambda_sns`, \
                  `lambda_s3`, `lambda_dynamodb`, `lambda_kinesis`, `lambda_eventbridge` or `lambda_msk`.",
        set: |builder, given, _| {
            let ParsedList { items, skipped } = given.pairs()?;
            builder.skipped = skipped;
            if items.is_empty() {
                return Ok(Effect::Unset);
            }
            builder.config.triggers.service_mapping = items.into_iter().collect();
            Ok(Effect::Taken)
        },
    }
    Datadog TRACE_REMOVE_INTEGRATION_SERVICE_NAMES_ENABLED {
        yaml: Some("trace_remove_integration_service_names_enabled"), kind: Kind::Boolean, default: "false",
        example: "true", reader: "process",
        meaning: "Give the spans of queues, topics, APIs, … the service `DD_SERVICE`, if it is set, unless `DD_SERVICE_MAPPING` names another.",
        set: |builder, given, _| {
            taken(given.boolean().map(|on| builder.config.triggers.remove_integration_service_names = on))
        },
    }
    Datadog MERGE_XRAY_TRACES {
        yaml: Some("merge_xray_traces"), kind: Kind::Boolean, default: "false", example: "true",
        reader: "process",
        meaning: "Drop a trace that continues one of X-Ray's if X-Ray did not sample that; otherwise only Datadog's own decision counts.",
        set: |builder, given, _| taken(given.boolean().map(|on| builder.config.triggers.merge_xray_traces = on)),
    }
    Datadog DATA_STREAMS_ENABLED {
        yaml: Some("data_streams_enabled"), kind: Kind::Boolean, default: "false", example: "true",
        reader: "process",
        meaning: "Report to Data Streams Monitoring every record that SQS, SNS, Kinesis, Kafka or EventBridge delivers.",
        set: |builder, given, _| taken(given.boolean().map(|on| builder.config.triggers.data_streams.enabled = on)),
    }
    Datadog DSM_EXCHANGE_NAME {
        yaml: Some("dsm_exchange_name"), kind: Kind::Text, default: "", example: "orders", reader: "process",
        meaning: "Bus name that Data Streams Monitoring reports for EventBridge. The default is the one that the event's rule names, else `default`.",
        set: |builder, given, _| Ok(name(&mut builder.config.triggers.data_streams.exchange, given.non_empty()?)),
    }
    Datadog DSM_KAFKA_GROUP {
        yaml: Some("dsm_kafka_group"), kind: Kind::Text, default: "", example: "billing", reader: "process",
        meaning: "Kafka consumer group that Data Streams Monitoring reports; no event names it.",
        set: |builder, given, _| Ok(name(&mut builder.config.triggers.data_streams.kafka_group, given.non_empty()?)),
    }
}
