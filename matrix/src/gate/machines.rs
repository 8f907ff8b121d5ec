//! Selects the baseline ratios that apply to a run on this machine.
//!
//! A ratio to the floor depends on the machine: another read-ahead, kernel or processor changes both sides, but not by the same factor. A run is therefore held
//! to the baseline of the same kind of machine. Another kind's baseline counts only if at least two kinds have stored the same ratio within the budget, which
//! shows that the ratio carries over. With a cold cache it never carries over between disks with different read-ahead.

use super::Error;
use super::baseline::{Baseline, Ratio};
use super::budget_checks::grown;
use crate::measure::{Certificates, Machine};
use crate::plan::circumstances::describe;
use crate::plan::{Cache, Condition};

/// The stored ratio of a gate, if it applies.
#[derive(Clone, Debug, PartialEq)]
pub enum StoredRatio {
    /// The ratio applies to this run.
    Held(Ratio),
    /// The ratio is not known to hold on this machine.
    OtherMachine,
}

impl Baseline {
    /// The stored ratio of a cell's gate for a run on `here`. `limit` is the budget as a factor less one.
    pub fn stored(
        &self,
        here: Option<&Machine>,
        condition: &Condition,
        cell: &str,
        gate: &str,
        limit: f64,
    ) -> Result<StoredRatio, Error> {
        let all: Vec<(Option<&Machine>, Ratio)> =
            self.runs().filter_map(|run| Some((run.machine(), run.ratio(condition, cell, gate)?))).collect();
        if all.is_empty() {
            return Err(Error::NotInBaseline { cell: cell.to_owned(), condition: describe(condition) });
        }
        if let Some((_, ratio)) = all.iter().find(|(there, _)| differences(*there, here, condition).is_empty()) {
            return Ok(StoredRatio::Held(*ratio));
        }
        let carries_over = |there: Option<&Machine>| match (there, here) {
            (Some(there), Some(here)) => condition.cache == Cache::Warm || there.read_ahead_kib == here.read_ahead_kib,
            _ => false,
        };
        let others: Vec<_> = all.into_iter().filter(|(there, _)| carries_over(*there)).collect();
        let several = others
            .iter()
            .any(|(one, _)| others.iter().any(|(other, _)| !differences(*one, *other, condition).is_empty()));
        let ratios: Vec<Ratio> = others.into_iter().map(|(_, ratio)| ratio).collect();
        let agree = ratios.iter().all(|one| ratios.iter().all(|other| grown(*one, *other).high <= limit));
        Ok(hull(&ratios).filter(|_| several && agree).map_or(StoredRatio::OtherMachine, StoredRatio::Held))
    }

    /// One sentence for each machine of the baseline that differs from this one.
    pub fn other_machines(&self, here: Option<&Machine>, condition: &Condition) -> Vec<String> {
        let of = |there: Option<&Machine>| differences(there, here, condition);
        let all = self.runs().map(|run| of(run.machine())).filter(|differences| !differences.is_empty());
        all.map(|differences| format!("The baseline is from another machine: {}.", differences.join("; "))).collect()
    }
}

/// The hull of several ratios: their geometric mean, with an interval that contains all of their intervals.
fn hull(ratios: &[Ratio]) -> Option<Ratio> {
    ratios.iter().copied().reduce(|one, other| Ratio {
        value: (one.value * other.value).sqrt(),
        low: one.low.min(other.low),
        high: one.high.max(other.high),
        detectable: one.detectable.max(other.detectable),
    })
}

/// The differences between two machines that matter under a condition. An unrecorded machine equals only another unrecorded one.
fn differences(there: Option<&Machine>, here: Option<&Machine>, condition: &Condition) -> Vec<String> {
    let (there, here) = match (there, here) {
        (Some(there), Some(here)) => (there, here),
        (None, None) => return Vec::new(),
        (Some(_), None) => return vec!["nobody has recorded where this run was measured".to_owned()],
        (None, Some(_)) => return vec!["nobody has recorded where it was measured".to_owned()],
    };
    let number = |value: Option<u64>| value.map_or_else(|| "unknown".to_owned(), |value| value.to_string());
    let certificates = |store: &Option<Certificates>| match store {
        Some(Certificates { count, sha256 }) => format!("{count} ({sha256})"),
        None => "unknown".to_owned(),
    };
    let text = |machine: &Machine| {
        let Machine { cpu, cores, kernel, architecture, governor, control_groups, .. } = machine;
        let mut facts = vec![
            ("processor", cpu.clone()),
            ("CPUs", cores.to_string()),
            ("architecture", architecture.clone()),
            ("kernel", kernel.clone()),
            ("governor", governor.clone().unwrap_or_else(|| "unknown".to_owned())),
            ("control groups", number(control_groups.map(u64::from))),
            ("certificates of the trust store", certificates(&machine.certificates)),
        ];
        if condition.cache == Cache::Cold {
            facts.push(("read-ahead in KiB", number(machine.read_ahead_kib)));
        }
        facts
    };
    let pairs = text(there).into_iter().zip(text(here)).filter(|(there, here)| there != here);
    pairs.map(|((fact, there), (_, here))| format!("{fact} {there} there, {here} here")).collect()
}
