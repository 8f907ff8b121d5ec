//! What the reading of events depends on besides the event.

use std::collections::BTreeMap;

use crate::{
    config::{Config, DataStreams},
    platform::environment::Environment,
    process::Digest,
};

/// Settings and facts of the sandbox, the same for every invocation.
#[derive(Debug, Clone)]
pub struct Settings {
    /// `DD_SERVICE` as given.
    pub service: Option<String>,
    /// `DD_SERVICE_MAPPING`: the service of an inferred span by the name of its queue, topic, API, …, or by `lambda_sqs`, `lambda_sns`, `lambda_api_gateway`, … for all of a kind.
    pub service_mapping: BTreeMap<String, String>,
    /// `DD_TRACE_AWS_SERVICE_REPRESENTATION_ENABLED`: the service of an inferred span is the name of its queue, topic, API, …; otherwise that of the AWS service.
    pub service_representation: bool,
    /// `DD_TRACE_REMOVE_INTEGRATION_SERVICE_NAMES_ENABLED`: it is `DD_SERVICE` instead, where that is set.
    pub remove_integration_service_names: bool,
    /// `DD_MERGE_XRAY_TRACES`: X-Ray's decision not to sample counts.
    pub merge_xray_traces: bool,
    /// `DD_DATA_STREAMS_ENABLED`, `DD_DSM_EXCHANGE_NAME` and `DD_DSM_KAFKA_GROUP`.
    pub data_streams: DataStreams,
    /// The function's region.
    pub region: String,
    /// `AWS_LAMBDA_FUNCTION_NAME`.
    pub function_name: String,
    pub sha256: Digest,
}

impl Settings {
    pub fn new(config: &Config, environment: &Environment, sha256: Digest) -> Self {
        let triggers = &config.triggers;
        Self {
            service: config.service.clone(),
            service_mapping: triggers.service_mapping.clone(),
            service_representation: config.apm.service_representation,
            remove_integration_service_names: triggers.remove_integration_service_names,
            merge_xray_traces: triggers.merge_xray_traces,
            data_streams: triggers.data_streams.clone(),
            region: environment.region.clone(),
            function_name: environment.function_name.clone(),
            sha256,
        }
    }

    /// The partition of ARNs in the function's region.
    ///
    /// Source: AWS general reference, "Amazon Resource Names".
    pub fn partition(&self) -> &'static str {
        if self.region.starts_with("us-gov-") {
            "aws-us-gov"
        } else if self.region.starts_with("cn-") {
            "aws-cn"
        } else {
            "aws"
        }
    }

    /// The beginning of ARNs of API Gateway in the function's region.
    pub(super) fn api_gateway(&self) -> String {
        format!("arn:{}:apigateway:{}::", self.partition(), self.region)
    }

    /// The service of an inferred span.
    pub(super) fn service_of(&self, names: &ServiceNames) -> String {
        let mapped = |key: &str| self.service_mapping.get(key).filter(|_| !key.is_empty());
        if let Some(mapped) = mapped(names.specific).or_else(|| mapped(names.generic)) {
            return mapped.clone();
        }
        match &self.service {
            Some(service) if self.remove_integration_service_names => service.clone(),
            _ if self.service_representation && !names.instance.is_empty() => names.instance.to_owned(),
            _ => names.fallback.to_owned(),
        }
    }
}

/// What the service of an inferred span may be called.
pub(super) struct ServiceNames<'a> {
    /// The key of `DD_SERVICE_MAPPING` for this queue, topic, API, … alone.
    pub(super) specific: &'a str,
    /// The key for all of the kind.
    pub(super) generic: &'static str,
    /// The name of the queue, topic, API, …
    pub(super) instance: &'a str,
    /// The name where services of AWS are not shown one by one.
    pub(super) fallback: &'a str,
}
