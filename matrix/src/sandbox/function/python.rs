//! A Python environment with Lambda's runtime interface client.

use std::fs;
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

    /// As [`Self::ensure`], with the interpreter of a runtime such as `python3.12` if this machine has it, in `PATH` or by pyenv or uv, and otherwise with its `python3`.
    pub fn of_runtime(target_dir: &Path, runtime: Option<&str>, progress: impl Fn(&str)) -> Result<Self, Error> {
        let home = target_dir.join("python");
        let named = runtime.filter(|name| name.starts_with("python3."));
        let interpreter = named.and_then(|name| interpreter(name, &managed(&std::env::home_dir().unwrap_or_default())));
        Venv::ensure(interpreter.as_deref().unwrap_or("python3"), &home, &RUNTIME_CLIENT, &progress).map(Self)
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

/// An interpreter of this name, such as `python3.12`: that in `PATH`, or the latest one below `places`, each of which has a directory for each version.
fn interpreter(name: &str, places: &[PathBuf]) -> Option<String> {
    if is_interpreter(name) {
        return Some(name.to_owned());
    }
    let version = format!("{}.", name.strip_prefix("python")?);
    let directories = places.iter().filter_map(|place| fs::read_dir(place).ok()).flatten().flatten();
    let found = directories.filter_map(|directory| {
        let named = directory.file_name().to_string_lossy().into_owned();
        let rest = named.strip_prefix("cpython-").unwrap_or(&named).strip_prefix(&version)?;
        let patch: u32 = rest.split(|other: char| !other.is_ascii_digit()).next()?.parse().ok()?;
        Some((patch, directory.path().join("bin").join(name).display().to_string()))
    });
    found.filter(|(_, program)| is_interpreter(program)).max().map(|(_, program)| program)
}

/// The directories in which pyenv and uv install interpreters for a user with this home.
fn managed(home: &Path) -> [PathBuf; 2] {
    let of_variable = |name: &str| std::env::var_os(name).map(PathBuf::from);
    let pyenv = of_variable("PYENV_ROOT").unwrap_or_else(|| home.join(".pyenv")).join("versions");
    let data = of_variable("XDG_DATA_HOME").unwrap_or_else(|| home.join(".local/share"));
    [pyenv, of_variable("UV_PYTHON_INSTALL_DIR").unwrap_or_else(|| data.join("uv/python"))]
}

/// Whether this machine has an interpreter of this name. Version managers have programs of the names of interpreters that they cannot start.
fn is_interpreter(name: &str) -> bool {
    let asked = Command::new(name).arg("--version").stdin(Stdio::null()).output();
    asked.is_ok_and(|output| output.status.success())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::executable;

    #[test]
    fn the_latest_interpreter_of_a_version_manager_is_found() {
        let home = tempfile::tempdir().unwrap();
        let name = "python3.987";
        for (version, status) in
            [("3.987.2", 0), ("3.987.10", 0), ("3.987.11", 1), ("3.98.70", 0), ("cpython-3.987.9-linux", 0)]
        {
            let directory = home.path().join(version).join("bin");
            fs::create_dir_all(&directory).unwrap();
            executable::write(&directory.join(name), format!("#!/bin/sh\nexit {status}\n")).unwrap();
        }
        let expected = home.path().join("3.987.10/bin").join(name).display().to_string();
        assert_eq!(interpreter(name, &[home.path().join("none"), home.path().to_owned()]), Some(expected));
        assert_eq!(interpreter("python3.986", &[home.path().to_owned()]), None);
        assert_eq!(interpreter("python3", &[]).as_deref(), Some("python3"));
    }
}
