//! The requests: register, subscribe, next.
//!
//! Source: AWS Lambda developer guide, "Using the Lambda Extensions API" and "Telemetry API reference".

use crate::{Sink, decimal, initialization::Initialization, subscription::Subscription};

/// The environment variable that names the host and the port of Lambda's APIs.
pub const RUNTIME_API: &str = "AWS_LAMBDA_RUNTIME_API";

/// The name that the extension registers under. It must be the file name in `/opt/extensions`, which a drop-in cannot choose.
pub const EXTENSION_NAME: &str = "datadog-agent";

/// The header that carries the extension's id in responses and requests.
pub const IDENTIFIER: &str = "lambda-extension-identifier";

/// A request to one of Lambda's APIs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Request<'a> {
    /// Registration. Lambda starts the runtime only after every extension has done this.
    Register(Initialization),
    /// The subscription of a listener that is bound already. Lambda refuses it for the environment's life once init is over.
    Subscribe {
        /// The extension's id.
        id: &'a str,
        /// Telemetry types, buffering and destination.
        subscription: Subscription,
    },
    /// The request for the next event. The environment may be frozen until the response comes.
    Next {
        /// The extension's id.
        id: &'a str,
    },
}

/// One header of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Header<'a> {
    pub name: &'static str,
    pub value: &'a str,
}

impl<'a> Request<'a> {
    /// The name of the call in error messages.
    #[must_use]
    pub fn call(&self) -> &'static str {
        match self {
            Self::Register(_) => "register",
            Self::Subscribe { .. } => "subscribe",
            Self::Next { .. } => "next",
        }
    }

    /// The HTTP method.
    #[must_use]
    pub fn method(&self) -> &'static str {
        match self {
            Self::Register(_) => "POST",
            Self::Subscribe { .. } => "PUT",
            Self::Next { .. } => "GET",
        }
    }

    /// The path, with its leading slash.
    #[must_use]
    pub fn path(&self) -> &'static str {
        match self {
            Self::Register(_) => "/2020-01-01/extension/register",
            Self::Subscribe { .. } => "/2022-07-01/telemetry",
            Self::Next { .. } => "/2020-01-01/extension/event/next",
        }
    }

    /// The headers beside `host` and `content-length`.
    pub fn headers(&self) -> impl Iterator<Item = Header<'a>> + use<'a> {
        let header = |name, value| Some(Header { name, value });
        let headers = match self {
            Self::Register(_) => [
                header("lambda-extension-name", EXTENSION_NAME),
                header("lambda-extension-accept-feature", "accountId"),
            ],
            Self::Subscribe { id, .. } => [header(IDENTIFIER, id), header("content-type", "application/json")],
            Self::Next { id } => [header(IDENTIFIER, id), None],
        };
        headers.into_iter().flatten()
    }

    /// Writes the body; nothing where there is none.
    pub fn write_body(&self, out: Sink<'_>) {
        match self {
            Self::Register(Initialization::ManagedInstances) => out(r#"{"events":["SHUTDOWN"]}"#),
            Self::Register(_) => out(r#"{"events":["INVOKE","SHUTDOWN"]}"#),
            Self::Subscribe { subscription, .. } => subscription.write_body(out),
            Self::Next { .. } => {}
        }
    }

    /// Writes the whole request as HTTP/1.1 to the API on this host, which is `host:port`.
    pub fn write(&self, host: &str, out: Sink<'_>) {
        out(self.method());
        out(" ");
        out(self.path());
        out(" HTTP/1.1\r\nhost: ");
        out(host);
        for Header { name, value } in self.headers() {
            out("\r\n");
            out(name);
            out(": ");
            out(value);
        }
        let mut length = 0;
        self.write_body(&mut |part| length += part.len() as u64);
        if length > 0 {
            out("\r\ncontent-length: ");
            decimal::write(length, out);
        }
        out("\r\n\r\n");
        self.write_body(out);
    }
}

#[cfg(test)]
mod tests {
    use std::string::String;

    use super::*;

    #[test]
    fn requests_read_as_http_byte_for_byte() {
        let mut text = String::new();
        let subscription = Subscription { port: 8999, logs: false, initialization: Initialization::OnDemand };
        for request in [
            Request::Register(Initialization::OnDemand),
            Request::Subscribe { id: "x-1", subscription },
            Request::Next { id: "x-1" },
            Request::Register(Initialization::ManagedInstances),
        ] {
            request.write("127.0.0.1:9001", &mut |part| text.push_str(part));
        }
        assert_eq!(
            text,
            "POST /2020-01-01/extension/register HTTP/1.1\r\nhost: 127.0.0.1:9001\r\nlambda-extension-name: datadog-agent\r\n\
             lambda-extension-accept-feature: accountId\r\ncontent-length: 32\r\n\r\n{\"events\":[\"INVOKE\",\"SHUTDOWN\"]}\
             PUT /2022-07-01/telemetry HTTP/1.1\r\nhost: 127.0.0.1:9001\r\nlambda-extension-identifier: x-1\r\n\
             content-type: application/json\r\ncontent-length: 189\r\n\r\n\
             {\"schemaVersion\":\"2022-12-13\",\"destination\":{\"protocol\":\"HTTP\",\"URI\":\"http://sandbox.localdomain:8999/\"},\
             \"types\":[\"platform\"],\"buffering\":{\"maxItems\":1000,\"maxBytes\":262144,\"timeoutMs\":25}}\
             GET /2020-01-01/extension/event/next HTTP/1.1\r\nhost: 127.0.0.1:9001\r\nlambda-extension-identifier: x-1\r\n\r\n\
             POST /2020-01-01/extension/register HTTP/1.1\r\nhost: 127.0.0.1:9001\r\nlambda-extension-name: datadog-agent\r\n\
             lambda-extension-accept-feature: accountId\r\ncontent-length: 23\r\n\r\n{\"events\":[\"SHUTDOWN\"]}"
        );
    }
}
