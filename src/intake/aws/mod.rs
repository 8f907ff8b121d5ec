//! AWS client for the few calls that resolve an API key.

mod credentials;
mod endpoints;
mod identity;
mod signature;

use std::{env, time::Duration};

use reqwest::{RequestBuilder, header};
use serde_json::Value;
use time::OffsetDateTime;

use credentials::CredentialSource;
pub use credentials::Credentials;

use super::{
    http::{ErrorStatus, HttpClient, Reply, RequestError},
    tls::Sha256,
};
use crate::{config, features};

/// Timeout of each call. In a VPC without an endpoint for the service, requests get no response.
pub const TIMEOUT: Duration = Duration::from_secs(5);

const CONTENT_TYPE: &str = "application/x-amz-json-1.1";

/// An AWS service that stores or decrypts secrets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Service {
    /// Key Management Service.
    Kms,
    /// Secrets Manager.
    SecretsManager,
    /// Systems Manager.
    Ssm,
}

/// An AWS API request.
#[derive(Debug)]
pub struct AwsRequest<'a> {
    /// The service.
    pub service: Service,
    /// The region, for example `eu-west-1`.
    pub region: &'a str,
    /// The operation, for the header `X-Amz-Target`.
    pub operation: &'static str,
    /// The parameters of the operation.
    pub parameters: Value,
}

/// Maximum size of a response in bytes. A secret in Secrets Manager has up to 64 KiB, which JSON escaping may enlarge sixfold.
pub const MAX_REPLY_BYTES: usize = 512 << 10;

/// Maximum size in bytes of an error type or request id that is logged.
const MAX_WORD_BYTES: usize = 100;

/// The reason why a call failed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The role's credentials cannot be fetched in a sandbox restored from a snapshot.
    #[error("Error getting SnapStart credentials")]
    Credentials(#[source] AwsErrorKind),
    /// There are no credentials for the role.
    #[error("Error decrypting key: there are no AWS credentials in the environment")]
    NoCredentials,
    /// The TLS provider lacks SHA-256, which signatures need.
    #[error("Error decrypting key: requests to AWS cannot be signed, the TLS provider has no SHA-256")]
    NoSha256,
    /// AWS has no FIPS endpoint in the region, and this build uses no other.
    #[error(
        "Error decrypting key: AWS has no FIPS endpoint for {service} in {region}; keep the secret in a region with one, or name the URL of an endpoint with \
         {setting}"
    )]
    NoFipsEndpoint { service: &'static str, region: String, setting: &'static str },
    /// The call to the service failed.
    #[error("Error decrypting key: {service}")]
    Service {
        service: &'static str,
        #[source]
        kind: AwsErrorKind,
    },
}

/// The reason why a request failed.
#[derive(Debug, thiserror::Error)]
pub enum AwsErrorKind {
    /// There was no response.
    #[error(transparent)]
    Request(#[from] RequestError),
    /// AWS returned an error.
    #[error(transparent)]
    Rejected(#[from] Rejection),
    /// The response does not have the documented structure.
    #[error("an answer that cannot be understood")]
    Unexpected,
    /// The URL in a setting is not valid.
    #[error("its endpoint is not a URL")]
    Url,
    /// The credentials URL would send the token and the credentials in clear to another machine.
    #[error(
        "AWS_CONTAINER_CREDENTIALS_FULL_URI has no TLS, and its host {host:?} is neither this machine nor the credentials agent of a container; \
         use https://"
    )]
    Plaintext { host: String },
    /// The token file for credentials cannot be read.
    #[error("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE {path:?} cannot be used")]
    TokenFile {
        path: std::path::PathBuf,
        #[source]
        source: std::io::Error,
    },
}

/// An AWS error without its message, which may quote the request with the session token.
#[derive(Debug, thiserror::Error)]
#[error("{status}: {error_type}, request id {request_id}")]
pub struct Rejection {
    status: ErrorStatus,
    /// The error type, for example `AccessDeniedException`.
    error_type: String,
    /// The id by which AWS finds the request.
    request_id: String,
}

impl Rejection {
    /// Parses an error response.
    ///
    /// Source: AWS JSON 1.1 protocol, "Operation error serialization": the error type is in a header or in the body, possibly between a namespace and
    /// a URL.
    fn of(status: ErrorStatus, reply: &Reply) -> Self {
        let json = serde_json::from_slice::<Value>(&reply.body).unwrap_or_default();
        let header = |name: &str| reply.headers.get(name)?.to_str().ok();
        let in_body = || ["__type", "code"].iter().find_map(|name| json.get(*name)?.as_str());
        let error_type = header("x-amzn-errortype").or_else(in_body).map(|text| {
            let name = text.split(':').next().unwrap_or_default();
            name.rsplit('#').next().unwrap_or_default()
        });
        let request_id = ["x-amzn-requestid", "x-amz-request-id"].iter().find_map(|name| header(name));
        Self { status, error_type: word(error_type), request_id: word(request_id) }
    }
}

/// The text if it is a single short word, as error types and request ids are; otherwise `unknown`.
fn word(text: Option<&str>) -> String {
    let is_word = |text: &&str| {
        let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
        !text.is_empty() && text.len() <= MAX_WORD_BYTES && text.chars().all(plain)
    };
    text.filter(is_word).unwrap_or("unknown").to_owned()
}

/// Client for AWS API requests.
#[derive(Debug, Clone)]
pub struct Aws {
    http: HttpClient,
    settings: config::Aws,
}

impl Aws {
    /// Creates a client on top of this HTTP client, whose timeout should be [`TIMEOUT`].
    pub fn new(http: HttpClient, settings: config::Aws) -> Self {
        Self { http, settings }
    }

    /// Sends a request with the current credentials.
    pub async fn call(&self, call: &AwsRequest<'_>) -> Result<Value, Error> {
        let credentials = self.credentials().await?;
        let failed = |kind| Error::Service { service: call.service.name(), kind };
        let url = self.url(call.service, call.region)?;
        let body = call.parameters.to_string();
        let url = reqwest::Url::parse(&url).map_err(|_| failed(AwsErrorKind::Url))?;
        let signed = signature::Request {
            host: &host(&url),
            path: url.path(),
            region: call.region,
            service: call.service.name(),
            headers: &[("content-type", CONTENT_TYPE), ("x-amz-target", call.operation)],
            body: body.as_bytes(),
        };
        let sha256 = Sha256::of_provider().ok_or(Error::NoSha256)?;
        let headers = signature::sign(sha256, &signed, &credentials, OffsetDateTime::now_utc());
        let request = headers.iter().filter(|(name, _)| **name != header::HOST.as_str());
        let request = request.fold(self.http.post(url), |request, (name, value)| request.header(*name, value));
        reply(&self.http, request.body(body)).await.map_err(failed)
    }

    /// A proof of the function's role that only this organization can use.
    pub async fn delegated_auth_proof(&self, organization: &str, region: &str) -> Result<String, Error> {
        let credentials = self.credentials().await?;
        let sha256 = Sha256::of_provider().ok_or(Error::NoSha256)?;
        Ok(identity::proof(sha256, region, organization, &credentials, OffsetDateTime::now_utc()))
    }

    async fn credentials(&self) -> Result<Credentials, Error> {
        match credentials::find(|name| env::var(name).ok()) {
            CredentialSource::Environment(credentials) => Ok(credentials),
            CredentialSource::Container { url, token } => {
                credentials::fetch(&self.http, &url, &token).await.map_err(Error::Credentials)
            }
            CredentialSource::Absent => Err(Error::NoCredentials),
        }
    }

    /// The URL from a setting, or the service's default endpoint.
    fn url(&self, service: Service, region: &str) -> Result<String, Error> {
        let own = match service {
            Service::Kms => &self.settings.kms_url,
            Service::SecretsManager => &self.settings.secrets_manager_url,
            Service::Ssm => &self.settings.ssm_url,
        };
        if let Some(url) = own.as_ref().or(self.settings.url.as_ref()) {
            return Ok(format!("{url}/"));
        }
        // A FIPS build uses FIPS endpoints.
        endpoints::url(service, region, features::FIPS)
    }
}

impl Service {
    /// The name of the service in signatures and host names.
    pub fn name(self) -> &'static str {
        match self {
            Self::Kms => "kms",
            Self::SecretsManager => "secretsmanager",
            Self::Ssm => "ssm",
        }
    }
}

/// Sends a request and parses the JSON response.
async fn reply(http: &HttpClient, request: RequestBuilder) -> Result<Value, AwsErrorKind> {
    let mut reply = http.fetch(request, MAX_REPLY_BYTES).await?;
    if let Some(status) = reply.error.take() {
        return Err(Rejection::of(status, &reply).into());
    }
    serde_json::from_slice(&reply.body).ok().filter(Value::is_object).ok_or(AwsErrorKind::Unexpected)
}

/// The `Host` header as the HTTP client writes it.
fn host(url: &reqwest::Url) -> String {
    let host = url.host_str().unwrap_or_default();
    url.port().map_or_else(|| host.to_owned(), |port| format!("{host}:{port}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;

    fn url(settings: &config::Aws, service: Service, region: &str) -> String {
        Aws::new(crate::intake::http::tests::client(), settings.clone()).url(service, region).unwrap()
    }

    #[test]
    fn a_service_of_ones_own_beats_the_one_for_all() {
        crate::intake::tls::install_provider();
        let all = config::Aws { url: Some("http://all:1".to_owned()), ..Config::default().aws };
        let own = config::Aws { kms_url: Some("http://own:2/base".to_owned()), ..all.clone() };
        assert_eq!(url(&all, Service::Kms, "eu-west-1"), "http://all:1/");
        assert_eq!(url(&own, Service::Kms, "eu-west-1"), "http://own:2/base/");
        assert_eq!(url(&own, Service::Ssm, "eu-west-1"), "http://all:1/");
        let none = config::Aws::default();
        let host = if features::FIPS { "kms-fips" } else { "kms" };
        assert_eq!(url(&none, Service::Kms, "eu-west-1"), format!("https://{host}.eu-west-1.amazonaws.com/"));
    }

    #[test]
    fn the_host_names_a_port_only_where_the_client_does() {
        let host = |text: &str| host(&reqwest::Url::parse(text).unwrap());
        assert_eq!(host("https://kms.x:443/"), "kms.x");
        assert_eq!(host("http://127.0.0.1:4566/"), "127.0.0.1:4566");
    }
}
