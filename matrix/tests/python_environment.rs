//! The Python environment, made for real from the package index. It is kept in the target directory between runs.

#![allow(clippy::unwrap_used, reason = "a helper of a test fails as the test does")]

use std::fs;
use std::path::Path;
use std::process::Command;
use std::sync::Mutex;

use matrix::sandbox::function::python::PythonEnvironment;

fn environment() -> PythonEnvironment {
    PythonEnvironment::ensure(Path::new(env!("CARGO_TARGET_TMPDIR")), |_| ()).unwrap()
}

fn run(program: &Path, code: &str, python_path: Option<&Path>) -> String {
    let mut command = Command::new(program);
    command.args(["-c", code]).env_clear();
    if let Some(path) = python_path {
        command.env("PYTHONPATH", path);
    }
    let output = command.output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

#[test]
fn two_at_once_share_one_environment_with_the_pinned_client() {
    let (one, two) = std::thread::scope(|scope| {
        let one = scope.spawn(environment);
        let two = scope.spawn(environment);
        (one.join().unwrap(), two.join().unwrap())
    });
    let command = one.command("lambda_function.lambda_handler");
    assert_eq!(command, two.command("lambda_function.lambda_handler"));
    assert_eq!(command.arguments, ["-m", "awslambdaric", "lambda_function.lambda_handler"]);
    assert!(one.version().starts_with("3.") && one.version().split('.').count() == 2, "{}", one.version());
    let version =
        "from importlib.metadata import version; import awslambdaric.bootstrap; print(version('awslambdaric'))";
    assert_eq!(run(&command.program, version, None), "4.2.2");
}

#[test]
fn nothing_is_said_when_there_is_nothing_to_do() {
    environment();
    let heard = Mutex::new(Vec::new());
    let target = Path::new(env!("CARGO_TARGET_TMPDIR"));
    PythonEnvironment::ensure(target, |step| heard.lock().unwrap().push(step.to_owned())).unwrap();
    assert_eq!(*heard.lock().unwrap(), [""; 0]);
}

#[test]
fn the_requirements_of_a_function_are_installed_beside_it() {
    let environment = environment();
    let function = tempfile::tempdir().unwrap();
    assert!(environment.packages(function.path(), |_| ()).unwrap().is_none());

    fs::write(function.path().join("requirements.txt"), "iniconfig==2.0.0\n").unwrap();
    let packages = environment.packages(function.path(), |_| ()).unwrap().unwrap();
    let program = environment.command("app.handler").program;
    let found = run(&program, "import iniconfig; print(iniconfig.__file__)", Some(&packages));
    assert!(Path::new(&found).starts_with(&packages), "{found}");

    fs::write(function.path().join("requirements.txt"), "no-such-package-here @ file:///nonexistent\n").unwrap();
    let error = environment.packages(function.path(), |_| ()).unwrap_err().to_string();
    assert!(error.contains("requirements.txt") && error.contains("/nonexistent"), "{error}");
}

#[test]
fn a_package_of_the_functions_own_is_built_without_a_trace_and_anew_when_it_changes() {
    let environment = environment();
    let function = tempfile::tempdir().unwrap();
    let local = function.path().join("local");
    fs::create_dir(&local).unwrap();
    let project = "[project]\nname = \"own-package\"\nversion = \"0.1\"\n[build-system]\nrequires = [\"setuptools\"]\n\
        build-backend = \"setuptools.build_meta\"\n[tool.setuptools]\npy-modules = [\"own\"]\n";
    fs::write(local.join("pyproject.toml"), project).unwrap();
    fs::write(function.path().join("requirements.txt"), "./local\n").unwrap();
    let program = environment.command("app.handler").program;
    for (text, expected) in [("NAME = 'one'", "one"), ("NAME = 'another'", "another")] {
        fs::write(local.join("own.py"), text).unwrap();
        let packages = environment.packages(function.path(), |_| ()).unwrap().unwrap();
        assert_eq!(run(&program, "import own; print(own.NAME)", Some(&packages)), expected);
    }
    let mut left: Vec<_> = fs::read_dir(&local).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    left.sort();
    assert_eq!(left, ["own.py", "pyproject.toml"]);
}
