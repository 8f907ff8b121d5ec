//! Which files hold nothing but tests: those that are declared as such, whatever their names are.

use std::collections::BTreeSet;

use proc_macro2::{Delimiter, TokenTree};

use crate::tokens;
use crate::tree::{File, Tree};

/// The paths of the files below `root`, such as `src/`, that only exist for tests: a `#[cfg(test)] mod name;` declares them, or a file that is one of them, and nothing else does.
pub fn test_files(tree: &Tree, root: &str) -> BTreeSet<String> {
    let declarations: Vec<Declaration> = tree.rust(root).flat_map(declarations).collect();
    let tests = declared(&declarations, BTreeSet::new(), true);
    let roots = tree.rust(root).map(|file| file.path.clone());
    let roots = roots.filter(|path| !declarations.iter().any(|declaration| declaration.files.contains(path)));
    let program = declared(&declarations, roots.collect(), false);
    tests.difference(&program).cloned().collect()
}

/// The files that these declare, and those that are declared there; with every declaration for tests, or without any.
fn declared(declarations: &[Declaration<'_>], mut found: BTreeSet<String>, for_tests: bool) -> BTreeSet<String> {
    loop {
        let before = found.len();
        for declaration in declarations.iter().filter(|declaration| for_tests || !declaration.for_tests) {
            if (for_tests && declaration.for_tests) || found.contains(declaration.by) {
                found.extend(declaration.files.iter().cloned());
            }
        }
        if found.len() == before {
            return found;
        }
    }
}

/// One `mod name;`.
struct Declaration<'t> {
    /// The file that it is in.
    by: &'t str,
    for_tests: bool,
    /// Where the module may be.
    files: Vec<String>,
}

fn declarations(file: &File) -> Vec<Declaration<'_>> {
    let tokens = tokens::of(file);
    let mut declarations = Vec::new();
    let (mut for_tests, mut path) = (false, None);
    for (at, token) in tokens.iter().enumerate() {
        if let Some(attribute) = tokens::group(Some(token), Delimiter::Bracket) {
            for_tests |= tokens::is_cfg_test(&attribute);
            path = path.or_else(|| path_of(&attribute));
        } else if tokens::is_ident(Some(token), "mod") && tokens::is_punct(tokens.get(at + 2), ';') {
            let files = files(&file.path, &tokens[at + 1].to_string(), path.as_deref());
            declarations.push(Declaration { by: &file.path, for_tests, files });
        }
        if tokens::is_punct(Some(token), ';') || tokens::group(Some(token), Delimiter::Brace).is_some() {
            (for_tests, path) = (false, None);
        }
    }
    declarations
}

/// Of `path = "…"`.
fn path_of(attribute: &[TokenTree]) -> Option<String> {
    let is_path = tokens::is_ident(attribute.first(), "path") && tokens::is_punct(attribute.get(1), '=');
    attribute.get(2).filter(|_| is_path).map(|text| text.to_string().trim_matches('"').to_owned())
}

fn files(by: &str, name: &str, path: Option<&str>) -> Vec<String> {
    let (folder, file) = by.rsplit_once('/').unwrap_or(("", by));
    if let Some(path) = path {
        return vec![format!("{folder}/{path}")];
    }
    let folder = match file {
        "mod.rs" | "lib.rs" | "main.rs" => folder.to_owned(),
        other => format!("{folder}/{}", other.trim_end_matches(".rs")),
    };
    vec![format!("{folder}/{name}.rs"), format!("{folder}/{name}/mod.rs")]
}
