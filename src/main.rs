//! The extension's process: answers `--version`, or lives beside the function until SHUTDOWN.

use std::process::ExitCode;

use bottlecap::{build_info::BUILD_INFO, intake::tls, start};

fn main() -> ExitCode {
    match std::env::args().nth(1).as_deref() {
        None => start::extension(),
        Some("--version") => {
            println!("{}", BUILD_INFO.text());
            ExitCode::SUCCESS
        }
        Some("--version=json") => {
            println!("{}", BUILD_INFO.json(Some(&tls::testimony())));
            ExitCode::SUCCESS
        }
        Some(other) => {
            eprintln!(
                "bottlecap takes no arguments but --version and --version=json (got {other:?}); Lambda starts it with none"
            );
            ExitCode::from(2)
        }
    }
}
