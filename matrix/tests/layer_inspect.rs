//! `cargo matrix inspect` of a layer of ours, of one that somebody has changed, and of those of others.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test that can't go on has failed")]

use std::fs;
use std::path::PathBuf;
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use crate::layer_support::{
    answering, arm64_program, below, build_info, doubled, dynamic_program, ended, foreign, inputs, made, matrix,
    program, rewritten, with_directory, with_modes,
};
use matrix::archive::{File, places};
use matrix::build::waf;
use matrix::layer::make::Program;
use serde_json::{Value, json};
use tempfile::TempDir;

/// A file to be looked at.
struct InspectedFile {
    _folder: TempDir,
    path: PathBuf,
}

impl InspectedFile {
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
        self.document_with(&[])
    }

    fn document_with(&self, options: &[&str]) -> (i32, Value) {
        let (status, said) = self.page(&[&["--json"], options].concat());
        (status, serde_json::from_str(&said).unwrap())
    }

    /// Asserts that a pipeline would stop at this file, and why.
    fn assert_refused(&self, options: &[&str], problem: &str) {
        let (status, document) = self.document_with(options);
        let problems = document["problems"].as_array().unwrap();
        assert!(
            status == 1 && problems.iter().any(|it| it.as_str().unwrap().contains(problem)),
            "{problem}: {document:#}"
        );
    }
}

fn layer() -> Vec<u8> {
    made(inputs(program())).unwrap().zip
}

#[test]
fn layer_contents_match_its_manifest() {
    let file = InspectedFile::new("layer.zip", &layer());
    let (status, page) = file.page(&[]);
    assert_eq!(status, 0, "{page}");
    for part in [
        "cell          ship-agent",
        "rustc 9.9.9 (abc 2026-01-01)",
        "linked        static",
        "RELRO         full",
        "Amazon Linux 2 (glibc 2.26): starts",
        "Amazon Linux 2023 (glibc 2.34): starts",
        "52428800 can be uploaded directly",
        "262144000 may be in a function with all of its layers",
        "Its bill of materials: CycloneDX 1.5 of 2026-09-21T14:13:20Z made by matrix",
        "supplied by Somebody <somebody@example.com>: 5 components, 1 pkg:cargo, 1 pkg:deb, 3 pkg:generic",
        "Every file is what the manifest says.",
    ] {
        assert!(page.contains(part), "{part} is not in:\n{page}");
    }
    let (status, document) = file.document();
    assert_eq!((status, &document["kind"], &document["problems"]), (0, &"layer".into(), &Value::Array(Vec::new())));
    assert_eq!(document["manifest"]["cell"], "ship-agent");
    let materials = &document["materials"];
    assert_eq!((&materials["timestamp"], &materials["components"]["deb"]), (&"2026-09-21T14:13:20Z".into(), &1.into()));
    assert_eq!(document["programs"][0]["told"], Value::Null, "nothing is started");
    let (status, document) = file.document_with(&["--run"]);
    assert_eq!((status, &document["programs"][0]["told"]), (0, &build_info()), "{document:#}");
    assert_eq!(document["files"].as_array().unwrap().len(), 8);
}

/// A layer with the WAF worker, its library and its rules beside an agent.
fn protected() -> Vec<u8> {
    let folder = waf::folder().unwrap();
    let worker = fs::read(folder.join(waf::NAME)).unwrap();
    let mut inputs = inputs(program());
    inputs.levels.insert(waf::SWITCH.to_owned(), "on".to_owned());
    let build_info = waf::document(&worker).unwrap();
    inputs.programs.push(Program { place: places::WAF.to_owned(), bytes: worker, build_info });
    for (place, name) in [(places::WAF_LIBRARY, waf::LIBRARY), (places::WAF_RULES, waf::RULES)] {
        let bytes = fs::read(folder.join(name)).unwrap();
        inputs.files.push(File { place: place.to_owned(), bytes, executable: false });
    }
    made(inputs).unwrap().zip
}

#[test]
fn a_worker_starts_beside_its_library_and_is_not_left_alone() {
    const DISAGREEMENT: &str = "its levels and its files disagree on whether there is a bottlecap/waf";
    let zip = protected();
    let (_, document) = InspectedFile::new("layer.zip", &zip).document();
    let programs = document["programs"].as_array().unwrap();
    let worker = programs.iter().find(|program| program["place"] == places::WAF).unwrap();
    for start in worker["starts"].as_array().unwrap() {
        assert_eq!(start["obstacles"], json!([]), "{worker:#}");
    }
    assert!(!document["problems"].to_string().contains(DISAGREEMENT), "{:#}", document["problems"]);
    let without = rewritten(&zip, |place, bytes| (place != places::WAF_LIBRARY).then_some(bytes));
    let file = InspectedFile::new("layer.zip", &without);
    file.assert_refused(&[], "bottlecap/libddwaf.so is in the manifest and not in the layer");
    let (_, document) = file.document();
    assert!(document["programs"].to_string().contains("it needs libddwaf.so, which is not there"), "{document:#}");
    let mut bare = inputs(program());
    bare.levels.insert(waf::SWITCH.to_owned(), "on".to_owned());
    InspectedFile::new("layer.zip", &made(bare).unwrap().zip).assert_refused(&[], DISAGREEMENT);
}

#[test]
fn inspect_describes_a_layer_for_another_processor_without_executing_it() {
    let mut inputs = inputs(arm64_program());
    inputs.target.architecture = "arm64".to_owned();
    inputs.target.flavour = "arm64".to_owned();
    let file = InspectedFile::new("layer.zip", &made(inputs).unwrap().zip);
    let (status, page) = file.page(&[]);
    assert_eq!(status, 0, "{page}");
    for part in ["flavour       arm64", "linked        static, arm64", "Amazon Linux 2 (glibc 2.26): starts"] {
        assert!(page.contains(part), "{part} is not in:\n{page}");
    }
    // An emulator finds no code in it; that there is none is no fault of the layer.
    let (status, said) = file.page(&["--run"]);
    let is_refused = status == 1 && said.contains("extensions/datadog-agent did not say what it is: ");
    assert!(is_refused || (status == 6 && said.contains("there is no emulator of that here")), "{status}: {said}");
}

/// Where a program of a layer can neither be written nor be started.
#[test]
fn unstartable_program_leaves_the_layer_unjudged() {
    let good = InspectedFile::new("layer.zip", &layer());
    let changed =
        rewritten(&layer(), |name, bytes| Some(if name == "bottlecap/LICENSE" { b"mine".into() } else { bytes }));
    let bad = InspectedFile::new("layer.zip", &changed);
    let without_disk =
        |file: &InspectedFile| ended(matrix(&["inspect", "--run"]).arg(&file.path).env("TMPDIR", "/nonexistent"));
    // Root of a namespace without anybody else: nobody can become nobody there.
    let without_users = |file: &InspectedFile| {
        let unshare = ["--user", "--map-root-user", env!("CARGO_BIN_EXE_matrix"), "inspect", "--run"];
        ended(Command::new("unshare").args(unshare).arg(&file.path))
    };
    for (status, said) in [without_disk(&good), without_users(&good)] {
        assert_eq!(status, 6, "{said}");
        assert!(said.contains("was not asked what it is, because of this machine\n  because "), "{said}");
    }
    let (status, said) = without_disk(&bad);
    assert!(status == 1 && said.contains("bottlecap/LICENSE is not what the manifest says"), "{said}");
    assert!(said.contains("because of this machine"), "{said}");
    let (status, said) = without_disk(&InspectedFile::new("datadog-agent", &program()));
    assert_eq!(status, 6, "{said}");
}

#[test]
fn a_program_that_does_not_start_anywhere_is_refused() {
    let mut broken = program();
    // The dump of a process, by its header.
    broken[16] = 4;
    let (status, said) = InspectedFile::new("datadog-agent", &broken).page(&["--run"]);
    assert!(status == 1 && said.contains("it did not say what it is: "), "{status}: {said}");
}

/// Tells as whom it runs and how many network interfaces it has, and leaves a process behind that holds its output.
const ANSWER: &str = r#"
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let user = status.lines().find_map(|line| line.strip_prefix("Uid:")).unwrap().split_whitespace().next().unwrap();
    let interfaces = std::fs::read_to_string("/proc/self/net/dev").unwrap().lines().count() - 2;
    std::process::Command::new("/bin/sleep").arg("600").spawn().unwrap();
    println!("{{\"user\": {user}, \"interfaces\": {interfaces}}}");
"#;

#[test]
fn run_starts_programs_as_an_unprivileged_user_without_network() {
    let file = InspectedFile::new("layer.zip", &made(inputs(answering::<&str>(ANSWER, &[]))).unwrap().zip);
    let (_, document) = file.document();
    assert_eq!(document["programs"][0]["told"], Value::Null, "nothing is started");
    let (status, document) = file.document_with(&["--run"]);
    let build_info = &document["programs"][0]["told"];
    assert_eq!((&build_info["user"], &build_info["interfaces"]), (&65_534.into(), &1.into()), "{document:#}");
    assert_eq!(status, 1, "it is not what the manifest says");
}

#[test]
fn nothing_that_a_program_has_started_is_left_behind() {
    let duration = format!("6000.{}", std::process::id());
    let start = format!(
        "std::process::Command::new(\"setsid\").args([\"sleep\", \"{duration}\"]).stdout(std::process::Stdio::null()).spawn().unwrap();"
    );
    for (answer, status) in [("println!(\"{{}}\");", 0), ("loop { std::thread::park() }", 1)] {
        let program = answering::<&str>(&format!("{start} {answer}"), &[]);
        let (ended, said) = InspectedFile::new("datadog-agent", &program).page(&["--run"]);
        assert_eq!(ended, status, "{said}");
        let is_left = || {
            let processes = fs::read_dir("/proc").unwrap().flatten().map(|process| process.path().join("cmdline"));
            let lines = processes.filter_map(|line| fs::read(line).ok());
            lines.filter(|line| line.windows(duration.len()).any(|part| part == duration.as_bytes())).count()
        };
        // The kernel ends what is in the namespace of a process that was killed.
        let began = Instant::now();
        while status != 0 && is_left() > 0 && began.elapsed() < Duration::from_secs(10) {
            thread::sleep(Duration::from_millis(5));
        }
        assert_eq!(is_left(), 0, "{answer}");
    }
}

#[test]
fn only_mode_755_and_644_are_accepted() {
    const EXTENSION: &str = "extensions/datadog-agent";
    let cases = [
        (EXTENSION, 0o700, "not executable for everybody"),
        (EXTENSION, 0o644, "not executable for everybody"),
        (EXTENSION, 0o777, "writable by others"),
        (EXTENSION, 0o4755, "setuid"),
        (EXTENSION, 0o555, "neither 0644 nor 0755"),
        ("bottlecap/sbom.cdx.json", 0o600, "not readable for everybody"),
        ("bottlecap/NOTICE", 0o664, "writable by others"),
    ];
    for (place, mode, problem) in cases {
        let zip = with_modes(&layer(), |name| (name == place).then_some(mode));
        InspectedFile::new("layer.zip", &zip).assert_refused(&[], &format!("{place} has mode {mode:04o}: it is"));
        InspectedFile::new("layer.zip", &zip).assert_refused(&[], problem);
    }
    // Somebody else's files may have other modes, as long as Lambda can use them and nobody else can change them.
    let other = foreign(&[("extensions/other", &dynamic_program())]);
    assert_eq!(InspectedFile::new("zip", &with_modes(&other, |_| Some(0o555))).document().0, 0);
    InspectedFile::new("zip", &with_modes(&other, |_| Some(0o700))).assert_refused(&[], "not executable for everybody");
}

#[test]
fn directories_without_world_execute_bits_are_refused() {
    let with = |zip: &[u8], mode: u32| {
        let zip = with_directory(zip, "extensions/");
        InspectedFile::new("layer.zip", &with_modes(&zip, |name| (name == "extensions/").then_some(mode)))
    };
    let cases = [(0o700, "not open to everybody"), (0o777, "writable by others"), (0o555, "it is not 0755")];
    for (mode, problem) in cases {
        with(&layer(), mode).assert_refused(&[], &format!("extensions/ has mode {mode:04o}: it is"));
        with(&layer(), mode).assert_refused(&[], problem);
    }
    assert_eq!(with(&layer(), 0o755).document().0, 0);
    let other = foreign(&[("extensions/other", &dynamic_program())]);
    assert_eq!(with(&other, 0o555).document().0, 0);
    with(&other, 0o700).assert_refused(&[], "not open to everybody");
}

#[test]
fn a_folder_around_the_layer_is_refused() {
    InspectedFile::new("layer.zip", &below("layer", &layer())).assert_refused(&[], "everything is below layer/");
    let (status, _) = InspectedFile::new("python.zip", &foreign(&[("python/module.py", b"pass")])).document();
    assert_eq!(status, 0, "a library has no extension");
}

#[test]
fn a_manifest_can_be_required() {
    let without = rewritten(&layer(), |name, bytes| (name != "bottlecap/manifest.json").then_some(bytes));
    let file = InspectedFile::new("layer.zip", &without);
    assert_eq!(file.document().0, 0, "it could be anybody's");
    file.assert_refused(&["--require-manifest"], "there is no manifest in it, and one is required");
    assert_eq!(InspectedFile::new("layer.zip", &layer()).document_with(&["--require-manifest"]).0, 0);
}

#[test]
fn a_hash_can_be_expected() {
    let zip = layer();
    let sha256 = matrix::hash::hexadecimal(&zip);
    let file = InspectedFile::new("layer.zip", &zip);
    assert_eq!(file.document_with(&["--expect-sha256", &sha256.to_uppercase()]).0, 0);
    let other = "0".repeat(64);
    file.assert_refused(&["--expect-sha256", &other], &format!("its SHA-256 is {sha256}, and {other} was expected"));
}

#[test]
fn a_manifest_that_contradicts_itself_is_refused_without_a_start() {
    let with = |change: fn(&mut Value)| {
        let zip = rewritten(&layer(), |name, bytes| {
            if name != "bottlecap/manifest.json" {
                return Some(bytes);
            }
            let mut manifest = serde_json::from_slice(&bytes).unwrap();
            change(&mut manifest);
            Some(serde_json::to_vec(&manifest).unwrap())
        });
        InspectedFile::new("layer.zip", &zip)
    };
    let of_program = "the manifest contradicts extensions/datadog-agent: ";
    with(|it| it["build"]["features"] = Value::Array(Vec::new()))
        .assert_refused(&[], &format!("{of_program}bind-first is on"));
    with(|it| it["build"]["profile"]["opt-level"] = "3".into()).assert_refused(&[], "its opt-level is z, not 3");
    with(|it| it["sources"]["revision"] = "abc".into())
        .assert_refused(&[], "it was built from commit 0123456789, not abc");
    let commit = |it: &mut Value| {
        it["sources"]["revision"] = "c0ffee00c0ffee".into();
        it["programs"]["extensions/datadog-agent"]["git_sha"] = "c0ffee00c0ffee".into();
    };
    with(commit).assert_refused(&[], "commit c0ffee00c0ffee is not in the file");
    let dirty = |it: &mut Value| it["programs"]["extensions/datadog-agent"]["git_sha"] = "0123456789-dirty".into();
    with(dirty).assert_refused(&[], "it was built from sources that differ from their commit");
    with(|it| it["programs"] = Value::Object(serde_json::Map::new()))
        .assert_refused(&[], "the manifest does not say what");
    with(|it| it["levels"]["allocator"] = "jemalloc".into()).assert_refused(&[], "its levels ask for the features");
    with(|it| it["levels"]["opt-level"] = "3".into()).assert_refused(&[], "its levels ask for opt-level 3");
    with(|it| it["levels"]["binding"] = "lazy".into()).assert_refused(&[], "its levels ask for the flag");
    with(|it| it["levels"]["launcher"] = "on".into()).assert_refused(&[], "is executed by a launcher");
}

#[test]
fn a_layer_without_a_bill_of_materials_is_refused() {
    let zip = rewritten(&layer(), |name, bytes| match name {
        "bottlecap/sbom.cdx.json" => None,
        "bottlecap/manifest.json" => {
            let mut manifest: Value = serde_json::from_slice(&bytes).unwrap();
            manifest["files"].as_object_mut().unwrap().remove("bottlecap/sbom.cdx.json");
            Some(serde_json::to_vec(&manifest).unwrap())
        }
        _ => Some(bytes),
    });
    InspectedFile::new("layer.zip", &zip).assert_refused(&[], "there is no bottlecap/sbom.cdx.json");
}

#[test]
fn a_bill_of_materials_that_cannot_be_read_is_refused() {
    for (content, reason) in [("{\"bomFormat\":\"SPDX\"}", "it is no CycloneDX document"), ("{", "EOF while parsing")] {
        let zip = rewritten(&layer(), |name, bytes| {
            Some(if name == "bottlecap/sbom.cdx.json" { content.into() } else { bytes })
        });
        InspectedFile::new("layer.zip", &zip)
            .assert_refused(&[], &format!("bottlecap/sbom.cdx.json cannot be used: {reason}"));
    }
}

#[test]
fn a_bill_of_materials_of_another_layer_is_refused() {
    for (said, other, problem) in [
        ("\"cell\": \"ship-agent\"", "\"cell\": \"seed\"", "its cell is ship-agent, and that of the manifest seed"),
        (
            "\"revision\": \"0123456789\"",
            "\"revision\": \"98\"",
            "its revision is 0123456789, and that of the manifest 98",
        ),
    ] {
        let zip = rewritten(&layer(), |name, bytes| {
            let text = String::from_utf8_lossy(&bytes).into_owned();
            Some(if name == "bottlecap/manifest.json" { text.replace(said, other).into_bytes() } else { bytes })
        });
        let problem = format!("bottlecap/sbom.cdx.json is of another layer: {problem}");
        InspectedFile::new("layer.zip", &zip).assert_refused(&[], &problem);
    }
}

#[test]
fn a_file_that_was_changed_is_named_and_its_program_is_not_started() {
    let changed = rewritten(&layer(), |name, mut bytes| {
        if name == "extensions/datadog-agent" {
            bytes.push(0);
        }
        Some(bytes)
    });
    let file = InspectedFile::new("layer.zip", &changed);
    let (status, document) = file.document();
    assert_eq!(status, 1, "{document:#}");
    let problem = document["problems"][0].as_str().unwrap();
    assert!(problem.starts_with("extensions/datadog-agent is not what the manifest says: it has"), "{problem}");
    assert_eq!(document["problems"].as_array().unwrap().len(), 1);
    let (_, document) = file.document_with(&["--run"]);
    assert_eq!(document["programs"][0]["told"], Value::Null);
    let (_, page) = file.page(&[]);
    assert!(page.contains("Wrong: extensions/datadog-agent") && !page.contains("Every file"), "{page}");
}

#[test]
fn added_and_removed_files_are_named() {
    let without = rewritten(&layer(), |name, bytes| (name != "bottlecap/NOTICE").then_some(bytes));
    let (status, document) = InspectedFile::new("layer.zip", &without).document();
    assert_eq!(
        (status, &document["problems"][0]),
        (1, &"bottlecap/NOTICE is in the manifest and not in the layer".into())
    );

    let renamed = rewritten(&layer(), |name, bytes| {
        let text = |bytes| String::from_utf8(bytes).unwrap().replace("bottlecap/NOTICE", "bottlecap/OTHER");
        Some(if name == "bottlecap/manifest.json" { text(bytes).into_bytes() } else { bytes })
    });
    let (status, document) = InspectedFile::new("layer.zip", &renamed).document();
    assert_eq!((status, &document["problems"][0]), (1, &"bottlecap/NOTICE is not in the manifest".into()));
}

#[test]
fn a_second_entry_of_the_same_name_is_found_wherever_it_stands() {
    let zip = doubled(&layer(), places::EXTENSION, b"#!/bin/sh\necho other\n");
    let (status, said) = InspectedFile::new("layer.zip", &zip).page(&["--require-manifest"]);
    assert!(status == 1 && said.contains("\"extensions/datadog-agent\" is in it twice"), "{said}");
    assert!(!said.contains("Every file is what the manifest says"), "{said}");
    // By its entries, it has another name than by its directory.
    let mut zip = layer();
    let name = zip.windows(places::EXTENSION.len()).position(|name| name == places::EXTENSION.as_bytes()).unwrap();
    zip[name] = b'E';
    InspectedFile::new("layer.zip", &zip).assert_refused(&[], "its directory is not that of its entries");
}

#[test]
fn manifest_with_other_switches_is_refused() {
    let lying = rewritten(&layer(), |name, bytes| {
        if name != "bottlecap/manifest.json" {
            return Some(bytes);
        }
        let mut manifest: Value = serde_json::from_slice(&bytes).unwrap();
        manifest["programs"]["extensions/datadog-agent"]["name"] = "other".into();
        Some(serde_json::to_vec(&manifest).unwrap())
    });
    let file = InspectedFile::new("layer.zip", &lying);
    file.assert_refused(&["--run"], "extensions/datadog-agent says something else of itself than the manifest");
}

#[test]
fn a_manifest_of_another_version_is_not_guessed_at() {
    let newer = rewritten(&layer(), |name, bytes| {
        Some(if name == "bottlecap/manifest.json" { br#"{"schema": 2}"#.to_vec() } else { bytes })
    });
    let (status, document) = InspectedFile::new("layer.zip", &newer).document();
    assert_eq!((status, &document["manifest"]), (1, &Value::Null));
    assert_eq!(document["problems"][0], "its manifest cannot be used: it is of schema 2, not 1");
}

#[test]
fn inspect_describes_a_foreign_layer() {
    let zip = foreign(&[("extensions/other", &dynamic_program()), ("python/module.py", b"pass")]);
    let file = InspectedFile::new("foreign.zip", &zip);
    let (status, page) = file.page(&[]);
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
    let (_, document) = file.document();
    assert_eq!((&document["manifest"], &document["programs"][0]["told"]), (&Value::Null, &Value::Null));
    assert_eq!(document["programs"][0]["starts"][1]["system"], "Amazon Linux 2023");

    let (status, page) = InspectedFile::new("library.zip", &foreign(&[("python/module.py", b"pass")])).page(&[]);
    assert!(status == 0 && page.contains("Note: there is no extension in it"), "{page}");
}

#[test]
fn inspect_describes_a_bare_program() {
    let (status, document) = InspectedFile::new("datadog-agent", &program()).document_with(&["--run"]);
    assert_eq!((status, &document["kind"], &document["programs"][0]["told"]), (0, &"program".into(), &build_info()));
    let (status, page) = InspectedFile::new("other", &dynamic_program()).page(&[]);
    assert!(status == 0 && page.contains("it is no build of this extension, and was not asked"), "{page}");
}

#[test]
fn what_cannot_be_looked_at_has_its_own_status() {
    let (status, said) = InspectedFile::new("text", b"hello").page(&[]);
    assert!(status == 2 && said.contains("neither a zip file nor a 64-bit ELF program"), "{said}");
    let (status, said) = InspectedFile::new("escapes.zip", &foreign(&[("../outside", b"x")])).page(&[]);
    assert!(status == 1 && said.contains("\"../outside\" would not stay below /opt"), "{said}");
    let (status, said) = ended(&mut matrix(&["inspect", "/nonexistent/layer.zip"]));
    assert!(status == 6 && said.contains("/nonexistent/layer.zip cannot be read"), "{said}");
    let pipe = InspectedFile::new("pipe", b"");
    fs::remove_file(&pipe.path).unwrap();
    assert!(Command::new("mkfifo").arg(&pipe.path).status().unwrap().success());
    for path in ["/dev/zero", pipe.path.to_str().unwrap()] {
        let (status, said) = ended(&mut matrix(&["inspect", path]));
        assert!(status == 6 && said.contains("it is a device or a pipe"), "{path}: {status}: {said}");
    }
}
