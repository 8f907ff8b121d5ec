//! A Python environment with Lambda's runtime interface client.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use super::requirements::{Copy, Requirements};
use crate::venv::{Error, PythonRequirements, Venv, once, run};

/// Pinned versions of the runtime interface client and its dependencies.
const RUNTIME_CLIENT: PythonRequirements<'_> =
    PythonRequirements { name: "awslambdaric", requirements: include_str!("python-requirements.txt") };

/// A virtual environment in which `awslambdaric` is installed.
#[derive(Clone, Debug)]
pub struct PythonEnvironment(Venv);

/// The command that starts a Python function. Its working directory has to be the function's, where the runtime interface client looks for the handler.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PythonCommand {
    pub program: PathBuf,
    pub arguments: Vec<String>,
}

impl PythonEnvironment {
    /// Finds or makes the environment below `target_dir`. Waits for another process that makes the same one. `progress` is called before every slow step, and
    /// not at all if the environment exists.
    pub fn ensure(target_dir: &Path, progress: impl Fn(&str)) -> Result<Self, Error> {
        Self::of_runtime(target_dir, None, progress)
    }

    /// As [`Self::ensure`], with the interpreter of a runtime such as `python3.12` if this machine has it, and otherwise with its `python3`.
    pub fn of_runtime(target_dir: &Path, runtime: Option<&str>, progress: impl Fn(&str)) -> Result<Self, Error> {
        let home = target_dir.join("python");
        let is_there = |name: &&str| name.starts_with("python3.") && is_interpreter(name);
        let interpreter = runtime.filter(is_there).unwrap_or("python3");
        Venv::ensure(interpreter, &home, &RUNTIME_CLIENT, &progress).map(Self)
    }

    /// Installs AWS's SDK, which Lambda's own runtimes have, and returns the directory for `PYTHONPATH`.
    pub fn sdk(&self, progress: impl Fn(&str)) -> Result<PathBuf, Error> {
        let Venv { home, key } = &self.0;
        let directory = home.join(format!("{key}-sdk"));
        once(&directory, || {
            let step = "installing boto3, which Lambda's runtimes have";
            progress(step);
            run(self.0.pip().arg("--target").arg(&directory).arg("boto3"), step).map(drop)
        })?;
        Ok(directory)
    }

    /// The interpreter's major and minor version, such as `3.11`, after which Lambda names its runtimes.
    pub fn version(&self) -> &str {
        let version = self.0.key.split('-').next().unwrap_or_default();
        version.rsplit_once('.').map_or(version, |(version, _)| version)
    }

    /// The command that starts the function with the handler `module.function`.
    pub fn command(&self, handler: &str) -> PythonCommand {
        let arguments = ["-m", "awslambdaric", handler].map(str::to_owned).to_vec();
        PythonCommand { program: self.0.python(), arguments }
    }

    /// Installs what a function requires and returns the directory for `PYTHONPATH`; `None` if it requires nothing. Functions with the same requirements share
    /// a directory. Nothing is written to that of the function: packages in it are built from a copy.
    pub fn packages(&self, function_dir: &Path, progress: impl Fn(&str)) -> Result<Option<PathBuf>, Error> {
        let Some(requirements) = Requirements::of(function_dir)? else { return Ok(None) };
        let Venv { home, key } = &self.0;
        let directory = home.join(format!("{key}-packages-{}", requirements.key));
        once(&directory, || {
            let step = format!("installing {}", requirements.source.display());
            progress(&step);
            let copy = requirements.copy(function_dir)?;
            let mut pip = self.0.pip();
            pip.arg("--target").arg(&directory).args(["--requirement", "requirements.txt"]);
            run(pip.current_dir(copy.as_ref().map_or(function_dir, Copy::path)), &step).map(drop)
        })?;
        Ok(Some(directory))
    }
}

/// Whether this machine has an interpreter of this name. Version managers have programs of the names of interpreters that they cannot start.
fn is_interpreter(name: &str) -> bool {
    let asked = Command::new(name).arg("--version").stdin(Stdio::null()).output();
    asked.is_ok_and(|output| output.status.success())
}
