//! `cargo matrix fips-report --layer`: zip files that are not the layer that is proven are refused, each for its reason and before anything is built.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test that can't go on has failed")]

mod layer_support;

use std::fs;
use std::path::{Path, PathBuf};

use layer_support::{answering, arm64_program, ended, foreign, ingredients, made, matrix, program, rewritten, told};
use matrix::archive::places;
use matrix::build::recipe::Recipe;
use matrix::fips_report::layer::{Expected, LayerFile, ProgramFile};
use matrix::layer::make::LayerInputs;
use matrix::manifest::Manifest;
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
    ended(matrix(&["fips-report", "--no-benchmark", "--layer"]).arg(path).args(options))
}

/// A layer that says of itself that it is the FIPS layer, and so does its program.
fn pretender() -> LayerInputs {
    let manifest = Manifest::embedded().unwrap();
    let levels = manifest.set_levels("ship-fips").unwrap();
    let recipe = Recipe::of(manifest, &levels);
    let mut told = told();
    let switches = recipe.features.iter().map(|feature| (feature.clone(), true.into()));
    told["switches"] = serde_json::Value::Object(switches.collect());
    told["flags"] = recipe.rustflags.clone().into();
    let mut ingredients = ingredients(answering::<&str>(&format!("println!(\"{{}}\", {:?});", told.to_string()), &[]));
    ingredients.programs[0].told = told;
    LayerInputs { cell: "ship-fips".to_owned(), levels, recipe, ..ingredients }
}

fn open(path: &Path) -> Result<LayerFile, matrix::fips_report::layer::Error> {
    let architecture = Architecture::of_this_machine().to_string();
    LayerFile::open(path, &Expected { cell: "ship-fips", architecture: &architecture, runs: true })
}

#[test]
fn what_is_not_the_layer_that_was_asked_for_is_refused() {
    let script = b"#!/bin/sh\necho 'FIPS | AWS-LC FIPS 3.1.0'\nexec /opt/bottlecap/agent\n";
    let ship = made(ingredients(program())).unwrap().zip;
    let pretending = made(pretender()).unwrap().zip;
    let swapped = |bytes: &[u8]| {
        rewritten(&pretending, |place, there| Some(if place == places::EXTENSION { bytes.to_vec() } else { there }))
    };
    let program_beside: [(&str, &[u8]); 2] = [(places::EXTENSION, script), (places::AGENT, &program())];
    for (zip, problem) in [
        (b"no zip file".to_vec(), "neither a zip file nor a program"),
        (program(), "it is a program, not a layer's zip file"),
        (foreign(&[(places::EXTENSION, script)]), "extensions/datadog-agent is no ELF program of 64 bits"),
        (foreign(&program_beside), "extensions/datadog-agent is no ELF program of 64 bits"),
        (foreign(&[(places::EXTENSION, &program())]), "there is no manifest in it"),
        (ship, "its manifest says that it is ship, not ship-fips"),
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
    let mut ingredients = pretender();
    ingredients.target.architecture = "arm64".to_owned();
    ingredients.programs[0].bytes = arm64_program();
    let (status, said) = report(&made(ingredients).unwrap().zip, &[]);
    assert!(status == 1 && said.contains("--arch arm64"), "{status}: {said}");
}

/// Everything that a layer says of itself can be copied; its bytes cannot.
#[test]
fn a_layer_that_says_of_itself_what_the_real_one_says_is_refused_for_its_bytes() {
    let (_folder, path) = saved(&made(pretender()).unwrap().zip);
    let layer = open(&path).unwrap();
    let same = layer.document.programs.clone();
    let proof = layer.identity(&same).unwrap();
    assert!(proof.holds && proof.evidence.concat().contains(&layer.document.sha256), "{proof:?}");
    let real = [ProgramFile::of(places::EXTENSION, b"the program that is built from the sources")];
    let refused = layer.identity(&real).unwrap_err();
    assert!(refused.to_string().contains("another program than the one that is proven"), "{refused}");
    assert_eq!(refused.status(), 1);
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
