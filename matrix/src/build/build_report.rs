//! A program is asked what it is before anybody believes that it is its cell.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use serde::Deserialize;
use serde_json::Value;

use super::recipe::Recipe;
use crate::workspace::Profile;
use crate::{emulator, executable};

/// How long a program may take for its answer: on a busy machine and in an emulator that is seconds.
const LIMIT: Duration = Duration::from_mins(1);

/// The part of `--version=json` that a cell decides.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct BuildReport {
    pub switches: BTreeMap<String, bool>,
    pub flags: Vec<String>,
    pub opt_level: String,
    pub profile: String,
    /// Of its sources.
    #[serde(default)]
    pub git_sha: String,
}

impl BuildReport {
    /// Asks the program.
    pub fn of(program: &Path) -> Result<Self, String> {
        let document = Self::document(program)?;
        serde_json::from_value(document).map_err(|error| format!("--version=json says something else: {error}"))
    }

    /// All that the program says, in its order.
    pub fn document(program: &Path) -> Result<Value, String> {
        let start = emulator::start(program).map_err(|missing| missing.to_string())?;
        let mut command = Command::new(start.program);
        command.args(start.arguments).arg("--version=json");
        let output = executable::output_within(&mut command, LIMIT);
        let output = output.map_err(|error| format!("it cannot be started: {error}"))?;
        let output = output.ok_or_else(|| format!("--version=json has not ended after {} s", LIMIT.as_secs()))?;
        if !output.status.success() {
            return Err(format!("--version=json ended with {}", output.status));
        }
        serde_json::from_slice(&output.stdout).map_err(|error| format!("--version=json cannot be read: {error}"))
    }

    /// In what the program differs from what it was built for. `opt_level` is what the release profile asks for.
    pub fn differences(&self, recipe: &Recipe, profile: Profile, opt_level: &str) -> Vec<String> {
        let wanted = |name: &String| recipe.features.contains(name);
        let mut differences: Vec<String> = Vec::new();
        for (name, on) in self.switches.iter().filter(|(name, on)| **on != wanted(name)) {
            differences.push(format!("{name} is {}", if *on { "on" } else { "off" }));
        }
        for name in recipe.features.iter().filter(|name| !self.switches.contains_key(*name)) {
            differences.push(format!("it does not know {name}"));
        }
        if self.flags != recipe.rustflags {
            differences.push(format!("its flags are {:?}, not {:?}", self.flags, recipe.rustflags));
        }
        if profile == Profile::Release && opt_level != self.opt_level {
            differences.push(format!("its opt-level is {}, not {opt_level}", self.opt_level));
        }
        if self.profile != profile.build_script_name() {
            differences.push(format!("its profile is {}", self.profile));
        }
        differences
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn build_report() -> BuildReport {
        BuildReport {
            switches: BTreeMap::from([("one".to_owned(), true), ("two".to_owned(), false)]),
            flags: vec!["-C".to_owned(), "x".to_owned()],
            opt_level: "z".to_owned(),
            profile: "release".to_owned(),
            git_sha: "abc".to_owned(),
        }
    }

    fn recipe() -> Recipe {
        Recipe {
            features: vec!["one".to_owned()],
            rustflags: vec!["-C".to_owned(), "x".to_owned()],
            ..Recipe::default()
        }
    }

    #[test]
    fn a_program_that_is_its_cell_has_no_differences() {
        assert_eq!(build_report().differences(&recipe(), Profile::Release, "z"), Vec::<String>::new());
    }

    #[test]
    fn every_deviation_is_reported() {
        let wrong = Recipe { features: vec!["two".to_owned(), "three".to_owned()], ..Recipe::default() };
        let text = BuildReport { profile: "debug".to_owned(), ..build_report() }
            .differences(&wrong, Profile::Release, "z")
            .join("; ");
        for part in ["one is on", "two is off", "it does not know three", "its flags are", "its profile is debug"] {
            assert!(text.contains(part), "{part} is not in: {text}");
        }
        assert_eq!(build_report().differences(&recipe(), Profile::Release, "3"), ["its opt-level is z, not 3"]);
        let quick = BuildReport { profile: "debug".to_owned(), opt_level: "0".to_owned(), ..build_report() };
        assert_eq!(quick.differences(&recipe(), Profile::Dev, "3"), Vec::<String>::new());
    }

    #[test]
    fn only_a_responding_extension_counts_as_ready() {
        assert!(BuildReport::of(Path::new("/nowhere")).unwrap_err().contains("cannot be started"));
        assert!(BuildReport::of(Path::new("/bin/false")).unwrap_err().contains("ended with"));
        assert!(BuildReport::of(Path::new("/bin/true")).unwrap_err().contains("cannot be read"));
    }
}
