//! Functions: the null function, code in this process, or any program that implements the Runtime API.

mod handler;
mod local_packages;
pub mod node;
mod node_sdk;
mod npm;
mod pyproject;
pub mod python;
mod requirements;
pub(crate) mod tree;
mod uv_lock;

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

pub use self::handler::{Call, Handler, HandlerOutcome, InitError};
pub(crate) use self::handler::{HandlerEnvironment, Null};

/// A function.
#[derive(Clone)]
pub enum Function {
    /// Responds to every event with `null` at once. It is a thread of this process that uses the real Runtime API over HTTP and has nothing to initialize, so
    /// only the platform and the extensions take time.
    Null,
    /// Code in this process behind the real Runtime API. Threads cannot be frozen or killed. A handler that is still running when its environment ends is
    /// abandoned, and nothing it does affects a later environment. With `AWS_LWA_LAMBDA_RUNTIME_API_PROXY` in the environment it goes to that address, as the
    /// Lambda Web Adapter does.
    InProcess(Arc<dyn Handler>),
    /// An executable that implements the Runtime API.
    Process {
        /// The program.
        program: PathBuf,
        /// Its arguments.
        arguments: Vec<String>,
        /// `LAMBDA_TASK_ROOT`, and the working directory.
        task_root: PathBuf,
        /// `_HANDLER`.
        handler: String,
        /// Variables of the function alone, which override all others.
        environment: BTreeMap<String, String>,
    },
}

impl Function {
    /// The null function.
    pub fn null() -> Self {
        Self::Null
    }

    /// A function from a closure.
    pub fn from_fn(handle: impl Fn(&Call<'_>) -> HandlerOutcome + Send + Sync + 'static) -> Self {
        Self::InProcess(Arc::new(handle))
    }

    /// A custom runtime: an executable in its own directory, without arguments.
    pub fn program(program: impl Into<PathBuf>) -> Self {
        let program = program.into();
        let task_root = program.parent().map_or_else(|| PathBuf::from("/"), PathBuf::from);
        let handler = "function.handler".to_owned();
        Self::Process { program, arguments: Vec::new(), task_root, handler, environment: BTreeMap::new() }
    }

    /// The directory of its code, if it is a program.
    pub(crate) fn task_root(&self) -> Option<&Path> {
        match self {
            Self::Null | Self::InProcess(_) => None,
            Self::Process { task_root, .. } => Some(task_root),
        }
    }

    pub(crate) fn handler(&self) -> &str {
        match self {
            Self::Null | Self::InProcess(_) => "function.handler",
            Self::Process { handler, .. } => handler,
        }
    }

    /// The runtime version in telemetry. Known for functions of this process only; a program may be any runtime.
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
