//! How the module was built: what `CMake` wrote down, the flags that its compiler really had, and the programs that did it, by their bytes.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde::Serialize;

use super::certificate::ModuleOptions;
use super::proof::{Facts, Proof};
use crate::hash;

/// Relative to the folder of the build script: where `CMake` has built, and there the flags of the file that is the module.
const BUILD: &str = "build";
const FLAGS: &str = "aws-lc/crypto/fipsmodule/CMakeFiles/bcm_c_generated_asm.dir/flags.make";
/// What names a program in `CMake`'s cache.
const PROGRAMS: [(&str, &str); 5] = [
    ("C compiler", "CMAKE_C_COMPILER"),
    ("CMake", "CMAKE_COMMAND"),
    ("make", "CMAKE_MAKE_PROGRAM"),
    ("Go", "GO_EXECUTABLE"),
    ("Perl", "PERL_EXECUTABLE"),
];
/// What the C compiler starts in turn.
const STARTED: [&str; 3] = ["cc1", "as", "ld"];

/// A program that takes part in the build.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct BuildTool {
    pub name: String,
    /// Without links.
    pub path: String,
    pub sha256: String,
    /// The first line of what it says of itself; empty of those that are not asked.
    pub version: String,
}

/// What `CMake` and make have left behind.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct ModuleBuild {
    /// `CMake`'s cache.
    #[serde(skip)]
    pub cache: BTreeMap<String, String>,
    /// Definitions and flags of the compiler, without those that only warn and those that only replace paths in texts.
    pub flags: Vec<String>,
    /// The version of the compiler, as `CMake` found it.
    pub compiler_version: String,
}

impl ModuleBuild {
    /// Reads the folder of the module's build script.
    pub fn read(script: &Path) -> Result<Self, String> {
        let folder = script.join(BUILD);
        let read = |path: PathBuf| fs::read_to_string(&path).map_err(|error| format!("{}: {error}", path.display()));
        let cache = read(folder.join("CMakeCache.txt"))?;
        let flags = read(folder.join(FLAGS))?;
        let compiler = compiler_file(&folder).map(read).transpose()?.unwrap_or_default();
        Ok(Self { cache: self::cache(&cache), flags: self::flags(&flags), compiler_version: version_of(&compiler) })
    }

    fn entry(&self, name: &str) -> &str {
        self.cache.get(name).map_or("", String::as_str)
    }

    /// The programs that have built it, as they are now.
    pub fn tools(&self) -> Vec<BuildTool> {
        let compiler = self.entry("CMAKE_C_COMPILER");
        let named = PROGRAMS.iter().map(|(name, key)| ((*name).to_owned(), self.entry(key).to_owned(), true));
        let started = STARTED.iter().map(|name| ((*name).to_owned(), started_by(compiler, name), false));
        let there = named.chain(started).filter(|(_, path, _)| !path.is_empty());
        there.map(|(name, path, asked)| BuildTool::of(name, &path, asked)).collect()
    }
}

impl BuildTool {
    /// A program as it is now. `asked` says whether it is asked for its version.
    pub fn of(name: String, path: &str, asked: bool) -> Self {
        let real = fs::canonicalize(path).unwrap_or_else(|_| path.into());
        let sha256 = hash::of_files([real.as_path()]).unwrap_or_else(|error| error.to_string());
        let question = if name == "Go" { "version" } else { "--version" };
        let version = if asked { said(path, &[question]) } else { String::new() };
        Self { name, path: real.display().to_string(), sha256, version }
    }
}

/// The first line with something in it that a program says.
fn said(program: &str, arguments: &[&str]) -> String {
    let output = Command::new(program).args(arguments).stdin(Stdio::null()).output();
    let text = output.map(|output| String::from_utf8_lossy(&output.stdout).into_owned()).unwrap_or_default();
    text.lines().find(|line| !line.trim().is_empty()).unwrap_or_default().trim().to_owned()
}

/// Where the compiler finds a program that it starts; a name alone is looked for on the path.
fn started_by(compiler: &str, name: &str) -> String {
    let told = said(compiler, &[&format!("-print-prog-name={name}")]);
    let path = std::env::var_os("PATH").unwrap_or_default();
    let found = std::env::split_paths(&path).map(|folder| folder.join(&told)).find(|path| path.is_file());
    found.map_or(told, |path| path.display().to_string())
}

/// `CMakeFiles/VERSION/CMakeCCompiler.cmake`.
fn compiler_file(folder: &Path) -> Option<PathBuf> {
    let versions = fs::read_dir(folder.join("CMakeFiles")).ok()?;
    versions.flatten().map(|entry| entry.path().join("CMakeCCompiler.cmake")).find(|path| path.is_file())
}

fn version_of(text: &str) -> String {
    let line = text.lines().find_map(|line| line.strip_prefix("set(CMAKE_C_COMPILER_VERSION \""));
    line.and_then(|rest| rest.split('"').next()).unwrap_or_default().to_owned()
}

/// `NAME:TYPE=VALUE`.
fn cache(text: &str) -> BTreeMap<String, String> {
    let lines = text.lines().filter(|line| !line.starts_with(['#', '/']));
    let entries = lines.filter_map(|line| {
        let (head, value) = line.split_once('=')?;
        Some((head.split(':').next()?.to_owned(), value.to_owned()))
    });
    entries.collect()
}

fn flags(text: &str) -> Vec<String> {
    let lines = text.lines().filter_map(|line| {
        ["C_DEFINES", "C_FLAGS"].iter().find_map(|name| line.strip_prefix(name)?.trim_start().strip_prefix('='))
    });
    let says_nothing = |word: &&str| {
        let warns = word.starts_with("-W")
            && !word.starts_with("-Wa,")
            && !word.starts_with("-Wl,")
            && !word.starts_with("-Wp,");
        warns || *word == "-w" || word.starts_with("-ffile-prefix-map=")
    };
    let mut words: Vec<String> =
        lines.flat_map(str::split_whitespace).filter(|word| !says_nothing(word)).map(str::to_owned).collect();
    words.sort();
    words.dedup();
    words
}

/// Compares how the module was built with what is pinned. `package` is the folder of its sources.
pub fn judge(build: &ModuleBuild, package: &Path, tools: &[BuildTool], pinned: &ModuleOptions) -> Proof {
    let mut facts = Facts::default();
    let source = build.entry("CMAKE_HOME_DIRECTORY");
    let is_source = !source.is_empty() && fs::canonicalize(source).ok() == fs::canonicalize(package).ok();
    facts.note(is_source, format!("CMake has built the sources in {source}"));
    for (name, wanted) in &pinned.options {
        let found = build.entry(name);
        facts.note(found == wanted, format!("{name} is {found:?}, and {wanted:?} is pinned"));
    }
    for name in &pinned.unset {
        let found = build.entry(name);
        facts.note(
            found.is_empty(),
            if found.is_empty() { format!("{name} is not set") } else { format!("{name} is {found}") },
        );
    }
    let other: Vec<_> = build.flags.iter().filter(|flag| !pinned.flags.contains(flag)).cloned().collect();
    facts.note(!build.flags.is_empty(), format!("the module was compiled with {}", build.flags.join(" ")));
    if !other.is_empty() {
        facts.note(false, format!("flags that are not pinned: {}", other.join(" ")));
    }
    let missing: Vec<_> = pinned.flags.iter().filter(|flag| !build.flags.contains(flag)).cloned().collect();
    if !missing.is_empty() {
        facts.note(false, format!("flags that are missing: {}", missing.join(" ")));
    }
    let compiler = tools.iter().find(|tool| tool.name == "C compiler");
    let version = compiler.map_or("", |tool| tool.version.as_str());
    let same = !build.compiler_version.is_empty() && version.split(' ').any(|word| word == build.compiler_version);
    let built = &build.compiler_version;
    facts.note(same, format!("it was compiled by version {built:?} of the C compiler, which now is: {version}"));
    for tool in tools {
        facts.evidence.push(format!("{}: {}, SHA-256 {}", tool.name, tool.path, tool.sha256));
    }
    let claim = "The module was built from those sources with the pinned options and flags, by the programs that are named here.";
    let how = format!("`CMakeCache.txt` and `{FLAGS}` of the build, and the programs as they are now");
    Proof::new("build", claim, how, facts)
}

#[cfg(test)]
mod tests {
    use super::super::certificate::Certified;
    use super::*;

    const CACHE: &str =
        "# This is the CMakeCache file.\n//A comment\nCMAKE_C_COMPILER:STRING=/usr/bin/cc\nFIPS:UNINITIALIZED=1\n";
    const MADE: &str = "# compile C with /usr/bin/cc\nC_DEFINES = -DBORINGSSL_FIPS\n\nC_INCLUDES = -I/x\n\nC_FLAGS =  -m64 -w -Wall -ffile-prefix-map=/a=. -O3 -Wa,--noexecstack\n";

    #[test]
    fn what_cmake_has_left_behind_is_read() {
        let cache = cache(CACHE);
        assert_eq!(cache.len(), 2, "{cache:?}");
        assert_eq!((cache["FIPS"].as_str(), cache["CMAKE_C_COMPILER"].as_str()), ("1", "/usr/bin/cc"));
        assert_eq!(flags(MADE), ["-DBORINGSSL_FIPS", "-O3", "-Wa,--noexecstack", "-m64"]);
        assert_eq!(version_of("x\nset(CMAKE_C_COMPILER_VERSION \"12.2.0\")\n"), "12.2.0");
        assert!(ModuleBuild::read(Path::new("/nowhere")).unwrap_err().contains("CMakeCache.txt"));
    }

    /// A build as it should be, of sources in that folder.
    fn good(package: &Path, pinned: &ModuleOptions) -> (ModuleBuild, Vec<BuildTool>) {
        let mut cache = pinned.options.clone();
        cache.insert("CMAKE_HOME_DIRECTORY".to_owned(), package.display().to_string());
        let build = ModuleBuild { cache, flags: pinned.flags.clone(), compiler_version: "12.2.0".to_owned() };
        let [name, path, sha256, version] =
            ["C compiler", "/usr/bin/gcc-12", "ff", "cc (Debian 12.2.0-14) 12.2.0"].map(str::to_owned);
        (build, vec![BuildTool { name, path, sha256, version }])
    }

    #[test]
    fn a_module_that_was_built_in_another_way_is_caught() {
        let pinned = Certified::embedded().unwrap().build;
        let (package, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let (build, tools) = good(package.path(), &pinned);
        let proof = judge(&build, package.path(), &tools, &pinned);
        assert!(proof.holds && proof.evidence.iter().any(|fact| fact.contains("SHA-256 ff")), "{proof:?}");
        let holds = |build: &ModuleBuild| judge(build, package.path(), &tools, &pinned).holds;
        let with = |name: &str, value: &str| {
            let mut build = build.clone();
            build.cache.insert(name.to_owned(), value.to_owned());
            build
        };
        assert!(!holds(&with("CMAKE_TOOLCHAIN_FILE", "/tmp/toolchain.cmake")));
        assert!(!holds(&with("FIPS", "0")) && !holds(&with("CMAKE_BUILD_TYPE", "debug")));
        assert!(!holds(&with("CMAKE_HOME_DIRECTORY", &other.path().display().to_string())), "other sources");
        let mut doctored = build.clone();
        doctored.flags.push("-DBORINGSSL_FIPS_BREAK_TESTS".to_owned());
        assert!(!holds(&doctored));
        assert!(!holds(&ModuleBuild { flags: Vec::new(), ..build.clone() }));
        assert!(!holds(&ModuleBuild { compiler_version: "13.1.0".to_owned(), ..build.clone() }), "another compiler");
        assert!(!judge(&build, package.path(), &[], &pinned).holds, "nobody knows which compiler");
    }

    #[test]
    fn a_program_is_known_by_its_bytes() {
        let folder = tempfile::tempdir().unwrap();
        let (program, link) = (folder.path().join("program"), folder.path().join("link"));
        crate::executable::write(&program, "#!/bin/sh\necho\necho one 1.0\n").unwrap();
        std::os::unix::fs::symlink(&program, &link).unwrap();
        let tool = |asked| BuildTool::of("cc".to_owned(), link.to_str().unwrap(), asked);
        let before = tool(true);
        assert!(before.path.ends_with("program") && before.version == "one 1.0", "{before:?}");
        assert!(tool(false).version.is_empty());
        crate::executable::write(&program, "#!/bin/sh\necho one 1.0 # doctored\n").unwrap();
        let after = tool(true);
        assert!(after.version.starts_with("one 1.0") && after.sha256 != before.sha256);
    }
}
