//! A digest of the payloads that reached the intake, which is the same for every run of the same program.
//!
//! It is the same whatever the order and however the same content was cut into requests: it is taken over the multiset of log elements and over
//! the totals of every metric, and over the multiset of spans and the totals of every trace statistic. What is left out: times, durations, what was read from the machine, the extension's own lines and its version.
//! Ids are blanked, but which elements have an id in common counts.

mod text;
mod traces;

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use crate::sandbox::OutputLine;
use crate::sandbox::intake::{Kind, Payload, Request, Series, Sketch};
use crate::sandbox::setup::Origin;
use text::{TextWithoutIds, blank};

/// Tags that identify the build of the sender, not its payload.
const BUILD_TAGS: [&str; 1] = ["dd_extension_version"];
/// Tags that an extension derives from all processes of the machine, where a sandbox is not alone. Only their presence counts.
const MACHINE_TAGS: [&str; 1] = ["runtime"];
/// The prefix of Datadog's enhanced metrics. The values of some depend on the machine; their number of points still counts.
const ENHANCED: &str = "aws.lambda.enhanced.";
/// Substrings of the names of enhanced metrics whose values depend on the machine.
const MEASURED: [&str; 4] = ["duration", "latency", "estimated_cost", "max_memory_used"];
/// Prefixes of the names of enhanced metrics that an extension reads from the machine while it runs. Not even their number counts: an invocation shorter than
/// the resolution of the kernel's clock has no utilization, and a resource that was unused when it was sampled has no usage.
const READ: [&str; 8] = ["cpu_", "num_cores", "total_network", "rx_bytes", "tx_bytes", "tmp_", "fd_", "threads_"];

/// The digest as 16 hexadecimal digits. `output` is what the function and the extensions printed; log elements that carry a line of an extension are ignored.
pub fn digest(requests: &[Request], output: &[OutputLine]) -> String {
    let own: BTreeSet<_> = output
        .iter()
        .filter(|line| matches!(line.origin, Origin::Extension(_)))
        .map(|line| String::from_utf8_lossy(&line.bytes).into_owned())
        .collect();
    let mut content = Content { own, ..Content::default() };
    requests.iter().filter(|request| request.delivered()).for_each(|request| content.add(request));
    content.digest()
}

/// The delivered payloads in a form without order.
#[derive(Default)]
struct Content {
    own: BTreeSet<String>,
    elements: Vec<TextWithoutIds>,
    totals: BTreeMap<String, Total>,
}

/// The total of a metric with its tags, independent of how its points were aggregated.
#[derive(Clone, Copy, Default)]
struct Total {
    count: i64,
    sum: f64,
}

impl Content {
    fn add(&mut self, request: &Request) {
        match &request.payload {
            Payload::Logs(elements) => elements.iter().for_each(|element| self.log(element)),
            Payload::Series(all) => {
                all.iter().filter(|series| !is_read(&series.metric)).for_each(|series| self.series(series));
            }
            Payload::Sketches(all) => {
                all.iter().filter(|sketch| !is_read(&sketch.metric)).for_each(|sketch| self.sketch(sketch));
            }
            Payload::Traces(payload) => self.traces(payload),
            Payload::Stats(payload) => self.stats(payload),
            Payload::Proxied(body) => self.proxied(request, body),
            Payload::Unknown { start } => self.element(&json!({"path": request.path, "start": start})),
            Payload::Undecodable { reason } => self.element(&json!({"path": request.path, "reason": reason})),
        }
    }

    fn log(&mut self, element: &Value) {
        let text = element.pointer("/message/message").or_else(|| element.get("message")).and_then(Value::as_str);
        if !text.is_some_and(|text| self.own.contains(text)) {
            self.element(&json!({"log": element}));
        }
    }

    fn element(&mut self, element: &Value) {
        let mut ids = Vec::new();
        let text = canonical("", element, &mut ids).to_string();
        self.elements.push(TextWithoutIds { text, ids });
    }

    fn series(&mut self, series: &Series) {
        let what = json!({
            "series": series.metric,
            "kind": series.kind,
            "tags": tags(series.tags.iter().map(String::as_str)),
            "resources": series.resources,
            "interval": series.interval,
            "unit": series.unit,
            "source": series.source_type_name,
            "origin": series.origin,
        });
        for point in &series.points {
            // Counts of one interval may have been aggregated before delivery. Points of any other kind are kept apart.
            if series.kind == Kind::Count {
                self.total(&series.metric, &what, Total { count: 0, sum: point.value });
            } else if is_measured(&series.metric) {
                self.total(&series.metric, &what, Total { count: 1, sum: 0.0 });
            } else {
                self.element(&json!({"of": what, "value": rounded(point.value)}));
            }
        }
    }

    fn sketch(&mut self, sketch: &Sketch) {
        let tags = tags(sketch.tags.iter().map(String::as_str));
        let what = json!({"sketch": sketch.metric, "host": sketch.host, "tags": tags, "origin": sketch.origin});
        for samples in &sketch.distributions {
            self.total(&sketch.metric, &what, Total { count: samples.cnt, sum: samples.sum });
        }
    }

    fn total(&mut self, metric: &str, what: &Value, more: Total) {
        let total = self.totals.entry(what.to_string()).or_default();
        total.count += more.count;
        total.sum += if is_measured(metric) { 0.0 } else { more.sum };
    }

    fn digest(mut self) -> String {
        for (what, total) in std::mem::take(&mut self.totals) {
            // Tags may contain ids.
            let mut without_ids = blank(&what);
            without_ids.text += &format!(" {} times, {}", total.count, rounded(total.sum));
            self.elements.push(without_ids);
        }
        let mut company: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
        for element in &self.elements {
            for id in &element.ids {
                company.entry(id).or_default().push(&element.text);
            }
        }
        let mut company: Vec<_> = company.into_values().collect();
        for elements in &mut company {
            elements.sort_unstable();
        }
        company.sort_unstable();
        let mut elements: Vec<_> = self.elements.iter().map(|element| element.text.as_str()).collect();
        elements.sort_unstable();
        let canonical = json!({"elements": elements, "with one id": company});
        let hash = Sha256::digest(canonical.to_string());
        super::hexadecimal(hash.get(..8).unwrap_or_default())
    }
}

/// A JSON value without what differs between runs, its objects' keys in alphabetical order.
fn canonical(key: &str, value: &Value, ids: &mut Vec<String>) -> Value {
    match value {
        Value::Object(fields) => {
            let sorted: BTreeMap<_, _> = fields.iter().collect();
            sorted.into_iter().map(|(key, value)| (key.clone(), canonical(key, value, ids))).collect()
        }
        Value::Array(values) => values.iter().map(|value| canonical(key, value, ids)).collect(),
        Value::Number(_) if text::names_a_measurement(key) => json!("(measured)"),
        Value::String(_) if key == "timestamp" => json!("(measured)"),
        Value::String(text) => {
            let text = if key == "ddtags" { tags(text.split(',')) } else { text.clone() };
            let without_ids = blank(&text);
            ids.extend(without_ids.ids);
            Value::String(if key == "ddtags" {
                without_ids.text
            } else {
                text::without_measurements(&without_ids.text)
            })
        }
        other => other.clone(),
    }
}

/// Sorts and joins tags. Leaves out build tags and the values of machine tags.
fn tags<'a>(tags: impl Iterator<Item = &'a str>) -> String {
    let key = |tag: &'a str| tag.split(':').next().unwrap_or_default();
    let tags = tags.filter(|tag| !BUILD_TAGS.contains(&key(tag)));
    let mut tags: Vec<_> = tags.map(|tag| if MACHINE_TAGS.contains(&key(tag)) { key(tag) } else { tag }).collect();
    tags.sort_unstable();
    tags.join(",")
}

fn is_measured(metric: &str) -> bool {
    metric.strip_prefix(ENHANCED).is_some_and(|name| MEASURED.iter().any(|part| name.contains(part)))
}

fn is_read(metric: &str) -> bool {
    metric.strip_prefix(ENHANCED).is_some_and(|name| READ.iter().any(|part| name.starts_with(part)))
}

/// Formats with nine significant digits: sums differ in the last ones if they were added in another order.
fn rounded(value: f64) -> String {
    format!("{value:.8e}")
}

#[cfg(test)]
mod tests;
