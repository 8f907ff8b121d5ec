//! Layers without a release build: of a program that only says what it is.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test that can't go on has failed")]

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsStr;
use std::fs;
use std::io::{Cursor, Write as _};
use std::path::Path;
use std::process::{Command, Output};
use std::sync::OnceLock;

use matrix::archive::places;
use matrix::build;
use matrix::build::recipe::Recipe;
use matrix::layer::Error;
use matrix::layer::budget::Budgets;
use matrix::layer::make::{Layer, LayerInputs, Program, Target, Texts, make};
use matrix::manifest::{Levels, Manifest};
use matrix::materials::packages::{Key, Origin, Package, Packages};
use matrix::materials::parts::{Part, Source};
use matrix::materials::system::{self, Libraries};
use matrix::target::Architecture;
use serde_json::{Value, json};
use time::OffsetDateTime;
use zip::write::SimpleFileOptions;
use zip::{ZipArchive, ZipWriter};

/// What the program of these layers says of itself.
pub fn build_info() -> Value {
    let recipe = recipe();
    let switches: BTreeMap<&String, bool> = recipe.features.iter().map(|feature| (feature, true)).collect();
    json!({
        "name": "bottlecap", "git_sha": REVISION, "profile": "release", "opt_level": "z",
        "flags": recipe.rustflags, "switches": switches,
    })
}

/// The commit from which these layers say that they were built.
const REVISION: &str = "0123456789";

fn recipe() -> Recipe {
    Recipe::of(Manifest::embedded().unwrap(), &levels())
}

/// The switches of a set, without App & API Protection: its worker is no part of most of these layers.
fn levels() -> Levels {
    let mut levels = Manifest::embedded().unwrap().set_levels("ship-agent").unwrap();
    levels.extend(["appsec", "appsec-defer"].map(|switch| (switch.to_owned(), "off".to_owned())));
    levels
}

/// A static program, which starts on every system.
pub fn program() -> Vec<u8> {
    static PROGRAM: OnceLock<Vec<u8>> = OnceLock::new();
    PROGRAM.get_or_init(|| compiled::<&str>(&[])).clone()
}

/// The same, with further options of the compiler.
pub fn compiled<S: AsRef<OsStr>>(options: &[S]) -> Vec<u8> {
    answering(&format!("println!(\"{{}}\", {:?});", build_info().to_string()), options)
}

/// A program that does this if it is asked what it is.
pub fn answering<S: AsRef<OsStr>>(answer: &str, options: &[S]) -> Vec<u8> {
    let folder = tempfile::tempdir().unwrap();
    let source = folder.path().join("program.rs");
    let code =
        format!("fn main() {{ if std::env::args().nth(1).as_deref() == Some(\"--version=json\") {{ {answer} }} }}");
    fs::write(&source, code).unwrap();
    let mut rustc = Command::new(std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into()));
    rustc.current_dir(env!("CARGO_MANIFEST_DIR")).args(["-C", "target-feature=+crt-static", "-C", "strip=symbols"]);
    let made = rustc
        .args(options)
        .args(["--target", &matrix::target::plain(), "-o"])
        .arg(folder.path().join("program"))
        .arg(source);
    assert!(made.status().unwrap().success());
    fs::read(folder.path().join("program")).unwrap()
}

/// A static program for arm64: a header with one segment and no code, which nothing can start.
pub fn arm64_program() -> Vec<u8> {
    let mut file = b"\x7fELF\x02\x01\x01".to_vec();
    file.resize(16, 0);
    // An executable for AArch64, of version 1.
    file.extend([2, 0, 183, 0, 1, 0, 0, 0]);
    // The entry point; where the program headers are, and that there are no section headers.
    file.extend([0_u64, 64, 0].iter().flat_map(|word| word.to_le_bytes()));
    // No flags; the sizes of this header and of a program header, of which there is one, and of section headers, of which there is none.
    file.extend([0, 0, 0, 0]);
    file.extend([64_u16, 56, 1, 64, 0, 0].iter().flat_map(|word| word.to_le_bytes()));
    // A segment to be loaded, with nothing in it.
    file.extend([1, 0, 0, 0, 5, 0, 0, 0]);
    file.resize(64 + 56, 0);
    file.extend(REVISION.as_bytes());
    file
}

/// A program that needs a loader and a C library as new as this machine's.
pub fn dynamic_program() -> Vec<u8> {
    fs::read(env!("CARGO_BIN_EXE_std-floor")).unwrap()
}

pub fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap()
}

/// Everything for a layer of this program, with one dependency.
pub fn inputs(program: Vec<u8>) -> LayerInputs {
    let levels = levels();
    let folder = root().to_owned();
    let package = |licence: &str, checksum: Option<&str>, needs: &[Key]| Package {
        licence: Some(licence.to_owned()),
        authors: vec!["Somebody <somebody@example.com>".to_owned()],
        repository: Some("https://example.com/repository".to_owned()),
        origin: if checksum.is_some() { Origin::CratesIo } else { Origin::Path },
        folder: folder.clone(),
        checksum: checksum.map(str::to_owned),
        linked: true,
        needs: needs.iter().cloned().collect::<BTreeSet<_>>(),
    };
    let dependency = Key::new("zstd-sys", "2.1.3+zstd.1.5.7");
    let packages = BTreeMap::from([
        (Key::new("bottlecap", "0.1.0"), package("Apache-2.0", None, std::slice::from_ref(&dependency))),
        (dependency.clone(), package("BSD-3-Clause", Some(&"ab".repeat(32)), &[])),
    ]);
    LayerInputs {
        cell: "ship-agent".to_owned(),
        recipe: recipe(),
        levels,
        target: Target {
            flavour: "x86_64".to_owned(),
            triple: matrix::target::plain(),
            architecture: Architecture::of_this_machine().to_string(),
            glibc_floor: "2.26".parse().unwrap(),
        },
        programs: vec![Program { place: places::EXTENSION.to_owned(), bytes: program, build_info: build_info() }],
        files: Vec::new(),
        packages: Packages(packages),
        origin: build::Origin { sources: REVISION.to_owned(), compiler: "rustc 9.9.9 (abc 2026-01-01)".to_owned() },
        c_compiler: "cc 1".to_owned(),
        parts: vec![bundled(dependency)],
        libraries: Libraries { c: None, compiler: Some(libgcc()) },
        time: OffsetDateTime::from_unix_timestamp(1_790_000_000).unwrap(),
        profile: BTreeMap::from([("opt-level".to_owned(), "z".to_owned())]),
        texts: Texts {
            lock: b"lock".into(),
            licence: b"licence".into(),
            notice: b"notice".into(),
            rust: b"<p>".into(),
            rust_place: "bottlecap/licenses-rust.html".to_owned(),
        },
    }
}

/// C code in the sources of a crate.
fn bundled(key: Key) -> Part {
    Part {
        name: "zstd",
        version: "1.5.7".to_owned(),
        licence: "BSD-3-Clause OR GPL-2.0-only",
        about: "C code",
        source: Source::Crate { key, upstream: "https://example.com/zstd" },
        product: Some("facebook:zstandard"),
        texts: vec!["The terms of zstd.".to_owned()],
    }
}

/// A package with the compiler's library.
fn libgcc() -> system::Package {
    let [name, version, architecture, source, maintainer, distribution] =
        ["libgcc-12-dev", "12.2.0-14+x", "amd64", "gcc-12", "Somebody <gcc@example.com>", "debian-12"]
            .map(str::to_owned);
    system::Package { name, version, architecture, source, maintainer, distribution }
}

/// Made without a budget.
pub fn made(inputs: LayerInputs) -> Result<Layer, Error> {
    make(inputs, &toml::from_str::<Budgets>("").unwrap())
}

/// The same zip file after each file has been changed, or left out where there is nothing for it.
pub fn rewritten(zip: &[u8], change: impl Fn(&str, Vec<u8>) -> Option<Vec<u8>>) -> Vec<u8> {
    rezipped(zip, |name, mode, bytes| Some((name.to_owned(), mode, change(name, bytes)?)))
}

/// The same zip file with each file of this mode instead of its own where one is given. The library that writes zip files has no setuid.
pub fn with_modes(zip: &[u8], mode_of: impl Fn(&str) -> Option<u32>) -> Vec<u8> {
    const HEADER: &[u8] = b"PK\x01\x02";
    const NAME_LENGTH: usize = 28;
    const MODE: usize = 40;
    const NAME: usize = 46;
    let mut zip = zip.to_vec();
    let headers: Vec<usize> = (0..zip.len()).filter(|start| zip[*start..].starts_with(HEADER)).collect();
    for start in headers {
        let length = u16::from_le_bytes([zip[start + NAME_LENGTH], zip[start + NAME_LENGTH + 1]]);
        let name = String::from_utf8(zip[start + NAME..start + NAME + usize::from(length)].to_vec()).unwrap();
        if let Some(mode) = mode_of(&name) {
            let kind = if name.ends_with('/') { 0o040_000 } else { 0o100_000 };
            let kept = u16::try_from(kind | mode).unwrap();
            zip[start + MODE..start + MODE + 2].copy_from_slice(&kept.to_le_bytes());
        }
    }
    zip
}

/// The same zip file with an entry for a directory, whose name ends with a slash.
pub fn with_directory(zip: &[u8], name: &str) -> Vec<u8> {
    let mut writer = ZipWriter::new_append(Cursor::new(zip.to_vec())).unwrap();
    writer.add_directory(name, SimpleFileOptions::default()).unwrap();
    writer.finish().unwrap().into_inner()
}

/// The same zip file with another entry of this name ahead of all others. The library that writes zip files has no name twice.
pub fn doubled(zip: &[u8], name: &str, bytes: &[u8]) -> Vec<u8> {
    let mut archive = ZipArchive::new(Cursor::new(zip)).unwrap();
    let mut writer = ZipWriter::new(Cursor::new(Vec::new()));
    let for_now = "~".repeat(name.len());
    writer.start_file(for_now.as_str(), SimpleFileOptions::default().unix_permissions(0o755)).unwrap();
    writer.write_all(bytes).unwrap();
    for index in 0..archive.len() {
        writer.raw_copy_file(archive.by_index_raw(index).unwrap()).unwrap();
    }
    let mut zip = writer.finish().unwrap().into_inner();
    let places: Vec<usize> = (0..zip.len()).filter(|start| zip[*start..].starts_with(for_now.as_bytes())).collect();
    for start in places {
        zip[start..start + name.len()].copy_from_slice(name.as_bytes());
    }
    zip
}

/// The same files below this folder.
pub fn below(folder: &str, zip: &[u8]) -> Vec<u8> {
    rezipped(zip, |name, mode, bytes| Some((format!("{folder}/{name}"), mode, bytes)))
}

/// Name, mode and content.
type Entry = (String, u32, Vec<u8>);

fn rezipped(zip: &[u8], change: impl Fn(&str, u32, Vec<u8>) -> Option<Entry>) -> Vec<u8> {
    let mut archive = ZipArchive::new(Cursor::new(zip)).unwrap();
    let mut writer = ZipWriter::new(Cursor::new(Vec::new()));
    for index in 0..archive.len() {
        let mut file = archive.by_index(index).unwrap();
        let (name, mode) = (file.name().unwrap().into_owned(), file.unix_mode().unwrap());
        let mut bytes = Vec::new();
        std::io::Read::read_to_end(&mut file, &mut bytes).unwrap();
        if let Some((name, mode, bytes)) = change(&name, mode, bytes) {
            writer.start_file(name, SimpleFileOptions::default().unix_permissions(mode)).unwrap();
            writer.write_all(&bytes).unwrap();
        }
    }
    writer.finish().unwrap().into_inner()
}

/// A zip file of these texts, all executable, as others would make it.
pub fn foreign(files: &[(&str, &[u8])]) -> Vec<u8> {
    let mut writer = ZipWriter::new(Cursor::new(Vec::new()));
    for (name, bytes) in files {
        writer.start_file(*name, SimpleFileOptions::default().unix_permissions(0o755)).unwrap();
        writer.write_all(bytes).unwrap();
    }
    writer.finish().unwrap().into_inner()
}

/// `cargo matrix` with these arguments.
pub fn matrix(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_matrix"));
    command.args(arguments).env("NO_COLOR", "1");
    command
}

/// The status, and everything that was said.
pub fn ended(command: &mut Command) -> (i32, String) {
    let Output { status, stdout, stderr } = command.output().unwrap();
    let said = String::from_utf8_lossy(&stdout).into_owned() + &String::from_utf8_lossy(&stderr);
    (status.code().unwrap_or(-1), said)
}
