//! Parsers of Lambda's responses to register, subscribe and next.

use crate::{json, response::Response};

/// The response to a registration.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Registration<'a> {
    /// The extension's id, which goes with every further request. It has no blanks.
    pub id: &'a str,
    /// The account that owns the function, where the platform says it. It has no blanks.
    pub account_id: Option<&'a str>,
}

/// The outcome of a subscription that was not refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SubscriptionOutcome {
    /// Events will come.
    Active,
    /// The platform has no Telemetry API (the public emulator): no event will ever come.
    NotSupported,
}

/// Why a response is not the one that was hoped for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    /// Its status is not a success.
    Status(u16),
    /// A registration has no [`IDENTIFIER`](crate::IDENTIFIER).
    NoIdentifier,
}

/// The next thing to do, as far as the launcher needs to know.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EventType {
    /// The function has been invoked.
    Invoke,
    /// The environment ends.
    Shutdown,
}

/// True for every 2xx status.
#[must_use]
pub fn is_success(status: u16) -> bool {
    (200..300).contains(&status)
}

/// Whether the same request may succeed later: the platform is overloaded, or has an error of its own.
#[must_use]
pub fn is_temporary(status: u16) -> bool {
    status == 429 || status >= 500
}

/// Reads the response to [`Register`](crate::Request::Register). The account id is a convenience; an odd body must not cost the customer the environment.
pub fn registration<'a>(response: &Response<'a>) -> Result<Registration<'a>, Refusal> {
    if !is_success(response.status) {
        return Err(Refusal::Status(response.status));
    }
    let has_no_blanks = |text: &&str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_graphic());
    let id = response.identifier.filter(has_no_blanks).ok_or(Refusal::NoIdentifier)?;
    Ok(Registration { id, account_id: json::string_field(response.body, "accountId").filter(has_no_blanks) })
}

/// Reads the response to [`Subscribe`](crate::Request::Subscribe). A subscription whose response was lost is there when it is repeated.
pub fn subscribed(response: &Response<'_>) -> Result<SubscriptionOutcome, Refusal> {
    const ACCEPTED: u16 = 202;
    if contains(response.body, b"AlreadySubscribed") {
        Ok(SubscriptionOutcome::Active)
    } else if !is_success(response.status) {
        Err(Refusal::Status(response.status))
    } else if response.status == ACCEPTED && contains(response.body, b"NotSupported") {
        Ok(SubscriptionOutcome::NotSupported)
    } else {
        Ok(SubscriptionOutcome::Active)
    }
}

/// The type of the event in the response to [`Next`](crate::Request::Next); None where it is no event.
#[must_use]
pub fn event_type(response: &Response<'_>) -> Option<EventType> {
    let name = is_success(response.status).then(|| json::string_field(response.body, "eventType"))??;
    match name {
        "INVOKE" => Some(EventType::Invoke),
        "SHUTDOWN" => Some(EventType::Shutdown),
        _ => None,
    }
}

fn contains(text: &[u8], part: &[u8]) -> bool {
    text.windows(part.len()).any(|window| window == part)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn response(status: u16, body: &str) -> Response<'_> {
        Response { status, identifier: Some("id"), body: body.as_bytes(), closes: false }
    }

    #[test]
    fn a_registration_needs_an_id_and_can_do_without_the_account() {
        let read = |body| registration(&response(200, body)).unwrap();
        assert_eq!(read(r#"{"accountId":"1"}"#), Registration { id: "id", account_id: Some("1") });
        for body in ["not json", r#"{"accountId":1}"#, r#"{"accountId":"1 pid=2"}"#, r#"{"accountId":""}"#] {
            assert_eq!(read(body), Registration { id: "id", account_id: None }, "{body}");
        }
        assert_eq!(registration(&response(403, "no")), Err(Refusal::Status(403)));
        for identifier in [None, Some(""), Some("a b"), Some("ü")] {
            let response = Response { identifier, ..response(200, "{}") };
            assert_eq!(registration(&response), Err(Refusal::NoIdentifier), "{identifier:?}");
        }
    }

    #[test]
    fn a_subscription_may_be_accepted_without_being_supported() {
        assert_eq!(subscribed(&response(200, "OK")), Ok(SubscriptionOutcome::Active));
        let unsupported = r#"{"errorType":"Telemetry.NotSupported"}"#;
        assert_eq!(subscribed(&response(202, unsupported)), Ok(SubscriptionOutcome::NotSupported));
        assert_eq!(subscribed(&response(200, unsupported)), Ok(SubscriptionOutcome::Active));
        assert_eq!(subscribed(&response(403, "")), Err(Refusal::Status(403)));
        assert_eq!(
            subscribed(&response(403, r#"{"errorType":"Telemetry.AlreadySubscribed"}"#)),
            Ok(SubscriptionOutcome::Active)
        );
    }

    #[test]
    fn only_overload_and_server_errors_are_temporary() {
        assert!([429, 500, 503, 599].into_iter().all(is_temporary));
        assert!(![200, 400, 403, 404].into_iter().any(is_temporary));
    }

    #[test]
    fn only_a_successful_response_with_a_known_type_is_an_event() {
        assert_eq!(event_type(&response(200, r#"{"eventType":"INVOKE","requestId":"r"}"#)), Some(EventType::Invoke));
        assert_eq!(event_type(&response(200, r#"{"eventType":"SHUTDOWN"}"#)), Some(EventType::Shutdown));
        for response in
            [response(500, r#"{"eventType":"SHUTDOWN"}"#), response(200, r#"{"eventType":"NAP"}"#), response(200, "{")]
        {
            assert_eq!(event_type(&response), None, "{response:?}");
        }
    }
}
