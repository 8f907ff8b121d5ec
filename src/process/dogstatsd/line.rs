//! Parser for one line of a DogStatsD datagram.
//!
//! Source: Datadog documentation, "Datagram Format and Shell Usage", protocol versions 1.0 to 1.3. Fields that later versions add are ignored.

use std::borrow::Cow;

/// Maximum number of tags of a metric.
const MAX_TAGS: usize = 100;
/// Maximum weight of a value: a sample rate of one in a million.
const MAX_WEIGHT: f64 = 1e6;

/// A parsed line.
#[derive(Debug, Clone, PartialEq)]
pub enum DogStatsdLine<'a> {
    /// A metric.
    Metric(Metric<'a>),
    /// An event.
    Event,
    /// A service check.
    ServiceCheck,
    /// `aws.lambda.enhanced.invocations`, which older Datadog libraries send. The extension counts invocations itself.
    Invocations,
}

/// A metric with one or more values.
#[derive(Debug, Clone, PartialEq)]
pub struct Metric<'a> {
    /// The name as sent.
    pub name: Cow<'a, str>,
    /// The value or values.
    pub value: Value<'a>,
    /// Sorted; each tag once, none empty.
    pub tags: Vec<&'a str>,
    /// Timestamp in seconds since the epoch; never in the future.
    pub second: i64,
}

/// The values of a line, combined according to its type.
#[derive(Debug, Clone, PartialEq)]
pub enum Value<'a> {
    /// The sum of the values, scaled up by the sample rate.
    Count(f64),
    /// A gauge; the last value wins.
    Gauge(f64),
    /// A member of a set. The metric is the number of distinct members.
    Set(&'a str),
    /// A distribution, a histogram or a timing. The intake treats all three alike.
    Distribution {
        /// Finite numbers, at least one.
        values: Vec<f64>,
        /// Number of occurrences that each value represents: the inverse of the sample rate.
        weight: u32,
    },
}

/// The reason why a line cannot be parsed. The text completes a sentence that begins with the line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ParseError {
    /// The line is not UTF-8.
    #[error("is not UTF-8")]
    Encoding,
    /// There is no colon, or nothing before the first one.
    #[error("has no name")]
    Name,
    /// There is no type after the value.
    #[error("has no type")]
    NoType,
    /// The type is none of `c`, `g`, `h`, `d`, `ms` and `s`.
    #[error("has an unknown type")]
    Type,
    /// A value is not a finite number, or a set's member is empty.
    #[error("has an unusable value")]
    Value,
    /// The sample rate is not a positive number.
    #[error("has an unusable sample rate")]
    Rate,
    /// The timestamp is not a number.
    #[error("has an unusable timestamp")]
    Time,
    /// The line has more than 100 tags.
    #[error("has too many tags")]
    Tags,
}

/// Parses a line without its line end. `now` is in seconds since the epoch.
pub fn parse(line: &[u8], now: i64) -> Result<DogStatsdLine<'_>, ParseError> {
    if line.starts_with(b"_e{") {
        return Ok(DogStatsdLine::Event);
    }
    if line.starts_with(b"_sc|") {
        return Ok(DogStatsdLine::ServiceCheck);
    }
    if line.starts_with(b"aws.lambda.enhanced.invocations") {
        return Ok(DogStatsdLine::Invocations);
    }
    let line = str::from_utf8(line).map_err(|_| ParseError::Encoding)?;
    let mut fields = line.split('|');
    let named = fields.next().and_then(|field| field.split_once(':')).filter(|(name, _)| !name.is_empty());
    let (name, raw) = named.ok_or(ParseError::Name)?;
    let kind = fields.next().ok_or(ParseError::NoType)?;
    let rest = MetricFields::read(fields, now)?;
    let value = value(kind, raw, rest.rate)?;
    Ok(DogStatsdLine::Metric(Metric { name: name.into(), value, tags: rest.tags, second: rest.second }))
}

/// The optional fields after the type, in any order. The last field of a kind wins.
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
            // Other fields are ignored: container id, external data and tag cardinality (a sandbox has one container), and fields of later protocol
            // versions.
        }
        Ok(rest)
    }
}

fn value<'a>(kind: &str, raw: &'a str, rate: f64) -> Result<Value<'a>, ParseError> {
    let numbers = || raw.split(':').map(|text| number(text).ok_or(ParseError::Value));
    // A rate above one would make the weight less than one, so it counts as one.
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
        // Members of a set may contain colons: a set line holds one value.
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

/// Parses a timestamp in seconds. A time before the epoch becomes 0; a future time becomes `now`, because the intake rejects future timestamps.
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

/// Removes the colon from a tag with an empty value: `key:` becomes `key`.
fn without_empty_value(tag: &str) -> &str {
    match tag.split_once(':') {
        Some((key, "")) => key,
        _ => tag,
    }
}
