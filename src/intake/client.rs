//! HTTP client that sends payloads to Datadog.

use std::{pin::pin, time::Duration};

use reqwest::{RequestBuilder, Response, header};
use tokio::time::{Instant, sleep};

use super::{
    Kind, Payload, Target,
    aws::{self, Aws},
    http::{BuildError, ErrorStatus, HttpClient, RequestError},
    key::{self, Datadog, Function, Key, Resolver},
    tls::TlsWarning,
    written::Written,
};
use crate::config::{ApiKey, Config, Http, HttpProtocol};

/// The client for all intakes.
#[derive(Debug, Clone)]
pub struct Client {
    http: HttpClient,
    logs: Logs,
    metrics_url: String,
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

/// The reason why a payload did not arrive, or may not have arrived.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SendError {
    /// The intake rejected the payload for good.
    #[error("Datadog answered {0}")]
    Rejected(ErrorStatus),
    /// The intake may accept the payload later.
    #[error("Datadog answered {status}")]
    Retryable {
        /// The response status.
        status: ErrorStatus,
        /// The value of `Retry-After`.
        retry_after: Option<Duration>,
    },
    /// The request was not completely sent before the timeout, or before it was abandoned.
    #[error("the request was not sent within {0:?} (DD_FLUSH_TIMEOUT)")]
    NotSent(Duration),
    /// The request was completely sent and not answered before the timeout: it may have arrived.
    #[error("no answer within {0:?} (DD_FLUSH_TIMEOUT)")]
    NoAnswer(Duration),
    /// The request was completely sent and abandoned before the timeout to make room for others: it may have arrived.
    #[error("no answer within {0:?}, so the request was abandoned")]
    Abandoned(Duration),
    /// The request was completely sent, and the connection closed before a response: it may have arrived.
    #[error("no answer: {0}")]
    ConnectionLost(String),
    /// The request was not completely sent on any connection.
    #[error("{0}")]
    Transport(String),
}

impl SendError {
    /// Whether a retry may succeed.
    pub fn is_temporary(&self) -> bool {
        !matches!(self, Self::Rejected(_))
    }

    /// Whether the payload may have arrived although there was no response.
    pub fn may_have_arrived(&self) -> bool {
        matches!(self, Self::NoAnswer(_) | Self::Abandoned(_) | Self::ConnectionLost(_))
    }

    /// The value of `Retry-After`, if the response had one.
    pub fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Retryable { retry_after, .. } => *retry_after,
            _ => None,
        }
    }
}

impl From<RequestError> for SendError {
    fn from(error: RequestError) -> Self {
        match error {
            RequestError::Timeout(limit) => Self::NoAnswer(limit),
            other => Self::Transport(other.to_string()),
        }
    }
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
                let datadog = Datadog { http: http.clone(), url: metrics_url.clone() };
                Key::Secret(Resolver::new(aws(config, &mut warnings)?, datadog, secret, function))
            }
            (None, None) => return Err(Error::NoKey),
        };
        let client = Self { http, logs, metrics_url, key };
        Ok(BuiltClient { client, warnings })
    }

    /// The API key for the primary intakes, or its resolver.
    pub fn key(&self) -> &Key {
        &self.key
    }

    /// Sends a payload once, with this API key, until `abandoned` completes. The response body is not read, because it may echo the customer's data.
    pub async fn send(
        &self,
        payload: &Payload,
        key: &ApiKey,
        abandoned: impl Future<Output = ()>,
    ) -> Result<(), SendError> {
        let request = match &payload.to {
            Target::Primary => self.to_primary(payload.kind),
            Target::Additional(endpoint) => self.to_datadog(payload.kind, &endpoint.url),
        };
        let written = Written::default();
        let request = request.header("dd-api-key", key.expose()).body(written.body(payload.body.clone()));
        let request = if payload.zstd { request.header(header::CONTENT_ENCODING, "zstd") } else { request };
        let started = Instant::now();
        let mut response = pin!(self.http.send(request));
        // After a freeze, the response may be unread in the socket. A payload that was sent and answered must not be sent again.
        let abandoned = async {
            abandoned.await;
            sleep(READING_TIME).await;
        };
        let response = tokio::select! {
            // A response that has arrived counts, even if it is late.
            biased;
            response = &mut response => response.map_err(|error| match (error, written.is_complete()) {
                (RequestError::Timeout(limit), false) => SendError::NotSent(limit),
                (RequestError::Transport(error), true) => SendError::ConnectionLost(error),
                (error, _) => error.into(),
            })?,
            () = abandoned => return Err(match (started.elapsed(), written.is_complete()) {
                (waited, true) => SendError::Abandoned(waited),
                (waited, false) => SendError::NotSent(waited),
            }),
        };
        Err(match ErrorStatus::of(&response) {
            None => return Ok(()),
            Some(status) if status.is_temporary() => {
                SendError::Retryable { status, retry_after: retry_after(&response) }
            }
            Some(status) => SendError::Rejected(status),
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

/// Time after an abandonment during which a response still counts.
const READING_TIME: Duration = Duration::from_millis(10);

const JSON: &str = "application/json";
const PROTOBUF: &str = "application/x-protobuf";

/// The API key in plain text.
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
#[path = "../../tests/e2e/https.rs"]
pub(super) mod https;

#[cfg(test)]
#[path = "wire_tests.rs"]
mod wire_tests;
