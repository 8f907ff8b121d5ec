//! Holds the manifest, the package, the tests and the table of switches to saying the same.

#![allow(
    clippy::unwrap_used,
    reason = "the helpers of a test fail like a test, but only functions marked as tests are exempt by themselves"
)]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use matrix::manifest::{Manifest, Status, agreement, docs};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn manifest() -> &'static Manifest {
    Manifest::embedded().unwrap()
}

fn assert_none(complaints: &[String]) {
    assert!(complaints.is_empty(), "\n{}", complaints.join("\n"));
}

#[test]
fn the_features_and_sets_of_the_package_are_those_of_the_manifest() {
    let text = fs::read_to_string(root().join("Cargo.toml")).unwrap();
    let package = agreement::Package::parse(&text).unwrap();
    assert_none(&agreement::features(manifest(), &package));
}

#[test]
fn conflicts_are_named_on_both_sides() {
    for factor in &manifest().factors {
        for conflict in &factor.conflicts {
            let other = manifest().factor(&conflict.factor).unwrap();
            assert!(
                other.conflicts.iter().any(|back| back.factor == factor.name),
                "{} and {}",
                factor.name,
                other.name
            );
        }
    }
}

#[test]
fn nothing_needs_itself() {
    // Whoever is taken away last needed nothing that was left: without a circle, everybody goes.
    let mut left: Vec<_> = manifest().factors.iter().collect();
    loop {
        let names: Vec<&str> = left.iter().map(|factor| factor.name.as_str()).collect();
        left.retain(|factor| factor.requires.iter().any(|required| names.contains(&required.factor.as_str())));
        if left.len() == names.len() {
            assert!(left.is_empty(), "these need each other: {names:?}");
            return;
        }
    }
}

#[test]
fn what_ships_is_proven_and_can_be_built() {
    let ships: Vec<_> = manifest().sets.iter().filter(|set| set.name.starts_with("ship")).collect();
    assert!(!ships.is_empty());
    for set in ships {
        let levels = manifest().set_levels(&set.name).unwrap();
        assert_eq!(manifest().illegal(&levels), None, "{}", set.name);
        for (factor, choice) in manifest().chosen(&levels) {
            assert_eq!(factor.status, Status::Ship, "{choice} of {}", set.name);
        }
    }
}

#[test]
fn every_set_can_be_built() {
    for set in &manifest().sets {
        assert_eq!(manifest().illegal(&manifest().set_levels(&set.name).unwrap()), None, "{}", set.name);
    }
}

#[test]
fn check_finds_no_contradiction_in_the_repository() {
    let output = Command::new(env!("CARGO_BIN_EXE_matrix")).arg("check").current_dir(root()).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

#[test]
fn every_proof_is_a_test() {
    assert!(manifest().factors.iter().any(|factor| !factor.proves.is_empty()));
    assert_none(&agreement::proofs(manifest(), &root()));
}

#[test]
fn the_documented_table_of_switches_is_the_manifests() {
    let text = fs::read_to_string(root().join("docs/switches.md")).unwrap();
    assert!(docs::between_markers(&text).is_some_and(|table| table.contains("| `late-runtime` |")));
    assert_none(&agreement::page(manifest(), &text));
}

/// Whatever is compiled in has the tool compiled again, which takes minutes, for every change of a switch.
#[test]
#[cfg(debug_assertions)]
fn the_manifest_is_compiled_into_no_debug_build() {
    let has = |file: &str| {
        let text = fs::read_to_string(root().join(file)).unwrap();
        let line = text.lines().max_by_key(|line| line.len()).unwrap();
        let mut grep = Command::new("grep");
        grep.args(["--quiet", "--text", "--fixed-strings", "--", line, env!("CARGO_BIN_EXE_matrix")])
            .status()
            .unwrap()
            .success()
    };
    assert!(has("matrix/flavours.toml"), "what is compiled in is found");
    assert!(!has("matrix/optimizations.toml"));
}
