//! Settings about App & API Protection, and about the proxy in front of the Runtime API.

use std::time::Duration;

#[cfg(test)]
use super::{Doc, Kind, beside};
use super::{Key, Scope, keys, taken};
use crate::read::Effect;

keys! { KEYS
    Datadog SERVERLESS_APPSEC_ENABLED {
        yaml: Some("serverless_appsec_enabled"), kind: Kind::Boolean, default: "false", example: "true",
        reader: "waf_client",
        meaning: "Evaluate requests and responses of functions behind HTTP for attacks, and report what is found. Nothing is blocked.",
        set: |builder, given, _| taken(given.boolean().map(|on| builder.config.appsec.enabled = on)),
    }
    Datadog APPSEC_RULES {
        yaml: Some("appsec_rules"), kind: Kind::Text, default: "", example: "/var/task/rules.json",
        reader: "waf_client",
        meaning: "File with a ruleset in JSON, in place of the one that comes with the extension.",
        set: |builder, given, _| {
            taken(given.non_empty().map(|path| builder.config.appsec.rules = path.map(Into::into)))
        },
    }
    Datadog APPSEC_WAF_TIMEOUT {
        yaml: Some("appsec_waf_timeout"), kind: Kind::Integer { from: 1, to: 1_000_000 }, default: "5000",
        example: "2000", reader: "waf_client",
        meaning: "What all evaluations of one request may take together, in microseconds.",
        set: |builder, given, _| {
            builder.number(given, &(1..=1_000_000), |builder, us| builder.config.appsec.budget = Duration::from_micros(us))
        },
    }
    Datadog API_SECURITY_ENABLED {
        yaml: Some("api_security_enabled"), kind: Kind::Boolean, default: "true", example: "false",
        reader: "waf_client",
        meaning: "Report the schemas of requests and responses. Counts only together with `DD_SERVERLESS_APPSEC_ENABLED`.",
        set: |builder, given, _| taken(given.boolean().map(|on| builder.config.appsec.schemas = on)),
    }
    Datadog API_SECURITY_SAMPLE_DELAY {
        yaml: Some("api_security_sample_delay"), kind: Kind::Seconds, default: "30", example: "7.5",
        reader: "waf_client",
        meaning: "For how long no further schema of the same method, route and status is reported, in seconds.",
        set: |builder, given, _| {
            let Some(interval) = given.seconds()? else { return Ok(Effect::Unset) };
            builder.config.appsec.schema_interval = interval;
            Ok(Effect::Taken)
        },
    }
    Datadog APM_TRACING_ENABLED {
        yaml: None, kind: Kind::Boolean, default: "true", example: "false", reader: "process",
        meaning: "Off: App & API Protection without APM. Of the spans that the extension builds, which say so, only those of \
                  traces with security events are kept. Counts only together with `DD_SERVERLESS_APPSEC_ENABLED`.",
        set: |builder, given, _| taken(given.boolean().map(|on| builder.config.appsec.standalone = !on)),
    }
    Datadog EXPERIMENTAL_ENABLE_PROXY {
        yaml: None, kind: Kind::True, default: "false", example: "true",
        reader: "runtime_proxy",
        meaning: "Put a proxy in front of the Runtime API. Counts only together with `AWS_LAMBDA_EXEC_WRAPPER=/opt/datadog_wrapper`, which sends the \
                  runtime there.",
        set: |builder, given, _| taken(given.is_true().map(|on| builder.config.runtime_proxy = on)),
    }
}
