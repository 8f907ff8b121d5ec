//! The customer's settings, in order of precedence: environment, `datadog.yaml`, defaults.
//!
//! Loading never fails. A value that cannot be used causes one warning, and the next source sets the field instead; other fields are not affected.
//! Loading reads no file and no clock: the caller passes all input.

mod apm;
mod appsec;
mod builder;
mod environment;
mod keys;
mod otlp;
mod read;
mod triggers;
mod types;
mod unsupported;
mod warning;
mod yaml;

#[cfg(test)]
mod destination_tests;
#[cfg(test)]
mod docs;
#[cfg(test)]
mod tests;
#[cfg(test)]
mod value_tests;

use std::borrow::Cow;
use std::ffi::OsStr;

use serde_json::{Map, Value};
use tracing::level_filters::LevelFilter;

pub use apm::{Apm, HttpObfuscation, ProxiedUrls, ReplaceRule, TagFilters};
pub use appsec::AppSec;
use builder::ConfigBuilder;
use environment::{Prefix, Variable};
use keys::{Key, all};
pub use otlp::Otlp;
use read::{Effect, NO_SWITCH, RawValue};
pub use triggers::{DataStreams, Propagation, PropagationStyle, Triggers};
pub use types::{
    ApiKey, Aws, Config, DogStatsd, Endpoint, FlushStrategy, Http, HttpProtocol, Logs, Metrics, Rule, RuleKind, Secret,
    Tag,
};
pub use warning::{Source, Warning};

/// A configuration, with the settings that had to be ignored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LoadedConfig {
    pub config: Config,
    pub warnings: Vec<Warning>,
    /// Why all of `datadog.yaml` is ignored, without any of its text; `None` if it could be parsed.
    pub discarded: Option<String>,
    /// Settings that this version does not support, by their names in the environment or in `datadog.yaml`.
    pub unsupported: Vec<String>,
}

/// Resolves every setting in the table of keys.
///
/// Names in the environment are case-insensitive, with the prefix `DD_` or, with lower precedence, `DATADOG_`; other variables are ignored. `yaml` is
/// the text of `datadog.yaml`, if that file exists.
pub fn load(
    environment: impl IntoIterator<Item = (impl AsRef<OsStr>, impl AsRef<OsStr>)>,
    yaml: Option<&str>,
) -> LoadedConfig {
    let environment: Vec<_> = environment.into_iter().collect();
    let mut variables = environment::relevant(environment.iter().map(|(name, value)| (name, value)));
    variables.sort_by_key(|variable| variable.prefix);
    let variables: Vec<_> = variables.into_iter().map(readable).collect();
    let mut loader = ConfigLoader::default();
    let document = yaml.map(|source| loader.parse(source)).unwrap_or_default();
    for (index, key) in all().enumerate() {
        let of_key = variables.iter().filter(|variable| variable.key == index);
        let mut candidates: Vec<_> = of_key.map(|variable| Candidate::from_variable(key, variable)).collect();
        candidates.extend(loader.in_document(key, &document));
        loader.resolve(key, candidates);
    }
    if loader.builder.lacks_worker() {
        let (key, url) =
            ("DD_OBSERVABILITY_PIPELINES_WORKER_LOGS_ENABLED", "DD_OBSERVABILITY_PIPELINES_WORKER_LOGS_URL");
        loader.warn(key, Source::Environment, format!("is set without a usable {url}"), "no logs at all");
    }
    let unsupported = unsupported::requested(environment.iter().map(|(name, value)| (name, value)), &document);
    let ConfigLoader { builder, warnings, discarded } = loader;
    LoadedConfig { config: builder.finish(), warnings, discarded, unsupported }
}

/// The names of all settings in the environment, those that this version does not support included.
pub fn names() -> impl Iterator<Item = String> {
    let unsupported = unsupported::UNSUPPORTED.iter().map(|setting| format!("{}{}", Prefix::Dd.text(), setting.name));
    all().map(Key::variable).chain(unsupported)
}

/// `datadog.yaml` without some of its settings.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReducedYaml {
    /// The rest, with scalars as they were written. It is JSON, which is YAML too.
    pub text: String,
    /// Settings of `datadog.yaml` that were taken out, each with the variable that sets the same.
    pub removed: Vec<RemovedSetting>,
}

/// A setting that was in `datadog.yaml`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RemovedSetting {
    /// The environment variable that sets the same.
    pub variable: String,
    /// The dotted path in the file.
    pub path: &'static str,
    /// The value as that variable would have it.
    pub value: String,
}

/// The text of `datadog.yaml` without the settings of the variables for which `is_unwanted` returns true, and without `further` dotted paths. `None` if it has
/// none of them, or is no YAML.
pub fn without(yaml: &str, is_unwanted: impl Fn(&str) -> bool, further: &[&'static str]) -> Option<ReducedYaml> {
    let mut document = yaml::parse(yaml).ok()?;
    let unwanted = all().filter_map(|key| Some((key.variable(), key.yaml?))).filter(|(name, _)| is_unwanted(name));
    let further = further.iter().map(|path| (format!("DD_{}", path.replace('.', "_").to_ascii_uppercase()), *path));
    let removed: Vec<RemovedSetting> = unwanted
        .chain(further)
        .filter_map(|(variable, path)| {
            let value = match yaml::remove(&mut document, path)? {
                Value::String(text) => text,
                Value::Null => String::new(),
                tree => tree.to_string(),
            };
            Some(RemovedSetting { variable, path, value })
        })
        .collect();
    let text = serde_json::to_string(&document).ok()?;
    (!removed.is_empty()).then_some(ReducedYaml { text, removed })
}

/// The log level alone, for a logger that must exist before the rest is loaded. Read from the environment; `info` if it is missing or invalid.
pub fn log_level(environment: impl IntoIterator<Item = (impl AsRef<OsStr>, impl AsRef<OsStr>)>) -> LevelFilter {
    let mut level_of_agent = None;
    for (name, value) in environment {
        let Some((prefix, name)) = environment::split(name.as_ref()) else { continue };
        if !name.eq_ignore_ascii_case("LOG_LEVEL") {
            continue;
        }
        let level = value.as_ref().to_str().and_then(|text| RawValue::Text(&read::unquoted(text)).level().ok());
        match (prefix, level) {
            (Prefix::Dd, Some(level)) => return level,
            (Prefix::Datadog, Some(level)) => level_of_agent = Some(level),
            _ => {}
        }
    }
    level_of_agent.unwrap_or(types::DEFAULT_LOG_LEVEL)
}

#[derive(Default)]
struct ConfigLoader {
    builder: ConfigBuilder,
    warnings: Vec<Warning>,
    discarded: Option<String>,
}

/// The value of a key from one source.
struct Candidate<'a> {
    label: String,
    source: Source,
    /// `None` for a variable that is not UTF-8.
    given: Option<RawValue<'a>>,
}

impl<'a> Candidate<'a> {
    fn from_variable(key: &Key, variable: &'a Variable<Option<Cow<'_, str>>>) -> Self {
        Self {
            label: format!("{}{}", variable.prefix.text(), key.name),
            source: Source::Environment,
            given: variable.value.as_deref().map(RawValue::Text),
        }
    }
}

/// A variable with its text; with `None` where that is not UTF-8.
fn readable<V: AsRef<OsStr> + ?Sized>(Variable { key, prefix, value }: Variable<&V>) -> Variable<Option<Cow<'_, str>>> {
    Variable { key, prefix, value: value.as_ref().to_str().map(read::unquoted) }
}

impl ConfigLoader {
    fn parse(&mut self, source: &str) -> Map<String, Value> {
        yaml::parse(source).unwrap_or_else(|why| {
            self.discarded = Some(why);
            Map::new()
        })
    }

    fn in_document<'v>(&mut self, key: &Key, document: &'v Map<String, Value>) -> Option<Candidate<'v>> {
        let path = key.yaml?;
        match yaml::find(document, path) {
            Ok(value) => {
                let given = RawValue::from_value(value?);
                Some(Candidate { label: path.to_owned(), source: Source::Yaml, given: Some(given) })
            }
            Err(parent) => {
                // Every key below it would cause the same warning.
                if !self.warnings.iter().any(|warning| warning.source == Source::Yaml && warning.key == parent) {
                    self.warn(parent, Source::Yaml, "must hold further settings", "the environment and defaults");
                }
                None
            }
        }
    }

    /// Uses the first valid candidate.
    fn resolve(&mut self, key: &Key, candidates: Vec<Candidate<'_>>) {
        let first_of_key = self.warnings.len();
        let mut used = None;
        for Candidate { label, source, given } in candidates {
            let shown = given.as_ref().and_then(RawValue::shown);
            let outcome = given.ok_or("is not UTF-8").and_then(|given| (key.set)(&mut self.builder, given, source));
            match outcome {
                Ok(Effect::Taken) => {
                    used = Some((label, source));
                    break;
                }
                Ok(Effect::Unset) => {}
                Err(why) => {
                    let not = shown.filter(|_| why == NO_SWITCH).map(|value| format!(", not {value:?}"));
                    let not = not.unwrap_or_default();
                    self.warn(&label, source, why.to_owned() + &not, "");
                }
            }
        }
        let instead = match &used {
            Some((label, Source::Environment)) => label.clone(),
            Some((label, Source::Yaml)) => format!("{label} of datadog.yaml"),
            None if key.default.is_empty() => "nothing in its place".to_owned(),
            None => format!("the default {}", key.default),
        };
        for warning in self.warnings.iter_mut().skip(first_of_key) {
            warning.used.clone_from(&instead);
        }
        let skipped = std::mem::take(&mut self.builder.skipped);
        let cap = self.builder.cap.take();
        let Some((label, source)) = used else { return };
        if skipped > 0 {
            self.warn(&label, source, format!("has items that can't be used ({skipped})"), "the others");
        }
        if let Some(maximum) = cap {
            self.warn(&label, source, "is above the maximum", &maximum);
        }
    }

    fn warn(&mut self, key: &str, source: Source, why: impl Into<String>, used: &str) {
        self.warnings.push(Warning { key: key.to_owned(), source, why: why.into(), used: used.to_owned() });
    }
}
