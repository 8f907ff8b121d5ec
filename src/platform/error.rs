//! Errors of the calls to Lambda's APIs.

use extension_protocol::{IDENTIFIER, reply};

use super::{event::EventError, ids::RuntimeApi};

/// An error of a call to Lambda's APIs.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The HTTP client could not be built.
    #[error("the client for Lambda's APIs could not be built")]
    Build(#[source] reqwest::Error),
    /// No answer came.
    #[error("{call}: no answer from Lambda at {api}, the value of AWS_LAMBDA_RUNTIME_API")]
    Transport {
        /// The call that failed.
        call: &'static str,
        /// The API's address.
        api: RuntimeApi,
        /// Why.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The platform refused.
    #[error("{call}: Lambda answered {status} - Response: {body}")]
    Status {
        /// The call that was refused.
        call: &'static str,
        /// The refusal.
        status: u16,
        /// Its text.
        body: String,
    },
    /// The answer was not what the API promises.
    #[error("{call}: Lambda's answer makes no sense")]
    Answer {
        /// The call that was answered.
        call: &'static str,
        /// What is missing or malformed.
        source: AnswerError,
    },
}

/// What is missing or malformed in an answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AnswerError {
    #[error("no header {IDENTIFIER}")]
    NoIdentifier,
    #[error("more than {0} bytes")]
    TooLong(usize),
    #[error(transparent)]
    Event(#[from] EventError),
    /// Lambda takes no subscription any more.
    #[error("the first event came before the subscription")]
    AfterFirstEvent,
}

impl Error {
    /// Whether the same request may succeed later: no response came, or one that speaks of overload or of an error of the platform's own.
    pub fn is_temporary(&self) -> bool {
        match self {
            Self::Transport { .. } => true,
            Self::Status { status, .. } => reply::is_temporary(*status),
            Self::Build(_) | Self::Answer { .. } => false,
        }
    }
}
