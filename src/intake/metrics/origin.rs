//! The origin of a metric, as numbers from Datadog's own table. Datadog uses it to attribute metrics to the extension and to decide whether to bill
//! them.

/// The metadata message of both payloads.
#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct Metadata {
    #[prost(message, optional, tag = "1")]
    pub(super) origin: Option<Origin>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct Origin {
    #[prost(uint32, tag = "4")]
    pub(super) product: u32,
    #[prost(uint32, tag = "5")]
    pub(super) category: u32,
    #[prost(uint32, tag = "6")]
    pub(super) service: u32,
}

const AGENT: u32 = 1;
const LAMBDA: u32 = 38;
const CUSTOM: u32 = 472;
const ENHANCED: u32 = 473;
const RUNTIME: u32 = 474;

/// The origin of a metric, by its name; None for metrics of Datadog about itself.
pub(super) fn of(metric: &str) -> Option<Metadata> {
    if metric.starts_with("datadog.") {
        return None;
    }
    let service = if metric.starts_with("jvm.") || metric.starts_with("runtime.") {
        RUNTIME
    } else if metric == "aws.lambda" || metric.starts_with("aws.lambda.") {
        ENHANCED
    } else {
        CUSTOM
    };
    Some(Metadata { origin: Some(Origin { product: AGENT, category: LAMBDA, service }) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn service_comes_from_the_metric_name() {
        let service = |metric: &str| of(metric).and_then(|metadata| metadata.origin).map(|origin| origin.service);
        assert_eq!(service("aws.lambda.enhanced.duration"), Some(473));
        assert_eq!(service("aws.lambdas.x"), Some(472));
        assert_eq!(service("jvm.heap_memory"), Some(474));
        assert_eq!(service("runtime.go.goroutines"), Some(474));
        assert_eq!(service("shop.orders"), Some(472));
        assert_eq!(service("datadog.tracer.spans"), None);
    }
}
