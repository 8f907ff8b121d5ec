//! The programs and libraries that make the program, by path and bytes, before the build and after it.

use std::collections::BTreeSet;
use std::ffi::{OsStr, OsString};
use std::fs;
use std::io::{self, Read as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde::Serialize;

use super::module_build::ModuleBuild;
use super::proof::Facts;
use super::rust_tools::{self, CARGO, RUSTC, of_rust};
use crate::elf::program::MAGIC;
use crate::flavour::Tools;
use crate::hash;
use crate::workspace::environment;

/// Names in the report that more than one place needs.
pub const C_COMPILER: &str = "C compiler";
pub const CMAKE: &str = "CMake";
pub const MAKE: &str = "make";
pub const GO: &str = "Go";
pub const PERL: &str = "Perl";
pub const AR: &str = "ar";
pub const LD: &str = "ld";
pub const NM: &str = "nm";
pub const OBJCOPY: &str = "objcopy";
pub const RANLIB: &str = "ranlib";
pub const STRIP: &str = "strip";
pub(super) const GIT: &str = "git";
/// What is started by its name. That may be rustup, which starts the toolchain's.
const RUSTC_ON_PATH: &str = "rustc on the path";
const CARGO_ON_PATH: &str = "cargo on the path";
pub(super) const RUST_ON_PATH: [&str; 2] = [RUSTC_ON_PATH, CARGO_ON_PATH];

/// The names under which `CMake` and cargo may find programs on the path, by their names in the report.
const ON_PATH: [(&str, &[&str]); 5] = [
    (C_COMPILER, &["cc", "gcc", "clang"]),
    (CMAKE, &["cmake", "cmake3"]),
    (MAKE, &["make", "gmake"]),
    (GO, &["go"]),
    (PERL, &["perl"]),
];
/// Those that `CMake` looks for beside the C compiler, and then on the path. Their names may have those of a target or of a family of compilers before them, and a version behind
/// them.
const BINARY_TOOLS: [&str; 9] = [AR, LD, NM, OBJCOPY, RANLIB, STRIP, "addr2line", "objdump", "readelf"];
/// What else `CMake` finds on the path, or has beside it, and writes down: with `gui` that is `cmake-gui`, and with `deps` `clang-scan-deps`.
const BESIDE: [&str; 10] = ["c++", "ccmake", "clang++", "cpack", "ctest", "deps", "dlltool", "g++", "gui", "uname"];
/// What takes part in every build and is started by its name alone: by this tool, by cargo, and by build scripts.
const BY_NAME: [(&str, &str); 5] =
    [(RUSTC_ON_PATH, RUSTC), (CARGO_ON_PATH, CARGO), (GIT, GIT), (AR, AR), (RANLIB, RANLIB)];
/// What the C compiler starts in turn.
const STARTED: [&str; 4] = ["cc1", "as", "collect2", LD];
/// Those that are no programs, beside what is linked. All others have to be ELF files: of a script, the bytes say nothing of what it starts.
const NO_PROGRAMS: [&str; 4] = [SPECS, GO_TOOLS, rust_tools::LIBRARY, rust_tools::STANDARD_LIBRARY];
/// A folder of programs.
pub(super) const GO_TOOLS: &str = "Go's compiler and linker";
/// A file that gcc reads by itself where it is there, which tells it what to start and with which options. Compilers have it built in, and distributions have no such file.
const SPECS: &str = "specs";
/// What it may link into programs, static and others, by the names that rustc and it give the linker. Some are scripts, which name others. What the linker has opened
/// in truth it reports after the build, and nothing may be among that which was not looked at before.
const LINKED: [&str; 26] = [
    "crt1.o",
    "Scrt1.o",
    "rcrt1.o",
    "crti.o",
    "crtn.o",
    "crtbegin.o",
    "crtbeginS.o",
    "crtbeginT.o",
    "crtend.o",
    "crtendS.o",
    "libc.a",
    "libc.so",
    "libdl.a",
    "libdl.so",
    "libgcc.a",
    "libgcc_eh.a",
    "libgcc_s.so",
    "libgcc_s.so.1",
    "libm.a",
    "libm.so",
    "libpthread.a",
    "libpthread.so",
    "librt.a",
    "librt.so",
    "libutil.a",
    "libutil.so",
];
/// How an archive begins.
const ARCHIVE: &[u8] = b"!<arch>\n";

/// A program, a library, or a folder of these that takes part in the build.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct BuildTool {
    pub name: String,
    /// Without links.
    pub path: String,
    /// Of a folder: of the names and hashes of its files.
    pub sha256: String,
    /// Whether it is an ELF file, and so no script.
    pub is_elf: bool,
    /// The first line of what it says of itself; empty of those that are not asked.
    pub version: String,
}

/// What was there before the build, and what has taken part in it, as it is after it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct BuildTools {
    pub before: Vec<BuildTool>,
    pub after: Vec<BuildTool>,
    /// What the linker's own reports say.
    pub linked: Facts,
}

impl BuildTools {
    /// What the first program of that name says of its version.
    pub fn version_of(&self, name: &str) -> &str {
        self.after.iter().find(|tool| tool.name == name).map_or("", |tool| tool.version.as_str())
    }

    /// Notes every tool, and what speaks against it: that nobody has looked at it before the build, or that it was another one then.
    pub fn note(&self, facts: &mut Facts) {
        for tool in &self.after {
            let BuildTool { name, path, sha256, .. } = tool;
            let before = self.before.iter().find(|before| before.path == *path);
            match before {
                Some(before) if before.sha256 == *sha256 => {
                    facts.note(true, format!("{name}: {path}, SHA-256 {sha256} before the build and after it"));
                }
                Some(before) => facts.note(
                    false,
                    format!("{name}: {path} had SHA-256 {} before the build, and has {sha256} after it", before.sha256),
                ),
                None => facts.note(false, format!("{name}: {path} is not where it was looked for before the build")),
            }
            if is_program_by_name(name) && !tool.is_elf {
                facts.note(
                    false,
                    format!("{name}: {path} is no ELF file, but a script or the like, and what it starts is not known"),
                );
            }
            if name == SPECS {
                facts.note(
                    false,
                    format!("{name}: {path} tells the C compiler what to start, in the place of its own rules"),
                );
            }
        }
        facts.extend(self.linked.clone());
        facts.note(!self.after.is_empty(), format!("{} programs and libraries have made it", self.after.len()));
    }
}

impl BuildTool {
    /// A tool as it is now. `asked` says whether it is asked for its version.
    pub fn of(name: &str, path: &Path, asked: bool) -> Self {
        let real = fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
        let sha256 = if real.is_dir() { of_folder(&real) } else { hash::of_files([real.as_path()]) };
        let question = if name == GO { "version" } else { "--version" };
        Self {
            name: name.to_owned(),
            version: if asked { said(path, &[question]) } else { String::new() },
            is_elf: is_elf(&real).unwrap_or(false),
            path: real.display().to_string(),
            // An unreadable tool is another one than any that was read.
            sha256: sha256.unwrap_or_else(|error| error.to_string()),
        }
    }
}

/// Everything that builds with these tools may use, before them.
pub fn at_hand(root: &Path, tools: &[&Tools]) -> Vec<BuildTool> {
    let mut found: Vec<BuildTool> = tools.iter().flat_map(|tools| of_rust(root, tools)).collect();
    let linkers = tools.iter().filter_map(|tools| on_path(&tools.system_linker()?));
    let linker = linkers.map(|path| (C_COMPILER, path));
    let named =
        ON_PATH.iter().flat_map(|(name, files)| files.iter().map(move |file| (*name, on_path(OsStr::new(file)))));
    let named = named.filter_map(|(name, path)| Some((name, path?)));
    let mut folders: BTreeSet<PathBuf> = folders_of(&path_of_builds()).collect();
    for (name, path) in linker.chain(named) {
        found.extend(with_parts(name, &path));
        folders.extend(folder_with_others(name, &path));
    }
    found.extend(folders.iter().flat_map(|folder| beside_compilers(folder)));
    found.extend(by_name(&path_of_builds()));
    found.push(shell());
    unique(found)
}

/// What builds have used, after them. `linked` is what their linkers have opened.
pub fn used(root: &Path, tools: &[&Tools], module: &ModuleBuild, linked: Vec<BuildTool>) -> Vec<BuildTool> {
    let mut found: Vec<BuildTool> =
        module.programs().flat_map(|(name, path)| with_parts(name, Path::new(path))).collect();
    let linkers = tools.iter().filter_map(|tools| on_path(&tools.system_linker()?));
    found.extend(linkers.flat_map(|linker| with_parts(C_COMPILER, &linker)));
    found.extend(tools.iter().flat_map(|tools| of_rust(root, tools)));
    found.extend(by_name(&path_of_builds()));
    found.push(shell());
    found.extend(linked);
    unique(found)
}

/// Where `CMake` finds others because this program is there: beside the C compiler, as it is called, and beside itself, without links.
fn folder_with_others(name: &str, path: &Path) -> Option<PathBuf> {
    match name {
        C_COMPILER => path.parent().map(Path::to_owned),
        CMAKE => fs::canonicalize(path).ok()?.parent().map(Path::to_owned),
        _ => None,
    }
}

/// What a folder has of those that `CMake` may find there.
pub(super) fn beside_compilers(folder: &Path) -> Vec<BuildTool> {
    let files = fs::read_dir(folder).into_iter().flatten().flatten();
    let named = files.filter_map(|file| Some((kind(file.file_name().to_str()?)?, file.path())));
    let mut there: Vec<(&str, PathBuf)> = named.filter(|(_, path)| is_program(path)).collect();
    there.sort();
    there.iter().map(|(name, path)| BuildTool::of(name, path, false)).collect()
}

/// Which of those a file is by its name, such as `x86_64-linux-gnu-gcc-ar-12`.
fn kind(file: &str) -> Option<&'static str> {
    let version = |part: &str| part.starts_with(|c: char| c.is_ascii_digit());
    let plain = file.rsplit_once('-').filter(|(_, end)| version(end)).map_or(file, |(start, _)| start);
    let last = plain.rsplit_once('-').map_or(plain, |(_, end)| end);
    BINARY_TOOLS.into_iter().chain(BESIDE).find(|name| *name == last)
}

/// Whether what has this name in the report has to be a program.
fn is_program_by_name(name: &str) -> bool {
    const ENDINGS: [&str; 3] = ["a", "o", "so"];
    let ending = Path::new(name).extension().and_then(OsStr::to_str);
    let is_linked = LINKED.contains(&name) || ending.is_some_and(|ending| ENDINGS.contains(&ending));
    !is_linked && !NO_PROGRAMS.contains(&name) && !name.contains(".so.")
}

/// The files that a linker's script names, such as `libm.a`; none of what is no script.
fn named_by_script(path: &Path) -> Vec<PathBuf> {
    let Ok(text) = fs::read(path) else { return Vec::new() };
    if text.starts_with(&MAGIC) || text.starts_with(ARCHIVE) {
        return Vec::new();
    }
    let text = String::from_utf8_lossy(&text).into_owned();
    let words =
        text.split([' ', '\n', '\t', '(', ')', ',']).filter(|word| word.starts_with('/') && !word.starts_with("/*"));
    words.map(PathBuf::from).filter(|path| path.is_file()).collect()
}

/// What is started by its name, where this is the path.
fn by_name(path: &OsStr) -> Vec<BuildTool> {
    let there = BY_NAME.iter().filter_map(|(name, file)| Some((*name, first_on(path, OsStr::new(file))?)));
    there.map(|(name, path)| BuildTool::of(name, &path, false)).collect()
}

/// What make hands its commands to.
fn shell() -> BuildTool {
    BuildTool::of("shell", Path::new("/bin/sh"), false)
}

/// Each tool once under each of its names.
fn unique(found: Vec<BuildTool>) -> Vec<BuildTool> {
    let mut unique: Vec<BuildTool> = Vec::new();
    for tool in found {
        if !unique.iter().any(|other| (&other.name, &other.path) == (&tool.name, &tool.path)) {
            unique.push(tool);
        }
    }
    unique
}

/// A program with what it starts and links in turn.
fn with_parts(name: &str, path: &Path) -> Vec<BuildTool> {
    let mut tools = vec![BuildTool::of(name, path, true)];
    let is_there = |path: PathBuf| path.exists().then_some(path);
    if name == C_COMPILER {
        let path_from = |question: &str, file: &str| PathBuf::from(said(path, &[&format!("{question}={file}")]));
        let started = STARTED.iter().filter_map(|file| {
            let program = path_from("-print-prog-name", file);
            Some((*file, is_there(program.clone()).or_else(|| on_path(program.as_os_str()))?))
        });
        // Of a file that it has not found, the compiler says the bare name, which is no place.
        let found = |file: &str| is_there(path_from("-print-file-name", file)).filter(|path| path.is_absolute());
        let linked = LINKED.iter().chain([&SPECS]).filter_map(|file| Some((*file, found(file)?)));
        for (file, path) in started.chain(linked) {
            tools.push(BuildTool::of(file, &path, false));
            let named = if LINKED.contains(&file) { named_by_script(&path) } else { Vec::new() };
            let name = |path: &Path| path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            tools.extend(named.iter().map(|path| BuildTool::of(&name(path), path, false)));
        }
    }
    if name == GO {
        let tool_directory = is_there(said(path, &["env", "GOTOOLDIR"]).into());
        tools.extend(tool_directory.map(|folder| BuildTool::of(GO_TOOLS, &folder, false)));
    }
    tools
}

/// Where a program is on the path of builds. A path is that program, if it is there.
pub(super) fn on_path(program: &OsStr) -> Option<PathBuf> {
    first_on(&path_of_builds(), program)
}

/// That of this process.
fn path_of_builds() -> OsString {
    std::env::var_os("PATH").unwrap_or_default()
}

fn folders_of(path: &OsStr) -> impl Iterator<Item = PathBuf> {
    std::env::split_paths(path)
}

/// What the system starts, which passes over files that nobody may execute.
fn first_on(path: &OsStr, program: &OsStr) -> Option<PathBuf> {
    folders_of(path).map(|folder| folder.join(program)).find(|path| is_program(path))
}

pub(super) fn is_program(path: &Path) -> bool {
    fs::metadata(path).is_ok_and(|file| file.is_file() && file.permissions().mode() & 0o111 != 0)
}

fn is_elf(path: &Path) -> io::Result<bool> {
    let mut start = [0; MAGIC.len()];
    fs::File::open(path)?.read_exact(&mut start)?;
    Ok(start == MAGIC)
}

/// The first line with something in it that a program says.
fn said(program: &Path, arguments: &[&str]) -> String {
    let mut command = Command::new(program);
    environment::restrict(&mut command, std::env::vars_os());
    let output = command.args(arguments).env("GOENV", "off").stdin(Stdio::null()).output();
    let text = output.map(|output| String::from_utf8_lossy(&output.stdout).into_owned()).unwrap_or_default();
    text.lines().find(|line| !line.trim().is_empty()).unwrap_or_default().trim().to_owned()
}

/// The SHA-256 of what `sha256sum` says of every file in a folder, in the order of their names; of a link, that of what it leads to.
fn of_folder(folder: &Path) -> io::Result<String> {
    let mut text = String::new();
    let mut left = vec![folder.to_owned()];
    let mut files = Vec::new();
    while let Some(folder) = left.pop() {
        for entry in fs::read_dir(folder)? {
            let path = entry?.path();
            if path.is_dir() { left.push(path) } else { files.push(path) }
        }
    }
    files.sort();
    for file in files {
        let hash = hash::of_files([file.as_path()])?;
        text += &format!("{hash}  {}\n", file.strip_prefix(folder).unwrap_or(&file).display());
    }
    Ok(hash::hexadecimal(text.as_bytes()))
}

#[cfg(test)]
#[path = "tools_tests.rs"]
mod tests;
