//! What can answer events: nothing much, code of this process, or any program that speaks the Runtime API.

mod in_process;
pub mod python;

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

pub use self::in_process::{Answer, Call, Handler, InitError};
pub(crate) use self::in_process::{InProcess, Null};

/// A function.
#[derive(Clone)]
pub enum Function {
    /// Answers every event with `null`, at once. It is a thread of this process that speaks the real Runtime API over HTTP
    /// and has nothing to initialize: what is left is the platform and the extensions.
    Null,
    /// Code of this process behind the real Runtime API. Threads can't be frozen or killed: a handler that is still at work
    /// when its environment ends is left alone, and nothing it does reaches a later one.
    InProcess(Arc<dyn Handler>),
    /// An executable that speaks the Runtime API.
    Process {
        /// The program.
        program: PathBuf,
        /// Its arguments.
        arguments: Vec<String>,
        /// `LAMBDA_TASK_ROOT`, and the working directory.
        task_root: PathBuf,
        /// `_HANDLER`.
        handler: String,
        /// Variables of the function alone, on top of all others.
        environment: BTreeMap<String, String>,
    },
}

impl Function {
    /// The null function.
    pub fn null() -> Self {
        Self::Null
    }

    /// A function from a closure.
    pub fn from_fn(handle: impl Fn(&Call<'_>) -> Answer + Send + Sync + 'static) -> Self {
        Self::InProcess(Arc::new(handle))
    }

    /// A custom runtime: an executable in its own directory, without arguments.
    pub fn program(program: impl Into<PathBuf>) -> Self {
        let program = program.into();
        let task_root = program.parent().map_or_else(|| PathBuf::from("/"), PathBuf::from);
        let handler = "function.handler".to_owned();
        Self::Process { program, arguments: Vec::new(), task_root, handler, environment: BTreeMap::new() }
    }

    pub(crate) fn handler(&self) -> &str {
        match self {
            Self::Null | Self::InProcess(_) => "function.handler",
            Self::Process { handler, .. } => handler,
        }
    }

    /// Only functions of this process know which runtime they are; a program may be anything.
    pub(crate) fn runtime_version(&self) -> Option<&'static str> {
        match self {
            Self::Null | Self::InProcess(_) => Some("matrix:in-process"),
            Self::Process { .. } => None,
        }
    }
}

impl fmt::Debug for Function {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Null => formatter.write_str("Null"),
            Self::InProcess(_) => formatter.write_str("InProcess(..)"),
            Self::Process { program, handler, .. } => formatter
                .debug_struct("Process")
                .field("program", program)
                .field("handler", handler)
                .finish_non_exhaustive(),
        }
    }
}
