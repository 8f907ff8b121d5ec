//! One line of a datagram.
//!
//! Source: Datadog documentation, "Datagram Format and Shell Usage", protocol versions 1.0 to 1.3 and the fields that later ones add.

use std::borrow::Cow;

/// How many tags a metric may bring along.
const MAX_TAGS: usize = 100;
/// For how many values one stands at most: a sample rate of one in a million.
const MAX_WEIGHT: f64 = 1e6;

/// What a line is.
#[derive(Debug, Clone, PartialEq)]
pub enum Line<'a> {
    /// A metric.
    Metric(Metric<'a>),
    /// An event.
    Event,
    /// A service check.
    ServiceCheck,
    /// The count of invocations that older libraries send beside the extension's own.
    Invocations,
}

/// Values of one metric.
#[derive(Debug, Clone, PartialEq)]
pub struct Metric<'a> {
    /// Its name, as it was sent.
    pub name: Cow<'a, str>,
    /// What was measured.
    pub value: Value<'a>,
    /// Sorted, each once, none empty.
    pub tags: Vec<&'a str>,
    /// When, in seconds since the epoch; never in the future.
    pub second: i64,
}

/// All values of a line taken together, as its type says.
#[derive(Debug, Clone, PartialEq)]
pub enum Value<'a> {
    /// So many more, those that were not sampled included.
    Count(f64),
    /// The state of something; the last one counts.
    Gauge(f64),
    /// A member of a set, of which the distinct ones are counted.
    Set(&'a str),
    /// A distribution, a histogram or a timing: they are the same to the intake.
    Distribution {
        /// Finite numbers, at least one.
        values: Vec<f64>,
        /// For how many each of them stands.
        weight: u32,
    },
}

/// What is wrong with a line: the end of a sentence that begins with it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ParseError {
    /// It is not UTF-8.
    #[error("is not UTF-8")]
    Encoding,
    /// There is nothing before the first colon, or no colon.
    #[error("has no name")]
    Name,
    /// There is nothing after the value.
    #[error("has no type")]
    NoType,
    /// The type is none of `c`, `g`, `h`, `d`, `ms` and `s`.
    #[error("has an unknown type")]
    Type,
    /// A value is no finite number, or a set's member is empty.
    #[error("has an unusable value")]
    Value,
    /// The sample rate is no positive number.
    #[error("has an unusable sample rate")]
    Rate,
    /// The timestamp is no number.
    #[error("has an unusable timestamp")]
    Time,
    /// There are more than a hundred tags.
    #[error("has too many tags")]
    Tags,
}

/// Reads a line without its end. `now` is in seconds since the epoch.
pub fn parse(line: &[u8], now: i64) -> Result<Line<'_>, ParseError> {
    if line.starts_with(b"_e{") {
        return Ok(Line::Event);
    }
    if line.starts_with(b"_sc|") {
        return Ok(Line::ServiceCheck);
    }
    if line.starts_with(b"aws.lambda.enhanced.invocations") {
        return Ok(Line::Invocations);
    }
    let line = str::from_utf8(line).map_err(|_| ParseError::Encoding)?;
    let mut fields = line.split('|');
    let named = fields.next().and_then(|field| field.split_once(':')).filter(|(name, _)| !name.is_empty());
    let (name, raw) = named.ok_or(ParseError::Name)?;
    let kind = fields.next().ok_or(ParseError::NoType)?;
    let rest = MetricFields::read(fields, now)?;
    let value = value(kind, raw, rest.rate)?;
    Ok(Line::Metric(Metric { name: name.into(), value, tags: rest.tags, second: rest.second }))
}

/// What may follow the type, in any order. Of each the last one counts.
struct MetricFields<'a> {
    rate: f64,
    tags: Vec<&'a str>,
    second: i64,
}

impl<'a> MetricFields<'a> {
    fn read(fields: impl Iterator<Item = &'a str>, now: i64) -> Result<Self, ParseError> {
        let mut rest = Self { rate: 1.0, tags: Vec::new(), second: now };
        for field in fields {
            if let Some(tags) = field.strip_prefix('#') {
                rest.tags = self::tags(tags)?;
            } else if let Some(rate) = field.strip_prefix('@') {
                rest.rate = number(rate).filter(|rate| *rate > 0.0).ok_or(ParseError::Rate)?;
            } else if let Some(second) = field.strip_prefix('T') {
                rest.second = second_of(second, now)?;
            }
            // The container, its external data, the cardinality of its tags: a sandbox has one container. And whatever comes after this was written.
        }
        Ok(rest)
    }
}

fn value<'a>(kind: &str, raw: &'a str, rate: f64) -> Result<Value<'a>, ParseError> {
    let numbers = || raw.split(':').map(|text| number(text).ok_or(ParseError::Value));
    // A rate above one would mean that more was sent than there was.
    let weight = 1.0 / rate.min(1.0);
    match kind {
        "c" => {
            let count = numbers().sum::<Result<f64, ParseError>>()? * weight;
            if count.is_finite() { Ok(Value::Count(count)) } else { Err(ParseError::Value) }
        }
        "g" => Ok(Value::Gauge(numbers().try_fold(0.0, |_, number| number)?)),
        "h" | "d" | "ms" => {
            Ok(Value::Distribution { values: numbers().collect::<Result<_, _>>()?, weight: whole(weight) })
        }
        // Members are any text: values of a set are not packed.
        "s" if raw.is_empty() => Err(ParseError::Value),
        "s" => Ok(Value::Set(raw)),
        _ => Err(ParseError::Type),
    }
}

fn number(text: &str) -> Option<f64> {
    text.parse().ok().filter(|number: &f64| number.is_finite())
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "within 1 and a million")]
fn whole(weight: f64) -> u32 {
    weight.min(MAX_WEIGHT).round() as u32
}

/// A time before the epoch is none at all, and one to come would be refused by the intake.
#[expect(clippy::cast_possible_truncation, reason = "a cast from a float saturates, and the range follows")]
fn second_of(text: &str, now: i64) -> Result<i64, ParseError> {
    let second = number(text).ok_or(ParseError::Time)?.round() as i64;
    Ok(second.max(0).min(now))
}

fn tags(text: &str) -> Result<Vec<&str>, ParseError> {
    let mut tags: Vec<_> = text.split(',').map(without_empty_value).filter(|tag| !tag.is_empty()).collect();
    if tags.len() > MAX_TAGS {
        return Err(ParseError::Tags);
    }
    tags.sort_unstable();
    tags.dedup();
    Ok(tags)
}

/// A key without a value is a tag of its own.
fn without_empty_value(tag: &str) -> &str {
    match tag.split_once(':') {
        Some((key, "")) => key,
        _ => tag,
    }
}
