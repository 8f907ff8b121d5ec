//! The workspace whose extension is built, and the cargo that builds it.

pub mod environment;
mod git;
mod git_objects;
mod leftovers;
pub mod private;
pub mod sources;

use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};
use std::process::Command;

use clap::ValueEnum;

/// Makes cargo build a program with the dependency features of the whole workspace, as tests are built. Otherwise it would compile all dependencies again with
/// fewer features. Not for programs that are measured or shipped.
pub const AS_TESTS_ARE_BUILT: [&str; 2] = ["--package", "matrix"];

/// The cargo that runs this program, or the first one on the path, with the environment of a shell.
pub fn cargo() -> Command {
    shell_environment(Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into())))
}

/// Removes the variables that cargo has set for this program from a command.
///
/// Some build scripts read such variables (ring's reads `CARGO_MANIFEST_DIR` and `CARGO_PKG_NAME`). Cargo compiles the crate and its dependents again whenever
/// the value differs from that of the last build. If the variables were set here and not in a shell, every build from here would invalidate that of the shell
/// in the same target directory, and vice versa.
pub fn shell_environment(mut command: Command) -> Command {
    for (name, _) in std::env::vars_os().filter(|(name, _)| is_set_by_cargo(name)) {
        command.env_remove(name);
    }
    command
}

/// Whether `cargo run`, `cargo test` and `cargo bench` set the variable for what they run. Source: cargo's reference, "Environment variables Cargo sets for
/// crates".
fn is_set_by_cargo(name: &OsStr) -> bool {
    const NAMES: [&str; 9] = [
        "CARGO_BIN_NAME",
        "CARGO_CRATE_NAME",
        "CARGO_MANIFEST_DIR",
        "CARGO_MANIFEST_LINKS",
        "CARGO_MANIFEST_PATH",
        "CARGO_PRIMARY_PACKAGE",
        "CARGO_RUSTC_CURRENT_DIR",
        "CARGO_TARGET_TMPDIR",
        "OUT_DIR",
    ];
    let name = name.to_string_lossy();
    NAMES.contains(&name.as_ref()) || ["CARGO_PKG_", "CARGO_BIN_EXE_"].iter().any(|prefix| name.starts_with(prefix))
}

/// The root of the workspace at hand; the current directory if there is none.
pub fn root() -> PathBuf {
    located().unwrap_or_else(|| PathBuf::from("."))
}

/// The root of the workspace at hand; `None` if there is none, or if another user may have put it there.
pub fn located() -> Option<PathBuf> {
    // Before cargo is started: rustup would execute the toolchain that such a file names.
    let here = std::env::current_dir().ok()?;
    if private::planted_above(&here).is_some() {
        return None;
    }
    let located = cargo().args(["locate-project", "--workspace", "--message-format", "plain"]).output();
    let manifest = located.ok().filter(|output| output.status.success()).map(|output| output.stdout);
    let manifest = manifest.and_then(|manifest| String::from_utf8(manifest).ok())?;
    let manifest = Path::new(manifest.trim_end());
    manifest.parent().filter(|_| private::is_own_workspace(manifest)).map(Path::to_owned)
}

/// Cargo's target directory for the workspace at hand; runs also cache files there. Outside of a workspace, the user's own cache directory: a path that others
/// can predict and write to would let them plant what is executed.
pub fn target_directory() -> PathBuf {
    match std::env::var_os("CARGO_TARGET_DIR") {
        Some(directory) => directory.into(),
        None => located().map_or_else(cache_directory, |root| root.join("target")),
    }
}

fn cache_directory() -> PathBuf {
    let directory = cache_directory_of(std::env::var_os("XDG_CACHE_HOME"), std::env::home_dir());
    directory.unwrap_or_else(|| PathBuf::from("target"))
}

/// The cache directory as in "XDG Base Directory Specification", which ignores relative paths. `None` for a user without a home.
fn cache_directory_of(cache_home: Option<OsString>, home: Option<PathBuf>) -> Option<PathBuf> {
    let cache_home = cache_home.map(PathBuf::from).filter(|directory| directory.is_absolute());
    let home = home.filter(|home| home.is_absolute()).map(|home| home.join(".cache"));
    cache_home.or(home).map(|directory| directory.join("matrix"))
}

/// The folder of the target directories in which `matrix` builds programs.
pub fn builds_directory() -> PathBuf {
    target_directory().join("matrix/build")
}

/// A profile of cargo.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Profile {
    Dev,
    #[default]
    Release,
}

impl Profile {
    /// The profile's name in cargo.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Dev => "dev",
            Self::Release => "release",
        }
    }

    /// The profile's name in cargo's `PROFILE` variable for build scripts.
    pub fn build_script_name(self) -> &'static str {
        match self {
            Self::Dev => "debug",
            Self::Release => "release",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_build_from_here_has_the_environment_of_one_from_a_shell() {
        // Cargo runs this test and has set these variables.
        for name in ["CARGO_MANIFEST_DIR", "CARGO_PKG_NAME", "CARGO_PKG_VERSION_MAJOR"] {
            assert!(std::env::var_os(name).is_some(), "{name}");
            assert!(cargo().get_envs().any(|(removed, value)| removed == name && value.is_none()), "{name}");
        }
        for name in ["CARGO", "CARGO_HOME", "CARGO_TARGET_DIR", "CARGO_PROFILE_DEV_DEBUG", "CARGO_INCREMENTAL", "PATH"]
        {
            assert!(!is_set_by_cargo(name.as_ref()), "{name}");
        }
    }

    #[test]
    fn outside_of_a_workspace_files_are_cached_in_the_users_own_directory() {
        let of = |cache: Option<&str>, home: Option<&str>| {
            let directory = cache_directory_of(cache.map(OsString::from), home.map(PathBuf::from));
            directory.map(|directory| directory.display().to_string())
        };
        assert_eq!(of(Some("/var/cache/me"), Some("/home/me")).as_deref(), Some("/var/cache/me/matrix"));
        assert_eq!(of(Some("relative"), Some("/home/me")).as_deref(), Some("/home/me/.cache/matrix"));
        assert_eq!(of(Some(""), Some("/home/me")).as_deref(), Some("/home/me/.cache/matrix"));
        assert_eq!(of(None, None), None);
    }
}
