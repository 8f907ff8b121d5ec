//! Features, flags and profile settings of cargo for a cell.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use super::{launcher, pinned, profile, waf};
use crate::flavour::{Tools, c_tools};
use crate::manifest::{Levels, Manifest, Setting};
use crate::target::Architecture;

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
    /// The folder of the workspace whose `Cargo.lock` counts, if it is another one than the root's.
    pub workspace: Option<String>,
    /// What compiles the C code of crates and links, which cargo does not look at: its build scripts do not run again for another compiler. Empty of what has no C library.
    pub c_tools: String,
}

/// Builds that share what is compiled: those with the same flags, variables, profile and tools for C.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Group(pub String);

impl Recipe {
    /// For these levels. A level that the manifest does not know asks for nothing; [`crate::plan::check::plan`] finds such levels.
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

    /// The same with the flags that the flavour of a program asks for, and with its tools for C.
    #[must_use]
    pub fn with(mut self, tools: &Tools) -> Self {
        self.rustflags.extend(tools.rustflags.iter().cloned());
        if !tools.c_flags.is_empty() {
            self.env.insert(tools.c_flags_variable(), tools.c_flags.join(" "));
        }
        self.with_c_tools(&tools.c_tools)
    }

    /// The same where C code is compiled with these tools, and with Go and `CMake` if it has some that needs them.
    #[must_use]
    pub fn with_c_tools(mut self, tools: &str) -> Self {
        tools.clone_into(&mut self.c_tools);
        if self.features.iter().any(|feature| feature == pinned::FEATURE) {
            let _ = write!(self.c_tools, "\n{}", c_tools::of_fips());
        }
        self
    }

    /// For the launcher, which is the same before every agent for this processor.
    pub fn of_launcher(architecture: Architecture) -> Self {
        let rustflags = launcher::rustflags(architecture);
        Self { rustflags, workspace: Some(launcher::FOLDER.to_owned()), ..Self::default() }
    }

    /// For the WAF worker, which is the same beside every agent, linked against the library in this folder.
    pub fn of_waf(library: &Path) -> Self {
        Self {
            rustflags: waf::rustflags(),
            env: BTreeMap::from([("LIBDDWAF".to_owned(), library.display().to_string())]),
            workspace: Some(launcher::FOLDER.to_owned()),
            ..Self::default()
        }
    }

    /// The folder whose `Cargo.toml` and `Cargo.lock` count, below this root.
    pub fn workspace(&self, root: &Path) -> PathBuf {
        self.workspace.as_ref().map_or_else(|| root.to_owned(), |folder| root.join(folder))
    }

    /// Features are not in it: they only decide how our own crates are compiled, and which others are needed.
    pub fn group(&self) -> Group {
        let mut text = self.rustflags.join("\u{1f}");
        if !self.c_tools.is_empty() {
            let _ = write!(text, "\n{}", self.c_tools);
        }
        for (key, value) in self.env.iter().chain(&self.profile) {
            let _ = write!(text, "\n{key}={value}");
        }
        Group(crate::hash::hexadecimal(text.as_bytes()).chars().take(12).collect())
    }

    /// The variables of the cargo process. `beside` are flags of rustc that change nothing of what a cell is.
    pub fn variables(&self, beside: &[String]) -> BTreeMap<String, String> {
        let mut variables = self.env.clone();
        for (key, value) in &self.profile {
            variables.insert(profile::variable(key), value.clone());
        }
        let flags: Vec<&str> = self.rustflags.iter().chain(beside).map(String::as_str).collect();
        // Cargo splits `RUSTFLAGS` at every blank.
        let has_blank = flags.iter().any(|flag| flag.contains(char::is_whitespace));
        let (name, between) = if has_blank { ("CARGO_ENCODED_RUSTFLAGS", "\u{1f}") } else { ("RUSTFLAGS", " ") };
        if !flags.is_empty() {
            variables.insert(name.to_owned(), flags.join(between));
        }
        variables
    }

    fn add(&mut self, setting: &Setting) {
        self.features.extend(setting.features.iter().cloned());
        self.rustflags.extend(setting.rustflags.iter().cloned());
        self.env.extend(setting.env.clone());
        self.profile.extend(setting.profile.clone());
        self.launcher |= setting.launcher;
        self.workspace = self.workspace.take().or_else(|| setting.workspace.clone());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::flavour::Toolchain;
    use crate::workspace::Profile;

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
        let variables = seed.variables(&["--a b".to_owned()]);
        assert_eq!(variables["CARGO_ENCODED_RUSTFLAGS"], "-C\u{1f}target-cpu=x86-64-v2\u{1f}--a b");
        assert!(!variables.contains_key("RUSTFLAGS"));
        assert!(seed.features.contains(&"jemalloc".to_owned()) && seed.features.is_sorted());
        assert!(!seed.launcher);
    }

    #[test]
    fn flags_of_the_flavour_come_after_those_of_the_levels() {
        let ship = recipe("ship", &[]);
        let plain = Toolchain::plain(Path::new("."), Profile::Release).unwrap().agent;
        assert_eq!(ship.clone().with(&plain), Recipe { c_tools: plain.c_tools.clone(), ..ship.clone() });
        let of_fips = recipe("ship-fips", &[]).with(&plain).c_tools;
        assert_eq!(
            of_fips,
            format!("{}\n{}", plain.c_tools, c_tools::of_fips()),
            "Go and CMake count for the module alone"
        );
        let more = Tools { rustflags: vec!["-C".to_owned(), "more".to_owned()], ..plain.clone() };
        let with = ship.clone().with(&more);
        assert_eq!(with.rustflags, [&ship.rustflags[..], &more.rustflags[..]].concat());
        assert_ne!(with.group(), ship.group());
        let with = ship.clone().with(&Tools { c_flags: vec!["-O1".to_owned()], ..plain });
        assert_eq!(with.env.values().collect::<Vec<_>>(), ["-O1"]);
        assert_ne!(with.group(), ship.group());
    }

    #[test]
    fn a_level_may_need_another_lock_file_and_the_launcher_has_its_own() {
        let workspace = |recipe: Recipe| recipe.workspace(Path::new("/root"));
        assert_eq!(workspace(recipe("ship", &[])), Path::new("/root"));
        assert_eq!(workspace(recipe("ship-fips", &[])), Path::new("/root/fips"));
        assert_eq!(workspace(Recipe::of_launcher(Architecture::X86_64)), Path::new("/root/crates"));
    }

    #[test]
    fn lazy_binding_has_flags_and_eager_binding_none() {
        assert!(recipe("baseline", &[]).rustflags.is_empty());
        assert!(recipe("baseline", &[("binding", "lazy")]).rustflags.contains(&"link-arg=-Wl,-z,lazy".to_owned()));
    }

    #[test]
    fn a_launcher_has_flags_and_a_profile_of_its_own() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
        let launcher = Recipe::of_launcher(Architecture::X86_64);
        assert_eq!((&launcher.features, launcher.rustflags.is_empty()), (&Vec::new(), false));
        assert_eq!(
            profile::ReleaseProfile::of(&launcher, root).unwrap().into_keys().get("panic").map(String::as_str),
            Some("abort")
        );
        assert_ne!(launcher.group(), recipe("ship", &[]).group());
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
