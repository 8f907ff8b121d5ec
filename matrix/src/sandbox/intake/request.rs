//! One request as the intake saw it, ready to be printed as JSON.

use serde::{Serialize, Serializer};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::{Route, Series, Sketch};

/// One request, decoded, with what was answered and what was wrong with it.
#[derive(Clone, Debug, Serialize)]
pub struct Request {
    /// 1 for the first request that the intake received.
    pub number: usize,
    /// When its last byte had arrived, UTC.
    #[serde(serialize_with = "rfc3339")]
    pub at: OffsetDateTime,
    pub method: String,
    /// The path without the query.
    pub path: String,
    /// In the order of the request; names in lower case.
    pub headers: Vec<(String, String)>,
    /// The value of `DD-API-KEY`.
    pub api_key: Option<String>,
    /// The value of `Content-Encoding`, `identity` without one.
    pub encoding: String,
    /// Bytes of the body as sent.
    pub wire_bytes: usize,
    /// Bytes of the body after decompression; equal to `wire_bytes` if it could not be decompressed.
    pub body_bytes: usize,
    pub payload: Payload,
    pub answer: Answered,
    /// When the answer was written or the connection ended, UTC. None while the request is open.
    #[serde(serialize_with = "optional_rfc3339")]
    pub ended: Option<OffsetDateTime>,
    /// All that Datadog's documentation does not allow about this request, one sentence each.
    pub problems: Vec<String>,
}

/// A request's content.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Payload {
    Logs(Vec<serde_json::Value>),
    Series(Vec<Series>),
    Sketches(Vec<Sketch>),
    /// A path that the intake does not serve, with the first bytes of the body as text.
    Unknown {
        start: String,
    },
    /// A known path whose body is not what it should be.
    Undecodable {
        reason: String,
    },
}

/// What became of a request.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Answered {
    /// The answer is still to come.
    Pending,
    /// A status was written to the open connection, this many milliseconds after the request had arrived because the plan asked for a delay.
    Status { code: u16, delay_ms: u64 },
    /// The connection was reset, as planned.
    Reset,
    /// Nothing is ever answered, as planned.
    Silence,
    /// The connection ended before the answer was written: the client closed it, or the intake stopped.
    Aborted,
}

impl Request {
    /// Whether the payload was accepted: a 2xx status was written while the client still had the connection open.
    pub fn delivered(&self) -> bool {
        matches!(self.answer, Answered::Status { code: 200..=299, .. })
    }

    /// Whether the client had sent the request by this moment and did not have its answer yet.
    pub fn is_open_at(&self, moment: OffsetDateTime) -> bool {
        self.at <= moment && self.ended.is_none_or(|ended| ended > moment)
    }

    /// `None` for a path that the intake does not know.
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
