//! Conditions in words.

use super::{AppSec, Cache, Condition, InjectedFault, Latency, Regime, TrustStore};

/// Everything about a condition, for a heading.
pub fn describe(condition: &Condition) -> String {
    parts(condition).join(", ")
}

/// For each condition, what tells it from the others: short enough for a tab.
pub fn labels(conditions: &[&Condition]) -> Vec<String> {
    let all: Vec<Vec<String>> = conditions.iter().map(|condition| parts(condition)).collect();
    let differs = |index: usize, part: &String| all.iter().any(|other| other.get(index) != Some(part));
    let label = |parts: &Vec<String>| {
        let own = parts.iter().enumerate().filter(|(index, part)| differs(*index, part));
        let own: Vec<&str> = own.map(|(_, part)| part.as_str()).collect();
        if own.is_empty() { parts.first().cloned().unwrap_or_default() } else { own.join(", ") }
    };
    all.iter().map(label).collect()
}

fn parts(condition: &Condition) -> Vec<String> {
    let regime = match condition.regime {
        Regime::Boosted => "boosted init",
        Regime::Throttled => "throttled init",
    };
    let cache = match condition.cache {
        Cache::Warm => "file in memory",
        Cache::Cold => "file on disk",
    };
    let latency = match condition.platform {
        Latency::Loopback => "no added latency",
        Latency::Lambda => "Lambda's latency",
    };
    let store = match condition.trust_store {
        TrustStore::Al2023 => "al2023 trust store",
        TrustStore::Debian => "Debian trust store",
        TrustStore::Host => "this machine's trust store",
    };
    let runtime = match condition.runtime.split_once(':') {
        Some(("sleep", ms)) => format!("runtime that needs {ms} ms"),
        _ => format!("{} runtime", condition.runtime),
    };
    let fault = match condition.fault {
        InjectedFault::None => None,
        InjectedFault::Intake => Some("an intake that fails at first"),
        InjectedFault::Telemetry => Some("telemetry in disorder"),
        InjectedFault::Platform => Some("a slow platform that breaks a connection"),
    };
    let appsec = match condition.appsec {
        AppSec::Off => None,
        AppSec::On => Some("App & API Protection"),
    };
    let words = [regime, cache, latency, store].map(str::to_owned);
    let memory = std::iter::once(format!("{} MB", condition.memory_mb));
    memory.chain(words).chain([runtime]).chain(fault.into_iter().chain(appsec).map(str::to_owned)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn condition(memory_mb: u32, regime: Regime) -> Condition {
        Condition {
            memory_mb,
            regime,
            cache: Cache::Warm,
            platform: Latency::Lambda,
            trust_store: TrustStore::Al2023,
            runtime: "sleep:20".to_owned(),
            fault: InjectedFault::None,
            appsec: AppSec::Off,
        }
    }

    #[test]
    fn heading_names_condition_set_and_reference() {
        let text = describe(&condition(128, Regime::Throttled));
        let expected = "128 MB, throttled init, file in memory, Lambda's latency, al2023 trust store, \
                        runtime that needs 20 ms";
        assert_eq!(text, expected);
        let disturbed = Condition { fault: InjectedFault::Telemetry, ..condition(128, Regime::Throttled) };
        assert_eq!(describe(&disturbed), format!("{expected}, telemetry in disorder"));
        let protected = Condition { appsec: AppSec::On, ..condition(128, Regime::Throttled) };
        assert_eq!(describe(&protected), format!("{expected}, App & API Protection"));
        assert_eq!(labels(&[&protected, &disturbed])[0], "App & API Protection");
    }

    #[test]
    fn a_label_says_only_what_differs() {
        let (small, large) = (condition(128, Regime::Throttled), condition(1024, Regime::Throttled));
        assert_eq!(labels(&[&small, &large]), ["128 MB", "1024 MB"]);
        assert_eq!(labels(&[&small]), ["128 MB"]);
        assert!(labels(&[]).is_empty());
    }
}
