//! Arguments of commands, as the command line gives them.
#![allow(clippy::unwrap_used, reason = "a test that can't go on has failed")]

use std::ffi::OsString;

use clap::{Args, Command, Error};

/// Parses the words after a command's name.
pub fn try_parse<A: Args>(words: impl IntoIterator<Item: Into<OsString> + Clone>) -> Result<A, Error> {
    let command = A::augment_args(Command::new("test").no_binary_name(true));
    command.try_get_matches_from(words).and_then(|matches| A::from_arg_matches(&matches))
}

/// The same for words that are right.
pub fn parse<A: Args>(words: impl IntoIterator<Item: Into<OsString> + Clone>) -> A {
    try_parse(words).unwrap()
}
