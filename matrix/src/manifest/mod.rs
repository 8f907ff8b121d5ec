//! The manifest of factors and sets: `optimizations.toml`.

pub mod agreement;
pub mod code;
pub mod docs;
pub mod levels;
mod rules;

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;
use std::sync::LazyLock;

use serde::{Deserialize, Serialize};

pub use levels::{Levels, WrongChoice};

use crate::target::Architecture;

/// The text of the manifest. A tool that travels with a plan has it beside itself; a debug build reads it from its place in the sources, so that
/// changing it needs no compilation.
#[cfg(debug_assertions)]
fn text() -> Result<std::borrow::Cow<'static, str>, Error> {
    const NAME: &str = "optimizations.toml";
    let beside = std::env::current_exe().ok().map(|program| program.with_file_name(NAME));
    let path = beside
        .filter(|path| path.exists())
        .unwrap_or_else(|| std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join(NAME));
    std::fs::read_to_string(&path).map(Into::into).map_err(|source| Error::File { path, source })
}

/// The text of the manifest when this program was built; an installed program has no sources beside it.
#[cfg(not(debug_assertions))]
#[expect(clippy::unnecessary_wraps, reason = "reading it elsewhere can fail")]
fn text() -> Result<std::borrow::Cow<'static, str>, Error> {
    Ok(include_str!("../../optimizations.toml").into())
}

/// Why a manifest cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The file is neither beside this program nor where that was built.
    #[error("{} cannot be read", path.display())]
    File { path: PathBuf, source: std::io::Error },
    /// The file is not TOML, or has an unknown key.
    #[error("the manifest cannot be read")]
    Syntax(#[from] toml::de::Error),
    /// The manifest contradicts itself; one line for each contradiction.
    #[error("the manifest contradicts itself:\n  {}", .0.join("\n  "))]
    Rules(Vec<String>),
}

/// All factors and named sets.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    /// In the order in which they are listed.
    #[serde(rename = "factor")]
    pub factors: Vec<Factor>,
    /// Named combinations of choices.
    #[serde(rename = "set")]
    pub sets: Vec<Set>,
}

/// A factor: one thing that can be switched.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Factor {
    /// A unique name; for a feature, its name in Cargo.
    pub name: String,
    pub kind: Kind,
    pub tier: Tier,
    /// The gates that it should change; empty if it should not affect the time before the first event.
    pub gates: Vec<Gate>,
    /// The expected effect and its cause, in one sentence.
    pub hypothesis: String,
    /// The number under which it was proposed, or `ours`.
    pub origin: String,
    /// What a build needs to have it on. Only for factors without values.
    #[serde(default)]
    pub on: Setting,
    /// What a build needs to have it off, if anything. Only for factors without values.
    #[serde(default)]
    pub off: Setting,
    /// The levels of an axis; the first is the reference level.
    #[serde(default)]
    pub values: Vec<Value>,
    /// Plausible values that must not be used.
    #[serde(default)]
    pub refused: Vec<RejectedValue>,
    /// Choices that cannot be combined with this one.
    #[serde(default)]
    pub conflicts: Vec<Choice>,
    /// Choices that this one requires.
    #[serde(default)]
    pub requires: Vec<Choice>,
    /// Choices that are required where this one and another are made.
    #[serde(default)]
    pub beside: Vec<JointRequirement>,
    /// Choices beside which this one changes nothing; the launcher is one of them where [`Self::behind_launcher`] says so.
    #[serde(default)]
    pub subsumed_by: Vec<Choice>,
    /// Whether it matters for an agent that the launcher has executed. Every factor but the launcher says so, in a manifest that has one.
    #[serde(default)]
    pub behind_launcher: Option<EffectBehindLauncher>,
    pub status: Status,
    /// The measured result.
    #[serde(default)]
    pub evidence: String,
    /// Tests that prove that the payload does not change, as `file::test`.
    #[serde(default)]
    pub proves: Vec<String>,
}

/// How a factor is switched.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// A Cargo feature.
    Feature,
    /// A Cargo feature that adds a part of what the extension does: only cells with the same components have to deliver the same.
    Component,
    /// One of several values, by any means.
    Axis,
    /// Compiler flags.
    Rustflag,
    /// An environment variable at compile time.
    Env,
    /// A setting of the release profile.
    Profile,
    /// A second program in front of the agent.
    Launcher,
}

/// What becomes of a factor where the launcher has passed both gates before it executes the agent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum EffectBehindLauncher {
    /// The agent differs by it, after both gates.
    Effective,
    /// It changes nothing: it is about steps that the launcher has taken, in its own way.
    Moot,
}

/// The part of the build that a factor changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub enum Tier {
    /// Behaviour: both variants have the same dependencies.
    A,
    /// Presence: a crate is absent.
    B,
    /// Build: the sources do not depend on it.
    C,
}

/// A gate: one of the two moments by which a start is judged.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Gate {
    /// The arrival of the registration.
    Register,
    /// The arrival of the first request for an event.
    Ready,
}

/// What the measurements say about a factor's hypothesis.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Status {
    /// Not measured yet.
    Candidate,
    /// Recommended.
    Ship,
    /// Effective alone, without effect beside recommended factors.
    Superseded,
    /// Measured, and neither recommended nor advised against: its cost is known to those who need it.
    Measured,
    /// No effect.
    Refuted,
    /// Needs something that is not built here.
    External,
}

/// A choice that a factor requires beside another choice.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct JointRequirement {
    /// The other choice.
    pub choice: Choice,
    pub requires: Choice,
    pub because: String,
}

/// What a level requires of a build.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct Setting {
    /// Cargo features of the package `bottlecap`.
    pub features: Vec<String>,
    /// Arguments of rustc.
    pub rustflags: Vec<String>,
    /// Environment variables of the build.
    pub env: BTreeMap<String, String>,
    /// Keys of the release profile.
    pub profile: BTreeMap<String, String>,
    /// Whether the launcher runs before the agent.
    pub launcher: bool,
    /// The folder of another view of this workspace, whose `Cargo.lock` has the versions that the level needs.
    pub workspace: Option<String>,
}

/// One value of an axis.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Value {
    pub name: String,
    /// What a build needs to have this value, if anything.
    #[serde(default, rename = "with")]
    pub setting: Setting,
    /// Choices that cannot be combined with it.
    #[serde(default)]
    pub excludes: Vec<Choice>,
    /// The reason for `excludes`.
    #[serde(default)]
    pub because: String,
    /// Whether only cells that name this value have it, because building it needs more than a compiler.
    #[serde(default)]
    pub apart: bool,
    /// The only processor for which it can be built; any, if there is none.
    #[serde(default)]
    pub architecture: Option<Architecture>,
}

/// A value that must not be used, with the reason.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct RejectedValue {
    pub name: String,
    pub reason: String,
}

/// A named combination of choices.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Set {
    pub name: String,
    /// Its purpose in one sentence.
    pub about: String,
    /// The differences from the reference levels.
    pub choices: Vec<Choice>,
}

/// A choice: a factor at a level. `lazy-intake` is a factor that is on, `crypto=aws-lc` a value.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize, Serialize)]
#[serde(from = "String", into = "String")]
pub struct Choice {
    pub factor: String,
    pub level: String,
}

/// The level of a factor that is on.
pub const ON: &str = "on";
/// The level of a factor that is off.
pub const OFF: &str = "off";

/// A manifest with the text that it was parsed from.
struct EmbeddedManifest {
    text: std::borrow::Cow<'static, str>,
    manifest: Manifest,
}

static EMBEDDED: LazyLock<Result<EmbeddedManifest, Error>> = LazyLock::new(|| {
    let text = text()?;
    let mut manifest = Manifest::parse(&text)?;
    manifest.adapt_sets(Architecture::of_this_machine());
    Ok(EmbeddedManifest { text, manifest })
});

impl Manifest {
    /// The manifest of this program's own sources.
    pub fn embedded() -> Result<&'static Self, &'static Error> {
        EMBEDDED.as_ref().map(|embedded| &embedded.manifest)
    }

    /// The text that [`Self::embedded`] was parsed from. Whoever includes the file instead has the tool compiled again for every change of it.
    pub fn embedded_text() -> Result<&'static str, &'static Error> {
        EMBEDDED.as_ref().map(|embedded| embedded.text.as_ref())
    }

    /// Parses a manifest. Returns an error if it contradicts itself.
    pub fn parse(text: &str) -> Result<Self, Error> {
        let mut manifest: Self = toml::from_str(text)?;
        let launcher = manifest.launcher();
        for factor in &mut manifest.factors {
            let is_moot = factor.behind_launcher == Some(EffectBehindLauncher::Moot);
            factor.subsumed_by.extend(launcher.clone().filter(|_| is_moot));
        }
        let complaints = rules::complaints(&manifest);
        if complaints.is_empty() { Ok(manifest) } else { Err(Error::Rules(complaints)) }
    }

    pub fn factor(&self, name: &str) -> Option<&Factor> {
        self.factors.iter().find(|factor| factor.name == name)
    }

    /// The choice of the launcher; none if no factor is one.
    pub fn launcher(&self) -> Option<Choice> {
        let launcher = self.factors.iter().find(|factor| factor.kind == Kind::Launcher);
        launcher.map(|factor| Choice::new(&factor.name, ON))
    }

    pub fn set(&self, name: &str) -> Option<&Set> {
        self.sets.iter().find(|set| set.name == name)
    }

    /// Every Cargo feature that some level needs, sorted.
    pub fn features(&self) -> Vec<&str> {
        let settings = self.factors.iter().flat_map(Factor::levels);
        let mut names: Vec<&str> =
            settings.flat_map(|level| level.setting.features.iter().map(String::as_str)).collect();
        names.sort_unstable();
        names.dedup();
        names
    }
}

/// A level with its setting.
#[derive(Clone, Copy, Debug)]
pub struct Level<'m> {
    pub name: &'m str,
    pub setting: &'m Setting,
}

impl Factor {
    /// All levels; the reference level comes first.
    pub fn levels(&self) -> Vec<Level<'_>> {
        if self.values.is_empty() {
            vec![Level { name: OFF, setting: &self.off }, Level { name: ON, setting: &self.on }]
        } else {
            self.values.iter().map(|value| Level { name: &value.name, setting: &value.setting }).collect()
        }
    }

    /// The reference level, which a build without options has.
    pub fn reference(&self) -> &str {
        self.values.first().map_or(OFF, |value| &value.name)
    }

    /// Whether only cells that name this level have it. One for another processor than this machine's is like that.
    pub fn is_apart(&self, level: &str) -> bool {
        self.value(level).is_some_and(|value| value.apart || value.is_foreign(Architecture::of_this_machine()))
    }

    /// The value of this name; none for the levels of a factor that has no values.
    pub fn value(&self, level: &str) -> Option<&Value> {
        self.values.iter().find(|value| value.name == level)
    }

    pub fn setting(&self, level: &str) -> Option<&Setting> {
        self.levels().into_iter().find(|known| known.name == level).map(|known| known.setting)
    }
}

impl Value {
    /// Whether it is for another processor than this.
    pub fn is_foreign(&self, architecture: Architecture) -> bool {
        self.architecture.is_some_and(|only| only != architecture)
    }
}

impl Choice {
    pub fn new(factor: &str, level: &str) -> Self {
        Self { factor: factor.to_owned(), level: level.to_owned() }
    }
}

impl From<String> for Choice {
    fn from(text: String) -> Self {
        match text.split_once('=') {
            Some((factor, level)) => Self::new(factor, level),
            None => Self::new(&text, ON),
        }
    }
}

impl From<Choice> for String {
    fn from(choice: Choice) -> Self {
        choice.to_string()
    }
}

impl fmt::Display for Choice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.level.as_str() {
            ON => write!(f, "{}", self.factor),
            level => write!(f, "{}={level}", self.factor),
        }
    }
}

macro_rules! words {
    ($($name:ident { $($variant:ident => $word:literal),* $(,)? })*) => {$(
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(match self { $(Self::$variant => $word),* })
            }
        }
    )*};
}

words! {
    Kind { Feature => "feature", Component => "component", Axis => "axis", Rustflag => "rustflag", Env => "env", Profile => "profile", Launcher => "launcher" }
    Tier { A => "A", B => "B", C => "C" }
    Gate { Register => "register", Ready => "ready" }
    Status { Candidate => "candidate", Ship => "ship", Superseded => "superseded", Measured => "measured", Refuted => "refuted", External => "external" }
}

#[cfg(test)]
mod tests;
