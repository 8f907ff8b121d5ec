//! What is asked of Lambda, and what its answers mean, whichever way they travel.
//!
//! Source: AWS Lambda developer guide, "Using the Lambda Extensions API" and "Telemetry API reference".

use std::fmt::Write as _;

use serde::Deserialize;

use super::{
    environment::Initialization,
    event::Event,
    extensions_api::Error,
    ids::{ExtensionId, RuntimeApi},
    subscription::Subscription,
};
use crate::os::{clock, log::excerpt};

/// The name that we register under. It must be the file name in `/opt/extensions`, which a drop-in cannot choose.
pub const EXTENSION_NAME: &str = "datadog-agent";

/// Carries the extension's id in answers and requests.
pub const IDENTIFIER: &str = "lambda-extension-identifier";

/// Of a refusal's body, which is logged.
const MAX_LOGGED_BYTES: usize = 512;

/// A request, before it is known how it will travel.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// As errors name it.
    pub call: &'static str,
    pub method: &'static str,
    /// Without the leading slash.
    pub path: &'static str,
    pub headers: Vec<Header>,
    pub body: String,
}

/// One header.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Header {
    pub name: &'static str,
    pub value: String,
}

/// An answer, whichever way it came.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Response {
    pub status: u16,
    /// The header [`IDENTIFIER`].
    pub identifier: Option<String>,
    pub body: Vec<u8>,
    /// The connection ends with this response.
    pub closes: bool,
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
    Active,
    /// The platform has no Telemetry API (the public emulator): no event will ever come.
    NotSupported,
}

/// Registration. The runtime is started only after every extension has done this.
pub fn register(initialization: Initialization) -> Request {
    let events = match initialization {
        Initialization::ManagedInstances => r#"{"events":["SHUTDOWN"]}"#,
        _ => r#"{"events":["INVOKE","SHUTDOWN"]}"#,
    };
    let headers = vec![
        Header { name: "lambda-extension-name", value: EXTENSION_NAME.to_owned() },
        Header { name: "lambda-extension-accept-feature", value: "accountId".to_owned() },
    ];
    request("register", "POST", "2020-01-01/extension/register", headers, events.to_owned())
}

/// The subscription of a listener that is bound already. Refused for the sandbox's life once init is over.
pub fn subscribe(id: &ExtensionId, subscription: Subscription) -> Request {
    let headers = vec![identify(id), Header { name: "content-type", value: "application/json".to_owned() }];
    request("subscribe", "PUT", "2022-07-01/telemetry", headers, subscription.body())
}

/// The next event. The sandbox may be frozen while the answer is waited for.
pub fn next(id: &ExtensionId) -> Request {
    request("next", "GET", "2020-01-01/extension/event/next", vec![identify(id)], String::new())
}

/// What the answer to [`register`] says.
pub fn registered(response: Response) -> Result<Registered, Error> {
    #[derive(Default, Deserialize)]
    #[serde(rename_all = "camelCase", default)]
    struct Body {
        account_id: Option<String>,
    }
    let response = accept("register", response)?;
    let id = response
        .identifier
        .map(ExtensionId)
        .ok_or_else(|| Error::Answer { call: "register", why: format!("no header {IDENTIFIER}") })?;
    // The account id is a convenience; an odd body must not cost the customer the sandbox.
    let body: Body = serde_json::from_slice(&response.body).unwrap_or_default();
    Ok(Registered { id, account_id: body.account_id })
}

/// What the answer to [`subscribe`] says. A subscription whose answer was lost is there when it is repeated.
pub fn subscribed(response: Response) -> Result<Subscribed, Error> {
    const ACCEPTED: u16 = 202;
    if String::from_utf8_lossy(&response.body).contains("AlreadySubscribed") {
        return Ok(Subscribed::Active);
    }
    let response = accept("subscribe", response)?;
    let unsupported = response.status == ACCEPTED && String::from_utf8_lossy(&response.body).contains("NotSupported");
    Ok(if unsupported { Subscribed::NotSupported } else { Subscribed::Active })
}

/// What the answer to [`next`] says.
pub fn event(response: Response) -> Result<Event, Error> {
    let response = accept("next", response)?;
    Event::parse(&response.body, clock::epoch_ms())
        .map_err(|unreadable| Error::Answer { call: "next", why: unreadable.to_string() })
}

/// Lets through what the platform has not refused.
pub fn accept(call: &'static str, response: Response) -> Result<Response, Error> {
    // Enough for Lambda's error messages; whatever is longer must not flood the log.
    if (200..300).contains(&response.status) {
        return Ok(response);
    }
    let body = excerpt(&String::from_utf8_lossy(&response.body), MAX_LOGGED_BYTES);
    Err(Error::Status { call, status: response.status, body })
}

impl Request {
    /// The request as HTTP/1.1.
    pub fn write(&self, api: &RuntimeApi, out: &mut Vec<u8>) {
        let mut head = format!("{} /{} HTTP/1.1\r\nhost: {api}\r\n", self.method, self.path);
        for Header { name, value } in &self.headers {
            let _ = write!(head, "{name}: {value}\r\n");
        }
        if self.method != "GET" {
            let _ = write!(head, "content-length: {}\r\n", self.body.len());
        }
        out.extend_from_slice(head.as_bytes());
        out.extend_from_slice(b"\r\n");
        out.extend_from_slice(self.body.as_bytes());
    }
}

fn request(
    call: &'static str,
    method: &'static str,
    path: &'static str,
    headers: Vec<Header>,
    body: String,
) -> Request {
    Request { call, method, path, headers, body }
}

fn identify(id: &ExtensionId) -> Header {
    Header { name: IDENTIFIER, value: id.0.clone() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(status: u16, body: &str) -> Response {
        Response { status, identifier: Some("id".to_owned()), body: body.as_bytes().to_vec(), closes: false }
    }

    #[test]
    fn a_request_reads_as_http() {
        let mut bytes = Vec::new();
        let id = ExtensionId("x-1".to_owned());
        next(&id).write(&RuntimeApi("127.0.0.1:9001".to_owned()), &mut bytes);
        register(Initialization::ManagedInstances).write(&RuntimeApi("h".to_owned()), &mut bytes);
        assert_eq!(
            String::from_utf8(bytes).unwrap(),
            "GET /2020-01-01/extension/event/next HTTP/1.1\r\nhost: 127.0.0.1:9001\r\nlambda-extension-identifier: x-1\r\n\r\n\
             POST /2020-01-01/extension/register HTTP/1.1\r\nhost: h\r\nlambda-extension-name: datadog-agent\r\n\
             lambda-extension-accept-feature: accountId\r\ncontent-length: 23\r\n\r\n{\"events\":[\"SHUTDOWN\"]}"
        );
    }

    #[test]
    fn registration_needs_an_id_and_can_do_without_the_account() {
        assert_eq!(registered(answer(200, r#"{"accountId":"1"}"#)).unwrap().account_id.as_deref(), Some("1"));
        assert_eq!(registered(answer(200, "not json")).unwrap().account_id, None);
        assert!(matches!(registered(answer(403, "no")), Err(Error::Status { status: 403, .. })));
        assert!(registered(Response { identifier: None, ..answer(200, "{}") }).is_err());
    }

    #[test]
    fn a_subscription_may_be_accepted_without_being_supported() {
        assert_eq!(subscribed(answer(200, "OK")).unwrap(), Subscribed::Active);
        let unsupported = answer(202, r#"{"errorType":"Telemetry.NotSupported"}"#);
        assert_eq!(subscribed(unsupported).unwrap(), Subscribed::NotSupported);
        assert!(subscribed(answer(403, "")).is_err());
        let repeated = answer(403, r#"{"errorType":"Telemetry.AlreadySubscribed"}"#);
        assert_eq!(subscribed(repeated).unwrap(), Subscribed::Active);
    }

    #[test]
    fn only_silence_overload_and_server_errors_are_temporary() {
        let temporary = |status| accept("next", answer(status, "")).is_err_and(|error| error.is_temporary());
        assert!([429, 500, 503, 599].into_iter().all(temporary));
        assert!(![400, 403, 404].into_iter().any(temporary));
        let silence = Error::Transport { call: "next", api: RuntimeApi("h".to_owned()), source: "reset".into() };
        assert!(silence.is_temporary());
        assert!(!event(answer(200, "{")).unwrap_err().is_temporary());
    }

    #[test]
    fn a_long_error_is_shortened_for_the_log() {
        let error = accept("next", answer(500, &"x".repeat(1 << 20))).unwrap_err().to_string();
        assert!(error.starts_with("next: Lambda answered 500 - Response: xx") && error.len() < 2000, "{}", error.len());
    }
}
