//! The tools of a build beside the package database of the system: on Debian and its relatives, it has the MD5 sum of every file that a package has installed.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::{fs, io};

use super::proof::Facts;
use super::rust_tools;
use super::tools::{BuildTool, CMAKE, GIT, GO, GO_TOOLS, RUST_ON_PATH};

/// The directory of dpkg's database.
pub(super) const DPKG: &str = "/var/lib/dpkg";
/// The extension of dpkg's checksum files.
const SUMS: &str = "md5sums";
/// The programs of `CMake` that are beside it.
const OF_CMAKE: [&str; 4] = ["ccmake", "cpack", "ctest", "gui"];

/// A file as a package has it.
#[derive(Clone, Debug, PartialEq, Eq)]
struct PackageFile {
    /// The package, with its version where the database has one.
    package: String,
    md5: String,
}

/// Compares tools with the database in that folder. What is a file of a package has to be as the package has it; what is not has to be a tool that is often installed by other means.
pub(super) fn compare(tools: &[BuildTool], database: &Path) -> Facts {
    let mut facts = Facts::default();
    if !database.is_dir() {
        facts.note(true, "there is no package database of Debian's here, so that no tool was compared with one");
        return facts;
    }
    let files = files(tools);
    let paths: BTreeSet<&Path> = files.iter().map(|(_, path)| path.as_path()).collect();
    let looked = listed(database, &paths).and_then(|listed| Ok((listed, sums(&paths)?)));
    let (listed, sums) = match looked {
        Ok(looked) => looked,
        Err(error) => {
            facts.not_run.push(format!("the tools cannot be compared with the package database: {error}"));
            return facts;
        }
    };
    let (mut same, mut packages) = (0_usize, BTreeSet::new());
    for (BuildTool { name, path: tool, .. }, path) in &files {
        match (listed.get(path.as_path()), sums.get(path.as_path())) {
            (Some(PackageFile { package, md5 }), Some(sum)) if md5 == sum => {
                same += 1;
                packages.insert(package.as_str());
            }
            (Some(PackageFile { package, .. }), _) => {
                let path = path.display();
                facts.note(false, format!("{name}: {path} is not as the package {package} has it"));
            }
            (None, _) => {
                let what = if may_be_from_elsewhere(name) {
                    "which cannot tell whose it is"
                } else {
                    "so that nobody can tell what it does"
                };
                // Of a folder, that is told once.
                let fact = format!("{name}: {tool} is of no package of this system, {what}");
                facts.note(may_be_from_elsewhere(name), fact);
            }
        }
    }
    let packages: Vec<_> = packages.into_iter().collect();
    facts.note(
        same > 0,
        format!(
            "{same} files of the tools have the MD5 sum that the package database has, of: {}",
            packages.join(", ")
        ),
    );
    facts
}

/// Go and `CMake` are often installed from archives of their makers, and Rust by rustup, whose bytes are pinned. Git compiles nothing, and of what it says only the id of the commit is believed.
fn may_be_from_elsewhere(name: &str) -> bool {
    [CMAKE, GIT, GO, GO_TOOLS].contains(&name)
        || OF_CMAKE.contains(&name)
        || rust_tools::NAMES.contains(&name)
        || RUST_ON_PATH.contains(&name)
}

/// Every file of the tools, beside the tool; of a folder, all that is below it. What is not there is not compared.
fn files(tools: &[BuildTool]) -> Vec<(&BuildTool, PathBuf)> {
    let mut files = Vec::new();
    for tool in tools {
        let mut left = vec![PathBuf::from(&tool.path)];
        while let Some(path) = left.pop() {
            let Ok(real) = path.canonicalize() else { continue };
            if real.is_dir() {
                left.extend(fs::read_dir(&real).into_iter().flatten().flatten().map(|entry| entry.path()));
            } else {
                files.push((tool, real));
            }
        }
    }
    files
}

/// What the packages have of these files.
fn listed<'p>(database: &Path, paths: &BTreeSet<&'p Path>) -> io::Result<BTreeMap<&'p Path, PackageFile>> {
    // Where `/bin` is a link to `/usr/bin`, packages may name the link.
    let without_usr = |path: &Path| path.strip_prefix("/usr").map(|path| Path::new("/").join(path)).ok();
    let mut names: BTreeMap<PathBuf, &Path> = paths.iter().map(|path| (path.to_path_buf(), *path)).collect();
    names.extend(paths.iter().filter_map(|path| Some((without_usr(path)?, *path))));
    let status = fs::read_to_string(database.join("status")).unwrap_or_default();
    let versions = versions(&status);
    let mut found = BTreeMap::new();
    for entry in fs::read_dir(database.join("info"))? {
        let list = entry?.path();
        if list.extension() != Some(OsStr::new(SUMS)) {
            continue;
        }
        let package = list.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        let text = fs::read(&list)?;
        for line in String::from_utf8_lossy(&text).lines() {
            let Some((md5, path)) = line.split_once("  ") else { continue };
            if let Some(path) = names.get(&Path::new("/").join(path)) {
                let name = package.split(':').next().unwrap_or_default();
                let version = versions.get(name).map(|version| format!(" {version}")).unwrap_or_default();
                found.insert(*path, PackageFile { package: package.clone() + &version, md5: md5.to_owned() });
            }
        }
    }
    Ok(found)
}

/// The version of each package, by its name, from the text of the database's `status`.
fn versions(status: &str) -> BTreeMap<&str, &str> {
    let paragraphs = status.split("\n\n").filter_map(|paragraph| {
        let field = |name: &str| paragraph.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "));
        Some((field("Package")?, field("Version")?))
    });
    paragraphs.collect()
}

/// The MD5 sums of files.
fn sums<'p>(paths: &BTreeSet<&'p Path>) -> io::Result<BTreeMap<&'p Path, String>> {
    let mut found = BTreeMap::new();
    // Without a file, it would read its input.
    if paths.is_empty() {
        return Ok(found);
    }
    let output = Command::new("/usr/bin/md5sum").arg("--").args(paths).stdin(Stdio::null()).output()?;
    let text = String::from_utf8_lossy(&output.stdout);
    for line in text.lines() {
        let Some((md5, path)) = line.split_once("  ") else { continue };
        if let Some(path) = paths.get(Path::new(path)) {
            found.insert(*path, md5.to_owned());
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::super::tools::{C_COMPILER, LD};
    use super::*;

    /// A database in which a package has these files as they are.
    fn database(folder: &Path, files: &[&Path]) -> PathBuf {
        let database = folder.join("dpkg");
        let sums = sums(&files.iter().copied().collect()).unwrap();
        let lines = sums.iter().map(|(path, md5)| format!("{md5}  {}\n", path.strip_prefix("/").unwrap().display()));
        crate::files::write(&database.join("info/gcc-12:amd64.md5sums"), lines.collect::<String>()).unwrap();
        crate::files::write(&database.join("info/gcc-12:amd64.list"), "/.\n").unwrap();
        let status =
            "Package: cpp-12\nVersion: 1\n\nPackage: gcc-12\nStatus: install ok installed\nVersion: 12.2.0-14\n";
        crate::files::write(&database.join("status"), status).unwrap();
        database
    }

    fn tool(name: &str, path: &Path) -> BuildTool {
        BuildTool::of(name, path, false)
    }

    /// An ELF file by the name of a compiler, which might start another one with other options: its bytes alone do not tell.
    #[test]
    fn a_compiler_of_no_package_and_one_that_was_changed_are_against_the_build() {
        let folder = tempfile::tempdir().unwrap();
        let folder = folder.path().canonicalize().unwrap();
        let (compiler, wrapper) = (folder.join("cc"), folder.join("wrapper"));
        crate::executable::write(&compiler, b"\x7fELF compiler").unwrap();
        crate::executable::write(&wrapper, b"\x7fELF wrapper").unwrap();
        let database = database(&folder, &[&compiler]);
        let facts = compare(&[tool(C_COMPILER, &compiler)], &database);
        assert_eq!(facts.against, [""; 0]);
        let text = facts.evidence.concat();
        assert!(text.contains("1 files of the tools") && text.contains("of: gcc-12:amd64 12.2.0-14"), "{text}");
        for name in [C_COMPILER, LD, "shell", "CMAKE_C_COMPILER_AR", "libc.a"] {
            let against = compare(&[tool(name, &wrapper)], &database).against.concat();
            assert!(against.contains(&format!("{name}: {} is of no package", wrapper.display())), "{against}");
        }
        crate::executable::write(&compiler, b"\x7fELF doctored").unwrap();
        let against = compare(&[tool(C_COMPILER, &compiler)], &database).against.concat();
        assert!(against.contains("is not as the package gcc-12:amd64 12.2.0-14 has it"), "{against}");
    }

    #[test]
    fn unpackaged_tools_are_reported_and_modified_ones_fail() {
        let folder = tempfile::tempdir().unwrap();
        let folder = folder.path().canonicalize().unwrap();
        let (go, other) = (folder.join("go/compile"), folder.join("other"));
        crate::files::write(&go, "go").unwrap();
        crate::files::write(&other, "other").unwrap();
        let database = database(&folder, &[&other]);
        let both = |name: &str| compare(&[tool(name, &folder.join("go")), tool(C_COMPILER, &other)], &database);
        for name in [GO_TOOLS, GIT, CMAKE, "ctest", rust_tools::RUSTC, RUST_ON_PATH[0]] {
            let facts = both(name);
            assert_eq!(facts.against, [""; 0]);
            let text = facts.evidence.concat();
            let whole = folder.join("go").display().to_string();
            assert!(text.contains(&format!("{name}: {whole} is of no package of this system")), "{text}");
        }
        assert!(both(LD).against.concat().contains("is of no package"));
        crate::files::write(&other, "changed").unwrap();
        assert!(compare(&[tool(GO, &other)], &database).against.concat().contains("is not as the package"));
    }

    #[test]
    fn a_system_without_a_database_says_so_and_files_below_usr_may_be_listed_without_it() {
        let facts = compare(&[tool(C_COMPILER, Path::new("/bin/sh"))], Path::new("/nowhere"));
        assert!(facts.against.is_empty() && facts.evidence.concat().contains("no package database"), "{facts:?}");
        let folder = tempfile::tempdir().unwrap();
        let md5sums = folder.path().join("info/dash.md5sums");
        crate::files::write(&md5sums, "00  bin/dash\n11  usr/bin/make\n22  usr/bin/makefile\n").unwrap();
        let paths = [Path::new("/usr/bin/dash"), Path::new("/usr/bin/make"), Path::new("/usr/bin/ma")].into();
        let found = listed(folder.path(), &paths).unwrap();
        let found: Vec<_> = found.iter().map(|(path, it)| (path.to_str().unwrap(), it.md5.as_str())).collect();
        assert_eq!(found, [("/usr/bin/dash", "00"), ("/usr/bin/make", "11")]);
        let nothing = compare(&[], folder.path());
        assert!(!nothing.against.is_empty(), "nothing was compared: {nothing:?}");
    }
}
