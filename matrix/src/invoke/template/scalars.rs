//! Plain scalars of templates as a deployment reads them: `0755` is octal in YAML 1.1, and decimal in YAML 1.2.
//!
//! Sources: for YAML 1.1, the types `bool`, `int`, `float` and `null` as `PyYAML` knows them, with which AWS SAM and AWS's command line read templates; for YAML
//! 1.2, the default schema of js-yaml 4, with which the Serverless Framework reads `serverless.yml`. The tests have what version 6.0.3 of the one and version 4.3.2
//! of the other make of each text.

use serde_json::Value;
use time::{Date, Month};

/// Which plain scalars are no text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Schema {
    /// That of `template.yaml`.
    Yaml11,
    /// That of `serverless.yml`.
    Yaml12,
}

const NULL: [&str; 5] = ["", "~", "null", "Null", "NULL"];
const TRUE: [&str; 9] = ["true", "True", "TRUE", "yes", "Yes", "YES", "on", "On", "ON"];
const FALSE: [&str; 9] = ["false", "False", "FALSE", "no", "No", "NO", "off", "Off", "OFF"];
/// How many of these words YAML 1.2 has.
const OF_YAML_1_2: usize = 3;

/// The value of a plain scalar. Numbers are text in the notation in which they are deployed, so that none of their digits gets lost.
pub fn resolved(text: &str, schema: Schema) -> Value {
    let words = match schema {
        Schema::Yaml11 => TRUE.len(),
        Schema::Yaml12 => OF_YAML_1_2,
    };
    let is_in = |list: &[&str]| list.iter().take(words).any(|word| *word == text);
    if NULL.contains(&text) {
        Value::Null
    } else if is_in(&TRUE) {
        Value::Bool(true)
    } else if is_in(&FALSE) {
        Value::Bool(false)
    } else {
        let number = match schema {
            Schema::Yaml11 => integer(text).or_else(|| float(text).map(in_python)),
            Schema::Yaml12 => number(text).map(in_javascript).or_else(|| date(text)),
        };
        Value::String(number.unwrap_or_else(|| text.to_owned()))
    }
}

/// An integer of YAML 1.1, in decimal.
fn integer(text: &str) -> Option<String> {
    let (sign, digits) = signed(text);
    let magnitude = if let Some(binary) = digits.strip_prefix("0b") {
        decimal(&binary.replace('_', ""), 2)?
    } else if let Some(hexadecimal) = digits.strip_prefix("0x") {
        decimal(&hexadecimal.replace('_', ""), 16)?
    } else if let Some(octal) = digits.strip_prefix('0').filter(|rest| !rest.is_empty()) {
        decimal(&octal.replace('_', ""), 8)?
    } else if let Some((first, rest)) = digits.split_once(':') {
        sixties(first, rest).filter(|_| !first.starts_with('0'))?.to_string()
    } else {
        // However long it is.
        without_separators(digits)?
    };
    Some(with_sign(sign == Some('-'), magnitude))
}

/// A number in any base, in decimal.
fn decimal(digits: &str, base: u32) -> Option<String> {
    let is_number = digits.chars().all(|digit| digit.is_digit(base));
    u128::from_str_radix(digits, base).ok().filter(|_| is_number).map(|number| number.to_string())
}

/// A number in base 60, such as a time of day.
fn sixties(first: &str, rest: &str) -> Option<u64> {
    let first = without_separators(first)?.parse().ok();
    rest.split(':').fold(first, |sum: Option<u64>, part| {
        let is_part = matches!(part.as_bytes(), [b'0'..=b'9'] | [b'0'..=b'5', b'0'..=b'9']);
        let part = part.parse().ok().filter(|_| is_part)?;
        sum?.checked_mul(60)?.checked_add(part)
    })
}

/// A floating-point number of YAML 1.1: it has a point, and its exponent has a sign.
fn float(text: &str) -> Option<f64> {
    let (mantissa, exponent) = text.split_at(text.find(['e', 'E']).unwrap_or(text.len()));
    let (whole, fraction) = mantissa.split_once('.')?;
    let power = exponent.get(1..).map(|power| power.strip_prefix(['+', '-']).unwrap_or_default());
    let is_fraction = fraction.chars().all(|digit| digit.is_ascii_digit() || digit == '_');
    if !is_fraction || !power.is_none_or(is_digits) {
        return None;
    }
    let (sign, digits) = signed(whole);
    let whole = if let Some((first, rest)) = digits.split_once(':') {
        sixties(first, rest).filter(|_| exponent.is_empty())?.to_string()
    } else if whole.is_empty() {
        without_separators(fraction).map(|_| String::new())?
    } else {
        without_separators(digits)?
    };
    let sign = if sign == Some('-') { "-" } else { "" };
    finite(&format!("{sign}{whole}.{}{exponent}", fraction.replace('_', "")))
}

/// A number of YAML 1.2, of which JavaScript has one kind.
fn number(text: &str) -> Option<f64> {
    let (sign, digits) = signed(text);
    for (prefix, base) in [("0b", 2), ("0o", 8), ("0x", 16)] {
        if let Some(digits) = digits.strip_prefix(prefix) {
            return finite(&with_sign(sign == Some('-'), decimal(digits, base)?));
        }
    }
    let (mantissa, exponent) = digits.split_at(digits.find(['e', 'E']).unwrap_or(digits.len()));
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, "0"));
    let power = exponent.get(1..).map(|power| power.strip_prefix(['+', '-']).unwrap_or(power));
    let is_number = if whole.is_empty() {
        sign.is_none() && is_digits(fraction)
    } else {
        is_digits(whole) && (fraction.is_empty() || is_digits(fraction))
    };
    finite(text).filter(|_| is_number && power.is_none_or(is_digits))
}

/// A day of YAML 1.2, which becomes a point in time.
fn date(text: &str) -> Option<String> {
    let (year, rest) = text.split_once('-').filter(|(year, _)| year.len() == 4 && is_digits(year))?;
    let (month, day) = rest.split_once('-').filter(|(month, day)| month.len() == 2 && day.len() == 2)?;
    let month = Month::try_from(month.parse::<u8>().ok()?).ok()?;
    Date::from_calendar_date(year.parse().ok()?, month, day.parse().ok()?).ok()?;
    Some(format!("{text}T00:00:00.000Z"))
}

/// A number as Python shows it.
fn in_python(number: f64) -> String {
    let (digits, exponent) = scientific(number);
    if (-4..16).contains(&exponent) {
        let text = number.to_string();
        if text.contains('.') { text } else { format!("{text}.0") }
    } else {
        let sign = if exponent < 0 { '-' } else { '+' };
        format!("{digits}e{sign}{:02}", exponent.unsigned_abs())
    }
}

/// A number as JavaScript shows it.
fn in_javascript(number: f64) -> String {
    let (digits, exponent) = scientific(number);
    if number == 0.0 {
        "0".to_owned()
    } else if (-6..21).contains(&exponent) {
        // All digits that are needed to tell it from its neighbours, and then zeros.
        number.to_string()
    } else {
        format!("{digits}e{exponent:+}")
    }
}

/// The shortest digits of a number, with a point after the first one, and the power of ten.
fn scientific(number: f64) -> (String, i32) {
    let text = format!("{number:e}");
    let (digits, exponent) = text.split_once('e').unwrap_or((&text, "0"));
    (digits.to_owned(), exponent.parse().unwrap_or_default())
}

fn finite(text: &str) -> Option<f64> {
    text.parse().ok().filter(|number: &f64| number.is_finite())
}

fn signed(text: &str) -> (Option<char>, &str) {
    let sign = text.chars().next().filter(|sign| ['+', '-'].contains(sign));
    (sign, text.strip_prefix(['+', '-']).unwrap_or(text))
}

/// Zero has no sign.
fn with_sign(is_negative: bool, magnitude: String) -> String {
    if is_negative && magnitude != "0" { format!("-{magnitude}") } else { magnitude }
}

fn is_digits(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())
}

/// Digits, of which the first one is no `_`.
fn without_separators(text: &str) -> Option<String> {
    let digits = text.replace('_', "");
    (is_digits(&digits) && !text.starts_with('_')).then_some(digits)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// The text, and what `str` of Python and `String` of JavaScript make of the value.
    const NUMBERS: [(&str, &str, &str); 51] = [
        ("10", "10", "10"),
        ("-3", "-3", "-3"),
        ("+7", "7", "7"),
        ("1.10", "1.1", "1.1"),
        ("1.0", "1.0", "1"),
        ("0", "0", "0"),
        ("-0", "0", "0"),
        ("00", "0", "0"),
        ("0755", "493", "755"),
        ("-010", "-8", "-10"),
        ("+010", "8", "10"),
        ("0o17", "0o17", "15"),
        ("012345678901", "012345678901", "12345678901"),
        ("123456789012", "123456789012", "123456789012"),
        ("12345678901234567890123", "12345678901234567890123", "1.2345678901234568e+22"),
        ("9007199254740993", "9007199254740993", "9007199254740992"),
        ("0x1F", "31", "31"),
        ("0xZZ", "0xZZ", "0xZZ"),
        ("0x+1", "0x+1", "0x+1"),
        ("0b101", "5", "5"),
        ("0b", "0b", "0b"),
        ("0x1_F", "31", "0x1_F"),
        ("1_000", "1000", "1_000"),
        ("1_", "1", "1_"),
        ("_1", "_1", "_1"),
        ("1:30", "90", "1:30"),
        ("1:30:05", "5405", "1:30:05"),
        ("1:75", "1:75", "1:75"),
        ("0:30", "0:30", "0:30"),
        ("1:30.5", "90.5", "1:30.5"),
        ("1e3", "1e3", "1000"),
        ("1.5e3", "1.5e3", "1500"),
        ("1.5e+3", "1500.0", "1500"),
        ("1.0e+16", "1e+16", "10000000000000000"),
        ("1e21", "1e21", "1e+21"),
        ("0.00001", "1e-05", "0.00001"),
        ("1.5e-7", "1.5e-07", "1.5e-7"),
        (".5", "0.5", "0.5"),
        ("-.5", "-.5", "-.5"),
        ("5.", "5.0", "5"),
        ("._5", "._5", "._5"),
        (".", ".", "."),
        ("+", "+", "+"),
        ("1.2.3", "1.2.3", "1.2.3"),
        ("10.0.0.0/8", "10.0.0.0/8", "10.0.0.0/8"),
        ("123456.789012345678", "123456.78901234567", "123456.78901234567"),
        ("1234567890123456789.5", "1.2345678901234568e+18", "1234567890123456800"),
        ("1e400", "1e400", "1e400"),
        ("2010-09-09", "2010-09-09", "2010-09-09T00:00:00.000Z"),
        ("2010-13-09", "2010-13-09", "2010-13-09"),
        ("e5", "e5", "e5"),
    ];

    #[test]
    fn numbers_are_those_of_the_deployment() {
        for (text, in_stack, in_service) in NUMBERS {
            assert_eq!(resolved(text, Schema::Yaml11), json!(in_stack), "{text} in YAML 1.1");
            assert_eq!(resolved(text, Schema::Yaml12), json!(in_service), "{text} in YAML 1.2");
        }
    }

    #[test]
    fn words_are_flags_in_yaml_1_1_that_are_text_in_yaml_1_2() {
        for (text, in_stack, in_service) in [
            ("true", json!(true), json!(true)),
            ("False", json!(false), json!(false)),
            ("yes", json!(true), json!("yes")),
            ("Off", json!(false), json!("Off")),
            ("tRUE", json!("tRUE"), json!("tRUE")),
            ("n", json!("n"), json!("n")),
            ("~", json!(null), json!(null)),
            ("", json!(null), json!(null)),
            ("nULL", json!("nULL"), json!("nULL")),
        ] {
            assert_eq!(
                (resolved(text, Schema::Yaml11), resolved(text, Schema::Yaml12)),
                (in_stack, in_service),
                "{text}"
            );
        }
    }
}
