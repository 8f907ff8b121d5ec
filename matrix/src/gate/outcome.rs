//! The outcomes of the gate: one table, which generates the help and which the documentation is tested against.

use serde::Serialize;

use crate::analyze::DeliveryOutcome;
use crate::terminal;

/// The outcome of a gate, from best to worst.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Outcome {
    Pass,
    Inconclusive,
    InvalidRun,
    HarnessFailure,
    Regressed,
    DidNotStart,
    PayloadMismatch,
    BuildFailed,
}

impl Outcome {
    /// All outcomes, by exit status.
    pub const ALL: [Self; 8] = [
        Self::Pass,
        Self::BuildFailed,
        Self::PayloadMismatch,
        Self::HarnessFailure,
        Self::DidNotStart,
        Self::Regressed,
        Self::Inconclusive,
        Self::InvalidRun,
    ];

    /// The exit status.
    pub fn status(self) -> u8 {
        match self {
            Self::Pass => 0,
            Self::BuildFailed => terminal::BUILD_FAILED,
            Self::PayloadMismatch => terminal::PAYLOAD_MISMATCH,
            Self::HarnessFailure => terminal::HARNESS_FAILED,
            Self::DidNotStart => terminal::DID_NOT_START,
            Self::Regressed => terminal::REGRESSED,
            Self::Inconclusive => terminal::INCONCLUSIVE,
            Self::InvalidRun => terminal::INVALID_RUN,
        }
    }

    /// The name in JSON, in the help and in the documentation.
    pub fn name(self) -> &'static str {
        match self {
            Self::Pass => "pass",
            Self::BuildFailed => "build-failed",
            Self::PayloadMismatch => "payload-mismatch",
            Self::HarnessFailure => "harness-failure",
            Self::DidNotStart => "did-not-start",
            Self::Regressed => "regressed",
            Self::Inconclusive => "inconclusive",
            Self::InvalidRun => "invalid-run",
        }
    }

    /// The meaning, as in the help and in the documentation.
    pub fn meaning(self) -> &'static str {
        match self {
            Self::Pass => {
                "payloads are complete, and every 95 % confidence interval is within budget with a minimum detectable effect that does not exceed it, or shows an improvement"
            }
            Self::BuildFailed => "a cell has no program",
            Self::PayloadMismatch => {
                "payloads are incomplete, differ between candidate, reference and baseline, or vary between starts"
            }
            Self::HarnessFailure => "the sandbox could not start a program; the result says nothing about the change",
            Self::DidNotStart => "a candidate or its reference never started, or failed in more than one of 50 starts",
            Self::Regressed => "a whole 95 % confidence interval lies above the budget",
            Self::Inconclusive => {
                "the minimum detectable effect or the confidence interval reaches beyond the budget; run more blocks"
            }
            Self::InvalidRun => "the control (A/A) differs or is missing, or the machine did not produce the condition",
        }
    }

    /// Whether the outcome is about the change, not about the run.
    pub(super) fn is_failure(self) -> bool {
        matches!(self, Self::Regressed | Self::DidNotStart | Self::PayloadMismatch | Self::BuildFailed)
    }

    /// A sentence with the outcome and the next step, for people.
    pub(super) fn sentence(self) -> &'static str {
        match self {
            Self::Pass => "Nothing has grown by more than its budget.",
            Self::Inconclusive => {
                "The minimum detectable effect or the interval is wider than the budget: run more blocks (`--blocks`), or raise the budget."
            }
            Self::InvalidRun => {
                "The control differs or is missing, or the machine did not produce the condition. Do not use these numbers: run it again, as root if the condition needs it."
            }
            Self::HarnessFailure => {
                "The sandbox could not start a program, so the run is incomplete: fix what the message names, and run the same command again."
            }
            Self::Regressed => {
                "The growth exceeds the budget: find the part of the change that causes it, or raise the budget and say what for."
            }
            Self::DidNotStart => {
                "A program does not always start, so its times do not count: `cargo matrix invoke` shows its output."
            }
            Self::PayloadMismatch => {
                "A program delivers incomplete or different payloads, so its times do not count: `cargo matrix invoke` shows what arrives."
            }
            Self::BuildFailed => "A build failed, so there is no program to measure: the command below shows why.",
        }
    }
}

impl From<DeliveryOutcome> for Outcome {
    fn from(outcome: DeliveryOutcome) -> Self {
        match outcome {
            DeliveryOutcome::Delivered | DeliveryOutcome::NotCompared => Self::Pass,
            DeliveryOutcome::HarnessFailure => Self::HarnessFailure,
            DeliveryOutcome::DidNotStart => Self::DidNotStart,
            DeliveryOutcome::PayloadMismatch => Self::PayloadMismatch,
        }
    }
}

/// The table for the help, one line for each outcome.
pub fn help() -> String {
    let line = |outcome: Outcome| format!("  {:<3} {}: {}\n", outcome.status(), outcome.name(), outcome.meaning());
    Outcome::ALL.into_iter().map(line).collect()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_outcome_has_a_name_and_a_status_of_its_own() {
        let statuses: BTreeSet<u8> = Outcome::ALL.into_iter().map(Outcome::status).collect();
        let names: BTreeSet<&str> = Outcome::ALL.into_iter().map(Outcome::name).collect();
        assert_eq!((statuses.len(), names.len()), (Outcome::ALL.len(), Outcome::ALL.len()));
        for other in
            [terminal::USAGE, terminal::SETUP_FAILED, terminal::REFUSED, terminal::UNPROVEN, terminal::INTERRUPTED]
        {
            assert!(!statuses.contains(&other), "{other}");
        }
        for outcome in Outcome::ALL {
            assert_eq!(serde_json::to_value(outcome).unwrap(), outcome.name());
        }
    }

    #[test]
    fn the_documented_table_is_this_one() {
        let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/gate.md");
        let page = std::fs::read_to_string(path).unwrap();
        for outcome in Outcome::ALL {
            let row = format!("| {} | {} | {}", outcome.status(), outcome.name(), outcome.meaning());
            assert!(page.contains(&row), "no row begins with {row}");
        }
    }
}
