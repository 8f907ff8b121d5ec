//! The table of keys: all settings, one entry each.
//!
//! Loading, `docs/configuration.md` and the tests iterate over this table, so a new setting is one entry here and a field for its value. The
//! documentation of an entry is compiled only into tests, because it would enlarge a binary that is loaded from a cold disk.

mod apm;
mod appsec;
mod otlp;
mod setters;
mod triggers;

use std::sync::Arc;
use std::time::Duration;

use super::builder::{ConfigBuilder, OurProxy, SourcedSwitch};
use super::read::{Effect, ParsedList, RawValue, Reason};
use super::types::{ApiKey, DEFAULT_SITE};
use super::warning::Source;
use setters::{ZSTD, list, name, taken, texts};

/// A setting.
pub(super) struct Key {
    /// The environment variable, without its prefix `DD_` or `DATADOG_` if it has one.
    pub(super) name: &'static str,
    pub(super) scope: Scope,
    /// Dotted path in `datadog.yaml`; `None` if only the environment can set it.
    pub(super) yaml: Option<&'static str>,
    /// The value without any source, as a customer would write it.
    pub(super) default: &'static str,
    pub(super) set: Set,
    #[cfg(test)]
    pub(super) doc: Doc,
}

impl Key {
    /// The full name of the environment variable.
    pub(super) fn variable(&self) -> String {
        match self.scope {
            Scope::Datadog => format!("DD_{}", self.name),
            Scope::Shared => self.name.to_owned(),
        }
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Scope {
    /// A Datadog variable, with the prefix `DD_` or, with lower precedence, `DATADOG_`.
    Datadog,
    /// A variable that many programs read, without a prefix. A Datadog variable takes precedence over it.
    Shared,
}

/// Stores a value in the builder, or returns why it cannot be used. The builder changes only if the value is taken.
pub(super) type Set = fn(&mut ConfigBuilder, RawValue<'_>, Source) -> Result<Effect, Reason>;

#[cfg(test)]
pub(super) struct Doc {
    pub(super) kind: Kind,
    pub(super) example: &'static str,
    /// Another variable, `NAME=value`, without which the example has no effect.
    pub(super) beside: Option<&'static str>,
    /// The module that uses the setting.
    pub(super) reader: &'static str,
    pub(super) meaning: &'static str,
}

/// Accepted values, for the documentation and for the choice of an invalid value in tests.
#[cfg(test)]
pub(super) enum Kind {
    Text,
    Boolean,
    True,
    Integer { from: i64, to: i64 },
    Seconds,
    Level,
    Strategy,
    Protocol,
    Site,
    Url,
    List,
    Tags,
    Rules,
    Namespace,
    Endpoints,
    LogEndpoints,
    ReplaceRules,
    Words,
    Styles,
    Mapping,
}

/// Every setting, in the order of the documentation.
pub(super) fn all() -> impl Iterator<Item = &'static Key> {
    KEYS.iter().chain(apm::KEYS).chain(otlp::KEYS).chain(appsec::KEYS).chain(triggers::KEYS)
}

#[cfg(test)]
macro_rules! beside {
    () => {
        None
    };
    ($beside:literal) => {
        Some($beside)
    };
}

#[cfg(test)]
use beside;

macro_rules! keys {
    ($table:ident $($scope:ident $name:ident {
        yaml: $yaml:expr, kind: $kind:expr, default: $default:literal, example: $example:literal, $(beside: $beside:literal,)?
        reader: $reader:literal, meaning: $meaning:literal, set: $set:expr $(,)?
    })*) => {
        pub(super) static $table: &[Key] = &[$(Key {
            name: stringify!($name),
            scope: Scope::$scope,
            yaml: $yaml,
            default: $default,
            set: $set,
            #[cfg(test)]
            doc: Doc { kind: $kind, example: $example, beside: beside!($($beside)?), reader: $reader, meaning: $meaning },
        }),*];
    };
}

use keys;

keys! { KEYS
    Datadog API_KEY {
        yaml: Some("api_key"), kind: Kind::Text, default: "", example: "0123456789abcdef0123456789abcdef",
        reader: "intake",
        meaning: "Datadog API key. Blanks and line ends in it are removed.",
        set: |builder, given, _| taken(given.text().map(|text| builder.config.api_key = ApiKey::clean(text))),
    }
    Datadog ORG_UUID {
        yaml: Some("org_uuid"), kind: Kind::Text, default: "", example: "01234567-89ab-cdef-0123-456789abcdef",
        reader: "intake",
        meaning: "Organization that gives its API key to the function's role, which is proven by a signature of AWS's \
                  (delegated authentication). The site's API is asked for it. Beats every other way to a key.",
        set: |builder, given, _| taken(given.non_empty().map(|text| builder.secrets.organization = text.map(Into::into))),
    }
    Datadog DELEGATED_AUTH_URL {
        yaml: None, kind: Kind::Url, default: "https://api.datadoghq.com", example: "https://api.internal.example",
        reader: "intake",
        meaning: "Base URL of the API that is asked for the key of `DD_ORG_UUID`. The default follows the site, whatever the URL of metrics is.",
        set: |builder, given, _| taken(given.url().map(|url| builder.urls.delegated_auth = url)),
    }
    Datadog KMS_API_KEY {
        yaml: Some("kms_api_key"), kind: Kind::Text, default: "", example: "AQICAHiZ0123456789abcdef==",
        reader: "intake",
        meaning: "The API key encrypted by KMS, in base64. The first of `DD_ORG_UUID`, `DD_KMS_API_KEY`, `DD_API_KEY_SECRET_ARN`, \
                  `DD_API_KEY_SSM_ARN` and `DD_API_KEY` that is set counts.",
        set: |builder, given, _| taken(given.non_empty().map(|text| builder.secrets.kms = text.map(Into::into))),
    }
    Datadog API_KEY_SECRET_ARN {
        yaml: Some("api_key_secret_arn"), kind: Kind::Text, default: "",
        example: "arn:aws:secretsmanager:us-east-1:123456789012:secret:datadog", reader: "intake",
        meaning: "Secret in Secrets Manager that is the API key, or a JSON object with the key under `dd_api_key` or \
                  `apiKey`. It may be in another region.",
        set: |builder, given, _| {
            taken(given.non_empty().map(|text| builder.secrets.manager = text.map(Into::into)))
        },
    }
    Datadog API_KEY_SSM_ARN {
        yaml: Some("api_key_ssm_arn"), kind: Kind::Text, default: "",
        example: "arn:aws:ssm:us-east-1:123456789012:parameter/datadog", reader: "intake",
        meaning: "Name or ARN of the parameter in Systems Manager that is the API key. It may be in another region.",
        set: |builder, given, _| taken(given.non_empty().map(|text| builder.secrets.ssm = text.map(Into::into))),
    }
    Datadog API_KEY_SECRET_RELOAD_INTERVAL {
        yaml: Some("api_key_secret_reload_interval"), kind: Kind::Seconds, default: "", example: "3600",
        reader: "flush",
        meaning: "Seconds after which an API key that AWS or an organization keeps is asked for again; the old one is used until there \
                  is an answer. Less than one: never.",
        set: |builder, given, _| {
            let interval = given.seconds()?.filter(|interval| interval.as_secs() > 0);
            let effect = if interval.is_some() { Effect::Taken } else { Effect::Unset };
            builder.config.secret_reload = interval.or(builder.config.secret_reload);
            Ok(effect)
        },
    }
    Shared AWS_ENDPOINT_URL {
        yaml: None, kind: Kind::Url, default: "", example: "http://localhost:4566",
        reader: "intake",
        meaning: "Base URL of all AWS services that are asked for an API key, as in AWS's own SDKs.",
        set: |builder, given, _| taken(given.url().map(|url| builder.config.aws.url = url)),
    }
    Shared AWS_ENDPOINT_URL_KMS {
        yaml: None, kind: Kind::Url, default: "", example: "https://kms.internal.example",
        reader: "intake",
        meaning: "Base URL of AWS KMS alone.",
        set: |builder, given, _| taken(given.url().map(|url| builder.config.aws.kms_url = url)),
    }
    Shared AWS_ENDPOINT_URL_SECRETS_MANAGER {
        yaml: None, kind: Kind::Url, default: "", example: "https://secrets.internal.example",
        reader: "intake",
        meaning: "Base URL of Secrets Manager alone.",
        set: |builder, given, _| taken(given.url().map(|url| builder.config.aws.secrets_manager_url = url)),
    }
    Shared AWS_ENDPOINT_URL_SSM {
        yaml: None, kind: Kind::Url, default: "", example: "https://ssm.internal.example",
        reader: "intake",
        meaning: "Base URL of Systems Manager alone.",
        set: |builder, given, _| taken(given.url().map(|url| builder.config.aws.ssm_url = url)),
    }
    Datadog SITE {
        yaml: Some("site"), kind: Kind::Site, default: "datadoghq.com", example: "datadoghq.eu",
        reader: "intake",
        meaning: "Datadog site that all intake URLs are made from unless they are set themselves. For AWS GovCloud it is `ddog-gov.com` or a site below it; another one there is warned about.",
        set: |builder, given, _| {
            given.site()?.unwrap_or(DEFAULT_SITE).clone_into(&mut builder.config.site);
            Ok(Effect::Taken)
        },
    }
    Datadog LOG_LEVEL {
        yaml: Some("log_level"), kind: Kind::Level, default: "info", example: "debug",
        reader: "startup",
        meaning: "Least severe message that the extension itself logs. The one in the environment counts from the \
                  first line on, the one in the file from the moment it has been read. Lines that begin with `FIPS` are logged at every level, also those of a build without \
                  the module that `DD_LAMBDA_FIPS_MODE` or the region contradicts.",
        set: |builder, given, _| taken(given.level().map(|level| builder.config.log_level = level)),
    }
    Datadog FLUSH_TIMEOUT {
        yaml: Some("flush_timeout"), kind: Kind::Integer { from: 1, to: 900 }, default: "30", example: "5",
        reader: "intake, flush",
        meaning: "Seconds that one request to Datadog may take, not counting the time in which the sandbox is frozen. Also, the default strategy \
                  stops waiting for flushes once 20 invocations fit into this time.",
        set: |builder, given, _| {
            builder.number(given, &(1..=900), |builder, s| builder.config.flush_timeout = Duration::from_secs(s))
        },
    }
    Datadog SERVERLESS_FLUSH_STRATEGY {
        yaml: Some("serverless_flush_strategy"), kind: Kind::Strategy, default: "default",
        example: "continuously,20000", reader: "flush",
        meaning: "When the extension sends what it has collected: [flushing.md](flushing.md).",
        set: |builder, given, _| taken(given.strategy().map(|strategy| builder.config.flush_strategy = strategy)),
    }
    Datadog COMPRESSION_LEVEL {
        yaml: Some("compression_level"), kind: Kind::Integer { from: -7, to: 22 }, default: "3", example: "6",
        reader: "intake",
        meaning: "Zstandard level of every payload kind that has no level of its own, wherever that one is set. \
                  Lowered with a warning where the function's memory is too small for it: above 9 at 128 MB.",
        set: |builder, given, _| builder.number(given, &ZSTD, |builder, level| builder.levels.any = Some(level)),
    }
    Datadog ENV {
        yaml: Some("env"), kind: Kind::Text, default: "", example: "staging",
        reader: "process",
        meaning: "Value of the tag `env`.",
        set: |builder, given, _| Ok(name(&mut builder.config.env, given.non_empty()?)),
    }
    Datadog SERVICE {
        yaml: Some("service"), kind: Kind::Text, default: "", example: "checkout",
        reader: "process",
        meaning: "Value of the tag `service`, and the service of logs and spans.",
        set: |builder, given, _| Ok(name(&mut builder.config.service, given.non_empty()?)),
    }
    Datadog VERSION {
        yaml: Some("version"), kind: Kind::Text, default: "", example: "1.10",
        reader: "process",
        meaning: "Value of the tag `version`, exactly as written: `1.10` stays `1.10`, in the file too.",
        set: |builder, given, _| Ok(name(&mut builder.config.version, given.non_empty()?)),
    }
    Datadog TAGS {
        yaml: Some("tags"), kind: Kind::Tags, default: "", example: "team:payments,layer:api",
        reader: "process",
        meaning: "Tags added to everything that is sent.",
        set: |builder, given, _| {
            let ParsedList { items, skipped } = given.tags()?;
            builder.skipped = skipped;
            Ok(list(&mut builder.config.tags, items))
        },
    }
    Datadog PROXY_HTTPS {
        yaml: Some("proxy.https"), kind: Kind::Url, default: "", example: "http://proxy.internal:3128",
        reader: "intake",
        meaning: "Proxy for requests to Datadog. Set but empty: none, even if `HTTPS_PROXY` names one.",
        set: |builder, given, _| {
            builder.proxies.ours = given.url_or_host("http://")?.map_or(OurProxy::Off, OurProxy::Url);
            Ok(Effect::Taken)
        },
    }
    Datadog PROXY_NO_PROXY {
        yaml: Some("proxy.no_proxy"), kind: Kind::List, default: "", example: "internal.example,10.0.0.0/8",
        reader: "intake",
        meaning: "Hosts, domains, address ranges or `*` to be reached without the proxy, besides those of `NO_PROXY`.",
        set: |builder, given, _| Ok(texts(&mut builder.config.http.no_proxy, given.list()?, &mut builder.skipped)),
    }
    Shared HTTPS_PROXY {
        yaml: None, kind: Kind::Url, default: "", example: "http://proxy.internal:3128",
        reader: "intake",
        meaning: "Proxy where neither `DD_PROXY_HTTPS` nor `proxy.https` is set.",
        set: |builder, given, _| taken(given.url_or_host("http://").map(|url| builder.proxies.shared = url)),
    }
    Shared NO_PROXY {
        yaml: None, kind: Kind::List, default: "", example: "169.254.169.254,.internal.example",
        reader: "intake",
        meaning: "Hosts, domains, address ranges or `*` to be reached without a proxy.",
        set: |builder, given, _| Ok(texts(&mut builder.proxies.shared_exceptions, given.list()?, &mut builder.skipped)),
    }
    Datadog HTTP_PROTOCOL {
        yaml: Some("http_protocol"), kind: Kind::Protocol, default: "auto", example: "http1",
        reader: "intake",
        meaning: "HTTP version spoken to Datadog. `auto` agrees on one in the TLS handshake.",
        set: |builder, given, _| taken(given.protocol().map(|protocol| builder.config.http.protocol = protocol)),
    }
    Datadog TLS_CERT_FILE {
        yaml: Some("tls_cert_file"), kind: Kind::Text, default: "", example: "/opt/certs/ca.pem",
        reader: "intake",
        meaning: "File of PEM certificates to trust besides the usual roots: every one in it that can be used.",
        set: |builder, given, _| taken(given.non_empty().map(|path| builder.config.http.tls_cert_file = path.map(Into::into))),
    }
    Datadog LAMBDA_FIPS_MODE {
        yaml: None, kind: Kind::True, default: "", example: "true",
        reader: "startup",
        meaning: "Whether Datadog's libraries in the function use endpoints with validated cryptography; the default is true in `us-gov-` \
                  regions. What the extension does is decided when it is built: it only warns where it does otherwise.",
        set: |builder, given, _| taken(given.is_true().map(|on| builder.config.fips_mode = Some(on))),
    }
    Datadog SKIP_SSL_VALIDATION {
        yaml: Some("skip_ssl_validation"), kind: Kind::Boolean, default: "false", example: "true",
        reader: "intake",
        meaning: "Accept any certificate.",
        set: |builder, given, _| taken(given.boolean().map(|on| builder.config.http.skip_ssl_validation = on)),
    }
    Datadog SERVERLESS_LOGS_ENABLED {
        yaml: Some("serverless_logs_enabled"), kind: Kind::Boolean, default: "true", example: "false",
        reader: "process",
        meaning: "Collect and send logs. Where a source sets this or `DD_LOGS_ENABLED`, logs are on if one of the two is.",
        set: |builder, given, source| {
            taken(given.boolean().map(|on| builder.logs_enabled.serverless = Some(SourcedSwitch { source, on })))
        },
    }
    Datadog LOGS_ENABLED {
        yaml: Some("logs_enabled"), kind: Kind::Boolean, default: "true", example: "false",
        reader: "process",
        meaning: "The Agent's name for `DD_SERVERLESS_LOGS_ENABLED`.",
        set: |builder, given, source| {
            taken(given.boolean().map(|on| builder.logs_enabled.agent = Some(SourcedSwitch { source, on })))
        },
    }
    Datadog LOGS_CONFIG_LOGS_DD_URL {
        yaml: Some("logs_config.logs_dd_url"), kind: Kind::Url, default: "https://http-intake.logs.datadoghq.com",
        example: "https://logs.internal.example", reader: "intake",
        meaning: "Base URL of the logs intake; `https://` is added where there is no scheme. The default follows the \
                  site.",
        set: |builder, given, _| taken(given.url_or_host("https://").map(|url| builder.urls.logs = url)),
    }
    Datadog LOGS_CONFIG_PROCESSING_RULES {
        yaml: Some("logs_config.processing_rules"), kind: Kind::Rules, default: "",
        example: r#"[{"type":"mask_sequences","name":"cards","pattern":"\\d{16}","replace_placeholder":"[card]"}]"#,
        reader: "process",
        meaning: "Rules applied in order to each log message. `type` is `exclude_at_match`, `include_at_match` or \
                  `mask_sequences`.",
        set: |builder, given, _| {
            let ParsedList { items, skipped } = given.rules()?;
            builder.skipped = skipped;
            Ok(list(&mut builder.config.logs.rules, items))
        },
    }
    Datadog LOGS_CONFIG_USE_COMPRESSION {
        yaml: Some("logs_config.use_compression"), kind: Kind::Boolean, default: "true", example: "false",
        reader: "intake",
        meaning: "Compress logs on the way to their intake.",
        set: |builder, given, _| taken(given.boolean().map(|on| builder.use_compression = Some(on))),
    }
    Datadog LOGS_CONFIG_COMPRESSION_LEVEL {
        yaml: Some("logs_config.compression_level"), kind: Kind::Integer { from: -7, to: 22 }, default: "3",
        example: "1", reader: "intake",
        meaning: "Zstandard level of logs.",
        set: |builder, given, _| builder.number(given, &ZSTD, |builder, level| builder.levels.logs = Some(level)),
    }
    Datadog LOGS_CONFIG_ADDITIONAL_ENDPOINTS {
        yaml: Some("logs_config.additional_endpoints"), kind: Kind::LogEndpoints, default: "",
        example: r#"[{"api_key":"fedcba9876543210fedcba9876543210","Host":"http-intake.logs.datadoghq.eu","Port":443}]"#,
        reader: "intake",
        meaning: "Further logs intakes, each with the API key under which all logs go there too. `https://` is put \
                  before a host without a scheme; the port is 443 if not given.",
        set: |builder, given, _| {
            let ParsedList { items, skipped } = given.log_endpoints()?;
            builder.skipped = skipped;
            let endpoints = items.into_iter().map(Arc::new).collect();
            Ok(list(&mut builder.config.logs.additional_endpoints, endpoints))
        },
    }
    Datadog OBSERVABILITY_PIPELINES_WORKER_LOGS_ENABLED {
        yaml: None, kind: Kind::Boolean, default: "false", example: "true",
        beside: "DD_OBSERVABILITY_PIPELINES_WORKER_LOGS_URL=http://worker.internal:8282",
        reader: "intake",
        meaning: "Send logs to an Observability Pipelines Worker instead of Datadog's intake. Without a usable URL of \
                  one, no logs are sent.",
        set: |builder, given, _| taken(given.boolean().map(|on| builder.worker_enabled = on)),
    }
    Datadog OBSERVABILITY_PIPELINES_WORKER_LOGS_URL {
        yaml: None, kind: Kind::Url, default: "", example: "http://worker.internal:8282",
        beside: "DD_OBSERVABILITY_PIPELINES_WORKER_LOGS_ENABLED=true",
        reader: "intake",
        meaning: "Whole URL of the Observability Pipelines Worker; nothing is appended to it, and logs are not compressed on the way there. \
                  The additional logs intakes are not affected.",
        set: |builder, given, _| taken(given.whole_url().map(|url| builder.urls.worker = url)),
    }
    Datadog ENHANCED_METRICS {
        yaml: Some("enhanced_metrics"), kind: Kind::Boolean, default: "true", example: "false",
        reader: "process",
        meaning: "Report `aws.lambda.enhanced.*` metrics.",
        set: |builder, given, _| taken(given.boolean().map(|on| builder.config.metrics.enhanced = on)),
    }
    Datadog LAMBDA_PROC_ENHANCED_METRICS {
        yaml: Some("lambda_proc_enhanced_metrics"), kind: Kind::Boolean, default: "true", example: "false",
        reader: "run",
        meaning: "Include CPU, network, open files, threads and `/tmp` in the enhanced metrics.",
        set: |builder, given, _| taken(given.boolean().map(|on| builder.config.metrics.usage = on)),
    }
    Datadog METRICS_CONFIG_COMPRESSION_LEVEL {
        yaml: Some("metrics_config.compression_level"), kind: Kind::Integer { from: -7, to: 22 }, default: "3",
        example: "1", reader: "intake",
        meaning: "Zstandard level of metrics.",
        set: |builder, given, _| builder.number(given, &ZSTD, |builder, level| builder.levels.metrics = Some(level)),
    }
    Datadog DD_URL {
        yaml: Some("dd_url"), kind: Kind::Url, default: "https://api.datadoghq.com",
        example: "https://metrics.internal.example", reader: "intake",
        meaning: "Base URL of the metrics intake; the variable's whole name is `DD_DD_URL`. The default follows the \
                  site.",
        set: |builder, given, _| taken(given.url().map(|url| builder.urls.metrics = url)),
    }
    Datadog URL {
        yaml: None, kind: Kind::Url, default: "https://api.datadoghq.com",
        example: "https://metrics.internal.example", reader: "intake",
        meaning: "Base URL of the metrics intake where `DD_DD_URL` and `dd_url` are not set.",
        set: |builder, given, _| taken(given.url().map(|url| builder.urls.fallback_metrics = url)),
    }
    Datadog ADDITIONAL_ENDPOINTS {
        yaml: Some("additional_endpoints"), kind: Kind::Endpoints, default: "",
        example: r#"{"https://api.datadoghq.eu":["fedcba9876543210fedcba9876543210"]}"#, reader: "intake",
        meaning: "Base URLs of further metrics intakes, each with the API keys under which all metrics go there too.",
        set: |builder, given, _| {
            let ParsedList { items, skipped } = given.endpoints()?;
            builder.skipped = skipped;
            let endpoints = items.into_iter().map(Arc::new).collect();
            Ok(list(&mut builder.config.metrics.additional_endpoints, endpoints))
        },
    }
    Datadog LAMBDA_CUSTOMER_METRICS_EXCLUDE_TAGS {
        yaml: Some("lambda_customer_metrics_exclude_tags"), kind: Kind::List, default: "",
        example: "function_arn,region", reader: "intake",
        meaning: "Keys of the function's tags that metrics from DogStatsD do without.",
        set: |builder, given, _| Ok(texts(&mut builder.config.metrics.excluded_tags, given.list()?, &mut builder.skipped)),
    }
    Datadog STATSD_METRIC_NAMESPACE {
        yaml: None, kind: Kind::Namespace, default: "", example: "shop",
        reader: "process",
        meaning: "Put in front of the name of every metric from DogStatsD, with a dot between the two.",
        set: |builder, given, _| Ok(name(&mut builder.config.dogstatsd.namespace, given.namespace()?)),
    }
    Datadog DOGSTATSD_SO_RCVBUF {
        yaml: Some("dogstatsd_so_rcvbuf"), kind: Kind::Integer { from: 1, to: 16_777_216 }, default: "",
        example: "1048576", reader: "ingest",
        meaning: "Bytes of datagrams that the system may keep until they are read. The default, and \
                  the most that it gives, is the system's own.",
        set: |builder, given, _| {
            builder.number(given, &(1..=16_777_216), |builder, size| builder.config.dogstatsd.receive_buffer = Some(size))
        },
    }
    Datadog DOGSTATSD_BUFFER_SIZE {
        yaml: Some("dogstatsd_buffer_size"), kind: Kind::Integer { from: 1, to: 65_536 }, default: "8192",
        example: "1500", reader: "ingest",
        meaning: "Bytes of a datagram. Of a longer one, the lines that fit are taken.",
        set: |builder, given, _| {
            builder.number(given, &(1..=65_536), |builder, size| builder.config.dogstatsd.buffer_size = size)
        },
    }
    Datadog DOGSTATSD_QUEUE_SIZE {
        yaml: Some("dogstatsd_queue_size"), kind: Kind::Integer { from: 1, to: 1_048_576 }, default: "1024",
        example: "4096", reader: "ingest",
        meaning: "Datagrams that may wait to be processed, though never more than 16 MiB of them. Further ones are \
                  dropped and counted.",
        set: |builder, given, _| {
            builder.number(given, &(1..=1_048_576), |builder, size| builder.config.dogstatsd.queue_size = size)
        },
    }
}
