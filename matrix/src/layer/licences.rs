//! The licences of everything that a layer is made of, in one text.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use crate::materials::packages::{Key, Packages, ROOT};
use crate::materials::parts::Part;

/// How files with the terms of a package, or with notices that have to be passed on, begin.
const NAMES: [&str; 6] = ["license", "licence", "copying", "notice", "unlicense", "copyright"];
/// Endings of what is called so and is a program or a page.
const OTHERS: [&str; 8] = ["rs", "c", "h", "go", "py", "sh", "html", "toml"];

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error(
        "{} neither names a licence nor has a file with one, so it must not be passed on; take another crate, or ask its authors",
        .0.join(", ")
    )]
    Unlicensed(Vec<String>),
    #[error("{} cannot be read", path.display())]
    Read { path: PathBuf, source: io::Error },
}

/// One text: who has which licence, then every text once, with those that it holds for.
pub fn text(packages: &Packages, parts: &[Part]) -> Result<String, Error> {
    let mut holders: BTreeMap<String, Vec<String>> = BTreeMap::new();
    let mut overview = String::new();
    let mut unlicensed = Vec::new();
    for (key, package) in packages.0.iter().filter(|(key, _)| key.name != ROOT) {
        let files = files(&package.folder)?;
        if files.is_empty() && package.licence.is_none() {
            unlicensed.push(key.to_string());
        }
        overview += &line(key, package.licence.as_deref(), package.linked, files.is_empty());
        for file in files {
            holders.entry(read(&file)?).or_default().push(key.to_string());
        }
    }
    if !unlicensed.is_empty() {
        return Err(Error::Unlicensed(unlicensed));
    }
    for part in parts {
        overview += &format!("{}\n", part.line());
        for text in &part.texts {
            holders.entry(normal(text)).or_default().push(part.title());
        }
    }
    let mut all = format!(
        "bottlecap is under the Apache License, Version 2.0: see LICENSE and NOTICE beside this file.\n\
         Its programs contain, or were built with, what follows.\n\n{overview}"
    );
    let mut texts: Vec<(String, String)> = holders.into_iter().map(|(text, of)| (of.join(", "), text)).collect();
    texts.sort();
    for (of, text) in texts {
        all += &format!("\n{}\n{of}\n\n{text}\n", "=".repeat(80));
    }
    Ok(all)
}

fn line(key: &Key, licence: Option<&str>, linked: bool, textless: bool) -> String {
    let licence = licence.unwrap_or("see its text");
    let only = if linked { "" } else { "; not in the programs" };
    let without = if textless { "; it comes without a text" } else { "" };
    format!("{key}: {licence}{only}{without}\n")
}

/// The files with terms anywhere in a package, because those of bundled C code stand beside that code; sorted.
fn files(folder: &Path) -> Result<Vec<PathBuf>, Error> {
    let failed = |source| Error::Read { path: folder.to_owned(), source };
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).map_err(failed)? {
        let entry = entry.map_err(failed)?;
        let kind = entry.file_type().map_err(failed)?;
        if kind.is_dir() {
            found.extend(files(&entry.path())?);
        } else if kind.is_file() && has_terms(&entry.path()) {
            found.push(entry.path());
        }
    }
    found.sort();
    Ok(found)
}

fn has_terms(file: &Path) -> bool {
    let name = file.file_name().map(|name| name.to_string_lossy().to_lowercase()).unwrap_or_default();
    let ending = file.extension().map(|ending| ending.to_string_lossy().to_lowercase()).unwrap_or_default();
    NAMES.iter().any(|begin| name.starts_with(begin)) && !OTHERS.contains(&ending.as_str())
}

fn read(file: &Path) -> Result<String, Error> {
    let bytes = fs::read(file).map_err(|source| Error::Read { path: file.to_owned(), source })?;
    Ok(normal(&String::from_utf8_lossy(&bytes)))
}

/// Without what does not matter and would make two of one.
fn normal(text: &str) -> String {
    let lines: Vec<&str> = text.lines().map(str::trim_end).collect();
    lines.join("\n").trim_matches('\n').to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::materials::packages::Package;
    use crate::materials::parts::Source;

    fn package(folder: &Path, licence: Option<&str>) -> Package {
        let (licence, folder) = (licence.map(str::to_owned), folder.to_owned());
        Package { licence, folder, linked: true, ..Package::default() }
    }

    fn folder(files: &[(&str, &str)]) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        for (name, text) in files {
            let path = folder.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        folder
    }

    #[test]
    fn a_text_stands_once_with_all_that_it_holds_for() {
        let one = folder(&[
            ("LICENSE-MIT", "Do what you like.\r\n"),
            ("src/license.rs", "no terms"),
            ("lib/COPYING", "Bundled."),
        ]);
        let two = folder(&[("license.md", "\nDo what you like.\n\n")]);
        let none = folder(&[("README", "hello")]);
        let packages = Packages(BTreeMap::from([
            (Key::new("one", "1.0.0"), package(one.path(), Some("MIT"))),
            (Key::new("two", "2.0.0"), package(two.path(), None)),
            (Key::new("three", "3.0.0"), package(none.path(), Some("ISC"))),
        ]));
        let part = Part {
            name: "libx",
            version: "9".to_owned(),
            licence: "LGPL-2.1-or-later",
            about: "linked in",
            source: Source::Compiler,
            product: None,
            texts: vec!["Lesser.".to_owned()],
        };
        let source = Source::Crate { key: Key::new("one", "1.0.0"), upstream: "https://example.com/liby" };
        let bundled =
            Part { name: "liby", licence: "Zlib", source, texts: vec!["Bundled.".to_owned()], ..part.clone() };
        let text = text(&packages, &[part, bundled]).unwrap();
        assert_eq!(text.matches("Do what you like.").count(), 1, "{text}");
        for expected in [
            "one 1.0.0: MIT\n",
            "two 2.0.0: see its text\n",
            "three 3.0.0: ISC; it comes without a text\n",
            "libx 9: LGPL-2.1-or-later; linked in\n",
            "\none 1.0.0, two 2.0.0\n\nDo what you like.\n",
            "liby 9: Zlib; in one 1.0.0: linked in\n",
            "\none 1.0.0, liby 9\n\nBundled.\n",
            "\nlibx 9\n\nLesser.\n",
        ] {
            assert!(text.contains(expected), "{expected} is not in:\n{text}");
        }
        assert!(!text.contains("no terms"));
    }

    #[test]
    fn what_has_no_licence_at_all_is_refused() {
        let none = folder(&[("README", "hello")]);
        let packages = Packages(BTreeMap::from([(Key::new("mine", "1.0.0"), package(none.path(), None))]));
        let error = text(&packages, &[]).unwrap_err().to_string();
        assert!(error.starts_with("mine 1.0.0 neither names a licence"), "{error}");
    }
}
