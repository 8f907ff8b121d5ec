//! `ci/fips` and the tool that it builds, with stand-ins for cargo and for the tool.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use matrix::executable;
use matrix::hash;

use crate::layer_support::root;

/// Tells what it was called with, and makes the stand-in for the tool.
const CARGO: &str = r#"#!/bin/sh
{ echo "arguments $*"; echo "folder $(pwd)"; env; ls -R "$CARGO_HOME"; } >PLACE/cargo.txt
mkdir -p "$CARGO_TARGET_DIR/debug"
cp PLACE/tool "$CARGO_TARGET_DIR/debug/matrix"
"#;

/// Reports on the layer that it is given, and has somebody write to the file that the script was given.
const TOOL: &str = r#"#!/bin/sh
env >>PLACE/tool.txt
while [ $# -gt 0 ]; do
    case $1 in
    --layer) layer=$2 ;;
    fips-report | invoke) verb=$1 ;;
    esac
    shift
done
echo "$verb $(sha256sum <"$layer" | cut -d ' ' -f 1)" >>PLACE/layers.txt
if [ "$verb" = fips-report ]; then
    mkdir -p target/matrix/fips-report
    echo "{\"layer\": {\"sha256\": \"$(sha256sum <"$layer" | cut -d ' ' -f 1)\"}}" >target/matrix/fips-report/fips-report.json
    echo other >PLACE/layer.zip
else
    echo 'FIPS | AWS-LC FIPS 3.1.0'
    echo layer >PLACE/layer.zip
fi
"#;

/// Without root nothing is proven, and the script says what to do.
fn is_refused_without_root(output: &Output) -> bool {
    let is_root = rustix::process::geteuid().is_root();
    if !is_root {
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.code() == Some(6) && said.contains("run it as root"), "{output:?}");
    }
    !is_root
}

/// A checkout with the script, and a user's cargo home with settings, two archives of which one was changed, and an unpacked folder.
fn checkout() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let place = folder.path();
    for file in ["ci/fips", "ci/lib/target.sh", "ci/lib/tool.sh"] {
        fs::create_dir_all(place.join(file).parent().unwrap()).unwrap();
        executable::copy(&root().join(file), &place.join(file)).unwrap();
    }
    fs::write(place.join("rust-toolchain.toml"), "[toolchain]\nchannel = \"1.2.3\"\n").unwrap();
    let package = |name: &str| {
        let checksum = hash::hexadecimal(name.as_bytes());
        format!("[[package]]\nname = \"{name}\"\nversion = \"1.0.0\"\nchecksum = \"{checksum}\"\n")
    };
    fs::write(place.join("Cargo.lock"), package("good") + &package("bad")).unwrap();
    for (file, text) in [
        ("home/config.toml", "[build]\nrustc-wrapper = \"/tmp/wrapper\"\n"),
        ("home/registry/index/host/config.json", "{}"),
        ("home/registry/cache/host/good-1.0.0.crate", "good"),
        ("home/registry/cache/host/bad-1.0.0.crate", "changed"),
        ("home/registry/src/host/good-1.0.0/lib.rs", "changed"),
        ("layer.zip", "layer\n"),
    ] {
        fs::create_dir_all(place.join(file).parent().unwrap()).unwrap();
        fs::write(place.join(file), text).unwrap();
    }
    let here = |text: &str| text.replace("PLACE", &place.display().to_string());
    fs::create_dir(place.join("path")).unwrap();
    executable::write(&place.join("path/cargo"), here(CARGO)).unwrap();
    executable::write(&place.join("tool"), here(TOOL)).unwrap();
    folder
}

fn run(place: &Path, variables: &[(&str, &str)]) -> Output {
    let path = format!("{}:{}", place.join("path").display(), std::env::var("PATH").unwrap());
    let mut command = Command::new("bash");
    command.arg("ci/fips").arg(place.join("layer.zip")).current_dir(place).env_remove("CARGO_TARGET_DIR");
    command.env("PATH", path).env("CARGO_HOME", place.join("home")).envs(variables.iter().copied()).output().unwrap()
}

#[test]
fn the_tool_is_built_from_compared_archives_without_settings_of_the_user() {
    let folder = checkout();
    let place = folder.path();
    let doctored = [
        ("RUSTC_WRAPPER", "/tmp/wrapper"),
        ("RUSTFLAGS", "-Cx"),
        ("CARGO_BUILD_RUSTC", "/tmp/rustc"),
        ("LD_AUDIT", ""),
    ];
    let output = run(place, &doctored);
    if is_refused_without_root(&output) {
        return;
    }
    assert!(output.status.success(), "{output:?}");
    let cargo = fs::read_to_string(place.join("cargo.txt")).unwrap();
    assert!(
        cargo.contains("build --locked ") && cargo.contains("folder /\n") && cargo.contains("RUSTUP_TOOLCHAIN=1.2.3"),
        "{cargo}"
    );
    let tool = fs::read_to_string(place.join("tool.txt")).unwrap();
    for (name, _) in doctored {
        assert!(!cargo.contains(name) && !tool.contains(name), "{name}: {cargo} {tool}");
    }
    assert!(cargo.contains("good-1.0.0.crate") && cargo.contains("config.json"), "{cargo}");
    for other in ["bad-1.0.0.crate", "config.toml", "lib.rs"] {
        assert!(!cargo.contains(other), "{other}: {cargo}");
    }
}

#[test]
fn the_layer_that_runs_is_the_one_that_was_proven() {
    let folder = checkout();
    let place = folder.path();
    let output = run(place, &[("MATRIX", &place.join("tool").display().to_string())]);
    if is_refused_without_root(&output) {
        return;
    }
    assert!(output.status.success() && !place.join("cargo.txt").exists(), "{output:?}");
    let layers = fs::read_to_string(place.join("layers.txt")).unwrap();
    let layer = hash::hexadecimal(b"layer\n");
    assert_eq!(layers, format!("fips-report {layer}\ninvoke {layer}\n"));
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(said.contains(&format!("with SHA-256 {layer}, and it runs")), "{said}");
}
