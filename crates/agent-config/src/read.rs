//! Converts the raw value of a source to a typed value, or returns why that is impossible.
//!
//! A reason completes a sentence that starts with the setting's name, and does not repeat the value.

use std::borrow::Cow;
use std::num::{IntErrorKind, ParseIntError};
use std::ops::RangeInclusive;
use std::str::FromStr;
use std::time::Duration;

use serde_json::Value;
use tracing::level_filters::LevelFilter;

use super::apm::ReplaceRule;
use super::triggers::PropagationStyle;
use super::types::{ApiKey, Endpoint, FlushStrategy, HttpProtocol, Rule, RuleKind, Tag};

/// A setting's raw value: trimmed text, or a YAML list or mapping.
#[derive(Clone, Copy)]
pub(super) enum RawValue<'a> {
    Text(&'a str),
    Tree(&'a Value),
}

/// Whether a valid value has an effect.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Effect {
    Taken,
    /// Blank text that means "not set", so the next source decides.
    Unset,
}

/// A number within a range.
pub(super) struct Integer<T> {
    pub(super) value: T,
    /// Whether a larger one was given.
    pub(super) is_capped: bool,
}

pub(super) type Reason = &'static str;

/// Why a value is none of a switch.
pub(super) const NO_SWITCH: Reason = "must be true or false";
/// Maximum length in bytes of a value that a warning about a switch shows.
const MAX_SHOWN: usize = 12;

/// A variable's text, trimmed. A JSON string in it counts as its content: `docker --env-file` and `jsonencode` of Terraform leave the quotes.
pub(super) fn unquoted(text: &str) -> Cow<'_, str> {
    let text = text.trim();
    match serde_json::from_str::<String>(text) {
        Ok(content) if text.starts_with('"') => Cow::Owned(content.trim().to_owned()),
        _ => Cow::Borrowed(text),
    }
}

impl<'a> RawValue<'a> {
    pub(super) fn from_value(value: &'a Value) -> Self {
        match value {
            Value::String(text) => Self::Text(text.trim()),
            other => Self::Tree(other),
        }
    }

    pub(super) fn text(self) -> Result<&'a str, Reason> {
        match self {
            Self::Text(text) => Ok(text),
            Self::Tree(_) => Err("must be a single value"),
        }
    }

    /// The text; `None` if it is blank.
    pub(super) fn non_empty(self) -> Result<Option<&'a str>, Reason> {
        Ok(Some(self.text()?).filter(|text| !text.is_empty()))
    }

    /// A short word, which can be shown in a warning about a switch. Longer text may be a secret that was given for the wrong setting.
    pub(super) fn shown(&self) -> Option<String> {
        match self {
            Self::Text(text) if text.len() <= MAX_SHOWN => Some((*text).to_owned()),
            _ => None,
        }
    }

    pub(super) fn boolean(self) -> Result<bool, Reason> {
        let text = self.text()?;
        let is = |names: [&str; 3]| names.iter().any(|name| name.eq_ignore_ascii_case(text));
        if is(["true", "1", "1.0"]) {
            Ok(true)
        } else if is(["false", "0", "0.0"]) {
            Ok(false)
        } else {
            Err(NO_SWITCH)
        }
    }

    /// Whether the text is `true`, in any case. Datadog's libraries read some variables so, and every other text as false.
    pub(super) fn is_true(self) -> Result<bool, Reason> {
        Ok(self.text()?.eq_ignore_ascii_case("true"))
    }

    /// A whole number, at most the last of the range. Less than the first is an error.
    pub(super) fn integer<T>(self, range: &RangeInclusive<T>) -> Result<Integer<T>, Reason>
    where
        T: FromStr<Err = ParseIntError> + PartialOrd + Copy,
    {
        match self.text()?.parse::<T>() {
            Ok(value) if range.contains(&value) => Ok(Integer { value, is_capped: false }),
            Ok(value) if value < *range.start() => Err("is out of range"),
            Err(error) if *error.kind() == IntErrorKind::NegOverflow => Err("is out of range"),
            Err(error) if *error.kind() != IntErrorKind::PosOverflow => Err("must be a whole number"),
            _ => Ok(Integer { value: *range.end(), is_capped: true }),
        }
    }

    /// Seconds, with or without fraction; `None` if the text is blank.
    pub(super) fn seconds(self) -> Result<Option<Duration>, Reason> {
        let Some(text) = self.non_empty()? else { return Ok(None) };
        let seconds: f64 = text.parse().map_err(|_| "must be a number of seconds")?;
        Duration::try_from_secs_f64(seconds).map(Some).map_err(|_| "is out of range")
    }

    pub(super) fn level(self) -> Result<LevelFilter, Reason> {
        let text = self.text()?;
        LEVELS
            .iter()
            .find(|(name, _)| name.eq_ignore_ascii_case(text))
            .map(|(_, level)| *level)
            .ok_or("is not a log level")
    }

    pub(super) fn strategy(self) -> Result<FlushStrategy, Reason> {
        let text = self.text()?;
        match text {
            "default" => return Ok(FlushStrategy::Default),
            "end" => return Ok(FlushStrategy::End),
            _ => {}
        }
        let (name, interval) = text.split_once(',').ok_or("is not a flush strategy")?;
        let strategy = match name {
            "end" => FlushStrategy::EndPeriodically,
            "periodically" => FlushStrategy::Periodically,
            "continuously" => FlushStrategy::Continuously,
            _ => return Err("is not a flush strategy"),
        };
        match interval.parse() {
            Ok(0) => Err("has an interval of zero"),
            Ok(milliseconds) => Ok(strategy(Duration::from_millis(milliseconds))),
            Err(_) => Err("has an interval that is not a whole number of milliseconds"),
        }
    }

    pub(super) fn protocol(self) -> Result<HttpProtocol, Reason> {
        let text = self.text()?;
        if text.is_empty() || text.eq_ignore_ascii_case("auto") {
            Ok(HttpProtocol::Automatic)
        } else if text.eq_ignore_ascii_case("http1") {
            Ok(HttpProtocol::Http1)
        } else if text.eq_ignore_ascii_case("http2") {
            Ok(HttpProtocol::Http2)
        } else {
            Err("must be auto, http1 or http2")
        }
    }

    /// A site: `host` or `host:port`. A scheme and a trailing `/` are removed, because a site copied from a browser's address bar has them.
    pub(super) fn site(self) -> Result<Option<&'a str>, Reason> {
        let Some(text) = self.non_empty()? else { return Ok(None) };
        let host = text.strip_prefix("https://").or(text.strip_prefix("http://")).unwrap_or(text);
        let host = host.trim_end_matches('/');
        let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | ':' | '-');
        let starts_well = host.starts_with(|c: char| c.is_ascii_alphanumeric());
        if !starts_well || !host.chars().all(plain) || !is_http_url(&format!("https://api.{host}")) {
            return Err("is not a host name");
        }
        Ok(Some(host))
    }

    /// An `http://` or `https://` URL without trailing `/`; it may have a path.
    pub(super) fn url(self) -> Result<Option<String>, Reason> {
        self.url_or_host("")
    }

    /// A URL as in [`RawValue::url`], unchanged.
    pub(super) fn whole_url(self) -> Result<Option<String>, Reason> {
        self.url()?;
        Ok(self.non_empty()?.map(str::to_owned))
    }

    /// A URL as in [`RawValue::url`], or a bare host to which the scheme is prepended.
    pub(super) fn url_or_host(self, scheme: &str) -> Result<Option<String>, Reason> {
        let Some(text) = self.non_empty()? else { return Ok(None) };
        let scheme = if text.contains("://") { "" } else { scheme };
        let url = format!("{scheme}{}", text.trim_end_matches('/'));
        if is_http_url(&url) { Ok(Some(url)) } else { Err("is not an http:// or https:// URL") }
    }

    /// Comma-separated text or a YAML list of texts: trimmed, without blank items.
    pub(super) fn list(self) -> Result<ParsedList<String>, Reason> {
        self.items(|c| c == ',', no_entry)
    }

    /// Text separated by blanks, or a YAML list of texts: trimmed, without the blank ones.
    pub(super) fn words(self) -> Result<ParsedList<String>, Reason> {
        self.items(char::is_whitespace, no_entry)
    }

    /// `key:value` pairs separated by commas or blanks, or a YAML list of them, and whether all items were pairs.
    pub(super) fn tags(self) -> Result<ParsedList<Tag>, Reason> {
        let items = self.items(|c| c == ',' || c == ' ', pair_entry)?;
        let pair = |item: &str| {
            let (key, value) = item.split_once(':')?;
            let (key, value) = (key.trim(), value.trim());
            (!key.is_empty() && !value.is_empty()).then(|| Tag { key: key.to_owned(), value: value.to_owned() })
        };
        items.parsed(pair).ok_or("has no key:value pair in it")
    }

    /// `from:to` pairs separated by commas, or a YAML list or mapping of them. What follows a second colon is ignored, as Datadog's tracers do.
    pub(super) fn pairs(self) -> Result<ParsedList<(String, String)>, Reason> {
        let pair = |item: &str| {
            let mut parts = item.split(':').map(str::trim);
            let (from, to) = (parts.next()?, parts.next()?);
            (!from.is_empty() && !to.is_empty()).then(|| (from.to_owned(), to.to_owned()))
        };
        let parsed = match self {
            Self::Tree(Value::Object(entries)) => {
                ParsedList::collect(entries.iter().map(|(from, to)| pair(&format!("{from}:{}", to.as_str()?))))
            }
            _ => self.items(|c| c == ',', pair_entry)?.parsed(pair),
        };
        parsed.ok_or("has no from:to pair in it")
    }

    /// Formats of trace contexts, in any case, separated by commas, or a YAML list of them.
    pub(super) fn styles(self) -> Result<ParsedList<PropagationStyle>, Reason> {
        let style =
            |item: &str| STYLES.iter().find(|(name, _)| name.eq_ignore_ascii_case(item)).map(|(_, style)| *style);
        self.items(|c| c == ',', no_entry)?.parsed(style).ok_or("has no known style in it")
    }

    /// Rules: a JSON list in text, or a YAML list, of `{type, name, pattern, replace_placeholder}`.
    pub(super) fn rules(self) -> Result<ParsedList<Rule>, Reason> {
        let Some(tree) = self.tree()? else { return Ok(ParsedList::default()) };
        let items = tree.as_array().ok_or("must be a list of rules")?;
        ParsedList::collect(items.iter().map(rule)).ok_or("has no usable rule in it")
    }

    /// A JSON list in text, or a YAML list, of `{name, pattern, repl}`.
    pub(super) fn replace_rules(self) -> Result<ParsedList<ReplaceRule>, Reason> {
        let Some(tree) = self.tree()? else { return Ok(ParsedList::default()) };
        let items = tree.as_array().ok_or("must be a list of rules")?;
        ParsedList::collect(items.iter().map(replace_rule)).ok_or("has no usable rule in it")
    }

    /// A JSON object in text, or a YAML mapping, from URLs to lists of API keys. Items are pairs of a URL and a key.
    pub(super) fn endpoints(self) -> Result<ParsedList<Endpoint>, Reason> {
        let Some(tree) = self.tree()? else { return Ok(ParsedList::default()) };
        let urls = tree.as_object().ok_or("must be a mapping from URLs to lists of API keys")?;
        let items = urls.iter().flat_map(|(url, keys)| {
            let url = RawValue::Text(url.trim()).url().ok().flatten();
            let keys = keys.as_array().map_or(&[][..], Vec::as_slice);
            // A URL without keys counts as one unusable item.
            let missing = keys.is_empty().then_some(None);
            keys.iter().map(move |key| endpoint(url.clone()?, key)).chain(missing)
        });
        ParsedList::collect(items).ok_or("has no URL with an API key in it")
    }

    /// Log endpoints: a JSON list in text, or a YAML list, of `{api_key, Host, Port}`.
    pub(super) fn log_endpoints(self) -> Result<ParsedList<Endpoint>, Reason> {
        let Some(tree) = self.tree()? else { return Ok(ParsedList::default()) };
        let items = tree.as_array().ok_or("must be a list of endpoints")?;
        ParsedList::collect(items.iter().map(log_endpoint)).ok_or("has no endpoint with a host and an API key in it")
    }

    /// The structured value, parsed as JSON if it is text; `None` if the text is blank.
    fn tree(self) -> Result<Option<Cow<'a, Value>>, Reason> {
        match self {
            Self::Tree(tree) => Ok(Some(Cow::Borrowed(tree))),
            Self::Text("") => Ok(None),
            Self::Text(text) => {
                serde_json::from_str(text).map(|tree| Some(Cow::Owned(tree))).map_err(|_| "is not JSON")
            }
        }
    }

    /// A prefix for metric names: a letter, followed by letters, digits, `_` and `.`; trailing dots are removed.
    pub(super) fn namespace(self) -> Result<Option<&'a str>, Reason> {
        let Some(text) = self.non_empty()? else { return Ok(None) };
        let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '.');
        if text.starts_with(|c: char| c.is_ascii_alphabetic()) && text.chars().all(plain) {
            Ok(Some(text.trim_end_matches('.')))
        } else {
            Err("is not the beginning of a metric's name")
        }
    }

    /// The items of a list, trimmed, without blank ones: parts of a text, or a YAML list, which may be in a text as JSON. Items that are no text are skipped,
    /// except for mappings of one text to another where `entry` makes a text of them.
    fn items(
        self,
        separator: impl Fn(char) -> bool,
        entry: fn(&str, &str) -> Option<String>,
    ) -> Result<ParsedList<String>, Reason> {
        let item = |item: &Value| match item {
            Value::String(text) => Some(text.clone()),
            Value::Object(pair) => {
                let (key, value) = pair.iter().next().filter(|_| pair.len() == 1)?;
                entry(key, value.as_str()?)
            }
            _ => None,
        };
        let mut parsed = match self {
            Self::Text(text) => {
                let texts = if text.starts_with('[') { serde_json::from_str(text).ok() } else { None };
                let items = texts.unwrap_or_else(|| text.split(separator).map(str::to_owned).collect());
                ParsedList { items, skipped: 0 }
            }
            Self::Tree(Value::Array(items)) => {
                let is_blank = |item: &&Value| item.as_str().is_some_and(|text| text.trim().is_empty());
                let items = items.iter().filter(|item| !is_blank(item));
                ParsedList::collect(items.map(item)).ok_or("must be a list of texts")?
            }
            Self::Tree(_) => return Err("must be a list"),
        };
        parsed.items =
            parsed.items.iter().map(|item| item.trim()).filter(|item| !item.is_empty()).map(str::to_owned).collect();
        Ok(parsed)
    }
}

/// A mapping counts as no item.
fn no_entry(_: &str, _: &str) -> Option<String> {
    None
}

/// `key: value`, written as a mapping although it is an item of `key:value`.
#[expect(clippy::unnecessary_wraps, reason = "the other kind of entry is none")]
fn pair_entry(key: &str, value: &str) -> Option<String> {
    Some(format!("{key}:{value}"))
}

/// The usable items of a list.
pub(super) struct ParsedList<T> {
    pub(super) items: Vec<T>,
    /// Number of unusable items.
    pub(super) skipped: usize,
}

impl<T> Default for ParsedList<T> {
    fn default() -> Self {
        Self { items: Vec::new(), skipped: 0 }
    }
}

impl<T> ParsedList<T> {
    /// `None` if there are items and none is usable.
    fn collect(source: impl Iterator<Item = Option<T>>) -> Option<Self> {
        let mut parsed = Self::default();
        for item in source {
            match item {
                Some(item) => parsed.items.push(item),
                None => parsed.skipped += 1,
            }
        }
        (!parsed.items.is_empty() || parsed.skipped == 0).then_some(parsed)
    }
}

impl ParsedList<String> {
    /// The same with parsed items. `None` if there are items and none is usable.
    fn parsed<T>(&self, parse: impl Fn(&str) -> Option<T>) -> Option<ParsedList<T>> {
        let unusable = (0..self.skipped).map(|_| None);
        ParsedList::collect(self.items.iter().map(|item| parse(item)).chain(unusable))
    }
}

/// The level names that the Datadog agent documents for `log_level`, with the closest level of the `tracing` crate.
pub(super) const LEVELS: [(&str, LevelFilter); 8] = [
    ("off", LevelFilter::OFF),
    ("critical", LevelFilter::ERROR),
    ("error", LevelFilter::ERROR),
    ("warn", LevelFilter::WARN),
    ("warning", LevelFilter::WARN),
    ("info", LevelFilter::INFO),
    ("debug", LevelFilter::DEBUG),
    ("trace", LevelFilter::TRACE),
];

const STYLES: [(&str, PropagationStyle); 7] = [
    ("datadog", PropagationStyle::Datadog),
    ("tracecontext", PropagationStyle::TraceContext),
    ("b3", PropagationStyle::B3),
    ("b3 single header", PropagationStyle::B3),
    ("b3multi", PropagationStyle::B3Multi),
    ("baggage", PropagationStyle::Baggage),
    ("none", PropagationStyle::None),
];

fn rule(value: &Value) -> Option<Rule> {
    let field = |name: &str| value.get(name).filter(|field| !field.is_null());
    let text = |name: &str| field(name)?.as_str().map(str::to_owned);
    let kind = match field("type")?.as_str()? {
        "exclude_at_match" => RuleKind::ExcludeAtMatch,
        "include_at_match" => RuleKind::IncludeAtMatch,
        "mask_sequences" => RuleKind::MaskSequences,
        _ => return None,
    };
    let placeholder = match field("replace_placeholder") {
        None => String::new(),
        Some(value) => value.as_str()?.to_owned(),
    };
    Some(Rule { kind, name: text("name")?, pattern: text("pattern")?, placeholder })
}

fn replace_rule(value: &Value) -> Option<ReplaceRule> {
    let text = |name: &str| value.get(name)?.as_str().map(str::to_owned);
    let name = text("name").filter(|name| !name.is_empty())?;
    Some(ReplaceRule { name, pattern: text("pattern")?, replacement: text("repl").unwrap_or_default() })
}

fn endpoint(url: String, key: &Value) -> Option<Endpoint> {
    let api_key =
        ApiKey::clean(key.as_str()?).filter(|key| key.expose().bytes().all(|byte| byte.is_ascii_graphic()))?;
    Some(Endpoint { url, api_key })
}

/// Parses a log endpoint. Scalars are text in YAML and typed in JSON.
fn log_endpoint(value: &Value) -> Option<Endpoint> {
    let port = match value.get("Port").filter(|port| !port.is_null()) {
        None => 443,
        Some(Value::String(text)) => text.trim().parse().ok()?,
        Some(number) => u16::try_from(number.as_u64()?).ok()?,
    };
    let host = RawValue::Text(value.get("Host")?.as_str()?.trim()).url_or_host("https://").ok()??;
    // A port cannot be appended to a URL with a path.
    let url = format!("{host}:{port}");
    if port == 0 || host.matches('/').count() != 2 || !is_http_url(&url) {
        return None;
    }
    endpoint(url, value.get("api_key")?)
}

fn is_http_url(text: &str) -> bool {
    url::Url::parse(text).is_ok_and(|url| {
        matches!(url.scheme(), "http" | "https") && url.has_host() && url.query().is_none() && url.fragment().is_none()
    })
}

#[cfg(test)]
mod tests {
    use super::super::keys::{Kind, all};
    use super::super::load;

    #[test]
    fn integers_above_the_maximum_count_as_the_maximum_with_one_warning() {
        for key in all() {
            let Kind::Integer { from, to } = key.doc.kind else { continue };
            let loaded = |value: &str| {
                let beside = key.doc.beside.and_then(|variable| variable.split_once('='));
                let variable = key.variable();
                load(beside.into_iter().chain([(variable.as_str(), value)]), None)
            };
            let largest = loaded(&to.to_string());
            assert_eq!(largest.warnings, [], "{}", key.name);
            for above in [i128::from(to) + 1, i128::MAX] {
                let capped = loaded(&above.to_string());
                assert_eq!(capped.config, largest.config, "{} of {above}", key.name);
                let lines: Vec<_> = capped.warnings.iter().map(ToString::to_string).collect();
                let expected = format!("DD_{} (environment): is above the maximum; using {to}", key.name);
                assert_eq!(lines, [expected]);
            }
            // A type without negative numbers can't tell them from text.
            let is_signed = from < 0;
            for below in [i128::from(from) - 1, i128::MIN] {
                let too_small = loaded(&below.to_string());
                assert_eq!(too_small.config, load([("", ""); 0], None).config, "{} of {below}", key.name);
                let why = if is_signed || below >= 0 { "is out of range" } else { "must be a whole number" };
                assert_eq!(too_small.warnings[0].why, why, "{} of {below}", key.name);
            }
        }
    }
}
