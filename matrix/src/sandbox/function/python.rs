//! A Python environment with Lambda's runtime interface client.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use crate::venv::{Error, PythonRequirements, Venv, digest, once, run};

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
        Venv::ensure("python3", &target_dir.join("python"), &RUNTIME_CLIENT, &progress).map(Self)
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

    /// Installs the `requirements.txt` of a function and returns the directory for `PYTHONPATH`; `None` without such a file. Functions with the same
    /// requirements share a directory.
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
