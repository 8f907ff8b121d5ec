//! Carries payloads to Datadog over HTTPS.

use std::{sync::Arc, time::Duration};

use reqwest::{NoProxy, Proxy, RequestBuilder, StatusCode, header};

use super::{
    Kind, Payload, To,
    aws::{self, Aws},
    key::{self, Datadog, Function, Key, Resolver},
    tls::{self, Problem},
    written::Written,
};
use crate::{
    config::{ApiKey, Config, Http, HttpProtocol},
    os::names::HostResolver,
};

/// Knows the way to the intakes.
#[derive(Debug, Clone)]
pub struct Client {
    http: reqwest::Client,
    logs: Logs,
    metrics_url: String,
    key: Key,
}

/// Where logs go first.
#[derive(Debug, Clone)]
enum Logs {
    /// The base URL of the intake.
    Datadog(String),
    /// The whole URL of a worker between us and Datadog, which speaks plain HTTP.
    Worker(String),
}

/// A client, and what could not be taken into account.
#[derive(Debug)]
pub struct Built {
    /// Ready to send.
    pub client: Client,
    /// To be logged.
    pub problems: Vec<Problem>,
}

/// Why there is no client. Data is dropped and counted then.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No API key.
    #[error(
        "Failed to resolve API key: set DD_API_KEY, DD_API_KEY_SECRET_ARN, DD_API_KEY_SSM_ARN, DD_KMS_API_KEY or DD_ORG_UUID"
    )]
    NoKey,
    /// The key cannot stand in a header.
    #[error("API key has invalid format")]
    BadKey,
    /// TLS cannot be set up.
    #[error("TLS could not be set up: {0}")]
    Tls(#[source] tls::Error),
    /// The HTTP client cannot be built.
    #[error("the HTTP client could not be built: {0}")]
    Http(#[source] reqwest::Error),
}

/// Why a payload did not arrive.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// Datadog will not take it, however often it is asked.
    #[error("Datadog answered {0}")]
    Refused(StatusCode),
    /// Datadog may take it later.
    #[error("Datadog answered {status}")]
    Busy {
        /// What it answered.
        status: StatusCode,
        /// How long it asked us to wait.
        retry_after: Option<Duration>,
    },
    /// It did not get there, or the answer did not get here.
    #[error("{0}")]
    Transport(String),
    /// The connection took the whole request and no answer came in time: it may have arrived.
    #[error("no answer: {0}")]
    NoAnswer(String),
}

impl Failure {
    /// Whether it makes sense to try again.
    pub fn is_temporary(&self) -> bool {
        !matches!(self, Self::Refused(_))
    }
}

impl Client {
    /// Builds the one client that all payloads share.
    pub fn build(config: &Config, function: Function) -> Result<Built, Error> {
        let mut problems = Vec::new();
        let known = if config.secret.is_none() { Some(known(config)?) } else { None };
        let http = http_client(&config.http, &mut problems)?;
        let logs = match &config.logs.worker {
            Some(url) => Logs::Worker(url.clone()),
            None => Logs::Datadog(config.logs.url.clone()),
        };
        let metrics_url = config.metrics.url.clone();
        let key = match (known, config.secret.clone()) {
            (Some(key), _) => Key::Known(key),
            (None, Some(secret)) => {
                let datadog = Datadog { http: http.clone(), url: metrics_url.clone() };
                Key::Secret(Resolver::new(aws(config, &mut problems)?, datadog, secret, function))
            }
            (None, None) => return Err(Error::NoKey),
        };
        let client = Self { http, logs, metrics_url, key };
        Ok(Built { client, problems })
    }

    /// What the primary intakes know us by.
    pub fn key(&self) -> &Key {
        &self.key
    }

    /// One attempt, under that key. The response's body is not read: it may echo what the customer sent.
    pub async fn send(&self, payload: &Payload, key: &ApiKey) -> Result<(), Failure> {
        let request = match &payload.to {
            To::Primary => self.to_primary(payload.kind),
            To::Additional(endpoint) => self.to_datadog(payload.kind, &endpoint.url),
        };
        let written = Written::default();
        let request = request.header("dd-api-key", key.expose()).body(written.body(payload.body.clone()));
        let request = if payload.zstd { request.header(header::CONTENT_ENCODING, "zstd") } else { request };
        let response = request.send().await.map_err(|error| match chain(&error) {
            text if error.is_timeout() && written.is_complete() => Failure::NoAnswer(text),
            text => Failure::Transport(text),
        })?;
        let status = response.status();
        if status.is_success() {
            return Ok(());
        }
        Err(match status {
            StatusCode::REQUEST_TIMEOUT | StatusCode::TOO_MANY_REQUESTS => {
                Failure::Busy { status, retry_after: retry_after(&response) }
            }
            status if status.is_server_error() => Failure::Busy { status, retry_after: retry_after(&response) },
            status => Failure::Refused(status),
        })
    }

    fn to_primary(&self, kind: Kind) -> RequestBuilder {
        match (kind, &self.logs) {
            (Kind::Logs, Logs::Worker(url)) => self.http.post(url).header(header::CONTENT_TYPE, JSON),
            (Kind::Logs, Logs::Datadog(base)) => self.to_datadog(kind, base),
            (Kind::Sketches | Kind::Series, _) => self.to_datadog(kind, &self.metrics_url),
        }
    }

    fn to_datadog(&self, kind: Kind, base: &str) -> RequestBuilder {
        let post = |path: &str, content_type: &str| {
            self.http.post(format!("{base}{path}")).header(header::CONTENT_TYPE, content_type)
        };
        match kind {
            Kind::Logs => post("/api/v2/logs", JSON).header("dd-protocol", "agent-json"),
            Kind::Sketches => post("/api/beta/sketches", PROTOBUF),
            Kind::Series => post("/api/v2/series", PROTOBUF),
        }
    }
}

const JSON: &str = "application/json";
const PROTOBUF: &str = "application/x-protobuf";

/// The key in plain text.
fn known(config: &Config) -> Result<ApiKey, Error> {
    let given = config.api_key.as_ref().ok_or(Error::NoKey)?;
    key::usable(given.expose()).ok_or(Error::BadKey)
}

/// The way to AWS; nobody is asked here.
fn aws(config: &Config, problems: &mut Vec<Problem>) -> Result<Aws, Error> {
    let aws = &config.aws;
    // What is set for Datadog's intakes is none of AWS's business; a certificate that is trusted is trusted everywhere.
    let http = Http {
        proxy: aws.proxy.clone(),
        no_proxy: aws.no_proxy.clone(),
        protocol: HttpProtocol::Http1,
        tls_cert_file: config.http.tls_cert_file.clone(),
        skip_ssl_validation: false,
        timeout: aws::TIMEOUT,
    };
    Ok(Aws::new(http_client(&http, problems)?, aws.clone()))
}

fn http_client(http: &Http, problems: &mut Vec<Problem>) -> Result<reqwest::Client, Error> {
    let mut builder = reqwest::Client::builder()
        .timeout(http.timeout)
        // A frozen sandbox cannot keep a connection alive, and finds out only by failing on it.
        .pool_max_idle_per_host(0)
        .dns_resolver(Arc::new(HostResolver))
        .no_proxy();
    if let Some(proxy) = &http.proxy {
        let proxy = Proxy::https(proxy).map_err(Error::Http)?;
        builder = builder.proxy(proxy.no_proxy(NoProxy::from_string(&http.no_proxy.join(","))));
    }
    builder = match http.protocol {
        HttpProtocol::Automatic => builder,
        HttpProtocol::Http1 => builder.http1_only(),
        HttpProtocol::Http2 => builder.http2_prior_knowledge(),
    };
    if http.skip_ssl_validation {
        let config = tls::trust_everybody(http.protocol).map_err(Error::Tls)?;
        builder = builder.tls_backend_preconfigured(config);
    } else {
        let trust = tls::trust(http.tls_cert_file.as_deref(), http.protocol).map_err(Error::Tls)?;
        problems.extend(trust.problems);
        builder = builder.tls_backend_preconfigured(trust.config);
    }
    builder.build().map_err(Error::Http)
}

/// Seconds only; the other form, a date, is not used by Datadog.
fn retry_after(response: &reqwest::Response) -> Option<Duration> {
    let seconds = response.headers().get(header::RETRY_AFTER)?.to_str().ok()?.trim().parse().ok()?;
    Some(Duration::from_secs(seconds))
}

/// The whole chain of causes on one line: the outermost alone says only that sending failed.
pub(super) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn function() -> Function {
        Function { region: "eu-west-1".to_owned(), name: "f".to_owned() }
    }

    #[test]
    fn a_client_needs_a_key_that_can_stand_in_a_header() {
        assert!(matches!(Client::build(&Config::default(), function()), Err(Error::NoKey)));
        let config = Config { api_key: ApiKey::clean("a\u{7f}b"), ..Config::default() };
        assert!(matches!(Client::build(&config, function()), Err(Error::BadKey)));
    }

    #[test]
    fn a_secret_beats_the_key_in_plain_text_and_is_not_asked_for_yet() {
        tls::install_provider();
        let secret = Some(crate::config::Secret::Ssm("name".to_owned()));
        let config = Config { api_key: ApiKey::clean("key"), secret, ..Config::default() };
        let built = Client::build(&config, function()).unwrap();
        assert!(matches!(built.client.key(), Key::Secret(_)));
    }

    #[test]
    fn every_setting_of_the_client_builds() {
        tls::install_provider();
        for protocol in [HttpProtocol::Automatic, HttpProtocol::Http1, HttpProtocol::Http2] {
            for skip_ssl_validation in [false, true] {
                let mut config = Config { api_key: ApiKey::clean("key"), ..Config::default() };
                config.http.protocol = protocol;
                config.http.skip_ssl_validation = skip_ssl_validation;
                config.http.proxy = Some("http://proxy:3128".to_owned());
                config.http.no_proxy = vec!["example.com".to_owned()];
                assert!(Client::build(&config, function()).is_ok(), "{protocol:?} {skip_ssl_validation}");
            }
        }
    }
}

#[cfg(test)]
#[path = "../../tests/e2e/https.rs"]
pub(super) mod https;

#[cfg(test)]
#[path = "wire_tests.rs"]
mod wire_tests;
