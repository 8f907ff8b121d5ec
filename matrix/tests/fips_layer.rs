//! `cargo matrix fips-report --layer`: zip files that are not the layer that is proven are refused, each for its reason and before anything is built.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test that can't go on has failed")]

use std::fs;
use std::path::{Path, PathBuf};

use crate::layer_support::{
    answering, arm64_program, build_info, ended, foreign, inputs, made, matrix, program, rewritten,
};
use matrix::archive::{File, places};
use matrix::build::recipe::Recipe;
use matrix::build::{launcher, waf};
use matrix::fips_report::layer::{ExpectedLayer, LayerFile};
use matrix::layer::make::{LayerInputs, Program};
use matrix::manifest::{Levels, Manifest};
use matrix::target::Architecture;
use tempfile::TempDir;

fn saved(bytes: &[u8]) -> (TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("layer.zip");
    fs::write(&path, bytes).unwrap();
    (folder, path)
}

fn report(zip: &[u8], options: &[&str]) -> (i32, String) {
    let (_folder, path) = saved(zip);
    // Tests are run before a commit as well.
    ended(matrix(&["fips-report", "--no-benchmark", "--allow-dirty", "--layer"]).arg(path).args(options))
}

/// The switches of the set, with the launcher or without, and with the WAF or without.
fn levels(launcher: &str, waf: &str) -> Levels {
    let mut levels = Manifest::embedded().unwrap().set_levels("ship-fips").unwrap();
    for (switch, level) in [("launcher", launcher), ("appsec", waf), ("appsec-defer", waf)] {
        levels.insert(switch.to_owned(), level.to_owned());
    }
    levels
}

/// A layer that says of itself that it is the FIPS layer, and so does its program.
fn pretender() -> LayerInputs {
    pretending(levels("off", "off"))
}

fn pretending(levels: Levels) -> LayerInputs {
    let manifest = Manifest::embedded().unwrap();
    let recipe = Recipe::of(manifest, &levels);
    let mut build_info = build_info();
    let switches = recipe.features.iter().map(|feature| (feature.clone(), true.into()));
    build_info["switches"] = serde_json::Value::Object(switches.collect());
    build_info["flags"] = recipe.rustflags.clone().into();
    let mut inputs = inputs(answering::<&str>(&format!("println!(\"{{}}\", {:?});", build_info.to_string()), &[]));
    inputs.programs[0].build_info = build_info;
    LayerInputs { cell: "ship-fips".to_owned(), levels, recipe, ..inputs }
}

fn open(path: &Path) -> Result<LayerFile, matrix::fips_report::layer::Error> {
    let architecture = Architecture::of_this_machine().to_string();
    LayerFile::open(
        path,
        &ExpectedLayer { cell: "ship-fips", architecture: &architecture, has_worker: false, runs: true },
    )
}

#[test]
fn what_is_not_the_layer_that_was_asked_for_is_refused() {
    let script = b"#!/bin/sh\necho 'FIPS | AWS-LC FIPS 3.1.0'\nexec /opt/bottlecap/agent\n";
    let ship = made(inputs(program())).unwrap().zip;
    let pretending = made(pretender()).unwrap().zip;
    let swapped = |bytes: &[u8]| {
        rewritten(&pretending, |place, there| Some(if place == places::EXTENSION { bytes.to_vec() } else { there }))
    };
    let program_beside: [(&str, &[u8]); 2] = [(places::EXTENSION, script), (places::AGENT, &program())];
    for (zip, problem) in [
        (b"no zip file".to_vec(), "neither a zip file nor a 64-bit ELF program"),
        (program(), "it is a program, not a layer's zip file"),
        (foreign(&[(places::EXTENSION, script)]), "extensions/datadog-agent is no ELF program of 64 bits"),
        (foreign(&program_beside), "extensions/datadog-agent is no ELF program of 64 bits"),
        (foreign(&[(places::EXTENSION, &program())]), "there is no manifest in it"),
        (ship, "its manifest says that it is ship-agent, not ship-fips"),
        (swapped(&program()), "extensions/datadog-agent is not what the manifest says"),
        (swapped(script), "extensions/datadog-agent is no ELF program of 64 bits"),
    ] {
        let (status, said) = report(&zip, &[]);
        assert!(status == 1 && said.contains(problem), "{problem}: {status}: {said}");
    }
}

#[test]
fn a_layer_for_another_processor_is_refused_with_the_option_that_helps() {
    let (status, said) = report(&made(pretender()).unwrap().zip, &["--arch", "arm64"]);
    assert!(status == 1 && said.contains("--arch x86_64"), "{status}: {said}");
    let mut inputs = pretender();
    inputs.target.architecture = "arm64".to_owned();
    inputs.programs[0].bytes = arm64_program();
    let (status, said) = report(&made(inputs).unwrap().zip, &[]);
    assert!(status == 1 && said.contains("--arch arm64"), "{status}: {said}");
}

#[test]
fn sources_that_no_commit_names_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(
        folder.path().join("Cargo.toml"),
        "[package]\nname = \"a\"\nversion = \"0.1.0\"\n[lib]\npath = \"a.rs\"\n",
    )
    .unwrap();
    fs::write(folder.path().join("a.rs"), "").unwrap();
    let mut command = matrix(&["fips-report", "--no-benchmark"]);
    let (status, said) = ended(command.current_dir(folder.path()));
    assert!(status == 1 && said.contains("or try it with --allow-dirty"), "{status}: {said}");
}

/// A layer of the same set with this launcher in front of the agent.
fn launched(launcher: &[u8]) -> LayerInputs {
    let mut inputs = pretender();
    let levels = levels("on", "off");
    let mut agent = inputs.programs.remove(0);
    places::AGENT.clone_into(&mut agent.place);
    let build_info = launcher::document(launcher).unwrap();
    let first = Program { place: places::EXTENSION.to_owned(), bytes: launcher.to_vec(), build_info };
    inputs.programs = vec![first, agent];
    let recipe = Recipe::of(Manifest::embedded().unwrap(), &levels);
    LayerInputs { levels, recipe, ..inputs }
}

/// The launcher says nothing of itself; all that tells it from another one are its bytes.
#[test]
fn a_layer_with_another_launcher_is_refused() {
    let launcher = fs::read(launcher::for_tests().unwrap()).unwrap();
    let zip = made(launched(&launcher)).unwrap().zip;
    assert!(opened(&zip).identity(&zip).unwrap().holds);
    let mut doctored = launcher.clone();
    let place = doctored.len() / 2;
    doctored[place] ^= 1;
    let other = made(launched(&doctored)).unwrap().zip;
    let refused = opened(&other).identity(&zip).unwrap_err();
    assert!(refused.to_string().contains("datadog-agent is another file than the one"), "{refused}");
    assert_eq!(refused.status(), 1);

    let script = b"#!/bin/sh\nexec /opt/bottlecap/agent\n".to_vec();
    let scripted =
        rewritten(&zip, |place, there| Some(if place == places::EXTENSION { script.clone() } else { there }));
    let (_folder, path) = saved(&scripted);
    let refused = open(&path).unwrap_err().to_string();
    assert!(refused.contains("extensions/datadog-agent is no ELF program of 64 bits"), "{refused}");

    let alone = rewritten(&zip, |place, there| (place != places::AGENT).then_some(there));
    let (_folder, path) = saved(&alone);
    assert!(open(&path).is_err(), "a launcher without what it executes");
    // In its place an agent that would be started first, as in a layer without a launcher.
    let refused = opened(&made(pretender()).unwrap().zip).identity(&zip).unwrap_err().to_string();
    assert!(refused.contains("bottlecap/agent is not in it"), "{refused}");
}

/// A layer of the set with the WAF, with this worker.
fn guarded(worker: &[u8]) -> LayerInputs {
    let folder = waf::folder().unwrap();
    let mut inputs = pretending(levels("off", "on"));
    let build_info = waf::document(worker).unwrap();
    inputs.programs.push(Program { place: places::WAF.to_owned(), bytes: worker.to_vec(), build_info });
    let beside = [(places::WAF_LIBRARY, waf::LIBRARY), (places::WAF_RULES, waf::RULES)].map(|(place, name)| {
        let bytes = fs::read(folder.join(name)).unwrap();
        File { place: place.to_owned(), bytes, executable: false }
    });
    inputs.files.extend(beside);
    inputs
}

#[test]
fn a_layer_with_another_worker_or_a_worker_that_the_set_does_not_have_is_refused() {
    let worker = fs::read(waf::folder().unwrap().join(waf::NAME)).unwrap();
    let zip = made(guarded(&worker)).unwrap().zip;
    let architecture = Architecture::of_this_machine().to_string();
    let opened = |zip: &[u8], has_worker: bool| {
        let (_folder, path) = saved(zip);
        LayerFile::open(
            &path,
            &ExpectedLayer { cell: "ship-fips", architecture: &architecture, has_worker, runs: true },
        )
    };
    let layer = opened(&zip, true).unwrap();
    assert!(layer.identity(&zip).unwrap().holds);
    let named: Vec<&str> = layer.document.programs.iter().map(|program| program.place.as_str()).collect();
    assert!(named.contains(&places::WAF) && named.contains(&places::WAF_LIBRARY), "{named:?}");
    let mut doctored = worker.clone();
    let place = doctored.len() / 2;
    doctored[place] ^= 1;
    let other = made(guarded(&doctored)).unwrap().zip;
    let refused = opened(&other, true).unwrap().identity(&zip).unwrap_err().to_string();
    assert!(refused.contains("bottlecap/waf is another file than the one"), "{refused}");
    let refused = opened(&zip, false).unwrap_err().to_string();
    assert!(refused.contains("bottlecap/waf is a program that belongs to no layer that can be proven"), "{refused}");
}

/// A zip file of these bytes, after it has been inspected.
fn opened(zip: &[u8]) -> LayerFile {
    let (_folder, path) = saved(zip);
    open(&path).unwrap()
}

/// Everything that a layer says of itself can be copied; its bytes cannot.
#[test]
fn layer_with_forged_version_output_is_refused() {
    let zip = made(pretender()).unwrap().zip;
    let layer = opened(&zip);
    let proof = layer.identity(&zip).unwrap();
    assert!(proof.holds && proof.evidence.concat().contains(&layer.document.sha256), "{proof:?}");
    let mut real = pretender();
    real.programs[0].bytes.push(0);
    let refused = layer.identity(&made(real).unwrap().zip).unwrap_err();
    assert!(refused.to_string().contains("datadog-agent is another file than the one"), "{refused}");
    assert_eq!(refused.status(), 1);
}

#[test]
fn files_that_are_no_programs_have_to_be_those_of_the_layer_as_well() {
    let zip = made(pretender()).unwrap().zip;
    let refused = |real: LayerInputs| opened(&zip).identity(&made(real).unwrap().zip).unwrap_err().to_string();
    let mut notice = pretender();
    notice.texts.notice = b"another notice".into();
    assert!(refused(notice).contains("bottlecap/NOTICE is another file than the one"));
    let mut sources = pretender();
    sources.origin.sources += "89abcdef";
    assert!(refused(sources).contains("bottlecap/manifest.json is another file than the one"));
    let mut packages = pretender();
    packages.packages.0.iter_mut().for_each(|(_, package)| package.repository = None);
    assert!(refused(packages).contains("bottlecap/sbom.cdx.json is another file than the one"));
}

/// A reader that goes through a zip file in another way than this tool might find something else in it.
#[test]
fn a_zip_file_with_the_same_files_in_other_bytes_is_refused() {
    let zip = made(pretender()).unwrap().zip;
    let again = rewritten(&zip, |_, bytes| Some(bytes));
    let refused = opened(&again).identity(&zip).unwrap_err().to_string();
    assert!(refused.contains("the zip file has something else in it"), "{refused}");
    let behind = [&zip[..], b"behind"].concat();
    let (_folder, path) = saved(&behind);
    let refused = open(&path).and_then(|layer| layer.identity(&zip)).unwrap_err();
    assert_eq!(refused.status(), 1, "{refused}");
}

/// As long as the manifest lists them, an inspection finds nothing wrong with more files.
#[test]
fn files_that_a_runtime_would_load_are_refused_although_the_manifest_lists_them() {
    for place in ["python/sitecustomize.py", "nodejs/node_modules/a/index.js", "java/lib/a.jar", "bottlecap/more.txt"] {
        let mut inputs = pretender();
        inputs.texts.rust_place = place.to_owned();
        let (_folder, path) = saved(&made(inputs).unwrap().zip);
        let refused = open(&path).unwrap_err().to_string();
        assert!(refused.contains(&format!("{place} belongs to no layer that can be proven")), "{refused}");
    }
}

#[test]
fn files_that_could_be_executed_or_loaded_beside_the_program_are_refused() {
    let zip = made(pretender()).unwrap().zip;
    let wrapped = rewritten(&zip, |place, bytes| {
        Some(if place == places::WRAPPER { b"#!/bin/sh\nexec env LD_PRELOAD=/opt/x \"$@\"\n".to_vec() } else { bytes })
    });
    let (_folder, path) = saved(&wrapped);
    let refused = open(&path).unwrap_err().to_string();
    assert!(refused.contains("datadog_wrapper is another script than that of this tool"), "{refused}");
}
