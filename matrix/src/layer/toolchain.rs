//! With what a layer is built: the same compiler everywhere, or none.

use std::path::Path;
use std::process::Command;

use serde::Deserialize;

use super::Error;
use super::parts::version;

#[derive(Deserialize)]
struct File {
    toolchain: Toolchain,
}

#[derive(Deserialize)]
struct Toolchain {
    channel: String,
}

/// Refuses a compiler that is not the one that `rust-toolchain.toml` names. `compiler` is as in `rustc --version`.
pub fn check(root: &Path, compiler: &str) -> Result<(), Error> {
    let path = root.join("rust-toolchain.toml");
    let failed = |source| Error::File { path: path.clone(), source };
    let text = std::fs::read_to_string(&path).map_err(failed)?;
    let file: File = toml::from_str(&text).map_err(|error| failed(std::io::Error::other(error)))?;
    let pinned = file.toolchain.channel;
    if version(compiler) == pinned { Ok(()) } else { Err(Error::Toolchain { pinned, found: compiler.to_owned() }) }
}

/// The compiler of the C code in some packages, as the first line of its `--version` has it.
pub fn c_compiler() -> String {
    let output = Command::new(std::env::var_os("CC").unwrap_or_else(|| "cc".into())).arg("--version").output();
    let text = output.map(|output| String::from_utf8_lossy(&output.stdout).into_owned()).unwrap_or_default();
    text.lines().next().unwrap_or("unknown").to_owned()
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
