//! A request as the intake saw it, serializable as JSON.

use serde::{Serialize, Serializer};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::{AgentPayload, ProxiedBody, Route, Series, Sketch, StatsPayload};

/// A decoded request with its outcome and its problems.
#[derive(Clone, Debug, Serialize)]
pub struct Request {
    /// The number of the request, from 1.
    pub number: usize,
    /// The time at which its last byte arrived, in UTC.
    #[serde(serialize_with = "rfc3339")]
    pub at: OffsetDateTime,
    pub method: String,
    /// The path without the query.
    pub path: String,
    /// The headers in the order of the request, with lower-case names.
    pub headers: Vec<(String, String)>,
    /// The value of `DD-API-KEY`.
    pub api_key: Option<String>,
    /// The value of `Content-Encoding`; `identity` if absent.
    pub encoding: String,
    /// Body size in bytes as sent.
    pub wire_bytes: usize,
    /// Body size in bytes after decompression; equal to `wire_bytes` if it could not be decompressed.
    pub body_bytes: usize,
    pub payload: Payload,
    pub answer: RequestOutcome,
    /// The time at which the response was written or the connection ended, in UTC. `None` while the request is open.
    #[serde(serialize_with = "optional_rfc3339")]
    pub ended: Option<OffsetDateTime>,
    /// Violations of Datadog's documentation, one sentence each.
    pub problems: Vec<String>,
}

/// The content of a request.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Payload {
    Logs(Vec<serde_json::Value>),
    Series(Vec<Series>),
    Sketches(Vec<Sketch>),
    Traces(AgentPayload),
    Stats(StatsPayload),
    Proxied(ProxiedBody),
    /// A path that the intake does not serve, with the first bytes of the body as text.
    Unknown {
        start: String,
    },
    /// A known path with a body that cannot be decoded.
    Undecodable {
        reason: String,
    },
}

/// The outcome of a request.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum RequestOutcome {
    /// The response is not written yet.
    Pending,
    /// A status was written to the open connection. `delay_ms` is the planned delay after the request in milliseconds.
    Status { code: u16, delay_ms: u64 },
    /// The connection was reset, as planned.
    Reset,
    /// There will be no response, as planned.
    Silence,
    /// The connection ended before the response was written: the client closed it, or the intake stopped.
    Aborted,
}

impl Request {
    /// Whether the payload was accepted: a 2xx status was written while the client had the connection open.
    pub fn delivered(&self) -> bool {
        matches!(self.answer, RequestOutcome::Status { code: 200..=299, .. })
    }

    /// Whether the request had arrived by this moment and had no response yet.
    pub fn is_open_at(&self, moment: OffsetDateTime) -> bool {
        self.at <= moment && self.ended.is_none_or(|ended| ended > moment)
    }

    /// The route; `None` for an unknown path.
    pub fn route(&self) -> Option<Route> {
        Route::of(&self.path)
    }

    /// The value of a header, by its lower-case name.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }
}

fn rfc3339<S: Serializer>(at: &OffsetDateTime, serializer: S) -> Result<S::Ok, S::Error> {
    at.format(&Rfc3339).map_err(serde::ser::Error::custom)?.serialize(serializer)
}

#[expect(clippy::ref_option, reason = "the signature is serde's")]
fn optional_rfc3339<S: Serializer>(at: &Option<OffsetDateTime>, serializer: S) -> Result<S::Ok, S::Error> {
    match at {
        Some(at) => rfc3339(at, serializer),
        None => serializer.serialize_none(),
    }
}
