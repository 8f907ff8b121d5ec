//! What the linker has opened for each program, by its own account: whatever is linked, whether by name or because a search path has it, is among the files whose
//! bytes are known.

use std::fs;
use std::path::{Component, Path, PathBuf};

use super::proof::Facts;
use super::tools::BuildTool;
use crate::build::LinkReport;

/// The programs' reports, read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct LinkerInputs {
    /// What belongs to the machine, and so has to be a tool that was looked at before the build.
    pub(super) of_machine: Vec<BuildTool>,
    pub(super) facts: Facts,
}

/// Reads the report of each program. `is_known` says of a file whether another proof is about it: what this build has made, and files of the sources and of Rust's toolchain.
pub(super) fn look<'r>(
    programs: impl IntoIterator<Item = (&'r str, Option<&'r LinkReport>)>,
    is_known: &dyn Fn(&Path) -> bool,
) -> LinkerInputs {
    let mut linked = LinkerInputs::default();
    for (name, report) in programs {
        let Some(report) = report else {
            linked.facts.not_run.push(format!("the linker of {name} writes no report of what it opens"));
            continue;
        };
        let text = match fs::read_to_string(&report.file) {
            Ok(text) => text,
            Err(error) => {
                linked.facts.note(false, format!("what the linker has opened is not known: {name}: {error}"));
                continue;
            }
        };
        let opened = opened(&text);
        for file in &opened {
            let path = report.folder.join(file);
            if !without_links(&path).is_some_and(|real| is_known(&real)) {
                let file = file.file_name().unwrap_or_default().to_string_lossy();
                linked.of_machine.push(BuildTool::of(&file, &path, false));
            }
        }
        linked
            .facts
            .note(!opened.is_empty(), format!("{name}: the linker says that it has opened {} files", opened.len()));
    }
    linked
}

/// The files that a rule for make names behind its target, as linkers write one: a file a line, `\` at the end of each line but the last.
fn opened(rule: &str) -> Vec<PathBuf> {
    let mut files = Vec::new();
    let mut lines = rule.lines();
    let first = lines.next().and_then(|line| line.split_once(": ")).map_or("", |(_, rest)| rest);
    for line in std::iter::once(first).chain(lines) {
        let (file, goes_on) = match line.strip_suffix('\\') {
            Some(file) => (file.trim(), true),
            None => (line.trim(), false),
        };
        if !file.is_empty() {
            // What make would read otherwise stands behind a backslash, and a dollar sign twice.
            files.push(PathBuf::from(file.replace("\\ ", " ").replace("\\#", "#").replace("$$", "$")));
        }
        // Rules without files follow, one for each.
        if !goes_on {
            break;
        }
    }
    files
}

/// The path without links. Of a file that is gone, as objects are that rustc has made for the linker alone, that of what is left above it, and the rest of its names. None if these
/// lead up again.
fn without_links(path: &Path) -> Option<PathBuf> {
    let real = |above: &Path| Some((above.canonicalize().ok()?, path.strip_prefix(above).ok()?.to_owned()));
    let (above, rest) = path.ancestors().find_map(real)?;
    let is_plain = rest.components().all(|part| matches!(part, Component::Normal(_)));
    is_plain.then(|| above.components().chain(rest.components()).collect())
}

#[cfg(test)]
mod tests {
    use std::ffi::OsStr;
    use std::process::Command;

    use super::super::tools::{self, BuildTools, C_COMPILER};
    use super::*;

    #[test]
    fn both_linkers_rules_are_read() {
        let gnu = "out: \\\n  /lib/crt1.o \\\n  a b.o \\\n  /lib/libc.a\n\n/lib/crt1.o:\n\na b.o:\n";
        let lld = "out: \\\n  /lib/crt1.o \\\n  a\\ b.o \\\n  /lib/libc.a\n\n/lib/crt1.o:\n\na\\ b.o:\n";
        for rule in [gnu, lld] {
            assert_eq!(opened(rule), ["/lib/crt1.o", "a b.o", "/lib/libc.a"].map(PathBuf::from), "{rule}");
        }
        assert_eq!(opened("out: a.o \\\n b$$.o\n"), ["a.o", "b$.o"].map(PathBuf::from));
        assert_eq!(opened(""), [""; 0].map(PathBuf::from));
    }

    #[test]
    fn missing_linker_report_or_unknown_input_fails_the_build_proof() {
        let folder = tempfile::tempdir().unwrap();
        let folder = folder.path().canonicalize().unwrap();
        let report = LinkReport { file: folder.join("agent"), folder: folder.clone() };
        let against = || {
            let linked = look([("agent", Some(&report))], &|file| file.starts_with(&folder));
            let mut facts = Facts::default();
            BuildTools { before: Vec::new(), after: linked.of_machine, linked: linked.facts }.note(&mut facts);
            facts.against.concat()
        };
        assert!(against().contains("what the linker has opened is not known: agent"), "{}", against());
        fs::write(&report.file, "").unwrap();
        assert!(against().contains("opened 0 files"), "{}", against());
        for nobodys in ["/nowhere/libc.a", "../libc.a", "gone/../../libc.a"] {
            fs::write(&report.file, format!("out: \\\n  {nobodys}\n")).unwrap();
            assert!(against().contains("libc.a is not where it was looked for"), "{nobodys}: {}", against());
        }
        // Of the build itself: relative, and removed by rustc with its folder. All that is left against it is that no tool was used.
        fs::write(&report.file, "out: \\\n  main.o \\\n  rustcAbCd/symbols.o\n").unwrap();
        assert_eq!(against(), "0 programs and libraries have made it");
        let none = look([("agent", None)], &|_| true).facts;
        assert_eq!(none.not_run, ["the linker of agent writes no report of what it opens"]);
    }

    /// A static program, as the agent is one, with the C library of this machine and, where there is one, a folder that the linker looks into first.
    fn link(folder: &Path, search: Option<&Path>) -> BuildTools {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
        let source = folder.join("main.rs");
        fs::write(&source, "fn main() { println!(\"{:?}\", std::env::args()); }").unwrap();
        let report = LinkReport { file: folder.join("report"), folder: folder.to_owned() };
        let mut rustc = crate::workspace::environment::rustc(root);
        rustc.current_dir(folder).args(["-C", "target-feature=+crt-static", "-C", "relocation-model=static"]);
        rustc.args(search.map(|search| format!("-Clink-arg=-L{}", search.display())));
        let arguments = report.arguments(false);
        assert!(rustc.args(arguments).arg("-o").args([&folder.join("main"), &source]).status().unwrap().success());
        let agent = crate::flavour::Toolchain::plain(root, crate::workspace::Profile::Release).unwrap().agent;
        let before = tools::at_hand(root, &[&agent]);
        let standard: Vec<_> =
            before.iter().filter(|tool| tool.name == super::super::rust_tools::STANDARD_LIBRARY).collect();
        let is_known = |file: &Path| {
            file.starts_with(folder) && search.is_none_or(|search| !file.starts_with(search))
                || standard.iter().any(|tool| file.starts_with(&tool.path))
        };
        let linked = look([("agent", Some(&report))], &is_known);
        BuildTools { before, after: linked.of_machine, linked: linked.facts }
    }

    #[test]
    fn a_library_that_the_linker_finds_before_that_of_the_system_is_against_the_build() {
        let folder = tempfile::tempdir().unwrap();
        let folder = folder.path().canonicalize().unwrap();
        let against = |tools: &BuildTools| {
            let mut facts = Facts::default();
            tools.note(&mut facts);
            facts.against
        };
        let plain = link(&folder, None);
        assert_eq!(against(&plain), [""; 0]);
        let names: Vec<&str> = plain.after.iter().map(|tool| tool.name.as_str()).collect();
        for name in ["crt1.o", "crtn.o", "libutil.a", "libpthread.a", "libc.a", "libgcc_eh.a"] {
            assert!(names.contains(&name), "{name} is not among {names:?}");
        }
        // It comes before the C library, so that its function is the one in the program.
        let search = folder.join("search");
        fs::create_dir(&search).unwrap();
        let (source, object) = (search.join("syscall.c"), search.join("syscall.o"));
        fs::write(&source, "long syscall(long number, ...) { return number; }\n").unwrap();
        let made =
            |program: &str, arguments: &[&OsStr]| Command::new(program).args(arguments).status().unwrap().success();
        let words = |all: &[&'static str]| all.iter().map(|word| OsStr::new(*word)).collect::<Vec<_>>();
        let doctored = search.join("libutil.a");
        assert!(made("cc", &[&words(&["-c", "-o"])[..], &[object.as_os_str(), source.as_os_str()]].concat()));
        assert!(made("ar", &[&words(&["rc"])[..], &[doctored.as_os_str(), object.as_os_str()]].concat()));
        let tools = link(&folder, Some(&search));
        let [one] = &against(&tools)[..] else { panic!("{:?}", against(&tools)) };
        assert!(one.contains(&format!("libutil.a: {} is not where it was looked for", doctored.display())), "{one}");
        let of_packages =
            super::super::distribution::compare(&tools.after, Path::new(super::super::distribution::DPKG));
        let is_told = of_packages.against.concat().contains("is of no package");
        assert!(is_told || !Path::new(super::super::distribution::DPKG).is_dir(), "{of_packages:?}");
        assert!(tools.before.iter().any(|tool| tool.name == C_COMPILER));
    }
}
