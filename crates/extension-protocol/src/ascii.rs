//! Bytes as text without `core`'s check for UTF-8, which would be a twentieth of the launcher.

/// The text in front of the first byte that is not ASCII.
#[must_use]
#[expect(unsafe_code, reason = "the safe function checks for all of UTF-8, with a table")]
pub fn prefix(bytes: &[u8]) -> &str {
    let end = bytes.iter().position(|byte| !byte.is_ascii()).unwrap_or(bytes.len());
    // SAFETY: every byte of it is ASCII, and so is a character by itself.
    unsafe { str::from_utf8_unchecked(bytes.get(..end).unwrap_or_default()) }
}

/// The text; None where a byte is not ASCII.
#[must_use]
pub fn text(bytes: &[u8]) -> Option<&str> {
    let prefix = prefix(bytes);
    (prefix.len() == bytes.len()).then_some(prefix)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_ends_before_the_first_byte_that_is_not_ascii() {
        for (bytes, expected) in
            [(&b""[..], ""), (b"a\0\x7f", "a\0\x7f"), (b"a\xc3\xbcb", "a"), (b"\xff", ""), ("aü".as_bytes(), "a")]
        {
            assert_eq!(prefix(bytes), expected);
            assert_eq!(text(bytes), (bytes.len() == expected.len()).then_some(expected));
        }
    }
}
