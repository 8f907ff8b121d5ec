//! Errors, as log lines and responses show them.

use std::error::Error;

use super::log::excerpt;

/// Maximum length in bytes. A certificate that does not match its host can have any number of names, and a response any text.
const MAX_BYTES: usize = 1024;

/// An error and its sources on one line, the outermost first, separated by `: `.
pub fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        text = format!("{text}: {error}");
        source = error.source();
    }
    excerpt(&text, MAX_BYTES)
}

#[cfg(test)]
mod tests {
    use std::io;

    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("{call} failed")]
    struct CallError {
        call: String,
        source: ConnectError,
    }

    #[derive(Debug, thiserror::Error)]
    #[error("connection refused")]
    struct ConnectError(#[source] io::Error);

    fn failed(call: &str) -> CallError {
        CallError { call: call.to_owned(), source: ConnectError(io::Error::other("no listener")) }
    }

    #[test]
    fn chain_has_every_source_once_on_one_line() {
        assert_eq!(chain(&failed("next")), "next failed: connection refused: no listener");
        assert_eq!(chain(&failed("a\nb")), "a\\nb failed: connection refused: no listener");
    }

    #[test]
    fn chain_is_bounded() {
        let text = chain(&failed(&"x".repeat(10 * MAX_BYTES)));
        assert!(text.len() < MAX_BYTES + 100 && text.ends_with(" bytes)"), "{text}");
    }
}
