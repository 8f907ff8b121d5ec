use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::process::Command;

use super::*;

/// What git says.
fn git(root: &Path, arguments: &[&str]) -> io::Result<Vec<u8>> {
    Git::of(root).output(arguments)
}

/// The same as one line of text.
fn line(root: &Path, arguments: &[&str]) -> String {
    String::from_utf8(git(root, arguments).unwrap()).unwrap().trim().to_owned()
}

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
    recorded_with(script, root, None)
}

/// The same with another path to look for programs.
fn recorded_with(script: &Path, root: &Path, path: Option<&OsStr>) -> String {
    let mut command = Command::new(script);
    command.current_dir(root).env_remove(TOLD).envs(path.map(|path| ("PATH", path)));
    let output = command.output().unwrap();
    let output = String::from_utf8(output.stdout).unwrap();
    let sha = output.lines().find_map(|line| line.strip_prefix("cargo::rustc-env=BOTTLECAP_GIT_SHA="));
    sha.unwrap_or_else(|| panic!("{output}")).to_owned()
}

/// Writes what the changed folder `src` has over the object of what the commit has there: git, which does not look at the ids below the first tree, lists the
/// change as committed.
fn forge(root: &Path) {
    let genuine = line(root, &["rev-parse", "HEAD:src"]);
    git(root, &["add", "src"]).unwrap();
    let whole = line(root, &["write-tree"]);
    let doctored = line(root, &["rev-parse", &format!("{whole}:src")]);
    let object = |id: &str| root.join(".git/objects").join(&id[..2]).join(&id[2..]);
    fs::remove_file(object(&genuine)).unwrap();
    fs::write(object(&genuine), fs::read(object(&doctored)).unwrap()).unwrap();
    let blob = line(root, &["hash-object", "src/main.rs"]);
    assert!(line(root, &["ls-tree", "-r", "HEAD"]).contains(&blob), "git has seen it");
}

/// A program that says of HEAD's commit and tree what a doctored repository has, and is git otherwise.
#[test]
fn another_program_in_the_place_of_git_hides_no_change() {
    let folder = repository();
    let root = folder.path();
    let clean = state(root, &[]).unwrap();
    let revision = revision(root).unwrap();
    fs::write(root.join("src/main.rs"), "2").unwrap();
    commit(root);
    let scripts = tempfile::tempdir().unwrap();
    let script = build_script(scripts.path());
    let recorded = |liar: &Path| {
        let path = std::env::join_paths([liar.parent().unwrap(), Path::new("/usr/bin"), Path::new("/bin")]).unwrap();
        recorded_with(&script, root, Some(&path))
    };
    for (number, lie) in [
        // The old commit's name for the new one, whatever is asked.
        format!("git \"$@\" | sed s/$(git rev-parse HEAD)/{clean}/"),
        // The new tree for that of the old commit.
        format!("case \"$*\" in *rev-parse*) echo {clean} ;; *'cat-file commit'*) git cat-file commit HEAD ;; *) git \"$@\" ;; esac"),
        format!("case \"$*\" in *rev-parse*) echo {clean} ;; *'cat-file tree'*) git cat-file tree HEAD^{{tree}} ;; *) git \"$@\" ;; esac"),
    ]
    .into_iter()
    .enumerate()
    {
        let liar = scripts.path().join(number.to_string()).join("git");
        fs::create_dir(liar.parent().unwrap()).unwrap();
        let text = format!("#!/bin/sh\ncd {}\nPATH=/usr/bin:/bin:/usr/local/bin\n{lie}\n", root.display());
        crate::executable::write(&liar, text).unwrap();
        let state = of_repository(&Git::with(&liar, root), root, &[]);
        assert!(!state.as_ref().is_ok_and(|state| is_clean(state)), "{lie}: {state:?}");
        assert!(!recorded(&liar).starts_with(&revision) || recorded(&liar).ends_with(DIRTY), "{lie}: {}", recorded(&liar));
    }
}

/// Each has git itself say that nothing has changed.
#[test]
fn no_setting_of_git_hides_a_change() {
    let change = |root: &Path| fs::write(root.join("src/main.rs"), "2").unwrap();
    let flag = |root: &Path, flag: &str| drop(git(root, &["update-index", flag, "src/main.rs"]).unwrap());
    let write = |root: &Path, name: &str, text: &str| fs::write(root.join(".git/info").join(name), text).unwrap();
    let settings: [GitSetting<'_>; 7] = [
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
        ("object", &|root| {
            change(root);
            forge(root);
        }),
    ];
    let scripts = tempfile::tempdir().unwrap();
    let script = build_script(scripts.path());
    for (name, hide) in settings {
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
