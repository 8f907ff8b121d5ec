//! `cargo matrix inspect` of a layer of ours, of one that somebody has changed, and of those of others.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test that can't go on has failed")]

mod layer_support;

use std::fs;
use std::path::PathBuf;

use layer_support::{
    arm64_program, dynamic_program, ended, foreign, ingredients, made, matrix, program, rewritten, told,
};
use serde_json::Value;
use tempfile::TempDir;

/// A file to be looked at.
struct Subject {
    _folder: TempDir,
    path: PathBuf,
}

impl Subject {
    fn new(name: &str, bytes: &[u8]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(name);
        fs::write(&path, bytes).unwrap();
        Self { _folder: folder, path }
    }

    fn page(&self, options: &[&str]) -> (i32, String) {
        ended(matrix(&["inspect"]).arg(&self.path).args(options))
    }

    fn document(&self) -> (i32, Value) {
        let (status, said) = self.page(&["--json"]);
        (status, serde_json::from_str(&said).unwrap())
    }
}

fn layer() -> Vec<u8> {
    made(ingredients(program())).unwrap().zip
}

#[test]
fn a_layer_of_ours_is_what_it_says() {
    let subject = Subject::new("layer.zip", &layer());
    let (status, page) = subject.page(&[]);
    assert_eq!(status, 0, "{page}");
    for part in [
        "cell          ship",
        "rustc 9.9.9 (abc 2026-01-01)",
        "linked        static",
        "RELRO         full",
        "Amazon Linux 2 (glibc 2.26): starts",
        "Amazon Linux 2023 (glibc 2.34): starts",
        "52428800 can be uploaded directly",
        "262144000 may be in a function with all of its layers",
        "Every file is what the manifest says.",
    ] {
        assert!(page.contains(part), "{part} is not in:\n{page}");
    }
    let (status, document) = subject.document();
    assert_eq!((status, &document["kind"], &document["problems"]), (0, &"layer".into(), &Value::Array(Vec::new())));
    assert_eq!(document["manifest"]["cell"], "ship");
    assert_eq!(document["programs"][0]["told"], told(), "it was asked");
    assert_eq!(document["files"].as_array().unwrap().len(), 8);
}

#[test]
fn a_layer_for_another_processor_is_told_without_being_able_to_start_it() {
    let mut ingredients = ingredients(arm64_program());
    ingredients.target.architecture = "arm64".to_owned();
    ingredients.target.flavour = "arm64".to_owned();
    let subject = Subject::new("layer.zip", &made(ingredients).unwrap().zip);
    let (status, page) = subject.page(&[]);
    assert_eq!(status, 0, "{page}");
    for part in ["flavour       arm64", "linked        static, arm64", "Amazon Linux 2 (glibc 2.26): starts"] {
        assert!(page.contains(part), "{part} is not in:\n{page}");
    }
    assert!(page.contains("Note: extensions/datadog-agent was not asked what it is: "), "{page}");
}

#[test]
fn nothing_is_started_where_that_is_not_wanted() {
    let (status, said) = Subject::new("layer.zip", &layer()).page(&["--json", "--no-run"]);
    let document: Value = serde_json::from_str(&said).unwrap();
    assert_eq!((status, &document["programs"][0]["told"]), (0, &Value::Null));
}

#[test]
fn a_file_that_was_changed_is_named_and_its_program_is_not_started() {
    let changed = rewritten(&layer(), |name, mut bytes| {
        if name == "extensions/datadog-agent" {
            bytes.push(0);
        }
        Some(bytes)
    });
    let subject = Subject::new("layer.zip", &changed);
    let (status, document) = subject.document();
    assert_eq!(status, 1, "{document:#}");
    let problem = document["problems"][0].as_str().unwrap();
    assert!(problem.starts_with("extensions/datadog-agent is not what the manifest says: it has"), "{problem}");
    assert_eq!(document["problems"].as_array().unwrap().len(), 1);
    assert_eq!(document["programs"][0]["told"], Value::Null);
    let (_, page) = subject.page(&[]);
    assert!(page.contains("Wrong: extensions/datadog-agent") && !page.contains("Every file"), "{page}");
}

#[test]
fn a_file_that_has_come_or_gone_is_named() {
    let without = rewritten(&layer(), |name, bytes| (name != "bottlecap/NOTICE").then_some(bytes));
    let (status, document) = Subject::new("layer.zip", &without).document();
    assert_eq!(
        (status, &document["problems"][0]),
        (1, &"bottlecap/NOTICE is in the manifest and not in the layer".into())
    );

    let renamed = rewritten(&layer(), |name, bytes| {
        let text = |bytes| String::from_utf8(bytes).unwrap().replace("bottlecap/NOTICE", "bottlecap/OTHER");
        Some(if name == "bottlecap/manifest.json" { text(bytes).into_bytes() } else { bytes })
    });
    let (status, document) = Subject::new("layer.zip", &renamed).document();
    assert_eq!((status, &document["problems"][0]), (1, &"bottlecap/NOTICE is not in the manifest".into()));
}

#[test]
fn a_manifest_that_tells_of_other_switches_is_found_out() {
    let lying = rewritten(&layer(), |name, bytes| {
        if name != "bottlecap/manifest.json" {
            return Some(bytes);
        }
        let mut manifest: Value = serde_json::from_slice(&bytes).unwrap();
        manifest["programs"]["extensions/datadog-agent"]["switches"]["one"] = false.into();
        Some(serde_json::to_vec(&manifest).unwrap())
    });
    let (status, document) = Subject::new("layer.zip", &lying).document();
    assert_eq!(status, 1);
    assert_eq!(document["problems"][0], "extensions/datadog-agent says something else of itself than the manifest");
}

#[test]
fn a_manifest_of_another_version_is_not_guessed_at() {
    let newer = rewritten(&layer(), |name, bytes| {
        Some(if name == "bottlecap/manifest.json" { br#"{"schema": 2}"#.to_vec() } else { bytes })
    });
    let (status, document) = Subject::new("layer.zip", &newer).document();
    assert_eq!((status, &document["manifest"]), (1, &Value::Null));
    assert_eq!(document["problems"][0], "its manifest cannot be used: it is of schema 2, not 1");
}

#[test]
fn a_layer_of_somebody_else_is_told_as_far_as_it_can_be() {
    let zip = foreign(&[("extensions/other", &dynamic_program()), ("python/module.py", b"pass")]);
    let subject = Subject::new("foreign.zip", &zip);
    let (status, page) = subject.page(&[]);
    assert_eq!(status, 0, "{page}");
    for part in [
        "extensions/other",
        "dynamic",
        "libc.so.6",
        "newest symbol GLIBC_2.",
        "Amazon Linux 2 (glibc 2.26): does not start: it needs GLIBC_2.",
        "Note: there is no manifest in it",
    ] {
        assert!(page.contains(part), "{part} is not in:\n{page}");
    }
    let (_, document) = subject.document();
    assert_eq!((&document["manifest"], &document["programs"][0]["told"]), (&Value::Null, &Value::Null));
    assert_eq!(document["programs"][0]["starts"][1]["system"], "Amazon Linux 2023");

    let (status, page) = Subject::new("library.zip", &foreign(&[("python/module.py", b"pass")])).page(&[]);
    assert!(status == 0 && page.contains("Note: there is no extension in it"), "{page}");
}

#[test]
fn a_program_by_itself_is_told_as_well() {
    let (status, document) = Subject::new("datadog-agent", &program()).document();
    assert_eq!((status, &document["kind"], &document["programs"][0]["told"]), (0, &"program".into(), &told()));
    let (status, page) = Subject::new("other", &dynamic_program()).page(&[]);
    assert!(status == 0 && page.contains("it is no build of this extension, and was not asked"), "{page}");
}

#[test]
fn what_cannot_be_looked_at_has_its_own_status() {
    let (status, said) = Subject::new("text", b"hello").page(&[]);
    assert!(status == 2 && said.contains("neither a zip file nor a program"), "{said}");
    let (status, said) = Subject::new("escapes.zip", &foreign(&[("../outside", b"x")])).page(&[]);
    assert!(status == 1 && said.contains("\"../outside\" would not stay below /opt"), "{said}");
    let (status, said) = ended(&mut matrix(&["inspect", "/nonexistent/layer.zip"]));
    assert!(status == 6 && said.contains("/nonexistent/layer.zip cannot be read"), "{said}");
}
