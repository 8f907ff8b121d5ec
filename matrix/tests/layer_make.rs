//! What a layer is made of, that the same inputs are the same bytes, and what is refused.

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "a test that can't go on has failed")]

use crate::layer_support;

use std::collections::BTreeSet;
use std::path::Path;
use std::time::Duration;

use crate::layer_support::{
    arm64_program, build_info, compiled, dynamic_program, ended, inputs, made, matrix, program,
};
use matrix::archive;
use matrix::elf::{Linkage, Relro};
use matrix::executable;
use matrix::hash;
use matrix::layer::Error;
use matrix::layer::budget::{Budgets, Scope};
use matrix::layer::make::{Layer, LayerInputs, Program, Target, make};
use matrix::layer::publish;
use matrix::manifest::Manifest;
use matrix::materials::parts::{Part, Source};
use serde_json::{Value, json};

fn files(layer: &Layer) -> Vec<archive::File> {
    archive::read(&layer.zip).unwrap().into_iter().map(|entry| entry.file).collect()
}

fn file(layer: &Layer, place: &str) -> Vec<u8> {
    files(layer).into_iter().find(|file| file.place == place).unwrap_or_else(|| panic!("{place} is missing")).bytes
}

fn sbom(layer: &Layer) -> Value {
    serde_json::from_slice(&file(layer, "bottlecap/sbom.cdx.json")).unwrap()
}

#[test]
fn the_same_inputs_give_the_same_bytes() {
    let first = made(inputs(program())).unwrap();
    assert_eq!(made(inputs(program())).unwrap().zip, first.zip);
    let mut other = inputs(program());
    other.origin.sources = "another".to_owned();
    assert_ne!(made(other).unwrap().zip, first.zip);
}

#[test]
fn everything_stands_where_lambda_looks_for_it() {
    let mut inputs = inputs(program());
    inputs.programs.push(Program { place: "bottlecap/agent".to_owned(), bytes: program(), build_info: build_info() });
    let layer = made(inputs).unwrap();
    let stands: Vec<_> = files(&layer).iter().map(|file| (file.place.clone(), file.executable)).collect();
    let expected = [
        ("bottlecap/LICENSE", false),
        ("bottlecap/NOTICE", false),
        ("bottlecap/agent", true),
        ("bottlecap/licenses-rust.html", false),
        ("bottlecap/licenses.txt", false),
        ("bottlecap/manifest.json", false),
        ("bottlecap/sbom.cdx.json", false),
        ("datadog_wrapper", true),
        ("extensions/datadog-agent", true),
    ];
    assert_eq!(stands, expected.map(|(place, executable)| (place.to_owned(), executable)));
    assert_eq!(file(&layer, "extensions/datadog-agent"), program());
}

#[test]
fn manifest_names_everything_that_the_layer_is_made_from() {
    let mut inputs = inputs(program());
    inputs.origin.sources = "0123456789+fedcba".to_owned();
    let layer = made(inputs).unwrap();
    let manifest: Value = serde_json::from_slice(&file(&layer, "bottlecap/manifest.json")).unwrap();
    assert_eq!(manifest["schema"], 1);
    assert_eq!(manifest["cell"], "ship-agent");
    assert_eq!(manifest["sources"]["revision"], "0123456789");
    assert_eq!(manifest["sources"]["changes"], "fedcba");
    assert_eq!(manifest["sources"]["lock_sha256"], hash::hexadecimal(b"lock"));
    assert_eq!(manifest["toolchain"]["rustc"], "rustc 9.9.9 (abc 2026-01-01)");
    assert_eq!((&manifest["levels"]["static"], &manifest["levels"]["launcher"]), (&"on".into(), &"off".into()));
    assert_eq!(manifest["programs"]["extensions/datadog-agent"], build_info());
    let agent = &manifest["files"]["extensions/datadog-agent"];
    assert_eq!(agent["sha256"], hash::hexadecimal(&program()));
    assert_eq!((agent["bytes"].as_u64(), &agent["executable"]), (Some(program().len() as u64), &Value::Bool(true)));
}

/// The component of this name.
fn component(bom: &Value, name: &str) -> Value {
    let mut components = bom["components"].as_array().unwrap().iter();
    components.find(|component| component["name"] == name).unwrap_or_else(|| panic!("{name} is missing")).clone()
}

#[test]
fn the_bill_of_materials_names_its_time_its_tool_and_its_supplier() {
    let bom = sbom(&made(inputs(program())).unwrap());
    assert_eq!(
        (&bom["bomFormat"], &bom["specVersion"], &bom["version"]),
        (&"CycloneDX".into(), &"1.5".into(), &1.into())
    );
    let metadata = &bom["metadata"];
    assert_eq!(metadata["timestamp"], "2026-09-21T14:13:20Z", "that of the sources");
    let tool = json!({"type": "application", "name": "matrix", "version": env!("CARGO_PKG_VERSION")});
    assert_eq!(metadata["tools"]["components"], json!([tool]));
    let supplier = json!({"name": "Somebody <somebody@example.com>", "url": ["https://example.com/repository"]});
    assert_eq!((&metadata["supplier"], &metadata["component"]["supplier"]), (&supplier, &supplier));
    assert_eq!(metadata["component"]["licenses"][0]["expression"], "Apache-2.0");
    let serial = bom["serialNumber"].as_str().unwrap().strip_prefix("urn:uuid:").unwrap();
    assert_eq!(serial.split('-').map(str::len).collect::<Vec<_>>(), [8, 4, 4, 4, 12]);
    assert!(serial.chars().all(|c| c == '-' || (c.is_ascii_hexdigit() && !c.is_ascii_uppercase())), "{serial}");
}

#[test]
fn every_component_has_the_package_url_of_what_publishes_it() {
    let bom = sbom(&made(inputs(program())).unwrap());
    let zstd = component(&bom, "zstd-sys");
    assert_eq!((&zstd["type"], &zstd["scope"]), (&"library".into(), &"required".into()));
    assert_eq!(zstd["purl"], "pkg:cargo/zstd-sys@2.1.3%2Bzstd.1.5.7");
    assert_eq!(zstd["licenses"][0]["expression"], "BSD-3-Clause");
    assert_eq!(zstd["author"], "Somebody <somebody@example.com>");
    assert_eq!(zstd["hashes"], json!([{"alg": "SHA-256", "content": "ab".repeat(32)}]));
    assert!(bom["metadata"]["component"].get("purl").is_none(), "nobody publishes our own package");

    let code = component(&bom, "zstd");
    assert_eq!((&code["version"], &code["purl"]), (&"1.5.7".into(), &"pkg:generic/zstd@1.5.7".into()));
    assert_eq!(code["cpe"], "cpe:2.3:a:facebook:zstandard:1.5.7:*:*:*:*:*:*:*");
    assert_eq!(code["licenses"][0]["expression"], "BSD-3-Clause OR GPL-2.0-only");
    assert_eq!(code["externalReferences"], json!([{"type": "vcs", "url": "https://example.com/zstd"}]));

    let libgcc = component(&bom, "libgcc-12-dev");
    let expected = "pkg:deb/debian/libgcc-12-dev@12.2.0-14%2Bx?arch=amd64&distro=debian-12&upstream=gcc-12";
    assert_eq!(
        (&libgcc["purl"], &libgcc["supplier"]["name"]),
        (&expected.into(), &"Somebody <gcc@example.com>".into())
    );
    let glibc = component(&bom, "glibc");
    assert_eq!(glibc["licenses"][0]["expression"], "LGPL-2.1-or-later");
    assert!(glibc["purl"].as_str().unwrap().starts_with("pkg:generic/glibc"), "dpkg knows nothing of it");
    assert_eq!(component(&bom, "rust-std")["version"], "9.9.9");
}

#[test]
fn the_graph_of_dependencies_is_whole() {
    let bom = sbom(&made(inputs(program())).unwrap());
    let components = bom["components"].as_array().unwrap();
    // Every reference is one of a component, each is there once, and the whole graph hangs on ours.
    let root = &bom["metadata"]["component"]["bom-ref"];
    let known: Vec<&Value> = components.iter().map(|component| &component["bom-ref"]).chain([root]).collect();
    let dependencies = bom["dependencies"].as_array().unwrap();
    let listed: BTreeSet<String> = dependencies.iter().map(|dependency| dependency["ref"].to_string()).collect();
    assert_eq!((listed.len(), known.len()), (dependencies.len(), dependencies.len()));
    for dependency in dependencies {
        let needs = dependency["dependsOn"].as_array().into_iter().flatten();
        assert!(needs.chain([&dependency["ref"]]).all(|reference| known.contains(&reference)), "{dependency}");
    }
    let needs = |reference: &Value| {
        let dependency = dependencies.iter().find(|dependency| dependency["ref"] == *reference).unwrap();
        dependency["dependsOn"].clone()
    };
    let reference = |name: &str| component(&bom, name)["bom-ref"].clone();
    let linked = ["zstd-sys", "rust-std", "glibc", "libgcc-12-dev"].map(reference);
    assert_eq!(needs(root), Value::from(linked.to_vec()));
    assert_eq!(needs(&reference("zstd-sys")), json!([reference("zstd")]), "C code hangs on the crate that brings it");
}

#[test]
fn the_licences_are_those_of_the_bill_of_materials() {
    let layer = made(inputs(program())).unwrap();
    let terms = String::from_utf8(file(&layer, "bottlecap/licenses.txt")).unwrap();
    for component in sbom(&layer)["components"].as_array().unwrap() {
        let text = |name: &str| component[name].as_str().unwrap_or_default();
        let title = format!("{} {}", text("name"), text("version"));
        let line = format!("\n{}: {}", title.trim_end(), component["licenses"][0]["expression"].as_str().unwrap());
        assert!(terms.contains(&line), "{line} is not in:\n{terms}");
    }
    assert!(terms.contains("\nzstd 1.5.7\n\nThe terms of zstd.\n"), "{terms}");
}

/// What the programs are made of, and not their bytes: those have their digests in the manifest.
#[test]
fn the_serial_number_follows_the_content_of_the_bill_of_materials() {
    let serial = |change: fn(&mut LayerInputs)| {
        let mut inputs = inputs(program());
        change(&mut inputs);
        sbom(&made(inputs).unwrap())["serialNumber"].clone()
    };
    assert_eq!(serial(|_| {}), serial(|_| {}));
    assert_ne!(serial(|other| other.cell = "another".to_owned()), serial(|_| {}));
    assert_ne!(serial(|other| other.time += Duration::from_secs(1)), serial(|_| {}));
    assert_eq!(serial(|other| other.programs[0].bytes.push(0)), serial(|_| {}));
}

#[test]
fn a_program_that_would_not_start_is_refused_with_the_reason_and_the_remedy() {
    let error = made(inputs(dynamic_program())).unwrap_err();
    assert_eq!(error.status(), 1);
    let said = error.to_string();
    for part in
        ["extensions/datadog-agent would not start on Amazon Linux 2: it needs GLIBC_2.", "the C library there is 2.26"]
    {
        assert!(said.contains(part), "{said}");
    }
    assert!(said.contains("--set ship-agent+static") && said.contains("--glibc-floor 2.34"), "{said}");

    let mut for_the_newer = inputs(dynamic_program());
    for_the_newer.target.glibc_floor = "2.34".parse().unwrap();
    let components = sbom(&made(for_the_newer).unwrap())["components"].clone();
    let names: Vec<_> = components.as_array().unwrap().iter().map(|part| part["name"].to_string()).collect();
    assert_eq!(names, ["\"zstd-sys\"", "\"rust-std\"", "\"zstd\""], "nothing of the C library is in it");
}

/// What each level of `binding` asks of the compiler, for each way in which programs of layers are linked.
#[test]
fn a_program_that_is_bound_lazily_is_refused() {
    let manifest = Manifest::embedded().unwrap();
    let binding = manifest.factor("binding").unwrap();
    let linked: [&[&str]; 3] = [&[], &["-C", "relocation-model=static"], &["-C", "target-feature=-crt-static"]];
    for link in linked {
        for (level, expected) in [("eager", Relro::Full), ("lazy", Relro::Partial)] {
            let flags = binding.setting(level).unwrap().rustflags.iter().map(String::as_str);
            let program = compiled(&link.iter().copied().chain(flags).collect::<Vec<_>>());
            assert_eq!(Linkage::of(&program).unwrap().relro, expected, "{link:?} {level}");
            let mut inputs = inputs(program);
            inputs.target.glibc_floor = "2.34".parse().unwrap();
            let refused = made(inputs.clone()).err();
            let is_refused = matches!(refused, Some(Error::Writable { relro: Relro::Partial, .. }));
            assert_eq!(is_refused, level == "lazy", "{link:?} {level}: {refused:?}");
            // Who asks for it has it.
            inputs.levels.insert("binding".to_owned(), level.to_owned());
            made(inputs).unwrap();
        }
    }
}

#[test]
fn a_program_for_another_processor_is_refused() {
    let mut foreign = inputs(program());
    foreign.target.architecture = "another".to_owned();
    assert!(matches!(made(foreign), Err(Error::Architecture { wanted, .. }) if wanted == "another"));
    assert!(matches!(made(inputs(b"#!/bin/sh\n".into())), Err(Error::Silent { .. })));
}

#[test]
fn a_layer_for_another_processor_has_what_was_linked_into_it() {
    let part = |name: &'static str, version: &str| Part {
        name,
        version: version.to_owned(),
        licence: "MIT",
        about: "linked in",
        source: Source::Compiler,
        product: None,
        texts: vec![format!("The terms of {name}.")],
    };
    let mut inputs = inputs(arm64_program());
    inputs.target = Target {
        flavour: "arm64-musl".to_owned(),
        triple: "aarch64-unknown-linux-musl".to_owned(),
        architecture: "arm64".to_owned(),
        glibc_floor: "2.26".parse().unwrap(),
    };
    inputs.parts = vec![part("musl", "9.8.7"), part("llvm-libunwind", "")];
    inputs.texts.rust_place = "bottlecap/licenses-rust.txt".to_owned();
    let layer = made(inputs).unwrap();
    let manifest: Value = serde_json::from_slice(&file(&layer, "bottlecap/manifest.json")).unwrap();
    assert_eq!((&manifest["flavour"], &manifest["architecture"]), (&"arm64-musl".into(), &"arm64".into()));
    assert_eq!(manifest["target"], "aarch64-unknown-linux-musl");
    assert_eq!((&manifest["toolchain"]["musl"], &manifest["toolchain"]["glibc"]), (&"9.8.7".into(), &Value::Null));
    let components = sbom(&layer)["components"].clone();
    let names: Vec<_> = components.as_array().unwrap().iter().map(|part| part["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["zstd-sys", "rust-std", "musl", "llvm-libunwind"], "and nothing of another C library");
    let terms = String::from_utf8(file(&layer, "bottlecap/licenses.txt")).unwrap();
    assert!(terms.contains("musl 9.8.7: MIT; linked in") && terms.contains("The terms of musl."), "{terms}");
    assert_eq!(file(&layer, "bottlecap/licenses-rust.txt"), b"<p>");
}

#[test]
fn a_flavour_has_a_budget_of_its_own() {
    let budgets: Budgets = toml::from_str("[\"ship-agent@arm64\"]\nzipped = 1\nunzipped = 1\nfiles = {}").unwrap();
    let of = |flavour: &str| {
        let mut inputs = inputs(program());
        inputs.target.flavour = flavour.to_owned();
        make(inputs, &budgets)
    };
    assert_eq!(of("x86_64").unwrap().budget, None);
    let error = of("arm64").unwrap_err().to_string();
    assert!(error.contains("the layer of ship-agent@arm64 is too large"), "{error}");
}

#[test]
fn a_layer_beyond_its_budget_is_refused_with_what_grew() {
    let unzipped = made(inputs(program())).unwrap().unzipped;
    let budget = |unzipped: u64| {
        let text = format!(
            "[ship-agent]\nzipped = 999999999\nunzipped = {unzipped}\nfiles = {{ \"extensions/datadog-agent\" = {} }}",
            program().len() - 1
        );
        toml::from_str::<Budgets>(&text).unwrap()
    };
    assert_eq!(make(inputs(program()), &budget(unzipped)).unwrap().budget, Some(Scope::Cell));
    let error = make(inputs(program()), &budget(unzipped - 1)).unwrap_err();
    let said = error.to_string();
    assert_eq!(error.status(), 1);
    assert!(said.contains("1 more than its budget") && said.contains("matrix/layer-budgets.toml"), "{said}");
    assert!(said.contains("extensions/datadog-agent has grown by 1 bytes"), "{said}");
    let mut other = inputs(program());
    other.cell = "ship-agent+launcher".to_owned();
    assert_eq!(make(other, &budget(1)).unwrap().budget, None, "the budget is that of the set alone");
}

#[test]
fn cell_without_a_budget_of_its_own_uses_the_general_one() {
    let small = made(inputs(program())).unwrap();
    let budgets = format!(
        "[general]\nzipped = {}\nunzipped = {}\n[general.more.launcher]\nzipped = 0\nunzipped = 10",
        small.zip.len() + 100,
        small.unzipped - 10
    );
    let budgets: Budgets = toml::from_str(&budgets).unwrap();
    let error = make(inputs(program()), &budgets).unwrap_err();
    assert_eq!(error.status(), 1);
    assert!(error.to_string().contains("10 more than its budget"), "{error}");
    let mut with_launcher = inputs(program());
    with_launcher.levels.insert("launcher".to_owned(), "on".to_owned());
    assert_eq!(make(with_launcher, &budgets).unwrap().budget, Some(Scope::General));
}

#[test]
fn the_publish_command_is_that_of_the_layer() {
    let mut inputs = inputs(program());
    inputs.cell = "ship+jemalloc".to_owned();
    inputs.origin.sources = "0123456789+fedcba".to_owned();
    inputs.programs[0].build_info["version"] = "1.2.3".into();
    let layer = made(inputs).unwrap();
    let command = publish::command(&layer.contents, Path::new("my layers/layer.zip"));
    let expected = [
        "aws lambda publish-layer-version",
        "--layer-name bottlecap-ship-jemalloc-x86_64",
        "--description 'bottlecap 1.2.3 ship+jemalloc from 0123456789 with changes'",
        "--license-info Apache-2.0",
        &format!("--compatible-architectures {}", layer.contents.architecture),
        "--zip-file 'fileb://my layers/layer.zip'",
    ];
    let lines: Vec<&str> = command.split(" \\\n  ").collect();
    for part in expected {
        assert!(lines.contains(&part), "{part} is not in\n{command}");
    }
    let mut archived = layer.contents.clone();
    archived.sources.changes = Some("all-fedcba".to_owned());
    let command = publish::command(&archived, Path::new("layer.zip"));
    assert!(command.contains("from 0123456789 without history'"), "nobody knows of changes: {command}");
    let runtimes = lines.iter().find_map(|line| line.strip_prefix("--compatible-runtimes ")).unwrap();
    assert!(runtimes.split(' ').any(|runtime| runtime == "provided.al2023"), "{runtimes}");
}

#[test]
fn what_has_no_licence_is_refused() {
    let nothing = tempfile::tempdir().unwrap();
    let mut inputs = inputs(program());
    for package in inputs.packages.0.values_mut() {
        package.licence = None;
        package.folder = nothing.path().to_owned();
    }
    let error = made(inputs).unwrap_err();
    assert_eq!(error.status(), 1);
    assert!(error.to_string().contains("zstd-sys 2.1.3+zstd.1.5.7 neither names a licence"), "{error}");
}

#[test]
fn what_cannot_be_built_is_refused_before_anything_is() {
    let cases: [(&[&str], &str); 8] = [
        (&["--set", "ship-late-runtime"], "pipelined-next needs late-runtime"),
        (&["--features", "-static"], "fixed-address needs static"),
        (&["--features", "x86-64-v3"], "is refused: Lambda does not promise AVX2"),
        (&["--glibc-floor", "2.36"], "the newest glibc on Lambda is 2.34 (Amazon Linux 2023)"),
        (&["--libc", "musl", "--glibc-floor", "2.34"], "does not apply to --libc musl"),
        (&["--libc", "musl", "--set", "baseline"], "static=off cannot be had in this flavour"),
        (&["--arch", "arm64", "--set", "seed"], "link it statically, for any glibc: `--features static,fixed-address`"),
        (&["--set", "baseline+static-libgcc"], "zig links an unwinder of its own"),
    ];
    for (arguments, reason) in cases {
        let (status, said) = ended(matrix(&["layer"]).args(arguments).current_dir(layer_support::root()));
        assert_eq!(status, 2, "{said}");
        assert!(said.contains(reason), "{said}");
    }
}

#[test]
fn missing_tools_of_the_fips_module_are_named_in_one_line_before_anything_is_built() {
    let tools = tempfile::tempdir().unwrap();
    let path = std::env::var_os("PATH").unwrap();
    for name in ["cargo", "cc", "git", "make", "rustc"] {
        let program = std::env::split_paths(&path).map(|folder| folder.join(name)).find(|program| program.exists());
        std::os::unix::fs::symlink(program.unwrap(), tools.path().join(name)).unwrap();
    }
    for arguments in [
        &["layer", "--set", "ship-fips"][..],
        &["fips-report", "--no-benchmark", "--allow-dirty"],
        &["build", "ship-fips"],
    ] {
        let mut command = matrix(arguments);
        command.env("PATH", tools.path()).env_remove("CMAKE").env_remove("GO").current_dir(layer_support::root());
        // Where nothing is built already.
        let (status, said) = ended(command.env("CARGO_TARGET_DIR", tools.path().join("target")));
        assert_eq!(status, 6, "{said}");
        let line = "error: not installed: cmake, golang-go; install with: apt-get update && apt-get install \
            --no-install-recommends cmake golang-go";
        assert_eq!(said.lines().filter(|said| !said.starts_with("note: ")).collect::<Vec<_>>(), [line]);
    }
}

#[test]
fn another_compiler_is_refused_before_anything_is_built() {
    let folder = tempfile::tempdir().unwrap();
    let rustc = folder.path().join("rustc");
    executable::write(&rustc, "#!/bin/sh\necho 'rustc 1.2.3 (abc 2015-01-01)'\n").unwrap();
    let path = format!("{}:{}", folder.path().display(), std::env::var("PATH").unwrap());
    let (status, said) = ended(matrix(&["layer"]).env("PATH", path).current_dir(layer_support::root()));
    assert_eq!(status, 6, "{said}");
    assert!(said.contains("rustc 1.2.3 (abc 2015-01-01)") && said.contains("rustup toolchain install"), "{said}");
}

#[test]
fn sources_that_are_no_commits_are_refused_where_that_was_asked_for() {
    let workspace = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| std::fs::write(workspace.path().join(name), text).unwrap();
    std::fs::create_dir(workspace.path().join("src")).unwrap();
    write("Cargo.toml", "[package]\nname = \"bottlecap\"\nversion = \"1.0.0\"\n");
    write("src/main.rs", "fn main() {}");
    let (status, said) = ended(matrix(&["layer", "--refuse-dirty"]).current_dir(workspace.path()));
    assert!(status == 1 && said.contains("the sources are not those of a commit (unknown+"), "{status} {said}");
    let (status, said) = ended(matrix(&["layer"]).env_remove("SOURCE_DATE_EPOCH").current_dir(workspace.path()));
    assert!(status == 6 && said.contains("set SOURCE_DATE_EPOCH") && !said.contains("git has to be there"), "{said}");
}
