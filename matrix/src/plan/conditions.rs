//! The circumstances of the starts: every combination of what the command line names.

use std::collections::BTreeSet;

use clap::ValueEnum;

use super::{Arguments, Condition};

pub(super) fn all(arguments: &Arguments) -> Vec<Condition> {
    let mut conditions = vec![Condition::default()];
    cross(&mut conditions, &arguments.memory, |condition, memory| condition.memory_mb = *memory);
    cross(&mut conditions, &arguments.regime, |condition, regime| condition.regime = *regime);
    cross(&mut conditions, &arguments.cache, |condition, cache| condition.cache = *cache);
    cross(&mut conditions, &arguments.latency, |condition, latency| condition.platform = *latency);
    cross(&mut conditions, &arguments.trust_store, |condition, store| condition.trust_store = *store);
    cross(&mut conditions, &arguments.runtime, |condition, runtime| condition.runtime.clone_from(runtime));
    cross(&mut conditions, &arguments.fault, |condition, fault| condition.fault = *fault);
    cross(&mut conditions, &arguments.appsec, |condition, appsec| condition.appsec = *appsec);
    conditions
}

/// What the command line names twice, and is measured once.
pub(super) fn repeated(arguments: &Arguments) -> Vec<String> {
    let numbers: Vec<String> = arguments.memory.iter().map(ToString::to_string).collect();
    let all = [
        ("memory", numbers),
        ("regime", names(&arguments.regime)),
        ("cache", names(&arguments.cache)),
        ("latency", names(&arguments.latency)),
        ("trust-store", names(&arguments.trust_store)),
        ("runtime", arguments.runtime.clone()),
        ("fault", names(&arguments.fault)),
        ("appsec", names(&arguments.appsec)),
    ];
    let note = |(option, values): (&str, Vec<String>)| {
        let mut seen = BTreeSet::new();
        let twice: BTreeSet<&str> = values.iter().map(String::as_str).filter(|value| !seen.insert(*value)).collect();
        let twice: Vec<&str> = twice.into_iter().collect();
        (!twice.is_empty())
            .then(|| format!("--{option} names {} more than once; each is measured once", twice.join(", ")))
    };
    all.into_iter().filter_map(note).collect()
}

fn names<V: ValueEnum>(values: &[V]) -> Vec<String> {
    values.iter().filter_map(|value| Some(value.to_possible_value()?.get_name().to_owned())).collect()
}

/// Every condition with each of the values. Naming a value twice is no wish to measure it twice.
fn cross<V>(conditions: &mut Vec<Condition>, values: &[V], set: impl Fn(&mut Condition, &V)) {
    let mut crossed = Vec::new();
    for condition in conditions.iter() {
        for value in values {
            let mut condition = condition.clone();
            set(&mut condition, value);
            if !crossed.contains(&condition) {
                crossed.push(condition);
            }
        }
    }
    *conditions = crossed;
}
