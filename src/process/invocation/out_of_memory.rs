//! Runtimes that die of memory say so in their last line; each in its own words.

/// What the runtimes print, by language.
const LAST_WORDS: &[&str] = &[
    "fatal error: runtime: out of memory",       // Go
    "java.lang.OutOfMemoryError",                // Java
    "JavaScript heap out of memory",             // Node.js
    "Runtime exited with error: signal: killed", // the kernel killed it
    "failed to allocate memory (NoMemoryError)", // Ruby
    "OutOfMemoryException",                      // .NET
];

/// Python names its exceptions in plain words, so the name counts only where the runtime client puts it: at the head of the message.
const PYTHON: &[&str] = &["MemoryError", "[ERROR] MemoryError"];

/// Whether this line tells that the runtime ran out of memory.
pub fn is_told_by(message: &str) -> bool {
    // Every one of them holds one of these two; two cheap searches spare the common line all others.
    if !message.contains("emory") && !message.contains("signal: killed") {
        return false;
    }
    LAST_WORDS.iter().any(|words| message.contains(words)) || PYTHON.iter().any(|words| message.starts_with(words))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_runtimes_last_words_are_understood() {
        for words in LAST_WORDS {
            assert!(is_told_by(&format!("prefix {words}: suffix")), "{words}");
        }
        assert!(is_told_by("[ERROR] MemoryError\nTraceback (most recent call last):"));
        assert!(is_told_by("MemoryError"));
    }

    #[test]
    fn talk_about_memory_is_no_death() {
        for line in ["plenty of memory left", "caught a MemoryError, retrying", "outofmemory", "", "killed: 3 rows"] {
            assert!(!is_told_by(line), "{line}");
        }
    }
}
