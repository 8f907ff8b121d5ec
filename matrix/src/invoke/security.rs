//! What App & API Protection has found in a request or its response, as the tag of a span says it.

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// The tag with the rules that matched, in JSON.
const TAG: &str = "_dd.appsec.json";

/// A rule that matched at one place of a request or response.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct SecurityEvent {
    /// The rule's id, such as `crs-942-100`.
    pub rule: String,
    pub name: String,
    /// The kind of attack, such as `sql_injection`.
    #[serde(rename = "type")]
    pub kind: String,
    /// Where it was found, such as `server.request.query`, and the path from there on.
    pub address: String,
    pub path: Vec<String>,
    /// What was found there; sensitive values are obfuscated by the WAF.
    pub value: String,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Findings {
    triggers: Vec<Trigger>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Trigger {
    rule: Rule,
    rule_matches: Vec<RuleMatch>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Rule {
    id: String,
    name: String,
    tags: RuleTags,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct RuleTags {
    #[serde(rename = "type")]
    kind: String,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct RuleMatch {
    parameters: Vec<Parameter>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Parameter {
    address: String,
    /// Names and indices.
    key_path: Vec<Value>,
    value: Value,
}

/// The events in a span's tags. A tag that cannot be read has none: the tags themselves are shown as well.
pub fn events(tags: &std::collections::BTreeMap<String, String>) -> Vec<SecurityEvent> {
    let findings = tags.get(TAG).and_then(|text| serde_json::from_str::<Findings>(text).ok()).unwrap_or_default();
    let of_trigger = |Trigger { rule, rule_matches }: Trigger| {
        let parameters = rule_matches.into_iter().flat_map(|matched| matched.parameters);
        let event = move |parameter: Parameter| SecurityEvent {
            rule: rule.id.clone(),
            name: rule.name.clone(),
            kind: rule.tags.kind.clone(),
            address: parameter.address,
            path: parameter.key_path.iter().map(plain).collect(),
            value: plain(&parameter.value),
        };
        parameters.map(event).collect::<Vec<_>>()
    };
    findings.triggers.into_iter().flat_map(of_trigger).collect()
}

impl SecurityEvent {
    /// In one sentence, beside the kind.
    pub fn describe(&self) -> String {
        let Self { rule, name, address, path, value, .. } = self;
        let place = std::iter::once(address).chain(path).map(String::as_str).collect::<Vec<_>>().join(".");
        format!("{rule} {name}: {place}: {value}")
    }
}

fn plain(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_place_at_which_a_rule_matched_is_an_event() {
        let found = r#"{"triggers": [{
            "rule": {"id": "crs-942-100", "name": "SQL injection", "tags": {"type": "sql_injection", "category": "attack_attempt"}},
            "rule_matches": [{"operator": "is_sqli", "parameters": [
                {"address": "server.request.query", "key_path": ["q", 0], "value": "1' OR '1'='1", "highlight": ["s&sos"]},
                {"address": "server.request.body", "key_path": [], "value": "x"}
            ]}]
        }]}"#;
        let events = events(&[(TAG.to_owned(), found.to_owned())].into());
        let lines: Vec<String> = events.iter().map(SecurityEvent::describe).collect();
        let expected = [
            "crs-942-100 SQL injection: server.request.query.q.0: 1' OR '1'='1",
            "crs-942-100 SQL injection: server.request.body: x",
        ];
        assert_eq!(lines, expected);
        assert!(events.iter().all(|event| event.kind == "sql_injection"));
    }

    #[test]
    fn a_tag_that_is_missing_or_unreadable_has_no_events() {
        for tags in [[].into(), [(TAG.to_owned(), "{".to_owned())].into(), [(TAG.to_owned(), "{}".to_owned())].into()] {
            assert_eq!(events(&tags), []);
        }
    }
}
