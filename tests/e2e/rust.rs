//! A function in Rust under AWS's own runtime client.

use std::{collections::BTreeMap, path::Path, sync::OnceLock};

use matrix::{
    sandbox::Function,
    workspace::{cargo, target_directory},
};

/// The function of `examples/hello-rust`. The first test that asks builds it, from a lock file of its own: the extension under test has none of its dependencies.
pub fn rust() -> Function {
    static BUILT: OnceLock<Function> = OnceLock::new();
    BUILT.get_or_init(build).clone()
}

fn build() -> Function {
    let package = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/hello-rust");
    let target = target_directory().join("hello-rust");
    let mut build = cargo();
    build.args(["build", "--locked", "--target-dir"]).arg(&target).current_dir(&package);
    let output = build.output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    Function::Process {
        program: target.join("debug/hello-rust"),
        arguments: Vec::new(),
        task_root: package,
        handler: "function.handler".to_owned(),
        environment: BTreeMap::new(),
    }
}
