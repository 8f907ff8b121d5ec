//! What the binary says about itself: every feature is a switch that `--version=json` names.

use std::collections::BTreeSet;
use std::process::Command;

use serde_json::Value;

use crate::tree::Complaint;

/// Features that only name a set of others.
const SETS: [&str; 5] = ["default", "ship", "ship-fips", "baseline", "seed"];

/// Features that are no printed switch, and printed switches that are no feature.
pub fn unmatched(declared: &BTreeSet<String>, printed: &BTreeSet<String>) -> Vec<Complaint> {
    let switches: BTreeSet<String> = declared.iter().filter(|name| !SETS.contains(&name.as_str())).cloned().collect();
    let complain = |what: String| Complaint { path: "Cargo.toml".to_owned(), line: 1, what };
    let untold = switches.difference(printed).map(|name| complain(format!("--version=json does not name `{name}`")));
    let unknown =
        printed.difference(&switches).map(|name| complain(format!("--version=json names `{name}`, no feature")));
    untold.chain(unknown).collect()
}

/// The features of the package, as Cargo understands its manifest.
pub fn declared() -> BTreeSet<String> {
    let metadata = Command::new(env!("CARGO"))
        .args(["metadata", "--no-deps", "--offline", "--format-version=1"])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .unwrap();
    let metadata: Value = serde_json::from_slice(&metadata.stdout).unwrap();
    let package = metadata["packages"].as_array().unwrap().iter().find(|package| package["name"] == "bottlecap");
    names(&package.unwrap()["features"])
}

/// The switches of the binary under test.
pub fn printed() -> BTreeSet<String> {
    let output = Command::new(env!("CARGO_BIN_EXE_bottlecap")).arg("--version=json").output().unwrap();
    let printed: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert!(printed["switches"].as_object().unwrap().values().all(Value::is_boolean), "{printed}");
    names(&printed["switches"])
}

fn names(object: &Value) -> BTreeSet<String> {
    object.as_object().unwrap().keys().cloned().collect()
}
