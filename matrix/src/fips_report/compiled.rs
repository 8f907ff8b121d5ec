//! What rustc has read for the program, and what is linked into it: by the lists of files that rustc leaves beside what it compiles, and by what build scripts have told
//! cargo.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::{fs, io};

use super::allowed::{self, PackageAllowlist};
use super::more_than_rust;
use super::proof::{Facts, Proof};
use crate::build::waf;
use crate::materials::packages::{Origin, Packages};
use crate::workspace::sources;

/// Where cargo puts what a build script writes, in the folder of that script.
const WRITTEN: &str = "out";
/// Beginnings of what a build script tells cargo to have something linked.
const LINKS: [&str; 3] = ["rustc-link-", "rustc-cdylib-link-", "rustc-flags"];
/// A folder in which the linker looks for libraries, those of the C library among them. Which one that is depends on the place.
const SEARCH: &str = "rustc-link-search";
/// How a build script sets a variable of rustc, and so of the linker.
const VARIABLE: &str = "rustc-env=";
/// Beginnings of variables by which those find what they start and link.
const STEERING: [&str; 6] = ["COMPILER_PATH=", "GCC_EXEC_PREFIX=", "LD_", "LIBRARY_PATH=", "PATH=", "RUSTC_"];
/// What names the loader of a program and links nothing: the WAF worker has it, whose linker is called without a C compiler that would add it.
const LOADERS: [&str; 4] = [
    "rustc-link-arg-bins=--dynamic-linker=/lib64/ld-linux-x86-64.so.2",
    "rustc-link-arg-bins=--dynamic-linker=/lib/ld-linux-aarch64.so.1",
    "rustc-link-arg-examples=--dynamic-linker=/lib64/ld-linux-x86-64.so.2",
    "rustc-link-arg-examples=--dynamic-linker=/lib/ld-linux-aarch64.so.1",
];

/// The directories of one cargo command.
#[derive(Clone, Debug)]
pub struct Call {
    /// The workspace, from which rustc names our own files.
    pub workspace: PathBuf,
    /// The target directory.
    pub target: PathBuf,
}

/// The compiled files of all cargo commands.
#[derive(Default)]
struct CompiledFiles {
    /// How many lists of files there are: one for each crate and build script.
    lists: usize,
    /// Our own files, relative to the root.
    own: BTreeSet<PathBuf>,
    /// The files of packages.
    of_packages: BTreeSet<PathBuf>,
    /// The number of files written by each build script.
    written: BTreeMap<String, usize>,
    /// The `cargo:rustc-link-*` directives of each package's build script.
    linked: BTreeMap<String, BTreeSet<String>>,
    problems: BTreeSet<String>,
}

/// Looks at everything below the target directories of these calls, of the repository in `root`.
pub fn look(calls: &[Call], root: &Path, packages: &Packages, allowed: &PackageAllowlist) -> io::Result<Proof> {
    let root = root.canonicalize()?;
    let others = packages.0.values().filter(|package| package.origin != Origin::Path);
    let folders: BTreeSet<PathBuf> = others.filter_map(|package| package.folder.canonicalize().ok()).collect();
    let mut found = CompiledFiles::default();
    for call in calls {
        let call = Call { target: call.target.canonicalize()?, workspace: call.workspace.clone() };
        found.walk(&call.target, &call, &root, &folders)?;
    }
    Ok(judge(&found, &own_files(&root, &found.own)?, packages, allowed))
}

impl CompiledFiles {
    fn walk(&mut self, folder: &Path, call: &Call, root: &Path, folders: &BTreeSet<PathBuf>) -> io::Result<()> {
        for entry in fs::read_dir(folder)? {
            let entry = entry?;
            let (path, name) = (entry.path(), entry.file_name());
            let script = script(folder);
            if entry.file_type()?.is_dir() {
                // Make has lists of its own there, of what is not Rust.
                if script.is_none() || name != WRITTEN {
                    self.walk(&path, call, root, folders)?;
                }
            } else if path.extension().is_some_and(|ending| ending == "d")
                && (script.is_some() || folder.ends_with("deps"))
            {
                self.lists += 1;
                for file in files(&fs::read_to_string(&path)?) {
                    self.sort(&file, call, root, folders);
                }
            } else if let Some(package) = script.filter(|_| name == "output") {
                let directives = links(&String::from_utf8_lossy(&fs::read(&path)?));
                if !directives.is_empty() {
                    self.linked.entry(package).or_default().extend(directives);
                }
            }
        }
        Ok(())
    }

    /// Notes whose file it is.
    fn sort(&mut self, file: &str, call: &Call, root: &Path, folders: &BTreeSet<PathBuf>) {
        let Ok(path) = call.workspace.join(file).canonicalize() else {
            self.problems.insert(format!("{file} was read and is not there any more"));
            return;
        };
        let own = path.strip_prefix(root).ok().filter(|name| sources::is_part(name));
        let mut above = path.ancestors().filter(|folder| folder.starts_with(&call.target));
        let written = above.find_map(|folder| script(folder.parent()?).filter(|_| folder.ends_with(WRITTEN)));
        match (written, own) {
            (Some(package), _) => *self.written.entry(package).or_default() += 1,
            (None, Some(name)) => {
                self.own.insert(name.to_owned());
            }
            (None, None) if path.ancestors().any(|folder| folders.contains(folder)) => {
                self.of_packages.insert(path);
            }
            (None, None) => {
                let problem = "was read, and is of no listed package, of no part of these sources, and written by no build script";
                self.problems.insert(format!("{} {problem}", path.display()));
            }
        }
    }
}

/// The package in whose folder for a build script something is: `build/NAME-HASH`.
fn script(folder: &Path) -> Option<String> {
    let is_build = folder.parent()?.ends_with("build");
    let (name, hash) = folder.file_name()?.to_str()?.rsplit_once('-')?;
    (is_build && hash.len() == 16).then(|| name.to_owned())
}

/// The files in a list of rustc's. Each has a line of its own as well, with a colon behind it.
fn files(list: &str) -> impl Iterator<Item = String> {
    let lines = list.lines().filter(|line| !line.starts_with('#'));
    lines.filter_map(|line| line.strip_suffix(':')).map(|file| file.replace("\\ ", " "))
}

/// What a build script has had linked, in its own words without those of the place. Cargo takes the blanks away from around a line before it looks for its prefix.
fn links(output: &str) -> Vec<String> {
    let directives = output.lines().filter_map(|line| line.trim().strip_prefix("cargo:"));
    let directives = directives.map(|line| line.trim_start_matches(':'));
    let directives = directives.filter(|line| LINKS.iter().any(|start| line.starts_with(start)) || steers(line));
    directives.map(|line| if line.starts_with(SEARCH) { SEARCH } else { line }).map(str::to_owned).collect()
}

fn steers(line: &str) -> bool {
    let variable = line.strip_prefix(VARIABLE);
    variable.is_some_and(|variable| STEERING.iter().any(|start| variable.starts_with(start)))
}

/// Our own files that are more than Rust, each with the reason, where rustc has read these.
fn own_files(root: &Path, read: &BTreeSet<PathBuf>) -> io::Result<BTreeMap<String, &'static str>> {
    let mut found = BTreeMap::new();
    let all: BTreeSet<PathBuf> = sources::files(root, &[])?.into_iter().chain(read.iter().cloned()).collect();
    for name in all {
        let is_rust = name.extension().is_some_and(|ending| ending == "rs");
        let text = if is_rust { fs::read_to_string(root.join(&name))? } else { String::new() };
        let more = more_than_rust::is_in(&text);
        let reason = match () {
            () if name.ends_with("build.rs") => "runs while the program is built",
            () if name.components().any(|part| part.as_os_str() == ".cargo") => "configures cargo",
            () if allowed::is_foreign_name(&name) => "is in another language than Rust",
            () if !is_rust && read.contains(&name) => "was read by rustc, and is no file of Rust by its name",
            () if more.is_err() => "cannot be read as Rust",
            () if more.is_ok_and(|more| more) => {
                "has assembly, functions of other languages, words for the linker, or bytes of another file in it"
            }
            () => continue,
        };
        // A link of the other workspace leads to a file that is listed by itself.
        if !root.join(&name).is_symlink() {
            found.insert(name.display().to_string(), reason);
        }
    }
    Ok(found)
}

fn judge(
    found: &CompiledFiles,
    special: &BTreeMap<String, &'static str>,
    packages: &Packages,
    allowed: &PackageAllowlist,
) -> Proof {
    let mut facts = Facts::default();
    let CompiledFiles { lists, own, of_packages, written, linked, problems } = found;
    for problem in problems {
        facts.note(false, problem.clone());
    }
    let counts = (own.len(), of_packages.len(), written.values().sum::<usize>());
    facts.note(
        counts.0 > 0 && counts.1 > 0,
        format!(
            "in {lists} crates and build scripts, rustc has read {} files of these sources, {} of packages, and {} that build scripts have written",
            counts.0, counts.1, counts.2
        ),
    );
    for package in written.keys() {
        let is_known = packages.0.keys().any(|key| key.name == *package);
        facts.note(is_known, format!("{package} has written files for its own code while it was built"));
    }
    for (package, libraries) in linked {
        // The worker is linked with a library that is in no package, and which the proof `worker` compares.
        let is_of_worker = |library: &str| package == waf::NAME && library == SEARCH;
        let is_known = |library: &String| LOADERS.contains(&library.as_str()) || is_of_worker(library);
        let is_listed = libraries.iter().all(is_known) || allowed.foreign.contains_key(package);
        let what = libraries.iter().cloned().collect::<Vec<_>>().join(", ");
        let listed = if is_listed { "" } else { ", and is not listed for code in other languages" };
        facts.note(is_listed, format!("the build script of {package} has linked: {what}{listed}"));
    }
    for (file, reason) in special {
        match allowed.own.get(file) {
            Some(about) => facts.note(true, format!("{file} {reason}: {about}")),
            None => facts.note(false, format!("{file} {reason}, and is not on the list")),
        }
    }
    for file in allowed.own.keys().filter(|file| !special.contains_key(*file)) {
        facts.note(false, format!("{file} is on the list and not needed any more"));
    }
    let claim = "Every file that was compiled into the program is one of these sources, which the proof `tree` compares with their commit, one of a listed package, which the proof `source` compares with its archive, or was written by a build script of those during this build. What is not in Rust is linked by listed packages alone, and of our own files only listed ones are more than Rust.";
    let how = format!(
        "the lists of files that rustc leaves (`*.d`), what build scripts have told cargo (`output`), and the list in `{}`",
        allowed::FILE
    );
    Proof::new("compiled", claim, how, facts)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::build::launcher;
    use crate::flavour::Toolchain;
    use crate::materials::packages::{Key, Package};
    use crate::workspace::Profile;

    fn write(path: &Path, text: &str) {
        crate::files::write(path, text).unwrap();
    }

    /// A repository, a package and what a build of both has left, as cargo would.
    struct Home {
        folder: tempfile::TempDir,
        packages: Packages,
    }

    impl Home {
        fn new() -> Self {
            let folder = tempfile::tempdir().unwrap();
            let at = |name: &str| folder.path().join(name);
            write(&at("root/src/main.rs"), "fn main() {}");
            write(&at("registry/part-1.0.0/src/lib.rs"), "");
            write(&at("target/release/deps/bottlecap-0.d"), "x: src/main.rs\n\nsrc/main.rs:\n# env-dep:A=B\n");
            let source = at("registry/part-1.0.0/src/lib.rs");
            let written = at("target/release/build/part-0123456789abcdef/out/more.rs");
            write(&written, "");
            write(&at("target/release/deps/part-0.d"), &format!("{}:\n{}:\n", source.display(), written.display()));
            let package = Package { folder: at("registry/part-1.0.0"), origin: Origin::CratesIo, ..Package::default() };
            Self { packages: Packages([(Key::new("part", "1.0.0"), package)].into()), folder }
        }

        fn write(&self, name: &str, text: &str) {
            write(&self.folder.path().join(name), text);
        }

        fn judged(&self, allowed: &PackageAllowlist) -> Proof {
            let root = self.folder.path().join("root");
            let call = Call { workspace: root.clone(), target: self.folder.path().join("target") };
            look(&[call], &root, &self.packages, allowed).unwrap()
        }

        fn against(&self) -> String {
            self.judged(&PackageAllowlist::default()).against.join("; ")
        }
    }

    #[test]
    fn compiled_files_are_classified_as_sources_packages_or_build_scripts() {
        let proof = Home::new().judged(&PackageAllowlist::default());
        assert!(proof.holds, "{proof:?}");
        let counts =
            "in 2 crates and build scripts, rustc has read 1 files of these sources, 1 of packages, and 1 that";
        assert!(proof.evidence.concat().contains(counts), "{proof:?}");
    }

    #[test]
    fn a_compiled_file_of_unknown_origin_is_found() {
        let home = Home::new();
        home.write("elsewhere/planted.rs", "");
        let planted = home.folder.path().join("elsewhere/planted.rs");
        home.write("target/release/deps/bottlecap-1.d", &format!("{}:\n", planted.display()));
        assert!(home.against().contains("planted.rs was read, and is of no listed package"), "{}", home.against());
        let home = Home::new();
        home.write("root/notes/planted.rs", "");
        home.write("target/release/deps/bottlecap-1.d", "notes/planted.rs:\n");
        assert!(
            home.against().contains("of no part of these sources"),
            "no commit is asked for it: {}",
            home.against()
        );
        let home = Home::new();
        home.write("target/release/deps/bottlecap-1.d", "src/gone.rs:\n");
        assert!(home.against().contains("src/gone.rs was read and is not there any more"));
        let home = Home::new();
        home.write("target/release/planted.rs", "");
        home.write("target/release/deps/bottlecap-1.d", "../target/release/planted.rs:\n");
        assert!(home.against().contains("written by no build script"), "{}", home.against());
    }

    #[test]
    fn what_is_linked_has_to_be_of_a_package_that_is_listed_for_it() {
        let home = Home::new();
        let output = "target/release/build/part-0123456789abcdef/output";
        home.write(output, "cargo:rustc-link-search=native=/x\ncargo::rustc-link-arg=/tmp/evil.o\ncargo:rustc-cfg=a\n");
        let linked = "part has linked: rustc-link-arg=/tmp/evil.o, rustc-link-search, and is not listed";
        assert!(home.against().contains(linked), "{}", home.against());
        let foreign = [("part".to_owned(), "C".to_owned())].into();
        assert!(home.judged(&PackageAllowlist { foreign, ..PackageAllowlist::default() }).holds);
        let loader = Home::new();
        loader.write(output, &LOADERS.map(|line| format!("cargo::{line}\n")).concat());
        assert_eq!(loader.against(), "");
        loader.write(output, &format!("cargo::{0}\ncargo::{0}.other\n", LOADERS[0]));
        assert!(loader.against().contains("part has linked"), "{}", loader.against());
        let ours = Home::new();
        ours.write("target/release/build/bottlecap-0123456789abcdef/output", "cargo:rustc-link-lib=static=evil\n");
        assert!(ours.against().contains("the build script of bottlecap has linked"), "{}", ours.against());
        for line in [
            " cargo:rustc-link-lib=static=evil\n",
            "\t\u{a0}cargo::rustc-link-arg=/tmp/evil.o \n",
            "a=b\r\n\u{c}cargo:rustc-flags=-l evil\r\n",
            "cargo:rustc-cdylib-link-arg=/tmp/evil.o\n",
            "cargo::rustc-link-search=native=/tmp/evil\n",
            "cargo::rustc-env=LIBRARY_PATH=/tmp/evil\n",
            "cargo::rustc-env=LD_PRELOAD=/tmp/evil.so\n",
        ] {
            ours.write("target/release/build/bottlecap-0123456789abcdef/output", line);
            assert!(ours.against().contains("the build script of bottlecap has linked"), "{line:?}");
        }
        ours.write("target/release/build/bottlecap-0123456789abcdef/output", "cargo::rustc-env=BOTTLECAP_FLAGS=\n");
        assert_eq!(ours.against(), "");
        let worker = Home::new();
        // What the worker's script says, whatever it is.
        let script = include_str!("../../../crates/waf/build.rs");
        let kinds = script.split_once("for kind in [").and_then(|(_, rest)| rest.split_once(']')).unwrap().0;
        let kinds = kinds.split(',').map(|kind| kind.trim().trim_matches('"'));
        let loader = "--dynamic-linker=/lib64/ld-linux-x86-64.so.2";
        let lines: Vec<String> = kinds.map(|kind| format!("cargo::rustc-link-arg-{kind}={loader}\n")).collect();
        worker.write(
            &output.replace("part-", "waf-"),
            &format!("{}cargo::rustc-link-search=native=/x\n", lines.concat()),
        );
        assert_eq!(worker.against(), "");
    }

    #[test]
    fn own_files_that_are_more_than_rust_have_to_be_listed() {
        for (file, text) in [
            ("src/planted.rs", "std::arch::global_asm!(\"nop\");"),
            ("src/planted.rs", "extern \"C\" { fn other(); }"),
            ("src/planted.rs", "static BYTES: &[u8] = include_bytes!(\"/tmp/x\");"),
            ("src/planted.rs", "unsafe extern \"system\" { fn other(); }"),
            ("src/planted.rs", "use std::arch::asm; fn f() { unsafe { asm! { \"nop\" } } }"),
            ("src/planted.rs", "#[cfg_attr(unix, link(name = \"other\"))] mod other {}"),
            ("src/planted.rs", "fn f( {"),
            ("src/planted.c", "int planted;"),
            ("crates/launcher/planted.S", "nop"),
            ("build.rs", "fn main() {}"),
            (".cargo/config.toml", "[build]"),
        ] {
            let home = Home::new();
            home.write(&format!("root/{file}"), text);
            assert!(
                home.against().contains(&format!("{file} ")) && home.against().contains("is not on the list"),
                "{file}"
            );
            let own = [(file.to_owned(), "known".to_owned())].into();
            let listed = PackageAllowlist { own, ..PackageAllowlist::default() };
            assert!(home.judged(&listed).holds, "{file}: {:?}", home.judged(&listed));
        }
        let own = [("src/gone.S".to_owned(), "known".to_owned())].into();
        assert!(
            !Home::new().judged(&PackageAllowlist { own, ..PackageAllowlist::default() }).holds,
            "it is not needed any more"
        );
    }

    #[test]
    fn a_file_of_ours_that_rustc_reads_under_another_name_has_to_be_listed() {
        let home = Home::new();
        home.write("root/src/planted.txt", "fn f() {}");
        assert!(home.judged(&PackageAllowlist::default()).holds, "nothing reads it");
        home.write("root/src/main.rs", "#[path = \"planted.txt\"] mod planted;");
        home.write("target/release/deps/bottlecap-1.d", "src/planted.txt:\n");
        assert!(home.against().contains("src/planted.txt was read by rustc, and is no file of Rust by its name"));
    }

    #[test]
    fn our_own_files_that_are_more_than_rust_are_listed() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
        let (special, allowed) = (own_files(root, &BTreeSet::new()).unwrap(), PackageAllowlist::embedded().unwrap());
        let names: Vec<_> = special.keys().collect();
        assert_eq!(names, allowed.own.keys().collect::<Vec<_>>());
        assert!(allowed.own.values().all(|about| !about.is_empty()));
    }

    /// What a real build of the launcher has read, in a target directory of its own.
    #[test]
    fn a_real_build_reads_listed_files_alone() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
        let builds = tempfile::tempdir().unwrap();
        let tools = Toolchain::plain(root, Profile::Release).unwrap().launcher;
        let (_, target) = launcher::with_names(root, &tools, builds.path()).unwrap();
        let packages = launcher::packages(root, &crate::target::plain()).unwrap();
        let calls = [Call { workspace: root.join(launcher::FOLDER), target }];
        let proof = look(&calls, root, &packages, &PackageAllowlist::embedded().unwrap()).unwrap();
        assert!(proof.holds, "{proof:#?}");
    }
}
