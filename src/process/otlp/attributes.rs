//! Attributes: looked up by key, and as texts.

use std::borrow::Cow;

use super::{
    TooLarge,
    convert::ConversionBudget,
    message::{Attribute, Resource, Span, Value},
};
use crate::process::{
    log::json,
    trace::{normalize, span::Text},
};

/// The attributes of a resource, by key: there may be many, and every span asks for some.
pub(super) struct ResourceAttributes<'b> {
    pub(super) all: Vec<Attribute<'b>>,
    /// Their places, in the order of their keys. A hash table would take as much memory as they do.
    by_key: Vec<usize>,
}

impl<'b> ResourceAttributes<'b> {
    pub(super) fn new(resource: Resource<'b>) -> Self {
        let all = resource.attributes;
        let mut by_key: Vec<usize> = (0..all.len()).collect();
        // Of several with one key the first stays the first.
        by_key.sort_by_key(|index| all.get(*index).map(|attribute| &attribute.key));
        Self { all, by_key }
    }

    fn get(&self, key: &str) -> Option<&Value<'b>> {
        let at = |index: &usize| self.all.get(*index);
        let first = self.by_key.partition_point(|index| at(index).is_some_and(|attribute| &*attribute.key < key));
        let attribute = self.by_key.get(first).and_then(at)?;
        (attribute.key == key).then_some(&attribute.value)
    }

    /// The text of a plain value that is not empty.
    pub(super) fn text(&self, key: &str) -> Option<Text<'b>> {
        plain(self.get(key)?)
    }

    /// The same in the form of a tag.
    pub(super) fn tag(&self, key: &str) -> Option<Text<'b>> {
        normalized(self.text(key)?)
    }
}

/// The first attribute with this key.
pub(super) fn find<'a, 'b>(attributes: &'a [Attribute<'b>], key: &str) -> Option<&'a Value<'b>> {
    attributes.iter().find(|attribute| attribute.key == key).map(|attribute| &attribute.value)
}

/// A span beside its resource.
#[derive(Clone, Copy)]
pub(super) struct Lookup<'a, 'b> {
    pub(super) span: &'a Span<'b>,
    pub(super) resource: &'a ResourceAttributes<'b>,
}

impl<'b> Lookup<'_, 'b> {
    /// The span's own text, if it is plain and not empty.
    pub(super) fn own(&self, key: &str) -> Option<Text<'b>> {
        plain(find(&self.span.attributes, key)?)
    }

    /// The same in the form of a tag.
    pub(super) fn own_tag(&self, key: &str) -> Option<Text<'b>> {
        normalized(self.own(key)?)
    }

    /// The resource's text, else the span's.
    pub(super) fn either(&self, key: &str) -> Option<Text<'b>> {
        self.resource.text(key).or_else(|| self.own(key))
    }

    /// The same in the form of a tag.
    pub(super) fn either_tag(&self, key: &str) -> Option<Text<'b>> {
        self.resource.tag(key).or_else(|| self.own_tag(key))
    }
}

fn normalized(mut text: Text<'_>) -> Option<Text<'_>> {
    normalize::tag(&mut text);
    Some(text).filter(|text| !text.is_empty())
}

/// The text of a value that is not made of others. A rule asks for no other: what a list or a map is as a text may take much memory.
fn plain<'b>(value: &Value<'b>) -> Option<Text<'b>> {
    let text = match value {
        Value::Text(text) => text.clone(),
        Value::Bool(value) => Cow::Borrowed(if *value { "true" } else { "false" }),
        Value::Int(value) => Cow::Owned(value.to_string()),
        Value::Double(value) => Cow::Owned(value.to_string()),
        Value::Unset | Value::Array(_) | Value::Map(_) | Value::Bytes(_) => return None,
    };
    Some(text).filter(|text| !text.is_empty())
}

/// What a value is as a tag: bytes are hexadecimal, lists and maps are JSON whose values are texts. None if no value is set. Texts inside of texts are escaped as
/// often as they are deep, so that each is counted before the next is made of it.
pub(super) fn text<'b>(value: &Value<'b>, budget: &mut ConversionBudget) -> Result<Option<Text<'b>>, TooLarge> {
    let text = match value {
        Value::Unset => return Ok(None),
        Value::Text(text) => text.clone(),
        Value::Bool(_) | Value::Int(_) | Value::Double(_) => plain(value).unwrap_or_default(),
        Value::Bytes(bytes) => {
            budget.take(2 * bytes.len())?;
            let mut text = String::with_capacity(2 * bytes.len());
            bytes.iter().for_each(|byte| text.push_str(&format!("{byte:02x}")));
            Cow::Owned(text)
        }
        Value::Array(values) => {
            let mut out = vec![b'['];
            for value in values {
                if let Some(text) = self::text(value, budget)? {
                    separate(&mut out);
                    json::quote(&mut out, &text);
                }
            }
            out.push(b']');
            from_json(out)
        }
        Value::Map(attributes) => {
            let mut out = Vec::new();
            write_object(&mut out, attributes, budget)?;
            from_json(out)
        }
    };
    if let Cow::Owned(text) = &text {
        budget.take(text.len())?;
    }
    Ok(Some(text))
}

/// Writes attributes as a JSON object of texts.
pub(super) fn write_object(
    out: &mut Vec<u8>,
    attributes: &[Attribute<'_>],
    budget: &mut ConversionBudget,
) -> Result<(), TooLarge> {
    out.push(b'{');
    for attribute in attributes {
        if let Some(text) = text(&attribute.value, budget)? {
            separate(out);
            json::quote(out, &attribute.key);
            out.push(b':');
            json::quote(out, &text);
        }
    }
    out.push(b'}');
    Ok(())
}

/// Writes a comma unless this is the first of a list or an object.
pub(super) fn separate(out: &mut Vec<u8>) {
    if !matches!(out.last(), Some(b'[' | b'{')) {
        out.push(b',');
    }
}

/// A text of what was written as JSON.
pub(super) fn from_json<'b>(json: Vec<u8>) -> Text<'b> {
    Cow::Owned(String::from_utf8(json).unwrap_or_default())
}
