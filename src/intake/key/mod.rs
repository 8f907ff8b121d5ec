//! The API key, from wherever the customer keeps it.

mod secret;

use std::sync::Arc;

use reqwest::header::{AUTHORIZATION, CONTENT_LENGTH, CONTENT_TYPE, HeaderValue};
use serde_json::{Value, json};

use super::{
    aws::{self, Aws, AwsErrorKind, AwsRequest, Service},
    client::SendError,
    http::HttpClient,
};
use crate::config::{ApiKey, Secret};

/// A key, or the way to it.
#[derive(Debug, Clone)]
pub enum Key {
    /// It is known.
    StartedServices(ApiKey),
    /// It has to be asked for.
    Secret(Resolver),
}

/// Which function asks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Function {
    /// Its region.
    pub region: String,
    /// Its name.
    pub name: String,
}

/// Datadog's own API, which gives a key to a role that it has been told of.
#[derive(Debug, Clone)]
pub struct Datadog {
    /// As for everything else that goes there.
    pub http: HttpClient,
    /// Without a path.
    pub url: String,
}

/// Asks for the key. Clones ask the same question.
#[derive(Debug, Clone)]
pub struct Resolver(Arc<SecretRequest>);

#[derive(Debug)]
struct SecretRequest {
    aws: Aws,
    datadog: Datadog,
    secret: Secret,
    function: Function,
}

/// Why there is no key.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// AWS did not give it.
    #[error(transparent)]
    Aws(#[from] aws::Error),
    /// AWS answered, but not with a secret of text.
    #[error("Error decrypting key: {0}'s answer holds no secret in text")]
    NoSecret(&'static str),
    /// Datadog did not give it.
    #[error("Error getting the API key of DD_ORG_UUID: {0}; check that the organization trusts the function's role")]
    Datadog(#[source] SendError),
    /// Datadog answered, but not with a key.
    #[error("Error getting the API key of DD_ORG_UUID: the answer holds no key")]
    NoKey,
    /// What was found cannot be a key.
    #[error("API key has invalid format")]
    Format,
}

impl Resolver {
    /// A resolver for that secret, on behalf of that function.
    pub fn new(aws: Aws, datadog: Datadog, secret: Secret, function: Function) -> Self {
        Self(Arc::new(SecretRequest { aws, datadog, secret, function }))
    }

    /// Asks once. Each call to AWS that this takes gives up after [`aws::TIMEOUT`], one to Datadog when any request there would.
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

/// The key in the text, if it can stand in a header.
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

    /// Secrets that were encrypted in Lambda's console can be opened only with the function's name beside them; others only without.
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
