//! What cargo has to be told for a cell.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use crate::manifest::{Levels, Manifest, Setting, Tier};

/// Everything that decides what a build becomes, apart from the sources and the compiler.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Recipe {
    /// Sorted.
    pub features: Vec<String>,
    /// In the manifest's order.
    pub rustflags: Vec<String>,
    /// Variables that build scripts read.
    pub env: BTreeMap<String, String>,
    /// Keys of the release profile.
    pub profile: BTreeMap<String, String>,
    /// Whether the launcher comes before the agent.
    pub launcher: bool,
}

/// Builds that share what is compiled: those with the same flags, variables and profile.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Group(pub String);

impl Recipe {
    /// For these levels. A level that the manifest does not know asks for nothing; [`crate::manifest::check::plan`] finds such levels.
    pub fn of(manifest: &Manifest, levels: &Levels) -> Self {
        let mut recipe = Self::default();
        for factor in &manifest.factors {
            let setting = levels.get(&factor.name).and_then(|level| factor.setting(level));
            if let Some(setting) = setting {
                recipe.add(setting);
            }
        }
        recipe.features.sort();
        recipe.features.dedup();
        recipe
    }

    /// The same with flags that the flavour of a program asks for.
    #[must_use]
    pub fn with(mut self, rustflags: &[String]) -> Self {
        self.rustflags.extend(rustflags.iter().cloned());
        self
    }

    /// For the launcher before such an agent. It registers, binds and subscribes as the agent would, and has nothing else in it. It is static,
    /// because the loader's search for libraries is what it is to spare, small, and at a fixed address, because relocating it would touch a third more pages
    /// of a program that holds no data of anybody and is gone within a millisecond.
    pub fn of_launcher(manifest: &Manifest, levels: &Levels) -> Self {
        let behaviour = manifest.chosen(levels).filter(|(factor, _)| factor.tier == Tier::A);
        let settings = behaviour.filter_map(|(factor, choice)| factor.setting(&choice.level));
        let mut features: Vec<String> = settings.flat_map(|setting| setting.features.clone()).collect();
        features.sort();
        Self {
            features,
            rustflags: ["-C", "target-feature=+crt-static", "-C", "relocation-model=static"]
                .map(str::to_owned)
                .to_vec(),
            profile: BTreeMap::from([("opt-level".to_owned(), "z".to_owned())]),
            ..Self::default()
        }
    }

    /// Features are not in it: they only decide how our own crates are compiled, and which others are needed.
    pub fn group(&self) -> Group {
        let mut text = self.rustflags.join("\u{1f}");
        for (key, value) in self.env.iter().chain(&self.profile) {
            let _ = write!(text, "\n{key}={value}");
        }
        Group(super::hash::hexadecimal(text.as_bytes()).chars().take(12).collect())
    }

    /// The variables of the cargo process. `beside` are flags of rustc that change nothing of what a cell is.
    pub fn variables(&self, beside: &[String]) -> BTreeMap<String, String> {
        let mut variables = self.env.clone();
        for (key, value) in &self.profile {
            variables.insert(profile_variable(key), value.clone());
        }
        let flags: Vec<&str> = self.rustflags.iter().chain(beside).map(String::as_str).collect();
        if !flags.is_empty() {
            variables.insert("RUSTFLAGS".to_owned(), flags.join(" "));
        }
        variables
    }

    fn add(&mut self, setting: &Setting) {
        self.features.extend(setting.features.iter().cloned());
        self.rustflags.extend(setting.rustflags.iter().cloned());
        self.env.extend(setting.env.clone());
        self.profile.extend(setting.profile.clone());
        self.launcher |= setting.launcher;
    }
}

/// Cargo's variable for a key of the release profile.
fn profile_variable(key: &str) -> String {
    format!("CARGO_PROFILE_RELEASE_{}", key.to_uppercase().replace('-', "_"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn recipe(set: &str, choices: &[(&str, &str)]) -> Recipe {
        let manifest = Manifest::embedded().unwrap();
        let mut levels = manifest.set_levels(set).unwrap();
        levels.extend(choices.iter().map(|(factor, level)| ((*factor).to_owned(), (*level).to_owned())));
        Recipe::of(manifest, &levels)
    }

    #[test]
    fn a_recipe_is_what_the_levels_ask_for() {
        let seed = recipe("seed", &[]);
        let variables = seed.variables(&["--beside".to_owned()]);
        assert_eq!(variables["RUSTFLAGS"], "-C target-cpu=x86-64-v2 --beside");
        assert_eq!(variables["JEMALLOC_SYS_WITH_MALLOC_CONF"], "narenas:1");
        assert_eq!(variables["CARGO_PROFILE_RELEASE_OPT_LEVEL"], "z");
        assert!(seed.features.contains(&"jemalloc".to_owned()) && seed.features.is_sorted());
        assert!(!seed.launcher);
    }

    #[test]
    fn flags_of_the_flavour_come_after_those_of_the_levels() {
        let ship = recipe("ship", &[]);
        let with = ship.clone().with(&["-C".to_owned(), "more".to_owned()]);
        assert_eq!(with.rustflags, [&ship.rustflags[..], &["-C".to_owned(), "more".to_owned()]].concat());
        assert_ne!(with.group(), ship.group());
    }

    #[test]
    fn off_is_said_where_off_is_not_nothing() {
        assert!(recipe("baseline", &[("eager-binding", "off")]).rustflags.contains(&"link-arg=-Wl,-z,lazy".to_owned()));
    }

    #[test]
    fn a_launcher_behaves_like_its_agent_and_has_nothing_else() {
        let manifest = Manifest::embedded().unwrap();
        let mut levels = manifest.set_levels("seed").unwrap();
        levels.insert("bind-first".to_owned(), "on".to_owned());
        let launcher = Recipe::of_launcher(manifest, &levels);
        assert_eq!(
            launcher.features,
            ["bind-first", "early-subscribe", "register-overlap", "runtime-sizing", "tag-cache"]
        );
        assert_eq!(launcher.variables(&[])["RUSTFLAGS"], "-C target-feature=+crt-static -C relocation-model=static");
        assert_eq!(launcher.group(), Recipe::of_launcher(manifest, &manifest.reference_levels()).group());
    }

    #[test]
    fn behaviour_does_not_need_another_group() {
        let baseline = recipe("baseline", &[]).group();
        assert_eq!(recipe("baseline", &[("lazy-intake", "on"), ("crypto", "aws-lc")]).group(), baseline);
        for other in [("opt-level", "3"), ("static", "on"), ("jemalloc-narenas", "on"), ("target-cpu", "x86-64-v2")] {
            assert_ne!(recipe("baseline", &[other]).group(), baseline, "{other:?}");
        }
    }
}
