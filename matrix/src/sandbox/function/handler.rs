//! The code of a function in this process, and what it sees of an invocation.

use std::fmt;
use std::net::SocketAddr;

/// A function in this process. Every closure from a [`Call`] to a [`HandlerOutcome`] is one.
pub trait Handler: Send + Sync {
    /// Initializes the function, before the runtime sends next for the first time.
    fn init(&self, _init: &Call<'_>) -> Result<(), InitError> {
        Ok(())
    }

    /// Handles an event. It may block.
    fn handle(&self, call: &Call<'_>) -> HandlerOutcome;
}

impl<F: Fn(&Call<'_>) -> HandlerOutcome + Send + Sync> Handler for F {
    fn handle(&self, call: &Call<'_>) -> HandlerOutcome {
        self(call)
    }
}

/// A function that answers `null`.
#[derive(Debug)]
pub(crate) struct Null;

impl Handler for Null {
    fn handle(&self, _call: &Call<'_>) -> HandlerOutcome {
        HandlerOutcome::Response(b"null".to_vec())
    }
}

/// Why an in-process function cannot be initialized.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum InitError {
    /// The runtime reports this type of error and exits.
    Reported(String),
    /// The runtime exits with this code without a report.
    Exit(i32),
    /// The runtime never sends next.
    Hang,
}

/// The result of an invocation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HandlerOutcome {
    /// The function responds with these bytes.
    Response(Vec<u8>),
    /// The function reports an error and stays alive.
    Error {
        /// `errorType`, such as `ValueError`.
        error_type: String,
        /// `errorMessage`.
        message: String,
    },
    /// The runtime exits with this code instead of responding.
    Exit(i32),
    /// The function exceeds its memory and is killed.
    OutOfMemory,
    /// The function never responds.
    Hang,
}

/// An invocation as the function sees it. During init the strings and the event are empty.
pub struct Call<'a> {
    /// The request id.
    pub request_id: &'a str,
    /// The event.
    pub event: &'a [u8],
    /// The deadline in milliseconds since 1970.
    pub deadline_ms: u64,
    /// The tracing header.
    pub trace: &'a str,
    /// The address of the Runtime API. The handler's thread is in the sandbox's network.
    pub runtime_api: SocketAddr,
    pub(crate) environment: &'a dyn HandlerEnvironment,
}

impl fmt::Debug for Call<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Call").field("request_id", &self.request_id).finish_non_exhaustive()
    }
}

impl Call<'_> {
    /// Writes a line to the function's standard output.
    pub fn print(&self, line: impl AsRef<[u8]>) {
        self.environment.print_line(line.as_ref());
    }

    /// Writes a line to the function's standard error.
    pub fn print_error(&self, line: impl AsRef<[u8]>) {
        self.environment.print_line(line.as_ref());
    }

    /// Declares how much memory the function uses, because a thread's share of a process cannot be measured.
    pub fn use_memory(&self, megabytes: u32) {
        self.environment.use_memory(megabytes);
    }
}

/// What the environment of a function in this process does for its handler.
pub(crate) trait HandlerEnvironment: Send + Sync {
    /// Adds a line to the function's output.
    fn print_line(&self, line: &[u8]);

    /// Counts so much memory as the function's.
    fn use_memory(&self, megabytes: u32);
}
