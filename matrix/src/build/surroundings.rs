//! What of the machine reaches a build: nothing that decides what comes of it.
//!
//! `CFLAGS` in a shell, or `[profile.release]` in the user's own configuration of cargo, would make another program under the name of the one that was asked
//! for, and it would stay when they are gone. So what is measured or shipped is built with the variables that are named here alone, and with a home of cargo's
//! whose caches are the user's, and whose configuration is the part of the user's that tells where crates come from.

use std::ffi::{OsStr, OsString};
use std::fs;
use std::io;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde::Deserialize;
use toml::{Table, Value};

/// Variables that say who and where somebody is, how to reach the network, and how loud to be.
const PASSED: [&str; 23] = [
    "CARGO_BUILD_JOBS",
    "GIT_ASKPASS",
    "GIT_SSH_COMMAND",
    "GOCACHE",
    "GOMODCACHE",
    "GOPATH",
    "GOPROXY",
    "GOSUMDB",
    "HOME",
    "LANG",
    "LC_ALL",
    "LOGNAME",
    "PATH",
    "RUSTUP_DIST_SERVER",
    "RUSTUP_HOME",
    "RUSTUP_TOOLCHAIN",
    "SSH_AUTH_SOCK",
    "SSL_CERT_DIR",
    "SSL_CERT_FILE",
    "TERM",
    "TMPDIR",
    "USER",
    "XDG_CACHE_HOME",
];
const PASSED_IN_ANY_CASE: [&str; 4] = ["all_proxy", "http_proxy", "https_proxy", "no_proxy"];
const PASSED_FAMILIES: [&str; 6] =
    ["CARGO_CACHE_", "CARGO_CREDENTIAL_ALIAS_", "CARGO_HTTP_", "CARGO_NET_", "CARGO_REGISTR", "CARGO_TERM_"];

/// Variables of which somebody may believe that they change what is built, because elsewhere they do.
const DECIDING: [&str; 21] = [
    "AR",
    "C_INCLUDE_PATH",
    "CARGO_BUILD_RUSTFLAGS",
    "CARGO_BUILD_TARGET",
    "CARGO_ENCODED_RUSTFLAGS",
    "CC",
    "CFLAGS",
    "CMAKE",
    "CPATH",
    "CPPFLAGS",
    "CXX",
    "CXXFLAGS",
    "GOFLAGS",
    "LDFLAGS",
    "LIBRARY_PATH",
    "RANLIB",
    "RUSTC",
    "RUSTC_BOOTSTRAP",
    "RUSTC_WORKSPACE_WRAPPER",
    "RUSTC_WRAPPER",
    "RUSTFLAGS",
];
const DECIDING_FAMILIES: [&str; 13] = [
    "AR_",
    "AWS_LC_",
    "CARGO_PROFILE_",
    "CC_",
    "CFLAGS_",
    "CMAKE_",
    "CXXFLAGS_",
    "CXX_",
    "HOST_C",
    "JEMALLOC_SYS_",
    "TARGET_AR",
    "TARGET_C",
    "ZSTD_SYS_",
];

/// The tables of cargo's configuration that tell where crates come from and how to get there.
const KEPT: [&str; 6] = ["credential-alias", "http", "net", "registries", "registry", "source"];
/// Keys of those whose values are paths, relative to the folder around `.cargo`.
const PATHS: [&str; 4] = ["cainfo", "directory", "local-registry", "proxy-cainfo"];
/// What cargo keeps in its home beside its configuration. Its locks are shared as well, so that two builds do not unpack the same crate.
const CACHES: [&str; 7] =
    ["registry", "git", "credentials", "credentials.toml", ".package-cache", ".package-cache-mutate", ".global-cache"];

/// A folder above which cargo finds no configuration but the system's.
pub const TOP: &str = "/";

/// The part of `rust-toolchain.toml` that counts here.
#[derive(Deserialize)]
struct ToolchainFile {
    toolchain: Toolchain,
}

#[derive(Deserialize)]
struct Toolchain {
    channel: String,
}

/// Takes from a command every variable but those of `all` that are passed on.
pub fn close(command: &mut Command, all: impl Iterator<Item = (OsString, OsString)>) {
    command.env_clear().envs(all.filter(|(name, _)| is_passed(name)));
}

/// Those of these variables that would decide what is built, if they reached it.
pub fn ignored(all: impl Iterator<Item = OsString>) -> Vec<String> {
    let names = all.map(|name| name.to_string_lossy().into_owned());
    let mut names: Vec<String> = names.filter(|name| is_deciding(name)).collect();
    names.sort();
    names
}

fn is_passed(name: &OsStr) -> bool {
    let name = name.to_string_lossy();
    PASSED.contains(&name.as_ref())
        || PASSED_IN_ANY_CASE.contains(&name.to_lowercase().as_str())
        || PASSED_FAMILIES.iter().any(|family| name.starts_with(family))
}

fn is_deciding(name: &str) -> bool {
    DECIDING.contains(&name)
        || DECIDING_FAMILIES.iter().any(|family| name.starts_with(family))
        || (name.starts_with("CARGO_TARGET_") && !["CARGO_TARGET_DIR", "CARGO_TARGET_TMPDIR"].contains(&name))
}

/// The home of cargo for what is built in this directory.
pub fn home(builds: &Path) -> PathBuf {
    builds.join("cargo-home")
}

/// The user's home of cargo.
pub fn users_home() -> Option<PathBuf> {
    let home = std::env::var_os("CARGO_HOME").map(PathBuf::from);
    let home = home.or_else(|| Some(PathBuf::from(std::env::var_os("HOME")?).join(".cargo")));
    home.and_then(|home| std::path::absolute(home).ok())
}

/// The toolchain that the workspace names.
pub fn toolchain(root: &Path) -> io::Result<String> {
    let text = fs::read_to_string(root.join("rust-toolchain.toml"))?;
    toml::from_str::<ToolchainFile>(&text).map(|file| file.toolchain.channel).map_err(io::Error::other)
}

/// The compiler with which builds of the workspace in `root` compile.
pub fn rustc(root: &Path) -> Command {
    let mut command = Command::new("rustc");
    close(&mut command, std::env::vars_os());
    command.current_dir(root);
    command
}

/// The tables of cargo's configuration that do not reach a build of the workspace in `root`, with their folders.
pub fn dropped(root: &Path, users: Option<&Path>) -> Vec<String> {
    let folders = root.ancestors().map(|folder| folder.join(".cargo")).chain(users.map(Path::to_owned));
    let mut dropped: Vec<String> = folders
        .filter_map(|folder| Some((read(&folder).ok()?, folder)))
        .flat_map(|(config, folder)| {
            let names: Vec<String> = config.keys().filter(|name| !is_harmless(name)).cloned().collect();
            names.into_iter().map(move |name| format!("[{name}] of {}", folder.display()))
        })
        .collect();
    dropped.sort();
    dropped.dedup();
    dropped
}

/// Whether a table tells where crates come from, or nothing about builds.
fn is_harmless(name: &str) -> bool {
    KEPT.contains(&name) || ["alias", "cache", "term"].contains(&name)
}

/// Makes a home of cargo's for builds of the workspace in `root`, beside the user's own.
pub fn prepare(home: &Path, root: &Path, users: Option<&Path>) -> io::Result<()> {
    refuse_the_systems(&read(&Path::new(TOP).join(".cargo"))?)?;
    fs::create_dir_all(home)?;
    let mut kept = Table::new();
    for folder in root.ancestors() {
        merge(&mut kept, sources_of(read(&folder.join(".cargo"))?, folder));
    }
    if let Some(users) = users {
        let around = users.parent().unwrap_or(users);
        merge(&mut kept, sources_of(read(users)?, around));
        for name in CACHES {
            link(&users.join(name), &home.join(name))?;
        }
    }
    let text = toml::to_string(&kept).map_err(io::Error::other)?;
    let path = home.join("config.toml");
    if fs::read_to_string(&path).is_ok_and(|there| there == text) {
        return Ok(());
    }
    let new = tempfile::NamedTempFile::new_in(home)?;
    fs::write(new.path(), text)?;
    new.persist(path).map(drop).map_err(|error| error.error)
}

/// Cargo's configuration in this folder; empty where there is none.
fn read(folder: &Path) -> io::Result<Table> {
    for name in ["config", "config.toml"] {
        let path = folder.join(name);
        match fs::read_to_string(&path) {
            Ok(text) => {
                let broken = |error| io::Error::other(format!("{} cannot be read: {error}", path.display()));
                return text.parse().map_err(broken);
            }
            Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(Table::new())
}

/// Cargo reads the configuration at the top for every folder, and nothing keeps it out.
fn refuse_the_systems(config: &Table) -> io::Result<()> {
    match config.keys().find(|name| !is_harmless(name)) {
        Some(name) => Err(io::Error::other(format!(
            "cargo's configuration in {TOP}.cargo has [{name}], which would reach every build on this machine; take it out, or move it to the home of a user"
        ))),
        None => Ok(()),
    }
}

/// The part that tells where crates come from, with paths that hold elsewhere.
fn sources_of(config: Table, around: &Path) -> Table {
    let mut kept: Table = config.into_iter().filter(|(name, _)| KEPT.contains(&name.as_str())).collect();
    make_absolute(&mut kept, around);
    kept
}

fn make_absolute(table: &mut Table, around: &Path) {
    for (key, value) in table.iter_mut() {
        match value {
            Value::Table(table) => make_absolute(table, around),
            Value::String(path) if PATHS.contains(&key.as_str()) => {
                *path = around.join(&*path).to_string_lossy().into_owned();
            }
            _ => {}
        }
    }
}

/// Adds what is not there yet: the nearest configuration counts.
fn merge(into: &mut Table, from: Table) {
    for (key, value) in from {
        match (into.get_mut(&key), value) {
            (Some(Value::Table(there)), Value::Table(more)) => merge(there, more),
            (Some(_), _) => {}
            (None, value) => {
                into.insert(key, value);
            }
        }
    }
}

fn link(to: &Path, from: &Path) -> io::Result<()> {
    if fs::read_link(from).is_ok_and(|there| there == to) {
        return Ok(());
    }
    // Directories have to be there, unless nobody may make them; cargo makes a file through a link by itself.
    if to.file_name().is_some_and(|name| name == "registry" || name == "git") {
        let _ = fs::create_dir_all(to);
    }
    // Without a home of the user's, cargo has made its own folders here.
    let removed = if from.is_dir() && !from.is_symlink() { fs::remove_dir_all(from) } else { fs::remove_file(from) };
    let linked = match removed {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => symlink(to, from),
    };
    match linked {
        // Another build has been faster.
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        linked => linked.map_err(|error| io::Error::new(error.kind(), format!("{}: {error}", from.display()))),
    }
}

#[cfg(test)]
#[path = "surroundings_tests.rs"]
mod tests;
