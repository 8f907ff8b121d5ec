//! The environment of isolated builds: an allowlist of variables, and a cargo home without the user's build settings.
//!
//! `CFLAGS` in a shell, or `[profile.release]` in the user's cargo configuration, would change the program under its name, and the changed program would stay
//! after they are gone. Programs that are measured or shipped are therefore built with the variables listed here, and with a cargo home of their own: it shares the
//! user's caches and credentials, and its configuration has only the tables that say where crates come from.

use std::ffi::{OsStr, OsString};
use std::fs;
use std::io;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde::Deserialize;
use toml::{Table, Value};

/// Variables that a build inherits: user, paths, network access and verbosity.
const ALLOWED_VARIABLES: [&str; 24] = [
    "CARGO_BUILD_JOBS",
    "CARGO_HOME",
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
const PROXY_VARIABLES: [&str; 4] = ["all_proxy", "http_proxy", "https_proxy", "no_proxy"];
const ALLOWED_PREFIXES: [&str; 6] =
    ["CARGO_CACHE_", "CARGO_CREDENTIAL_ALIAS_", "CARGO_HTTP_", "CARGO_NET_", "CARGO_REGISTR", "CARGO_TERM_"];

/// What quick builds inherit as well: the commit of sources without git, and whether cargo stores what it needs for the next build. Tests have both, and share what
/// quick builds compile.
const QUICK_VARIABLES: [&str; 2] = ["BOTTLECAP_GIT_SHA", "CARGO_INCREMENTAL"];

/// Variables that change ordinary builds and are ignored in isolated ones; a note names those that are set.
const BUILD_VARIABLES: [&str; 21] = [
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
const BUILD_PREFIXES: [&str; 17] = [
    "AR_",
    "AWS_LC_",
    "CARGO_PROFILE_",
    "CC_",
    "CFLAGS_",
    "CMAKE_",
    "CXXFLAGS_",
    "CXX_",
    "HOST_CC",
    "HOST_CFLAGS",
    "HOST_CXX",
    "JEMALLOC_SYS_",
    "TARGET_AR",
    "TARGET_CC",
    "TARGET_CFLAGS",
    "TARGET_CXX",
    "ZSTD_SYS_",
];

/// Tables of cargo's configuration that say where crates come from and how to download them.
const KEPT_TABLES: [&str; 6] = ["credential-alias", "http", "net", "registries", "registry", "source"];
/// Keys in those tables whose values are paths relative to the parent directory of `.cargo`.
const PATH_KEYS: [&str; 4] = ["cainfo", "directory", "local-registry", "proxy-cainfo"];
/// Entries of the user's cargo home that the isolated one links to. The lock files are among them, so that two builds do not unpack the same crate.
const SHARED_ENTRIES: [&str; 7] =
    ["registry", "git", "credentials", "credentials.toml", ".package-cache", ".package-cache-mutate", ".global-cache"];

/// The working directory of isolated builds: from here, cargo finds no configuration but that of the root directory.
pub const WORKING_DIRECTORY: &str = "/";

/// The part of `rust-toolchain.toml` that counts here.
#[derive(Deserialize)]
struct ToolchainFile {
    toolchain: Toolchain,
}

#[derive(Deserialize)]
struct Toolchain {
    channel: String,
}

/// Replaces the environment of a command by the allowed variables among `all`.
pub fn restrict(command: &mut Command, all: impl Iterator<Item = (OsString, OsString)>) {
    command.env_clear().envs(all.filter(|(name, _)| is_allowed(name)));
}

/// The build variables among `all`, sorted; isolated builds ignore them.
pub fn ignored_variables(all: impl Iterator<Item = OsString>) -> Vec<String> {
    let names = all.map(|name| name.to_string_lossy().into_owned());
    let mut names: Vec<String> = names.filter(|name| is_build_variable(name)).collect();
    names.sort();
    names
}

fn is_allowed(name: &OsStr) -> bool {
    let name = name.to_string_lossy();
    ALLOWED_VARIABLES.contains(&name.as_ref())
        || PROXY_VARIABLES.contains(&name.to_lowercase().as_str())
        || ALLOWED_PREFIXES.iter().any(|family| name.starts_with(family))
}

fn is_build_variable(name: &str) -> bool {
    BUILD_VARIABLES.contains(&name)
        || BUILD_PREFIXES.iter().any(|family| name.starts_with(family))
        || (name.starts_with("CARGO_TARGET_") && !["CARGO_TARGET_DIR", "CARGO_TARGET_TMPDIR"].contains(&name))
}

/// The cargo home of builds in this directory.
pub fn isolated_cargo_home(builds: &Path) -> PathBuf {
    builds.join("cargo-home")
}

/// The user's cargo home: `CARGO_HOME`, or `.cargo` in `HOME`.
pub fn user_cargo_home() -> Option<PathBuf> {
    let home = std::env::var_os("CARGO_HOME").map(PathBuf::from);
    let home = home.or_else(|| Some(PathBuf::from(std::env::var_os("HOME")?).join(".cargo")));
    home.and_then(|home| std::path::absolute(home).ok())
}

/// The channel in `rust-toolchain.toml` of the workspace in `root`.
pub fn pinned_toolchain(root: &Path) -> io::Result<String> {
    let text = fs::read_to_string(root.join("rust-toolchain.toml"))?;
    toml::from_str::<ToolchainFile>(&text).map(|file| file.toolchain.channel).map_err(io::Error::other)
}

/// The toolchain of isolated builds of the workspace in `root`: `RUSTUP_TOOLCHAIN`, or what the nearest `rust-toolchain.toml` names. rustup finds that file from the
/// workspace alone, and isolated builds run elsewhere.
pub fn toolchain(root: &Path) -> Option<String> {
    let from_rustup = std::env::var("RUSTUP_TOOLCHAIN").ok();
    from_rustup.or_else(|| root.ancestors().find_map(|folder| pinned_toolchain(folder).ok()))
}

/// Where builds are made that only show whether something works, with the closed environment of all others.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QuickBuilds {
    /// That of the tests, so that nothing is compiled twice; below the builds where the user's configuration of cargo would reach them.
    pub target_directory: PathBuf,
    /// Cargo's home; the user's, with all its paths, where there is nothing to be kept out.
    pub home: Option<PathBuf>,
}

impl QuickBuilds {
    /// Those of the workspace in `root`; others have their files in `builds`.
    pub fn of(root: &Path, builds: &Path) -> Self {
        Self::beside(root, builds, ignored_config_tables(root, user_cargo_home().as_deref()).is_empty())
    }

    /// The same where cargo's configuration has nothing about builds, or has.
    pub fn beside(root: &Path, builds: &Path, is_plain: bool) -> Self {
        let absolute = |path: PathBuf| std::path::absolute(&path).unwrap_or(path);
        if is_plain {
            let named = std::env::var_os("CARGO_TARGET_DIR").map(PathBuf::from);
            return Self { target_directory: absolute(named.unwrap_or_else(|| root.join("target"))), home: None };
        }
        let builds = absolute(builds.to_owned());
        Self { target_directory: builds.join("quick"), home: Some(isolated_cargo_home(&builds)) }
    }

    /// The variables of such a build, beside those that it inherits.
    pub fn variables(&self, root: &Path) -> impl Iterator<Item = (String, String)> {
        let home = self.home.as_ref().map(|home| ("CARGO_HOME".to_owned(), home.to_string_lossy().into_owned()));
        toolchain(root).map(|toolchain| ("RUSTUP_TOOLCHAIN".to_owned(), toolchain)).into_iter().chain(home)
    }

    /// From the workspace, cargo finds all its configuration, which says where crates come from.
    pub fn working_directory<'r>(&self, root: &'r Path) -> &'r Path {
        if self.home.is_none() { root } else { Path::new(WORKING_DIRECTORY) }
    }

    /// Gives a call of cargo their environment, where these are the variables of the calling process.
    pub fn close(
        &self,
        command: &mut Command,
        root: &Path,
        all: impl Iterator<Item = (OsString, OsString)>,
    ) -> io::Result<()> {
        let is_kept = |name: &OsStr| is_allowed(name) || QUICK_VARIABLES.iter().any(|kept| name == *kept);
        command.env_clear().envs(all.filter(|(name, _)| is_kept(name))).envs(self.variables(root));
        command.current_dir(self.working_directory(root));
        let users = user_cargo_home();
        match &self.home {
            Some(home) => prepare_cargo_home(home, root, users.as_deref()),
            None => Ok(()),
        }
    }
}

/// Gives a call of cargo the environment of isolated builds of the workspace in `root`, whose files are in `builds`. What cargo says of a build is true only if it reads
/// the same configuration as that build.
pub fn isolate(command: &mut Command, root: &Path, builds: &Path) -> io::Result<()> {
    let home = isolated_cargo_home(&std::path::absolute(builds)?);
    prepare_cargo_home(&home, root, user_cargo_home().as_deref())?;
    restrict(command, std::env::vars_os());
    command.env("CARGO_HOME", home).current_dir(WORKING_DIRECTORY);
    command.envs(toolchain(root).map(|toolchain| ("RUSTUP_TOOLCHAIN", toolchain)));
    Ok(())
}

/// A command for the `rustc` of isolated builds of the workspace in `root`.
pub fn rustc(root: &Path) -> Command {
    let mut command = Command::new("rustc");
    restrict(&mut command, std::env::vars_os());
    command.current_dir(root);
    command
}

/// Tables of cargo's configuration that isolated builds of the workspace in `root` ignore, with their directories.
pub fn ignored_config_tables(root: &Path, users: Option<&Path>) -> Vec<String> {
    let folders = root.ancestors().map(|folder| folder.join(".cargo")).chain(users.map(Path::to_owned));
    let mut dropped: Vec<String> = folders
        .filter_map(|folder| Some((read(&folder).ok()?, folder)))
        .flat_map(|(config, folder)| {
            let names: Vec<String> = config.keys().filter(|name| !is_kept(name)).cloned().collect();
            names.into_iter().map(move |name| format!("[{name}] of {}", folder.display()))
        })
        .collect();
    dropped.sort();
    dropped.dedup();
    dropped
}

/// Whether a table tells where crates come from, or nothing about builds.
fn is_kept(name: &str) -> bool {
    KEPT_TABLES.contains(&name) || ["alias", "cache", "term"].contains(&name)
}

/// Creates or updates the cargo home of isolated builds of the workspace in `root`.
pub fn prepare_cargo_home(home: &Path, root: &Path, users: Option<&Path>) -> io::Result<()> {
    check_root_config(&read(&Path::new(WORKING_DIRECTORY).join(".cargo"))?)?;
    fs::create_dir_all(home)?;
    let mut kept = Table::new();
    for folder in root.ancestors() {
        merge(&mut kept, kept_tables(read(&folder.join(".cargo"))?, folder));
    }
    if let Some(users) = users {
        let around = users.parent().unwrap_or(users);
        merge(&mut kept, kept_tables(read(users)?, around));
        for name in SHARED_ENTRIES {
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
fn check_root_config(config: &Table) -> io::Result<()> {
    match config.keys().find(|name| !is_kept(name)) {
        Some(name) => Err(io::Error::other(format!(
            "cargo's configuration in {WORKING_DIRECTORY}.cargo has [{name}], which would reach every build on this machine; take it out, or move it to the home of a user"
        ))),
        None => Ok(()),
    }
}

/// The part that tells where crates come from, with paths that hold elsewhere.
fn kept_tables(config: Table, around: &Path) -> Table {
    let mut kept: Table = config.into_iter().filter(|(name, _)| KEPT_TABLES.contains(&name.as_str())).collect();
    make_absolute(&mut kept, around);
    kept
}

fn make_absolute(table: &mut Table, around: &Path) {
    for (key, value) in table.iter_mut() {
        match value {
            Value::Table(table) => make_absolute(table, around),
            Value::String(path) if PATH_KEYS.contains(&key.as_str()) => {
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
#[path = "environment_tests.rs"]
mod tests;
