//! The tags of a span: its own attributes, those of its library and its resource, and what else is known of it.

use std::borrow::Cow;

use super::{
    TooLarge,
    attributes::{find, from_json, separate, text, write_object},
    convert::{Conversion, ConversionBudget},
    message::{Attribute, Event, Link, Value},
};
use crate::process::{log::json, trace::span::Text};

/// Tags that an attribute `datadog.…` gives, with its name. What has the tag's name says less.
const MAPPED: [(&str, &str); 6] = [
    ("env", "datadog.env"),
    ("version", "datadog.version"),
    ("http.status_code", "datadog.http_status_code"),
    ("error.msg", "datadog.error.msg"),
    ("error.type", "datadog.error.type"),
    ("error.stack", "datadog.error.stack"),
];

/// The tags of an error, with the names that they have in an event.
const ERROR_TAGS: [(&str, &str); 3] =
    [("error.msg", "exception.message"), ("error.type", "exception.type"), ("error.stack", "exception.stacktrace")];

/// The name of the event that tells about an error.
const EXCEPTION: &str = "exception";

/// Attributes that are said elsewhere.
const ELSEWHERE: [&str; 4] = ["service.name", "operation.name", "resource.name", "span.type"];

const REQUEST_HEADER: &str = "http.request.header.";

/// Tags in the order in which they are found; of several with one key the last counts.
pub(super) struct Tags<'b, 'r> {
    pub(super) meta: Vec<(Text<'b>, Text<'b>)>,
    pub(super) metrics: Vec<(Text<'b>, f64)>,
    /// For each of [`MAPPED`], whether an attribute has it.
    mapped: [bool; MAPPED.len()],
    /// For each of [`MAPPED`], whether a number has it.
    mapped_metrics: [bool; MAPPED.len()],
    /// Tags of these names come from attributes `datadog.…` alone.
    ignores_mapped: bool,
    budget: &'r mut ConversionBudget,
}

impl<'b, 'r> Tags<'b, 'r> {
    pub(super) fn of(conversion: &Conversion<'_, 'b>, budget: &'r mut ConversionBudget) -> Result<Self, TooLarge> {
        let ignores_mapped = conversion.settings.ignore_missing_datadog_fields;
        let mapped = [false; MAPPED.len()];
        let (meta, metrics) = (Vec::new(), Vec::new());
        let mut tags = Self { meta, metrics, mapped, mapped_metrics: mapped, ignores_mapped, budget };
        tags.add_trace(conversion)?;
        tags.add_kind(conversion)?;
        tags.add_marks(conversion)?;
        tags.add_mapped(conversion)?;
        tags.add_resource(conversion)?;
        tags.add_events_and_links(conversion)?;
        tags.add_own(conversion)?;
        tags.add_status(conversion)?;
        if conversion.has_failed() {
            tags.add_error(conversion)?;
        }
        Ok(tags)
    }

    fn set(&mut self, key: impl Into<Text<'b>>, value: impl Into<Text<'b>>) -> Result<(), TooLarge> {
        let (key, value) = (key.into(), value.into());
        let owned = |text: &Text<'_>| if let Text::Owned(text) = text { text.len() } else { 0 };
        self.budget.take(owned(&key) + owned(&value))?;
        if let Some(mapped) = self.mapped_mut(&key) {
            *mapped = true;
        }
        self.budget.push(&mut self.meta, (key, value))
    }

    fn set_metric(&mut self, key: impl Into<Text<'b>>, value: f64) -> Result<(), TooLarge> {
        let key = key.into();
        if let Some(mapped) = of_mapped(&mut self.mapped_metrics, &key) {
            *mapped = true;
        }
        self.budget.push(&mut self.metrics, (key, value))
    }

    fn mapped_mut(&mut self, key: &str) -> Option<&mut bool> {
        of_mapped(&mut self.mapped, key)
    }

    fn add_trace(&mut self, conversion: &Conversion<'_, 'b>) -> Result<(), TooLarge> {
        let id = conversion.lookup.span.trace_id.unwrap_or_default();
        let high = id >> 64;
        if high != 0 {
            self.set("_dd.p.tid", format!("{high:016x}"))?;
        }
        self.set("otel.trace_id", format!("{id:032x}"))
    }

    fn add_kind(&mut self, conversion: &Conversion<'_, 'b>) -> Result<(), TooLarge> {
        let lookup = &conversion.lookup;
        let kind = lookup.span.kind.text();
        let own = lookup.own_tag("datadog.span.kind");
        if self.ignores_mapped {
            return own.map_or(Ok(()), |own| self.set("span.kind", own));
        }
        self.set("span.kind", own.unwrap_or(Text::Borrowed(kind)))?;
        self.set("span.type", kind)?;
        let keys = ["datadog.http_status_code", "http.response.status_code"];
        let code = keys.into_iter().find_map(|key| lookup.own(key)).and_then(|code| code.parse::<u32>().ok());
        if let Some(code) = code.filter(|code| *code != 0) {
            self.set_metric("http.status_code", code.into())?;
        }
        let resource = lookup.resource;
        let env = resource.tag("deployment.environment.name").or_else(|| resource.tag("deployment.environment"));
        env.map_or(Ok(()), |env| self.set("env", env))
    }

    fn add_marks(&mut self, conversion: &Conversion<'_, 'b>) -> Result<(), TooLarge> {
        for (key, is_set) in
            [("_top_level", conversion.is_top_level_by_kind()), ("_dd.measured", conversion.is_measured())]
        {
            if is_set {
                self.set_metric(key, 1.0)?;
            }
        }
        Ok(())
    }

    fn add_mapped(&mut self, conversion: &Conversion<'_, 'b>) -> Result<(), TooLarge> {
        for (tag, attribute) in MAPPED {
            if let Some(value) = conversion.lookup.own(attribute) {
                self.set(tag, value)?;
            }
        }
        Ok(())
    }

    /// What all spans of the resource and of the library have.
    fn add_resource(&mut self, conversion: &Conversion<'_, 'b>) -> Result<(), TooLarge> {
        for Attribute { key, value } in &conversion.lookup.resource.all {
            if let Some(value) = text(value, self.budget)?.filter(|value| !value.is_empty()) {
                self.add_text(key, value)?;
            }
        }
        for Attribute { key, value } in &conversion.scope.attributes {
            if let Some(value) = text(value, self.budget)?.filter(|value| !value.is_empty()) {
                self.set(key.clone(), value)?;
            }
        }
        let is_known = self.ignores_mapped || self.mapped_mut("version").is_some_and(|is_set| *is_set);
        let version = conversion.lookup.resource.text("service.version").filter(|_| !is_known);
        version.map_or(Ok(()), |version| self.set("version", version))
    }

    fn add_events_and_links(&mut self, conversion: &Conversion<'_, 'b>) -> Result<(), TooLarge> {
        let span = conversion.lookup.span;
        if span.events.iter().any(|event| event.name == EXCEPTION) {
            self.set("_dd.span_events.has_exception", "true")?;
        }
        if !span.events.is_empty() {
            let events = self.list(&span.events, write_event)?;
            self.set("events", events)?;
        }
        if !span.links.is_empty() {
            let links = self.list(&span.links, write_link)?;
            self.set("_dd.span_links", links)?;
        }
        Ok(())
    }

    /// A JSON array.
    fn list<T>(
        &mut self,
        elements: &[T],
        write: impl Fn(&mut Vec<u8>, &T, &mut ConversionBudget) -> Result<(), TooLarge>,
    ) -> Result<Text<'b>, TooLarge> {
        let mut out = vec![b'['];
        for element in elements {
            separate(&mut out);
            let before = out.len();
            write(&mut out, element, self.budget)?;
            self.budget.take(out.len() - before)?;
        }
        out.push(b']');
        Ok(from_json(out))
    }

    fn add_own(&mut self, conversion: &Conversion<'_, 'b>) -> Result<(), TooLarge> {
        for Attribute { key, value } in &conversion.lookup.span.attributes {
            match value {
                Value::Int(value) => self.add_number(key, as_double(*value))?,
                Value::Double(value) => self.add_number(key, *value)?,
                value => {
                    if let Some(value) = text(value, self.budget)? {
                        self.add_text(key, value)?;
                    }
                }
            }
        }
        Ok(())
    }

    /// An attribute that is a text.
    fn add_text(&mut self, key: &Text<'b>, value: Text<'b>) -> Result<(), TooLarge> {
        let is_known = self.mapped_mut(key).is_some_and(|is_set| *is_set);
        let is_ignored = self.ignores_mapped && self.mapped_mut(key).is_some();
        if is_elsewhere(key) || is_known || is_ignored {
            return Ok(());
        }
        if key == "analytics.event" {
            let rate = value.parse().ok().map(|is_wanted: bool| if is_wanted { 1.0 } else { 0.0 });
            return rate.map_or(Ok(()), |rate| self.set_metric("_dd1.sr.eausr", rate));
        }
        self.set(renamed(key), value)
    }

    /// An attribute that is a number.
    fn add_number(&mut self, key: &Text<'b>, value: f64) -> Result<(), TooLarge> {
        let ignores_mapped = self.ignores_mapped;
        let is_known = of_mapped(&mut self.mapped_metrics, key).is_some_and(|is_set| *is_set || ignores_mapped);
        if is_elsewhere(key) || is_known {
            return Ok(());
        }
        let key = if key == "sampling.priority" { "_sampling_priority_v1".into() } else { renamed(key) };
        self.set_metric(key, value)
    }

    fn add_status(&mut self, conversion: &Conversion<'_, 'b>) -> Result<(), TooLarge> {
        let (span, scope) = (conversion.lookup.span, conversion.scope);
        for (key, value) in [
            ("w3c.trace_state", &span.trace_state),
            ("otel.scope.name", &scope.name),
            ("otel.scope.version", &scope.version),
        ] {
            if !value.is_empty() {
                self.set(key, value.clone())?;
            }
        }
        if let Some(status) = &span.status {
            self.set("otel.status_code", status.code.to_string())?;
            self.set("otel.status_description", status.message.clone())?;
        }
        Ok(())
    }

    /// What an event tells about the error, the last one if there are several. Attributes `datadog.error.…` say more.
    fn add_error(&mut self, conversion: &Conversion<'_, 'b>) -> Result<(), TooLarge> {
        let lookup = &conversion.lookup;
        let exceptions = || lookup.span.events.iter().filter(|event| event.name == EXCEPTION).rev();
        for (tag, attribute) in ERROR_TAGS {
            if MAPPED.iter().any(|(mapped, by)| *mapped == tag && lookup.own(by).is_some()) {
                continue;
            }
            let of_event = |event: &Event<'b>| match find(&event.attributes, attribute) {
                Some(Value::Text(text)) if !text.is_empty() => Some(text.clone()),
                _ => None,
            };
            if let Some(value) = exceptions().find_map(of_event) {
                self.set(tag, value)?;
            }
        }
        if self.mapped_mut("error.msg").is_some_and(|is_set| *is_set) {
            return Ok(());
        }
        let message = lookup.span.status.as_ref().map(|status| status.message.clone());
        let message = message.filter(|message| !message.is_empty());
        let message = message.or_else(|| lookup.own("http.response.status_code"));
        message.map_or(Ok(()), |message| self.set("error.msg", message))
    }
}

/// The entry of a tag out of one for each of [`MAPPED`].
fn of_mapped<'m>(mapped: &'m mut [bool; MAPPED.len()], key: &str) -> Option<&'m mut bool> {
    mapped.iter_mut().zip(MAPPED).find(|(_, (tag, _))| *tag == key).map(|(is_set, _)| is_set)
}

fn is_elsewhere(key: &str) -> bool {
    ELSEWHERE.contains(&key) || key.starts_with("datadog.")
}

/// Headers of requests have the name that tracers give them.
fn renamed<'b>(key: &Text<'b>) -> Text<'b> {
    match key.strip_prefix(REQUEST_HEADER) {
        Some(header) => Cow::Owned(format!("http.request.headers.{header}")),
        None => key.clone(),
    }
}

#[expect(clippy::cast_precision_loss, reason = "numeric tags are doubles")]
fn as_double(value: i64) -> f64 {
    value as f64
}

fn write_event(out: &mut Vec<u8>, event: &Event<'_>, budget: &mut ConversionBudget) -> Result<(), TooLarge> {
    out.push(b'{');
    if event.time != 0 {
        out.extend_from_slice(format!("\"time_unix_nano\":{}", event.time).as_bytes());
    }
    if !event.name.is_empty() {
        separate(out);
        out.extend_from_slice(b"\"name\":");
        json::quote(out, &event.name);
    }
    write_attributes(out, &event.attributes, event.dropped_attributes, budget)?;
    out.push(b'}');
    Ok(())
}

fn write_link(out: &mut Vec<u8>, link: &Link<'_>, budget: &mut ConversionBudget) -> Result<(), TooLarge> {
    let (trace, span) = (link.trace_id.unwrap_or_default(), link.span_id);
    out.extend_from_slice(format!("{{\"trace_id\":\"{trace:032x}\",\"span_id\":\"{span:016x}\"").as_bytes());
    if !link.trace_state.is_empty() {
        out.extend_from_slice(b",\"tracestate\":");
        json::quote(out, &link.trace_state);
    }
    write_attributes(out, &link.attributes, link.dropped_attributes, budget)?;
    out.push(b'}');
    Ok(())
}

fn write_attributes(
    out: &mut Vec<u8>,
    attributes: &[Attribute<'_>],
    dropped: u64,
    budget: &mut ConversionBudget,
) -> Result<(), TooLarge> {
    if !attributes.is_empty() {
        separate(out);
        out.extend_from_slice(b"\"attributes\":");
        write_object(out, attributes, budget)?;
    }
    if dropped != 0 {
        separate(out);
        out.extend_from_slice(format!("\"dropped_attributes_count\":{dropped}").as_bytes());
    }
    Ok(())
}
