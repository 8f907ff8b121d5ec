//! The function that is invoked, and its event.

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, Read};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use super::arguments::Arguments;
use super::error::Error;

/// The handlers in the order in which they are looked for; AWS's own default comes first.
const HANDLERS: [&str; 4] = ["lambda_function.lambda_handler", "app.handler", "index.handler", "handler.handler"];
/// Of Node's modules, in the order in which the runtime client looks for them.
const NODE_EXTENSIONS: [&str; 3] = ["js", "mjs", "cjs"];

/// The function that a command line names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    Null,
    Python { directory: PathBuf, handler: String },
    Node { directory: PathBuf, handler: String },
    Program { directory: PathBuf, program: PathBuf, handler: String },
}

impl Target {
    /// Finds the function. Rejects what cannot work before anything is built.
    pub fn of(arguments: &Arguments) -> Result<Self, Error> {
        if arguments.function == Path::new("null") {
            return match (&arguments.handler, &arguments.program) {
                (Some(_), _) => Err(Error::NullOption { option: "handler" }),
                (_, Some(_)) => Err(Error::NullOption { option: "program" }),
                (None, None) => Ok(Self::Null),
            };
        }
        let directory = found(&arguments.function, "name the directory of a function, or `null`")?;
        if !directory.is_dir() {
            return Err(Error::NotADirectory(arguments.function.clone()));
        }
        let bootstrap = directory.join("bootstrap");
        if let Some(program) = &arguments.program {
            return Self::program(directory, program, arguments);
        }
        if arguments.handler.is_none() && bootstrap.exists() {
            return Self::program(directory, &bootstrap, arguments);
        }
        let handler = match &arguments.handler {
            Some(handler) => handler.clone(),
            None => detect(&directory).ok_or_else(|| Error::NoHandler(directory.clone()))?,
        };
        let file = directory.join(module(&handler)?);
        if file.exists() {
            Ok(Self::Python { directory, handler })
        } else if is_node(&directory, &handler) {
            Ok(Self::Node { directory, handler })
        } else {
            Err(Error::NoModule { handler, file })
        }
    }

    fn program(directory: PathBuf, program: &Path, arguments: &Arguments) -> Result<Self, Error> {
        let program = executable(program)?;
        let handler = arguments.handler.clone().unwrap_or_else(|| "function.handler".to_owned());
        Ok(Self::Program { directory, program, handler })
    }

    fn directory(&self) -> Option<&Path> {
        match self {
            Self::Null => None,
            Self::Python { directory, .. } | Self::Node { directory, .. } | Self::Program { directory, .. } => {
                Some(directory)
            }
        }
    }

    /// The event, exactly as the function receives it.
    pub fn event(&self, event: Option<&str>) -> Result<Vec<u8>, Error> {
        let read = |name: &str, source| Error::EventFile { name: name.to_owned(), source };
        let text = match event {
            Some("-") => {
                let mut text = Vec::new();
                io::stdin().read_to_end(&mut text).map_err(|source| read("standard input", source))?;
                text
            }
            Some(file) if Path::new(file).is_file() => fs::read(file).map_err(|source| read(file, source))?,
            Some(json) => json.as_bytes().to_vec(),
            None => match self.directory().map(|directory| directory.join("event.json")) {
                Some(file) if file.is_file() => {
                    fs::read(&file).map_err(|source| read(&file.display().to_string(), source))?
                }
                _ => b"{}".to_vec(),
            },
        };
        match serde_json::from_slice::<serde::de::IgnoredAny>(&text) {
            Ok(_) => Ok(text),
            Err(source) => {
                let start = String::from_utf8_lossy(&text).chars().take(60).collect();
                Err(Error::Event { start, source })
            }
        }
    }
}

/// The canonical path; if there is none, the error contains the advice.
pub fn found(path: &Path, advice: &'static str) -> Result<PathBuf, Error> {
    fs::canonicalize(path).map_err(|source| Error::Read { path: path.to_owned(), advice, source })
}

/// The absolute path of an executable.
pub fn executable(path: &Path) -> Result<PathBuf, Error> {
    let failed = |reason: String| Error::Program { path: path.to_owned(), reason };
    let advice = "it has to be an executable file";
    let found = found(path, advice)?;
    let metadata = fs::metadata(&found).map_err(|source| Error::Read { path: path.to_owned(), advice, source })?;
    if !metadata.is_file() {
        return Err(failed("it is not a file".to_owned()));
    }
    if metadata.permissions().mode() & 0o111 == 0 {
        return Err(failed("it has no permission to execute".to_owned()));
    }
    Ok(found)
}

/// Environment variables of Python functions, besides those of all functions.
pub fn python_variables(version: &str, packages: Option<&Path>) -> BTreeMap<String, String> {
    // A function's code is read-only on Lambda, and a run should not leave files in the user's directory.
    let mut variables = BTreeMap::from([
        ("PYTHONDONTWRITEBYTECODE".to_owned(), "1".to_owned()),
        ("AWS_EXECUTION_ENV".to_owned(), format!("AWS_Lambda_python{version}")),
    ]);
    if let Some(packages) = packages {
        variables.insert("PYTHONPATH".to_owned(), packages.display().to_string());
    }
    variables
}

/// Environment variables of Node functions, besides those of all functions.
pub fn node_variables(version: &str) -> BTreeMap<String, String> {
    BTreeMap::from([("AWS_EXECUTION_ENV".to_owned(), format!("AWS_Lambda_nodejs{version}.x"))])
}

fn detect(directory: &Path) -> Option<String> {
    let is_python = |handler: &str| module(handler).is_ok_and(|file| directory.join(file).is_file());
    let exists = |handler: &&&str| is_python(handler) || is_node(directory, handler);
    HANDLERS.iter().find(exists).map(|handler| (*handler).to_owned())
}

/// The file of a handler's module; packages are separated by dots or slashes.
fn module(handler: &str) -> Result<PathBuf, Error> {
    match handler.rsplit_once('.') {
        Some((module, function)) if !module.is_empty() && !function.is_empty() => {
            Ok(PathBuf::from(format!("{}.py", module.replace('.', "/"))))
        }
        _ => Err(Error::Handler(handler.to_owned())),
    }
}

/// Whether the runtime client for Node would find the module of a handler. What is in `node_modules` may be installed later.
fn is_node(directory: &Path, handler: &str) -> bool {
    let (folder, file) = handler.rsplit_once('/').unwrap_or(("", handler));
    let module = file.split('.').next().filter(|module| !module.is_empty());
    let module = module.map(|module| Path::new(folder).join(module));
    module.is_some_and(|module| {
        let is_file = |extension: &&str| directory.join(module.with_added_extension(extension)).is_file();
        NODE_EXTENSIONS.iter().any(is_file)
            || (module.starts_with("node_modules") && directory.join("package.json").is_file())
    })
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;
    use crate::executable;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        arguments: Arguments,
    }

    fn target(directory: &Path, rest: &[&str]) -> Result<Target, Error> {
        let directory = directory.to_str().unwrap();
        let line = ["invoke", directory].into_iter().chain(rest.iter().copied());
        Target::of(&Line::try_parse_from(line).unwrap().arguments)
    }

    fn directory_with(files: &[&str]) -> tempfile::TempDir {
        let directory = tempfile::tempdir().unwrap();
        for file in files {
            fs::write(directory.path().join(file), "{\"from\": \"the directory\"}").unwrap();
        }
        directory
    }

    #[test]
    fn the_handler_is_that_of_the_file_that_is_there() {
        let handler_of = |files: &[&str]| match target(directory_with(files).path(), &[]) {
            Ok(Target::Python { handler, .. }) => handler,
            other => panic!("{other:?}"),
        };
        assert_eq!(handler_of(&["app.py", "lambda_function.py"]), "lambda_function.lambda_handler");
        assert_eq!(handler_of(&["index.py"]), "index.handler");
        let error = target(directory_with(&["main.py"]).path(), &[]).unwrap_err();
        assert!(error.is_usage() && error.to_string().contains("--handler"), "{error}");
    }

    #[test]
    fn a_node_handler_is_that_of_a_javascript_file() {
        for file in ["index.js", "index.mjs", "index.cjs"] {
            let directory = directory_with(&[file]);
            let found = target(directory.path(), &[]).unwrap();
            assert!(matches!(&found, Target::Node { handler, .. } if handler == "index.handler"), "{file}: {found:?}");
        }
        let directory = directory_with(&["package.json", "app.mjs"]);
        let is_node = |handler| matches!(target(directory.path(), &["--handler", handler]), Ok(Target::Node { .. }));
        assert!(is_node("app.orders.create"), "the function may be in an object");
        assert!(is_node("node_modules/datadog-lambda-js/dist/handler.handler"), "packages are installed later");
        assert!(!is_node("other.handler"));
        let both = directory_with(&["app.py", "app.mjs"]);
        assert!(matches!(target(both.path(), &[]), Ok(Target::Python { .. })));
    }

    #[test]
    fn a_handler_must_have_its_module() {
        let directory = directory_with(&["app.py"]);
        let error = target(directory.path(), &["--handler", "orders.main"]).unwrap_err();
        assert!(matches!(&error, Error::NoModule { file, .. } if file.ends_with("orders.py")), "{error}");
        assert!(matches!(target(directory.path(), &["--handler", "app"]), Err(Error::Handler(_))));
        assert!(target(directory.path(), &["--handler", "app.main"]).is_ok());
    }

    #[test]
    fn a_bootstrap_is_the_program_and_must_be_executable() {
        let directory = directory_with(&["bootstrap", "app.py"]);
        let error = target(directory.path(), &[]).unwrap_err();
        assert!(error.to_string().contains("chmod +x"), "{error}");
        let bootstrap = directory.path().join("bootstrap");
        executable::write(&bootstrap, "").unwrap();
        assert!(
            matches!(target(directory.path(), &[]), Ok(Target::Program { program, .. }) if program.ends_with("bootstrap"))
        );
        assert!(matches!(target(directory.path(), &["--handler", "app.main"]), Ok(Target::Python { .. })));
    }

    #[test]
    fn the_null_function_takes_no_options_of_others() {
        assert_eq!(target(Path::new("null"), &[]).unwrap(), Target::Null);
        assert!(target(Path::new("null"), &["--handler", "app.main"]).unwrap_err().is_usage());
        assert!(matches!(target(Path::new("/nonexistent"), &[]), Err(Error::Read { .. })));
        assert!(matches!(target(Path::new("/dev/null"), &[]), Err(Error::NotADirectory(_))));
    }

    #[test]
    fn an_event_is_a_file_or_json_or_that_of_the_function() {
        let directory = directory_with(&["app.py", "event.json"]);
        let target = target(directory.path(), &[]).unwrap();
        let file = directory.path().join("event.json");
        let from_directory = b"{\"from\": \"the directory\"}";
        assert_eq!(target.event(None).unwrap(), from_directory);
        assert_eq!(target.event(file.to_str()).unwrap(), from_directory);
        assert_eq!(target.event(Some("{\"a\":  1}")).unwrap(), b"{\"a\":  1}");
        assert_eq!(Target::Null.event(None).unwrap(), b"{}");
        let error = target.event(Some("no-such-file.json")).unwrap_err().to_string();
        assert!(error.contains("neither a file nor JSON") && error.ends_with("no-such-file.json"), "{error}");
    }
}
