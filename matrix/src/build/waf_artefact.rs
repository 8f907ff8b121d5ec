//! The library and the rules: `waf.toml` pins them, pip installs them.

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use flate2::{Compression, GzBuilder};
use serde::Deserialize;

use crate::hash;
use crate::materials::parts::{Part, Source};
use crate::target::Architecture;
use crate::venv::{self, PythonRequirements, Venv, once, run};

/// The licence of library and rules, from the wheel's metadata.
const LICENCE: &str = "Apache-2.0 OR BSD-3-Clause";

/// The list, relative to the root of the workspace.
pub(crate) const FILE: &str = "matrix/waf.toml";
pub(crate) const TEXT: &str = include_str!("../../waf.toml");

/// The contents of matrix/waf.toml: the pinned versions and checksums.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct PinnedArtefact {
    pub package: String,
    pub version: String,
    python: String,
    pub library_version: String,
    pub rules_version: String,
    terms: Vec<String>,
    rules: String,
    /// The SHA-256 of the uncompressed rules.
    pub rules_sha256: String,
    /// By Lambda's name of the processor.
    wheel: BTreeMap<String, Wheel>,
}

#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct Wheel {
    platform: String,
    sha256: String,
    library: String,
    library_sha256: String,
}

/// The files on this machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Artefact {
    pub library: PathBuf,
    pub rules: PathBuf,
    /// The terms of both.
    pub terms: Vec<PathBuf>,
}

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("matrix/waf.toml cannot be read")]
    Pins(#[from] toml::de::Error),
    #[error("matrix/waf.toml has no wheel for {0}")]
    NoWheel(String),
    #[error("the WAF cannot be installed")]
    Python(#[from] venv::Error),
    #[error("{} has the SHA-256 {found}, and matrix/waf.toml pins {wanted}; remove the folder, and it is installed again", path.display())]
    Changed { path: PathBuf, found: String, wanted: String },
    #[error("cannot read or write {}", path.display())]
    File { path: PathBuf, source: io::Error },
}

/// What is pinned, as it was when this program was built.
pub fn pinned() -> Result<PinnedArtefact, Error> {
    Ok(toml::from_str(TEXT)?)
}

impl PinnedArtefact {
    /// The SHA-256 of the library for a processor.
    pub fn library_sha256(&self, architecture: &str) -> Option<&str> {
        self.wheel.get(architecture).map(|wheel| wheel.library_sha256.as_str())
    }
}

impl Artefact {
    /// Installs the files for a processor below `target`, or finds them there, and compares them with what is pinned.
    pub fn ensure(architecture: Architecture, target: &Path, progress: &dyn Fn(&str)) -> Result<Self, Error> {
        let pinned = pinned()?;
        let name = architecture.to_string();
        let wheel = pinned.wheel.get(&name).ok_or(Error::NoWheel(name))?;
        let home = home(target)?;
        let folder = home.join(&wheel.sha256);
        once(&folder, || install(&pinned, wheel, &home, &folder, progress))?;
        let place = |file: &str| folder.join(Path::new(file).file_name().unwrap_or_default());
        let artefact = Self {
            library: place(&wheel.library),
            rules: place(&pinned.rules),
            terms: pinned.terms.iter().map(|file| place(file)).collect(),
        };
        check(&artefact.library, &wheel.library_sha256)?;
        check(&artefact.rules, &pinned.rules_sha256)?;
        Ok(artefact)
    }

    /// What of it is in a layer, with its terms.
    pub fn parts(&self) -> Result<Vec<Part>, Error> {
        let PinnedArtefact { library_version, rules_version, .. } = pinned()?;
        let failed = |path: &PathBuf| {
            let path = path.clone();
            |source| Error::File { path, source }
        };
        let texts = self.terms.iter().map(|path| fs::read_to_string(path).map_err(failed(path)));
        let texts: Vec<String> = texts.collect::<Result<_, _>>()?;
        let part = |name, version, about| Part {
            name,
            version,
            licence: LICENCE,
            about,
            source: Source::Artefact,
            product: None,
            texts: texts.clone(),
        };
        Ok(vec![
            part(
                "libddwaf",
                library_version,
                "the library with which requests are evaluated, unchanged, in the file libddwaf.so",
            ),
            part(
                "appsec-event-rules",
                rules_version,
                "the rules by which it does that, unchanged, in the file rules.json.gz",
            ),
        ])
    }

    /// The rules as a layer has them: the same bytes on every machine.
    pub fn compressed_rules(&self) -> io::Result<Vec<u8>> {
        let mut writer = GzBuilder::new().write(Vec::new(), Compression::best());
        writer.write_all(&fs::read(&self.rules)?)?;
        writer.finish()
    }
}

/// Where it is installed below `target`. What uses it may run in another folder than this process.
fn home(target: &Path) -> Result<PathBuf, Error> {
    let home = target.join("waf");
    std::path::absolute(&home).map_err(|source| Error::File { path: home, source })
}

/// Keeps the few files that are needed of a wheel.
fn install(
    pinned: &PinnedArtefact,
    wheel: &Wheel,
    home: &Path,
    folder: &Path,
    progress: &dyn Fn(&str),
) -> Result<(), Error> {
    let failed = |path: &Path| {
        let path = path.to_owned();
        move |source| Error::File { path, source }
    };
    let nothing = PythonRequirements { name: "pip", requirements: "" };
    let python = Venv::ensure("python3", &home.join("python"), &nothing, progress)?;
    let unpacked = tempfile::tempdir_in(home).map_err(failed(home))?;
    let requirements = unpacked.path().join("requirements.txt");
    let PinnedArtefact { package, version, .. } = pinned;
    let line = format!("{package}=={version} --hash=sha256:{}\n", wheel.sha256);
    fs::write(&requirements, line).map_err(failed(&requirements))?;
    let step = format!("installing the WAF of {package} {version}");
    progress(&step);
    let mut pip = python.pip();
    pip.args(["--no-deps", "--no-compile", "--only-binary=:all:", "--require-hashes", "--platform", &wheel.platform]);
    pip.args(["--python-version", &pinned.python, "--implementation", "cp", "--target"])
        .arg(unpacked.path().join("wheel"));
    run(pip.arg("--requirement").arg(&requirements), &step)?;
    fs::create_dir_all(folder).map_err(failed(folder))?;
    let licences = format!("{package}-{version}.dist-info/licenses");
    let terms = pinned.terms.iter().map(|file| format!("{licences}/{file}"));
    for file in [wheel.library.clone(), pinned.rules.clone()].into_iter().chain(terms) {
        let from = unpacked.path().join("wheel").join(&file);
        let to = folder.join(from.file_name().unwrap_or_default());
        // A link would lead to a folder that is about to go.
        let bytes = fs::read(&from).map_err(failed(&from))?;
        fs::write(&to, bytes).map_err(failed(&to))?;
    }
    Ok(())
}

fn check(path: &Path, wanted: &str) -> Result<(), Error> {
    let found = hash::of_files([path]).map_err(|source| Error::File { path: path.to_owned(), source })?;
    if found == *wanted {
        Ok(())
    } else {
        Err(Error::Changed { path: path.to_owned(), found, wanted: wanted.to_owned() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::target::Architecture;

    #[test]
    fn a_relative_target_directory_is_one_of_the_folder_of_this_process() {
        assert_eq!(home(Path::new("target")).unwrap(), std::env::current_dir().unwrap().join("target/waf"));
        assert_eq!(home(Path::new("/target")).unwrap(), Path::new("/target/waf"));
    }

    #[test]
    fn every_processor_has_a_wheel_and_a_file_that_was_changed_is_refused() {
        let pinned = pinned().unwrap();
        for architecture in [Architecture::X86_64, Architecture::Arm64] {
            assert!(pinned.wheel.contains_key(&architecture.to_string()));
        }
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("rules.json");
        fs::write(&file, "{}").unwrap();
        check(&file, &hash::hexadecimal(b"{}")).unwrap();
        let error = check(&file, &pinned.rules_sha256).unwrap_err().to_string();
        assert!(error.contains("waf.toml pins 2e29be75"), "{error}");
    }
}
