//! Resolves the API key from the configured source.

mod secret;

use std::sync::Arc;

use reqwest::header::{AUTHORIZATION, CONTENT_LENGTH, CONTENT_TYPE, HeaderValue};
use serde_json::{Value, json};

use super::{
    aws::{self, Aws, AwsErrorKind, AwsRequest, Service},
    http::HttpClient,
    send_error::SendError,
};
use crate::config::{ApiKey, Secret};

/// The API key, or its resolver.
#[derive(Debug, Clone)]
pub enum Key {
    /// A known key.
    Plain(ApiKey),
    /// A key that has to be resolved.
    Secret(Resolver),
}

/// The function that resolves the key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Function {
    /// The function's region.
    pub region: String,
    /// The function's name.
    pub name: String,
}

/// Datadog's API for delegated authentication, which returns an API key to a trusted role.
#[derive(Debug, Clone)]
pub struct Datadog {
    /// The HTTP client for Datadog.
    pub http: HttpClient,
    /// The base URL of the API, without a path.
    pub url: String,
}

/// Resolves the API key. Clones share the configuration.
#[derive(Debug, Clone)]
pub struct Resolver(Arc<SecretRequest>);

#[derive(Debug)]
struct SecretRequest {
    aws: Aws,
    datadog: Datadog,
    secret: Secret,
    function: Function,
}

/// The reason why the key could not be resolved.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The AWS call failed.
    #[error(transparent)]
    Aws(#[from] aws::Error),
    /// AWS responded, but not with a text secret.
    #[error("Error decrypting key: {0}'s answer holds no secret in text")]
    NoSecret(&'static str),
    /// The request to Datadog failed.
    #[error("Error getting the API key of DD_ORG_UUID")]
    Datadog(#[source] SendError),
    /// Datadog responded, but not with a key.
    #[error("Error getting the API key of DD_ORG_UUID: the answer holds no key")]
    NoKey,
    /// The secret is not valid as an API key.
    #[error("API key has invalid format")]
    Format,
}

impl Error {
    /// Advice for the reader of the log, to be written behind the error and its sources.
    pub fn advice(&self) -> &'static str {
        match self {
            Self::Datadog(_) => "; check that the organization trusts the function's role",
            _ => "",
        }
    }
}

impl Resolver {
    /// Creates a resolver of this secret for this function.
    pub fn new(aws: Aws, datadog: Datadog, secret: Secret, function: Function) -> Self {
        Self(Arc::new(SecretRequest { aws, datadog, secret, function }))
    }

    /// Resolves the key; one attempt. Each AWS call times out after [`aws::TIMEOUT`], a request to Datadog after the timeout of its HTTP client.
    pub async fn resolve(&self) -> Result<ApiKey, Error> {
        let question = &self.0;
        let text = match &question.secret {
            Secret::Delegated(organization) => question.delegated(organization).await?,
            Secret::Kms(ciphertext) => question.kms(ciphertext).await?,
            Secret::SecretsManager(arn) => question.secrets_manager(arn).await?,
            Secret::Ssm(name) => question.ssm(name).await?,
        };
        usable(&text).ok_or(Error::Format)
    }
}

/// The key in a text, if it is valid as a header value.
pub fn usable(text: &str) -> Option<ApiKey> {
    ApiKey::clean(text).filter(|key| HeaderValue::from_str(key.expose()).is_ok())
}

impl SecretRequest {
    async fn delegated(&self, organization: &str) -> Result<String, Error> {
        let proof = self.aws.delegated_auth_proof(organization, &self.function.region).await?;
        let request = self.datadog.http.post(format!("{}/api/v2/intake-key", self.datadog.url));
        let request = request.header(CONTENT_TYPE, "application/json").header(CONTENT_LENGTH, 0);
        let request = request.header(AUTHORIZATION, format!("Delegated {proof}"));
        let reply = self.datadog.http.fetch(request, aws::MAX_REPLY_BYTES).await;
        let reply = reply.map_err(|error| Error::Datadog(error.into()))?;
        if let Some(status) = reply.error {
            return Err(Error::Datadog(SendError::Rejected(status)));
        }
        let json = serde_json::from_slice::<Value>(&reply.body).unwrap_or_default();
        let key = json.pointer("/data/attributes/api_key").and_then(Value::as_str).filter(|key| !key.is_empty());
        key.map(str::to_owned).ok_or(Error::NoKey)
    }

    /// Decrypts a key with KMS. Secrets encrypted in Lambda's console need the function's name as encryption context; others fail with it.
    async fn kms(&self, ciphertext: &str) -> Result<String, Error> {
        let decrypt = async |parameters| {
            let operation = "TrentService.Decrypt";
            let call = AwsRequest { service: Service::Kms, region: &self.function.region, operation, parameters };
            let reply = self.aws.call(&call).await?;
            secret::plaintext(&reply).ok_or(Error::NoSecret(Service::Kms.name()))
        };
        match decrypt(json!({"CiphertextBlob": ciphertext})).await {
            Err(Error::Aws(aws::Error::Service { kind: AwsErrorKind::Rejected(_), .. }) | Error::NoSecret(_)) => {
                let context = json!({"LambdaFunctionName": self.function.name});
                decrypt(json!({"CiphertextBlob": ciphertext, "EncryptionContext": context})).await
            }
            answer => answer,
        }
    }

    async fn secrets_manager(&self, arn: &str) -> Result<String, Error> {
        let service = Service::SecretsManager;
        let region = secret::region(arn).unwrap_or(&self.function.region);
        let parameters = json!({"SecretId": arn});
        let call = AwsRequest { service, region, operation: "secretsmanager.GetSecretValue", parameters };
        let reply = self.aws.call(&call).await?;
        let text = reply.get("SecretString").and_then(Value::as_str);
        Ok(secret::key_in(text.ok_or(Error::NoSecret(service.name()))?))
    }

    async fn ssm(&self, name: &str) -> Result<String, Error> {
        let region = secret::region(name).unwrap_or(&self.function.region);
        let parameters = json!({"Name": name, "WithDecryption": true});
        let call = AwsRequest { service: Service::Ssm, region, operation: "AmazonSSM.GetParameter", parameters };
        let reply = self.aws.call(&call).await?;
        let value = reply.pointer("/Parameter/Value").and_then(Value::as_str);
        value.map(str::to_owned).ok_or(Error::NoSecret(Service::Ssm.name()))
    }
}
