//! Builds the extension of this workspace, with progress on standard error.

use std::io::{BufRead, BufReader, Read};
use std::path::PathBuf;
use std::process::Stdio;
use std::thread;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};
use serde::Deserialize;

use super::error::Error;
use crate::flavour::Toolchain;
use crate::manifest::Manifest;
use crate::sandbox::setup::LayerFile;
use crate::workspace::Profile;
use crate::workspace::environment::QuickBuilds;
use crate::{build, plan, terminal, workspace};

/// Maximum number of lines of cargo's output that are shown after a failure, from the end.
const OUTPUT_LINES: usize = 40;

/// The set that bottlecap is built from for use, without the launcher: only layers have both.
const RECOMMENDED: &str = "ship-agent";

/// Builds bottlecap and returns the path of the program: the release profile as for measuring and shipping, the development profile where the tests are built.
pub fn extension(profile: Profile) -> Result<PathBuf, Error> {
    match profile {
        Profile::Release => recommended(),
        Profile::Dev => beside_tests(),
    }
}

/// What the extension evaluates requests with, where settings ask for that: files of its layer.
pub fn waf_files() -> Result<Vec<LayerFile>, Error> {
    let spinner = spinner();
    spinner.set_message("building the WAF worker");
    let folder = build::waf::folder();
    spinner.finish_and_clear();
    let folder = folder.map_err(|failure| Error::Build(failure.output))?;
    Ok(build::waf::layer_files(folder))
}

fn recommended() -> Result<PathBuf, Error> {
    let failed = |error: &dyn std::error::Error| Error::Build(terminal::chain(error));
    let manifest = Manifest::embedded().map_err(|error| failed(error))?;
    let (cell, _) = plan::cell(manifest, RECOMMENDED).map_err(|error| failed(&error))?;
    let tools = Toolchain::plain(&workspace::root(), Profile::Release).map_err(|error| failed(&error))?;
    let outcome = build::program(manifest, &cell, &tools.agent).map_err(|failure| Error::Build(failure.output))?;
    Ok(outcome.program)
}

fn beside_tests() -> Result<PathBuf, Error> {
    let spinner = spinner();
    let root = std::path::absolute(workspace::root()).map_err(Error::NoCargo)?;
    let quick = QuickBuilds::of(&root, &workspace::builds_directory());
    let mut command = workspace::cargo();
    quick.close(&mut command, &root, std::env::vars_os()).map_err(Error::NoCargo)?;
    command.args(["build", "--package", "bottlecap", "--bin", "bottlecap"]).args(workspace::AS_TESTS_ARE_BUILT);
    command.args(["--message-format", "json-render-diagnostics", "--profile", Profile::Dev.as_str()]);
    command.arg("--manifest-path").arg(root.join("Cargo.toml")).arg("--target-dir").arg(quick.target_directory);
    let mut child =
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().map_err(Error::NoCargo)?;
    let (messages, progress) = (child.stdout.take(), child.stderr.take());
    let (executable, said) = thread::scope(|scope| {
        // Both pipes are read concurrently: cargo would block on a full one.
        let executable = scope.spawn(|| messages.and_then(executable));
        let said = progress.map(|progress| watch(progress, &spinner)).unwrap_or_default();
        (executable.join().ok().flatten(), said)
    });
    spinner.finish_and_clear();
    let status = child.wait().map_err(Error::NoCargo)?;
    match executable {
        Some(executable) if status.success() => Ok(executable),
        _ => {
            let last = said.get(said.len().saturating_sub(OUTPUT_LINES)..).unwrap_or_default();
            Err(Error::Build(last.join("\n")))
        }
    }
}

/// A spinner for slow steps, on standard error if that is a terminal.
pub fn spinner() -> ProgressBar {
    let spinner = ProgressBar::new_spinner();
    if let Ok(style) = ProgressStyle::with_template("{spinner} {wide_msg}") {
        spinner.set_style(style);
    }
    spinner.enable_steady_tick(Duration::from_millis(120));
    spinner
}

/// One of cargo's JSON messages; only artifact messages have an executable.
#[derive(Deserialize)]
struct Message {
    executable: Option<PathBuf>,
}

/// The path of the last executable that cargo reports, which is the requested one.
fn executable(messages: impl Read) -> Option<PathBuf> {
    BufReader::new(messages)
        .lines()
        .map_while(Result::ok)
        .filter_map(|line| serde_json::from_str::<Message>(&line).ok()?.executable)
        .last()
}

/// Shows the present step and returns all of cargo's messages.
fn watch(progress: impl Read, spinner: &ProgressBar) -> Vec<String> {
    let mut said = Vec::new();
    let mut compiled = 0_u32;
    for line in BufReader::new(progress).lines().map_while(Result::ok) {
        if let Some(package) = compiling(&line) {
            compiled += 1;
            spinner.set_message(format!("building bottlecap: {package} ({compiled})"));
        }
        said.push(line);
    }
    said
}

/// The crate of a "Compiling" line.
fn compiling(line: &str) -> Option<&str> {
    line.trim_start().strip_prefix("Compiling ")?.split(' ').next()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_executable_is_found_among_cargos_messages() {
        let messages = concat!(
            r#"{"reason":"compiler-artifact","target":{"name":"build-script-build"},"executable":null}"#,
            "\nnot json\n",
            r#"{"reason":"compiler-artifact","target":{"name":"bottlecap"},"executable":"/target/release/bottlecap"}"#,
            "\n",
            r#"{"reason":"build-finished","success":true}"#,
        );
        assert_eq!(executable(messages.as_bytes()), Some(PathBuf::from("/target/release/bottlecap")));
        assert_eq!(executable("{}".as_bytes()), None);
    }

    #[test]
    fn the_crate_at_work_is_read_from_cargos_progress() {
        assert_eq!(compiling("   Compiling tokio v1.54.1"), Some("tokio"));
        assert_eq!(compiling("    Finished `release` profile"), None);
        let said = watch("   Compiling a v1.0.0\nerror: no\n".as_bytes(), &ProgressBar::hidden());
        assert_eq!(said, ["   Compiling a v1.0.0", "error: no"]);
    }
}
