//! Detects out-of-memory errors of runtimes: by the error type or, if the runtime is killed before it reports one, by its last line.
//!
//! A line is plain text, and functions write text, too. The phrases therefore count only where a runtime puts them: at the head of a line, or behind
//! punctuation that introduces them (`FATAL ERROR: … - `, `Caused by: `, `Exception in thread "main" `). A sentence that mentions them has a word or
//! a tab (Lambda's own prefix of what a function logs) before them. A JSON line counts by its error type alone, because only the runtime writes one.
//! A function that prints exactly the line of a crashed runtime cannot be distinguished.

use crate::platform::json::Object;

/// Out-of-memory messages of the runtimes.
const LAST_WORDS: &[&str] = &[
    "fatal error: runtime: out of memory",       // Go
    "java.lang.OutOfMemoryError",                // Java
    "JavaScript heap out of memory",             // Node.js
    "Runtime exited with error: signal: killed", // the kernel's OOM killer
    "failed to allocate memory (NoMemoryError)", // Ruby
    "OutOfMemoryException",                      // .NET
];

/// Python's exception names are ordinary words, so they count only where the runtime client puts them: at the head of the message.
const PYTHON: &[&str] = &["MemoryError", "[ERROR] MemoryError"];

/// Characters that may precede a message; spaces between are ignored.
const ANNOUNCING: &[char] = &[':', '-', ']', '"', '.'];

/// The JVM's prefix under `-XX:+ExitOnOutOfMemoryError`, the only one without punctuation.
const TERMINATING: &str = "Terminating due to";

/// Error types, without what precedes the last `.`: `Runtime.` or `Function.` from Lambda, a package name from the language.
const ERROR_TYPES: &[&str] =
    &["OutOfMemory", "OutOfMemoryError", "OutOfMemoryException", "MemoryError", "NoMemoryError"];

/// Whether this error type means out of memory.
pub fn is_named_by(error_type: &str) -> bool {
    let name = error_type.rsplit('.').next().unwrap_or(error_type);
    ERROR_TYPES.contains(&name)
}

/// Whether this line shows that the runtime ran out of memory.
pub fn is_reported_by(message: &str) -> bool {
    // Every message contains one of these substrings. The cheap search spares most lines the others.
    if !message.contains("emory") && !message.contains("signal: killed") {
        return false;
    }
    if message.starts_with('{') {
        return is_in_json(message);
    }
    PYTHON.iter().any(|words| is_head(message, words)) || message.lines().any(is_last)
}

/// Whether `message` starts with `words` as a whole name, not as the prefix of a longer name.
fn is_head(message: &str, words: &str) -> bool {
    message
        .strip_prefix(words)
        .is_some_and(|rest| !rest.starts_with(|next: char| next.is_alphanumeric() || next == '_'))
}

fn is_last(line: &str) -> bool {
    LAST_WORDS.iter().any(|words| {
        line.match_indices(words).any(|(at, _)| {
            let before = line.get(..at).unwrap_or_default().trim_end_matches(' ');
            before.is_empty() || before.ends_with(ANNOUNCING) || before.ends_with(TERMINATING)
        })
    })
}

/// Reads the error type of the runtimes' JSON log format, which is at the top level or under `message`.
fn is_in_json(message: &str) -> bool {
    let Some(line) = Object::parse(message) else { return false };
    let error_type = line.text("errorType").or_else(|| line.object("message").text("errorType"));
    error_type.is_some_and(|error_type| is_named_by(&error_type))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_runtimes_last_words_are_understood() {
        for line in [
            "fatal error: runtime: out of memory",
            "runtime: out of memory: cannot allocate 8388608-byte block\nfatal error: runtime: out of memory\n\nruntime stack:",
            "java.lang.OutOfMemoryError: Java heap space\n\tat Handler.handle(Handler.java:9)",
            "Java heap space: java.lang.OutOfMemoryError",
            "Exception in thread \"main\" java.lang.OutOfMemoryError: Metaspace",
            "Terminating due to java.lang.OutOfMemoryError: Java heap space",
            "java.lang.RuntimeException: outer\nCaused by: java.lang.OutOfMemoryError: Java heap space",
            "FATAL ERROR: Reached heap limit Allocation failed - JavaScript heap out of memory",
            "RequestId: 1-2-3 Error: Runtime exited with error: signal: killed",
            "/var/task/function.rb:3:in `*': failed to allocate memory (NoMemoryError)",
            "Unhandled exception. System.OutOfMemoryException: Exception of type 'System.OutOfMemoryException' was thrown.",
            "[ERROR] MemoryError\nTraceback (most recent call last):",
            "MemoryError",
            "MemoryError: ",
            r#"{"level":"ERROR","errorType":"MemoryError","errorMessage":"","stackTrace":[]}"#,
            r#"{"level":"ERROR","message":{"errorType":"java.lang.OutOfMemoryError","errorMessage":"Java heap space"}}"#,
            r#"{"level":"ERROR","errorType":7,"message":{"errorType":"java.lang.OutOfMemoryError"}}"#,
        ] {
            assert!(is_reported_by(line), "{line}");
        }
    }

    #[test]
    fn talk_about_memory_is_no_death() {
        for line in [
            "",
            "plenty of memory left",
            "caught a MemoryError, retrying",
            "MemoryErrorHandler is ready",
            "outofmemory",
            "killed: 3 rows",
            "we caught java.lang.OutOfMemoryError and went on",
            "throws OutOfMemoryException when the batch is too large",
            "the process died of JavaScript heap out of memory last week",
            "2026-11-23T09:45:46.221Z\t1-2-3\tINFO\tJavaScript heap out of memory is what we look for",
            "[INFO]\t2026-11-23T09:45:46.221Z\t1-2-3\tMemoryError",
            r#"{"level":"INFO","message":"java.lang.OutOfMemoryError: handled"}"#,
            r#"{"level":"INFO","message":{"text":"MemoryError"}}"#,
            r#"{"level":"INFO","errorType":"MemoryErrorBudget"}"#,
            r#"{"broken: java.lang.OutOfMemoryError"#,
        ] {
            assert!(!is_reported_by(line), "{line}");
        }
    }

    #[test]
    fn error_types_are_compared_by_their_own_names() {
        for name in ["Runtime.OutOfMemory", "MemoryError", "Function.NoMemoryError", "java.lang.OutOfMemoryError"] {
            assert!(is_named_by(name), "{name}");
        }
        for name in ["", "Runtime.ExitError", "OutOfMemory.Handled", "InMemoryError"] {
            assert!(!is_named_by(name), "{name}");
        }
    }
}
