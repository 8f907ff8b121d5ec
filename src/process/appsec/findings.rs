//! Results of the WAF, and the tags that they become.

use serde_json::{Map, Number, json};
use waf_protocol::Value;

use super::{HttpRequest, HttpResponse};

/// Of the library and of its rules.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Versions {
    pub waf: String,
    /// Empty if the ruleset has none.
    pub rules: String,
}

/// What all evaluations of a request have found.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Findings {
    events: Vec<serde_json::Value>,
    attributes: Vec<(String, String)>,
    duration_us: u64,
    /// Evaluations that did not end in time, or for which no time was left.
    timeouts: u32,
    /// Whether the trace is to be kept.
    is_kept: bool,
}

/// Tags of the `aws.lambda` span.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct SecurityTags {
    pub meta: Vec<(String, String)>,
    pub metrics: Vec<(&'static str, f64)>,
    /// Whether the trace is to be kept.
    pub is_kept: bool,
}

impl Findings {
    /// Adds the result of an evaluation.
    pub fn add(&mut self, result: &Value) {
        if let Some(Value::Array(events)) = result.field("events") {
            self.events.extend(events.iter().map(json));
        }
        if let Some(Value::Map(attributes)) = result.field("attributes") {
            self.attributes.extend(attributes.iter().map(|(name, value)| {
                (String::from_utf8_lossy(name).into_owned(), value.text().unwrap_or_else(|| json(value).to_string()))
            }));
        }
        let nanoseconds = match result.field("duration") {
            Some(Value::Unsigned(duration)) => *duration,
            Some(Value::Signed(duration)) => u64::try_from(*duration).unwrap_or(0),
            _ => 0,
        };
        self.duration_us = self.duration_us.saturating_add(nanoseconds / 1000);
        self.is_kept |= result.field("keep") == Some(&Value::Bool(true));
        if result.field("timeout") == Some(&Value::Bool(true)) {
            self.add_timeout();
        }
        if matches!(result.field("actions"), Some(Value::Map(actions)) if !actions.is_empty()) {
            tracing::debug!("APPSEC | a rule asks for an action, and nothing is blocked here");
        }
    }

    /// An evaluation did not end in time, or had no time left.
    pub fn add_timeout(&mut self) {
        self.timeouts = self.timeouts.saturating_add(1);
    }

    pub fn has_events(&self) -> bool {
        !self.events.is_empty()
    }

    /// The tags of a request, and of its response if that is known.
    pub fn tags(&self, request: &HttpRequest, response: Option<&HttpResponse>, versions: &Versions) -> SecurityTags {
        let is_attack = self.has_events();
        let mut meta: Vec<(String, String)> = vec![("_dd.appsec.waf.version".to_owned(), versions.waf.clone())];
        if !versions.rules.is_empty() {
            meta.push(("_dd.appsec.event_rules.version".to_owned(), versions.rules.clone()));
        }
        if is_attack {
            meta.push(("appsec.event".to_owned(), "true".to_owned()));
            meta.push(("_dd.appsec.json".to_owned(), json!({"triggers": self.events}).to_string()));
        }
        meta.extend(self.attributes.iter().cloned());
        meta.extend(request.tags(is_attack));
        meta.extend(response.into_iter().flat_map(HttpResponse::header_tags));
        let duration = f64::from(u32::try_from(self.duration_us).unwrap_or(u32::MAX));
        let metrics = vec![
            ("_dd.appsec.enabled", 1.0),
            ("_dd.appsec.waf.duration", duration),
            ("_dd.appsec.waf.timeouts", f64::from(self.timeouts)),
        ];
        SecurityTags { meta, metrics, is_kept: self.is_kept }
    }
}

impl SecurityTags {
    /// An estimate of the memory that they take, in bytes.
    pub fn bytes(&self) -> usize {
        let entry = |(name, value): &(String, String)| 2 * size_of::<String>() + name.len() + value.len();
        size_of::<Self>() + self.meta.iter().map(entry).sum::<usize>() + size_of_val(&*self.metrics)
    }
}

fn json(value: &Value) -> serde_json::Value {
    let text = |text: &[u8]| String::from_utf8_lossy(text).into_owned();
    match value {
        Value::Null => serde_json::Value::Null,
        Value::Bool(value) => serde_json::Value::Bool(*value),
        Value::Signed(number) => serde_json::Value::from(*number),
        Value::Unsigned(number) => serde_json::Value::from(*number),
        Value::Float(number) => Number::from_f64(*number).map_or(serde_json::Value::Null, serde_json::Value::Number),
        Value::Text(bytes) => serde_json::Value::String(text(bytes)),
        Value::Array(values) => serde_json::Value::Array(values.iter().map(json).collect()),
        Value::Map(entries) => {
            let entries = entries.iter().map(|(name, value)| (text(name), json(value)));
            serde_json::Value::Object(entries.collect::<Map<_, _>>())
        }
    }
}
