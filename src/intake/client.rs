//! HTTP client that sends payloads to Datadog.

use std::{pin::pin, sync::Arc, time::Duration};

use reqwest::{
    RequestBuilder, Response,
    header::{self, HeaderMap, HeaderName, HeaderValue},
};
use tokio::time::{Instant, sleep};

use super::{
    Kind, Payload, Target,
    aws::{self, Aws},
    http::{BuildError, ErrorStatus, HttpClient, RequestError},
    key::{self, Datadog, Function, Key, Resolver},
    proxied::ProxiedUrls,
    send_error::SendError,
    tls::TlsWarning,
    written::BodyProgress,
};
use crate::config::{ApiKey, Config, Http, HttpProtocol};

/// Knows the way to the intakes. Clones share it.
#[derive(Debug, Clone)]
pub struct Client(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    http: HttpClient,
    logs: Logs,
    metrics_url: String,
    apm_url: String,
    proxied: ProxiedUrls,
    key: Key,
}

/// The primary destination of logs.
#[derive(Debug, Clone)]
enum Logs {
    /// Base URL of Datadog's logs intake.
    Datadog(String),
    /// Full URL of an Observability Pipelines Worker, which uses plain HTTP.
    Worker(String),
}

/// A client, and the warnings from building it.
#[derive(Debug)]
pub struct BuiltClient {
    /// The client.
    pub client: Client,
    /// Warnings to be logged.
    pub warnings: Vec<TlsWarning>,
}

/// The reason why there is no client. All data is then dropped and counted.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No API key is configured.
    #[error(
        "Failed to resolve API key: set DD_API_KEY, DD_API_KEY_SECRET_ARN, DD_API_KEY_SSM_ARN, DD_KMS_API_KEY or DD_ORG_UUID"
    )]
    NoKey,
    /// The API key is not valid as a header value.
    #[error("API key has invalid format")]
    BadKey,
    /// The HTTP client cannot be built.
    #[error(transparent)]
    Http(#[from] BuildError),
}

impl Client {
    /// Builds the client that all payloads share.
    pub fn build(config: &Config, function: Function) -> Result<BuiltClient, Error> {
        let mut warnings = Vec::new();
        let known = if config.secret.is_none() { Some(known(config)?) } else { None };
        let http = HttpClient::build(&config.http, &mut warnings)?;
        let logs = match &config.logs.worker {
            Some(url) => Logs::Worker(url.clone()),
            None => Logs::Datadog(config.logs.url.clone()),
        };
        let metrics_url = config.metrics.url.clone();
        let key = match (known, config.secret.clone()) {
            (Some(key), _) => Key::Plain(key),
            (None, Some(secret)) => {
                let datadog = Datadog { http: http.clone(), url: config.delegated_auth_url.clone() };
                Key::Secret(Resolver::new(aws(config, &mut warnings)?, datadog, secret, function))
            }
            (None, None) => return Err(Error::NoKey),
        };
        let (apm_url, proxied) = (config.apm.url.clone(), ProxiedUrls::new(config));
        let client = Self(Arc::new(Inner { http, logs, metrics_url, apm_url, proxied, key }));
        Ok(BuiltClient { client, warnings })
    }

    /// The API key for the primary intakes, or its resolver.
    pub fn key(&self) -> &Key {
        &self.0.key
    }

    /// Sends a payload once, with this API key, until `abandoned` completes. The response body is not read, because it may echo the customer's data.
    pub async fn send(
        &self,
        payload: &Payload,
        key: &ApiKey,
        abandoned: impl Future<Output = ()>,
    ) -> Result<(), SendError> {
        let written = BodyProgress::default();
        let request = self.request(payload).header("dd-api-key", key.expose());
        let request = request.body(written.body(payload.body.clone()));
        let started = Instant::now();
        let mut response = pin!(self.0.http.send(request));
        // After a freeze, the answer may be in the socket and not be read yet. What was sent and answered must not be sent again.
        let abandoned = async {
            abandoned.await;
            sleep(READING_TIME).await;
        };
        let response = tokio::select! {
            // A response that has arrived counts, even if it is late.
            biased;
            response = &mut response => response.map_err(|error| match (error, written.is_complete()) {
                (RequestError::Timeout(limit), false) => SendError::NotSent(limit),
                (error @ RequestError::Transport { .. }, true) => SendError::ConnectionLost(error),
                (error, _) => error.into(),
            })?,
            () = abandoned => return Err(match (started.elapsed(), written.is_complete()) {
                (waited, true) => SendError::Abandoned(waited),
                (waited, false) => SendError::NotSent(waited),
            }),
        };
        let status = response.status().as_u16();
        Err(match ErrorStatus::of(&response) {
            None if payload.kind.descriptor().success.includes(status) => return Ok(()),
            None => SendError::Unconfirmed(status),
            Some(status) if status.is_temporary() => {
                SendError::Retryable { status, retry_after: retry_after(&response) }
            }
            Some(status) => SendError::Rejected(status),
        })
    }

    /// The request without key and body.
    fn request(&self, payload: &Payload) -> RequestBuilder {
        let descriptor = payload.kind.descriptor();
        let head = payload.head.as_deref();
        let path = head.and_then(|head| head.path.as_deref()).unwrap_or(descriptor.path);
        let at = |base: &str| format!("{base}{path}");
        let (url, headers) = match (&payload.to, payload.kind, &self.0.logs) {
            (Target::Additional(endpoint), ..) => (at(&endpoint.url), descriptor.headers),
            // A worker speaks plain HTTP.
            (Target::Primary, Kind::Logs, Logs::Worker(url)) => (url.clone(), [].as_slice()),
            (Target::Primary, Kind::Logs, Logs::Datadog(base)) => (at(base), descriptor.headers),
            (Target::Primary, Kind::Sketches | Kind::Series, _) => (at(&self.0.metrics_url), descriptor.headers),
            (Target::Primary, Kind::Traces | Kind::Stats, _) => (at(&self.0.apm_url), descriptor.headers),
            (Target::Primary, Kind::Proxied(product), _) => (self.0.proxied.url(product, path), descriptor.headers),
        };
        let mut all = HeaderMap::new();
        let content_type = (header::CONTENT_TYPE.as_str(), descriptor.content_type);
        let encoding = (header::CONTENT_ENCODING.as_str(), descriptor.encoding.name());
        let encoding = payload.compressed.then_some(&encoding);
        for (name, value) in [&content_type].into_iter().chain(encoding).chain(headers) {
            all.insert(HeaderName::from_static(name), HeaderValue::from_static(value));
        }
        if let Some(head) = head {
            all.extend(head.headers.clone());
        }
        self.0.http.post(url).headers(all)
    }
}

/// Time after an abandonment during which a response still counts.
const READING_TIME: Duration = Duration::from_millis(10);

/// The key in plain text.
fn known(config: &Config) -> Result<ApiKey, Error> {
    let given = config.api_key.as_ref().ok_or(Error::NoKey)?;
    key::usable(given.expose()).ok_or(Error::BadKey)
}

/// Builds the AWS client; sends no request.
fn aws(config: &Config, warnings: &mut Vec<TlsWarning>) -> Result<Aws, Error> {
    let aws = &config.aws;
    // Proxy and HTTP settings for Datadog's intakes do not apply to AWS; a trusted certificate applies to both.
    let http = Http {
        proxy: aws.proxy.clone(),
        no_proxy: aws.no_proxy.clone(),
        protocol: HttpProtocol::Http1,
        tls_cert_file: config.http.tls_cert_file.clone(),
        skip_ssl_validation: false,
        timeout: aws::TIMEOUT,
    };
    Ok(Aws::new(HttpClient::build(&http, warnings)?, aws.clone()))
}

/// The value of `Retry-After` in seconds. Datadog does not use the other format, a date.
fn retry_after(response: &Response) -> Option<Duration> {
    let seconds = response.headers().get(header::RETRY_AFTER)?.to_str().ok()?.trim().parse().ok()?;
    Some(Duration::from_secs(seconds))
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
        crate::intake::tls::install_provider();
        let secret = Some(crate::config::Secret::Ssm("name".to_owned()));
        let config = Config { api_key: ApiKey::clean("key"), secret, ..Config::default() };
        let built = Client::build(&config, function()).unwrap();
        assert!(matches!(built.client.key(), Key::Secret(_)));
    }

    #[test]
    fn every_setting_of_the_client_builds() {
        crate::intake::tls::install_provider();
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
#[path = "../../tests/tls_server/mod.rs"]
#[expect(dead_code, reason = "the benchmark has use for more")]
pub(super) mod tls_server;

#[cfg(test)]
#[path = "wire_tests.rs"]
mod wire_tests;
