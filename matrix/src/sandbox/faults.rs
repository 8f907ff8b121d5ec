//! Injected faults of Lambda's own endpoints.

use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use axum::http::Method;

/// The endpoints that can have a fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Endpoint {
    /// `POST /2020-01-01/extension/register`
    Register,
    /// `GET /2020-01-01/extension/event/next`
    ExtensionNext,
    /// `POST /2020-01-01/extension/init/error`
    ExtensionInitError,
    /// `POST /2020-01-01/extension/exit/error`
    ExtensionExitError,
    /// `PUT /2022-07-01/telemetry`
    Subscribe,
    /// `GET /2018-06-01/runtime/invocation/next`
    RuntimeNext,
    /// `POST /2018-06-01/runtime/invocation/{id}/response`
    RuntimeResponse,
    /// `POST /2018-06-01/runtime/invocation/{id}/error`
    RuntimeError,
    /// `POST /2018-06-01/runtime/init/error`
    RuntimeInitError,
    /// Everything else.
    Other,
}

impl Endpoint {
    pub(crate) fn of(method: &Method, path: &str) -> Self {
        match (method.as_str(), path.trim_end_matches('/')) {
            ("POST", "/2020-01-01/extension/register") => Self::Register,
            ("GET", "/2020-01-01/extension/event/next") => Self::ExtensionNext,
            ("POST", "/2020-01-01/extension/init/error") => Self::ExtensionInitError,
            ("POST", "/2020-01-01/extension/exit/error") => Self::ExtensionExitError,
            ("PUT", "/2022-07-01/telemetry") => Self::Subscribe,
            ("GET", "/2018-06-01/runtime/invocation/next") => Self::RuntimeNext,
            ("POST", "/2018-06-01/runtime/init/error") => Self::RuntimeInitError,
            ("POST", path) if path.ends_with("/response") => Self::RuntimeResponse,
            ("POST", path) if path.starts_with("/2018-06-01/runtime/invocation/") => Self::RuntimeError,
            _ => Self::Other,
        }
    }
}

/// The calls of an endpoint that a fault affects, counted from 1 over the sandbox lifetime and over all callers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Calls {
    /// All of them.
    Every,
    /// The call with this number only.
    Only(u32),
    /// The call with this number and all that follow.
    From(u32),
}

impl Calls {
    fn include(self, call: u32) -> bool {
        match self {
            Self::Every => true,
            Self::Only(number) => call == number,
            Self::From(first) => call >= first,
        }
    }
}

/// The effect of a fault on a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effect {
    /// The call is handled after this delay.
    Delay(Duration),
    /// The call is not handled. The response has this status (100..=599, otherwise 500) and Lambda's error body.
    Status(u16),
    /// The call is not handled; the connection is reset without a response.
    Reset,
    /// The call is handled. The response has `connection: close`, and the connection is closed after it.
    Close,
    /// The call is not handled. The response is 200 with a body that ends in the middle of a JSON object.
    Malformed,
}

/// A fault. Several may affect the same call; they apply in the order in which they are listed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fault {
    /// The affected endpoint.
    pub endpoint: Endpoint,
    /// The affected calls.
    pub calls: Calls,
    /// The effect.
    pub effect: Effect,
}

/// The faults with their call counters.
#[derive(Debug)]
pub(crate) struct Faults {
    plan: Vec<(Fault, AtomicU32)>,
}

impl Faults {
    pub(crate) fn new(plan: &[Fault]) -> Self {
        Self { plan: plan.iter().map(|fault| (*fault, AtomicU32::new(0))).collect() }
    }

    /// Counts a call and returns the effects on it.
    pub(crate) fn strike(&self, endpoint: Endpoint) -> Vec<Effect> {
        self.plan
            .iter()
            .filter(|(fault, _)| fault.endpoint == endpoint)
            .filter(|(fault, count)| fault.calls.include(count.fetch_add(1, Ordering::Relaxed) + 1))
            .map(|(fault, _)| fault.effect)
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn calls_are_counted_per_fault() {
        let fault = |calls, effect| Fault { endpoint: Endpoint::Register, calls, effect };
        let faults = Faults::new(&[fault(Calls::Only(2), Effect::Reset), fault(Calls::From(2), Effect::Status(500))]);
        assert_eq!(faults.strike(Endpoint::Register), []);
        assert_eq!(faults.strike(Endpoint::Subscribe), []);
        assert_eq!(faults.strike(Endpoint::Register), [Effect::Reset, Effect::Status(500)]);
        assert_eq!(faults.strike(Endpoint::Register), [Effect::Status(500)]);
    }

    #[test]
    fn endpoints_are_distinguished_by_method_and_path() {
        let of = |method: Method, path| Endpoint::of(&method, path);
        assert_eq!(of(Method::PUT, "/2022-07-01/telemetry/"), Endpoint::Subscribe);
        assert_eq!(of(Method::GET, "/2022-07-01/telemetry"), Endpoint::Other);
        assert_eq!(of(Method::POST, "/2018-06-01/runtime/invocation/a/response"), Endpoint::RuntimeResponse);
        assert_eq!(of(Method::POST, "/2018-06-01/runtime/invocation/a/error"), Endpoint::RuntimeError);
    }
}
