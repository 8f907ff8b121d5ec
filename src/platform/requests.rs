//! What Lambda's responses mean to the agent, whichever way they travel. The requests, and what the launcher needs to know too, are in `extension-protocol`.

use extension_protocol::reply::{self, Refusal, Registration};

use super::{
    error::{AnswerError, Error},
    event::Event,
    ids::ExtensionId,
};
use crate::os::{clock, log::excerpt};

pub use extension_protocol::reply::SubscriptionOutcome;

/// Of a refusal's body, which is logged.
const MAX_LOGGED_BYTES: usize = 512;

/// A response, whichever way it came.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Response {
    pub status: u16,
    /// The header [`extension_protocol::IDENTIFIER`].
    pub identifier: Option<String>,
    pub body: Vec<u8>,
    /// The connection ends with this response.
    pub closes: bool,
}

/// A registration with the platform.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExtensionRegistration {
    /// Goes with every further call.
    pub id: ExtensionId,
    /// The account that owns the function, where the platform tells.
    pub account_id: Option<String>,
}

/// Parses the response to a registration.
pub fn registered(response: &Response) -> Result<ExtensionRegistration, Error> {
    match reply::registration(&response.borrowed()) {
        Ok(Registration { id, account_id }) => {
            Ok(ExtensionRegistration { id: ExtensionId(id.to_owned()), account_id: account_id.map(str::to_owned) })
        }
        Err(Refusal::Status(_)) => Err(response.refusal("register")),
        Err(Refusal::NoIdentifier) => Err(Error::Answer { call: "register", source: AnswerError::NoIdentifier }),
    }
}

/// Parses the response to a subscription.
pub fn subscribed(response: &Response) -> Result<SubscriptionOutcome, Error> {
    reply::subscribed(&response.borrowed()).map_err(|_| response.refusal("subscribe"))
}

/// What the response to a request for the next event says.
pub fn event(response: &Response) -> Result<Event, Error> {
    if !reply::is_success(response.status) {
        return Err(response.refusal("next"));
    }
    Event::parse(&response.body, clock::epoch_ms())
        .map_err(|unreadable| Error::Answer { call: "next", source: unreadable.into() })
}

impl Response {
    fn borrowed(&self) -> extension_protocol::Response<'_> {
        let Self { status, identifier, body, closes } = self;
        let identifier = identifier.as_deref();
        extension_protocol::Response { status: *status, identifier, body, closes: *closes }
    }

    /// The error for a status that is not a success.
    fn refusal(&self, call: &'static str) -> Error {
        // Enough for Lambda's error messages; whatever is longer must not flood the log.
        let body = excerpt(&String::from_utf8_lossy(&self.body), MAX_LOGGED_BYTES);
        Error::Status { call, status: self.status, body }
    }
}

impl From<extension_protocol::Response<'_>> for Response {
    fn from(response: extension_protocol::Response<'_>) -> Self {
        let extension_protocol::Response { status, identifier, body, closes } = response;
        Self { status, identifier: identifier.map(str::to_owned), body: body.to_owned(), closes }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::platform::RuntimeApi;

    fn response(status: u16, body: &str) -> Response {
        Response { status, identifier: Some("id".to_owned()), body: body.as_bytes().to_vec(), closes: false }
    }

    #[test]
    fn registration_needs_an_id_and_can_do_without_the_account() {
        assert_eq!(registered(&response(200, r#"{"accountId":"1"}"#)).unwrap().account_id.as_deref(), Some("1"));
        assert_eq!(registered(&response(200, "not json")).unwrap().account_id, None);
        assert!(matches!(registered(&response(403, "no")), Err(Error::Status { status: 403, .. })));
        assert!(registered(&Response { identifier: None, ..response(200, "{}") }).is_err());
    }

    #[test]
    fn only_silence_overload_and_server_errors_are_temporary() {
        let temporary = |status| event(&response(status, "")).is_err_and(|error| error.is_temporary());
        assert!([429, 500, 503, 599].into_iter().all(temporary));
        assert!(![400, 403, 404].into_iter().any(temporary));
        let silence = Error::Transport { call: "next", api: RuntimeApi("h".to_owned()), source: "reset".into() };
        assert!(silence.is_temporary());
        assert!(!event(&response(200, "{")).unwrap_err().is_temporary());
    }

    #[test]
    fn a_long_error_is_shortened_for_the_log() {
        let error = event(&response(500, &"x".repeat(1 << 20))).unwrap_err().to_string();
        assert!(error.starts_with("next: Lambda answered 500 - Response: xx") && error.len() < 2000, "{}", error.len());
    }
}
