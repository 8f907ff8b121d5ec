//! Formats numbers for people. Every format that rounds does it here.

/// How the values of one measure are written: factor, decimals and unit.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Scale {
    pub factor: f64,
    pub unit: &'static str,
    pub decimals: usize,
}

const KIBI: f64 = 1024.0;

impl Scale {
    /// The scale for values up to `magnitude`, in which differences of a tenth of `spread` matter.
    pub fn of(unit: &'static str, magnitude: f64, spread: f64) -> Self {
        let magnitude = magnitude.abs();
        let bytes = match unit {
            "bytes" => magnitude,
            "KiB" => magnitude * KIBI,
            _ => return Self { factor: 1.0, unit, decimals: if unit == "ms" { decimals(spread) } else { 0 } },
        };
        let (shown, divisor, decimals) = if bytes >= KIBI * KIBI {
            ("MiB", KIBI * KIBI, 2)
        } else if bytes >= KIBI {
            ("KiB", KIBI, 1)
        } else {
            ("bytes", 1.0, 0)
        };
        let whole = if unit == "KiB" { KIBI } else { 1.0 };
        Self { factor: whole / divisor, unit: shown, decimals }
    }

    /// The scale for a table column of typical values of a measure.
    pub fn for_table(unit: &'static str) -> Self {
        match unit {
            "ms" => Self { factor: 1.0, unit, decimals: 2 },
            "bytes" => Self { factor: 1.0 / (KIBI * KIBI), unit: "MiB", decimals: 2 },
            "KiB" => Self { factor: 1.0 / KIBI, unit: "MiB", decimals: 1 },
            _ => Self { factor: 1.0, unit, decimals: 0 },
        }
    }

    /// The number without its unit.
    pub fn number(&self, value: f64) -> String {
        if value.is_finite() { grouped(value * self.factor, self.decimals) } else { NOTHING.to_owned() }
    }

    /// The number with its unit.
    pub fn quantity(&self, value: f64) -> String {
        format!("{} {}", self.number(value), self.unit)
    }
}

/// The text for a missing number.
pub const NOTHING: &str = "–";

/// A ratio such as 1.32.
pub fn ratio(value: f64) -> String {
    if value.is_finite() { grouped(value, if value.abs() >= 100.0 { 0 } else { 2 }) } else { NOTHING.to_owned() }
}

/// A count as `f64`; counts above `u32::MAX` are clamped.
pub fn float(count: usize) -> f64 {
    u32::try_from(count).map_or(f64::from(u32::MAX), f64::from)
}

/// `1 start`, `2 starts`.
pub fn counted(count: usize, thing: &str) -> String {
    let plural = if count == 1 { "" } else { "s" };
    format!("{} {thing}{plural}", grouped(float(count), 0))
}

/// The number of decimals that gives the spread one or two digits.
fn decimals(spread: f64) -> usize {
    match spread.abs() {
        spread if spread >= 10.0 => 0,
        spread if spread >= 1.0 => 1,
        spread if spread >= 0.02 => 2,
        _ => 3,
    }
}

/// Formats with commas between thousands and a true minus sign.
fn grouped(value: f64, decimals: usize) -> String {
    let text = format!("{:.decimals$}", value.abs());
    let (whole, fraction) = text.split_once('.').map_or((text.as_str(), None), |(whole, part)| (whole, Some(part)));
    let is_zero = text.chars().all(|digit| matches!(digit, '0' | '.'));
    let mut out = String::new();
    if value < 0.0 && !is_zero {
        out.push('−');
    }
    for (index, digit) in whole.chars().enumerate() {
        if index > 0 && (whole.len() - index).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    if let Some(fraction) = fraction {
        out.push('.');
        out.push_str(fraction);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thousands_are_grouped_and_zero_has_no_sign() {
        assert_eq!(grouped(1_234_567.891, 1), "1,234,567.9");
        assert_eq!(grouped(-123.0, 0), "−123");
        assert_eq!(grouped(-0.001, 2), "0.00");
    }

    #[test]
    fn a_spread_decides_how_many_digits_mean_something() {
        assert_eq!(Scale::of("ms", 3.1, 2.5).quantity(3.12), "3.1 ms");
        assert_eq!(Scale::of("ms", 104.0, 20.0).quantity(104.2), "104 ms");
        assert_eq!(Scale::of("ms", 0.3, 0.01).quantity(0.312), "0.312 ms");
    }

    #[test]
    fn memory_is_written_in_the_unit_that_fits() {
        assert_eq!(Scale::of("KiB", 20_480.0, 0.0).quantity(20_480.0), "20.00 MiB");
        assert_eq!(Scale::of("KiB", 12.0, 0.0).quantity(12.0), "12.0 KiB");
        assert_eq!(Scale::of("bytes", 500.0, 0.0).quantity(-500.0), "−500 bytes");
        assert_eq!(Scale::for_table("bytes").quantity(8_388_608.0), "8.00 MiB");
    }

    #[test]
    fn what_is_not_a_number_is_not_written_as_one() {
        assert_eq!(ratio(f64::INFINITY), NOTHING);
        assert_eq!(Scale::for_table("ms").number(f64::NAN), NOTHING);
        assert_eq!((counted(1, "cell"), counted(1200, "start")), ("1 cell".to_owned(), "1,200 starts".to_owned()));
    }
}
