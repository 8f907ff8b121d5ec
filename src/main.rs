//! The extension's process: answers `--version`, or lives beside the function until SHUTDOWN.

use std::process::ExitCode;

use bottlecap::{build_info::BUILD_INFO, intake::tls, os::streams, startup};

fn main() -> ExitCode {
    let argument = std::env::args_os().nth(1).map(|argument| argument.to_string_lossy().into_owned());
    match argument.as_deref() {
        None => startup::extension(),
        Some("--version") => {
            streams::print(&BUILD_INFO.text());
            ExitCode::SUCCESS
        }
        Some("--version=json") => {
            streams::print(&BUILD_INFO.json(&tls::crypto_report()));
            ExitCode::SUCCESS
        }
        Some(other) => {
            streams::print_error(&format!(
                "bottlecap takes no arguments but --version and --version=json (got {other:?}); Lambda starts it with none"
            ));
            ExitCode::from(2)
        }
    }
}
