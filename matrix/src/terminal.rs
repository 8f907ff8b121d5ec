//! What every command writes, and the statuses that the process ends with.

use std::error::Error;
use std::io::Write as _;
use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, Ordering};

use serde::Serialize;

/// What was made or checked is not valid: a layer, a program, the manifest or a plan.
pub const REFUSED: u8 = 1;
/// The command line is wrong.
pub const USAGE: u8 = 2;
/// A build failed.
pub const BUILD_FAILED: u8 = 3;
/// A cell does not deliver what its function printed and sent, or not what the reference delivers.
pub const PAYLOAD_MISMATCH: u8 = 4;
/// A proof failed or was not run.
pub const UNPROVEN: u8 = 5;
/// Something is missing, or cannot be read or written.
pub const SETUP_FAILED: u8 = 6;
/// The sandbox could not make a start in several attempts; this is no failure of a program.
pub const HARNESS_FAILED: u8 = 7;
/// A cell did not start, or not often enough.
pub const DID_NOT_START: u8 = 8;
/// A candidate has grown by more than its budget.
pub const REGRESSED: u8 = 10;
/// The run cannot tell: it has too few starts, or they vary too much.
pub const INCONCLUSIVE: u8 = 11;
/// The control differs or is missing, so no result of the run is valid.
pub const INVALID_RUN: u8 = 12;
/// The status with which shells report a process that SIGINT has ended.
pub const INTERRUPTED: u8 = 130;

/// Whether output was lost because standard output could not be written.
static LOST: AtomicBool = AtomicBool::new(false);

/// Prints an error with its sources and returns its exit status.
pub fn exit_with_error(error: &dyn Error, status: u8) -> ExitCode {
    eprintln!("error: {}", chain(error));
    status.into()
}

/// An error and its sources, one a line.
pub fn chain(error: &dyn Error) -> String {
    joined(error, "\n  because ")
}

/// An error and its sources on one line.
pub fn chain_in_line(error: &dyn Error) -> String {
    joined(error, ": ")
}

fn joined(error: &dyn Error, separator: &str) -> String {
    let sources = std::iter::successors(error.source(), |&error| error.source());
    sources.fold(error.to_string(), |text, source| format!("{text}{separator}{source}"))
}

/// Writes to standard output. A closed pipe, such as that of `head`, is not an error. Any other failure, such as a full disk, makes the process end with
/// [`SETUP_FAILED`].
pub fn print(text: &str) {
    let mut out = std::io::stdout();
    remember_loss(out.write_all(text.as_bytes()).and_then(|()| out.flush()));
}

/// Records the result of writing to standard output; a failure makes the process end as with [`print`].
pub fn remember_loss(written: std::io::Result<()>) {
    if let Err(error) = written
        && error.kind() != std::io::ErrorKind::BrokenPipe
        && !LOST.swap(true, Ordering::Relaxed)
    {
        eprintln!("error: standard output cannot be written\n  because {error}");
    }
}

/// Writes one JSON document to standard output.
pub fn print_json(document: &impl Serialize) -> ExitCode {
    match serde_json::to_string_pretty(document) {
        Ok(text) => {
            print(&(text + "\n"));
            ExitCode::SUCCESS
        }
        Err(error) => exit_with_error(&error, SETUP_FAILED),
    }
}

/// Whether output was lost because standard output could not be written.
pub fn has_lost_output() -> bool {
    LOST.load(Ordering::Relaxed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("plan.json cannot be written")]
    struct WriteError(#[source] std::io::Error);

    #[test]
    fn an_error_is_printed_with_its_sources() {
        let error = WriteError(std::io::Error::other("the disk is full"));
        assert_eq!(chain(&error), "plan.json cannot be written\n  because the disk is full");
        assert_eq!(chain_in_line(&error), "plan.json cannot be written: the disk is full");
    }
}
