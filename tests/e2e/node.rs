//! Functions in Node under AWS's own runtime client.

use std::{fs, os::unix::fs::symlink, path::Path};

use matrix::sandbox::{Function, function::node::NodeEnvironment};

/// The function whose packages all functions of these tests have.
const PACKAGES_OF: &str = "examples/traced-node";

/// A function in Node whose source defines `handler`, behind a handler of a library's. The directory lives as long as the function is used.
pub fn node_through(directory: &tempfile::TempDir, source: &str, handler: &str) -> Function {
    node_with(Path::new(PACKAGES_OF), directory, source, handler)
}

/// The same with the packages of another function.
pub fn node_with(packages_of: &Path, directory: &tempfile::TempDir, source: &str, handler: &str) -> Function {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let environment = NodeEnvironment::ensure(&root.join("target"), |_| {}).unwrap();
    let packages = environment.packages(&root.join(packages_of), |_| {}).unwrap().unwrap();
    fs::write(directory.path().join("function.js"), source).unwrap();
    symlink(packages.directory, directory.path().join("node_modules")).unwrap();
    let command = environment.command(handler);
    Function::Process {
        program: command.program,
        arguments: command.arguments,
        task_root: directory.path().to_owned(),
        handler: handler.to_owned(),
        environment: [("AWS_EXECUTION_ENV".to_owned(), format!("AWS_Lambda_nodejs{}.x", environment.version()))].into(),
    }
}
