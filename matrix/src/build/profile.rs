//! The release profile of a build: every key of it is given to cargo, so that no configuration of somebody's home decides one, and what cargo makes of all that
//! it reads is held to it.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::process::{Command, Stdio};
use std::{fs, io};

use serde::Deserialize;
use serde_json::Value;

use super::recipe::Recipe;

/// What cargo takes for the keys that `Cargo.toml` does not have, by <https://doc.rust-lang.org/cargo/reference/profiles.html#release>. Not in it is
/// `split-debuginfo`, which is about debug information, of which there is none.
const DEFAULTS: [(&str, &str); 10] = [
    ("codegen-units", "16"),
    ("debug", "false"),
    ("debug-assertions", "false"),
    ("incremental", "false"),
    ("lto", "false"),
    (OPT_LEVEL, "3"),
    ("overflow-checks", "false"),
    ("panic", "unwind"),
    ("rpath", "false"),
    ("strip", "none"),
];
pub const OPT_LEVEL: &str = "opt-level";
/// How the keys of one package's own profile begin.
const PACKAGE: &str = "package.";

/// All keys of the release profile, with dots in those of tables.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReleaseProfile(BTreeMap<String, String>);

/// The part of `Cargo.toml` that counts here.
#[derive(Deserialize)]
struct Profiles {
    profile: Release,
}

#[derive(Deserialize)]
struct Release {
    release: toml::Table,
}

impl ReleaseProfile {
    /// That of the workspace in `root`, with what the recipe replaces.
    pub fn of(recipe: &Recipe, root: &Path) -> io::Result<Self> {
        let path = recipe.workspace(root).join("Cargo.toml");
        let named = |error: String| io::Error::other(format!("{}: {error}", path.display()));
        let text = fs::read_to_string(&path).map_err(|error| named(error.to_string()))?;
        let file: Profiles = toml::from_str(&text).map_err(|error| named(error.to_string()))?;
        let mut keys: BTreeMap<String, String> = DEFAULTS.map(|(key, value)| (key.to_owned(), value.to_owned())).into();
        flatten("", &file.profile.release, &mut keys);
        keys.extend(recipe.profile.clone());
        Ok(Self(keys))
    }

    /// All keys and their values.
    pub fn into_keys(self) -> BTreeMap<String, String> {
        self.0
    }

    pub fn opt_level(&self) -> &str {
        self.0.get(OPT_LEVEL).map_or("", String::as_str)
    }

    /// The variables that give cargo the keys, but those of tables, for which there are none.
    pub fn variables(&self) -> BTreeMap<String, String> {
        let plain = self.0.iter().filter(|(key, _)| !key.contains('.'));
        plain.map(|(key, value)| (variable(key), value.clone())).collect()
    }

    /// The options that give it the rest.
    pub fn options(&self) -> Vec<String> {
        let tables = self.0.iter().filter(|(key, _)| key.contains('.'));
        tables.map(|(key, value)| format!("--config=profile.release.{key}={}", literal(value))).collect()
    }

    /// In what the units of a build have other profiles. The graph is cargo's own, of the root directory of which the program is.
    pub fn differences(&self, graph: &Graph) -> Vec<String> {
        let for_target = |(_, unit): &(usize, &Unit)| unit.platform.is_some() && unit.mode == "build";
        let units = graph.units.iter().enumerate().filter(for_target);
        let found = units.flat_map(|(index, unit)| self.differences_of(unit, graph.roots.contains(&index)));
        found.collect::<BTreeSet<String>>().into_iter().collect()
    }

    /// Only what is linked is stripped.
    fn differences_of(&self, unit: &Unit, is_linked: bool) -> Vec<String> {
        let package = unit.package();
        let own = |key: &str| self.0.get(&format!("{PACKAGE}{package}.{key}"));
        let keys = unit.profile.keys().filter(|(key, _)| is_linked || *key != "strip");
        let differences = keys.filter_map(|(key, has)| {
            let asked = normal(key, own(key).or_else(|| self.0.get(key))?);
            (asked != has).then(|| format!("cargo compiles {package} with {key}={has}, not {asked}"))
        });
        differences.collect()
    }
}

/// Cargo's variable for a key of the release profile.
pub fn variable(key: &str) -> String {
    format!("CARGO_PROFILE_RELEASE_{}", key.to_uppercase().replace('-', "_"))
}

fn flatten(before: &str, table: &toml::Table, keys: &mut BTreeMap<String, String>) {
    for (key, value) in table {
        let is_bare = key.chars().all(|c| c.is_ascii_alphanumeric() || "-_".contains(c));
        let key = if is_bare { format!("{before}{key}") } else { format!("{before}\"{key}\"") };
        match value {
            toml::Value::Table(table) => flatten(&format!("{key}."), table, keys),
            toml::Value::String(text) => drop(keys.insert(key, text.clone())),
            value => drop(keys.insert(key, value.to_string())),
        }
    }
}

/// A value as TOML has it.
fn literal(value: &str) -> String {
    let is_plain = value.parse::<i64>().is_ok() || ["true", "false"].contains(&value);
    if is_plain { value.to_owned() } else { format!("\"{value}\"") }
}

/// One spelling for values that mean the same.
fn normal(key: &str, value: &str) -> String {
    let one = match (key, value) {
        ("debug", "false" | "none") => "0",
        ("debug", "true" | "full") => "2",
        ("lto", "true") => "fat",
        ("strip", "true") => "symbols",
        ("strip", "false") => "none",
        _ => value,
    };
    one.to_owned()
}

/// What cargo would compile, and how: the answer to `--unit-graph`. Its form is unstable; it is that of the compilers in rust-toolchain.toml and matrix/flavours.toml, and a
/// build with another one whose answer cannot be read is refused.
#[derive(Debug, Deserialize)]
pub struct Graph {
    units: Vec<Unit>,
    /// The places among them of what was asked for.
    roots: Vec<usize>,
}

#[derive(Debug, Deserialize)]
struct Unit {
    pkg_id: String,
    profile: UnitProfile,
    /// None for what runs while compiling.
    platform: Option<String>,
    mode: String,
}

/// What cargo calls each key, with its value.
#[derive(Debug, Deserialize)]
struct UnitProfile(BTreeMap<String, Value>);

impl Graph {
    /// Asks with a command that would build.
    pub fn of(command: &mut Command) -> Result<Self, String> {
        command.args(["--unit-graph", "-Zunstable-options"]).env("RUSTC_BOOTSTRAP", "1");
        let output = command.stdin(Stdio::null()).stderr(Stdio::piped()).stdout(Stdio::piped()).output();
        let output = output.map_err(|error| format!("cargo cannot be started: {error}"))?;
        if !output.status.success() {
            return Err(String::from_utf8_lossy(&output.stderr).into_owned());
        }
        let graph: Self = serde_json::from_slice(&output.stdout)
            .map_err(|error| format!("cargo's unit graph cannot be read: {error}"))?;
        // Nothing differs in a graph of which nothing was understood.
        if graph.roots.is_empty() || graph.roots.iter().any(|root| graph.units.get(*root).is_none()) {
            return Err("cargo's unit graph has no program".to_owned());
        }
        Ok(graph)
    }
}

impl Unit {
    /// The name of its package, from an id such as `registry+https://…#name@1.0.0` or `path+file:///…/name#1.0.0`.
    fn package(&self) -> &str {
        let (place, version) = self.pkg_id.rsplit_once('#').unwrap_or(("", &self.pkg_id));
        version.split_once('@').map_or_else(|| place.rsplit('/').next().unwrap_or_default(), |(name, _)| name)
    }
}

impl UnitProfile {
    fn keys(&self) -> impl Iterator<Item = (&'static str, String)> {
        DEFAULTS.iter().map(|(key, _)| (*key, self.value(key)))
    }

    /// A value as it would be written in `Cargo.toml`; nothing where cargo says none.
    fn value(&self, key: &str) -> String {
        let text = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        let name = if key == "debug" { "debuginfo".to_owned() } else { key.replace('-', "_") };
        match (key, self.0.get(&name)) {
            // Such as {"resolved": {"Named": "symbols"}}, or {"resolved": "None"}.
            ("strip", Some(strip)) => {
                let resolved = strip.get("resolved").unwrap_or(strip);
                text(resolved.get("Named").unwrap_or(resolved)).to_lowercase()
            }
            ("debug", Some(Value::Null)) => "0".to_owned(),
            (_, None | Some(Value::Null)) => String::new(),
            (_, Some(value)) => text(value),
        }
    }
}

#[cfg(test)]
#[path = "profile_tests.rs"]
mod tests;
