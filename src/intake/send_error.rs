//! Why a payload did not arrive.

use std::time::Duration;

use super::http::{ErrorStatus, RequestError};

/// The reason why a payload did not arrive, or may not have arrived.
#[derive(Debug, thiserror::Error)]
pub enum SendError {
    /// The intake rejected the payload for good.
    #[error("Datadog answered {0}")]
    Rejected(ErrorStatus),
    /// The intake may accept the payload later.
    #[error("Datadog answered {status}")]
    Retryable {
        /// The response status.
        status: ErrorStatus,
        /// The value of `Retry-After`.
        retry_after: Option<Duration>,
    },
    /// The request was not completely sent before the timeout, or before it was abandoned.
    #[error("the request was not sent within {0:?} (DD_FLUSH_TIMEOUT)")]
    NotSent(Duration),
    /// The request was completely sent and not answered before the timeout: it may have arrived.
    #[error("no answer within {0:?} (DD_FLUSH_TIMEOUT)")]
    NoAnswer(Duration),
    /// The request was completely sent and abandoned before the timeout to make room for others: it may have arrived.
    #[error("no answer within {0:?}, so the request was abandoned")]
    Abandoned(Duration),
    /// A success, but not the one with which this intake confirms: it may have arrived.
    #[error("status {0} instead of 202")]
    Unconfirmed(u16),
    /// The connection took the whole request and broke before an answer came: it may have arrived.
    #[error("no answer")]
    ConnectionLost(#[source] RequestError),
    /// The request was not completely sent on any connection.
    #[error(transparent)]
    Transport(RequestError),
}

impl SendError {
    /// Whether a retry may succeed.
    pub fn is_temporary(&self) -> bool {
        !matches!(self, Self::Rejected(_))
    }

    /// Whether the payload may have arrived although there was no response.
    pub fn may_have_arrived(&self) -> bool {
        matches!(self, Self::NoAnswer(_) | Self::Abandoned(_) | Self::Unconfirmed(_) | Self::ConnectionLost(_))
    }

    /// The value of `Retry-After`, if the response had one.
    pub fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Retryable { retry_after, .. } => *retry_after,
            _ => None,
        }
    }
}

impl From<RequestError> for SendError {
    fn from(error: RequestError) -> Self {
        match error {
            RequestError::Timeout(limit) => Self::NoAnswer(limit),
            other => Self::Transport(other),
        }
    }
}
