//! Decimal numbers without `core`'s formatting, which would be a fifth of the launcher.

use crate::{Sink, ascii};

/// Writes a number.
pub fn write(mut number: u64, out: Sink<'_>) {
    /// Of `u64::MAX`.
    const DIGITS: usize = 20;
    let mut digits = [b'0'; DIGITS];
    let mut start = DIGITS;
    for digit in digits.iter_mut().rev() {
        let value = (number % 10) as u8;
        *digit += value;
        start -= 1;
        number /= 10;
        if number == 0 {
            break;
        }
    }
    let digits = digits.get(start..).unwrap_or_default();
    out(ascii::prefix(digits));
}

/// Reads a number that has nothing but digits; None where it is too large.
#[must_use]
pub fn parse(text: &[u8]) -> Option<usize> {
    let value = |digit: u8| digit.is_ascii_digit().then(|| usize::from(digit - b'0'));
    let add = |number: usize, digit: &u8| number.checked_mul(10)?.checked_add(value(*digit)?);
    (!text.is_empty()).then(|| text.iter().try_fold(0, add))?
}

#[cfg(test)]
mod tests {
    use std::string::{String, ToString as _};

    use super::*;

    #[test]
    fn numbers_are_written_as_core_writes_them_and_read_again() {
        for number in [0, 1, 9, 10, 99, 8999, u64::from(u32::MAX), u64::MAX] {
            let mut text = String::new();
            write(number, &mut |part| text.push_str(part));
            assert_eq!(text, number.to_string());
            assert_eq!(parse(text.as_bytes()).map(|number| number as u64), Some(number));
        }
    }

    #[test]
    fn what_is_not_only_digits_or_too_large_is_none() {
        for text in ["", "-1", "+1", "1 ", "x", "18446744073709551616", "99999999999999999999999"] {
            assert_eq!(parse(text.as_bytes()), None, "{text}");
        }
    }
}
