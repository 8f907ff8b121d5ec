//! What is built: the commit, and what differs from it.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::{OsStr, OsString};
use std::fs::{self, File, Metadata};
use std::io;
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use super::environment;
use crate::hash;

/// What a build of the extension is made from, apart from the compiler that the toolchain file names.
const PARTS: [&str; 9] = [
    "src",
    "crates",
    "build.rs",
    "Cargo.toml",
    "Cargo.lock",
    "fips",
    "rust-toolchain.toml",
    ".cargo",
    "matrix/Cargo.toml",
];

/// Where cargo puts what it builds of the workspaces in these folders. It takes nothing of a source from there unless a file elsewhere says so.
const BUILT: [&str; 2] = ["crates/target", "fips/target"];

/// What a program's own word for its commit ends with where the sources differed from that.
pub const DIRTY: &str = "-dirty";

/// What the hash begins with where it is of all sources, because there is no history that tells what differs.
const ALL: &str = "all-";

/// Has the commit in it where git has made an archive of it.
const ARCHIVED: &str = ".git_archival.txt";
/// Names the commit for sources without a history.
const TOLD: &str = "BOTTLECAP_GIT_SHA";

/// A name for the sources as they are now: two builds with the same name are from the same sources. It is the commit, with `+` and a hash behind it where they
/// differ from it, and with `+all-` and a hash of all of them where there is no history to compare them with. `beside` is what else in the repository decides
/// what is made.
pub fn state(root: &Path, beside: &[&'static str]) -> io::Result<String> {
    if is_of_repository(root) { of_repository(root, beside) } else { of_folder(root, beside, std::env::var(TOLD).ok()) }
}

/// What a program is to say of its commit: twelve digits, with [`DIRTY`] behind them where its sources differ from it; `unknown` where nobody says.
pub fn revision(root: &Path) -> io::Result<String> {
    let state = state(root, &[])?;
    let commit = state.split('+').next().unwrap_or_default();
    let short = commit.get(..12).unwrap_or(commit).to_owned();
    Ok(if is_of_repository(root) && !is_clean(&state) { short + DIRTY } else { short })
}

/// Whether this name is that of a commit, from which nothing differs.
pub fn is_clean(state: &str) -> bool {
    !state.contains('+')
}

/// What to say behind the commit, given what stands behind `+` in the name.
pub fn remark(changes: Option<&str>) -> &'static str {
    match changes {
        None => "",
        Some(hash) if hash.starts_with(ALL) => " without history",
        Some(_) => " with changes",
    }
}

/// A folder may lie in a repository without being a part of it.
fn is_of_repository(root: &Path) -> bool {
    git(root, &["ls-tree", "-z", "HEAD", "--", "Cargo.toml"]).is_ok_and(|tree| !tree.is_empty())
}

/// What git has written behind this word into an archive of a commit.
fn archived(root: &Path, word: &str, is_of_it: impl Fn(u8) -> bool) -> Option<String> {
    let text = fs::read_to_string(root.join(ARCHIVED)).ok()?;
    let fact = text.lines().find_map(|line| line.strip_prefix(word))?;
    (!fact.is_empty() && fact.bytes().all(is_of_it)).then(|| fact.to_owned())
}

/// Compares the bytes on the disk with the tree of the commit. What git keeps beside that can hide a change, and is not asked: the index with its flags,
/// attributes with filters, lists of what is to be ignored, replaced objects.
fn of_repository(root: &Path, beside: &[&'static str]) -> io::Result<String> {
    let commit = git(root, &["rev-parse", "HEAD"])?;
    // The commit is printed by the program, so another commit is another program even if nothing else has changed.
    let commit = String::from_utf8_lossy(&commit).trim().to_owned();
    let (committed, present) = (committed(root, beside)?, present(root, beside)?);
    let names: BTreeSet<&PathBuf> = committed.keys().chain(present.keys()).collect();
    let mut differences = Vec::new();
    for name in names.into_iter().filter(|name| committed.get(*name) != present.get(*name)) {
        for part in [name.as_os_str().as_bytes(), present.get(name).map_or("gone", String::as_str).as_bytes()] {
            differences.extend_from_slice(part);
            differences.push(0);
        }
    }
    Ok(if differences.is_empty() { commit } else { format!("{commit}+{}", hash::hexadecimal(&differences)) })
}

/// The files of the parts by their names below the root, each with git's words for its mode and its object.
type Objects = BTreeMap<PathBuf, String>;

/// As the commit has them.
fn committed(root: &Path, beside: &[&'static str]) -> io::Result<Objects> {
    let arguments: Vec<&str> = ["ls-tree", "-r", "-z", "HEAD", "--"].into_iter().chain(parts(beside)).collect();
    let tree = git(root, &arguments)?;
    let entries = tree.split(|byte| *byte == 0).filter(|entry| !entry.is_empty()).map(|entry| {
        // `MODE TYPE OBJECT`, a tabulator, and the name.
        let unknown = || io::Error::other("git ls-tree has said something else than a tree");
        let tabulator = entry.iter().position(|byte| *byte == b'\t').ok_or_else(unknown)?;
        let (head, name) = entry.split_at(tabulator);
        let head = String::from_utf8_lossy(head);
        let [mode, _, object] = head.split(' ').collect::<Vec<_>>()[..] else { return Err(unknown()) };
        let name = OsStr::from_bytes(name.get(1..).unwrap_or_default());
        Ok((PathBuf::from(name), format!("{mode} {object}")))
    });
    entries.collect()
}

/// As they are on the disk, of one process that hashes all of them.
fn present(root: &Path, beside: &[&'static str]) -> io::Result<Objects> {
    let files = list_parts(root, beside)?;
    let (root, scratch) = (std::path::absolute(root)?, tempfile::tempdir()?);
    let mut paths = Vec::new();
    for (number, (name, metadata)) in files.iter().enumerate() {
        let mut path = root.join(name);
        if metadata.is_symlink() {
            // Git would open what it leads to; the object of a link has where it leads.
            let target = fs::read_link(&path)?;
            path = scratch.path().join(number.to_string());
            fs::write(&path, target.as_os_str().as_bytes())?;
        }
        let mut path = path.into_os_string().into_vec();
        if path.contains(&b'\n') {
            return Err(io::Error::other(format!("{} has a line break in its name", name.display())));
        }
        paths.append(&mut path);
        paths.push(b'\n');
    }
    let list = scratch.path().join("list");
    fs::write(&list, paths)?;
    let mut command = git_command(&root, std::env::vars_os().map(|(name, _)| name));
    let hashed = output(command.args(["hash-object", "--no-filters", "--stdin-paths"]).stdin(File::open(list)?))?;
    let hashed = String::from_utf8_lossy(&hashed).into_owned();
    if hashed.lines().count() != files.len() {
        return Err(io::Error::other("git hash-object has not hashed every file"));
    }
    let files = files.into_iter().zip(hashed.lines());
    Ok(files.map(|((name, metadata), object)| (name, format!("{} {object}", mode(&metadata)))).collect())
}

fn mode(metadata: &Metadata) -> &'static str {
    match metadata {
        link if link.is_symlink() => "120000",
        file if file.permissions().mode() & 0o100 != 0 => "100755",
        _ => "100644",
    }
}

fn of_folder(root: &Path, beside: &[&'static str], recorded: Option<String>) -> io::Result<String> {
    let archived = || archived(root, "node: ", |byte| byte.is_ascii_hexdigit());
    let commit =
        recorded.filter(|recorded| !recorded.is_empty()).or_else(archived).unwrap_or_else(|| "unknown".to_owned());
    let mut all = Vec::new();
    for (name, metadata) in list_parts(root, beside)? {
        let path = root.join(&name);
        let content = if metadata.is_symlink() {
            fs::read_link(&path)?.into_os_string().into_encoded_bytes()
        } else {
            fs::read(&path)?
        };
        all.extend_from_slice(name.as_os_str().as_encoded_bytes());
        all.push(0);
        all.extend(hash::hexadecimal(&content).into_bytes());
    }
    Ok(format!("{commit}+{ALL}{}", hash::hexadecimal(&all)))
}

/// Whether a file with this name below the root is one of those that a build of the extension is made from, and so compared with the commit.
pub fn is_part(name: &Path) -> bool {
    PARTS.iter().any(|part| name.starts_with(part)) && !BUILT.iter().any(|built| name.starts_with(built))
}

/// The names of all files and links that a build of the extension is made from, and of those of other parts `beside` them, below the root.
pub fn files(root: &Path, beside: &[&'static str]) -> io::Result<Vec<PathBuf>> {
    Ok(list_parts(root, beside)?.into_keys().collect())
}

fn parts(beside: &[&'static str]) -> impl Iterator<Item = &'static str> {
    PARTS.iter().chain(beside).copied()
}

/// The files and links of the parts, by their names below the root.
fn list_parts(root: &Path, beside: &[&'static str]) -> io::Result<BTreeMap<PathBuf, Metadata>> {
    let mut files = BTreeMap::new();
    for part in parts(beside) {
        list(root, Path::new(part), &mut files)?;
    }
    Ok(files)
}

/// Adds the file, or all files below the folder. A link, as `fips` has some to folders, is not followed: what it leads to is listed by itself.
fn list(root: &Path, name: &Path, files: &mut BTreeMap<PathBuf, Metadata>) -> io::Result<()> {
    let path = root.join(name);
    let metadata = match fs::symlink_metadata(&path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        metadata => metadata?,
    };
    if metadata.is_file() || metadata.is_symlink() {
        files.insert(name.to_owned(), metadata);
    } else if !metadata.is_dir() {
        return Err(io::Error::other(format!("{} is neither a file nor a folder", path.display())));
    } else if !BUILT.iter().any(|built| name == Path::new(built)) {
        for entry in fs::read_dir(&path)? {
            list(root, &name.join(entry?.file_name()), files)?;
        }
    }
    Ok(())
}

/// When the commit was made, in seconds since 1970; that of an archive of a commit is in it.
pub fn commit_time(root: &Path) -> io::Result<String> {
    if !is_of_repository(root) {
        let none = "the sources have no commit to take their time from: set SOURCE_DATE_EPOCH to that of their release";
        return archived(root, "time: ", |byte| byte.is_ascii_digit()).ok_or_else(|| io::Error::other(none));
    }
    let time = git(root, &["show", "--no-patch", "--no-show-signature", "--format=%ct", "HEAD"])?;
    Ok(String::from_utf8_lossy(&time).trim().to_owned())
}

/// The compiler that the folder's toolchain file names, as it calls itself; `unknown` where there is none.
pub fn compiler(root: &Path) -> String {
    let output = environment::rustc(root).arg("--version").output();
    let output = output.ok().filter(|output| output.status.success());
    output.map_or_else(|| "unknown".to_owned(), |output| String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

fn git(root: &Path, arguments: &[&str]) -> io::Result<Vec<u8>> {
    output(git_command(root, std::env::vars_os().map(|(name, _)| name)).args(arguments).stdin(Stdio::null()))
}

/// Git, without what the caller's variables make of it: another repository, another index, other settings.
fn git_command(root: &Path, variables: impl Iterator<Item = OsString>) -> Command {
    let mut command = Command::new("git");
    for name in variables.filter(|name| name.as_bytes().starts_with(b"GIT_")) {
        command.env_remove(name);
    }
    command.env("GIT_NO_REPLACE_OBJECTS", "1").arg("-C").arg(root);
    command
}

fn output(command: &mut Command) -> io::Result<Vec<u8>> {
    let output = command.output()?;
    if output.status.success() {
        Ok(output.stdout)
    } else {
        Err(io::Error::other(String::from_utf8_lossy(&output.stderr).trim().to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn commit(root: &Path) {
        let identity = ["-c", "user.name=a", "-c", "user.email=a@example.com", "-c", "commit.gpgsign=false"];
        git(root, &["add", "."]).unwrap();
        git(root, &[&identity[..], &["commit", "--quiet", "-m", "Message"]].concat()).unwrap();
    }

    /// One with a commit of a file, a link and a manifest.
    fn repository() -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path();
        git(root, &["init", "--quiet"]).unwrap();
        for part in ["src", "fips"] {
            fs::create_dir(root.join(part)).unwrap();
        }
        fs::write(root.join("src/main.rs"), "1").unwrap();
        fs::write(root.join("Cargo.toml"), "").unwrap();
        fs::write(root.join("build.rs"), "").unwrap();
        std::os::unix::fs::symlink("../src", root.join("fips/src")).unwrap();
        commit(root);
        folder
    }

    #[test]
    fn every_change_of_the_sources_has_another_name() {
        let folder = repository();
        let root = folder.path();
        let clean = state(root, &[]).unwrap();
        assert!(is_clean(&clean) && clean.len() >= 40, "{clean}");
        let time = git(root, &["log", "-1", "--date=unix", "--format=%cd"]).unwrap();
        assert_eq!(commit_time(root).unwrap(), String::from_utf8_lossy(&time).trim());
        fs::write(root.join("README.md"), "not built").unwrap();
        assert_eq!(state(root, &[]).unwrap(), clean);
        assert!(state(root, &["README.md"]).unwrap().starts_with(&format!("{clean}+")), "where it counts, it is told");
        fs::write(root.join("src/new.rs"), "2").unwrap();
        let untracked = state(root, &[]).unwrap();
        fs::write(root.join("src/main.rs"), "3").unwrap();
        let changed = state(root, &[]).unwrap();
        assert!(untracked != clean && changed != untracked && changed.starts_with(&clean), "{untracked} {changed}");
        assert_eq!(state(root, &[]).unwrap(), changed);
        assert_eq!(revision(root).unwrap(), format!("{}-dirty", &clean[..12]));
        commit(root);
        let clean = state(root, &[]).unwrap();
        assert_eq!(revision(root).unwrap(), clean[..12]);
    }

    /// A word for it, and what is done in a repository.
    type GitSetting<'a> = (&'a str, &'a dyn Fn(&Path));

    /// The agent's own build script, which names the commit where no tool does.
    fn build_script(folder: &Path) -> PathBuf {
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).with_file_name("build.rs");
        let program = folder.join("build-script");
        let mut rustc = environment::rustc(Path::new(env!("CARGO_MANIFEST_DIR")));
        let made = rustc.args(["--edition", "2024", "-o"]).args([&program, &source]).status();
        assert!(made.unwrap().success());
        program
    }

    /// What it says of the sources in this folder.
    fn recorded(script: &Path, root: &Path) -> String {
        let output = Command::new(script).current_dir(root).env_remove(TOLD).output().unwrap();
        let output = String::from_utf8(output.stdout).unwrap();
        let sha = output.lines().find_map(|line| line.strip_prefix("cargo::rustc-env=BOTTLECAP_GIT_SHA="));
        sha.unwrap_or_else(|| panic!("{output}")).to_owned()
    }

    /// Each has git itself say that nothing has changed.
    #[test]
    fn no_setting_of_git_hides_a_change() {
        let change = |root: &Path| fs::write(root.join("src/main.rs"), "2").unwrap();
        let flag = |root: &Path, flag: &str| drop(git(root, &["update-index", flag, "src/main.rs"]).unwrap());
        let write = |root: &Path, name: &str, text: &str| fs::write(root.join(".git/info").join(name), text).unwrap();
        let hidings: [GitSetting<'_>; 6] = [
            ("assume-unchanged", &|root| {
                flag(root, "--assume-unchanged");
                change(root);
            }),
            ("skip-worktree", &|root| {
                flag(root, "--skip-worktree");
                change(root);
            }),
            ("filter", &|root| {
                write(root, "attributes", "*.rs filter=hide\n");
                git(root, &["config", "filter.hide.clean", "printf 1"]).unwrap();
                change(root);
            }),
            ("textconv", &|root| {
                write(root, "attributes", "*.rs diff=hide\n");
                git(root, &["config", "diff.hide.textconv", "echo 1 #"]).unwrap();
                change(root);
            }),
            ("exclude", &|root| {
                write(root, "exclude", "new.rs\n");
                fs::write(root.join("src/new.rs"), "").unwrap();
            }),
            ("replace", &|root| {
                let old = git(root, &["rev-parse", "HEAD"]).unwrap();
                let old = String::from_utf8_lossy(&old).trim().to_owned();
                change(root);
                commit(root);
                // The tree of the new commit in the place of the old one, which is the present one again.
                git(root, &["replace", &old, "HEAD"]).unwrap();
                git(root, &["reset", "--quiet", "--soft", &old]).unwrap();
            }),
        ];
        let scripts = tempfile::tempdir().unwrap();
        let script = build_script(scripts.path());
        for (name, hide) in hidings {
            let folder = repository();
            let clean = state(folder.path(), &[]).unwrap();
            assert_eq!(recorded(&script, folder.path()), revision(folder.path()).unwrap());
            hide(folder.path());
            let hidden = state(folder.path(), &[]).unwrap();
            assert!(is_clean(&clean) && hidden.starts_with(&format!("{clean}+")), "{name}: {clean} {hidden}");
            // Both say the same, and that the sources have changed.
            let revision = revision(folder.path()).unwrap();
            assert!(recorded(&script, folder.path()) == revision && revision.ends_with(DIRTY), "{name}: {revision}");
        }
    }

    #[test]
    fn links_modes_and_what_is_gone_are_changes_and_what_cargo_has_built_is_none() {
        let folder = repository();
        let root = folder.path();
        let clean = state(root, &[]).unwrap();
        fs::create_dir(root.join("fips/target")).unwrap();
        fs::write(root.join("fips/target/built.rs"), "").unwrap();
        assert_eq!(state(root, &[]).unwrap(), clean);
        let mut states = BTreeSet::from([clean]);
        let mut is_new = || assert!(states.insert(state(root, &[]).unwrap()), "{states:?}");
        crate::executable::write(&root.join("src/main.rs"), "1").unwrap();
        is_new();
        fs::remove_file(root.join("fips/src")).unwrap();
        is_new();
        std::os::unix::fs::symlink("/elsewhere", root.join("fips/src")).unwrap();
        is_new();
        fs::remove_file(root.join("src/main.rs")).unwrap();
        is_new();
    }

    #[test]
    fn no_variable_of_the_caller_points_git_elsewhere() {
        let set = ["GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE", "GIT_CONFIG_COUNT", "HOME"];
        let command = git_command(Path::new("."), set.map(OsString::from).into_iter());
        let changed: Vec<_> = command.get_envs().collect();
        for name in &set[..4] {
            assert!(changed.contains(&(OsStr::new(name), None)), "{name}: {changed:?}");
        }
        assert!(changed.contains(&(OsStr::new("GIT_NO_REPLACE_OBJECTS"), Some(OsStr::new("1")))), "{changed:?}");
        assert!(!changed.iter().any(|(name, _)| *name == "HOME"), "safe.directory is in the user's configuration");
    }

    #[test]
    fn the_compiler_has_a_name_and_a_version() {
        assert!(compiler(Path::new(".")).starts_with("rustc 1."), "{}", compiler(Path::new(".")));
        assert_eq!(compiler(Path::new("/nonexistent")), "unknown");
    }

    #[test]
    fn sources_without_a_history_are_named_by_all_that_is_in_them() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path();
        fs::create_dir_all(root.join("src/deep")).unwrap();
        let write = |name: &str, text: &str| fs::write(root.join(name), text).unwrap();
        write("src/deep/main.rs", "1");
        write("README.md", "not built");
        let of = |recorded: Option<&str>| of_folder(root, &[], recorded.map(str::to_owned)).unwrap();
        let plain = state(root, &[]).unwrap();
        assert_eq!(plain, of(None));
        assert!(plain.starts_with("unknown+all-") && !is_clean(&plain), "{plain}");
        let recorded = of(Some("abc"));
        assert_eq!(
            recorded.split_once('+').map(|(commit, changes)| (commit, remark(Some(changes)))),
            Some(("abc", " without history"))
        );
        assert_eq!((remark(None), remark(Some("00ff"))), ("", " with changes"));
        write(ARCHIVED, "node: $Format:%H$\n");
        assert_eq!(of(None), plain, "not an archive that git has made");
        assert!(commit_time(root).unwrap_err().to_string().contains("SOURCE_DATE_EPOCH"));
        write(ARCHIVED, "node: 0123456789abcdef0123456789abcdef01234567\ntime: 1764281234\n");
        assert_eq!(commit_time(root).unwrap(), "1764281234");
        assert_eq!(revision(root).unwrap(), "0123456789ab", "nobody knows whether it was changed");
        assert!(of(None).starts_with("0123456789abcdef0123456789abcdef01234567+"));
        write(ARCHIVED, "");
        write("README.md", "still not built");
        assert_eq!(of(None), plain);
        write("src/deep/main.rs", "2");
        assert_ne!(of(None), plain);
    }

    #[test]
    fn a_folder_that_only_lies_in_a_repository_has_no_commit_of_it() {
        let folder = tempfile::tempdir().unwrap();
        git(folder.path(), &["init", "--quiet"]).unwrap();
        let inner = folder.path().join("unpacked");
        fs::create_dir(&inner).unwrap();
        fs::write(inner.join("Cargo.toml"), "").unwrap();
        assert!(state(&inner, &[]).unwrap().starts_with("unknown+"));
    }
}
