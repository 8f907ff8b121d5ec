//! The tree that a report is about: its commit, what differs from that, and the lists that the proofs compare with.

use std::path::Path;

use serde::Serialize;

use super::allowed;
use super::error::Error;
use super::proof::{Facts, Proof};
use crate::build::{self, launcher, pinned, waf};
use crate::hash;
use crate::layer::SOURCES_BESIDE;
use crate::layer::make::WRAPPER;
use crate::manifest::Manifest;
use crate::workspace::sources;

/// What of the tree was compiled into this tool, by its place below the root.
const EMBEDDED: [(&str, &[u8]); 8] = [
    ("matrix/fips.toml", pinned::TEXT.as_bytes()),
    (allowed::FILE, allowed::TEXT.as_bytes()),
    ("matrix/bundled.toml", include_bytes!("../../bundled.toml")),
    ("matrix/flavours.toml", include_bytes!("../../flavours.toml")),
    ("matrix/src/layer/datadog_wrapper", WRAPPER),
    ("crates/launcher/.cargo/config.toml", launcher::CONFIGURATION.as_bytes()),
    ("crates/waf/.cargo/config.toml", waf::CONFIGURATION.as_bytes()),
    (waf::PINS, waf::PINS_TEXT.as_bytes()),
];

/// The list of the switches. A debug build reads it when it is started, so that what counts is what it has read.
const MANIFEST: &str = "matrix/optimizations.toml";

/// The tree at one moment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Tree {
    /// The commit; where the program's sources, this tool's or the texts of a layer differ from it, `+` and a hash of the differences follow.
    pub sources: String,
    pub lists: Vec<List>,
    /// The SHA-256 of this tool's own file.
    pub tool_sha256: String,
}

/// A file that the proofs compare with.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct List {
    /// The path from the root of the repository.
    pub file: String,
    /// The SHA-256 of the copy that this tool was compiled with.
    pub sha256: String,
    /// The SHA-256 of the file in the working tree, or the error that occurred reading it.
    pub in_tree: String,
}

impl Tree {
    /// Reads the working tree's present state.
    pub fn look(root: &Path) -> Result<Self, Error> {
        let list = |file: &str, sha256: String| List {
            file: file.to_owned(),
            sha256,
            in_tree: hash::of_files([root.join(file).as_path()]).unwrap_or_else(|error| error.to_string()),
        };
        let manifest = Manifest::embedded_text().map(|text| hash::hexadecimal(text.as_bytes()));
        let manifest = list(MANIFEST, manifest.unwrap_or_else(ToString::to_string));
        let lists = EMBEDDED.iter().map(|(file, bytes)| list(file, hash::hexadecimal(bytes))).chain([manifest]);
        let tool = std::env::current_exe().and_then(|tool| hash::of_files([tool.as_path()]));
        Ok(Self {
            lists: lists.collect(),
            sources: sources::state(root, &SOURCES_BESIDE).map_err(build::Error::Sources)?,
            tool_sha256: tool.map_err(Error::Directory)?,
        })
    }

    pub fn is_clean(&self) -> bool {
        sources::is_clean(&self.sources)
    }

    /// Judges the tree before the build and after it.
    pub fn judge(&self, before: &Self) -> Proof {
        let mut facts = Facts::default();
        for List { file, sha256, in_tree } in &self.lists {
            if sha256 == in_tree {
                facts.note(true, format!("{file} has SHA-256 {sha256}, in the tree and in this tool"));
            } else {
                facts.note(false, format!("{file} is {in_tree} in the tree, and {sha256} in this tool"));
            }
        }
        facts.note(true, format!("this tool has SHA-256 {}", self.tool_sha256));
        let commit = if self.is_clean() { "are those of commit" } else { "differ from their commit:" };
        facts.note(true, format!("the sources of the program and of this tool {commit} {}", self.sources));
        if self != before {
            facts.note(false, format!("the tree was another one before the build: {}", before.sources));
        }
        let claim = "The sources stayed as they were while the program was built, and the lists that the proofs compare with are those of the same tree.";
        Proof::new(
            "tree",
            claim,
            "git's ids of files and folders, which this tool computes from what is on the disk, beside those in the commit, whose bytes it hashes as well, and `sha256sum` of the lists; git's word is only which commit that is: compare it with the one you know",
            facts,
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lists_in_this_tool_are_those_of_the_tree() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
        let tree = Tree::look(root).unwrap();
        let proof = tree.judge(&tree);
        assert!(proof.holds, "{proof:?}");
        for file in ["matrix/fips-packages.toml", "matrix/optimizations.toml"] {
            assert!(proof.evidence.concat().contains(file), "{file}: {proof:?}");
        }
    }

    #[test]
    fn a_tree_that_changes_or_has_other_lists_is_against_it() {
        let list = List { file: "a".to_owned(), sha256: "ff".to_owned(), in_tree: "ff".to_owned() };
        let tree = Tree { sources: "abc".to_owned(), lists: vec![list.clone()], tool_sha256: "00".to_owned() };
        assert!(tree.judge(&tree).holds && tree.is_clean());
        let other = Tree { lists: vec![List { in_tree: "ee".to_owned(), ..list }], ..tree.clone() };
        assert!(!other.judge(&other).holds, "a list that somebody has changed since");
        let changed = Tree { sources: "abc+def".to_owned(), ..tree.clone() };
        assert!(!changed.judge(&tree).holds && !tree.judge(&changed).holds);
        let proof = changed.judge(&changed);
        assert!(proof.holds && proof.evidence.concat().contains("differ from their commit: abc+def"), "{proof:?}");
    }
}
