//! The few AWS calls that find an API key.

mod credentials;
mod identity;
mod signature;

use std::{env, time::Duration};

use reqwest::{RequestBuilder, StatusCode, header};
use serde_json::Value;
use time::OffsetDateTime;

pub use credentials::Credentials;
use credentials::Place;

use super::{client::chain, tls::Sha256};
use crate::{config, features};

/// For each call. A VPC without an endpoint for the service swallows requests.
pub const TIMEOUT: Duration = Duration::from_secs(5);

const CONTENT_TYPE: &str = "application/x-amz-json-1.1";

/// An AWS service that keeps or opens secrets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Service {
    /// Key Management Service.
    Kms,
    /// Secrets Manager.
    SecretsManager,
    /// Systems Manager.
    Ssm,
}

/// A call to be made.
#[derive(Debug)]
pub struct Call<'a> {
    /// Of whom.
    pub service: Service,
    /// Where, for example `eu-west-1`.
    pub region: &'a str,
    /// `X-Amz-Target`.
    pub operation: &'static str,
    /// Its parameters.
    pub parameters: Value,
}

/// Why a call gave nothing.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The role's credentials were not to be had where a sandbox from a snapshot has them.
    #[error("Error getting SnapStart credentials: {0}")]
    Credentials(#[source] Cause),
    /// The role's credentials are nowhere.
    #[error("Error decrypting key: there are no AWS credentials in the environment")]
    NoCredentials,
    /// The TLS provider lacks what a signature needs.
    #[error("Error decrypting key: requests to AWS cannot be signed, the TLS provider has no SHA-256")]
    NoSha256,
    /// The service.
    #[error("Error decrypting key: {service}: {cause}")]
    Service {
        service: &'static str,
        #[source]
        cause: Cause,
    },
}

/// What went wrong on the way, or at the other end.
#[derive(Debug, thiserror::Error)]
pub enum Cause {
    /// It did not get there, or the answer did not get here.
    #[error("{0}")]
    Transport(String),
    /// An error of AWS, in its own words.
    #[error("{status} {kind}: {message}")]
    Refused { status: StatusCode, kind: String, message: String },
    /// An answer in another shape than is documented.
    #[error("an answer that cannot be understood")]
    Unexpected,
}

/// Makes calls.
#[derive(Debug, Clone)]
pub struct Aws {
    http: reqwest::Client,
    settings: config::Aws,
}

impl Aws {
    /// Over that client, which should give up after [`TIMEOUT`].
    pub fn new(http: reqwest::Client, settings: config::Aws) -> Self {
        Self { http, settings }
    }

    /// Makes one call, with the credentials of the moment.
    pub async fn call(&self, call: &Call<'_>) -> Result<Value, Error> {
        let credentials = self.credentials().await?;
        let failed = |cause| Error::Service { service: call.service.name(), cause };
        let url = self.url(call.service, call.region);
        let body = call.parameters.to_string();
        let url = reqwest::Url::parse(&url).map_err(|error| failed(Cause::Transport(error.to_string())))?;
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
        reply(request.body(body)).await.map_err(failed)
    }

    /// A proof of the function's role that only this organization can make use of.
    pub async fn prove_to(&self, organization: &str, region: &str) -> Result<String, Error> {
        let credentials = self.credentials().await?;
        let sha256 = Sha256::of_provider().ok_or(Error::NoSha256)?;
        Ok(identity::proof(sha256, region, organization, &credentials, OffsetDateTime::now_utc()))
    }

    async fn credentials(&self) -> Result<Credentials, Error> {
        match credentials::find(|name| env::var(name).ok()) {
            Place::Here(credentials) => Ok(credentials),
            Place::There { url, token } => {
                credentials::fetch(&self.http, &url, &token).await.map_err(Error::Credentials)
            }
            Place::Nowhere => Err(Error::NoCredentials),
        }
    }

    /// The URL that a setting names, or the service's own.
    fn url(&self, service: Service, region: &str) -> String {
        let own = match service {
            Service::Kms => &self.settings.kms_url,
            Service::SecretsManager => &self.settings.secrets_manager_url,
            Service::Ssm => &self.settings.ssm_url,
        };
        if let Some(url) = own.as_ref().or(self.settings.url.as_ref()) {
            return format!("{url}/");
        }
        default_url(service, region, features::FIPS)
    }
}

/// A build with a validated module asks endpoints with one. Where a region has none for the service there is no answer, unless a setting names another URL.
fn default_url(service: Service, region: &str, fips: bool) -> String {
    let domain = if region.starts_with("cn-") { "amazonaws.com.cn" } else { "amazonaws.com" };
    let endpoint = if fips { "-fips" } else { "" };
    format!("https://{}{endpoint}.{region}.{domain}/", service.name())
}

impl Service {
    /// As signatures and hosts have it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Kms => "kms",
            Self::SecretsManager => "secretsmanager",
            Self::Ssm => "ssm",
        }
    }
}

/// The JSON of an answer. What it says in words is told only if it is an error of AWS, because anything else may hold a secret.
async fn reply(request: RequestBuilder) -> Result<Value, Cause> {
    let transport = |error: reqwest::Error| Cause::Transport(chain(&error));
    let response = request.send().await.map_err(transport)?;
    let status = response.status();
    let body = response.bytes().await.map_err(transport)?;
    let json = serde_json::from_slice::<Value>(&body).unwrap_or_default();
    if status.is_success() {
        return if json.is_object() { Ok(json) } else { Err(Cause::Unexpected) };
    }
    let text = |names: [&str; 2]| {
        let found = names.iter().find_map(|name| json.get(*name).and_then(Value::as_str));
        found.unwrap_or("no reason given").to_owned()
    };
    Err(Cause::Refused { status, kind: text(["__type", "code"]), message: text(["message", "Message"]) })
}

/// As the HTTP client writes it into the request.
fn host(url: &reqwest::Url) -> String {
    let host = url.host_str().unwrap_or_default();
    url.port().map_or_else(|| host.to_owned(), |port| format!("{host}:{port}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;

    fn url(settings: &config::Aws, service: Service, region: &str) -> String {
        Aws::new(reqwest::Client::default(), settings.clone()).url(service, region)
    }

    #[test]
    fn hosts_follow_service_region_and_partition() {
        crate::intake::tls::install_provider();
        for (service, region, host, fips_host) in [
            (Service::Kms, "eu-west-1", "kms.eu-west-1.amazonaws.com", "kms-fips.eu-west-1.amazonaws.com"),
            (
                Service::SecretsManager,
                "us-gov-west-1",
                "secretsmanager.us-gov-west-1.amazonaws.com",
                "secretsmanager-fips.us-gov-west-1.amazonaws.com",
            ),
            (Service::Ssm, "cn-north-1", "ssm.cn-north-1.amazonaws.com.cn", "ssm-fips.cn-north-1.amazonaws.com.cn"),
        ] {
            assert_eq!(default_url(service, region, false), format!("https://{host}/"));
            assert_eq!(default_url(service, region, true), format!("https://{fips_host}/"));
            let used = if features::FIPS { fips_host } else { host };
            assert_eq!(url(&Config::default().aws, service, region), format!("https://{used}/"));
        }
    }

    #[test]
    fn a_service_of_ones_own_beats_the_one_for_all() {
        crate::intake::tls::install_provider();
        let all = config::Aws { url: Some("http://all:1".to_owned()), ..Config::default().aws };
        let own = config::Aws { kms_url: Some("http://own:2/base".to_owned()), ..all.clone() };
        assert_eq!(url(&all, Service::Kms, "eu-west-1"), "http://all:1/");
        assert_eq!(url(&own, Service::Kms, "eu-west-1"), "http://own:2/base/");
        assert_eq!(url(&own, Service::Ssm, "eu-west-1"), "http://all:1/");
    }

    #[test]
    fn the_host_names_a_port_only_where_the_client_does() {
        let host = |text: &str| host(&reqwest::Url::parse(text).unwrap());
        assert_eq!(host("https://kms.x:443/"), "kms.x");
        assert_eq!(host("http://127.0.0.1:4566/"), "127.0.0.1:4566");
    }
}
