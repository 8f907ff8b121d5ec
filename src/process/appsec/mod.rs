//! App & API Protection: what a request and its response give to the WAF, and what its results add to the span of the invocation.
//!
//! ```text
//! event ──▶ HttpRequest::parse ───▶ addresses ──▶ WAF worker ──▶ Findings::add ─┐
//! response ▶ HttpResponse::parse ─▶ addresses ──▶ WAF worker ──▶ Findings::add ─┴▶ Findings::tags
//! ```
//!
//! Requests are those of API Gateway, Application Load Balancers and function URLs. Nothing is blocked.

mod body;
mod findings;
mod limits;
mod multipart;
mod request;
mod response;
mod sampler;
#[cfg(test)]
mod tests;

use std::collections::HashMap;

use serde_json::value::RawValue;
pub use waf_protocol::Value;

pub use findings::{Findings, SecurityTags, Versions};
pub use request::{HttpRequest, Shape};
pub use response::HttpResponse;
pub use sampler::Sampler;

/// Names and values for the WAF.
pub type Addresses = Vec<(Vec<u8>, Value)>;

/// The address that asks for schemas of what is known of the request.
pub fn schema_addresses() -> Addresses {
    let wanted = Value::Map(vec![(b"extract-schema".to_vec(), Value::Bool(true))]);
    vec![(b"waf.context.processor".to_vec(), wanted)]
}

/// The fields of a JSON object, not parsed yet. Of a name that comes twice, the last counts; a text that is no object has none.
struct Fields<'a>(HashMap<String, &'a RawValue>);

impl<'a> Fields<'a> {
    fn of(json: &'a str) -> Self {
        Self(serde_json::from_str(json).unwrap_or_default())
    }

    fn object(&self, name: &str) -> Self {
        self.raw(name).map_or_else(|| Self(HashMap::new()), Self::of)
    }

    /// The JSON of a field; None of null.
    fn raw(&self, name: &str) -> Option<&'a str> {
        self.0.get(name).map(|value| value.get()).filter(|value| *value != "null")
    }

    fn string(&self, name: &str) -> Option<String> {
        serde_json::from_str(self.raw(name)?).ok()
    }

    fn is_true(&self, name: &str) -> bool {
        self.raw(name) == Some("true")
    }
}

/// Lower-case names of headers, each with its values.
pub type Headers = Vec<(String, Vec<String>)>;

/// Headers of an object whose values are texts or lists of texts. Names that differ in case are one.
fn headers(json: Option<&str>) -> Headers {
    let mut headers = Headers::new();
    for (name, value) in entries(json) {
        let name = name.to_ascii_lowercase();
        let values = texts(&value);
        match headers.iter_mut().find(|(known, _)| *known == name) {
            Some((_, known)) => known.extend(values),
            None => headers.push((name, values)),
        }
    }
    headers
}

/// The entries of an object, at most as many as the WAF looks at, in order.
fn entries(json: Option<&str>) -> Vec<(String, serde_json::Value)> {
    let object: Option<serde_json::Map<String, serde_json::Value>> =
        json.and_then(|json| serde_json::from_str(json).ok());
    object.into_iter().flatten().take(limits::MAX_ENTRIES).collect()
}

/// The texts in a value: itself, or those of a list. Numbers and booleans as JSON writes them.
fn texts(value: &serde_json::Value) -> Vec<String> {
    match value {
        serde_json::Value::Array(values) => values.iter().take(limits::MAX_ENTRIES).filter_map(scalar).collect(),
        other => scalar(other).into_iter().collect(),
    }
}

fn scalar(value: &serde_json::Value) -> Option<String> {
    match value {
        serde_json::Value::String(text) => Some(text.clone()),
        serde_json::Value::Number(_) | serde_json::Value::Bool(_) => Some(value.to_string()),
        _ => None,
    }
}

/// The headers whose names are reported, each with one value of at most as many bytes as the WAF looks at.
fn reported(headers: Headers, is_reported: impl Fn(&str) -> bool) -> Headers {
    let reported = headers.into_iter().filter(|(name, _)| is_reported(name));
    reported.map(|(name, values)| (name, vec![shortened(values.join(","))])).collect()
}

/// The beginning of a text, at most as many bytes as the WAF looks at.
fn shortened(mut text: String) -> String {
    text.truncate(text.floor_char_boundary(limits::MAX_TEXT_BYTES));
    text.shrink_to_fit();
    text
}

/// The last value of a header.
fn last<'h>(headers: &'h Headers, name: &str) -> Option<&'h str> {
    let (_, values) = headers.iter().find(|(known, _)| known == name)?;
    values.last().map(String::as_str)
}

/// A map from names to lists of texts, as the WAF takes it, without the names in `except`.
fn list_map(entries: &[(String, Vec<String>)], except: &[&str]) -> Value {
    let kept = entries.iter().filter(|(name, _)| !except.contains(&name.as_str()));
    Value::Map(
        kept.map(|(name, values)| {
            let values = values.iter().map(|value| limits::text(value.as_bytes())).collect();
            (limits::cut(name.as_bytes()).to_vec(), Value::Array(values))
        })
        .collect(),
    )
}

/// Adds an address, unless there is nothing in it.
fn add(addresses: &mut Addresses, name: &str, value: Option<Value>) {
    let value = value.filter(|value| !matches!(value, Value::Map(entries) if entries.is_empty()));
    addresses.extend(value.map(|value| (name.as_bytes().to_vec(), value)));
}
