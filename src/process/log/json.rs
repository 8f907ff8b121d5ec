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

/// Appends a whole number. The library's formatting takes several times as long.
pub fn integer(out: &mut Vec<u8>, number: i64) {
    let mut digits = [0; 20];
    let mut rest = number.unsigned_abs();
    let mut length = 0;
    for digit in digits.iter_mut().rev() {
        *digit = b'0' + u8::try_from(rest % 10).unwrap_or_default();
        rest /= 10;
        length += 1;
        if rest == 0 {
            break;
        }
    }
    if number < 0 {
        out.push(b'-');
    }
    out.extend_from_slice(digits.get(digits.len() - length..).unwrap_or_default());
}

/// How many bytes are put together before they are appended, and how many more a step may write at their end.
const PIECE: usize = 256;
const STEP: usize = 8;

/// Appends the text as the content of a JSON string, without the quotes.
///
/// Source: RFC 8259, section 7: the quote, the backslash and characters below U+0020 have to be escaped, and nothing else.
pub fn escape(out: &mut Vec<u8>, text: &str) {
    if text.starts_with('{') { escape_dense(out, text) } else { escape_sparse(out, text) }
}

/// For texts with few bytes to be escaped: what is between them is appended at once.
fn escape_sparse(out: &mut Vec<u8>, text: &str) {
    let mut rest = text.as_bytes();
    while let Some((plain, [special, after @ ..])) = special(rest).and_then(|at| rest.split_at_checked(at)) {
        out.extend_from_slice(plain);
        escape_byte(out, *special);
        rest = after;
    }
    out.extend_from_slice(rest);
}

/// For JSON objects, which have a quote every few bytes: to append what is between them one by one takes longer than to copy eight bytes, whatever is in them.
fn escape_dense(out: &mut Vec<u8>, text: &str) {
    let mut rest = text.as_bytes();
    let mut piece = [0; PIECE + STEP];
    let mut filled = 0;
    while let Some(word) = rest.first_chunk::<STEP>() {
        if filled > PIECE {
            out.extend_from_slice(piece.get(..filled).unwrap_or_default());
            filled = 0;
        }
        if let Some(place) = piece.get_mut(filled..).and_then(<[u8]>::first_chunk_mut) {
            *place = *word;
        }
        let plain = plain_bytes(u64::from_le_bytes(*word));
        filled += plain;
        rest = rest.get(plain..).unwrap_or_default();
        if plain < STEP
            && let Some((special, after)) = rest.split_first()
        {
            rest = after;
            if let (Some(letter), Some([first, second, ..])) = (letter_of(*special), piece.get_mut(filled..)) {
                [*first, *second] = [b'\\', letter];
                filled += 2;
            } else {
                out.extend_from_slice(piece.get(..filled).unwrap_or_default());
                filled = 0;
                escape_byte(out, *special);
            }
        }
    }
    out.extend_from_slice(piece.get(..filled).unwrap_or_default());
    for byte in rest {
        if is_special(*byte) {
            escape_byte(out, *byte);
        } else {
            out.push(*byte);
        }
    }
}

/// Index of the first byte that has to be escaped.
fn special(bytes: &[u8]) -> Option<usize> {
    let (words, rest) = bytes.as_chunks::<STEP>();
    for (number, word) in words.iter().enumerate() {
        let plain = plain_bytes(u64::from_le_bytes(*word));
        if plain < STEP {
            return Some(number * STEP + plain);
        }
    }
    let at = rest.iter().position(|byte| is_special(*byte))?;
    Some(words.len() * STEP + at)
}

/// How many of the eight bytes stand before the first that has to be escaped.
#[expect(clippy::inline_always, reason = "it is the loop's own test")]
#[inline(always)]
fn plain_bytes(word: u64) -> usize {
    // The highest bit of each byte that is below `limit`. A borrow can only add false matches after the first match.
    let below = |word: u64, limit: u64| word.wrapping_sub(EACH * limit) & !word & HIGH;
    let equal = |byte: u8| below(word ^ (EACH * u64::from(byte)), 1);
    let found = below(word, 0x20) | equal(b'"') | equal(b'\\');
    found.trailing_zeros() as usize / 8
}

fn is_special(byte: u8) -> bool {
    byte < 0x20 || matches!(byte, b'"' | b'\\')
}

/// The letter that stands for a byte behind a backslash, if there is one.
#[inline]
fn letter_of(byte: u8) -> Option<u8> {
    Some(match byte {
        b'"' | b'\\' => byte,
        b'\n' => b'n',
        b'\r' => b'r',
        b'\t' => b't',
        0x08 => b'b',
        0x0c => b'f',
        _ => return None,
    })
}

#[inline(never)]
fn escape_byte(out: &mut Vec<u8>, byte: u8) {
    if let Some(letter) = letter_of(byte) {
        out.extend_from_slice(&[b'\\', letter]);
    } else {
        let digit = |nibble: u8| HEX.get(usize::from(nibble)).copied().unwrap_or(b'0');
        out.extend_from_slice(&[b'\\', b'u', b'0', b'0', digit(byte >> 4), digit(byte & 15)]);
    }
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
            // A text that may be an object is written in another way, in pieces that this is longer than.
            let object = format!("{{{}", text.repeat(random.random_range(0..30)));
            assert_eq!(quoted(&object), serde_json::to_string(&object).unwrap());
        }
    }

    #[test]
    fn numbers_are_written_as_the_library_writes_them() {
        for number in [0, 1, 9, 10, -1, -10, 1_767_323_045_678, i64::MAX, i64::MIN] {
            let mut out = Vec::new();
            integer(&mut out, number);
            assert_eq!(out, number.to_string().into_bytes());
        }
    }
}
