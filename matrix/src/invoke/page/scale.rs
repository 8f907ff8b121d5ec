//! The linear scale from milliseconds to pixels.

/// A horizontal axis of milliseconds.
#[derive(Clone, Copy, Debug)]
pub struct Scale {
    pub from_ms: f64,
    pub to_ms: f64,
    /// The pixels of both ends.
    pub left: f64,
    pub right: f64,
}

/// Smallest width of what lasts, in pixels, so that it can be seen and pointed at.
const MIN_WIDTH: f64 = 2.0;
/// Smallest distance of two ticks, in pixels.
const TICK_GAP: f64 = 90.0;

impl Scale {
    /// The pixel of a moment; moments outside the axis are moved to its ends.
    pub fn at(&self, ms: f64) -> f64 {
        let length = (self.to_ms - self.from_ms).max(f64::MIN_POSITIVE);
        let part = ((ms - self.from_ms) / length).clamp(0.0, 1.0);
        self.left + part * (self.right - self.left)
    }

    /// The left edge and the width of what lasts from one moment to another; none if it is outside.
    pub fn span(&self, from_ms: f64, to_ms: f64) -> Option<(f64, f64)> {
        if to_ms < self.from_ms || from_ms > self.to_ms {
            return None;
        }
        let width = (self.at(to_ms) - self.at(from_ms)).max(MIN_WIDTH);
        Some((self.at(from_ms).min(self.right - MIN_WIDTH), width))
    }

    /// Round moments, with their texts.
    pub fn ticks(&self) -> Vec<(f64, String)> {
        let count = ((self.right - self.left) / TICK_GAP).max(1.0);
        let step = round_up((self.to_ms - self.from_ms) / count);
        let decimals = if step >= 1.0 {
            0
        } else if step >= 0.1 {
            1
        } else {
            3
        };
        let first = (self.from_ms / step).ceil();
        let moments = (0..100_u32).map(|number| (first + f64::from(number)) * step);
        moments.take_while(|ms| *ms <= self.to_ms).map(|ms| (ms, format!("{ms:.decimals$} ms"))).collect()
    }
}

/// The next larger of 1, 2 and 5 times a power of ten.
fn round_up(value: f64) -> f64 {
    if !(value.is_finite() && value > 0.0) {
        return 1.0;
    }
    let power = 10_f64.powf(value.log10().floor());
    let digit = [1.0, 2.0, 5.0].into_iter().find(|digit| digit * power >= value);
    digit.unwrap_or(10.0) * power
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_are_round_and_inside() {
        let scale = Scale { from_ms: 0.0, to_ms: 123.0, left: 0.0, right: 900.0 };
        let texts: Vec<String> = scale.ticks().into_iter().map(|(_, text)| text).collect();
        assert_eq!(texts, ["0 ms", "20 ms", "40 ms", "60 ms", "80 ms", "100 ms", "120 ms"]);
        let none = Scale { to_ms: 0.0, ..scale };
        assert!(none.ticks().len() <= 1 && none.at(7.0) >= 0.0);
    }

    #[test]
    fn what_lasts_is_visible_if_it_is_inside() {
        let scale = Scale { from_ms: 10.0, to_ms: 20.0, left: 100.0, right: 200.0 };
        assert_eq!(scale.span(12.0, 14.0), Some((120.0, 20.0)));
        assert_eq!(scale.span(12.0, 12.0), Some((120.0, 2.0)));
        assert_eq!(scale.span(0.0, 99.0), Some((100.0, 100.0)));
        assert_eq!((scale.span(0.0, 9.0), scale.span(21.0, 30.0)), (None, None));
    }
}
