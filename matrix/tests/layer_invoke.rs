//! `cargo matrix invoke --layer`: what a function sees of its layers.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test that can't go on has failed")]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::layer_support::{ended, foreign, matrix};
use matrix::executable;
use matrix::sandbox::isolation;
use serde_json::Value;
use tempfile::TempDir;

const AGENT: &[u8] = include_bytes!("invoke_support/agent.py");
/// Becomes what stands where a launcher's agent does, which registers by the first argument.
const LAUNCHER: &[u8] = b"#!/bin/sh
exec python3 -c 'import sys; agent = sys.argv.pop(); sys.argv = [\"datadog-agent\"]; exec(open(agent).read())' \
    \"${0%/*}/../bottlecap/agent\"
";
/// Prints what is where it looks, and how it was started.
const FUNCTION: &str = "\
import os

def handler(event, context):
    for place in event:
        print(place, open(place).read() if os.path.exists(place) else 'is missing')
    print('WRAPPED', os.environ.get('WRAPPED'))
";
const WRAPPER: &[u8] = b"#!/bin/sh\necho wrapping $1\nWRAPPED=yes exec \"$@\"\n";

/// A function and its layers.
struct TestDirectory(TempDir);

impl TestDirectory {
    fn new() -> Self {
        let directory = Self(tempfile::tempdir().unwrap());
        fs::write(directory.path().join("app.py"), FUNCTION).unwrap();
        directory
    }

    fn path(&self) -> &Path {
        self.0.path()
    }

    fn layer(&self, name: &str, files: &[(&str, &[u8])]) -> PathBuf {
        let path = self.path().join(name);
        fs::write(&path, foreign(files)).unwrap();
        path
    }

    /// The lines of the function, if everything has arrived.
    fn lines(&self, layers: &[PathBuf], event: &str, options: &[&str]) -> Vec<String> {
        let (status, said) = self.invoke(layers, &[&["--json", "--event", event], options].concat());
        let document = said.lines().skip_while(|line| *line != "{").collect::<Vec<_>>().join("\n");
        let document: Value = serde_json::Deserializer::from_str(&document).into_iter().next().unwrap().unwrap();
        assert_eq!(status, 0, "{said}");
        let logs = document["logs"].as_array().unwrap().iter();
        logs.filter_map(|log| log["message"].as_str().map(|line| line.trim_end().to_owned())).collect()
    }

    fn invoke(&self, layers: &[PathBuf], options: &[&str]) -> (i32, String) {
        let mut command = matrix(&["invoke", self.path().to_str().unwrap()]);
        for layer in layers {
            command.arg("--layer").arg(layer);
        }
        ended(command.args(options))
    }
}

/// Whether this machine lets a sandbox have `/opt` to itself.
fn has_opt() -> bool {
    let unshared = Command::new("unshare").args(["--mount", "true"]).output();
    let has = Path::new("/opt").is_dir() && unshared.is_ok_and(|output| output.status.success());
    if !has {
        isolation::skip("there is no /opt here, or no privilege to mount over it");
    }
    has
}

#[test]
fn an_extension_and_what_it_executes_are_started_from_the_layer() {
    let directory = TestDirectory::new();
    let layer = directory.layer("layer.zip", &[("extensions/datadog-agent", LAUNCHER), ("bottlecap/agent", AGENT)]);
    assert_eq!(directory.lines(&[layer], "[]", &[]), ["WRAPPED None"]);
}

#[test]
fn the_function_sees_its_layers_one_over_the_other() {
    let directory = TestDirectory::new();
    let first = [("extensions/datadog-agent", AGENT), ("share/one", b"1".as_slice()), ("share/both", b"earlier")];
    let layers = [directory.layer("1.zip", &first), directory.layer("2.zip", &[("share/both", b"later")])];
    let seen = directory.lines(&layers, r#"["/opt/share/one", "/opt/share/both", "/opt/share/none"]"#, &[]);
    if has_opt() {
        assert_eq!(seen[..3], ["/opt/share/one 1", "/opt/share/both later", "/opt/share/none is missing"]);
    }
}

#[test]
fn what_a_container_image_has_in_opt_is_used_where_it_is() {
    let directory = TestDirectory::new();
    let opt = directory.path().join("image/opt");
    for (file, text) in [("extensions/datadog-agent", LAUNCHER), ("bottlecap/agent", AGENT), ("share/one", b"1")] {
        fs::create_dir_all(opt.join(file).parent().unwrap()).unwrap();
        executable::write(&opt.join(file), text).unwrap();
    }
    let option = ["--opt", opt.to_str().unwrap()];
    let seen = directory.lines(&[], r#"["/opt/share/one"]"#, &option);
    assert_eq!(seen.last().unwrap(), "WRAPPED None");
    if has_opt() {
        assert_eq!(seen[0], "/opt/share/one 1");
    }
    let mut left: Vec<_> =
        fs::read_dir(opt.join("extensions")).unwrap().map(|file| file.unwrap().file_name()).collect();
    assert_eq!((left.pop().unwrap(), left.len()), ("datadog-agent".into(), 0), "nothing is added to the image");

    let (status, said) = directory.invoke(&[], &["--opt", "/nonexistent"]);
    assert!(status == 6 && said.contains("/nonexistent cannot be read"), "{status}: {said}");
}

#[test]
fn the_runtime_is_started_by_the_wrapper_of_a_layer() {
    let directory = TestDirectory::new();
    let layer = [directory.layer("layer.zip", &[("extensions/datadog-agent", AGENT), ("wrap", WRAPPER)])];
    let lines = directory.lines(&layer, "[]", &["--env", "AWS_LAMBDA_EXEC_WRAPPER=/opt/wrap"]);
    assert!(lines[0].starts_with("wrapping /") && lines[0].contains("python"), "{lines:?}");
    assert!(lines.contains(&"WRAPPED yes".to_owned()), "{lines:?}");

    let (status, said) = directory.invoke(&layer, &["--env", "AWS_LAMBDA_EXEC_WRAPPER=/opt/none"]);
    // This extension does not survive a runtime that ends before it has subscribed, so that it may be it that is blamed.
    assert!(status != 0 && said.contains("/opt/none: does not exist"), "{status}: {said}");
}

#[test]
fn layers_that_lambda_would_not_take_are_refused() {
    let directory = TestDirectory::new();
    let escaping = directory.layer("escaping.zip", &[("../../outside", b"x")]);
    let (status, said) = directory.invoke(&[escaping], &[]);
    assert!(status == 2 && said.contains("would not stay below /opt"), "{status}: {said}");
    let fine = directory.layer("fine.zip", &[("file", b"x")]);
    let (status, said) = directory.invoke(&vec![fine; 6], &[]);
    assert!(status == 2 && said.contains("at most 5 layers"), "{status}: {said}");
    let nested = directory.layer("nested.zip", &[("layer/extensions/datadog-agent", AGENT)]);
    let (status, said) = directory.invoke(&[nested], &[]);
    assert!(status == 2 && said.contains("the layer has no extension"), "{status}: {said}");
    let ours = directory.layer("ours.zip", &[("bottlecap/manifest.json", b"{}"), ("extensions/other", AGENT)]);
    let (status, said) = directory.invoke(&[ours], &[]);
    assert!(status == 2 && said.contains("and no extensions/datadog-agent"), "{status}: {said}");
    let (status, said) = directory.invoke(&[], &["--opt", directory.path().to_str().unwrap()]);
    assert!(status == 2 && said.contains("the directory has no extension"), "{status}: {said}");
    let (status, said) = directory.invoke(&[PathBuf::from("/nonexistent.zip")], &[]);
    assert!(status == 6 && said.contains("/nonexistent.zip cannot be read"), "{status}: {said}");
}
