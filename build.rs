//! Passes Cargo's information about this build to `src/build_info`.

use std::{
    collections::BTreeMap,
    env, fs, io,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    process::Command,
};

/// The sources of the extension, without third-party crates.
const SOURCES: [&str; 7] = [
    "src",
    "crates/agent-config",
    "crates/extension-protocol",
    "crates/waf-protocol",
    "build.rs",
    "Cargo.toml",
    "Cargo.lock",
];
/// A file that contains the commit in an archive made by git.
const ARCHIVED: &str = ".git_archival.txt";

fn main() {
    let fact = |name: &str| env::var(name).unwrap_or_default();
    // Cargo separates flags by the unit separator, because a flag may contain a space. Flags that remap path prefixes are left out: they keep
    // directory names of the build machine out of the binary, and would put them back here.
    let flags = fact("CARGO_ENCODED_RUSTFLAGS");
    let flags: Vec<&str> = flags.split('\u{1f}').filter(|flag| !flag.starts_with("--remap-path-prefix=")).collect();
    let flags = flags.join(" ");

    println!("cargo::rustc-env=BOTTLECAP_TARGET={}", fact("TARGET"));
    println!("cargo::rustc-env=BOTTLECAP_PROFILE={}", fact("PROFILE"));
    println!("cargo::rustc-env=BOTTLECAP_OPT_LEVEL={}", fact("OPT_LEVEL"));
    println!("cargo::rustc-env=BOTTLECAP_TARGET_FEATURES={}", fact("CARGO_CFG_TARGET_FEATURE"));
    println!("cargo::rustc-env=BOTTLECAP_FLAGS={flags}");
    println!("cargo::rustc-env=BOTTLECAP_GIT_SHA={}", git_sha());
    println!("cargo::rerun-if-env-changed=BOTTLECAP_GIT_SHA");
    for path in SOURCES.into_iter().chain([ARCHIVED]).map(|path| home().join(path)).filter(|path| path.exists()) {
        println!("cargo::rerun-if-changed={}", path.display());
    }
    if let Some(head) = git(&["rev-parse", "--git-path", "logs/HEAD"]) {
        println!("cargo::rerun-if-changed={}", home().join(head).display());
    }
}

/// The commit of this build, with the suffix `-dirty` if the sources differ from it. Taken from the environment if the sources come without history
/// (a container image), otherwise from git, otherwise from the file that git writes into an archive.
fn git_sha() -> String {
    let told = env::var("BOTTLECAP_GIT_SHA").ok().filter(|sha| !sha.is_empty());
    told.or_else(committed).or_else(archived).unwrap_or_else(|| "unknown".to_owned())
}

/// None if the folder is not part of a repository, though it may be inside one.
fn committed() -> Option<String> {
    git(&["ls-files", "--error-unmatch", "--", "build.rs"])?;
    let commit = git(&["rev-parse", "HEAD"])?;
    let short = commit.get(..12)?.to_owned();
    Some(if is_committed(&commit).unwrap_or(false) { short } else { short + "-dirty" })
}

/// Whether the sources on the disk are those of the commit, byte for byte and with their modes, by ids that are computed here. Flags of the index, filters and lists of ignored
/// files can hide a change from `git status`, objects can have other bytes than their ids say, and a program named git need not be git, so none of them is
/// believed. None if git does not give the objects of these ids.
///
/// Three limits. Where the disk has no modes (`core.fileMode=false`, folders that WSL or a virtual machine shares), a build is always `-dirty`. So is one from a
/// repository with ids of SHA-256. A change of a mode alone does not run this script again, so that the version stays as it was.
fn is_committed(commit: &str) -> Option<bool> {
    let home = home();
    let text = object("commit", commit)?;
    let mut root = std::str::from_utf8(text.strip_prefix(b"tree ")?.get(..40)?).ok()?.to_owned();
    let repository = home.ancestors().find(|folder| folder.join(".git").exists())?;
    for folder in home.strip_prefix(repository).ok()? {
        root = entry(&root, folder.to_str()?)?.id;
    }
    for source in SOURCES {
        let mut committed = Entry { mode: FOLDER.to_owned(), id: root.clone() };
        for part in source.split('/') {
            committed = if committed.mode == FOLDER { entry(&committed.id, part)? } else { Entry::default() };
        }
        if present(&home.join(source))? != committed {
            return Some(false);
        }
    }
    Some(true)
}

/// The mode of a folder in a tree of git's.
const FOLDER: &str = "40000";

/// What a tree of git's has behind one of its names; both empty where there is no such name.
#[derive(Default, PartialEq, Eq)]
struct Entry {
    mode: String,
    /// In hexadecimal.
    id: String,
}

/// What the tree with this id has behind a name. Its bytes are, for each name, `MODE NAME`, a zero byte and 20 bytes of an id.
fn entry(tree: &str, name: &str) -> Option<Entry> {
    let tree = object("tree", tree)?;
    let mut rest = &tree[..];
    while !rest.is_empty() {
        let (head, after) = rest.split_at_checked(rest.iter().position(|byte| *byte == 0)?)?;
        let (mode, this) = std::str::from_utf8(head).ok()?.split_once(' ')?;
        if this == name {
            return Some(Entry { mode: mode.to_owned(), id: hexadecimal(after.get(1..=20)?) });
        }
        rest = after.get(21..)?;
    }
    Some(Entry::default())
}

/// The file, link or folder as a tree would have it; None if it cannot be read.
fn present(path: &Path) -> Option<Entry> {
    let metadata = match fs::symlink_metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Some(Entry::default()),
        metadata => metadata.ok()?,
    };
    let entry =
        |mode: &str, kind, bytes: &[u8]| Some(Entry { mode: mode.to_owned(), id: hexadecimal(&id(kind, bytes)) });
    if metadata.is_symlink() {
        return entry("120000", "blob", fs::read_link(path).ok()?.as_os_str().as_encoded_bytes());
    }
    if metadata.is_file() {
        return entry(
            if metadata.permissions().mode() & 0o100 == 0 { "100644" } else { "100755" },
            "blob",
            &fs::read(path).ok()?,
        );
    }
    let mut entries = BTreeMap::new();
    for file in fs::read_dir(path).ok()? {
        let file = file.ok()?;
        let Entry { mode, id } = present(&file.path())?;
        // Of a folder without files, git knows nothing.
        if !mode.is_empty() {
            let name = file.file_name().into_encoded_bytes();
            // In git's order, a folder's name ends with a slash.
            let key = [&name[..], if mode == FOLDER { b"/" } else { b"" }].concat();
            entries.insert(key, [mode.as_bytes(), b" ", &name, b"\0", &bytes(&id)?].concat());
        }
    }
    let tree = entries.into_values().collect::<Vec<_>>().concat();
    if tree.is_empty() { Some(Entry::default()) } else { entry(FOLDER, "tree", &tree) }
}

/// The bytes of an object of git's; None if they are not those of its id.
fn object(kind: &str, name: &str) -> Option<Vec<u8>> {
    let bytes = output(&["cat-file", kind, name])?;
    (hexadecimal(&id(kind, &bytes)) == name).then_some(bytes)
}

/// The id of an object of git's: the SHA-1 of its kind, its length and its bytes.
fn id(kind: &str, bytes: &[u8]) -> [u8; 20] {
    sha1(&[format!("{kind} {}\0", bytes.len()).as_bytes(), bytes].concat())
}

/// SHA-1. Source: FIPS 180-4, section 6.1. Git has no other name for what is in a commit.
#[expect(clippy::many_single_char_names, reason = "they are those of the standard")]
fn sha1(message: &[u8]) -> [u8; 20] {
    let mut state = [0x6745_2301_u32, 0xefcd_ab89, 0x98ba_dcfe, 0x1032_5476, 0xc3d2_e1f0];
    let mut padded = message.to_vec();
    padded.push(0x80);
    padded.resize(padded.len() + (64 + 56 - padded.len() % 64) % 64, 0);
    padded.extend((message.len() as u64 * 8).to_be_bytes());
    for block in padded.chunks_exact(64) {
        let word = |bytes: &[u8]| bytes.iter().fold(0, |word, byte| (word << 8) | u32::from(*byte));
        let mut words: Vec<u32> = block.chunks_exact(4).map(word).collect();
        for t in 16..80 {
            let of = |back: usize| words.get(t - back).copied().unwrap_or_default();
            let next = (of(3) ^ of(8) ^ of(14) ^ of(16)).rotate_left(1);
            words.push(next);
        }
        let [mut a, mut b, mut c, mut d, mut e] = state;
        for (t, word) in words.into_iter().enumerate() {
            let (mixed, constant) = match t / 20 {
                0 => ((b & c) | (!b & d), 0x5a82_7999),
                1 => (b ^ c ^ d, 0x6ed9_eba1),
                2 => ((b & c) | (b & d) | (c & d), 0x8f1b_bcdc),
                _ => (b ^ c ^ d, 0xca62_c1d6),
            };
            let next = [mixed, e, constant, word].into_iter().fold(a.rotate_left(5), u32::wrapping_add);
            (a, b, c, d, e) = (next, a, b.rotate_left(30), c, d);
        }
        state = [
            state[0].wrapping_add(a),
            state[1].wrapping_add(b),
            state[2].wrapping_add(c),
            state[3].wrapping_add(d),
            state[4].wrapping_add(e),
        ];
    }
    let mut digest = [0; 20];
    for (place, byte) in digest.iter_mut().zip(state.into_iter().flat_map(u32::to_be_bytes)) {
        *place = byte;
    }
    digest
}

fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |text, byte| text + &format!("{byte:02x}"))
}

/// Of hexadecimal.
fn bytes(text: &str) -> Option<Vec<u8>> {
    (0..text.len()).step_by(2).map(|place| u8::from_str_radix(text.get(place..place + 2)?, 16).ok()).collect()
}

fn archived() -> Option<String> {
    let text = fs::read_to_string(home().join(ARCHIVED)).ok()?;
    let commit = text.lines().find_map(|line| line.strip_prefix("node: "))?.get(..12)?;
    commit.bytes().all(|byte| byte.is_ascii_hexdigit()).then(|| commit.to_owned())
}

/// The real folder of the sources. The folder with the other lock file contains only links to them.
fn home() -> PathBuf {
    let real = fs::canonicalize("build.rs").ok();
    real.and_then(|path| path.parent().map(Path::to_owned)).unwrap_or_default()
}

/// The text that git prints; None if it fails or prints nothing.
fn git(arguments: &[&str]) -> Option<String> {
    let text = String::from_utf8(output(arguments)?).ok()?;
    Some(text.trim().to_owned()).filter(|text| !text.is_empty())
}

/// The output of git; None if it fails.
fn output(arguments: &[&str]) -> Option<Vec<u8>> {
    let mut command = Command::new("git");
    command.current_dir(home()).env("GIT_NO_REPLACE_OBJECTS", "1");
    let output = command.args(arguments).output().ok()?;
    output.status.success().then_some(output.stdout)
}
