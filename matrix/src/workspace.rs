//! Where the workspace is whose extension is built.

use std::path::{Path, PathBuf};
use std::process::Command;

/// The cargo that runs this program, or the first one on the path.
pub fn cargo() -> Command {
    Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
}

/// The root of the workspace at hand; the current directory where there is none.
pub fn root() -> PathBuf {
    let located = cargo().args(["locate-project", "--workspace", "--message-format", "plain"]).output();
    let manifest = located.ok().filter(|output| output.status.success()).map(|output| output.stdout);
    let manifest = manifest.and_then(|manifest| String::from_utf8(manifest).ok());
    let root = manifest.as_deref().and_then(|manifest| Path::new(manifest.trim_end()).parent());
    root.map_or_else(|| PathBuf::from("."), Path::to_owned)
}
