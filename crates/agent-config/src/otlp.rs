//! What the rest of the extension sees of the settings about OTLP.

use std::collections::BTreeMap;

/// Whether OTLP is received, where, and how spans that come so are named.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Otlp {
    /// Whether spans are received at all.
    pub traces: bool,
    /// Address for HTTP, of which only the port counts; None: no receiver.
    pub http_endpoint: Option<String>,
    /// The same for gRPC.
    pub grpc_endpoint: Option<String>,
    /// Maximum length of a gRPC message, in MiB.
    pub grpc_max_message_mib: u32,
    /// Whether a span's name is that of its operation.
    pub span_name_as_resource_name: bool,
    /// Other names for operations.
    pub span_name_remappings: BTreeMap<String, String>,
    /// Whether names, types and such come from the attributes `datadog.…` alone.
    pub ignore_missing_datadog_fields: bool,
}

impl Default for Otlp {
    fn default() -> Self {
        Self {
            traces: true,
            http_endpoint: None,
            grpc_endpoint: None,
            grpc_max_message_mib: 4,
            span_name_as_resource_name: false,
            span_name_remappings: BTreeMap::new(),
            ignore_missing_datadog_fields: false,
        }
    }
}
