//! The circumstances of the starts: every combination of what the command line names.

use super::{Arguments, Condition};

pub(super) fn all(arguments: &Arguments) -> Vec<Condition> {
    let mut conditions = vec![Condition::default()];
    cross(&mut conditions, &arguments.memory, |condition, memory| condition.memory_mb = *memory);
    cross(&mut conditions, &arguments.regime, |condition, regime| condition.regime = *regime);
    cross(&mut conditions, &arguments.cache, |condition, cache| condition.cache = *cache);
    cross(&mut conditions, &arguments.latency, |condition, latency| condition.platform = *latency);
    cross(&mut conditions, &arguments.trust_store, |condition, store| condition.trust_store = *store);
    cross(&mut conditions, &arguments.runtime, |condition, runtime| condition.runtime.clone_from(runtime));
    cross(&mut conditions, &arguments.disturb, |condition, disturbance| condition.disturbance = *disturbance);
    conditions
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
