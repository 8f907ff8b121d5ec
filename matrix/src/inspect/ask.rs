//! A program that is only at hand as bytes is asked what it is.

use serde_json::Value;

use crate::build::Testimony;
use crate::executable;

/// Its `--version=json`, or why it was not asked or did not answer.
pub(super) fn ask(program: &[u8]) -> Result<Value, String> {
    let place = tempfile::tempdir().map_err(|error| error.to_string())?;
    let file = place.path().join("program");
    executable::write(&file, program).map_err(|error| error.to_string())?;
    Testimony::document(&file)
}

/// Whether a program knows the question: it has it in it. One that does not would do what it is there for.
pub(super) fn knows_the_question(program: &[u8]) -> bool {
    const QUESTION: &[u8] = b"--version=json";
    program.windows(QUESTION.len()).any(|window| window == QUESTION)
}
