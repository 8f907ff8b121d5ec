//! Which files the compiler reads, and under which conditions: from the crate roots through declarations of modules.

use std::collections::HashMap;

use crate::tree::{self, File, Tree};

/// The way from a crate root to a file.
#[derive(Debug, PartialEq, Eq)]
pub struct Chain {
    /// The file of the crate root.
    pub root: String,
    /// The attributes of each declaration.
    pub attributes: Vec<Vec<String>>,
}

/// A chain is not longer than this; a longer one is a circle.
const MAX_DEPTH: usize = 12;

/// Every `mod name;` of a tree.
pub struct Declarations {
    /// By the path that it leads to, whether there is such a file or not.
    by_target: HashMap<String, Vec<Declaration>>,
}

struct Declaration {
    /// The path of the file that it is in.
    path: String,
    attributes: Vec<String>,
}

impl Declarations {
    pub fn of(tree: &Tree) -> Self {
        let mut by_target: HashMap<_, Vec<_>> = HashMap::new();
        for file in tree.files.iter().filter(|file| file.is_rust()) {
            for (targets, attributes) in declarations(file) {
                for target in targets {
                    let declaration = Declaration { path: file.path.clone(), attributes: attributes.clone() };
                    by_target.entry(target).or_default().push(declaration);
                }
            }
        }
        Self { by_target }
    }

    /// Every chain to this file: none if no `mod` declares it, an empty one if it is a crate root.
    pub fn chains(&self, path: &str) -> Vec<Chain> {
        self.chains_within(path, MAX_DEPTH)
    }

    fn chains_within(&self, path: &str, depth: usize) -> Vec<Chain> {
        if is_root(path) {
            return vec![Chain { root: path.to_owned(), attributes: Vec::new() }];
        }
        let Some(depth) = depth.checked_sub(1) else { return Vec::new() };
        let mut chains = Vec::new();
        for declaration in self.by_target.get(path).into_iter().flatten() {
            for mut chain in self.chains_within(&declaration.path, depth) {
                chain.attributes.push(declaration.attributes.clone());
                chains.push(chain);
            }
        }
        chains
    }
}

/// The attributes of a whole file, as they would stand above its declaration.
pub fn file_attributes(file: &File) -> impl Iterator<Item = String> {
    file.text.lines().filter(|line| line.starts_with("#![")).map(|line| line.replacen("#!", "#", 1))
}

/// Where Cargo looks for crates.
fn is_root(path: &str) -> bool {
    let (_, path) = tree::split_package(path);
    let parts: Vec<&str> = path.split('/').collect();
    matches!(parts[..], ["src", "lib.rs" | "main.rs"] | ["src", "bin", _] | ["tests" | "benches" | "examples", _])
        || matches!(parts[..], ["tests" | "benches" | "examples", _, "main.rs"])
}

/// The declarations in this file: the paths that each may lead to, and the attributes above it and of the file.
fn declarations(file: &File) -> Vec<(Vec<String>, Vec<String>)> {
    let lines: Vec<&str> = file.text.lines().map(str::trim).collect();
    let mut found = Vec::new();
    for (at, line) in lines.iter().enumerate() {
        let Some(name) = line.strip_suffix(';').and_then(declared) else { continue };
        let mut attributes = attributes_above(lines[..at].iter().copied());
        let mut targets: Vec<String> =
            attributes.iter().filter_map(|line| path_in(line)).map(|path| resolved(folder(&file.path), path)).collect();
        if targets.is_empty() {
            let folder = folder_of_modules(&file.path);
            targets = vec![format!("{folder}{name}.rs"), format!("{folder}{name}/mod.rs")];
        }
        attributes.extend(file_attributes(file));
        found.push((targets, attributes));
    }
    found
}

/// The name in `mod name`, whoever may see it.
fn declared(line: &str) -> Option<&str> {
    let (visibility, name) = line.split_once("mod ")?;
    let is_visibility = visibility.is_empty() || (visibility.starts_with("pub") && visibility.ends_with(' '));
    (is_visibility && name.chars().all(|c| c.is_alphanumeric() || c == '_')).then_some(name)
}

/// What stands in `path = "…"`.
fn path_in(attribute: &str) -> Option<&str> {
    attribute.split_once("path = \"")?.1.split('"').next()
}

/// With its slash.
fn folder(path: &str) -> &str {
    path.rfind('/').map_or("", |slash| &path[..=slash])
}

fn folder_of_modules(path: &str) -> String {
    let is_own_folder = is_root(path) || path.ends_with("/mod.rs");
    if is_own_folder { folder(path).to_owned() } else { format!("{}/", path.trim_end_matches(".rs")) }
}

fn resolved(folder: &str, relative: &str) -> String {
    let mut parts: Vec<&str> = folder.split('/').filter(|part| !part.is_empty()).collect();
    for part in relative.split('/') {
        if part == ".." {
            parts.pop();
        } else {
            parts.push(part);
        }
    }
    parts.join("/")
}

/// The attributes that end these lines, each as one line.
pub fn attributes_above<'l>(lines: impl DoubleEndedIterator<Item = &'l str>) -> Vec<String> {
    let above = lines.rev().take_while(|line| !line.is_empty() && !line.ends_with(['}', '{', ';']));
    let above = above.filter(|line| line.starts_with("#[") || !line.starts_with(['/', '#']));
    let (mut attributes, mut rest) = (Vec::new(), String::new());
    for line in above {
        rest.insert_str(0, line);
        if line.starts_with("#[") {
            attributes.push(std::mem::take(&mut rest));
        }
    }
    attributes
}

#[test]
fn chains_lead_from_crate_roots_to_files() {
    let tree = Tree::default()
        .with("src/lib.rs", "pub mod a;\n#[cfg(x)]\nmod gated;\n")
        .with("src/a.rs", "pub(crate) mod b;\n\n#[cfg(test)]\n#[path = \"a_tests.rs\"]\nmod tests;\n")
        .with("src/a/b/mod.rs", "mod c;\n")
        .with("src/a/b/c.rs", "#![cfg(y)]\nmod d;\n")
        .with("tests/e2e/main.rs", "mod one;\n")
        .with("tests/e2e/one.rs", "#[path = \"../common/two.rs\"]\nmod two;\n");
    let declarations = Declarations::of(&tree);
    let chains = |path: &str| declarations.chains(path);
    let attributes =
        |path: &str| -> Vec<String> { chains(path).into_iter().flat_map(|chain| chain.attributes).flatten().collect() };
    let chain = Chain { root: "src/lib.rs".to_owned(), attributes: vec![Vec::new(); 3] };
    assert_eq!(chains("src/a/b/c.rs"), [chain]);
    assert_eq!(attributes("src/a/b/c/d.rs"), ["#[cfg(y)]"]);
    assert_eq!(attributes("src/gated.rs"), ["#[cfg(x)]"]);
    assert_eq!(attributes("src/a_tests.rs"), ["#[path = \"a_tests.rs\"]", "#[cfg(test)]"]);
    assert_eq!(chains("tests/common/two.rs").len(), 1);
    for undeclared in ["src/a/c.rs", "src/b.rs", "tests/e2e/two.rs", "src/a/a_tests.rs"] {
        assert_eq!(chains(undeclared), Vec::<Chain>::new(), "{undeclared}");
    }
}
