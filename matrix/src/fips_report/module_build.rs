//! How the module was built: what `CMake` wrote down, the flags that its compiler really had, and the programs that did it, by their bytes.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use serde::Serialize;

use super::certificate::ModuleOptions;
use super::proof::{Facts, Proof};
use super::rust_tools;
use super::tools::{self, AR, BuildTools, C_COMPILER, CMAKE, GO, LD, MAKE, NM, OBJCOPY, PERL, RANLIB, STRIP};
use crate::target::Architecture;

/// Relative to the folder of the build script: where `CMake` has built, and there the flags of the file that is the module.
const BUILD: &str = "build";
const FLAGS: &str = "aws-lc/crypto/fipsmodule/CMakeFiles/bcm_c_generated_asm.dir/flags.make";
/// What the report calls a program that has this name in `CMake`'s cache. All others are called as they are there.
const NAMES: [(&str, &str); 12] = [
    (C_COMPILER, "CMAKE_C_COMPILER"),
    (C_COMPILER, "CMAKE_ASM_COMPILER"),
    (AR, "CMAKE_AR"),
    (LD, "CMAKE_LINKER"),
    (NM, "CMAKE_NM"),
    (OBJCOPY, "CMAKE_OBJCOPY"),
    (RANLIB, "CMAKE_RANLIB"),
    (STRIP, "CMAKE_STRIP"),
    (CMAKE, "CMAKE_COMMAND"),
    (MAKE, "CMAKE_MAKE_PROGRAM"),
    (GO, "GO_EXECUTABLE"),
    (PERL, "PERL_EXECUTABLE"),
];

/// What `CMake` and make have left behind.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct ModuleBuild {
    /// `CMake`'s cache.
    #[serde(skip)]
    pub cache: BTreeMap<String, String>,
    /// The entries of it that are programs, by whatever name: the path of each.
    #[serde(skip)]
    pub programs: BTreeMap<String, String>,
    /// Definitions and flags of the compiler, without those that only warn and those that only replace paths in texts.
    pub flags: Vec<String>,
    /// The version of the compiler, as `CMake` found it.
    pub compiler_version: String,
    /// What the build script has given `CMake` on its command line, each with `-D` before it.
    pub given: Vec<String>,
    /// The libraries that the build script has cargo link, each with its form before it.
    pub libraries: Vec<String>,
}

impl ModuleBuild {
    /// Reads the folder of the module's build script.
    pub fn read(script: &Path) -> Result<Self, String> {
        let folder = script.join(BUILD);
        let read = |path: PathBuf| fs::read_to_string(&path).map_err(|error| format!("{}: {error}", path.display()));
        let cache = read(folder.join("CMakeCache.txt"))?;
        let flags = read(folder.join(FLAGS))?;
        let compiler = compiler_file(&folder).map(read).transpose()?.unwrap_or_default();
        // Cargo keeps what a build script says beside the folder that it gives it.
        let said = |name: &str| read(script.with_file_name(name));
        Ok(Self {
            programs: self::programs(&cache),
            cache: self::cache(&cache),
            flags: self::flags(&flags),
            compiler_version: version_of(&compiler),
            given: given(&said("stderr")?),
            libraries: libraries(&said("output")?),
        })
    }

    /// An entry of `CMake`'s cache; empty where there is none.
    pub fn entry(&self, name: &str) -> &str {
        self.cache.get(name).map_or("", String::as_str)
    }

    /// The path of each program that `CMake` has found, with its name in the report.
    pub fn programs(&self) -> impl Iterator<Item = (&str, &str)> {
        self.programs.iter().map(|(entry, path)| {
            let known = NAMES.iter().find(|(_, name)| name == entry);
            (known.map_or(entry.as_str(), |(name, _)| name), path.as_str())
        })
    }
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

/// The entries of `CMake`'s cache that name a file by their type, whether it is there or not, and those whose value is the path of a program, whatever their type says.
fn programs(text: &str) -> BTreeMap<String, String> {
    let entries = text.lines().filter(|line| !line.starts_with(['#', '/'])).filter_map(|line| line.split_once('='));
    let entries = entries.filter_map(|(head, value)| Some((head.split_once(':')?, value)));
    let programs = entries.filter(|((_, kind), value)| {
        let path = Path::new(value);
        path.is_absolute() && (*kind == "FILEPATH" || tools::is_program(path))
    });
    programs.map(|((name, _), value)| (name.to_owned(), value.to_owned())).collect()
}

/// The definitions in the command that the crate `cmake` says to run, which is between quotation marks word by word.
fn given(text: &str) -> Vec<String> {
    let command = text.lines().find(|line| line.starts_with("running: ") && line.contains("\"-D"));
    let words = command.into_iter().flat_map(|line| line.split('"').skip(1).step_by(2));
    words.filter(|word| word.starts_with("-D")).map(str::to_owned).collect()
}

/// `static=NAME` of `cargo:rustc-link-lib=static=NAME`.
fn libraries(text: &str) -> Vec<String> {
    text.lines().filter_map(|line| line.strip_prefix("cargo:rustc-link-lib=")).map(str::to_owned).collect()
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

/// Compares how the module was built with what is pinned. `package` is the folder of its sources, and `compiled` says how many crates and build scripts cargo has
/// compiled for how many packages; `of_packages` is what the package database says of the tools. Where no flags are pinned for the processor, the proof counts as not run if nothing else stands against it.
pub fn judge(
    build: &ModuleBuild,
    package: &Path,
    tools: &BuildTools,
    (compiled, packages): (usize, usize),
    pinned: &ModuleOptions,
    architecture: Architecture,
    of_packages: Facts,
) -> Proof {
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
    facts.note(!build.flags.is_empty(), format!("the module was compiled with {}", build.flags.join(" ")));
    let flags = pinned.flags.get(&architecture.to_string());
    if let Some(flags) = flags {
        compare_flags(&build.flags, flags, &mut facts);
    }
    let version = tools.version_of(C_COMPILER);
    let same = !build.compiler_version.is_empty() && version.split(' ').any(|word| word == build.compiler_version);
    let built = &build.compiler_version;
    facts.note(same, format!("it was compiled by version {built:?} of the C compiler, which now is: {version}"));
    let from_nothing = format!(
        "in a target directory that was empty, cargo has compiled {compiled} crates and build scripts for {packages} packages"
    );
    facts.note(compiled >= packages && packages > 0, from_nothing);
    tools.note(&mut facts);
    facts.extend(of_packages);
    rust_tools::note(&tools.after, pinned.rust.get(&architecture.to_string()), &mut facts);
    let claim = "The module was built for this report from those sources, with the pinned options and flags, by the programs that are named here.";
    let how =
        format!("`CMakeCache.txt` and `{FLAGS}` of the build, and the SHA-256 of each program before it and after it");
    if flags.is_none() {
        facts.not_run.push(format!("the flags of the compiler are not pinned for {architecture}"));
    }
    Proof::new("build", claim, how, facts)
}

fn compare_flags(found: &[String], pinned: &[String], facts: &mut Facts) {
    let without = |all: &[String], others: &[String]| {
        all.iter().filter(|flag| !others.contains(flag)).cloned().collect::<Vec<_>>().join(" ")
    };
    for (what, flags) in [("not pinned", without(found, pinned)), ("missing", without(pinned, found))] {
        if !flags.is_empty() {
            facts.note(false, format!("flags that are {what}: {flags}"));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::super::certificate::CertifiedModule;
    use super::super::tools::BuildTool;
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
        let said = "note\nrunning: cd \"/out\" && LC_ALL=\"C\" \"cmake\" \"/src\" \"-B\" \"/out\" \"-DFIPS=1\" \"-DCMAKE_C_FLAGS= -a -b\"\nrunning: \"make\"\n";
        assert_eq!(given(said), ["-DFIPS=1", "-DCMAKE_C_FLAGS= -a -b"]);
        assert_eq!(libraries("cargo:root=/out\ncargo:rustc-link-lib=static=crypto\n"), ["static=crypto"]);
        let program = std::env::current_exe().unwrap().display().to_string();
        let text = format!(
            "//CMAKE_X:FILEPATH=/x\nA_TOOL:INTERNAL={program}\nCMAKE_AR:FILEPATH=/nowhere/ar\nCMAKE_MT:FILEPATH=CMAKE_MT-NOTFOUND\nA_FOLDER:PATH=/usr\nFIPS:STRING=1\n"
        );
        let programs = programs(&text);
        let found = ModuleBuild { programs, ..ModuleBuild::default() };
        let found: Vec<_> = found.programs().collect();
        assert_eq!(found, [("A_TOOL", program.as_str()), (AR, "/nowhere/ar")], "by whatever name, there or gone");
        assert!(ModuleBuild::read(Path::new("/nowhere")).unwrap_err().contains("CMakeCache.txt"));
    }

    /// They come with `CMake` and with clang; an edit command is never run by a build, and is in the cache all the same.
    #[test]
    fn what_a_desktop_has_beside_cmake_was_looked_at_before_the_build() {
        let folder = tempfile::tempdir().unwrap();
        let folder = folder.path().canonicalize().unwrap();
        let mut text = String::new();
        for (entry, file) in [
            ("CMAKE_EDIT_COMMAND:INTERNAL", "ccmake"),
            ("CMAKE_EDIT_COMMAND_OF_ANOTHER_HOST:INTERNAL", "cmake-gui"),
            ("CMAKE_C_COMPILER_CLANG_SCAN_DEPS:FILEPATH", "clang-scan-deps-14"),
        ] {
            let path = folder.join(file);
            crate::executable::write(&path, b"\x7fELF").unwrap();
            text += &format!("{entry}={}\n", path.display());
        }
        let build = ModuleBuild { programs: programs(&text), ..ModuleBuild::default() };
        let after: Vec<BuildTool> =
            build.programs().map(|(name, path)| BuildTool::of(name, Path::new(path), false)).collect();
        assert_eq!(after.len(), 3, "{after:?}");
        let mut facts = Facts::default();
        BuildTools { before: tools::beside_compilers(&folder), after, ..BuildTools::default() }.note(&mut facts);
        assert_eq!(facts.against, [""; 0]);
    }

    /// A build as it should be, of sources in that folder.
    fn good(package: &Path, pinned: &ModuleOptions) -> (ModuleBuild, BuildTools) {
        let mut cache = pinned.options.clone();
        cache.insert("CMAKE_HOME_DIRECTORY".to_owned(), package.display().to_string());
        let (flags, compiler_version) = (pinned.flags["x86_64"].clone(), "12.2.0".to_owned());
        let build = ModuleBuild { cache, flags, compiler_version, ..ModuleBuild::default() };
        let [name, path, sha256, version] =
            ["C compiler", "/usr/bin/gcc-12", "ff", "cc (Debian 12.2.0-14) 12.2.0"].map(str::to_owned);
        let compiler = BuildTool { name, path, sha256, is_elf: true, version };
        let of_rust = |sha256: &String| {
            let (name, path) = (rust_tools::RUSTC.to_owned(), format!("/toolchain/{sha256}"));
            BuildTool { name, path, sha256: sha256.clone(), is_elf: true, version: String::new() }
        };
        let tools: Vec<BuildTool> = [compiler].into_iter().chain(pinned.rust["x86_64"].values().map(of_rust)).collect();
        (build, BuildTools { before: tools.clone(), after: tools, ..BuildTools::default() })
    }

    #[test]
    fn a_module_that_was_built_in_another_way_is_caught() {
        let pinned = CertifiedModule::embedded().unwrap().build;
        let (package, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let (build, tools) = good(package.path(), &pinned);
        let proof = judge(&build, package.path(), &tools, (9, 5), &pinned, Architecture::X86_64, Facts::default());
        assert!(proof.holds && proof.evidence.iter().any(|fact| fact.contains("SHA-256 ff")), "{proof:?}");
        let holds = |build: &ModuleBuild| {
            judge(build, package.path(), &tools, (9, 5), &pinned, Architecture::X86_64, Facts::default()).holds
        };
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
        let judged = |tools: &BuildTools, counts| {
            judge(&build, package.path(), tools, counts, &pinned, Architecture::X86_64, Facts::default()).holds
        };
        assert!(!judged(&BuildTools::default(), (9, 5)), "nobody knows which compiler");
        let mut changed = tools.clone();
        changed.after[0].sha256 = "00".to_owned();
        assert!(!judged(&changed, (9, 5)), "the compiler was another one before");
        assert!(!judged(&tools, (1, 5)), "most of it was there already");
        let mut other = tools.clone();
        for tool in [&mut other.before, &mut other.after] {
            tool[1].sha256 = "00".to_owned();
        }
        assert!(!judged(&other, (9, 5)), "another toolchain, which stayed what it was");
        let mut of_packages = Facts::default();
        of_packages.note(false, "C compiler: /tmp/cc is of no package of this system");
        let proof = judge(&build, package.path(), &tools, (9, 5), &pinned, Architecture::X86_64, of_packages);
        assert_eq!(proof.against, ["C compiler: /tmp/cc is of no package of this system"]);
    }

    #[test]
    fn flags_that_are_pinned_for_another_processor_judge_nothing() {
        let pinned = CertifiedModule::embedded().unwrap().build;
        let package = tempfile::tempdir().unwrap();
        let (mut build, tools) = good(package.path(), &pinned);
        build.flags = ["-O3", "-fno-jump-tables"].map(str::to_owned).to_vec();
        let judged = |build: &ModuleBuild| {
            judge(build, package.path(), &tools, (9, 5), &pinned, Architecture::Arm64, Facts::default())
        };
        let proof = judged(&build);
        assert_eq!(proof.against, [""; 0]);
        assert_eq!(proof.not_run.as_deref(), Some("the flags of the compiler are not pinned for arm64"));
        assert!(!proof.holds && proof.evidence.concat().contains("compiled with -O3 -fno-jump-tables"), "{proof:?}");
        build.cache.insert("FIPS".to_owned(), "0".to_owned());
        let proof = judged(&build);
        assert!(!proof.holds && proof.not_run.is_none(), "what is against it counts: {proof:?}");
    }

    /// The module's own sources on this machine, of which `CMake` writes the files of a build with these further arguments; make has not run.
    fn configured(folder: &Path, package: &Path, further: &[&str]) -> Result<ModuleBuild, String> {
        let certified = CertifiedModule::embedded().unwrap();
        let script = folder.join("out");
        let mut command = Command::new("cmake");
        command.arg(package).arg("-B").arg(script.join(BUILD));
        command.args(certified.build.options.iter().map(|(name, value)| format!("-D{name}={value}")));
        let headers = package.join("generated-include");
        command.arg(format!("-DBORINGSSL_PREFIX_HEADERS={}", headers.display()));
        command.arg("-DCMAKE_C_FLAGS= -ffunction-sections -fdata-sections -fPIC -m64 -static -march=x86-64 -w");
        command.env("GOCACHE", folder.join("go")).env("GOENV", "off").args(further);
        let done = command.output().unwrap();
        assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
        for name in ["stderr", "output"] {
            fs::write(folder.join(name), "").unwrap();
        }
        ModuleBuild::read(&script)
    }

    /// What the real build of the module leaves behind, as it should be and doctored. Its flags are pinned for one processor.
    #[test]
    fn a_doctored_build_of_the_real_module_is_caught() {
        if Architecture::of_this_machine() != Architecture::X86_64 {
            return;
        }
        let manifest = crate::manifest::Manifest::embedded().unwrap();
        let recipe = crate::build::recipe::Recipe::of(manifest, &manifest.set_levels("ship-fips").unwrap());
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
        let packages = crate::materials::packages::Packages::of(
            &recipe.workspace(root),
            &recipe.features,
            &crate::target::plain(),
        );
        let certified = CertifiedModule::embedded().unwrap();
        let packages = packages.unwrap();
        let (_, package) = packages.0.iter().find(|(key, _)| key.name == certified.package).unwrap();
        let ours = crate::flavour::Toolchain::plain(root, crate::workspace::Profile::Release).unwrap().agent;
        let at_hand = tools::at_hand(root, &[&ours]);
        let against = |further: &[&str]| {
            let place = tempfile::tempdir().unwrap();
            let build = configured(place.path(), &package.folder, further).unwrap();
            // A toolchain file is one that nobody has looked at, as it should be.
            for (name, path) in build.programs().filter(|(_, path)| tools::is_program(Path::new(path))) {
                let path = fs::canonicalize(path).unwrap().display().to_string();
                assert!(at_hand.iter().any(|tool| tool.path == path), "{name}: nobody has looked at {path} before");
            }
            let compiler = BuildTool::of(C_COMPILER, Path::new(build.entry("CMAKE_C_COMPILER")), true);
            let tools = BuildTools { before: vec![compiler.clone()], after: vec![compiler], ..BuildTools::default() };
            let pinned = ModuleOptions { rust: BTreeMap::new(), ..certified.build.clone() };
            judge(&build, &package.folder, &tools, (9, 5), &pinned, Architecture::X86_64, Facts::default()).against
        };
        assert_eq!(against(&[]), [""; 0]);
        let doctored = "-DCMAKE_C_FLAGS= -ffunction-sections -fdata-sections -fPIC -m64 -static -march=x86-64 -DBORINGSSL_FIPS_BREAK_TESTS";
        assert_eq!(against(&[doctored]), ["flags that are not pinned: -DBORINGSSL_FIPS_BREAK_TESTS"]);
        let place = tempfile::tempdir().unwrap();
        let file = place.path().join("toolchain.cmake");
        fs::write(&file, "add_compile_definitions(OTHER)\n").unwrap();
        let found = against(&[&format!("-DCMAKE_TOOLCHAIN_FILE={}", file.display())]).join("; ");
        assert!(found.contains("CMAKE_TOOLCHAIN_FILE is /") && found.contains("not pinned: -DOTHER"), "{found}");
        let none = configured(place.path(), &package.folder, &["-DFIPS=0"]).unwrap_err();
        assert!(none.contains("flags.make"), "there is no module in it: {none}");
    }
}
