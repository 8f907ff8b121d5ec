//! Axes: from values to pixels.

use crate::report::number;

/// A linear axis: the values from `low` to `high` are drawn at the pixels `from` to `to`.
#[derive(Clone, Copy, Debug)]
pub struct Axis {
    pub low: f64,
    pub high: f64,
    pub from: f64,
    pub to: f64,
}

impl Axis {
    /// An axis that covers all of these values with a margin at both ends, and zero if `zero` is set.
    pub fn around(values: impl Iterator<Item = f64>, zero: bool, from: f64, to: f64) -> Self {
        let start = if zero { (0.0, 0.0) } else { (f64::INFINITY, f64::NEG_INFINITY) };
        let ends = values.filter(|value| value.is_finite());
        let (mut low, mut high) = ends.fold(start, |(low, high), value| (low.min(value), high.max(value)));
        if low > high {
            (low, high) = (0.0, 1.0);
        }
        if (high - low).abs() < f64::EPSILON {
            (low, high) = (low - 0.5, high + 0.5);
        }
        let room = (high - low) * 0.03;
        let below = if zero && low >= 0.0 { 0.0 } else { room };
        let above = if zero && high <= 0.0 { 0.0 } else { room };
        Self { low: low - below, high: high + above, from, to }
    }

    /// The pixel of a value; values outside the axis are clamped to its ends.
    pub fn at(&self, value: f64) -> f64 {
        if !value.is_finite() {
            return self.from;
        }
        let part = (value.clamp(self.low, self.high) - self.low) / (self.high - self.low);
        self.from + part * (self.to - self.from)
    }

    /// Round tick values, at least `gap` pixels apart.
    pub fn ticks(&self, gap: f64) -> Vec<Tick> {
        let length = (self.to - self.from).abs();
        let rough = (self.high - self.low) * gap / length.max(1.0);
        let step = round_up(rough);
        if !(step.is_finite() && step > 0.0) {
            return Vec::new();
        }
        let decimals = if step >= 1.0 {
            0
        } else if step >= 0.1 {
            1
        } else if step >= 0.01 {
            2
        } else {
            3
        };
        let scale = number::Scale { factor: 1.0, unit: "", decimals };
        let first = (self.low / step).ceil();
        (0..200u32)
            .map(|index| (first + f64::from(index)) * step)
            .take_while(|value| *value <= self.high + step * 1e-6)
            .map(|value| Tick { value, text: scale.number(value) })
            .collect()
    }
}

/// A round value and its label.
#[derive(Clone, Debug, PartialEq)]
pub struct Tick {
    pub value: f64,
    pub text: String,
}

/// The next of 1, 2, 5, 10, 20, 50, …
fn round_up(value: f64) -> f64 {
    let power = 10f64.powf(value.log10().floor());
    let digits = value / power;
    let digit = if digits <= 1.0 {
        1.0
    } else if digits <= 2.0 {
        2.0
    } else if digits <= 5.0 {
        5.0
    } else {
        10.0
    };
    digit * power
}

/// A square-root axis from zero: small values get more room than large ones.
#[derive(Clone, Copy, Debug)]
pub struct RootAxis {
    pub high: f64,
    pub from: f64,
    pub to: f64,
}

impl RootAxis {
    /// The pixel of a value; values outside the axis are clamped to its ends.
    pub fn at(&self, value: f64) -> f64 {
        let part = if value.is_finite() { (value / self.high).clamp(0.0, 1.0).sqrt() } else { 0.0 };
        self.from + part * (self.to - self.from)
    }
}

/// Moves positions apart until neighbours have a distance of `gap` pixels. Moves them as little as possible, and keeps them within `low` and `high` if there is
/// room. Returns them in the order of `places`.
pub fn spread(places: &[f64], gap: f64, low: f64, high: f64) -> Vec<f64> {
    let mut order: Vec<(usize, f64)> = places.iter().copied().enumerate().collect();
    order.sort_by(|one, other| one.1.total_cmp(&other.1));
    // Neighbours that are too close become a stack around their common middle; stacks that overlap are merged.
    let mut stacks: Vec<Stack> = Vec::new();
    for (index, place) in order {
        let mut stack = Stack { members: vec![index], middle: place };
        stack.keep_inside(gap, low, high);
        while let Some(below) = stacks.pop_if(|below| below.end(gap) + gap > stack.start(gap)) {
            stack = below.with(stack);
            stack.keep_inside(gap, low, high);
        }
        stacks.push(stack);
    }
    let mut moved = vec![0.0; places.len()];
    for stack in &stacks {
        for (step, index) in stack.members.iter().enumerate() {
            if let Some(place) = moved.get_mut(*index) {
                *place = stack.start(gap) + gap * number::float(step);
            }
        }
    }
    moved
}

/// A stack of adjacent labels, from the first to the last.
struct Stack {
    members: Vec<usize>,
    middle: f64,
}

impl Stack {
    fn half(&self, gap: f64) -> f64 {
        gap * number::float(self.members.len().saturating_sub(1)) / 2.0
    }

    fn start(&self, gap: f64) -> f64 {
        self.middle - self.half(gap)
    }

    fn end(&self, gap: f64) -> f64 {
        self.middle + self.half(gap)
    }

    fn keep_inside(&mut self, gap: f64, low: f64, high: f64) {
        let half = self.half(gap);
        self.middle = self.middle.min(high - half).max(low + half);
    }

    fn with(mut self, next: Self) -> Self {
        let (own, others) = (number::float(self.members.len()), number::float(next.members.len()));
        self.middle = (self.middle * own + next.middle * others) / (own + others);
        self.members.extend(next.members);
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_are_round_and_inside() {
        let axis = Axis { low: -0.7, high: 8.3, from: 0.0, to: 600.0 };
        let texts: Vec<_> = axis.ticks(80.0).into_iter().map(|tick| tick.text).collect();
        assert_eq!(texts, ["0", "2", "4", "6", "8"]);
        let narrow = Axis { low: -0.1, high: 0.1, from: 0.0, to: 400.0 };
        assert!(narrow.ticks(90.0).iter().any(|tick| tick.text == "−0.05"));
    }

    #[test]
    fn an_axis_without_values_is_still_an_axis() {
        let axis = Axis::around([f64::NAN].into_iter(), false, 10.0, 20.0);
        assert!(axis.at(0.5) > 10.0 && axis.at(f64::NAN) >= 10.0 && !axis.ticks(5.0).is_empty());
        let one = Axis::around([7.0].into_iter(), false, 0.0, 100.0);
        assert!((one.at(7.0) - 50.0).abs() < 1.0);
    }

    #[test]
    fn labels_are_moved_apart_and_keep_their_order() {
        let places = spread(&[50.0, 10.0, 11.0, 12.0], 10.0, 0.0, 100.0);
        let mut sorted = places.clone();
        sorted.sort_by(f64::total_cmp);
        assert!(sorted.windows(2).all(|pair| pair[1] - pair[0] >= 10.0 - 1e-9), "{places:?}");
        assert!(places[1] < places[2] && places[2] < places[3] && places[3] < places[0] + 1e-9, "{places:?}");
    }
}
