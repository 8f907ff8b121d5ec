//! Functions in Node, under a runtime client of ours.

use std::{
    collections::BTreeMap,
    fs,
    hash::{DefaultHasher, Hash, Hasher},
    io::ErrorKind,
    path::{Path, PathBuf},
    process::Command,
};

use matrix::sandbox::Function;

const MANIFEST: &str = include_str!("node/package.json");
const LOCK: &str = include_str!("node/package-lock.json");

/// A function in Node whose source defines `handler`, behind a handler of a library's. The directory lives as long as the function is used.
pub fn node_through(directory: &tempfile::TempDir, source: &str, handler: &str) -> Function {
    fs::write(directory.path().join("function.js"), source).unwrap();
    std::os::unix::fs::symlink(packages(), directory.path().join("node_modules")).unwrap();
    let runtime = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/e2e/node/runtime.mjs");
    Function::Process {
        program: interpreter(),
        arguments: vec![runtime.display().to_string()],
        task_root: directory.path().to_owned(),
        handler: handler.to_owned(),
        environment: BTreeMap::new(),
    }
}

fn interpreter() -> PathBuf {
    let node = Command::new("node").args(["--print", "process.execPath"]).output();
    let node = node.expect("Node functions need node and npm: apt-get install nodejs npm");
    assert!(node.status.success(), "{}", String::from_utf8_lossy(&node.stderr));
    PathBuf::from(String::from_utf8(node.stdout).unwrap().trim())
}

/// What the lock file names, installed below the target directory once. Whoever is second at the same time throws its own away.
fn packages() -> PathBuf {
    let mut hasher = DefaultHasher::new();
    (MANIFEST, LOCK).hash(&mut hasher);
    let home = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/node");
    let installed = home.join(format!("{:016x}", hasher.finish()));
    if !installed.exists() {
        fs::create_dir_all(&home).unwrap();
        let making = tempfile::tempdir_in(&home).unwrap();
        fs::write(making.path().join("package.json"), MANIFEST).unwrap();
        fs::write(making.path().join("package-lock.json"), LOCK).unwrap();
        let mut npm = Command::new("npm");
        npm.args(["ci", "--ignore-scripts", "--no-audit", "--no-fund"]).current_dir(making.path());
        let npm = npm.output().expect("Node functions need node and npm: apt-get install nodejs npm");
        assert!(npm.status.success(), "npm ci\n{}", String::from_utf8_lossy(&npm.stderr));
        match fs::rename(making.path(), &installed) {
            Err(error) if error.kind() != ErrorKind::DirectoryNotEmpty => panic!("{}: {error}", installed.display()),
            _ => {}
        }
    }
    installed.join("node_modules")
}
