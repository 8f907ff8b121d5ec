//! Checks that the sources have code for every feature, and a feature for every switch that they read.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use proc_macro2::{Delimiter, LexError, TokenStream, TokenTree};

use super::Manifest;

/// The file that declares the switches.
const HOME: &str = "src/features.rs";

/// The sources of the extension, without its tests.
pub struct Sources {
    /// The text of [`HOME`].
    text: String,
    home: Code,
    /// All other files.
    others: Code,
}

/// What is said of switches outside of comments, strings and tests.
#[derive(Default)]
struct Code {
    /// How often each name occurs.
    names: BTreeMap<String, usize>,
    /// The features that conditions such as `cfg(feature = "x")` name.
    conditions: BTreeSet<String>,
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
        let mut sources = Self { text: String::new(), home: Code::default(), others: Code::default() };
        let mut open = vec![root.join("src")];
        while let Some(folder) = open.pop() {
            let failure = |error| unreadable(&folder, &error);
            for entry in fs::read_dir(&folder).map_err(failure)? {
                let path = entry.map_err(failure)?.path();
                if path.is_dir() {
                    open.push(path);
                } else if is_code(&path) {
                    let text = fs::read_to_string(&path).map_err(|error| unreadable(&path, &error))?;
                    let is_home = path == root.join(HOME);
                    let code = if is_home { &mut sources.home } else { &mut sources.others };
                    code.add(&text).map_err(|reason| format!("{} is not Rust: {reason}", path.display()))?;
                    if is_home {
                        sources.text = text;
                    }
                }
            }
        }
        Ok(sources)
    }

    /// Features without code, constants without a feature, and constants that are never read.
    pub fn complaints(&self, manifest: &Manifest) -> Vec<String> {
        let known: BTreeSet<&str> = manifest.features().into_iter().collect();
        let constants: Vec<Constant<'_>> = self.text.lines().filter_map(Constant::of).collect();
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
        let derived = self.text.lines().filter_map(|line| line.strip_prefix("pub const ")?.split(':').next());
        complaints.extend(
            derived
                .filter(|name| !self.is_read(name) && *name != "SWITCHES")
                .map(|name| format!("{HOME}: nobody reads {name}")),
        );
        complaints
    }

    fn is_read(&self, name: &str) -> bool {
        // The declaration is one occurrence.
        self.others.names.contains_key(name) || self.home.names.get(name).is_some_and(|count| *count > 1)
    }

    /// Whether a `cfg` selects a module or an item by the feature.
    fn chooses_a_module(&self, feature: &str) -> bool {
        [&self.home, &self.others].iter().any(|code| code.conditions.contains(feature))
    }
}

impl Code {
    fn add(&mut self, text: &str) -> Result<(), LexError> {
        let tokens: TokenStream = text.parse()?;
        self.add_tokens(tokens);
        Ok(())
    }

    fn add_tokens(&mut self, tokens: TokenStream) {
        let mut trees = tokens.into_iter().peekable();
        // `feature`, `=` and a string follow each other in a condition.
        let mut is_condition = false;
        while let Some(tree) = trees.next() {
            let next_is_value = match &tree {
                TokenTree::Ident(name) => name == "feature",
                TokenTree::Punct(sign) => is_condition && sign.as_char() == '=',
                TokenTree::Group(_) | TokenTree::Literal(_) => false,
            };
            match tree {
                TokenTree::Ident(name) => *self.names.entry(name.to_string()).or_default() += 1,
                TokenTree::Group(group) if is_for_tests(&group) => {
                    // Up to the end of the item that it is about.
                    while trees.next().is_some_and(|tree| !ends_item(&tree)) {}
                }
                TokenTree::Group(group) => self.add_tokens(group.stream()),
                TokenTree::Literal(text) if is_condition => {
                    self.conditions.insert(text.to_string().trim_matches('"').to_owned());
                }
                TokenTree::Literal(_) | TokenTree::Punct(_) => {}
            }
            is_condition = next_is_value;
        }
    }
}

/// Whether these brackets are those of `#[cfg(test)]`.
fn is_for_tests(group: &proc_macro2::Group) -> bool {
    group.delimiter() == Delimiter::Bracket && group.stream().to_string().replace(' ', "") == "cfg(test)"
}

fn ends_item(tree: &TokenTree) -> bool {
    match tree {
        TokenTree::Group(group) => group.delimiter() == Delimiter::Brace,
        TokenTree::Punct(sign) => sign.as_char() == ';',
        TokenTree::Ident(_) | TokenTree::Literal(_) => false,
    }
}

/// Whether a file has sources of the extension: its tests are in files of their own.
fn is_code(path: &Path) -> bool {
    path.extension().is_some_and(|extension| extension == "rs")
        && path.file_stem().is_some_and(|stem| !stem.to_string_lossy().ends_with("tests"))
}

impl<'s> Constant<'s> {
    /// Parses a line such as `TAG_CACHE = "tag-cache";`.
    fn of(line: &'s str) -> Option<Self> {
        let (name, feature) = line.trim().strip_suffix("\";")?.split_once(" = \"")?;
        let is_constant = name.chars().all(|c| c.is_ascii_uppercase() || c.is_ascii_digit() || c == '_');
        is_constant.then_some(Self { name, feature })
    }
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
        let mut sources = Sources { text: home.to_owned(), home: Code::default(), others: Code::default() };
        sources.home.add(home).unwrap();
        sources.others.add(other).unwrap();
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
    fn an_unused_feature_constant_is_named() {
        for mentioned in [
            "// SECOND",
            "/* SECOND, feature = \"second\" /* SECOND */ */",
            "/// `SECOND`\nfn f() {}",
            "log(\"SECOND is off\");",
            "log(r#\"SECOND \" SECOND\"#);",
            "fn of<'second>(a: &'second str) { let c = 'S'; }",
            "#[cfg(test)]\nmod tests { fn f() { if SECOND {} } }",
            "#[cfg(test)]\nuse crate::features::SECOND;",
            "let feature = SECONDS == \"second\";",
        ] {
            let unread = complaints(HOME_OF_BOTH, &format!("{mentioned}\nfn g() {{ if FIRST {{}} }}"));
            let expected = ["src/features.rs: nobody reads SECOND, so that the feature second does nothing"];
            assert_eq!(unread, expected, "{mentioned}");
        }
        assert_eq!(complaints(HOME_OF_BOTH, "#[cfg(test)]\nmod tests {}\nif FIRST && SECOND {}"), [""; 0]);
        let derived = complaints(&format!("{HOME_OF_BOTH}pub const BOTH: bool = FIRST && SECOND;\n"), "");
        assert_eq!(derived, ["src/features.rs: nobody reads BOTH"]);
    }

    #[test]
    fn a_constant_without_a_factor_is_named() {
        let third = complaints(&format!("{HOME_OF_BOTH}    THIRD = \"third\";\n"), "FIRST SECOND THIRD");
        assert_eq!(third, ["src/features.rs: THIRD asks for third, for which the manifest has no factor"]);
    }
}
