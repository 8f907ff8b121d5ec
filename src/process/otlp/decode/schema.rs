//! The fields of each message: number, name in JSON, whether it is repeated, and where it goes.

use super::{Field, FieldValue, Message};
use crate::process::otlp::message::{
    ArrayValue, Attribute, Event, KeyValueList, Kind, Link, Request, Resource, ResourceSpans, STATUS_ERROR, Scope,
    ScopeSpans, Span, Status, Value,
};

macro_rules! is_repeated {
    (one) => {
        false
    };
    (many) => {
        true
    };
}

macro_rules! messages {
    ($($type:ident { $($number:literal $name:literal $count:ident |$it:ident, $value:ident| $read:expr;)* })*) => {$(
        impl<'b> Message<'b> for $type<'b> {
            const FIELDS: &'static [Field] =
                &[$(Field { number: $number, name: $name, is_repeated: is_repeated!($count) }),*];

            fn read<V: FieldValue<'b>>(&mut self, number: u64, value: V) -> Result<(), V::Error> {
                match number {
                    $($number => {
                        let ($it, $value) = (self, value);
                        $read;
                    })*
                    _ => value.skip()?,
                }
                Ok(())
            }
        }
    )*};
}

messages! {
    Request {
        1 "resourceSpans" many |it, value| value.push(&mut it.resource_spans)?;
    }
    ResourceSpans {
        1 "resource" one |it, value| it.resource = value.message()?;
        2 "scopeSpans" many |it, value| value.push(&mut it.scope_spans)?;
    }
    Resource {
        1 "attributes" many |it, value| value.push(&mut it.attributes)?;
    }
    ScopeSpans {
        1 "scope" one |it, value| it.scope = value.message()?;
        2 "spans" many |it, value| value.push(&mut it.spans)?;
    }
    Scope {
        1 "name" one |it, value| it.name = value.text()?;
        2 "version" one |it, value| it.version = value.text()?;
        3 "attributes" many |it, value| value.push(&mut it.attributes)?;
    }
    Span {
        1 "traceId" one |it, value| it.trace_id = value.id()?.map(u128::from_be_bytes);
        2 "spanId" one |it, value| it.span_id = value.id()?.map_or(0, u64::from_be_bytes);
        3 "traceState" one |it, value| it.trace_state = value.text()?;
        4 "parentSpanId" one |it, value| it.parent_span_id = value.id()?.map_or(0, u64::from_be_bytes);
        5 "name" one |it, value| it.name = value.text()?;
        6 "kind" one |it, value| it.kind = kind(value.enumeration(kind_number)?);
        7 "startTimeUnixNano" one |it, value| it.start = value.unsigned()?;
        8 "endTimeUnixNano" one |it, value| it.end = value.unsigned()?;
        9 "attributes" many |it, value| value.push(&mut it.attributes)?;
        11 "events" many |it, value| value.push(&mut it.events)?;
        13 "links" many |it, value| value.push(&mut it.links)?;
        15 "status" one |it, value| it.status = Some(value.message()?);
    }
    Event {
        1 "timeUnixNano" one |it, value| it.time = value.unsigned()?;
        2 "name" one |it, value| it.name = value.text()?;
        3 "attributes" many |it, value| value.push(&mut it.attributes)?;
        4 "droppedAttributesCount" one |it, value| it.dropped_attributes = value.unsigned()?;
    }
    Link {
        1 "traceId" one |it, value| it.trace_id = value.id()?.map(u128::from_be_bytes);
        2 "spanId" one |it, value| it.span_id = value.id()?.map_or(0, u64::from_be_bytes);
        3 "traceState" one |it, value| it.trace_state = value.text()?;
        4 "attributes" many |it, value| value.push(&mut it.attributes)?;
        5 "droppedAttributesCount" one |it, value| it.dropped_attributes = value.unsigned()?;
    }
    Status {
        2 "message" one |it, value| it.message = value.text()?;
        3 "code" one |it, value| it.code = value.enumeration(status_number)?;
    }
    Attribute {
        1 "key" one |it, value| it.key = value.text()?;
        2 "value" one |it, value| it.value = value.message()?;
    }
    Value {
        1 "stringValue" one |it, value| *it = Self::Text(value.text()?);
        2 "boolValue" one |it, value| *it = Self::Bool(value.bool()?);
        3 "intValue" one |it, value| *it = Self::Int(value.signed()?);
        4 "doubleValue" one |it, value| *it = Self::Double(value.double()?);
        5 "arrayValue" one |it, value| *it = Self::Array(value.message::<ArrayValue>()?.values);
        6 "kvlistValue" one |it, value| *it = Self::Map(value.message::<KeyValueList>()?.values);
        7 "bytesValue" one |it, value| *it = Self::Bytes(value.bytes()?);
    }
    ArrayValue {
        1 "values" many |it, value| value.push(&mut it.values)?;
    }
    KeyValueList {
        1 "values" many |it, value| value.push(&mut it.values)?;
    }
}

/// One that is not known is as good as none.
fn kind(number: i64) -> Kind {
    usize::try_from(number).ok().and_then(|number| Kind::ALL.get(number)).copied().unwrap_or_default()
}

fn kind_number(name: &str) -> Option<i64> {
    Kind::ALL.iter().position(|kind| kind.name() == name).and_then(|number| i64::try_from(number).ok())
}

fn status_number(name: &str) -> Option<i64> {
    match name {
        "STATUS_CODE_UNSET" => Some(0),
        "STATUS_CODE_OK" => Some(1),
        "STATUS_CODE_ERROR" => Some(STATUS_ERROR),
        _ => None,
    }
}
