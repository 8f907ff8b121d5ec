//! Circles of imports within the folders of every crate: of what lies side by side in a folder, nothing imports what imports it, unless no folder is among it.

use std::collections::{BTreeMap, BTreeSet};

use proc_macro2::TokenTree;

use crate::exempt;
use crate::imports::visit;
use crate::tokens;
use crate::tree::{Complaint, File, Tree};

/// What imports what among the files and folders of one folder.
type Imports = BTreeMap<String, BTreeSet<String>>;

/// Circles with a folder among their members.
pub fn found(tree: &Tree) -> Vec<Complaint> {
    let mut complaints = Vec::new();
    for root in roots(tree) {
        let modules = modules(tree, &root);
        let mut folders: BTreeMap<String, Imports> = BTreeMap::new();
        for (module, file) in &modules {
            for target in targets(file, module, &modules) {
                add(&mut folders, &root, module, &target);
            }
        }
        for (folder, imports) in &folders {
            let below = folder.strip_prefix(&root).unwrap_or_default().trim_start_matches('/').to_owned();
            let with_folder = circles(imports).into_iter().filter(|circle| has_folder(&modules, &below, circle));
            complaints.extend(with_folder.map(|circle| {
                let what = format!("circle of imports: {}", circle.join(", "));
                Complaint { path: folder.to_owned(), line: 1, what }
            }));
        }
    }
    complaints
}

/// The folders with the sources of the crates, without a slash at the end.
fn roots(tree: &Tree) -> BTreeSet<String> {
    let of = |file: &File| {
        let root = file.path.strip_suffix("/lib.rs").or(file.path.strip_suffix("/main.rs"))?;
        (root == "src" || root.ends_with("/src")).then(|| root.to_owned())
    };
    tree.files.iter().filter_map(of).collect()
}

/// The files by their modules' names, without the crate's root and without tests.
fn modules<'t>(tree: &'t Tree, root: &str) -> BTreeMap<Vec<String>, &'t File> {
    let folder = format!("{root}/");
    let tests = exempt::test_files(tree, &folder);
    let of = |file: &'t File| {
        let path = file.path.strip_prefix(&folder)?.strip_suffix(".rs")?;
        let path = path.strip_suffix("/mod").unwrap_or(path);
        let is_root = matches!(path, "lib" | "main") || path.starts_with("bin/");
        let names: Vec<String> = path.split('/').map(str::to_owned).collect();
        (!is_root && file.is_rust() && !tests.contains(&file.path)).then_some((names, file))
    };
    tree.files.iter().filter_map(of).collect()
}

/// The modules that a file names, by `crate::`, `super::` or `self::`.
fn targets(file: &File, module: &[String], modules: &BTreeMap<Vec<String>, &File>) -> BTreeSet<Vec<String>> {
    const DEPTH: usize = 8;
    let mut targets = BTreeSet::new();
    visit(&tokens::of(file), 0, &mut |tokens, at, inline_modules| {
        if tokens::continues_path(tokens, at) {
            return;
        }
        let Some(start) = start(tokens, at, module, inline_modules) else { return };
        for path in tokens::paths(tokens, start.at, DEPTH) {
            let names: Vec<String> = start.base.iter().cloned().chain(path).collect();
            let is_module = |length: &usize| modules.keys().any(|module| module.starts_with(&names[..*length]));
            targets.extend((start.base.len() + 1..=names.len()).rev().find(is_module).map(|end| names[..end].to_vec()));
        }
    });
    targets
}

/// Where a path begins.
struct Start {
    /// The module that its first name is looked for in.
    base: Vec<String>,
    /// Where that name stands.
    at: usize,
}

fn start(tokens: &[TokenTree], at: usize, module: &[String], inline_modules: usize) -> Option<Start> {
    let leads =
        |at: usize, word: &str| tokens::is_ident(tokens.get(at), word) && tokens::is_path_separator(tokens, at + 1);
    if leads(at, "crate") {
        return Some(Start { base: Vec::new(), at: at + 3 });
    }
    let (mut next, mut supers) = (at, 0_usize);
    if leads(next, "self") {
        next += 3;
    }
    while leads(next, "super") {
        (next, supers) = (next + 3, supers + 1);
    }
    let kept = module.len().checked_sub(supers.saturating_sub(inline_modules))?;
    (next > at && supers >= inline_modules).then(|| Start { base: module[..kept].to_vec(), at: next })
}

/// An import between two that lie side by side, in the folder where their ways part.
fn add(folders: &mut BTreeMap<String, Imports>, root: &str, module: &[String], target: &[String]) {
    let common = module.iter().zip(target).take_while(|(one, other)| one == other).count();
    if let (Some(one), Some(other)) = (module.get(common), target.get(common)) {
        let folder = std::iter::once(root).chain(module[..common].iter().map(String::as_str));
        let imports = folders.entry(folder.collect::<Vec<_>>().join("/")).or_default();
        imports.entry(one.clone()).or_default().insert(other.clone());
    }
}

/// The largest sets of which each member imports each other one, directly or not.
fn circles(imports: &Imports) -> Vec<Vec<String>> {
    let reached: BTreeMap<&String, BTreeSet<&String>> =
        imports.keys().map(|from| (from, reach(imports, from))).collect();
    let with = |one: &String| -> Vec<String> {
        let is_mutual = |other: &&&String| reached[one].contains(**other) && reached[**other].contains(one);
        reached.keys().filter(is_mutual).map(|other| (*other).clone()).collect()
    };
    let circles: BTreeSet<Vec<String>> = imports.keys().map(with).filter(|circle| circle.len() > 1).collect();
    circles.into_iter().collect()
}

fn reach<'i>(imports: &'i Imports, from: &'i String) -> BTreeSet<&'i String> {
    let (mut seen, mut left) = (BTreeSet::new(), vec![from]);
    while let Some(next) = left.pop() {
        left.extend(imports.get(next).into_iter().flatten().filter(|to| seen.insert(*to)));
    }
    seen
}

/// Whether a folder is among these members.
fn has_folder(modules: &BTreeMap<Vec<String>, &File>, folder: &str, members: &[String]) -> bool {
    let above: Vec<String> = folder.split('/').filter(|name| !name.is_empty()).map(str::to_owned).collect();
    members.iter().any(|member| {
        let path = [above.as_slice(), std::slice::from_ref(member)].concat();
        modules.keys().any(|module| module.starts_with(&path) && module.len() > path.len())
    })
}
