//! A Node environment with Lambda's runtime interface client.

use std::ffi::OsStr;
use std::fs;
use std::io;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::local_packages;
use super::npm::Dependencies;
use super::tree;
use crate::venv::{self, digest, end_with_us, last_lines, once};
use crate::workspace::private::{self, TMPDIR, TemporaryDirectory};

/// The runtime interface client and its dependencies, with the hashes of their files.
const MANIFEST: &str = include_str!("node/package.json");
const LOCK: &str = include_str!("node/package-lock.json");
/// The package of the client.
const CLIENT: &str = "aws-lambda-ric";
/// The client's own scripts: they build the libraries of its native module, and then that.
const SCRIPTS: [&str; 2] = ["scripts/preinstall.sh", "scripts/postinstall.sh"];
/// The oldest major version of Node that is known to run the client.
const OLDEST: u32 = 20;
/// A script that prints where the interpreter is, its version, and what distinguishes it from another one of that version.
const IDENTITY: &str = "console.log(process.execPath); console.log(process.versions.node); console.log(process.arch, process.versions.modules)";
/// The user's settings that would change what is installed, or how a function finds it.
const FOREIGN: [&str; 2] = ["NODE_OPTIONS", "NODE_PATH"];
/// The programs that the native module is built with, and Debian's packages of them.
const BUILD_TOOLS: [(&str, &str); 6] =
    [("npm", "npm"), ("cmake", "cmake"), ("make", "make"), ("g++", "g++"), ("python3", "python3"), ("xz", "xz-utils")];
/// The directory of installed packages, at any level of a function's directory.
pub(super) const MODULES: &str = "node_modules";

/// Why there is no Node environment.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("{tool} is missing, and Node functions need it; install it with: apt-get install {package}")]
    Missing { tool: &'static str, package: &'static str },
    #[error("Node {version} is installed, and Node functions need {oldest} or later; install it from https://nodejs.org", oldest = OLDEST)]
    Old { version: String },
    #[error("{step} failed; its last lines were:\n{output}")]
    Failed { step: String, output: String },
    #[error("{} is not a package.json", path.display())]
    Manifest { path: PathBuf, source: serde_json::Error },
    #[error("the package {name} is to be at {}, as package.json says, and there is nothing", path.display())]
    NoLocalPackage { name: String, path: PathBuf },
    #[error("cannot copy the function or its packages: {}", path.display())]
    Copy { path: PathBuf, source: io::Error },
    #[error(transparent)]
    Cache(#[from] venv::Error),
}

/// A Node interpreter and a directory in which `aws-lambda-ric` is installed.
#[derive(Clone, Debug)]
pub struct NodeEnvironment {
    /// The directory of all environments and packages.
    home: PathBuf,
    /// The name of this one.
    key: String,
    interpreter: Interpreter,
}

#[derive(Clone, Debug, Hash)]
struct Interpreter {
    program: PathBuf,
    /// Such as `22.14.0`.
    version: String,
    /// What else its native modules depend on.
    abi: String,
}

/// What is installed for a function.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Packages {
    /// Its `node_modules`.
    pub directory: PathBuf,
    /// Whether packages of AWS's SDK are in it that the function does not require.
    pub has_sdk: bool,
}

/// The command that starts a Node function.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NodeCommand {
    pub program: PathBuf,
    pub arguments: Vec<String>,
}

impl NodeEnvironment {
    /// Finds or makes the environment below `target_dir`: the client's native module is compiled, which takes about a minute. Waits for another process that
    /// makes the same one. `progress` is called before every slow step, and not at all if the environment exists.
    pub fn ensure(target_dir: &Path, progress: impl Fn(&str)) -> Result<Self, Error> {
        let path = std::env::var_os("PATH").unwrap_or_default();
        let home = target_dir.join("node");
        let home = std::path::absolute(&home).map_err(|source| venv::Error::Write { path: home, source })?;
        // What is in it is executed.
        private::ensure(&home).map_err(venv::Error::from)?;
        let interpreter = Interpreter::find("node")?;
        let key = format!("{}-{}", interpreter.version, digest(&(&interpreter, MANIFEST, LOCK)));
        let environment = Self { home, key, interpreter };
        let directory = environment.directory();
        once(&directory, || {
            require(&BUILD_TOOLS, &path)?;
            progress(&format!("installing {CLIENT}"));
            write(&directory, "package.json", MANIFEST)?;
            write(&directory, "package-lock.json", LOCK)?;
            // No package but the client has anything to build.
            run(npm("ci").arg("--ignore-scripts").current_dir(&directory), &format!("installing {CLIENT}"))?;
            progress(&format!("building {CLIENT}, once, which takes about a minute"));
            SCRIPTS.iter().try_for_each(|script| {
                let mut build = Command::new("sh");
                build.arg(script).current_dir(environment.client());
                if let Some(headers) = environment.interpreter.headers() {
                    build.env("npm_config_nodedir", headers);
                }
                run(&mut build, &format!("building {CLIENT} ({script})"))
            })
        })?;
        Ok(environment)
    }

    /// The interpreter's major version, such as `22`, after which Lambda names its runtimes.
    pub fn version(&self) -> &str {
        self.interpreter.version.split('.').next().unwrap_or_default()
    }

    /// The command that starts the function with the handler `module.function`.
    pub fn command(&self, handler: &str) -> NodeCommand {
        let client = self.client().join("index.mjs").display().to_string();
        NodeCommand { program: self.interpreter.program.clone(), arguments: vec![client, handler.to_owned()] }
    }

    /// Installs what the `package.json` of a function depends on, and AWS's SDK if the function imports it. `None` if it depends on nothing, or has them installed.
    /// Functions with the same dependencies share a directory.
    pub fn packages(&self, function_dir: &Path, progress: impl Fn(&str)) -> Result<Option<Packages>, Error> {
        if function_dir.join(MODULES).exists() {
            return Ok(None);
        }
        let Some(dependencies) = Dependencies::of(function_dir)? else { return Ok(None) };
        let directory =
            self.home.join(format!("{}-packages-{}", self.key, dependencies.key(self.interpreter.prefix())));
        once(&directory, || {
            require(&BUILD_TOOLS[..1], &std::env::var_os("PATH").unwrap_or_default())?;
            let step = format!("installing the packages of {}", function_dir.display());
            progress(&step);
            install(&dependencies, &directory, &step)
        })?;
        Ok(Some(Packages { directory: directory.join(MODULES), has_sdk: dependencies.adds_sdk }))
    }

    fn directory(&self) -> PathBuf {
        self.home.join(&self.key)
    }

    fn client(&self) -> PathBuf {
        self.directory().join(MODULES).join(CLIENT)
    }
}

impl Interpreter {
    fn find(program: &str) -> Result<Self, Error> {
        let output = match command(program).args(["--eval", IDENTITY]).output() {
            Ok(output) => output,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Err(Error::Missing { tool: "node", package: "nodejs" });
            }
            Err(error) => return Err(Error::Failed { step: program.to_owned(), output: error.to_string() }),
        };
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let mut lines = text.lines();
        match (lines.next(), lines.next(), lines.next()) {
            (Some(_), Some(version), Some(_)) if output.status.success() && is_old(version) => {
                Err(Error::Old { version: version.to_owned() })
            }
            (Some(program), Some(version), Some(abi)) if output.status.success() => {
                Ok(Self { program: PathBuf::from(program), version: version.to_owned(), abi: abi.to_owned() })
            }
            _ => {
                let output = last_lines(&(text + &String::from_utf8_lossy(&output.stderr)));
                Err(Error::Failed { step: format!("asking {program} for its version"), output })
            }
        }
    }

    /// The directory below which it is installed.
    fn prefix(&self) -> Option<&Path> {
        self.program.parent()?.parent()
    }

    /// The directory that has the interpreter's own headers, if they are installed; otherwise its build tool downloads them.
    fn headers(&self) -> Option<&Path> {
        let prefix = self.prefix()?;
        prefix.join("include/node/node_api.h").exists().then_some(prefix)
    }
}

fn is_old(version: &str) -> bool {
    version.split('.').next().and_then(|major| major.parse().ok()).is_some_and(|major: u32| major < OLDEST)
}

/// A copy of a function. Dropping it removes it.
#[derive(Debug)]
pub(crate) struct FunctionCopy {
    pub directory: PathBuf,
    _home: TemporaryDirectory,
}

/// Copies a function beside its packages, as in a deployment package: Node looks for modules next to the file that imports them.
pub(crate) fn deployed(function_dir: &Path, packages: &Path) -> Result<FunctionCopy, Error> {
    let failed = |path: &Path| {
        let path = path.to_owned();
        move |source| Error::Copy { path, source }
    };
    let home = TemporaryDirectory::new().map_err(failed(function_dir))?;
    let directory = home.readable("function").map_err(failed(function_dir))?;
    tree::copy(function_dir, &directory).map_err(|(path, source)| Error::Copy { path, source })?;
    symlink(packages, directory.join(MODULES)).map_err(failed(packages))?;
    Ok(FunctionCopy { directory, _home: home })
}

/// Has npm install dependencies below a new directory.
fn install(dependencies: &Dependencies, directory: &Path, step: &str) -> Result<(), Error> {
    let copies = directory.join("local");
    let place = if dependencies.local.is_empty() { directory.to_owned() } else { dependencies.local.copy(&copies)? };
    let _secrets = dependencies.write(&place)?;
    let mut npm = match &dependencies.lock {
        // With a lock file, npm installs what that names, and nothing whose hash is another.
        Some(_) if dependencies.local.is_empty() && !dependencies.adds_sdk => npm("ci"),
        _ => npm("install"),
    };
    // npm links to some local packages nevertheless.
    run(npm.args(["--omit=dev", "--install-links"]).current_dir(&place), step)?;
    if dependencies.local.is_empty() {
        return Ok(());
    }
    let modules = place.join(MODULES);
    local_packages::replace_links(&modules)?;
    let moved = fs::rename(&modules, directory.join(MODULES)).and_then(|()| fs::remove_dir_all(&copies));
    moved.map_err(|source| Error::Copy { path: modules, source })
}

fn require(tools: &[(&'static str, &'static str)], path: &OsStr) -> Result<(), Error> {
    let is_there = |tool: &str| std::env::split_paths(path).any(|directory| directory.join(tool).is_file());
    match tools.iter().find(|(tool, _)| !is_there(tool)) {
        Some((tool, package)) => Err(Error::Missing { tool, package }),
        None => Ok(()),
    }
}

fn command(program: &str) -> Command {
    let mut command = Command::new(program);
    for variable in FOREIGN {
        command.env_remove(variable);
    }
    command
}

fn npm(subcommand: &str) -> Command {
    let mut npm = command("npm");
    npm.args([subcommand, "--no-audit", "--no-fund"]);
    npm
}

fn run(command: &mut Command, step: &str) -> Result<(), Error> {
    let failed = |output: String| Error::Failed { step: step.to_owned(), output };
    end_with_us(command);
    let temporary = venv::temporary()?;
    let output = command.env(TMPDIR, temporary.path()).output().map_err(|error| failed(error.to_string()))?;
    if output.status.success() {
        return Ok(());
    }
    let text = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    Err(failed(last_lines(&text)))
}

fn write(directory: &Path, name: &str, content: &str) -> Result<(), Error> {
    let path = directory.join(name);
    let written = fs::create_dir_all(directory).and_then(|()| fs::write(&path, content));
    written.map_err(|source| venv::Error::Write { path, source }.into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::executable;

    #[test]
    fn a_missing_tool_is_named_with_its_package() {
        let error = Interpreter::find("/nonexistent/node").unwrap_err();
        assert!(
            error
                .to_string()
                .ends_with("node is missing, and Node functions need it; install it with: apt-get install nodejs"),
            "{error}"
        );

        let directory = tempfile::tempdir().unwrap();
        for tool in ["npm", "cmake", "make", "python3", "xz"] {
            executable::write(&directory.path().join(tool), "").unwrap();
        }
        let error = require(&BUILD_TOOLS, directory.path().as_os_str()).unwrap_err();
        assert!(matches!(error, Error::Missing { tool: "g++", .. }), "{error}");
        executable::write(&directory.path().join("g++"), "").unwrap();
        require(&BUILD_TOOLS, directory.path().as_os_str()).unwrap();
    }

    #[test]
    fn what_another_user_has_planted_is_not_executed() {
        let directory = tempfile::tempdir().unwrap();
        let home = directory.path().join("node");
        fs::create_dir(&home).unwrap();
        if std::os::unix::fs::chown(&home, Some(65_534), None).is_err() {
            println!("not tested: only root can give files away");
            return;
        }
        let refused = NodeEnvironment::ensure(directory.path(), |_| ()).unwrap_err();
        assert!(matches!(refused, Error::Cache(venv::Error::Home(private::Error::Foreign { .. }))), "{refused}");
    }

    #[test]
    fn failing_outdated_and_missing_interpreters_have_different_errors() {
        let directory = tempfile::tempdir().unwrap();
        let node = directory.path().join("node");
        executable::write(&node, "#!/bin/sh\necho 'no memory' >&2\nexit 1\n").unwrap();
        let error = Interpreter::find(node.to_str().unwrap()).unwrap_err();
        assert!(matches!(&error, Error::Failed { output, .. } if output == "no memory"), "{error}");

        executable::write(&node, "#!/bin/sh\necho /usr/bin/node\necho 18.20.4\necho x64 108\n").unwrap();
        let error = Interpreter::find(node.to_str().unwrap()).unwrap_err();
        assert!(error.to_string().starts_with("Node 18.20.4 is installed, and Node functions need 20"), "{error}");
        executable::write(&node, "#!/bin/sh\necho /usr/bin/node\necho 20.1.0\necho x64 115\n").unwrap();
        assert_eq!(Interpreter::find(node.to_str().unwrap()).unwrap().version, "20.1.0");
    }

    #[test]
    fn packages_come_from_the_registry_of_the_function_with_its_token() {
        use std::io::{Read as _, Write as _};
        use std::net::TcpListener;

        if !Command::new("npm").arg("--version").output().is_ok_and(|output| output.status.success()) {
            println!("not tested: npm is not installed");
            return;
        }
        let registry = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = registry.local_addr().unwrap();
        let asked = std::thread::spawn(move || {
            let (mut connection, _) = registry.accept().unwrap();
            let (mut request, mut chunk) = (Vec::new(), [0; 4096]);
            while !request.windows(4).any(|end| end == b"\r\n\r\n") {
                let length = connection.read(&mut chunk).unwrap();
                request.extend_from_slice(&chunk[..length]);
            }
            connection
                .write_all(b"HTTP/1.1 404 Not Found\r\nContent-Length: 2\r\nConnection: close\r\n\r\n{}")
                .unwrap();
            String::from_utf8(request).unwrap()
        });
        let (home, function) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let write = |name: &str, text: String| fs::write(function.path().join(name), text).unwrap();
        write("package.json", r#"{"dependencies": {"own": "1.0.0"}, "scripts": {"preinstall": "exit 7"}}"#.to_owned());
        write(".npmrc", format!("registry=http://{address}/\n//{address}/:_authToken=secret\nfetch-retries=0\n"));
        let interpreter = Interpreter { program: "node".into(), version: "22.0.0".to_owned(), abi: String::new() };
        let environment = NodeEnvironment { home: home.path().to_owned(), key: "key".to_owned(), interpreter };
        let error = environment.packages(function.path(), |_| ()).unwrap_err().to_string();
        assert!(error.contains("404"), "{error}");
        let asked = asked.join().unwrap();
        assert!(asked.starts_with("GET /own ") && asked.contains("Bearer secret"), "{asked}");
    }

    #[test]
    fn a_deployed_function_has_its_files_and_the_packages() {
        let function = tempfile::tempdir().unwrap();
        let packages = tempfile::tempdir().unwrap();
        fs::create_dir_all(function.path().join("lib")).unwrap();
        fs::write(function.path().join("index.mjs"), "import './lib/a.mjs'").unwrap();
        fs::write(function.path().join("lib/a.mjs"), "1").unwrap();
        fs::create_dir_all(packages.path().join("left-pad")).unwrap();
        let copy = deployed(function.path(), packages.path()).unwrap();
        let place = |name: &str| copy.directory.join(name);
        assert_eq!(fs::read_to_string(place("lib/a.mjs")).unwrap(), "1");
        assert!(place("index.mjs").exists() && place("node_modules/left-pad").is_dir());
    }
}
