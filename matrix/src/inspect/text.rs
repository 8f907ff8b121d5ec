//! The text output of `cargo matrix inspect`.

use std::fmt::Write as _;

use super::look::{Document, Kind, Program};
use crate::archive::limits;
use crate::layer::contents::Contents;
use crate::workspace::sources;

/// How wide the names of facts are.
const LABEL: usize = 14;

/// The whole page.
pub fn page(document: &Document) -> String {
    let mut page = head(document);
    if let Some(manifest) = &document.manifest {
        page += "\nIts manifest says:\n";
        page += &contents(manifest);
    }
    if let Some(materials) = &document.materials {
        page += &format!("\nIts bill of materials: {}\n", materials.line());
    }
    for program in &document.programs {
        page += &self::program(program);
    }
    if document.kind == Kind::Layer {
        page += "\nFiles, with their bytes unpacked and packed, and their modes:\n";
        for seen in &document.files {
            let mode = seen.mode.as_deref().unwrap_or("-");
            let link = seen.link.as_ref().map(|link| format!(" -> {link}")).unwrap_or_default();
            let _ = writeln!(page, "  {:>11} {:>11} {mode:>4} {}{link}", seen.is.bytes, seen.zipped, seen.place);
        }
    }
    page.push('\n');
    for note in &document.notes {
        let _ = writeln!(page, "Note: {note}.");
    }
    for problem in &document.problems {
        let _ = writeln!(page, "Wrong: {problem}.");
    }
    if document.problems.is_empty() && document.manifest.is_some() {
        page += "Every file is what the manifest says.\n";
    }
    page
}

fn head(document: &Document) -> String {
    let mut head = format!("{}\n", document.file);
    head += &fact("sha256", &document.sha256);
    match document.kind {
        Kind::Program => head += &fact("size", &format!("{} bytes", document.bytes)),
        Kind::Layer => {
            let zipped = format!("{} bytes; {} can be uploaded directly", document.bytes, limits::ZIPPED);
            let of = "may be in a function with all of its layers";
            head += &fact("zipped", &zipped);
            head += &fact("unzipped", &format!("{} bytes; {} {of}", document.unzipped, limits::UNZIPPED));
        }
    }
    head
}

fn contents(manifest: &Contents) -> String {
    let Contents { sources, toolchain, build, .. } = manifest;
    let remark = sources::remark(sources.changes.as_deref());
    let changes = sources.changes.as_ref().map(|changes| format!("{remark} ({changes})")).unwrap_or_default();
    let linked = |name: &str, version: &Option<String>| {
        version.as_ref().map(|version| format!("; {name} {version} linked in")).unwrap_or_default()
    };
    let library = linked("glibc", &toolchain.glibc) + &linked("musl", &toolchain.musl);
    let pairs = |pairs: &std::collections::BTreeMap<String, String>| {
        pairs.iter().map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>().join(" ")
    };
    [
        fact("cell", &manifest.cell),
        fact("flavour", &manifest.flavour),
        fact(
            "for",
            &format!("{} ({}), glibc {} and later", manifest.architecture, manifest.target, manifest.glibc_floor),
        ),
        fact("sources", &format!("{}{changes}", sources.revision)),
        fact("Cargo.lock", &sources.lock_sha256),
        fact("toolchain", &format!("{}; {}{library}", toolchain.rustc, toolchain.cc)),
        fact("features", &build.features.join(" ")),
        fact("flags", &build.rustflags.join(" ")),
        fact("variables", &pairs(&build.variables)),
        fact("profile", &pairs(&build.profile)),
        fact("switches", &pairs(&manifest.levels)),
    ]
    .concat()
}

fn program(program: &Program) -> String {
    let linkage = &program.linkage;
    let how = match &linkage.interpreter {
        None => format!("static, {}", linkage.architecture),
        Some(interpreter) => format!("dynamic, {}, loaded by {interpreter}", linkage.architecture),
    };
    let mut text = format!("\n{}\n", program.place);
    text += &fact("linked", &how);
    text += &fact("RELRO", &linkage.relro.to_string());
    if !linkage.is_static() {
        text += &fact("libraries", &linkage.libraries.join(" "));
        let newest =
            linkage.glibc.map_or_else(|| "none that has a version".to_owned(), |glibc| format!("GLIBC_{glibc}"));
        text += &fact("newest symbol", &newest);
    }
    for start in &program.starts {
        let verdict = if start.obstacles.is_empty() {
            "starts".to_owned()
        } else {
            format!("does not start: {}", start.obstacles.join("; "))
        };
        text += &fact("", &format!("{} (glibc {}): {verdict}", start.system, start.glibc));
    }
    if let Some(build_info) = &program.build_info {
        text += &fact("says", &build_info.to_string());
    }
    text
}

fn fact(name: &str, value: &str) -> String {
    let value = if value.is_empty() { "(none)" } else { value };
    format!("  {name:LABEL$}{value}\n")
}
