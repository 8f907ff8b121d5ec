//! Numbers of templates as a deployment reads them. Its YAML is version 1.1, in which `0755` is octal and `012345678901`, an account, is text; in version 1.2 both are
//! decimal, and a reader that makes floating-point numbers of them loses their digits.
//!
//! Source: the types `int` and `float` of YAML 1.1, as the readers of AWS SAM and `CloudFormation` know them: without a point, an exponent makes no number.

use regex::Regex;

/// The text with such numbers as what they stand for: octal ones in decimal, all others that are no plain number as quoted text.
pub fn as_deployed(text: &str) -> String {
    let Ok(values) = Regex::new(
        r"(?m)(?:(?:[:\[,]|^[ \t]*-)[ \t]+|\[)(?P<value>[-+]?[0-9][0-9_.eE+\-]*)(?:[ \t]*(?:$|\r|[,}\]])|[ \t]+#)",
    ) else {
        return text.to_owned();
    };
    let (mut written, mut at) = (String::with_capacity(text.len()), 0);
    // The next one begins with what this one ends with.
    while let Some(value) = values.captures_at(text, at).and_then(|found| found.name("value")) {
        written.push_str(text.get(at..value.start()).unwrap_or_default());
        written.push_str(&deployed(value.as_str()));
        at = value.end();
    }
    written + text.get(at..).unwrap_or_default()
}

fn deployed(value: &str) -> String {
    if is_plain(value) {
        return value.to_owned();
    }
    let (sign, digits) = value.strip_prefix('-').map_or(("", value), |digits| ("-", digits));
    let octal = digits.strip_prefix('0').and_then(|digits| u64::from_str_radix(digits, 8).ok());
    octal.map_or_else(|| format!("\"{value}\""), |number| format!("{sign}{number}"))
}

/// Whether every reader has the same number, all of whose digits a floating-point number of 64 bits keeps.
fn is_plain(value: &str) -> bool {
    const DIGITS: usize = 15;
    let digits = value.strip_prefix('-').unwrap_or(value);
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, "0"));
    let are_digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    are_digits(whole)
        && are_digits(fraction)
        && (whole == "0" || !whole.starts_with('0'))
        && whole.len() + fraction.len() <= DIGITS
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_those_of_the_deployment() {
        for (value, expected) in [
            ("10", "10"),
            ("-3", "-3"),
            ("1.10", "1.10"),
            ("0", "0"),
            ("0755", "493"),
            ("010", "8"),
            ("-010", "-8"),
            ("012345678901", "\"012345678901\""),
            ("123456789012", "123456789012"),
            ("12345678901234567890123", "\"12345678901234567890123\""),
            ("1e3", "\"1e3\""),
            ("2010-09-09", "\"2010-09-09\""),
            ("1.2.3", "\"1.2.3\""),
        ] {
            for (before, after) in [("A: ", ""), ("- ", " # note"), ("A: {B: ", "}"), ("A: [1, ", ", x]")] {
                assert_eq!(
                    as_deployed(&format!("{before}{value}{after}\nC: d\n")),
                    format!("{before}{expected}{after}\nC: d\n")
                );
            }
        }
    }

    #[test]
    fn what_is_part_of_a_text_stays() {
        for text in ["A: 007 agents\n", "A: '0755'\n", "A: x-0755\n", "A: 10.0.0.0/8\n", "0755: x\n", "A: v0.10\n"] {
            assert_eq!(as_deployed(text), text);
        }
    }
}
