//! A Python environment with Lambda's runtime client.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use crate::venv::{Error, PythonRequirements, Venv, digest, once, run};

/// Exact versions of the runtime client and its dependencies.
const RUNTIME_CLIENT: PythonRequirements<'_> =
    PythonRequirements { name: "awslambdaric", requirements: include_str!("python-requirements.txt") };

/// A virtual environment in which `awslambdaric` is installed.
#[derive(Clone, Debug)]
pub struct PythonEnvironment(Venv);

/// How a Python function is started. The working directory has to be the function's: the runtime client looks for the handler there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PythonCommand {
    pub program: PathBuf,
    pub arguments: Vec<String>,
}

impl PythonEnvironment {
    /// Makes the environment below `target_dir`, or finds it there. Another process that makes the same one is waited for.
    /// `progress` hears of every step that takes time; it hears nothing when the environment is there already.
    pub fn ensure(target_dir: &Path, progress: impl Fn(&str)) -> Result<Self, Error> {
        Venv::ensure("python3", &target_dir.join("python"), &RUNTIME_CLIENT, &progress).map(Self)
    }

    /// The interpreter's version without its last part, such as `3.11`: what Lambda names its runtimes by.
    pub fn version(&self) -> &str {
        let version = self.0.key.split('-').next().unwrap_or_default();
        version.rsplit_once('.').map_or(version, |(version, _)| version)
    }

    /// How to start the function whose handler is `module.function`.
    pub fn command(&self, handler: &str) -> PythonCommand {
        let arguments = ["-m", "awslambdaric", handler].map(str::to_owned).to_vec();
        PythonCommand { program: self.0.python(), arguments }
    }

    /// Installs what the `requirements.txt` of a function names, and returns the directory for `PYTHONPATH`; `None` without such a file.
    /// Functions with the same requirements share one directory.
    pub fn packages(&self, function_dir: &Path, progress: impl Fn(&str)) -> Result<Option<PathBuf>, Error> {
        let file = function_dir.join("requirements.txt");
        let requirements = match fs::read_to_string(&file) {
            Ok(requirements) => requirements,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => {
                return Err(Error::Failed { step: format!("reading {}", file.display()), output: error.to_string() });
            }
        };
        let Venv { home, key } = &self.0;
        let directory = home.join(format!("{key}-packages-{}", digest(&requirements)));
        once(&directory, || {
            let step = format!("installing {}", file.display());
            progress(&step);
            let mut pip = self.0.pip();
            pip.arg("--target").arg(&directory).args(["--requirement", "requirements.txt"]).current_dir(function_dir);
            run(&mut pip, &step).map(drop)
        })?;
        Ok(Some(directory))
    }
}
