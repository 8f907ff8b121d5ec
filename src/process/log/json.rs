//! JSON string escaping. Every byte of every log passes through here, so it processes eight bytes at a time.

const EACH: u64 = 0x0101_0101_0101_0101;
const HIGH: u64 = EACH << 7;
const HEX: &[u8; 16] = b"0123456789abcdef";

/// Appends the text as a JSON string.
pub fn quote(out: &mut Vec<u8>, text: &str) {
    out.push(b'"');
    escape(out, text);
    out.push(b'"');
}

/// Appends the text as the content of a JSON string, without the quotes.
///
/// Source: RFC 8259, section 7: the quote, the backslash and characters below U+0020 have to be escaped, and nothing else.
pub fn escape(out: &mut Vec<u8>, text: &str) {
    let mut rest = text.as_bytes();
    while let Some((plain, [special, after @ ..])) = special(rest).and_then(|at| rest.split_at_checked(at)) {
        out.extend_from_slice(plain);
        match special {
            b'"' => out.extend_from_slice(b"\\\""),
            b'\\' => out.extend_from_slice(b"\\\\"),
            b'\n' => out.extend_from_slice(b"\\n"),
            b'\r' => out.extend_from_slice(b"\\r"),
            b'\t' => out.extend_from_slice(b"\\t"),
            0x08 => out.extend_from_slice(b"\\b"),
            0x0c => out.extend_from_slice(b"\\f"),
            other => {
                let digit = |nibble: u8| HEX.get(usize::from(nibble)).copied().unwrap_or(b'0');
                out.extend_from_slice(b"\\u00");
                out.extend([digit(other >> 4), digit(other & 15)]);
            }
        }
        rest = after;
    }
    out.extend_from_slice(rest);
}

/// Index of the first byte that has to be escaped.
fn special(bytes: &[u8]) -> Option<usize> {
    let (words, rest) = bytes.as_chunks::<8>();
    for (number, word) in words.iter().enumerate() {
        let word = u64::from_le_bytes(*word);
        // The highest bit of each byte that is below `limit`. A borrow can only add false matches after the first match.
        let below = |word: u64, limit: u64| word.wrapping_sub(EACH * limit) & !word & HIGH;
        let equal = |byte: u8| below(word ^ (EACH * u64::from(byte)), 1);
        let found = below(word, 0x20) | equal(b'"') | equal(b'\\');
        if found != 0 {
            return Some(number * 8 + found.trailing_zeros() as usize / 8);
        }
    }
    let at = rest.iter().position(|byte| *byte < 0x20 || matches!(byte, b'"' | b'\\'))?;
    Some(words.len() * 8 + at)
}

#[cfg(test)]
mod tests {
    use rand::{RngExt as _, SeedableRng as _, rngs::StdRng};

    use super::*;

    fn quoted(text: &str) -> String {
        let mut out = Vec::new();
        quote(&mut out, text);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn every_character_is_written_as_the_library_writes_it() {
        for character in (0..=0x10_ffff).filter_map(char::from_u32) {
            let text = character.to_string();
            assert_eq!(quoted(&text), serde_json::to_string(&text).unwrap());
        }
    }

    #[test]
    fn it_does_not_matter_where_in_a_text_a_character_stands() {
        let mut random = StdRng::seed_from_u64(8259);
        let characters: Vec<char> = "\0\u{1f}\u{7f} !\"#[\\]\n\u{80}é€𝄞aaaaaaaaaaaaaaaa".chars().collect();
        for _ in 0..20_000 {
            let length = random.random_range(0..40);
            let text: String = (0..length).map(|_| characters[random.random_range(0..characters.len())]).collect();
            assert_eq!(quoted(&text), serde_json::to_string(&text).unwrap());
        }
    }
}
