//! Private Python virtual environments, made once and shared by all runs.
//!
//! The machine's own Python is never changed: packages are installed into a virtual environment below the target directory. Its name depends on the pinned
//! packages and the interpreter. What is in it is executed, so that nobody else may write to it.

use std::fs::{self, File};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::workspace::private::{self, TMPDIR, TemporaryDirectory};

/// The file that is written last: a directory without it is incomplete and is made again.
const MARKER: &str = "complete";
/// Maximum number of lines of a failed command's output that are shown, from the end.
const OUTPUT_LINES: usize = 15;
/// A script that prints what distinguishes two interpreters.
const IDENTITY: &str = "import platform, sys; print(platform.python_version()); print(sys.version, sys.base_prefix)";
/// The user's settings for pip and Python that would redirect the installation.
const FOREIGN: [&str; 6] =
    ["PYTHONHOME", "PYTHONPATH", "PIP_PREFIX", "PIP_REQUIRE_VIRTUALENV", "PIP_TARGET", "PIP_USER"];

/// The contents of an environment.
pub struct PythonRequirements<'w> {
    /// The name in messages to the user.
    pub name: &'w str,
    /// Requirement lines for pip. They have to be complete, because pip resolves no dependencies.
    pub requirements: &'w str,
}

/// A virtual environment.
#[derive(Clone, Debug)]
pub struct Venv {
    /// The directory that contains all environments.
    pub home: PathBuf,
    /// The name of the environment, which is part of the name of everything built with it.
    pub key: String,
}

/// Why there is no Python environment.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error(
        "{what} is missing, and Python functions, the linker zig and the WAF of layers need it; install it with: apt-get install python3 python3-venv"
    )]
    Missing { what: &'static str },
    #[error("{step} failed; its last lines were:\n{output}")]
    Failed { step: String, output: String },
    #[error("cannot write {}", path.display())]
    Write { path: PathBuf, source: io::Error },
    #[error(transparent)]
    Home(#[from] private::Error),
}

impl Venv {
    /// Finds or makes an environment of the interpreter `python` with these requirements below `home`. Waits for another process that makes the same one.
    /// `progress` is called before every slow step, and not at all if the environment exists.
    pub fn ensure(
        python: &str,
        home: &Path,
        wanted: &PythonRequirements<'_>,
        progress: &dyn Fn(&str),
    ) -> Result<Self, Error> {
        let identity = run(Command::new(python).args(["-c", IDENTITY]), "asking python3 for its version")?;
        let version = identity.lines().next().unwrap_or_default().trim();
        let key = format!("{version}-{}", digest(&(identity.as_str(), wanted.requirements)));
        // Absolute, because programs in it are started from other directories.
        let home = std::path::absolute(home).map_err(|source| Error::Write { path: home.to_owned(), source })?;
        private::ensure(&home)?;
        let venv = Self { home, key };
        let directory = venv.directory();
        once(&directory, || {
            progress(&format!("creating an environment for Python {version}"));
            run(Command::new(python).args(["-m", "venv"]).arg(&directory), "python3 -m venv")?;
            let pins = directory.join("requirements.txt");
            fs::write(&pins, wanted.requirements).map_err(|source| Error::Write { path: pins.clone(), source })?;
            let step = format!("installing {}", wanted.name);
            progress(&step);
            let mut pip = venv.pip();
            pip.arg("--no-deps").arg("--requirement").arg(&pins);
            run(&mut pip, &step).map(drop)
        })?;
        Ok(venv)
    }

    pub fn directory(&self) -> PathBuf {
        self.home.join(&self.key)
    }

    pub fn python(&self) -> PathBuf {
        self.directory().join("bin/python3")
    }

    /// A `pip install` command without packages and destination.
    pub fn pip(&self) -> Command {
        let mut pip = Command::new(self.python());
        pip.args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-input"]);
        pip
    }
}

/// Makes a directory unless it is complete. One process makes it; the others wait for it.
pub fn once<E: From<Error>>(directory: &Path, make: impl FnOnce() -> Result<(), E>) -> Result<(), E> {
    let failed = |path: &Path| {
        let path = path.to_owned();
        move |source| Error::Write { path, source }
    };
    let marker = directory.join(MARKER);
    if marker.exists() {
        return Ok(());
    }
    let home = directory.parent().unwrap_or(directory);
    fs::create_dir_all(home).map_err(failed(home))?;
    let lock_path = directory.with_added_extension("lock");
    let lock = File::create(&lock_path).map_err(failed(&lock_path))?;
    // The lock is released with the file, also if this process is killed.
    lock.lock().map_err(failed(&lock_path))?;
    if marker.exists() {
        return Ok(());
    }
    if directory.exists() {
        fs::remove_dir_all(directory).map_err(failed(directory))?;
    }
    make()?;
    File::create(&marker).map_err(failed(&marker))?;
    Ok(())
}

/// Runs a command to its end and returns what it printed.
pub fn run(command: &mut Command, step: &str) -> Result<String, Error> {
    for variable in FOREIGN {
        command.env_remove(variable);
    }
    end_with_us(command);
    // What it leaves there is removed, and a process of its own is found there, by the next run if this one is killed.
    let temporary = temporary()?;
    let output = match command.env(TMPDIR, temporary.path()).output() {
        Ok(output) => output,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Err(Error::Missing { what: "python3" }),
        Err(error) => return Err(Error::Failed { step: step.to_owned(), output: error.to_string() }),
    };
    let printed = String::from_utf8_lossy(&output.stdout).into_owned();
    if output.status.success() {
        return Ok(printed);
    }
    let all = printed + &String::from_utf8_lossy(&output.stderr);
    // Debian packages the part of the module that installs pip separately.
    if all.contains("ensurepip is not available") || all.contains("No module named venv") {
        return Err(Error::Missing { what: "Python's venv module" });
    }
    if all.contains("No module named pip") {
        return Err(Error::Missing { what: "pip" });
    }
    Err(Error::Failed { step: step.to_owned(), output: last_lines(&all) })
}

/// A directory for the temporary files of a command.
pub(crate) fn temporary() -> Result<TemporaryDirectory, Error> {
    TemporaryDirectory::new().map_err(|source| Error::Write { path: std::env::temp_dir(), source })
}

/// The end of a failed command's output, where most commands say why.
pub fn last_lines(output: &str) -> String {
    let lines: Vec<&str> = output.lines().collect();
    lines.get(lines.len().saturating_sub(OUTPUT_LINES)..).unwrap_or_default().join("\n")
}

/// Ends a command if this process is killed, so that nobody writes to a directory whose lock is gone.
#[expect(unsafe_code, reason = "the only way to act in the child between fork and exec")]
pub(crate) fn end_with_us(command: &mut Command) {
    let hook = || Ok(nix::sys::prctl::set_pdeathsig(nix::sys::signal::Signal::SIGTERM)?);
    // SAFETY: between fork and exec only async-signal-safe calls are allowed, and `prctl` is one.
    unsafe { command.pre_exec(hook) };
}

/// A hash that may change with the release of the compiler, which costs one more installation.
pub fn digest(value: &(impl Hash + ?Sized)) -> String {
    let mut hasher = DefaultHasher::new();
    value.hash(&mut hasher);
    format!("{:016x}", hasher.finish())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::executable;

    /// A fake interpreter that answers the question for its version and then runs `rest`.
    fn python(directory: &Path, rest: &str) -> String {
        let path = directory.join("python3");
        let script = format!("#!/bin/sh\ncase $1 in -c) echo 3.11.0; exit 0;; esac\n{rest}\n");
        executable::write(&path, script).unwrap();
        path.to_str().unwrap().to_owned()
    }

    fn ensure(python: &str, home: &Path) -> Result<Venv, Error> {
        Venv::ensure(python, home, &PythonRequirements { name: "nothing", requirements: "" }, &|_| ())
    }

    #[test]
    fn a_missing_interpreter_is_named_with_its_cure() {
        let directory = tempfile::tempdir().unwrap();
        let error = ensure("/nonexistent/python3", directory.path()).unwrap_err();
        assert!(matches!(error, Error::Missing { what: "python3" }));
        assert!(error.to_string().contains("apt-get install python3 python3-venv"), "{error}");
    }

    #[test]
    fn missing_venv_module_has_an_error_of_its_own() {
        let directory = tempfile::tempdir().unwrap();
        let bare = python(directory.path(), "echo 'ensurepip is not available.'; exit 1");
        let error = ensure(&bare, directory.path()).unwrap_err();
        assert!(matches!(error, Error::Missing { what: "Python's venv module" }), "{error}");

        let broken = python(directory.path(), "echo 'disk on fire' >&2; exit 1");
        let error = ensure(&broken, directory.path()).unwrap_err();
        assert!(
            error.to_string().contains("python3 -m venv failed") && error.to_string().contains("disk on fire"),
            "{error}"
        );
    }

    #[test]
    fn what_another_user_has_planted_is_not_executed() {
        let directory = tempfile::tempdir().unwrap();
        let home = directory.path().join("python");
        fs::create_dir(&home).unwrap();
        if std::os::unix::fs::chown(&home, Some(65_534), None).is_err() {
            println!("not tested: only root can give files away");
            return;
        }
        let whole = python(directory.path(), "mkdir -p $3/bin && cp $0 $3/bin/python3");
        assert!(matches!(ensure(&whole, &home), Err(Error::Home(private::Error::Foreign { .. }))));
    }

    #[test]
    fn what_was_interrupted_is_made_anew() {
        let directory = tempfile::tempdir().unwrap();
        let made = directory.path().join("made");
        let fill = |content: &'static str| {
            let path = made.join("file");
            move || {
                fs::create_dir_all(path.parent().unwrap()).unwrap();
                assert!(!path.exists(), "what an interrupted run has left");
                fs::write(&path, content).map_err(|source| Error::Write { path, source })
            }
        };
        once(&made, fill("interrupted")).unwrap();
        fs::remove_file(made.join(MARKER)).unwrap();
        once(&made, fill("whole")).unwrap();
        once::<Error>(&made, || unreachable!("it is complete")).unwrap();
        assert_eq!(fs::read_to_string(made.join("file")).unwrap(), "whole");
    }
}
