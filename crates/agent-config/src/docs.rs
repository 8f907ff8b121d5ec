//! Generates `docs/configuration.md` and the golden file from the table of keys.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use super::keys::{Key, Kind, all};
use super::unsupported::{UNSUPPORTED, UnsupportedSetting};
use super::{Config, LoadedConfig, load};

/// Compares a file with its expected content, or writes it if `BLESS=1` is set.
fn compare(file: &str, wanted: &str) {
    let path: PathBuf = Path::new(env!("CARGO_MANIFEST_DIR")).join(file);
    if std::env::var_os("BLESS").is_some_and(|bless| bless == "1") {
        std::fs::write(&path, wanted).unwrap();
    }
    let found = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(
        found == wanted,
        "{file} is not what the table of keys says; regenerate it with `BLESS=1 cargo test --package agent-config docs` and \
         look at the difference"
    );
}

#[test]
fn the_documentation_is_the_table() {
    compare("../../docs/configuration.md", &documentation());
}

/// One block per key: the changes that its example makes to the configuration.
#[test]
fn every_example_changes_what_it_always_did() {
    let mut golden = String::from(
        "# What the example of each key changes. Written by `BLESS=1 cargo test --package agent-config docs`.\n",
    );
    for key in all() {
        let loaded = key.example_as(&key.variable());
        assert_eq!(loaded.warnings, [], "{}", key.name);
        let beside = key.doc.beside.map_or_else(String::new, |variable| format!(" ({variable})"));
        write!(golden, "\n{}={}{beside}\n{}", key.variable(), key.doc.example, difference(&loaded.config)).unwrap();
    }
    compare("src/golden.txt", &golden);
}

/// The lines of the configuration that differ from the default, each with the names of its enclosing fields.
fn difference(config: &Config) -> String {
    let default = paths(&Config::default());
    let changed = paths(config).into_iter().filter(|line| !default.contains(line));
    changed.fold(String::new(), |text, line| text + "    " + &line + "\n")
}

fn paths(config: &Config) -> Vec<String> {
    let mut enclosing: Vec<String> = Vec::new();
    let mut lines = Vec::new();
    for line in format!("{config:#?}").lines() {
        let line = line.trim().trim_end_matches(',');
        if let Some(opened) = line.strip_suffix(['{', '[', '(']) {
            enclosing.push(opened.trim().trim_end_matches(':').to_owned());
        } else if matches!(line, "}" | "]" | ")") {
            enclosing.pop();
        } else {
            lines.push(format!("{} > {line}", enclosing.join(" > ")));
        }
    }
    lines
}

fn documentation() -> String {
    let mut text = String::from(HEAD);
    for key in all() {
        let yaml = key.yaml.map_or_else(|| "–".to_owned(), |path| format!("`{path}`"));
        let default = if key.default.is_empty() { "–".to_owned() } else { format!("`{}`", key.default) };
        let Doc { accepts, example, meaning, reader } = Doc::of(key);
        let variable = key.variable();
        writeln!(text, "| `{variable}` | {yaml} | {accepts} | {default} | `{example}` | {meaning} | {reader} |")
            .unwrap();
    }
    text += TAIL;
    for UnsupportedSetting { name, yaml } in UNSUPPORTED {
        let yaml = yaml.map_or_else(|| "–".to_owned(), |path| format!("`{path}`"));
        writeln!(text, "| `DD_{name}` | {yaml} |").unwrap();
    }
    text
}

struct Doc {
    accepts: String,
    example: String,
    meaning: String,
    reader: String,
}

impl Doc {
    /// The cells of a key's row, with the column separator escaped.
    fn of(key: &Key) -> Self {
        let cell = |text: &str| text.replace('|', "\\|");
        Self {
            accepts: cell(&key.doc.kind.accepts()),
            example: cell(key.doc.example),
            meaning: cell(key.doc.meaning),
            reader: cell(key.doc.reader),
        }
    }
}

impl Key {
    /// Loads the key's example under that name.
    pub(super) fn example_as(&self, name: &str) -> LoadedConfig {
        let beside = self.doc.beside.and_then(|variable| variable.split_once('='));
        load(beside.into_iter().chain([(name, self.doc.example)]), None)
    }
}

impl Kind {
    fn accepts(&self) -> String {
        match self {
            Self::Text => "text".to_owned(),
            Self::Boolean => "`true` or `false` (any letter case), `1` or `0`".to_owned(),
            Self::True => "`true` (any letter case); all other text is false".to_owned(),
            Self::Integer { from, to } => format!("whole number, {from} to {to}; more counts as {to}"),
            Self::Seconds => "seconds, also with a fraction".to_owned(),
            Self::Level => "`trace`, `debug`, `info`, `warn`, `error` or `off` (any letter case)".to_owned(),
            Self::Strategy => {
                "`default`, `end`, `end,N`, `periodically,N` or `continuously,N`, N in milliseconds, not 0".to_owned()
            }
            Self::Protocol => "`auto`, `http1` or `http2`".to_owned(),
            Self::Site => "host name".to_owned(),
            Self::Url => "`http://` or `https://` URL".to_owned(),
            Self::List => "items separated by commas, or a YAML list".to_owned(),
            Self::Tags => "`key:value` pairs separated by commas or blanks, or a YAML list of pairs".to_owned(),
            Self::Rules => "JSON list, or a YAML list, of rules".to_owned(),
            Self::Namespace => "letter, followed by letters, digits, `_` and `.`".to_owned(),
            Self::LogEndpoints => "JSON list, or a YAML list, of `api_key`, `Host` and `Port`".to_owned(),
            Self::ReplaceRules => "JSON list, or a YAML list, of `name`, `pattern` and `repl`".to_owned(),
            Self::Styles => {
                "`datadog`, `tracecontext`, `b3`, `b3multi`, `baggage` or `none`, separated by commas, or a YAML list"
                    .to_owned()
            }
            Self::Mapping => "`from:to` pairs separated by commas, or a YAML list or mapping of them".to_owned(),
            Self::Words => "items separated by blanks".to_owned(),
            Self::Endpoints => "JSON object, or a YAML mapping, from URLs to lists of API keys".to_owned(),
        }
    }

    /// A text that is never accepted; `None` if every text is.
    pub(super) fn bad(&self) -> Option<&'static str> {
        match self {
            Self::Text | Self::True | Self::List | Self::Words => None,
            Self::Boolean => Some("maybe"),
            Self::Integer { .. } => Some("many"),
            Self::Seconds => Some("-1"),
            Self::Level => Some("loud"),
            Self::Strategy => Some("sometimes"),
            Self::Protocol => Some("gopher"),
            Self::Site => Some("two words"),
            Self::Url => Some("ftp://files.example"),
            Self::Tags | Self::Mapping => Some("lonely"),
            Self::Styles => Some("smoke,signals"),
            Self::Rules | Self::ReplaceRules => Some("[{]"),
            Self::Namespace => Some("1st"),
            Self::Endpoints => Some("https://api.example"),
            Self::LogEndpoints => Some("[443]"),
        }
    }
}

const HEAD: &str = "\
# Configuration

<!-- Written from the tables in crates/agent-config/src/keys.rs and keys/*.rs by `BLESS=1 cargo test --package agent-config docs`. Change the tables, not this file. -->

A setting comes from the first of these places that has a usable value for it:

1. the environment variable with the prefix `DD_`,
2. the same variable with the prefix `DATADOG_`,
3. `datadog.yaml` in the function's root directory (`LAMBDA_TASK_ROOT`),
4. the default.

Names of variables are matched in any letter case; names that are not in the table are ignored, in the file too.

A value that can't be used is reported in one warning and leaves the setting to the next place; no other setting is
affected. A number above the maximum counts as the maximum, with a warning. A file that is not YAML is reported once and counts as empty.

A file is read only if it is a regular file of at most 1 MiB (`datadog.yaml`), 8 MiB (certificates) or 64 KiB (a token). Anything else at
its path, such as a FIFO or a device, is reported once and counts as missing.

Text is taken as it is written, in both places, without the blanks around it: `1.10` is not a number, and an API key of
digits is a key. Lists replace each other as a whole: `DD_TAGS` does not add to `tags`.

An empty variable is a value where text or a URL is expected: it replaces what the file says and gives the default. For
`DD_ENV`, `DD_SERVICE`, `DD_VERSION`, `DD_STATSD_METRIC_NAMESPACE` and all lists, empty means not set. Everywhere else it is a value that can't be used.

| variable | `datadog.yaml` | accepts | default | example | meaning | module in `src/` |
|---|---|---|---|---|---|---|
";

const TAIL: &str = "
## Not supported yet

Other versions of the extension act on these; this one accepts them, whatever their value, and names those that are set in one warning at its start.
One that is `false`, `0` or empty asks for nothing, and is not named.

| variable | `datadog.yaml` |
|---|---|
";
