//! The compilers at hand, by what they say of themselves: the same ones everywhere, or none.

use std::path::{Path, PathBuf};
use std::process::Command;

use super::Error;
use crate::materials::parts::version;
use crate::workspace::environment;

/// How compilers are asked what they are.
pub(super) const VERSION: &str = "--version";

/// Refuses a compiler that is not the one that `rust-toolchain.toml` names. `compiler` is as in `rustc --version`.
pub(super) fn check(root: &Path, compiler: &str) -> Result<(), Error> {
    let pinned = environment::pinned_toolchain(root)
        .map_err(|source| Error::File { path: root.join("rust-toolchain.toml"), source })?;
    if version(compiler) == pinned { Ok(()) } else { Err(Error::Toolchain { pinned, found: compiler.to_owned() }) }
}

/// The first line that a program prints when it is asked so; `unknown` where it does not answer.
pub(super) fn first_line(program: &Path, question: &str) -> String {
    let output = Command::new(program).arg(question).output();
    let text = output.map(|output| String::from_utf8_lossy(&output.stdout).into_owned()).unwrap_or_default();
    text.lines().next().unwrap_or("unknown").to_owned()
}

/// Where the toolchain is that the workspace in `root` names.
pub(super) fn sysroot(root: &Path) -> PathBuf {
    let output = environment::rustc(root).args(["--print", "sysroot"]).output();
    output.map(|output| PathBuf::from(String::from_utf8_lossy(&output.stdout).trim())).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_compiler_is_refused_with_the_remedy() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("rust-toolchain.toml"), "[toolchain]\nchannel = \"9.8.7\"\n").unwrap();
        assert!(check(folder.path(), "rustc 9.8.7 (abc 2026-01-01)").is_ok());
        for other in ["rustc 9.8.70 (abc 2026-01-01)", "rustc 9.8.7-nightly (abc 2026-01-01)", "unknown"] {
            let error = check(folder.path(), other).unwrap_err().to_string();
            assert!(error.contains(other) && error.contains("rustup toolchain install 9.8.7"), "{error}");
            assert!(error.contains("RUSTUP_TOOLCHAIN"), "{error}");
        }
    }
}
