//! Carries payloads to Datadog over HTTPS.

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

/// Knows the way to the intakes.
#[derive(Debug, Clone)]
pub struct Client {
    http: HttpClient,
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
pub struct BuiltClient {
    /// Ready to send.
    pub client: Client,
    /// To be logged.
    pub warnings: Vec<TlsWarning>,
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
    /// There is no HTTP client.
    #[error(transparent)]
    Http(#[from] BuildError),
}

/// Why a payload did not arrive, or may not have arrived.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SendError {
    /// The intake will not take it, however often it is sent.
    #[error("Datadog answered {0}")]
    Rejected(ErrorStatus),
    /// The intake may take it later.
    #[error("Datadog answered {status}")]
    Retryable {
        /// What it answered.
        status: ErrorStatus,
        /// How long it asked us to wait.
        retry_after: Option<Duration>,
    },
    /// The connection did not take the whole request in time.
    #[error("the request was not sent within {0:?} (DD_FLUSH_TIMEOUT)")]
    NotSent(Duration),
    /// The connection took the whole request and no answer came in time: it may have arrived.
    #[error("no answer within {0:?} (DD_FLUSH_TIMEOUT)")]
    NoAnswer(Duration),
    /// The connection took the whole request, and more time passed than others are left waiting for.
    #[error("no answer within {0:?}, so the request was abandoned")]
    Abandoned(Duration),
    /// The connection took the whole request and broke before an answer came: it may have arrived.
    #[error("no answer: {0}")]
    ConnectionLost(String),
    /// No connection took the whole request.
    #[error("{0}")]
    Transport(String),
}

impl SendError {
    /// Whether it makes sense to try again.
    pub fn is_temporary(&self) -> bool {
        !matches!(self, Self::Rejected(_))
    }

    /// Whether the payload may have arrived although no answer says so.
    pub fn may_have_arrived(&self) -> bool {
        matches!(self, Self::NoAnswer(_) | Self::Abandoned(_) | Self::ConnectionLost(_))
    }

    /// How long the intake asked us to wait.
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
    /// Builds the one client that all payloads share.
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
            (Some(key), _) => Key::StartedServices(key),
            (None, Some(secret)) => {
                let datadog = Datadog { http: http.clone(), url: metrics_url.clone() };
                Key::Secret(Resolver::new(aws(config, &mut warnings)?, datadog, secret, function))
            }
            (None, None) => return Err(Error::NoKey),
        };
        let client = Self { http, logs, metrics_url, key };
        Ok(BuiltClient { client, warnings })
    }

    /// What the primary intakes know us by.
    pub fn key(&self) -> &Key {
        &self.key
    }

    /// One attempt, under that key, until it is `abandoned`. The response's body is not read: it may echo what the customer sent.
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
        // After a freeze, the answer may be in the socket and not be read yet. What was sent and answered must not be sent again.
        let abandoned = async {
            abandoned.await;
            sleep(READING_TIME).await;
        };
        let response = tokio::select! {
            // An answer that is here counts, even if it is late.
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

/// For how long a request that is abandoned is still listened to.
const READING_TIME: Duration = Duration::from_millis(10);

const JSON: &str = "application/json";
const PROTOBUF: &str = "application/x-protobuf";

/// The key in plain text.
fn known(config: &Config) -> Result<ApiKey, Error> {
    let given = config.api_key.as_ref().ok_or(Error::NoKey)?;
    key::usable(given.expose()).ok_or(Error::BadKey)
}

/// The way to AWS; no request is made here.
fn aws(config: &Config, warnings: &mut Vec<TlsWarning>) -> Result<Aws, Error> {
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
    Ok(Aws::new(HttpClient::build(&http, warnings)?, aws.clone()))
}

/// Seconds only; the other form, a date, is not used by Datadog.
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
