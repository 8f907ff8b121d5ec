//! Checks of a layer that need none of its programs to be started.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::archive::places;
use crate::archive::{Directory, Entry, MODES};
use crate::build::profile::OPT_LEVEL;
use crate::build::recipe::Recipe;
use crate::build::{BuildReport, waf};
use crate::elf::{Linkage, Relro};
use crate::layer::contents::{Contents, FileEntry};
use crate::manifest::{Manifest, ON};
use crate::workspace::Profile;
use crate::workspace::sources::DIRTY;

use super::look::{InspectedFile, Program};

/// Permission bits that let somebody else change a file or act as its owner: setuid, setgid, writable by the group or by everybody.
const DANGEROUS: u32 = 0o6022;
const READABLE_BY_ALL: u32 = 0o444;
const EXECUTABLE_BY_ALL: u32 = 0o111;

/// Whether Lambda starts the file at this place as an extension.
pub(super) fn is_extension(place: &str) -> bool {
    let name = place.strip_prefix(places::EXTENSIONS).and_then(|rest| rest.strip_prefix('/'));
    name.is_some_and(|name| !name.is_empty() && !name.contains('/'))
}

/// What is wrong with the modes of a layer's files. Lambda runs functions and extensions as a user who does not own them.
pub(super) fn modes(entries: &[Entry], has_manifest: bool) -> Vec<String> {
    let checked = entries.iter().filter(|entry| !entry.link);
    checked.filter_map(|entry| mode(entry, has_manifest)).collect()
}

/// What is wrong with the modes of a layer's directories: whoever may not enter one finds nothing in it.
pub(super) fn directories(directories: &[Directory], has_manifest: bool) -> Vec<String> {
    const OPEN: u32 = READABLE_BY_ALL | EXECUTABLE_BY_ALL;
    let [_, open] = MODES;
    let checked = directories.iter().filter_map(|directory| Some((&directory.place, directory.mode?)));
    let problems = checked.filter_map(|(place, mode)| {
        let says = |what: &str| Some(format!("{place} has mode {mode:04o}: {what}"));
        match () {
            () if mode & DANGEROUS != 0 => says("it is setuid, setgid, or writable by others than its owner"),
            () if mode & OPEN != OPEN => says("it is not open to everybody, so that nothing in it is found"),
            () if has_manifest && mode != open => says(&format!("it is not {open:04o}")),
            () => None,
        }
    });
    problems.collect()
}

fn mode(entry: &Entry, has_manifest: bool) -> Option<String> {
    let place = &entry.file.place;
    let Some(mode) = entry.mode else {
        return is_extension(place).then(|| format!("{place} has no mode, so that Lambda cannot execute it"));
    };
    let [plain, executable] = MODES;
    let says = |what: &str| Some(format!("{place} has mode {mode:04o}: {what}"));
    match () {
        () if mode & DANGEROUS != 0 => says("it is setuid, setgid, or writable by others than its owner"),
        () if is_extension(place) && mode & EXECUTABLE_BY_ALL != EXECUTABLE_BY_ALL => {
            says("it is not executable for everybody, so that Lambda cannot start it")
        }
        () if mode & READABLE_BY_ALL != READABLE_BY_ALL => says("it is not readable for everybody"),
        () if has_manifest && !MODES.contains(&mode) => {
            says(&format!("it is neither {plain:04o} nor {executable:04o}"))
        }
        () => None,
    }
}

/// The folder of extensions that are nested in it although its content was meant: Lambda looks for `extensions/`, not for `layer/extensions/`. A layer with an
/// extension in its place may have any other folder.
pub(super) fn nested(files: &[InspectedFile]) -> Option<String> {
    if files.iter().any(|seen| is_extension(&seen.place)) {
        return None;
    }
    let inner = files.iter().filter_map(|seen| seen.place.split_once('/'));
    let (folder, _) = inner.into_iter().find(|(_, inner)| is_extension(inner))?;
    Some(format!(
        "everything is below {folder}/, where Lambda finds no extension: zip the content of that folder, not the folder"
    ))
}

/// Compares the files and programs with what the manifest says of them.
pub(super) fn manifest(contents: &Contents, files: &[InspectedFile], programs: &[Program]) -> Vec<String> {
    let mut problems = Vec::new();
    let mut missing: BTreeMap<&String, &FileEntry> = contents.files.iter().collect();
    for seen in files {
        match missing.remove(&seen.place) {
            _ if seen.place == places::MANIFEST => {}
            None => problems.push(format!("{} is not in the manifest", seen.place)),
            Some(listed) if *listed != seen.is || seen.link.is_some() => problems.push(format!(
                "{} is not what the manifest says: it has {} and SHA-256 {}, and should have {} and {}",
                seen.place,
                size(&seen.is),
                seen.is.sha256,
                size(listed),
                listed.sha256
            )),
            Some(_) => {}
        }
    }
    problems.extend(missing.keys().map(|place| format!("{place} is in the manifest and not in the layer")));
    if !files.iter().any(|seen| seen.place == places::EXTENSION) {
        problems.push(format!("there is no {}, which Lambda would start", places::EXTENSION));
    }
    let listed = programs.iter().filter(|program| contents.programs.contains_key(&program.place));
    problems.extend(listed.flat_map(|program| linkage(contents, program)));
    problems
}

fn linkage(contents: &Contents, program: &Program) -> Vec<String> {
    let Linkage { architecture, .. } = &program.linkage;
    let mut problems = Vec::new();
    if *architecture != contents.architecture {
        problems.push(format!("{} is for {architecture}, not {}", program.place, contents.architecture));
    }
    let relro = program.linkage.relro;
    if relro != Relro::Full && crate::manifest::levels::binds_eagerly(&contents.levels) {
        problems.push(format!("{} has {relro} RELRO, and the manifest promises full", program.place));
    }
    let is_worker = program.place == places::WAF;
    let brought = if is_worker { &[waf::LIBRARY][..] } else { &[] };
    let obstacles = program.linkage.obstacles_beside(contents.glibc_floor, brought);
    if !obstacles.is_empty() {
        let floor = contents.glibc_floor;
        problems.push(format!("{} does not start with glibc {floor}: {}", program.place, obstacles.join("; ")));
    }
    problems
}

/// Compares what the manifest says of the build with what it says that the program says, and with the commit that the program has in it.
pub(super) fn build(contents: &Contents, entries: &[Entry]) -> Vec<String> {
    let place = if contents.programs.contains_key(places::AGENT) { places::AGENT } else { places::EXTENSION };
    let Some(build_info) = contents.programs.get(place) else {
        return vec![format!("the manifest does not say what {place} says of itself")];
    };
    let recipe = Recipe {
        features: contents.build.features.clone(),
        rustflags: contents.build.rustflags.clone(),
        ..Recipe::default()
    };
    let opt_level = contents.build.profile.get(OPT_LEVEL).map_or("", String::as_str);
    let mut problems: Vec<String> = match serde_json::from_value::<BuildReport>(build_info.clone()) {
        Ok(build_report) => build_report.differences(&recipe, Profile::Release, opt_level),
        Err(error) => vec![error.to_string()],
    };
    problems.extend(levels(contents));
    let revision = &contents.sources.revision;
    let sha = build_info.get("git_sha").and_then(Value::as_str).unwrap_or_default();
    let commit = sha.strip_suffix(DIRTY);
    if !revision.starts_with(commit.unwrap_or(sha)) {
        problems.push(format!("it was built from commit {sha}, not {revision}"));
    }
    if commit.is_some() && contents.sources.changes.is_none() {
        problems.push("it was built from sources that differ from their commit, not from that commit".to_owned());
    }
    let entry = entries.iter().find(|entry| entry.file.place == place);
    if entry.is_some_and(|entry| !contains(&entry.file.bytes, sha.as_bytes())) {
        problems.push(format!("commit {sha} is not in the file"));
    }
    problems.into_iter().map(|problem| format!("the manifest contradicts {place}: {problem}")).collect()
}

/// What the levels of the manifest ask for, where its build has something else. Without a readable list of factors nothing is known of levels.
fn levels(contents: &Contents) -> Vec<String> {
    let Ok(manifest) = Manifest::embedded() else { return Vec::new() };
    let asked = Recipe::of(manifest, &contents.levels);
    let mut problems = Vec::new();
    if asked.features != contents.build.features {
        let [asked, built] = [&asked.features, &contents.build.features].map(|features| features.join(","));
        problems.push(format!("its levels ask for the features {asked}, and it was built with {built}"));
    }
    let flags = asked.rustflags.iter().filter(|flag| !contents.build.rustflags.contains(flag));
    problems.extend(flags.map(|flag| format!("its levels ask for the flag {flag}, and it was built without")));
    let profile = asked.profile.iter().filter(|(key, value)| contents.build.profile.get(*key) != Some(*value));
    problems
        .extend(profile.map(|(key, value)| format!("its levels ask for {key} {value}, and it was built otherwise")));
    let asks_for_worker = contents.levels.get(waf::SWITCH).is_some_and(|level| level == ON);
    let has_worker =
        [places::WAF, places::WAF_LIBRARY, places::WAF_RULES].map(|place| contents.files.contains_key(place));
    if has_worker != [asks_for_worker; 3] {
        problems.push(format!("its levels and its files disagree on whether there is a {}", places::WAF));
    }
    if asked.launcher != contents.programs.contains_key(places::AGENT) {
        problems.push(format!(
            "its levels and its programs disagree on whether {} is executed by a launcher",
            places::AGENT
        ));
    }
    problems
}

fn contains(bytes: &[u8], part: &[u8]) -> bool {
    part.is_empty() || bytes.windows(part.len()).any(|window| window == part)
}

fn size(listed: &FileEntry) -> String {
    let executable = if listed.executable { ", is executable" } else { "" };
    format!("{} bytes{executable}", listed.bytes)
}
