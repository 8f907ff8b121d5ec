//! The clients of the extension that speak TLS, the settings that send each of them to another server, and what makes it connect.

use std::io;

use super::server::HOST;
use crate::sandbox::intake::{ClientStats, Span, StatsBucket, StatsGroup};
use crate::sandbox::tracer::{self, Reply, Request};

/// Of the server, in a network of the sandbox's own.
pub(super) const PORT: u16 = 28_150;
/// A host that only a proxy would look for.
const BEHIND_PROXY: &str = "https://intake.example:443";
/// What a tracer says of itself in every request.
const TRACER: [(&str, &str); 4] = [
    ("content-type", "application/msgpack"),
    ("datadog-meta-lang", "rust"),
    ("datadog-meta-lang-version", "1"),
    ("datadog-meta-tracer-version", "1"),
];

/// Who of the program makes a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Client {
    /// To the intake of logs.
    Logs,
    /// To the intake of metrics.
    Metrics,
    /// To the intake of traces, with spans.
    Traces,
    /// To the same, with statistics of spans.
    Stats,
    /// To the same, with statistics of Data Streams Monitoring.
    DataStreams,
    /// To the intake of profiles.
    Profiling,
    /// To the intakes of the debugger.
    Debugger,
    /// To the intakes of LLM Observability.
    LlmObservability,
    /// To the intake of what tracers report about themselves.
    Telemetry,
    /// To AWS, for the API key.
    Aws,
    /// To Datadog, for the API key of a role that an organization trusts.
    DelegatedAuth,
    /// To a proxy that speaks TLS itself, on the way to the intake of logs.
    Proxy,
}

/// All clients of the extension that speak TLS.
pub const CLIENTS: [Client; 12] = [
    Client::Logs,
    Client::Metrics,
    Client::Traces,
    Client::Stats,
    Client::DataStreams,
    Client::Profiling,
    Client::Debugger,
    Client::LlmObservability,
    Client::Telemetry,
    Client::Aws,
    Client::DelegatedAuth,
    Client::Proxy,
];

impl Client {
    /// As the report calls it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Logs => "logs",
            Self::Metrics => "metrics",
            Self::Traces => "traces",
            Self::Stats => "trace statistics",
            Self::DataStreams => "data streams",
            Self::Profiling => "profiling",
            Self::Debugger => "debugger",
            Self::LlmObservability => "LLM Observability",
            Self::Telemetry => "telemetry of tracers",
            Self::Aws => "AWS",
            Self::DelegatedAuth => "delegated authentication",
            Self::Proxy => "proxy",
        }
    }

    /// Settings that send it to the server.
    pub(super) fn settings(self) -> Vec<(&'static str, String)> {
        let url = format!("https://{HOST}:{PORT}");
        match self {
            Self::Logs => vec![("DD_LOGS_CONFIG_LOGS_DD_URL", url)],
            Self::Metrics => vec![("DD_DD_URL", url)],
            Self::Traces | Self::Stats | Self::DataStreams => vec![("DD_APM_DD_URL", url)],
            Self::Profiling => vec![("DD_APM_PROFILING_DD_URL", url + "/api/v2/profile")],
            Self::Debugger => vec![("DD_APM_DEBUGGER_DD_URL", url + "/api/v2/debugger")],
            Self::LlmObservability => vec![("DD_EVP_PROXY_CONFIG_DD_URL", url)],
            Self::Telemetry => vec![("DD_APM_TELEMETRY_DD_URL", url)],
            Self::Aws => vec![
                ("DD_API_KEY", String::new()),
                ("DD_API_KEY_SECRET_ARN", "arn:aws:secretsmanager:us-east-1:123456789012:secret:key".to_owned()),
                ("AWS_ENDPOINT_URL", url),
            ],
            Self::DelegatedAuth => {
                let org = ("DD_ORG_UUID", "org-1".to_owned());
                vec![("DD_API_KEY", String::new()), org, ("DD_DELEGATED_AUTH_URL", url)]
            }
            Self::Proxy => {
                vec![("DD_PROXY_HTTPS", url), ("DD_LOGS_CONFIG_LOGS_DD_URL", BEHIND_PROXY.to_owned())]
            }
        }
    }

    /// Where a tracer sends what this client passes on, and a body of that; none where the extension has something to send by itself.
    fn tracer_payload(self) -> Option<(&'static str, Vec<u8>)> {
        let opaque = || b"{}".to_vec();
        match self {
            Self::Traces => Some(("/v0.4/traces", tracer::v04(&[vec![span()]]))),
            Self::Stats => Some(("/v0.6/stats", tracer::stats(&stats()))),
            Self::DataStreams => Some(("/v0.1/pipeline_stats", opaque())),
            Self::Profiling => Some(("/profiling/v1/input", opaque())),
            Self::Debugger => Some(("/debugger/v2/input", opaque())),
            Self::LlmObservability => Some(("/evp_proxy/v2/api/v2/llmobs", opaque())),
            Self::Telemetry => Some(("/telemetry/proxy/api/v2/apmtelemetry", opaque())),
            Self::Logs | Self::Metrics | Self::Aws | Self::DelegatedAuth | Self::Proxy => None,
        }
    }

    /// Gives the extension something that this client sends, as a tracer in the function would. Fails if the extension does not take it.
    pub(super) fn feed(self) -> io::Result<()> {
        let Some((path, body)) = self.tracer_payload() else { return Ok(()) };
        let Reply { status, body, .. } = Request { method: "POST", path, headers: &TRACER, body: &body }.send()?;
        if status < 300 { Ok(()) } else { Err(io::Error::other(format!("{path} was answered with {status}: {body}"))) }
    }
}

/// A span that a tracer has decided to keep.
fn span() -> Span {
    Span {
        service: "shop".to_owned(),
        name: "web.request".to_owned(),
        resource: "GET /".to_owned(),
        trace_id: 1,
        span_id: 2,
        start: i64::try_from(now()).unwrap_or_default(),
        duration: 1_000_000,
        metrics: [("_sampling_priority_v1".to_owned(), 1.0)].into(),
        ..Span::default()
    }
}

/// Ten seconds with one span in them.
fn stats() -> ClientStats {
    let group =
        StatsGroup { service: "shop".to_owned(), name: "web.request".to_owned(), hits: 1, ..StatsGroup::default() };
    let bucket = StatsBucket { start: now(), duration: 10_000_000_000, groups: vec![group] };
    ClientStats { service: "shop".to_owned(), buckets: vec![bucket], ..ClientStats::default() }
}

/// Nanoseconds since the epoch.
fn now() -> u64 {
    let since = std::time::SystemTime::UNIX_EPOCH.elapsed().unwrap_or_default();
    u64::try_from(since.as_nanos()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_client_has_a_name_and_settings_of_its_own() {
        let names: BTreeSet<_> = CLIENTS.iter().map(|client| client.name()).collect();
        assert_eq!(names.len(), CLIENTS.len());
        for client in CLIENTS {
            let settings = client.settings();
            assert!(settings.iter().any(|(_, value)| value.contains(&PORT.to_string())), "{client:?}: {settings:?}");
        }
    }

    #[test]
    fn delegated_authentication_goes_to_the_server_of_the_proof() {
        let variables = Client::DelegatedAuth.settings();
        let loaded = agent_config::load(variables.iter().map(|(name, value)| (*name, value.as_str())), None);
        assert_eq!(loaded.config.delegated_auth_url, format!("https://{HOST}:{PORT}"));
        assert_eq!(loaded.config.secret, Some(agent_config::Secret::Delegated("org-1".to_owned())));
    }

    #[test]
    fn what_shares_a_setting_differs_in_what_it_sends() {
        let sent: BTreeSet<_> =
            CLIENTS.iter().map(|client| (client.settings(), client.tracer_payload().map(|(path, _)| path))).collect();
        assert_eq!(sent.len(), CLIENTS.len());
    }
}
