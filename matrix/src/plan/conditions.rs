//! The circumstances of the starts: every combination of what the command line names.

use super::{Arguments, Condition};

pub(super) fn all(arguments: &Arguments) -> Vec<Condition> {
    let mut conditions = Vec::new();
    for &memory_mb in &arguments.memory {
        for &regime in &arguments.regime {
            for &cache in &arguments.cache {
                for &platform in &arguments.latency {
                    for &trust_store in &arguments.trust_store {
                        for runtime in &arguments.runtime {
                            let runtime = runtime.clone();
                            let condition = Condition { memory_mb, regime, cache, platform, trust_store, runtime };
                            // Naming a value twice is no wish to measure it twice.
                            if !conditions.contains(&condition) {
                                conditions.push(condition);
                            }
                        }
                    }
                }
            }
        }
    }
    conditions
}
