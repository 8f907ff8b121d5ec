//! Checks that the sources have code for every feature, and a feature for every switch that they read.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use super::Manifest;

/// The file that declares the switches.
const HOME: &str = "src/features.rs";

/// The sources of the extension, without comments.
pub struct Sources {
    /// The text of [`HOME`].
    home: String,
    /// The texts of all other files.
    others: Vec<String>,
}

/// A constant in [`HOME`] that says whether a feature is on.
struct Constant<'s> {
    name: &'s str,
    feature: &'s str,
}

fn unreadable(path: &Path, error: &std::io::Error) -> String {
    format!("{} cannot be read\n  because {error}", path.display())
}

impl Sources {
    /// Reads the sources; returns the reason if they cannot be read.
    pub fn read(root: &Path) -> Result<Self, String> {
        let mut sources = Self { home: String::new(), others: Vec::new() };
        let mut open = vec![root.join("src")];
        while let Some(folder) = open.pop() {
            let failure = |error| unreadable(&folder, &error);
            for entry in fs::read_dir(&folder).map_err(failure)? {
                let path = entry.map_err(failure)?.path();
                if path.is_dir() {
                    open.push(path);
                } else if path.extension().is_some_and(|extension| extension == "rs") {
                    let text = fs::read_to_string(&path).map_err(|error| unreadable(&path, &error))?;
                    let text = without_comments(&text);
                    if path == root.join(HOME) { sources.home = text } else { sources.others.push(text) }
                }
            }
        }
        Ok(sources)
    }

    /// Features without code, constants without a feature, and constants that are never read.
    pub fn complaints(&self, manifest: &Manifest) -> Vec<String> {
        let known: BTreeSet<&str> = manifest.features().into_iter().collect();
        let constants: Vec<Constant<'_>> = self.home.lines().filter_map(Constant::of).collect();
        let declared: BTreeSet<&str> = constants.iter().map(|constant| constant.feature).collect();
        let mut complaints: Vec<String> = known
            .difference(&declared)
            .map(|feature| format!("{HOME} has no constant for the feature {feature}"))
            .collect();
        for Constant { name, feature } in &constants {
            if !known.contains(feature) {
                complaints.push(format!("{HOME}: {name} asks for {feature}, for which the manifest has no factor"));
            }
            if !self.is_read(name) && !self.chooses_a_module(feature) {
                complaints.push(format!("{HOME}: nobody reads {name}, so that the feature {feature} does nothing"));
            }
        }
        let derived = self.home.lines().filter_map(|line| line.strip_prefix("pub const ")?.split(':').next());
        complaints.extend(
            derived
                .filter(|name| !self.is_read(name) && *name != "SWITCHES")
                .map(|name| format!("{HOME}: nobody reads {name}")),
        );
        complaints
    }

    fn is_read(&self, name: &str) -> bool {
        let elsewhere = self.others.iter().any(|text| words(text).any(|word| word == name));
        // The declaration is one occurrence.
        elsewhere || words(&self.home).filter(|word| *word == name).count() > 1
    }

    /// Whether a `cfg` selects a module or an item by the feature.
    fn chooses_a_module(&self, feature: &str) -> bool {
        let condition = format!("feature = \"{feature}\"");
        self.others.iter().chain([&self.home]).any(|text| text.contains(&condition))
    }
}

impl<'s> Constant<'s> {
    /// Parses a line such as `TAG_CACHE = "tag-cache";`.
    fn of(line: &'s str) -> Option<Self> {
        let (name, feature) = line.trim().strip_suffix("\";")?.split_once(" = \"")?;
        let is_constant = name.chars().all(|c| c.is_ascii_uppercase() || c.is_ascii_digit() || c == '_');
        is_constant.then_some(Self { name, feature })
    }
}

fn words(text: &str) -> impl Iterator<Item = &str> {
    text.split(|c: char| !(c.is_ascii_alphanumeric() || c == '_'))
}

fn without_comments(text: &str) -> String {
    text.lines()
        .filter(|line| !line.trim_start().starts_with("//"))
        .fold(String::new(), |kept, line| kept + line + "\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn complaints(home: &str, other: &str) -> Vec<String> {
        let factor = |name: &str| {
            format!(
                "[[factor]]\nname = \"{name}\"\nkind = \"feature\"\ntier = \"A\"\ngates = []\norigin = \"ours\"\n\
                 hypothesis = \"It helps.\"\non.features = [\"{name}\"]\nstatus = \"candidate\"\n"
            )
        };
        let set = "[[set]]\nname = \"both\"\nabout = \"Both.\"\nchoices = [\"first\", \"second\"]\n";
        let manifest = Manifest::parse(&(factor("first") + &factor("second") + set)).unwrap();
        let sources = Sources { home: without_comments(home), others: vec![without_comments(other)] };
        sources.complaints(&manifest)
    }

    const HOME_OF_BOTH: &str = "switches! {\n    /// FIRST.\n    FIRST = \"first\";\n    SECOND = \"second\";\n}\n";

    #[test]
    fn a_feature_has_a_constant_that_is_read_or_chooses_a_module() {
        let read = "if FIRST {}\n#[cfg(feature = \"second\")]\nmod second;";
        assert_eq!(complaints(HOME_OF_BOTH, read), Vec::<String>::new());
        let without = complaints("    FIRST = \"first\";\n", read);
        assert_eq!(without, ["src/features.rs has no constant for the feature second"]);
    }

    #[test]
    fn a_constant_that_nobody_reads_is_named() {
        let unread = complaints(HOME_OF_BOTH, "// SECOND\nif FIRST {}");
        assert_eq!(unread, ["src/features.rs: nobody reads SECOND, so that the feature second does nothing"]);
        let derived = complaints(&format!("{HOME_OF_BOTH}pub const BOTH: bool = FIRST && SECOND;\n"), "");
        assert_eq!(derived, ["src/features.rs: nobody reads BOTH"]);
    }

    #[test]
    fn a_constant_without_a_factor_is_named() {
        let third = complaints(&format!("{HOME_OF_BOTH}    THIRD = \"third\";\n"), "FIRST SECOND THIRD");
        assert_eq!(third, ["src/features.rs: THIRD asks for third, for which the manifest has no factor"]);
    }
}
