//! The packages that a FIPS build may be made of: `matrix/fips-packages.toml`. Whatever is not on the list is refused, because a list of what is forbidden is
//! never complete.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::path::Path;
use std::{fs, io};

use serde::Deserialize;

use crate::build::{launcher, waf};
use crate::materials::packages::{Key, Package, Packages, ROOT};
use crate::target::Architecture;

/// The list, relative to the root of the workspace.
pub const FILE: &str = "matrix/fips-packages.toml";
pub(super) const TEXT: &str = include_str!("../../fips-packages.toml");
/// How a list of cargo-deny's begins and ends.
const DENY_LIST: [&str; 2] = ["\nallow = [\n", "]\n"];
/// Endings of files that no Rust compiler reads: sources in other languages, and what was compiled from them.
const FOREIGN: [&str; 16] =
    ["a", "asm", "c", "cc", "cpp", "cxx", "dll", "go", "lib", "m", "o", "obj", "s", "so", "wasm", "zig"];
/// The ending of a script for a linker, of which packages have none and we have one.
const LINKER_SCRIPT: &str = "ld";

/// Which of our programs packages are for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Program {
    Agent,
    Launcher,
    /// The one that evaluates requests beside an agent with AppSec.
    Worker,
}

/// All of them.
pub const PROGRAMS: [Program; 3] = [Program::Agent, Program::Launcher, Program::Worker];

impl Program {
    /// Our own package of it, which is not listed.
    fn root(self) -> &'static str {
        match self {
            Self::Agent => ROOT,
            Self::Launcher => launcher::NAME,
            Self::Worker => waf::NAME,
        }
    }

    /// The packages of the workspace that it is built from, sorted.
    pub fn own_packages(self) -> &'static [&'static str] {
        match self {
            Self::Agent => &["agent-config", "bottlecap", "extension-protocol", "waf-protocol"],
            Self::Launcher => &["extension-protocol", "launcher"],
            Self::Worker => &["waf", "waf-protocol"],
        }
    }

    /// Where cargo-deny has the same packages, relative to the root.
    pub fn deny_file(self) -> &'static str {
        match self {
            Self::Agent => "fips/deny.toml",
            Self::Launcher => "crates/launcher/deny.toml",
            Self::Worker => "crates/waf/deny.toml",
        }
    }
}

/// The packages of each program.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PackagesOfPrograms {
    pub agent: Packages,
    pub launcher: Packages,
    pub worker: Packages,
}

/// The list. A key is a name and a version with a space between them, a value the SHA-256 of the archive that the registry has.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PackageAllowlist {
    /// Those whose code is in the program.
    pub linked: BTreeMap<String, String>,
    /// Those that are only compiled, or run while the program is built.
    pub build: BTreeMap<String, String>,
    /// Those that the launcher is made of, or that run while it is built.
    #[serde(default)]
    pub launcher: BTreeMap<String, String>,
    /// The same of the WAF worker.
    #[serde(default)]
    pub worker: BTreeMap<String, String>,
    /// Those with code in other languages than Rust, by name, each with what that code is.
    pub foreign: BTreeMap<String, String>,
    /// Those of the lists above that builds for one processor alone have, each with that processor.
    #[serde(default)]
    pub only: BTreeMap<String, Architecture>,
    /// Our own files that are more than Rust, by their places below the root, each with what it is for.
    #[serde(default)]
    pub own: BTreeMap<String, String>,
}

impl PackageAllowlist {
    /// What this program was built with.
    pub fn embedded() -> Result<Self, toml::de::Error> {
        Self::read(TEXT)
    }

    /// The same for builds for this processor.
    pub fn embedded_for(architecture: Architecture) -> Result<Self, toml::de::Error> {
        Self::embedded().map(|list| list.of_architecture(architecture))
    }

    fn of_architecture(mut self, architecture: Architecture) -> Self {
        let only = &self.only;
        for list in [&mut self.linked, &mut self.build, &mut self.launcher, &mut self.worker] {
            list.retain(|name, _| only.get(name).is_none_or(|its| *its == architecture));
        }
        self
    }

    /// From the text of such a file.
    pub fn read(text: &str) -> Result<Self, toml::de::Error> {
        toml::from_str(text)
    }

    /// What of the packages of a program is not on its list, each with the reason, and what is on it and not among them. `foreign` says whether a package has code in
    /// other languages.
    pub fn problems(&self, program: Program, packages: &Packages, foreign: impl Fn(&Package) -> bool) -> Vec<String> {
        let mut problems = Vec::new();
        let others = || packages.0.iter().filter(|(key, _)| key.name != program.root());
        for (key, package) in others() {
            match self.list(program, package.linked).get(&key.to_string()) {
                None => {
                    problems.push(format!("{key} is not on the list of packages that are {}", kind(program, package)));
                }
                Some(checksum) if Some(checksum) != package.checksum.as_ref() => {
                    let found = package.checksum.as_deref().unwrap_or("none");
                    problems.push(format!("{key} has the checksum {found}, and the list says {checksum}"));
                }
                Some(_) => {}
            }
            if !self.foreign.contains_key(&key.name) && foreign(package) {
                problems.push(format!("{key} has code in another language than Rust, and the list does not say so"));
            }
        }
        let is_there = |name: &String, linked: bool| {
            let is_of_list = |package: &Package| program != Program::Agent || package.linked == linked;
            others().any(|(key, package)| key.to_string() == *name && is_of_list(package))
        };
        let mut gone: BTreeSet<&String> = BTreeSet::new();
        for linked in [true, false] {
            gone.extend(self.list(program, linked).keys().filter(|name| !is_there(name, linked)));
        }
        problems.extend(gone.into_iter().map(|name| format!("{name} is on the list and not needed any more")));
        problems
    }

    /// Everything in the launcher is in one list, because little runs while it is built; and so it is in the WAF worker.
    fn list(&self, program: Program, linked: bool) -> &BTreeMap<String, String> {
        match (program, linked) {
            (Program::Launcher, _) => &self.launcher,
            (Program::Worker, _) => &self.worker,
            (Program::Agent, true) => &self.linked,
            (Program::Agent, false) => &self.build,
        }
    }

    /// The text of the list for the packages of all programs, with what this one says of foreign code and of our own files.
    pub fn rewritten(&self, of: &PackagesOfPrograms, foreign: impl Fn(&Package) -> bool) -> String {
        let PackagesOfPrograms { agent, launcher, worker } = of;
        let head: Vec<&str> = TEXT.lines().take_while(|line| line.starts_with('#')).collect();
        let mut text = head.join("\n") + "\n";
        let mut table = |title: &str, program: Program, packages: &Packages, is_in: &dyn Fn(&Package) -> bool| {
            let _ = writeln!(text, "\n[{title}]");
            let others = packages.0.iter().filter(|(key, package)| key.name != program.root() && is_in(package));
            for (key, package) in others {
                let _ = writeln!(text, "\"{key}\" = \"{}\"", package.checksum.as_deref().unwrap_or_default());
            }
        };
        table("linked", Program::Agent, agent, &|package| package.linked);
        table("build", Program::Agent, agent, &|package| !package.linked);
        table("launcher", Program::Launcher, launcher, &|_| true);
        table("worker", Program::Worker, worker, &|_| true);
        text += "\n[foreign]\n";
        let all = agent.0.iter().chain(&launcher.0).chain(&worker.0);
        let names: BTreeMap<&String, &Package> = all.map(|(Key { name, .. }, it)| (name, it)).collect();
        let is_ours = |name: &str| PROGRAMS.iter().any(|program| program.root() == name);
        for (name, _) in names.into_iter().filter(|(name, package)| !is_ours(name) && foreign(package)) {
            let about = self.foreign.get(name).map_or("", String::as_str);
            let _ = writeln!(text, "{name} = \"{about}\"");
        }
        text += "\n[only]\n";
        let of_list = |name: &String| {
            [agent, launcher, worker].iter().any(|packages| packages.0.keys().any(|key| key.to_string() == *name))
        };
        for (name, architecture) in self.only.iter().filter(|(name, _)| of_list(name)) {
            let _ = writeln!(text, "\"{name}\" = \"{architecture}\"");
        }
        text += "\n[own]\n";
        for (file, about) in &self.own {
            let _ = writeln!(text, "\"{file}\" = \"{about}\"");
        }
        text
    }

    /// The configuration of cargo-deny for a program, with these packages in the place of those that it has; none where it has no such list.
    pub fn in_deny(&self, program: Program, configuration: &str) -> Option<String> {
        let [start, end] = DENY_LIST;
        let (head, rest) = configuration.split_once(start)?;
        let (_, tail) = rest.split_once(end)?;
        let ours = program.own_packages().iter().fold(String::new(), |list, name| list + "  \"" + name + "\",\n");
        let keys: BTreeSet<&String> = self.list(program, true).keys().chain(self.list(program, false).keys()).collect();
        let lines = keys.into_iter().map(|key| format!("  \"{}\",\n", key.replacen(' ', "@=", 1)));
        Some(format!("{head}{start}{ours}{}{end}{tail}", lines.collect::<String>()))
    }
}

fn kind(program: Program, package: &Package) -> &'static str {
    match (program, package.linked) {
        (Program::Launcher, _) => "in the launcher",
        (Program::Worker, _) => "in the WAF worker",
        (Program::Agent, true) => "linked",
        (Program::Agent, false) => "only compiled or run while it is built",
    }
}

/// Whether a file of ours is in another language than Rust, by its name.
pub fn is_foreign_name(file: &Path) -> bool {
    let ending = file.extension().map(|ending| ending.to_string_lossy().to_lowercase());
    ending.is_some_and(|ending| ending == LINKER_SCRIPT || FOREIGN.contains(&ending.as_str()))
}

/// Whether a package has files in other languages than Rust, or names a library to link with. What cannot be read counts as foreign.
pub fn is_foreign(package: &Package) -> bool {
    let manifest = fs::read_to_string(package.folder.join("Cargo.toml")).unwrap_or_else(|_| "links =".to_owned());
    manifest.lines().any(|line| line.starts_with("links =")) || has_foreign_files(&package.folder).unwrap_or(true)
}

fn has_foreign_files(folder: &Path) -> io::Result<bool> {
    for entry in fs::read_dir(folder)? {
        let (path, kind) = {
            let entry = entry?;
            (entry.path(), entry.file_type()?)
        };
        let ending = path.extension().map(|ending| ending.to_string_lossy().to_lowercase());
        let is_foreign = ending.is_some_and(|ending| FOREIGN.contains(&ending.as_str()));
        if (kind.is_dir() && has_foreign_files(&path)?) || (!kind.is_dir() && is_foreign) {
            return Ok(true);
        }
    }
    Ok(false)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::build::recipe::Recipe;
    use crate::layer::bundled;
    use crate::manifest::Manifest;

    fn package(linked: bool, checksum: &str) -> Package {
        Package { linked, checksum: Some(checksum.to_owned()), ..Package::default() }
    }

    fn packages(names: &[(&str, bool, &str)]) -> Packages {
        let keyed = names.iter().map(|(name, linked, checksum)| (Key::new(name, "1.0.0"), package(*linked, checksum)));
        Packages(keyed.collect())
    }

    fn list() -> PackageAllowlist {
        let listed = |name: &str| BTreeMap::from([(format!("{name} 1.0.0"), "aa".to_owned())]);
        let foreign = BTreeMap::from([("c-sys".to_owned(), "C".to_owned())]);
        PackageAllowlist {
            linked: listed("c-sys"),
            build: listed("cc"),
            launcher: listed("rustix"),
            foreign,
            ..PackageAllowlist::default()
        }
    }

    const GOOD: [(&str, bool, &str); 3] = [("bottlecap", true, ""), ("c-sys", true, "aa"), ("cc", false, "aa")];

    #[test]
    fn only_what_is_listed_with_its_checksum_is_allowed() {
        let foreign = |package: &Package| package.linked;
        let problems = |changed: &[(&str, bool, &str)]| list().problems(Program::Agent, &packages(changed), foreign);
        assert_eq!(problems(&GOOD), [""; 0]);
        for (changed, problem) in [
            ([GOOD[0], GOOD[1], ("cc", true, "aa")], "cc 1.0.0 is not on the list of packages that are linked"),
            ([GOOD[0], GOOD[1], ("cc", false, "bb")], "cc 1.0.0 has the checksum bb, and the list says aa"),
            ([GOOD[0], GOOD[0], GOOD[2]], "c-sys 1.0.0 is on the list and not needed any more"),
        ] {
            assert!(problems(&changed).contains(&problem.to_owned()), "{problem}: {:?}", problems(&changed));
        }
        let planted = [GOOD[0], GOOD[1], GOOD[2], ("sha1", true, "aa")];
        assert!(
            list()
                .problems(Program::Agent, &packages(&planted), |_| false)
                .iter()
                .any(|it| it.starts_with("sha1 1.0.0 is not on"))
        );
        let mut without_source = packages(&GOOD);
        without_source.0.insert(Key::new("sha1", "1.0.0"), Package { linked: true, ..Package::default() });
        let mut listed = list();
        assert!(listed.problems(Program::Agent, &without_source, foreign).concat().contains("sha1 1.0.0 is not on"));
        listed.linked.insert("sha1 1.0.0".to_owned(), String::new());
        assert!(
            listed
                .problems(Program::Agent, &without_source, |_| false)
                .concat()
                .contains("sha1 1.0.0 has the checksum none")
        );
        let allowlist = PackageAllowlist { foreign: BTreeMap::new(), ..list() };
        assert!(
            allowlist
                .problems(Program::Agent, &packages(&GOOD), foreign)
                .concat()
                .contains("c-sys 1.0.0 has code in another language")
        );
    }

    #[test]
    fn foreign_code_is_found_by_file_names_and_linked_library() {
        let folder = tempfile::tempdir().unwrap();
        let package = Package { folder: folder.path().to_owned(), ..Package::default() };
        assert!(is_foreign(&package), "nobody knows what is in it");
        fs::create_dir(folder.path().join("src")).unwrap();
        fs::write(folder.path().join("Cargo.toml"), "[package]\n").unwrap();
        fs::write(folder.path().join("src/lib.rs"), "").unwrap();
        assert!(!is_foreign(&package));
        fs::write(folder.path().join("src/code.S"), "").unwrap();
        assert!(is_foreign(&package));
        fs::remove_file(folder.path().join("src/code.S")).unwrap();
        fs::write(folder.path().join("Cargo.toml"), "[package]\nlinks = \"z\"\n").unwrap();
        assert!(is_foreign(&package));
    }

    #[test]
    fn packages_of_another_processor_are_neither_needed_nor_allowed() {
        let only = BTreeMap::from([("c-sys 1.0.0".to_owned(), Architecture::X86_64)]);
        let list = |architecture| PackageAllowlist { only: only.clone(), ..list() }.of_architecture(architecture);
        let problems = |architecture, them: &[(&str, bool, &str)]| {
            list(architecture).problems(Program::Agent, &packages(them), |package| package.linked)
        };
        assert_eq!(problems(Architecture::X86_64, &GOOD), [""; 0]);
        assert_eq!(problems(Architecture::Arm64, &[GOOD[0], GOOD[2]]), [""; 0]);
        assert_eq!(problems(Architecture::X86_64, &[GOOD[0], GOOD[2]]).len(), 1);
        assert_eq!(
            problems(Architecture::Arm64, &GOOD),
            ["c-sys 1.0.0 is not on the list of packages that are linked"]
        );
    }

    #[test]
    fn the_launcher_has_a_list_of_its_own() {
        let problems =
            |changed: &[(&str, bool, &str)]| list().problems(Program::Launcher, &packages(changed), |_| false);
        let good = [("launcher", true, ""), ("rustix", true, "aa")];
        assert_eq!(problems(&good), [""; 0]);
        assert_eq!(problems(&[good[0], ("rustix", false, "aa")]), [""; 0]);
        let planted = problems(&[good[0], good[1], ("c-sys", true, "aa")]);
        assert_eq!(planted, ["c-sys 1.0.0 is not on the list of packages that are in the launcher"]);
        assert_eq!(problems(&good[..1]), ["rustix 1.0.0 is on the list and not needed any more"]);
        assert_eq!(
            problems(&[good[0], ("rustix", true, "bb")]),
            ["rustix 1.0.0 has the checksum bb, and the list says aa"]
        );
        let agent = problems(&[("bottlecap", true, ""), good[1]]);
        assert_eq!(agent, ["bottlecap 1.0.0 is not on the list of packages that are in the launcher"]);
    }

    #[test]
    fn cargo_deny_has_the_same_lists() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
        let allowed = PackageAllowlist::embedded().unwrap();
        for program in PROGRAMS {
            let configuration = fs::read_to_string(root.join(program.deny_file())).unwrap();
            assert_eq!(allowed.in_deny(program, &configuration).unwrap(), configuration);
            let mut more = allowed.clone();
            more.build.insert("sha1 0.10.6".to_owned(), "00".to_owned());
            more.launcher.insert("sha1 0.10.6".to_owned(), "00".to_owned());
            more.worker.insert("sha1 0.10.6".to_owned(), "00".to_owned());
            assert!(more.in_deny(program, &configuration).unwrap().contains("\n  \"sha1@=0.10.6\",\n"));
            assert_eq!(allowed.in_deny(program, "[bans]\nallow = []\n"), None);
        }
    }

    /// After a change of dependencies, `cargo matrix fips-report --write-packages` writes the list anew, to be read before it is committed.
    #[test]
    fn the_list_is_that_of_the_lock_files() {
        let manifest = Manifest::embedded().unwrap();
        let recipe = Recipe::of(manifest, &manifest.set_levels("ship-fips").unwrap());
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
        let mut agent = Packages::of(&recipe.workspace(root), &recipe.features, &crate::target::plain()).unwrap();
        bundled::mark_replaced(&mut agent).unwrap();
        let launcher = launcher::packages(root, &crate::target::plain()).unwrap();
        let worker = waf::packages(root, &crate::target::plain()).unwrap();
        let allowed = PackageAllowlist::embedded().unwrap();
        let all = PackagesOfPrograms { agent, launcher, worker };
        assert_eq!(allowed.rewritten(&all, is_foreign), TEXT);
        assert!(allowed.foreign.values().all(|about| !about.is_empty()));
        let PackagesOfPrograms { agent, launcher, worker } = all;
        for (program, mut packages, where_it_is) in [
            (Program::Agent, agent, "linked"),
            (Program::Launcher, launcher, "in the launcher"),
            (Program::Worker, worker, "in the WAF worker"),
        ] {
            assert_eq!(allowed.problems(program, &packages, is_foreign), [""; 0]);
            packages.0.insert(Key::new("ring", "0.17.14"), package(true, "00"));
            let problems = allowed.problems(program, &packages, |_| false);
            assert_eq!(problems, [format!("ring 0.17.14 is not on the list of packages that are {where_it_is}")]);
        }
    }
}
