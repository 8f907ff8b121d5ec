//! What the rest of the extension sees of its configuration: plain values, already checked.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use log::LevelFilter;

/// Everything that the customer can set, resolved from environment, `datadog.yaml` and defaults.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// The key as given in plain text; `None` when there is none or nothing is left of it after cleaning.
    pub api_key: Option<ApiKey>,
    /// Where the key is kept instead; it beats the one in plain text.
    pub secret: Option<Secret>,
    /// How long a key that was kept elsewhere is used before it is asked for again; at least a second.
    pub secret_reload: Option<Duration>,
    /// How AWS is reached.
    pub aws: Aws,
    /// A host name such as `datadoghq.eu`: never empty, never a URL.
    pub site: String,
    pub log_level: LevelFilter,
    /// Total time allowed to one HTTP request, and the idle time after which the default strategy flushes at the end.
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
    /// Whether the runtime's libraries use endpoints with validated cryptography; the region decides if it is not said.
    pub fips_mode: Option<bool>,
}

impl Default for Config {
    fn default() -> Self {
        let flush_timeout = Duration::from_secs(30);
        Self {
            api_key: None,
            secret: None,
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
            },
            metrics: Metrics {
                url: metrics_url(DEFAULT_SITE),
                enhanced: true,
                usage: true,
                compression_level: DEFAULT_COMPRESSION_LEVEL,
                additional_endpoints: Vec::new(),
                excluded_tags: Vec::new(),
            },
            dogstatsd: DogStatsd { namespace: None, receive_buffer: None, buffer_size: 8192, queue_size: 1024 },
            fips_mode: None,
        }
    }
}

pub(super) const DEFAULT_SITE: &str = "datadoghq.com";
pub(super) const DEFAULT_LOG_LEVEL: LevelFilter = LevelFilter::Info;
pub(super) const DEFAULT_COMPRESSION_LEVEL: i32 = 3;

pub(super) fn logs_url(site: &str) -> String {
    format!("https://http-intake.logs.{site}")
}

pub(super) fn metrics_url(site: &str) -> String {
    format!("https://api.{site}")
}

/// A Datadog API key, cleaned: all blanks and line ends removed, never empty.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct ApiKey(String);

impl ApiKey {
    /// Removes the line ends and blanks that copying from a console or a secret store leaves behind; `None` when
    /// nothing remains.
    pub fn clean(text: &str) -> Option<Self> {
        let kept: String = text.chars().filter(|c| !c.is_whitespace()).collect();
        (!kept.is_empty()).then_some(Self(kept))
    }

    /// The secret itself, for the one header that carries it.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for ApiKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ApiKey(redacted)")
    }
}

/// A place where a key is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Secret {
    /// With Datadog itself: it gives the key to a role that the organization with this UUID trusts.
    Delegated(String),
    /// The key, encrypted by KMS, in base64.
    Kms(String),
    /// An ARN, or a name in the function's region.
    SecretsManager(String),
    /// An ARN, or a name in the function's region.
    Ssm(String),
}

/// How AWS's own services are reached. Nothing that is set for Datadog's intakes counts, except for certificates that are trusted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Aws {
    /// An absolute `http://` or `https://` URL.
    pub proxy: Option<String>,
    /// As in [`Http::no_proxy`].
    pub no_proxy: Vec<String>,
    /// Base URL of all services; no trailing `/`, here and below. The usual host of the service if there is none.
    pub url: Option<String>,
    /// Of KMS alone.
    pub kms_url: Option<String>,
    /// Of Secrets Manager alone.
    pub secrets_manager_url: Option<String>,
    /// Of Systems Manager alone.
    pub ssm_url: Option<String>,
}

/// One `key:value` pair of `DD_TAGS`; neither side is empty.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tag {
    pub key: String,
    pub value: String,
}

/// How the clients that talk to Datadog reach it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Http {
    /// An absolute `http://` or `https://` URL.
    pub proxy: Option<String>,
    /// Hosts, domains or `*`, in the usual `NO_PROXY` meaning; the HTTP client matches them against each destination.
    pub no_proxy: Vec<String>,
    pub protocol: HttpProtocol,
    /// PEM certificates to trust besides the usual roots. Whether the file can be read is known where it is read.
    pub tls_cert_file: Option<PathBuf>,
    pub skip_ssl_validation: bool,
    /// Total time allowed to one request; the same as [`Config::flush_timeout`].
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
    /// Scheme and host, no trailing `/`: the intake path is appended to it.
    pub url: String,
    /// Whole URL of an Observability Pipelines Worker that logs go to instead.
    pub worker: Option<String>,
    /// Where logs go besides.
    pub additional_endpoints: Vec<Arc<Endpoint>>,
    pub rules: Vec<Rule>,
    /// Zstandard level; `None` sends logs uncompressed.
    pub compression: Option<i32>,
}

/// A log processing rule as the customer wrote it: the pattern is not compiled here, because most functions have none
/// and the regex engine is not needed before the first log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rule {
    pub kind: RuleKind,
    pub name: String,
    pub pattern: String,
    /// What a match is replaced by; empty when not given. Only [`RuleKind::MaskSequences`] uses it.
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
    /// Scheme and host, no trailing `/`: the intake path is appended to it.
    pub url: String,
    /// Whether the extension reports `aws.lambda.enhanced.*`.
    pub enhanced: bool,
    /// Whether those include what the function uses of the machine.
    pub usage: bool,
    /// Zstandard level.
    pub compression_level: i32,
    /// Where metrics go besides.
    pub additional_endpoints: Vec<Arc<Endpoint>>,
    /// Keys of the function's tags that the customer's own metrics do without.
    pub excluded_tags: Vec<String>,
}

/// Another account's intake.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Endpoint {
    /// Scheme and host, no trailing `/`: the intake path is appended to it.
    pub url: String,
    /// Can stand in a header.
    pub api_key: ApiKey,
}

/// How the customer's own metrics are taken in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DogStatsd {
    /// What goes in front of every name, without the dot between the two.
    pub namespace: Option<String>,
    /// Bytes that the system may keep for us to read; `None` leaves that to the system.
    pub receive_buffer: Option<usize>,
    /// Bytes of a datagram; what is longer is cut.
    pub buffer_size: usize,
    /// Datagrams that may wait to be processed.
    pub queue_size: usize,
}

/// When collected data leaves; the intervals are never zero.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FlushStrategy {
    /// Adapts to how often the function is invoked.
    Default,
    /// At the end of each invocation.
    End,
    /// At the end of each invocation, and during long ones at this interval.
    EndPeriodically(Duration),
    /// At this interval, holding the next invocation until it is done.
    Periodically(Duration),
    /// At this interval, without holding the next invocation.
    Continuously(Duration),
}
