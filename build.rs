//! Exports what cargo knows about this build, for `build_info.rs`; decides nothing.

use std::{env, process::Command};

fn main() {
    let fact = |name: &str| env::var(name).unwrap_or_default();
    // Cargo separates the flags by the unit separator so that a flag may hold a space. What names directories of the machine that builds is there to keep
    // them out of the program, and would bring them back into it here.
    let flags = fact("CARGO_ENCODED_RUSTFLAGS");
    let flags: Vec<&str> = flags.split('\u{1f}').filter(|flag| !flag.starts_with("--remap-path-prefix=")).collect();
    let flags = flags.join(" ");

    println!("cargo::rustc-env=BOTTLECAP_TARGET={}", fact("TARGET"));
    println!("cargo::rustc-env=BOTTLECAP_PROFILE={}", fact("PROFILE"));
    println!("cargo::rustc-env=BOTTLECAP_OPT_LEVEL={}", fact("OPT_LEVEL"));
    println!("cargo::rustc-env=BOTTLECAP_TARGET_FEATURES={}", fact("CARGO_CFG_TARGET_FEATURE"));
    println!("cargo::rustc-env=BOTTLECAP_FLAGS={flags}");
    println!("cargo::rustc-env=BOTTLECAP_GIT_SHA={}", git_sha());
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-env-changed=BOTTLECAP_GIT_SHA");
    if let Some(head) = git(&["rev-parse", "--git-path", "logs/HEAD"]) {
        println!("cargo::rerun-if-changed={head}");
    }
}

/// The commit that is built: from the environment where the sources come without their history (a container image), else from git.
fn git_sha() -> String {
    env::var("BOTTLECAP_GIT_SHA")
        .ok()
        .or_else(|| git(&["rev-parse", "--short=12", "HEAD"]))
        .unwrap_or_else(|| "unknown".to_owned())
}

fn git(arguments: &[&str]) -> Option<String> {
    let output = Command::new("git").args(arguments).output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    output.status.success().then(|| text.trim().to_owned()).filter(|text| !text.is_empty())
}
