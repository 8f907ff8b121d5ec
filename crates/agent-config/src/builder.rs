//! Collects settings for a [`Config`]. Settings that take effect only in combination with others are held until the end.

use std::fmt::Display;
use std::num::ParseIntError;
use std::ops::RangeInclusive;
use std::str::FromStr;

use super::apm::{self, Apm};
use super::read::{Effect, Integer, RawValue, Reason};
use super::types::{self, Aws, Config, DEFAULT_COMPRESSION_LEVEL, Http, Logs, Metrics, Secret};
use super::warning::Source;

/// Starts with the defaults. The setters in the table of keys fill it.
#[derive(Default)]
pub(super) struct ConfigBuilder {
    pub(super) config: Config,
    pub(super) levels: CompressionLevels,
    pub(super) use_compression: Option<bool>,
    pub(super) logs_enabled: Switches,
    pub(super) worker_enabled: bool,
    pub(super) is_experimental: bool,
    pub(super) urls: Urls,
    pub(super) proxies: Proxies,
    pub(super) secrets: Secrets,
    /// Number of unusable items of the value just taken. The caller turns them into a warning.
    pub(super) skipped: usize,
    /// The maximum that the value just taken exceeded. The caller turns it into a warning.
    pub(super) cap: Option<String>,
}

#[derive(Default)]
pub(super) struct CompressionLevels {
    pub(super) any: Option<i32>,
    pub(super) logs: Option<i32>,
    pub(super) metrics: Option<i32>,
    pub(super) apm: Option<i32>,
}

#[derive(Default)]
pub(super) struct Urls {
    pub(super) metrics: Option<String>,
    pub(super) fallback_metrics: Option<String>,
    pub(super) logs: Option<String>,
    pub(super) worker: Option<String>,
    pub(super) apm: Option<String>,
    pub(super) delegated_auth: Option<String>,
}

/// The places where an API key may be stored, in order of precedence.
#[derive(Default)]
pub(super) struct Secrets {
    pub(super) organization: Option<String>,
    pub(super) kms: Option<String>,
    pub(super) manager: Option<String>,
    pub(super) ssm: Option<String>,
}

#[derive(Default)]
pub(super) struct Proxies {
    pub(super) ours: OurProxy,
    pub(super) shared: Option<String>,
    pub(super) shared_exceptions: Vec<String>,
}

#[derive(Default)]
pub(super) enum OurProxy {
    #[default]
    NotSet,
    /// Set, but empty: opts out of the shared proxy.
    Off,
    Url(String),
}

/// The two names of the logs switch, each with its source.
#[derive(Default)]
pub(super) struct Switches {
    pub(super) serverless: Option<SourcedSwitch>,
    pub(super) agent: Option<SourcedSwitch>,
}

#[derive(Clone, Copy)]
pub(super) struct SourcedSwitch {
    pub(super) source: Source,
    pub(super) on: bool,
}

impl Switches {
    /// A source that sets either name sets the switch: on if one of its two values is on. The environment takes precedence.
    fn resolve(&self) -> Option<bool> {
        let both = [self.serverless, self.agent];
        [Source::Environment, Source::Yaml].into_iter().find_map(|source| {
            let of_source = || both.iter().flatten().filter(|switch| switch.source == source);
            of_source().next().map(|_| of_source().any(|switch| switch.on))
        })
    }
}

impl ConfigBuilder {
    /// Stores a whole number. One above the range counts as the last of the range.
    pub(super) fn number<T: FromStr<Err = ParseIntError> + PartialOrd + Copy + Display>(
        &mut self,
        given: RawValue<'_>,
        range: &RangeInclusive<T>,
        set: impl FnOnce(&mut Self, T),
    ) -> Result<Effect, Reason> {
        let Integer { value, is_capped } = given.integer(range)?;
        self.cap = is_capped.then(|| value.to_string());
        set(self, value);
        Ok(Effect::Taken)
    }

    /// Whether logs are to go to a worker whose URL is missing.
    pub(super) fn lacks_worker(&self) -> bool {
        self.worker_enabled && self.urls.worker.is_none()
    }

    pub(super) fn finish(self) -> Config {
        let lacks_worker = self.lacks_worker();
        let Self {
            config,
            levels,
            use_compression,
            logs_enabled,
            worker_enabled,
            is_experimental,
            urls,
            proxies,
            secrets,
            skipped: _,
            cap: _,
        } = self;
        let level = |specific: Option<i32>| specific.or(levels.any).unwrap_or(DEFAULT_COMPRESSION_LEVEL);
        let mut no_proxy = config.http.no_proxy;
        no_proxy.extend_from_slice(&proxies.shared_exceptions);
        let Secrets { organization, kms, manager, ssm } = secrets;
        let places = [
            organization.map(Secret::Delegated),
            kms.map(Secret::Kms),
            manager.map(Secret::SecretsManager),
            ssm.map(Secret::Ssm),
        ];
        Config {
            secret: places.into_iter().flatten().next(),
            delegated_auth_url: urls.delegated_auth.unwrap_or_else(|| types::api_url(&config.site)),
            aws: Aws { proxy: proxies.shared.clone(), no_proxy: proxies.shared_exceptions, ..config.aws },
            http: Http {
                proxy: match proxies.ours {
                    OurProxy::NotSet => proxies.shared,
                    OurProxy::Off => None,
                    OurProxy::Url(url) => Some(url),
                },
                no_proxy,
                timeout: config.flush_timeout,
                ..config.http
            },
            logs: Logs {
                // The customer may use a worker because some log content must not reach Datadog.
                enabled: logs_enabled.resolve().unwrap_or(config.logs.enabled) && !lacks_worker,
                url: urls.logs.unwrap_or_else(|| types::logs_url(&config.site)),
                worker: urls.worker.filter(|_| worker_enabled),
                compression: use_compression.unwrap_or(true).then(|| level(levels.logs)),
                ..config.logs
            },
            metrics: Metrics {
                url: urls.metrics.or(urls.fallback_metrics).unwrap_or_else(|| types::api_url(&config.site)),
                compression_level: level(levels.metrics),
                ..config.metrics
            },
            apm: Apm {
                url: urls.apm.unwrap_or_else(|| apm::url(&config.site)),
                compression_level: level(levels.apm),
                additional_stats_tags: if is_experimental { config.apm.additional_stats_tags } else { Vec::new() },
                ..config.apm
            },
            ..config
        }
    }
}
