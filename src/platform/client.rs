//! The Extensions and Telemetry APIs over a general HTTP client.
//!
//! Source: AWS Lambda developer guide, "Using the Lambda Extensions API" and "Telemetry API reference".

use reqwest::{RequestBuilder, Response, StatusCode};
use serde_json::{Value, json};

use super::{
    environment::Initialization,
    event::Event,
    ids::{ExtensionId, RuntimeApi},
    subscription::Subscription,
};

/// The name that we register under. It must be the file name in `/opt/extensions`, which a drop-in cannot choose.
pub const EXTENSION_NAME: &str = "datadog-agent";

const IDENTIFIER: &str = "lambda-extension-identifier";

/// Speaks to the platform. Keeps no id: what needs one takes one, so that nothing can be called before registration.
#[derive(Debug, Clone)]
pub struct Client {
    http: reqwest::Client,
    api: RuntimeApi,
}

/// What registration gives.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Registered {
    /// Goes with every further call.
    pub id: ExtensionId,
    /// The account that owns the function, where the platform tells.
    pub account_id: Option<String>,
}

/// How a subscription ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Subscribed {
    /// Events will come.
    Yes,
    /// The platform has no Telemetry API (the public emulator): no event will ever come.
    NotSupported,
}

/// When we give up, which of the two error endpoints hears of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    /// Before the first event.
    Init,
    /// After it.
    Exit,
}

/// What can go wrong with a call to the platform.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The HTTP client could not be built.
    #[error("the client for Lambda's APIs could not be built")]
    Build(#[source] reqwest::Error),
    /// No answer came.
    #[error("{call}: no answer from Lambda at {api}; is AWS_LAMBDA_RUNTIME_API set?")]
    Transport {
        /// The call that failed.
        call: &'static str,
        /// Where it went.
        api: RuntimeApi,
        /// Why.
        #[source]
        source: reqwest::Error,
    },
    /// The platform refused.
    #[error("{call}: Lambda answered {status} - Response: {body}")]
    Status {
        /// The call that was refused.
        call: &'static str,
        /// The refusal.
        status: StatusCode,
        /// Its text.
        body: String,
    },
    /// The answer was not what the API promises.
    #[error("{call}: Lambda's answer makes no sense: {why}")]
    Answer {
        /// The call that was answered.
        call: &'static str,
        /// What is missing or malformed.
        why: String,
    },
}

impl Client {
    /// A client that never goes through a proxy and never times out, because `next` waits as long as the function sleeps.
    pub fn new(api: RuntimeApi) -> Result<Self, Error> {
        // No roots: everything here is plain HTTP inside the sandbox, and reading the trust store would cost milliseconds.
        let http = reqwest::Client::builder().no_proxy().tls_certs_only([]).build().map_err(Error::Build)?;
        Ok(Self { http, api })
    }

    /// Registers. The runtime is started only after every extension has done so.
    pub async fn register(&self, initialization: Initialization) -> Result<Registered, Error> {
        const CALL: &str = "register";
        let events: &[&str] = match initialization {
            Initialization::ManagedInstances => &["SHUTDOWN"],
            _ => &["INVOKE", "SHUTDOWN"],
        };
        let request = self
            .http
            .post(self.url("2020-01-01/extension/register"))
            .header("lambda-extension-name", EXTENSION_NAME)
            .header("lambda-extension-accept-feature", "accountId")
            .body(json!({"events": events}).to_string());
        let response = self.call(CALL, request).await?;
        let id = response
            .headers()
            .get(IDENTIFIER)
            .and_then(|value| value.to_str().ok())
            .map(|id| ExtensionId(id.to_owned()))
            .ok_or_else(|| Error::Answer { call: CALL, why: format!("no header {IDENTIFIER}") })?;
        let body = self.text(CALL, response).await?;
        // The account id is a convenience; an odd body must not cost the customer the sandbox.
        let account_id = serde_json::from_str::<Value>(&body)
            .ok()
            .and_then(|body| body.get("accountId").and_then(Value::as_str).map(str::to_owned));
        Ok(Registered { id, account_id })
    }

    /// Subscribes our listener, which must be bound already, to the Telemetry API. Refused for the sandbox's life once init is over.
    pub async fn subscribe(&self, id: &ExtensionId, subscription: &Subscription) -> Result<Subscribed, Error> {
        const CALL: &str = "subscribe";
        let request = self
            .http
            .put(self.url("2022-07-01/telemetry"))
            .header(IDENTIFIER, &id.0)
            .header("content-type", "application/json")
            .body(subscription.body().to_string());
        let response = self.call(CALL, request).await?;
        if response.status() != StatusCode::ACCEPTED {
            return Ok(Subscribed::Yes);
        }
        let body = self.text(CALL, response).await?;
        Ok(if body.contains("NotSupported") { Subscribed::NotSupported } else { Subscribed::Yes })
    }

    /// Waits for the next event. The sandbox may be frozen while it waits.
    pub async fn next(&self, id: &ExtensionId) -> Result<Event, Error> {
        const CALL: &str = "next";
        let request = self.http.get(self.url("2020-01-01/extension/event/next")).header(IDENTIFIER, &id.0);
        let response = self.call(CALL, request).await?;
        let body = self.text(CALL, response).await?;
        serde_json::from_str(&body).map_err(|error| Error::Answer { call: CALL, why: error.to_string() })
    }

    /// Tells the platform that we give up. It ends the sandbox after that, so this is the very last thing to do.
    pub async fn give_up(&self, id: &ExtensionId, stage: Stage, reason: &str) -> Result<(), Error> {
        let (call, path) = match stage {
            Stage::Init => ("init/error", "2020-01-01/extension/init/error"),
            Stage::Exit => ("exit/error", "2020-01-01/extension/exit/error"),
        };
        let request = self
            .http
            .post(self.url(path))
            .header(IDENTIFIER, &id.0)
            .header("lambda-extension-function-error-type", "Extension.PlatformUnreachable")
            .body(
                json!({"errorMessage": reason, "errorType": "Extension.PlatformUnreachable", "stackTrace": []})
                    .to_string(),
            );
        self.call(call, request).await.map(drop)
    }

    fn url(&self, path: &str) -> String {
        format!("http://{}/{path}", self.api)
    }

    async fn call(&self, call: &'static str, request: RequestBuilder) -> Result<Response, Error> {
        let response = request.send().await.map_err(|source| self.transport(call, source))?;
        let status = response.status();
        if status.is_success() {
            return Ok(response);
        }
        let body = self.text(call, response).await.unwrap_or_default();
        Err(Error::Status { call, status, body })
    }

    async fn text(&self, call: &'static str, response: Response) -> Result<String, Error> {
        let bytes = response.bytes().await.map_err(|source| self.transport(call, source))?;
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    }

    fn transport(&self, call: &'static str, source: reqwest::Error) -> Error {
        Error::Transport { call, api: self.api.clone(), source }
    }
}
