//! Settings about OTLP, OpenTelemetry's protocol.

use super::super::read::ParsedList;
#[cfg(test)]
use super::{Doc, Kind, beside};
use super::{Key, Scope, keys, list, taken, texts};

keys! { KEYS
    Datadog OTLP_CONFIG_RECEIVER_PROTOCOLS_HTTP_ENDPOINT {
        yaml: Some("otlp_config.receiver.protocols.http.endpoint"), kind: Kind::Text, default: "",
        example: "localhost:4318", reader: "ingest",
        meaning: "Receive OTLP over HTTP on this port of the loopback interface. Only what follows the last `:` counts; 4318 where that is no port.",
        set: |builder, given, _| {
            taken(given.non_empty().map(|text| builder.config.otlp.http_endpoint = text.map(Into::into)))
        },
    }
    Datadog OTLP_CONFIG_RECEIVER_PROTOCOLS_GRPC_ENDPOINT {
        yaml: Some("otlp_config.receiver.protocols.grpc.endpoint"), kind: Kind::Text, default: "",
        example: "localhost:4317", reader: "ingest",
        meaning: "Receive OTLP over gRPC on this port of the loopback interface. Only what follows the last `:` counts; 4317 where that is no port.",
        set: |builder, given, _| {
            taken(given.non_empty().map(|text| builder.config.otlp.grpc_endpoint = text.map(Into::into)))
        },
    }
    Datadog OTLP_CONFIG_RECEIVER_PROTOCOLS_GRPC_MAX_RECV_MSG_SIZE_MIB {
        yaml: Some("otlp_config.receiver.protocols.grpc.max_recv_msg_size_mib"),
        kind: Kind::Integer { from: 1, to: 50 }, default: "4", example: "16", reader: "ingest",
        meaning: "Maximum length of a message over gRPC in MiB.",
        set: |builder, given, _| {
            builder.number(given, &(1..=50), |builder, mib| builder.config.otlp.grpc_max_message_mib = mib)
        },
    }
    Datadog OTLP_CONFIG_TRACES_ENABLED {
        yaml: Some("otlp_config.traces.enabled"), kind: Kind::Boolean, default: "true", example: "false",
        reader: "ingest",
        meaning: "Receive spans over OTLP where one of the endpoints is set.",
        set: |builder, given, _| taken(given.boolean().map(|on| builder.config.otlp.traces = on)),
    }
    Datadog OTLP_CONFIG_TRACES_SPAN_NAME_AS_RESOURCE_NAME {
        yaml: Some("otlp_config.traces.span_name_as_resource_name"), kind: Kind::Boolean, default: "false",
        example: "true", reader: "process",
        meaning: "Name the operation of an OTLP span as the span. As with `DD_OTLP_CONFIG_TRACES_SPAN_NAME_REMAPPINGS`, operation names then follow the first version of the rules.",
        set: |builder, given, _| taken(given.boolean().map(|on| builder.config.otlp.span_name_as_resource_name = on)),
    }
    Datadog OTLP_CONFIG_TRACES_SPAN_NAME_REMAPPINGS {
        yaml: Some("otlp_config.traces.span_name_remappings"), kind: Kind::Mapping, default: "",
        example: "opentelemetry.client:http.client", reader: "process",
        meaning: "Other names for operations of OTLP spans.",
        set: |builder, given, _| {
            let ParsedList { items, skipped } = given.pairs()?;
            builder.skipped = skipped;
            let mut pairs = Vec::new();
            let effect = list(&mut pairs, items);
            builder.config.otlp.span_name_remappings.extend(pairs);
            Ok(effect)
        },
    }
    Datadog OTLP_CONFIG_IGNORE_MISSING_DATADOG_FIELDS {
        yaml: Some("otlp_config.traces.ignore_missing_datadog_fields"), kind: Kind::Boolean, default: "false",
        example: "true", reader: "process",
        meaning: "Take service, operation, resource, type and such of an OTLP span from its attributes `datadog.…` alone.",
        set: |builder, given, _| {
            taken(given.boolean().map(|on| builder.config.otlp.ignore_missing_datadog_fields = on))
        },
    }
    Datadog APM_FEATURES {
        yaml: Some("apm_config.features"), kind: Kind::List, default: "",
        example: "disable_operation_and_resource_name_logic_v2", reader: "process",
        meaning: "Feature flags of the Agent. Two count, for OTLP spans: `disable_operation_and_resource_name_logic_v2` brings back the first version of the \
                  rules for operation names; `enable_otlp_compute_top_level_by_span_kind` marks roots, servers and consumers as top-level.",
        set: |builder, given, _| Ok(texts(&mut builder.config.apm.features, given.list()?, &mut builder.skipped)),
    }
}
