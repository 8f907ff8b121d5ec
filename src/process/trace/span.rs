//! A span in memory: its strings are slices of the request body it was decoded from.
//!
//! Nothing is copied unless a rule changes it, so that decoding a span allocates for its lists only. Spans that outlive their request body become
//! `Span<'static>` with [`Span::into_owned`].

use std::borrow::Cow;

use super::map::Map;

/// A text of a span: a slice of the request body, or owned where it was changed.
pub type Text<'b> = Cow<'b, str>;

/// Whether two texts are the same. Most of those that are compared differ in length, or are one slice of the request body: neither takes a call then.
#[expect(clippy::inline_always, reason = "in the loops over the tags of every span")]
#[inline(always)]
pub(super) fn is_same(one: &str, other: &str) -> bool {
    one.len() == other.len() && (std::ptr::eq(one.as_ptr(), other.as_ptr()) || one == other)
}

/// One timed operation of a trace.
///
/// Source: Datadog's `span.proto`; the fields have the names of the tracers' wire format.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Span<'b> {
    pub service: Text<'b>,
    /// The operation, such as `aws.lambda`.
    pub name: Text<'b>,
    /// What the operation is about, such as a route or a query.
    pub resource: Text<'b>,
    /// The wire's `type`: `web`, `sql`, `serverless`, …
    pub kind: Text<'b>,
    /// The low half of the trace id; the high half is the tag `_dd.p.tid`.
    pub trace_id: u64,
    pub span_id: u64,
    /// 0 for the root of a trace.
    pub parent_id: u64,
    /// Nanoseconds since the epoch.
    pub start: i64,
    /// Nanoseconds.
    pub duration: i64,
    /// 0 without an error.
    pub error: i32,
    /// Text tags.
    pub meta: Map<'b, Text<'b>>,
    /// Numeric tags.
    pub metrics: Map<'b, f64>,
    /// Binary tags, each a msgpack document.
    pub meta_struct: Map<'b, Cow<'b, [u8]>>,
    pub links: Vec<Link<'b>>,
    pub events: Vec<Event<'b>>,
}

/// A reference to a span of another trace.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Link<'b> {
    /// The low half of the trace id.
    pub trace_id: u64,
    /// The high half of the trace id.
    pub trace_id_high: u64,
    pub span_id: u64,
    pub attributes: Map<'b, Text<'b>>,
    /// The W3C header of that trace.
    pub tracestate: Text<'b>,
    /// The W3C flags; bit 31 says that they are set.
    pub flags: u32,
}

/// Something that happened at one moment of a span.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Event<'b> {
    /// Nanoseconds since the epoch.
    pub time: u64,
    pub name: Text<'b>,
    pub attributes: Map<'b, Value<'b>>,
}

/// An attribute's value.
#[derive(Debug, Clone, PartialEq)]
pub enum Value<'b> {
    Text(Text<'b>),
    Bool(bool),
    Int(i64),
    Double(f64),
    /// Values that are no arrays; the wire knows no others, and the decoder refuses them.
    Array(Vec<Value<'b>>),
}

impl Span<'_> {
    /// The end in nanoseconds since the epoch.
    pub fn end(&self) -> i64 {
        self.start.saturating_add(self.duration)
    }

    /// How many bytes of memory those texts take that are no slices of the request body. Links are never changed.
    pub(super) fn owned_bytes(&self) -> usize {
        let fields = [&self.service, &self.name, &self.resource, &self.kind];
        let texts = fields.into_iter().chain(self.meta.iter().map(|(_, value)| value)).map(owned_bytes);
        let attributes = self.events.iter().flat_map(|event| event.attributes.iter());
        texts.sum::<usize>() + attributes.map(|(_, value)| value.owned_bytes()).sum::<usize>()
    }

    /// The same span, independent of the request body.
    pub fn into_owned(self) -> Span<'static> {
        Span {
            service: owned(self.service),
            name: owned(self.name),
            resource: owned(self.resource),
            kind: owned(self.kind),
            trace_id: self.trace_id,
            span_id: self.span_id,
            parent_id: self.parent_id,
            start: self.start,
            duration: self.duration,
            error: self.error,
            meta: self.meta.into_owned(owned),
            metrics: self.metrics.into_owned(|value| value),
            meta_struct: self.meta_struct.into_owned(|value| Cow::Owned(value.into_owned())),
            links: self.links.into_iter().map(Link::into_owned).collect(),
            events: self.events.into_iter().map(Event::into_owned).collect(),
        }
    }
}

impl Link<'_> {
    /// The same link, independent of the request body.
    pub fn into_owned(self) -> Link<'static> {
        Link {
            trace_id: self.trace_id,
            trace_id_high: self.trace_id_high,
            span_id: self.span_id,
            attributes: self.attributes.into_owned(owned),
            tracestate: owned(self.tracestate),
            flags: self.flags,
        }
    }
}

impl Event<'_> {
    /// The same event, independent of the request body.
    pub fn into_owned(self) -> Event<'static> {
        Event { time: self.time, name: owned(self.name), attributes: self.attributes.into_owned(Value::into_owned) }
    }
}

fn owned_bytes(text: &Text<'_>) -> usize {
    match text {
        Text::Borrowed(_) => 0,
        Text::Owned(text) => text.capacity(),
    }
}

impl Value<'_> {
    /// How many bytes its texts take that are no slices of the request body.
    fn owned_bytes(&self) -> usize {
        match self {
            Self::Text(text) => owned_bytes(text),
            Self::Array(values) => values.iter().map(Self::owned_bytes).sum(),
            Self::Bool(_) | Self::Int(_) | Self::Double(_) => 0,
        }
    }

    /// The same value, independent of the request body.
    pub fn into_owned(self) -> Value<'static> {
        match self {
            Self::Text(text) => Value::Text(owned(text)),
            Self::Bool(value) => Value::Bool(value),
            Self::Int(value) => Value::Int(value),
            Self::Double(value) => Value::Double(value),
            Self::Array(values) => Value::Array(values.into_iter().map(Value::into_owned).collect()),
        }
    }
}

pub(super) fn owned(text: Text<'_>) -> Text<'static> {
    Cow::Owned(text.into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_owned_span_equals_the_borrowed_one() {
        let mut span = Span { service: "s".into(), name: "n".into(), trace_id: 7, error: 1, ..Span::default() };
        span.meta.set("k", "v".into());
        span.metrics.set("m", 1.5);
        span.meta_struct.set("b", Cow::Borrowed(b"\x80"));
        span.links.push(Link { span_id: 3, tracestate: "dd=s:1".into(), ..Link::default() });
        let mut event = Event { time: 1, name: "e".into(), ..Event::default() };
        event.attributes.set(
            "a",
            Value::Array(vec![Value::Int(1), Value::Text("x".into()), Value::Bool(true), Value::Double(0.5)]),
        );
        span.events.push(event);
        let owned: Span<'static> = span.clone().into_owned();
        assert_eq!(owned, span);
    }

    #[test]
    fn a_spans_end_is_never_beyond_the_clock() {
        let span = Span { start: i64::MAX, duration: 5, ..Span::default() };
        assert_eq!(span.end(), i64::MAX);
    }
}
