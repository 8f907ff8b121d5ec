//! The C code and assembly that crates carry in their own sources and compile: `bundled.toml`.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use serde::Deserialize;

use super::terms;
use crate::materials::packages::{Key, Package, Packages};
use crate::materials::parts::{Part, Source};

/// The text of the table, as it was when this program was built.
const TEXT: &str = include_str!("../../bundled.toml");
/// What build scripts compile C with. A linked crate that needs one of them has C code in it.
const COMPILERS: [&str; 2] = ["cc", "cmake"];

static EMBEDDED: LazyLock<Result<Table, toml::de::Error>> = LazyLock::new(|| toml::from_str(TEXT));

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("matrix/bundled.toml cannot be read")]
    Table(#[source] toml::de::Error),
    #[error(
        "{} compiles C code, and matrix/bundled.toml does not say which; write there what it is, with its version and its licence",
        .0.join(", ")
    )]
    Unknown(Vec<String>),
    #[error("{} does not name the version of {name}; correct where matrix/bundled.toml looks for it", place.display())]
    Version { name: &'static str, place: PathBuf },
    #[error(
        "{name} in {key} is under {} by its own files, and matrix/bundled.toml says {declared}; read those files and correct it",
        found.iter().copied().collect::<Vec<_>>().join(", ")
    )]
    Licence { name: &'static str, key: Key, declared: &'static str, found: BTreeSet<&'static str> },
    #[error("{} cannot be read", path.display())]
    Read { path: PathBuf, source: io::Error },
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Table {
    bundled: Vec<BundledLibrary>,
}

/// One library in the sources of a crate.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct BundledLibrary {
    #[serde(rename = "crate")]
    package: String,
    name: String,
    /// The crate that is linked in this one's stead where both are there.
    unless: Option<String>,
    upstream: String,
    /// The vendor and the product of its CPE name, with a colon between them.
    product: Option<String>,
    version: Option<Version>,
    /// An SPDX expression.
    licence: String,
    /// The files of the crate with the terms.
    terms: Vec<PathBuf>,
    /// The licences in those files of code that is not compiled.
    #[serde(default)]
    elsewhere: BTreeSet<String>,
}

/// The file and pattern that have the version in the sources.
#[derive(Debug, Deserialize)]
#[serde(untagged, deny_unknown_fields)]
enum Version {
    Header {
        header: PathBuf,
        macros: Vec<String>,
    },
    /// Behind the `+` of the crate's version.
    Metadata {
        #[serde(rename = "metadata")]
        _is_set: bool,
    },
}

/// What of it is linked into programs of these packages. Refuses a crate with C code that nobody has described, and a licence that its files contradict.
pub fn of(packages: &Packages) -> Result<Vec<Part>, Error> {
    let table = EMBEDDED.as_ref().map_err(|error| Error::Table(error.clone()))?;
    let mut parts = Vec::new();
    let mut unknown = Vec::new();
    for (key, package) in packages.0.iter().filter(|(_, package)| package.linked) {
        let described: Vec<&BundledLibrary> =
            table.bundled.iter().filter(|bundled| bundled.package == key.name).collect();
        if described.is_empty() && package.needs.iter().any(|need| COMPILERS.contains(&need.name.as_str())) {
            unknown.push(key.to_string());
        }
        for bundled in described {
            parts.push(bundled.part(key, package)?);
        }
    }
    if unknown.is_empty() { Ok(parts) } else { Err(Error::Unknown(unknown)) }
}

/// Marks the crates that are compiled and not linked, because another one takes their place: cargo's tree of dependencies does not show that.
pub fn mark_replaced(packages: &mut Packages) -> Result<(), Error> {
    let table = EMBEDDED.as_ref().map_err(|error| Error::Table(error.clone()))?;
    let linked: BTreeSet<String> =
        packages.0.iter().filter(|(_, package)| package.linked).map(|(key, _)| key.name.clone()).collect();
    let is_replaced = |name: &str| {
        let mut bundled = table.bundled.iter().filter(|bundled| bundled.package == name);
        bundled.any(|bundled| bundled.unless.as_ref().is_some_and(|other| linked.contains(other)))
    };
    for (_, package) in packages.0.iter_mut().filter(|(key, _)| is_replaced(&key.name)) {
        package.linked = false;
    }
    Ok(())
}

impl BundledLibrary {
    fn part(&'static self, key: &Key, package: &Package) -> Result<Part, Error> {
        let texts = self.terms.iter().map(|file| read(&package.folder.join(file)));
        let texts: Vec<String> = texts.collect::<Result<_, _>>()?;
        let found = texts.iter().flat_map(|text| terms::identified(text)).collect::<BTreeSet<_>>();
        let elsewhere = self.elsewhere.iter().map(String::as_str);
        if found != terms::identifiers(&self.licence).into_iter().chain(elsewhere).collect() {
            return Err(Error::Licence { name: &self.name, key: key.clone(), declared: &self.licence, found });
        }
        Ok(Part {
            name: &self.name,
            version: self.version(key, &package.folder)?,
            licence: &self.licence,
            about: "C code and assembly, compiled from the sources of that crate",
            source: Source::Crate { key: key.clone(), upstream: &self.upstream },
            product: self.product.as_deref(),
            texts,
        })
    }

    /// Empty if the sources name none.
    fn version(&'static self, key: &Key, folder: &Path) -> Result<String, Error> {
        let (place, version) = match &self.version {
            None => return Ok(String::new()),
            Some(Version::Metadata { .. }) => {
                let metadata = key.version.split_once('+').map(|(_, metadata)| metadata);
                // `git describe` adds the commits since the release, and the commit.
                let release = metadata.and_then(|metadata| metadata.split('-').next());
                (PathBuf::from(&key.version), release.map(str::to_owned))
            }
            Some(Version::Header { header, macros }) => {
                let place = folder.join(header);
                let defined = defined(&read(&place)?);
                let numbers = macros.iter().map(|name| defined.get(name).map(String::as_str));
                let numbers: Option<Vec<&str>> = numbers.collect();
                (place, numbers.map(|numbers| numbers.join(".")))
            }
        };
        let is_number = |version: &String| version.starts_with(|c: char| c.is_ascii_digit());
        version.filter(is_number).ok_or(Error::Version { name: &self.name, place })
    }
}

/// What the macros of a header stand for, without quotation marks; only those that are one word.
fn defined(header: &str) -> BTreeMap<String, String> {
    let lines = header.lines().filter_map(|line| {
        let mut words = line.strip_prefix("#define")?.split_whitespace();
        let (name, value) = (words.next()?, words.next()?);
        words.next().is_none().then(|| (name.to_owned(), value.trim_matches('"').to_owned()))
    });
    lines.collect()
}

fn read(path: &Path) -> Result<String, Error> {
    let bytes = fs::read(path).map_err(|source| Error::Read { path: path.to_owned(), source })?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::build::recipe::Recipe;
    use crate::manifest::Manifest;

    /// The packages of a set, with the sources that cargo has.
    fn packages(set: &str) -> Packages {
        let manifest = Manifest::embedded().unwrap();
        let recipe = Recipe::of(manifest, &manifest.set_levels(set).unwrap());
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
        let mut packages = Packages::of(&recipe.workspace(root), &recipe.features, &crate::target::plain()).unwrap();
        mark_replaced(&mut packages).unwrap();
        packages
    }

    fn components(packages: &Packages) -> Vec<(&'static str, String, &'static str)> {
        of(packages).unwrap().into_iter().map(|part| (part.name, part.version, part.licence)).collect()
    }

    const ZSTD: (&str, &str) = ("zstd", "BSD-3-Clause OR GPL-2.0-only");

    #[test]
    fn each_set_has_the_c_code_of_its_features() {
        let named = |set: &str| components(&packages(set)).into_iter().map(|(name, ..)| name).collect::<Vec<_>>();
        assert_eq!(named("ship"), ["boringssl", "fiat-crypto", "zstd"]);
        assert_eq!(named("baseline"), ["boringssl", "fiat-crypto", "jemalloc", "zstd"]);
        assert_eq!(named("ship-fips"), ["aws-lc-fips", "zstd"], "rustls names aws-lc-sys, and nothing of it is linked");
    }

    #[test]
    fn versions_are_those_of_the_crates_own_sources() {
        let baseline = packages("baseline");
        let key = baseline.0.keys().find(|key| key.name == "zstd-sys").unwrap();
        let zstd = components(&baseline).into_iter().find(|(name, ..)| *name == ZSTD.0).unwrap();
        assert_eq!(zstd.2, ZSTD.1);
        assert!(key.version.ends_with(&format!("+zstd.{}", zstd.1)), "{} of {key}", zstd.1);
        let (jemalloc, linked) = (packages("seed"), |key: &&Key| key.name == "tikv-jemalloc-sys");
        let key = jemalloc.0.keys().find(linked).unwrap();
        let version = components(&jemalloc).into_iter().find(|(name, ..)| *name == "jemalloc").unwrap().1;
        assert!(key.version.contains(&format!("+{version}-")) && !version.contains('-'), "{version} of {key}");
    }

    #[test]
    fn the_fips_module_has_the_version_of_the_certificate() {
        let certified: toml::Table = toml::from_str(include_str!("../../fips.toml")).unwrap();
        let validated = packages("ship-fips");
        let module = components(&validated).into_iter().find(|(name, ..)| *name == "aws-lc-fips").unwrap();
        assert_eq!(certified["module"].as_str(), Some(format!("AWS-LC FIPS {}", module.1).as_str()));
        let other = validated.0.iter().find(|(key, _)| key.name == "aws-lc-sys").unwrap();
        assert!(!other.1.linked, "the other one is compiled only");
    }

    #[test]
    fn aws_lc_has_the_licences_of_its_files() {
        let manifest = Manifest::embedded().unwrap();
        let recipe = Recipe {
            features: vec!["aws-lc".to_owned()],
            ..Recipe::of(manifest, &manifest.set_levels("baseline").unwrap())
        };
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
        let mut packages = Packages::of(root, &recipe.features, &crate::target::plain()).unwrap();
        mark_replaced(&mut packages).unwrap();
        let named: Vec<_> = components(&packages).into_iter().map(|(name, ..)| name).collect();
        assert_eq!(named, ["aws-lc", "zstd"]);
    }

    /// A crate of this name whose sources are these files.
    fn crate_of(name: &str, files: &[(&str, &str)], needs: &[&str]) -> (tempfile::TempDir, Packages) {
        let folder = tempfile::tempdir().unwrap();
        for (file, text) in files {
            let path = folder.path().join(file);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        let package = Package {
            folder: folder.path().to_owned(),
            linked: true,
            needs: needs.iter().map(|name| Key::new(name, "1.0.0")).collect(),
            ..Package::default()
        };
        (folder, Packages(BTreeMap::from([(Key::new(name, "1.0.0"), package)])))
    }

    #[test]
    fn a_crate_with_undescribed_c_code_is_refused() {
        for compiler in COMPILERS {
            let (_folder, mut packages) = crate_of("libddwaf-sys", &[], &["serde", compiler]);
            let error = of(&packages).unwrap_err().to_string();
            assert!(error.starts_with("libddwaf-sys 1.0.0 compiles C code, and matrix/bundled.toml"), "{error}");
            for package in packages.0.values_mut() {
                package.linked = false;
            }
            assert!(of(&packages).unwrap().is_empty(), "what only runs while building is not in the program");
        }
        assert!(of(&crate_of("serde", &[], &["serde_core"]).1).unwrap().is_empty());
    }

    const HEADER: &str =
        "#define ZSTD_VERSION_MAJOR    1\n#define ZSTD_VERSION_MINOR 2\n#define ZSTD_VERSION_RELEASE 3\n";

    #[test]
    fn another_licence_or_no_version_is_refused() {
        let gpl = "GNU GENERAL PUBLIC LICENSE\n   Version 2, June 1991\n";
        let bsd = "Neither the name of X may be used to endorse or promote\n products derived from this software";
        let zstd = |license: &str, header: &str| {
            let files = [("zstd/LICENSE", license), ("zstd/COPYING", gpl), ("zstd/lib/zstd.h", header)];
            let (_folder, packages) = crate_of("zstd-sys", &files, &["cc"]);
            of(&packages)
        };
        let part = zstd(bsd, HEADER).unwrap().remove(0);
        assert_eq!((part.version.as_str(), part.licence, part.texts.concat()), ("1.2.3", ZSTD.1, bsd.to_owned() + gpl));
        let error = zstd("Permission is hereby granted, free of charge, to any person obtaining a copy", HEADER);
        let error = error.unwrap_err().to_string();
        assert!(error.starts_with("zstd in zstd-sys 1.0.0 is under GPL-2.0-only, MIT by its own files"), "{error}");
        let error = zstd(bsd, "#define ZSTD_VERSION_MAJOR 1\n").unwrap_err().to_string();
        assert!(error.contains("zstd.h does not name the version of zstd"), "{error}");
    }
}
