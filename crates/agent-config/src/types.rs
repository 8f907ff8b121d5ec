//! The validated configuration that the rest of the extension uses.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tracing::level_filters::LevelFilter;

use super::apm::Apm;
use super::appsec::AppSec;
use super::otlp::Otlp;
use super::triggers::{Propagation, Triggers};

/// Everything that the customer can set, resolved from environment, `datadog.yaml` and defaults.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// The API key in plain text; `None` if there is none or it is empty after cleaning.
    pub api_key: Option<ApiKey>,
    /// Where the API key is stored instead. Takes precedence over the key in plain text.
    pub secret: Option<Secret>,
    /// Base URL of the API for delegated authentication, without a path.
    pub delegated_auth_url: String,
    /// Age at which a key from [`Config::secret`] is resolved again; at least one second.
    pub secret_reload: Option<Duration>,
    /// Proxy and endpoints for AWS services.
    pub aws: Aws,
    /// A host name such as `datadoghq.eu`: never empty, never a URL.
    pub site: String,
    pub log_level: LevelFilter,
    /// Timeout of an HTTP request, and the idle time after which the default strategy flushes at the end.
    pub flush_timeout: Duration,
    pub flush_strategy: FlushStrategy,
    pub env: Option<String>,
    pub service: Option<String>,
    pub version: Option<String>,
    /// In the order given; a key may occur more than once.
    pub tags: Vec<Tag>,
    pub http: Http,
    pub logs: Logs,
    pub metrics: Metrics,
    pub dogstatsd: DogStatsd,
    pub apm: Apm,
    pub otlp: Otlp,
    pub appsec: AppSec,
    /// Whether the Runtime API proxy is wanted, which the wrapper script sends the runtime to.
    pub runtime_proxy: bool,
    pub propagation: Propagation,
    pub triggers: Triggers,
    /// Whether the runtime's libraries use endpoints with validated cryptography; the region decides if it is not said.
    pub fips_mode: Option<bool>,
}

impl Default for Config {
    fn default() -> Self {
        let flush_timeout = Duration::from_secs(30);
        Self {
            api_key: None,
            secret: None,
            delegated_auth_url: api_url(DEFAULT_SITE),
            secret_reload: None,
            aws: Aws::default(),
            site: DEFAULT_SITE.to_owned(),
            log_level: DEFAULT_LOG_LEVEL,
            flush_timeout,
            flush_strategy: FlushStrategy::Default,
            env: None,
            service: None,
            version: None,
            tags: Vec::new(),
            http: Http {
                proxy: None,
                no_proxy: Vec::new(),
                protocol: HttpProtocol::Automatic,
                tls_cert_file: None,
                skip_ssl_validation: false,
                timeout: flush_timeout,
            },
            logs: Logs {
                enabled: true,
                url: logs_url(DEFAULT_SITE),
                worker: None,
                additional_endpoints: Vec::new(),
                rules: Vec::new(),
                compression: Some(DEFAULT_COMPRESSION_LEVEL),
                durable_invocations: 0,
            },
            metrics: Metrics {
                url: api_url(DEFAULT_SITE),
                enhanced: true,
                usage: true,
                compression_level: DEFAULT_COMPRESSION_LEVEL,
                additional_endpoints: Vec::new(),
                excluded_tags: Vec::new(),
            },
            dogstatsd: DogStatsd { namespace: None, receive_buffer: None, buffer_size: 8192, queue_size: 1024 },
            apm: Apm::default(),
            otlp: Otlp::default(),
            appsec: AppSec::default(),
            runtime_proxy: false,
            propagation: Propagation::default(),
            triggers: Triggers::default(),
            fips_mode: None,
        }
    }
}

pub(super) const DEFAULT_SITE: &str = "datadoghq.com";
pub(super) const DEFAULT_LOG_LEVEL: LevelFilter = LevelFilter::INFO;
pub(super) const DEFAULT_COMPRESSION_LEVEL: i32 = 3;

pub(super) fn logs_url(site: &str) -> String {
    format!("https://http-intake.logs.{site}")
}

/// The base URL of the site's API, which takes metrics, too.
pub(super) fn api_url(site: &str) -> String {
    format!("https://api.{site}")
}

/// A Datadog API key without whitespace; never empty.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct ApiKey(String);

impl ApiKey {
    /// Removes line ends and blanks left over from copying out of a console or a secret store; `None` if nothing remains.
    pub fn clean(text: &str) -> Option<Self> {
        let kept: String = text.chars().filter(|c| !c.is_whitespace()).collect();
        (!kept.is_empty()).then_some(Self(kept))
    }

    /// The key itself, for the header that carries it.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for ApiKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ApiKey(redacted)")
    }
}

/// A place where an API key is stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Secret {
    /// Delegated authentication: Datadog returns the key to a role that the organization with this UUID trusts.
    Delegated(String),
    /// The key, encrypted with KMS, in base64.
    Kms(String),
    /// ARN of a secret, or its name in the function's region.
    SecretsManager(String),
    /// ARN of a parameter, or its name in the function's region.
    Ssm(String),
}

/// Proxy and endpoints for AWS services. Settings for Datadog's intakes do not apply, except for trusted certificates.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Aws {
    /// An absolute `http://` or `https://` URL.
    pub proxy: Option<String>,
    /// Hosts without proxy, as in [`Http::no_proxy`].
    pub no_proxy: Vec<String>,
    /// Base URL of all services, without trailing `/`, here and below. The default host of the service if not set.
    pub url: Option<String>,
    /// URL of KMS.
    pub kms_url: Option<String>,
    /// URL of Secrets Manager.
    pub secrets_manager_url: Option<String>,
    /// URL of Systems Manager.
    pub ssm_url: Option<String>,
}

/// A `key:value` pair of `DD_TAGS`; neither part is empty.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tag {
    pub key: String,
    pub value: String,
}

/// HTTP settings of the clients that connect to Datadog.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Http {
    /// An absolute `http://` or `https://` URL.
    pub proxy: Option<String>,
    /// Hosts, domains or `*`, as in `NO_PROXY`; the HTTP client matches them against each destination.
    pub no_proxy: Vec<String>,
    pub protocol: HttpProtocol,
    /// PEM certificates to trust in addition to the usual roots. Not checked here: the TLS setup reads the file.
    pub tls_cert_file: Option<PathBuf>,
    pub skip_ssl_validation: bool,
    /// Timeout of a request; the same as [`Config::flush_timeout`].
    pub timeout: Duration,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HttpProtocol {
    /// Negotiated in the TLS handshake.
    Automatic,
    Http1,
    Http2,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Logs {
    pub enabled: bool,
    /// Scheme and host without trailing `/`; the intake path is appended.
    pub url: String,
    /// Full URL of an Observability Pipelines Worker that receives the logs instead.
    pub worker: Option<String>,
    /// Additional endpoints for logs.
    pub additional_endpoints: Vec<Arc<Endpoint>>,
    pub rules: Vec<Rule>,
    /// Zstandard level; `None` sends logs uncompressed.
    pub compression: Option<i32>,
    /// Maximum number of invocations of a durable function whose lines wait for the execution that a span names; 0: none waits.
    pub durable_invocations: usize,
}

/// A log processing rule as configured. The pattern is not compiled here, because most functions have no rule and the regex engine is not needed
/// before the first log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rule {
    pub kind: RuleKind,
    pub name: String,
    pub pattern: String,
    /// Replacement for matches; empty if not given. Only [`RuleKind::MaskSequences`] uses it.
    pub placeholder: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RuleKind {
    ExcludeAtMatch,
    IncludeAtMatch,
    MaskSequences,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Metrics {
    /// Scheme and host without trailing `/`; the intake path is appended.
    pub url: String,
    /// Whether the extension reports `aws.lambda.enhanced.*`.
    pub enhanced: bool,
    /// Whether the enhanced metrics include resource usage.
    pub usage: bool,
    /// Zstandard level.
    pub compression_level: i32,
    /// Additional endpoints for metrics.
    pub additional_endpoints: Vec<Arc<Endpoint>>,
    /// Keys of function tags that are omitted from custom metrics.
    pub excluded_tags: Vec<String>,
}

/// The intake of another account.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Endpoint {
    /// Scheme and host without trailing `/`; the intake path is appended.
    pub url: String,
    /// Valid as a header value.
    pub api_key: ApiKey,
}

/// Settings for receiving custom metrics.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DogStatsd {
    /// Prefix of every metric name, without the separating dot.
    pub namespace: Option<String>,
    /// Size of the socket's receive buffer in bytes; `None` uses the system's default.
    pub receive_buffer: Option<usize>,
    /// Maximum size of a datagram in bytes; longer datagrams are truncated.
    pub buffer_size: usize,
    /// Maximum number of datagrams that wait to be processed.
    pub queue_size: usize,
}

/// When data is flushed. Intervals are never zero.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FlushStrategy {
    /// Adapts to the frequency of invocations.
    Default,
    /// At the end of each invocation.
    End,
    /// At the end of each invocation, and during long ones at this interval.
    EndPeriodically(Duration),
    /// At this interval, delaying the next invocation until the flush is complete.
    Periodically(Duration),
    /// At this interval, without delaying the next invocation.
    Continuously(Duration),
}

/// As `DD_SERVERLESS_FLUSH_STRATEGY` is written: `periodically,60000`.
impl fmt::Display for FlushStrategy {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (name, interval) = match self {
            Self::Default => return formatter.write_str("default"),
            Self::End => return formatter.write_str("end"),
            Self::EndPeriodically(interval) => ("end", interval),
            Self::Periodically(interval) => ("periodically", interval),
            Self::Continuously(interval) => ("continuously", interval),
        };
        write!(formatter, "{name},{}", interval.as_millis())
    }
}
