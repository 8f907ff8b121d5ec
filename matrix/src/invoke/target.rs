//! The function that is invoked, and its event.

use std::collections::BTreeMap;
use std::fs;
use std::io::Read as _;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use super::arguments::Arguments;
use super::error::Error;
use super::events;
use super::handlers::{self, Module};

/// The handlers in the order in which they are looked for; AWS's own default comes first.
const HANDLERS: [&str; 4] = ["lambda_function.lambda_handler", "app.handler", "index.handler", "handler.handler"];
/// Of Node's modules, in the order in which the runtime client looks for them.
const NODE_EXTENSIONS: [&str; 3] = ["js", "mjs", "cjs"];

/// What the names of runtimes begin with that only start a `bootstrap`.
const PROVIDED: &str = "provided";

/// The variable with the function's own handler where `datadog_lambda.handler.handler` is the handler.
const REDIRECTED: &str = "DD_LAMBDA_HANDLER";

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
        // With a runtime that Lambda does not have itself, a handler is for the program to read.
        let provided = arguments.runtime.as_deref().filter(|runtime| runtime.starts_with(PROVIDED));
        if (arguments.handler.is_none() || provided.is_some()) && bootstrap.exists() {
            return Self::program(directory, &bootstrap, arguments);
        }
        if let Some(runtime) = provided {
            return Err(Error::NotBuilt { directory, reason: format!("the runtime {runtime}") });
        }
        let handler = match &arguments.handler {
            Some(handler) => handler.clone(),
            None => handlers::detect(&directory)
                .or_else(|| detect(&directory))
                .ok_or_else(|| no_handler(directory.clone()))?,
        };
        if !module(&handler).is_ok_and(|file| directory.join(file).exists()) && is_node(&directory, &handler) {
            return Ok(Self::Node { directory, handler });
        }
        check_handler(&directory, &handler, arguments)?;
        Ok(Self::Python { directory, handler })
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

    /// The events, exactly as the function receives them.
    pub fn events(&self, named: &[String]) -> Result<Vec<Vec<u8>>, Error> {
        Ok(events::read(named, self.directory())?)
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
    if has_windows_interpreter(&found) {
        return Err(Error::WindowsInterpreter(path.to_owned()));
    }
    Ok(found)
}

/// Whether a script names its interpreter in a line that ends as on Windows.
fn has_windows_interpreter(script: &Path) -> bool {
    let mut start = [0; 256];
    let length = fs::File::open(script).and_then(|mut file| file.read(&mut start)).unwrap_or_default();
    let line = start.get(..length).and_then(|start| start.split(|byte| *byte == b'\n').next()).unwrap_or_default();
    line.starts_with(b"#!") && line.ends_with(b"\r")
}

/// Why there is no handler in a directory: it may be unreadable, or that of another language.
fn no_handler(directory: PathBuf) -> Error {
    let names = match fs::read_dir(&directory) {
        Ok(entries) => entries.flatten().map(|entry| entry.file_name().to_string_lossy().into_owned()),
        Err(source) => {
            return Error::Read { path: directory, advice: "the function's code has to be readable", source };
        }
    };
    for file in names {
        let is_archive = Path::new(&file).extension().is_some_and(|extension| extension == "jar");
        match file.as_str() {
            "Cargo.toml" | "go.mod" => return Error::NotBuilt { directory, reason: file },
            "pom.xml" | "build.gradle" | "build.gradle.kts" => return Error::Java { directory, file },
            _ if is_archive => return Error::Java { directory, file },
            _ => {}
        }
    }
    Error::NoHandler(directory)
}

/// Where Python looks for modules, besides the function's directory.
#[derive(Clone, Copy, Debug, Default)]
pub struct PythonPath<'a> {
    /// The customer's own setting.
    pub customer: Option<&'a str>,
    /// What the function's requirements have installed.
    pub packages: Option<&'a Path>,
    /// The contents of the function's layers.
    pub opt: Option<&'a Path>,
    /// The packages of Lambda's runtime.
    pub sdk: Option<&'a Path>,
}

impl PythonPath<'_> {
    /// The directories in the order in which Lambda's runtimes search them ("Working with layers for Python Lambda functions"). Those of layers are named at
    /// `/opt`, and where they are if the sandbox cannot mount them there.
    fn directories(&self, version: &str) -> Vec<String> {
        let shown = |path: PathBuf| path.display().to_string();
        let roots = self.opt.map(|opt| [Path::new("/opt"), opt]).into_iter().flatten();
        let of_layers = roots.flat_map(|root| {
            let root = root.join("python");
            [root.join(format!("lib/python{version}/site-packages")), root]
        });
        let own = self.customer.map(str::to_owned).into_iter().chain(self.packages.map(|path| shown(path.to_owned())));
        own.chain(of_layers.map(shown)).chain(self.sdk.map(|path| shown(path.to_owned()))).collect()
    }
}

/// Environment variables of Python functions, besides those of all functions.
pub fn python_variables(version: &str, path: &PythonPath<'_>) -> BTreeMap<String, String> {
    // A function's code is read-only on Lambda, and a run should not leave files in the user's directory.
    let mut variables = BTreeMap::from([
        ("PYTHONDONTWRITEBYTECODE".to_owned(), "1".to_owned()),
        ("AWS_EXECUTION_ENV".to_owned(), format!("AWS_Lambda_python{version}")),
    ]);
    let directories = path.directories(version);
    if !directories.is_empty() {
        variables.insert("PYTHONPATH".to_owned(), directories.join(":"));
    }
    variables
}

/// Whether a function uses AWS's SDK, which Lambda's runtimes for Python have, without installing it itself.
pub fn uses_sdk(directory: &Path) -> bool {
    let has = |path: &Path, words: &[&str]| {
        fs::read_to_string(path).is_ok_and(|text| words.iter().any(|word| text.contains(word)))
    };
    let files = fs::read_dir(directory).into_iter().flatten().flatten().map(|entry| entry.path());
    let mut sources = files.filter(|path| path.extension().is_some_and(|extension| extension == "py"));
    sources.any(|path| has(&path, &["import boto3", "from boto3", "import botocore", "from botocore"]))
        && !directory.join("boto3").is_dir()
        && !has(&directory.join("requirements.txt"), &["boto3"])
}

/// Checks that a handler exists. Redirecting handlers, such as Datadog's, are in packages, and the function's own is in a variable.
fn check_handler(directory: &Path, handler: &str, arguments: &Arguments) -> Result<(), Error> {
    if is_packaged(directory, handler, arguments) {
        let own = arguments.environment.iter().rev().find(|variable| variable.name == REDIRECTED);
        return own.map_or(Ok(()), |own| check_handler_file(directory, &own.value));
    }
    check_handler_file(directory, handler)
}

/// Whether the module of a handler may come from an installed package or a layer.
fn is_packaged(directory: &Path, handler: &str, arguments: &Arguments) -> bool {
    let top = handler.split(['.', '/']).next().unwrap_or_default();
    let is_own = directory.join(top).exists() || directory.join(top).with_added_extension("py").exists();
    let installs = ["requirements.txt", "pyproject.toml"].iter().any(|file| directory.join(file).is_file());
    let has_layers = !arguments.layers.is_empty() || arguments.opt.is_some();
    !is_own && handler.contains('.') && (installs || has_layers)
}

fn check_handler_file(directory: &Path, handler: &str) -> Result<(), Error> {
    let file = directory.join(module(handler)?);
    if !file.exists() {
        return Err(Error::NoModule { handler: handler.to_owned(), file });
    }
    let function = handler.rsplit_once('.').map_or("", |(_, function)| function);
    let module = Module::read(&file);
    if module.may_have(function) {
        return Ok(());
    }
    Err(Error::NoFunction { handler: handler.to_owned(), file, functions: module.handlers })
}

/// Environment variables of Node functions, besides those of all functions. Modules are searched in the directories of layers, of the runtime and of the code,
/// unless the customer has set others. `opt` has the contents of the function's layers, where the sandbox cannot mount them at `/opt`.
pub fn node_variables(version: &str, customer: Option<&str>, opt: Option<&Path>) -> BTreeMap<String, String> {
    let roots = [Some(Path::new("/opt")), opt].into_iter().flatten().map(|root| root.join("nodejs"));
    let of_layers =
        roots.flat_map(|root| [root.join(format!("node{version}/node_modules")), root.join("node_modules")]);
    let others = ["/var/runtime/node_modules", "/var/runtime", "/var/task"].map(PathBuf::from);
    let directories: Vec<String> = of_layers.chain(others).map(|path| path.display().to_string()).collect();
    let path = customer.map_or_else(|| directories.join(":"), str::to_owned);
    BTreeMap::from([
        ("AWS_EXECUTION_ENV".to_owned(), format!("AWS_Lambda_nodejs{version}.x")),
        ("NODE_PATH".to_owned(), path),
    ])
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
    use super::*;
    use crate::executable;
    use crate::test_arguments::parse;

    fn target(directory: &Path, rest: &[&str]) -> Result<Target, Error> {
        let directory = directory.to_str().unwrap();
        Target::of(&parse([directory].into_iter().chain(rest.iter().copied())))
    }

    fn directory_with(files: &[&str]) -> tempfile::TempDir {
        let directory = tempfile::tempdir().unwrap();
        for file in files {
            let name = if *file == "lambda_function.py" { "lambda_handler" } else { "handler" };
            let source = format!("def {name}(event, context):\n    pass\n\ndef main(event, context):\n    pass\n");
            fs::write(directory.path().join(file), source).unwrap();
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
        let error = target(directory_with(&["orders.py"]).path(), &[]).unwrap_err();
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
    fn a_wrong_handler_is_answered_with_those_of_the_file() {
        let directory = directory_with(&[]);
        fs::write(directory.path().join("app.py"), "def create(event, context):\n    pass\n").unwrap();
        let error = target(directory.path(), &["--handler", "app.craete"]).unwrap_err();
        assert!(error.is_usage() && error.to_string().ends_with("it has create"), "{error}");
        assert!(target(directory.path(), &["--handler", "app.create"]).is_ok());
    }

    #[test]
    fn a_redirecting_handler_comes_from_a_package_and_its_target_from_the_directory() {
        let directory = directory_with(&["requirements.txt"]);
        fs::write(directory.path().join("app.py"), "def main(event, context):\n    pass\n").unwrap();
        let redirected = |to: &str| {
            let variable = format!("DD_LAMBDA_HANDLER={to}");
            target(directory.path(), &["--handler", "datadog_lambda.handler.handler", "--env", &variable])
        };
        assert!(matches!(redirected("app.main"), Ok(Target::Python { handler, .. }) if handler.starts_with("datadog")));
        assert!(matches!(redirected("app.mian"), Err(Error::NoFunction { .. })));
        fs::remove_file(directory.path().join("requirements.txt")).unwrap();
        assert!(matches!(redirected("app.main"), Err(Error::NoModule { .. })), "nothing would install it");
    }

    #[test]
    fn python_searches_packages_layers_and_the_sdk_in_this_order() {
        let path = PythonPath {
            customer: Some("/var/task/lib"),
            packages: Some(Path::new("/packages")),
            opt: Some(Path::new("/unpacked")),
            sdk: Some(Path::new("/sdk")),
        };
        let variables = python_variables("3.12", &path);
        let expected = "/var/task/lib:/packages:/opt/python/lib/python3.12/site-packages:/opt/python:\
            /unpacked/python/lib/python3.12/site-packages:/unpacked/python:/sdk";
        assert_eq!(variables["PYTHONPATH"], expected);
        assert!(!python_variables("3.12", &PythonPath::default()).contains_key("PYTHONPATH"));
    }

    #[test]
    fn node_searches_layers_the_runtime_and_the_code_unless_the_customer_says_otherwise() {
        let path = |customer, opt| node_variables("20", customer, opt)["NODE_PATH"].clone();
        let of_layers = "/opt/nodejs/node20/node_modules:/opt/nodejs/node_modules";
        let others = "/var/runtime/node_modules:/var/runtime:/var/task";
        assert_eq!(path(None, None), format!("{of_layers}:{others}"));
        let unpacked = of_layers.replace("/opt", "/unpacked");
        assert_eq!(path(None, Some(Path::new("/unpacked"))), format!("{of_layers}:{unpacked}:{others}"));
        assert_eq!(path(Some("/own"), None), "/own");
    }

    #[test]
    fn the_sdk_is_needed_by_functions_that_import_it_and_do_not_install_it() {
        let directory = directory_with(&[]);
        let write = |name: &str, text: &str| fs::write(directory.path().join(name), text).unwrap();
        write("app.py", "import json\n");
        assert!(!uses_sdk(directory.path()));
        write("store.py", "import boto3\n");
        assert!(uses_sdk(directory.path()));
        write("requirements.txt", "boto3>=1.34\n");
        assert!(!uses_sdk(directory.path()));
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
        let provided = ["--handler", "any", "--runtime", "provided.al2023"];
        assert!(matches!(target(directory.path(), &provided), Ok(Target::Program { handler, .. }) if handler == "any"));
    }

    #[test]
    fn script_with_crlf_line_ends_has_an_error_of_its_own() {
        let directory = directory_with(&[]);
        executable::write(&directory.path().join("bootstrap"), "#!/bin/sh\r\necho\r\n").unwrap();
        let error = target(directory.path(), &[]).unwrap_err().to_string();
        assert!(error.contains("carriage return"), "{error}");
        executable::write(&directory.path().join("bootstrap"), "#!/bin/sh\necho\r\n").unwrap();
        assert!(target(directory.path(), &[]).is_ok());
    }

    #[test]
    fn a_folder_of_another_language_is_called_that() {
        let directory = directory_with(&["pom.xml"]);
        let error = target(directory.path(), &[]).unwrap_err();
        assert!(error.is_usage() && error.to_string().contains("pom.xml"), "{error}");
        let directory = directory_with(&["Cargo.toml"]);
        let error = target(directory.path(), &[]).unwrap_err();
        assert!(error.is_usage() && error.to_string().contains("name the program with --program"), "{error}");
    }

    #[test]
    fn custom_runtime_runs_the_bootstrap_with_any_handler() {
        let directory = directory_with(&["app.py"]);
        let options = ["--handler", "bootstrap", "--runtime", "provided.al2023"];
        let error = target(directory.path(), &options).unwrap_err();
        assert!(error.is_usage() && error.to_string().contains("as the runtime provided.al2023 shows"), "{error}");
        let bootstrap = directory.path().join("bootstrap");
        executable::write(&bootstrap, "").unwrap();
        let found = target(directory.path(), &options);
        assert!(matches!(found, Ok(Target::Program { ref handler, .. }) if handler == "bootstrap"), "{found:?}");
    }

    #[test]
    fn the_null_function_takes_no_options_of_others() {
        assert_eq!(target(Path::new("null"), &[]).unwrap(), Target::Null);
        assert!(target(Path::new("null"), &["--handler", "app.main"]).unwrap_err().is_usage());
        assert!(matches!(target(Path::new("/nonexistent"), &[]), Err(Error::Read { .. })));
        assert!(matches!(target(Path::new("/dev/null"), &[]), Err(Error::NotADirectory(_))));
    }
}
