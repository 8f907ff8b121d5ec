//! What is written to be executed, and what is built: each by the one function that does it right.

use proc_macro2::{Delimiter, TokenTree};

use crate::tokens;
use crate::tree::{Complaint, Tree};

/// A file with a reason to do it by itself.
pub struct Allowed {
    pub path: &'static str,
    pub reason: &'static str,
}

/// Files that set modes of files.
pub const MODES: &[Allowed] = &[
    Allowed { path: "matrix/src/files.rs", reason: "keeps the mode of a file that is replaced, and writes no program" },
    Allowed { path: "matrix/src/layer/archive.rs", reason: "files of a layer that are no programs" },
    Allowed { path: "src/os/file.rs", reason: "opens files without waiting for a writer, and creates none" },
    Allowed { path: "src/os/trace.rs", reason: "opens a file without waiting for a reader, and creates no program" },
];

/// Files that start cargo.
pub const CARGO: &[Allowed] = &[
    Allowed { path: "matrix/src/workspace.rs", reason: "the function itself" },
    Allowed { path: "tests/house/testimony.rs", reason: "asks for metadata, and compiles nothing" },
];

/// Files that make a program executable by themselves. `matrix::executable` writes it so that it can be executed at once ("Text file busy").
pub fn written(tree: &Tree, allowed: &[Allowed]) -> Vec<Complaint> {
    let is_mode = |tokens: &[TokenTree], at: usize| {
        ["set_permissions", "set_mode", "OpenOptionsExt"].iter().any(|name| tokens::is_ident(tokens.get(at), name))
    };
    found(tree, allowed, "writes a program without matrix::executable", &is_mode)
}

/// Files that start cargo by themselves. `matrix::workspace::cargo` does so in the environment of a shell, so that no build undoes another one's.
pub fn built(tree: &Tree, allowed: &[Allowed]) -> Vec<Complaint> {
    let is_cargo = |tokens: &[TokenTree], at: usize| {
        let is_new = tokens::is_ident(tokens.get(at), "Command")
            && tokens::is_path_separator(tokens, at + 1)
            && tokens::is_ident(tokens.get(at + 3), "new");
        let program = tokens::group(tokens.get(at + 4), Delimiter::Parenthesis).filter(|_| is_new);
        program.is_some_and(|program| tokens::has_text(&program, "cargo"))
    };
    found(tree, allowed, "starts cargo without matrix::workspace::cargo", &is_cargo)
}

fn found(tree: &Tree, allowed: &[Allowed], what: &str, is: &dyn Fn(&[TokenTree], usize) -> bool) -> Vec<Complaint> {
    let mut complaints = Vec::new();
    for file in tree.rust("") {
        let mut lines = Vec::new();
        search(&tokens::of(file), is, &mut lines);
        match allowed.iter().find(|allowed| allowed.path == file.path) {
            None => complaints.extend(lines.into_iter().map(|line| Complaint::new(file, line, what))),
            Some(Allowed { reason, .. }) if lines.is_empty() => {
                complaints.push(Complaint::new(file, 1, format!("needs no exemption as \"{reason}\" any more")));
            }
            Some(_) => {}
        }
    }
    complaints
}

fn search(tokens: &[TokenTree], is: &dyn Fn(&[TokenTree], usize) -> bool, lines: &mut Vec<usize>) {
    for (at, token) in tokens.iter().enumerate() {
        if is(tokens, at) {
            lines.push(tokens::line(token));
        }
        if let TokenTree::Group(group) = token {
            search(&group.stream().into_iter().collect::<Vec<_>>(), is, lines);
        }
    }
}
