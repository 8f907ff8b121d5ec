//! Sentences about estimates, the same in every format.

use super::number::Scale;
use crate::analyze::{Estimate, Verdict};
use crate::measure::sample::MEASURES;

/// The definitions that a reader of the report needs, one sentence each.
pub const DEFINITIONS: &[Definition] = &[
    Definition {
        name: "Register gate",
        about: "The time from exec to the arrival of the extension's registration. Lambda starts no runtime before every \
                extension has registered, so every function pays it, in every language.",
    },
    Definition {
        name: "Ready gate",
        about: "The time from exec to the extension's first request for an event. It runs beside the runtime's own start, \
                so a function pays only for what is longer than that.",
    },
    Definition {
        name: "Floor",
        about: "A minimal extension without a C library, which registers, binds, subscribes and asks for an event. \
                Nothing that is started as a process of its own can be much faster.",
    },
    Definition {
        name: "Interval",
        about: "“faster by 3.1 ms [1.9, 4.4]” means that 3.1 ms is the estimate, the 20\u{a0}% trimmed mean of paired differences, and that \
                95 of 100 such experiments would give a bracket with the true difference inside.",
    },
    Definition {
        name: "No detectable change",
        about: "The difference is too small for this run. “MDE 1.2 ms”, the minimum detectable effect, is the smallest one that \
                the run finds four times out of five; a smaller one may still be there.",
    },
    Definition {
        name: "Inconclusive",
        about: "The run cannot decide: there are fewer than six blocks, or the interval excludes zero only before the correction for \
                multiple comparisons, or the cells do not separate the effect from others. “Needs 90 blocks” is the number that finds a \
                difference of this size four times out of five.",
    },
    Definition {
        name: "Faster, slower",
        about: "All verdicts of a condition about both gates are judged together: where there is no difference at all, at most 5 of 100 \
                experiments call anything faster or slower. In a designed experiment these are all effects and interactions. Comparisons of \
                cells, and all other measures, are judged together in the same way.",
    },
    Definition {
        name: "Control",
        about: "The same program under two names (A/A). If the two differ, the measurement is biased, and there is no verdict about that \
                measure. It does not show noise: noise makes intervals wide.",
    },
];

/// A term and the sentence that defines it.
#[derive(Clone, Copy, Debug)]
pub struct Definition {
    pub name: &'static str,
    pub about: &'static str,
}

/// The title of a measure.
pub fn title(measure: &str) -> &str {
    match measure {
        "register" => "register gate",
        "ready" => "ready gate",
        "served" => "sockets served",
        "init_null" => "init, idle runtime",
        "first_invocation" => "first invocation",
        "cpu_ready" => "CPU until ready",
        "cpu_settled" => "CPU until settled",
        "cpu_invocation" => "CPU, one invocation",
        "next_after_done" => "next after the end",
        "cpu_total" => "CPU, sandbox lifetime",
        "minor_faults" => "page faults",
        "faults_settled" => "page faults until settled",
        "major_faults" => "disk faults",
        "resident_peak" => "peak memory",
        "file_touched" => "files touched",
        "entry_touched" => "first file touched",
        "file_size" => "file size",
        "entry_size" => "first file's size",
        other => other,
    }
}

/// The unit of a measure; empty for an unknown measure.
pub fn unit(measure: &str) -> &'static str {
    MEASURES.iter().find(|known| known.name == measure).map_or("", |known| known.unit)
}

/// A description of a measure, if it is known.
pub fn about(measure: &str) -> Option<&'static str> {
    MEASURES.iter().find(|known| known.name == measure).map(|known| known.about)
}

/// The decimals and unit that suit an estimate.
pub fn scale(measure: &str, estimate: &Estimate) -> Scale {
    let magnitude = estimate.value.abs().max(estimate.low.abs()).max(estimate.high.abs());
    Scale::of(unit(measure), magnitude, estimate.high - estimate.low)
}

/// A sentence about the difference between a cell and its reference, or about the effect of a factor from off to on.
pub fn difference(measure: &str, estimate: &Estimate) -> String {
    match estimate.verdict {
        Verdict::Faster => format!("{} by {}", less(measure), bracket(measure, estimate, -1.0)),
        Verdict::Slower => format!("{} by {}", more(measure), bracket(measure, estimate, 1.0)),
        Verdict::NoDetectableChange => nothing(measure, estimate),
        Verdict::NoOp => "no-op: the same program".to_owned(),
        Verdict::DigestMismatch => "delivers something else: not compared".to_owned(),
        Verdict::Inconclusive => inconclusive(measure, estimate),
        Verdict::InvalidRun => {
            "invalid run: the same program under two names differs, or the machine did not produce the condition"
                .to_owned()
        }
    }
}

/// A sentence about an interaction: by how much more or less than on average one factor is worth while the other is on.
pub fn interaction(measure: &str, estimate: &Estimate) -> String {
    match estimate.verdict {
        Verdict::Faster => format!("help each other by {}", bracket(measure, estimate, -1.0)),
        Verdict::Slower => format!("interfere by {}", bracket(measure, estimate, 1.0)),
        _ => difference(measure, estimate),
    }
}

/// A ratio with its interval.
pub fn ratio(estimate: &Estimate) -> String {
    match estimate.verdict {
        Verdict::NoOp => "no-op".to_owned(),
        Verdict::DigestMismatch => "not compared".to_owned(),
        Verdict::InvalidRun => "invalid run".to_owned(),
        Verdict::Faster | Verdict::Slower | Verdict::NoDetectableChange | Verdict::Inconclusive => {
            let write = super::number::ratio;
            format!("{} [{}, {}]", write(estimate.value), write(estimate.low), write(estimate.high))
        }
    }
}

/// A value with sign and interval, for use where the sentence has no number.
pub fn signed(measure: &str, estimate: &Estimate) -> String {
    bracket(measure, estimate, 1.0)
}

/// A sentence about an inconclusive estimate that states what is missing: blocks, or cells that separate it from its aliases.
fn inconclusive(measure: &str, estimate: &Estimate) -> String {
    let found = bracket(measure, estimate, 1.0);
    match estimate.needed {
        Some(needed) => format!("inconclusive: {found}; needs {needed} blocks"),
        None => format!("inconclusive: {found}"),
    }
}

fn nothing(measure: &str, estimate: &Estimate) -> String {
    let magnitude = estimate.detectable;
    let seen = Scale::of(unit(measure), magnitude, magnitude).quantity(magnitude);
    format!("no detectable change (MDE {seen})")
}

/// `3.1 ms [1.9, 4.4]`, with the sign reversed where a decrease is stated as a saving.
fn bracket(measure: &str, estimate: &Estimate, sign: f64) -> String {
    let scale = scale(measure, estimate);
    let (one, other) = (estimate.low * sign, estimate.high * sign);
    let ends = format!("[{}, {}]", scale.number(one.min(other)), scale.number(one.max(other)));
    format!("{} {ends}", scale.quantity(estimate.value * sign).trim_end())
}

fn less(measure: &str) -> &'static str {
    match unit(measure) {
        "ms" if is_elapsed(measure) => "faster",
        "bytes" | "KiB" => "smaller",
        "ms" | "" => "less",
        _ => "fewer",
    }
}

fn more(measure: &str) -> &'static str {
    match unit(measure) {
        "ms" if is_elapsed(measure) => "slower",
        "bytes" | "KiB" => "larger",
        _ => "more",
    }
}

/// Whether the measure is elapsed time, which somebody waits for. CPU time is not.
fn is_elapsed(measure: &str) -> bool {
    !measure.starts_with("cpu_")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn estimate(value: f64, low: f64, high: f64, verdict: Verdict) -> Estimate {
        Estimate { value, low, high, p: 0.01, detectable: 1.2, verdict, pairs: 30, family: 8, needed: None }
    }

    #[test]
    fn a_saving_is_printed_as_a_positive_amount() {
        let saved = estimate(-3.1, -4.4, -1.9, Verdict::Faster);
        assert_eq!(difference("register", &saved), "faster by 3.1 ms [1.9, 4.4]");
        let lost = estimate(310.0, 290.0, 330.0, Verdict::Slower);
        assert_eq!(difference("minor_faults", &lost), "more by 310 pages [290, 330]");
        assert_eq!(difference("cpu_total", &saved), "less by 3.1 ms [1.9, 4.4]");
        assert_eq!(interaction("ready", &saved), "help each other by 3.1 ms [1.9, 4.4]");
    }

    #[test]
    fn no_detectable_change_states_the_mde() {
        let nothing = estimate(0.1, -0.6, 0.8, Verdict::NoDetectableChange);
        assert_eq!(difference("ready", &nothing), "no detectable change (MDE 1.2 ms)");
    }

    #[test]
    fn what_must_not_be_compared_has_no_number() {
        for verdict in [Verdict::NoOp, Verdict::DigestMismatch, Verdict::InvalidRun] {
            let said = difference("ready", &estimate(-3.1, -4.4, -1.9, verdict));
            assert!(!said.contains("3.1") && !super::ratio(&estimate(0.5, 0.4, 0.6, verdict)).contains('['), "{said}");
        }
    }

    #[test]
    fn every_measure_has_a_unit_and_an_explanation() {
        for measure in MEASURES {
            assert!(!unit(measure.name).is_empty() && about(measure.name).is_some(), "{}", measure.name);
        }
        assert_eq!((unit("unheard-of"), about("unheard-of"), title("unheard-of")), ("", None, "unheard-of"));
    }

    #[test]
    fn no_definition_uses_a_percentage_as_a_result() {
        assert!(
            DEFINITIONS.iter().all(|definition| !definition.about.replace("20\u{a0}% trimmed mean", "").contains('%'))
        );
    }
}
