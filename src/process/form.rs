//! The encoding of forms and queries, which S3 has for the keys of its events, too.

/// Undoes the encoding of forms and queries: `+` is a blank, `%` begins two hexadecimal digits; where it does not, it stays.
pub fn percent_decode(text: &[u8]) -> Vec<u8> {
    let mut decoded = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some((byte, behind)) = rest.split_first() {
        let digits = behind.split_first_chunk::<2>().filter(|_| *byte == b'%');
        let hexadecimal = digits.and_then(|([high, low], behind)| {
            let digit = |byte: u8| char::from(byte).to_digit(16);
            let value = u8::try_from(digit(*high)? << 4 | digit(*low)?).ok()?;
            Some((value, behind))
        });
        let (byte, behind) = hexadecimal.unwrap_or((if *byte == b'+' { b' ' } else { *byte }, behind));
        decoded.push(byte);
        rest = behind;
    }
    decoded
}
