//! What the pure modules of `src/` may know: they turn values into values, and time, sockets and files come in from the edges.

use std::collections::BTreeSet;

use proc_macro2::{Delimiter, TokenTree};

use crate::imports::{before, modules, visit};
use crate::tokens;
use crate::tree::{Complaint, Tree};

const PURE: [&str; 2] = ["process", "aggregate"];

/// What of the standard library is pure. Without `io`, of which only a trait is.
const STD: [&str; 22] = [
    "array",
    "borrow",
    "cell",
    "cmp",
    "collections",
    "convert",
    "error",
    "fmt",
    "hash",
    "iter",
    "marker",
    "mem",
    "num",
    "ops",
    "option",
    "result",
    "slice",
    "str",
    "string",
    "sync",
    "time",
    "vec",
];

/// Paths of two names after `std` that are pure although what they are in is not.
const STD_PARTS: [[&str; 2]; 3] = [["io", "Write"], ["net", "Ipv6Addr"], ["ptr", "eq"]];

/// Crates, and the names of lints, that neither read a clock nor reach out.
const CRATES: [&str; 10] =
    ["base64", "bytes", "clippy", "regex", "serde", "serde_json", "thiserror", "time", "tracing", "waf_protocol"];

const OURS: [&str; 4] = ["crate", "bottlecap", "self", "super"];

const PRIMITIVES: [&str; 16] = [
    "bool", "char", "f32", "f64", "i8", "i16", "i32", "i64", "isize", "str", "u8", "u16", "u32", "u64", "u128", "usize",
];

/// What reads the clock, whatever it is called on and whatever name that goes by.
const CLOCKS: [&str; 4] = ["elapsed", "now", "now_local", "now_utc"];

const OUTPUT: [&str; 5] = ["dbg", "eprint", "eprintln", "print", "println"];

/// Whatever a pure module uses that is not known to be pure.
pub fn impure(tree: &Tree) -> Vec<Complaint> {
    let mut complaints = Vec::new();
    for (file, module) in modules(tree).filter(|(_, module)| PURE.contains(module)) {
        let tokens = tokens::of(file);
        let names = names(&tokens);
        let mut lines = BTreeSet::new();
        visit(&tokens, 0, &mut |tokens, at, _| {
            let Some(what) = fault(tokens, at, &names) else { return };
            let line = tokens::line(&tokens[at]);
            if lines.insert(line) {
                complaints.push(Complaint::new(file, line, format!("`{module}` may not use `{what}`")));
            }
        });
    }
    complaints
}

/// What is impure about the token at `at`, if anything.
fn fault(tokens: &[TokenTree], at: usize, names: &BTreeSet<String>) -> Option<String> {
    let TokenTree::Ident(name) = &tokens[at] else { return None };
    let name = name.to_string();
    let is_of_path = at >= 2 && tokens::is_path_separator(tokens, at - 2);
    let is_of_value = tokens::is_punct(before(tokens, at, 1), '.');
    let is_call = tokens::group(tokens.get(at + 1), Delimiter::Parenthesis).is_some();
    let is_method = is_of_path || (is_of_value && is_call);
    let is_macro = tokens::is_punct(tokens.get(at + 1), '!');
    if (CLOCKS.contains(&&*name) && is_method) || (OUTPUT.contains(&&*name) && is_macro) || name == "extern" {
        return Some(name);
    }
    let is_path = tokens::is_path_separator(tokens, at + 1);
    if name == "use" {
        let start = at + if is_path { 3 } else { 1 };
        return tokens::paths(tokens, start, 3)
            .into_iter()
            .find(|path| !is_pure(path, names))
            .map(|path| path.join("::"));
    }
    let is_import = tokens::is_ident(before(tokens, at, if is_of_path { 3 } else { 1 }), "use");
    // A function with types is no path.
    let has_types = tokens::is_punct(tokens.get(at + 3), '<');
    if is_import || tokens::continues_path(tokens, at) || !is_path || has_types {
        return None;
    }
    tokens::paths(tokens, at, 3).into_iter().find(|path| !is_pure(path, names)).map(|path| path.join("::"))
}

/// Whether a path leads to what is pure; other modules of ours are for the table of imports to judge.
fn is_pure(path: &[String], names: &BTreeSet<String>) -> bool {
    let Some((first, rest)) = path.split_first() else { return true };
    if ["std", "core", "alloc"].contains(&&**first) {
        let is_part = |of: &[&str; 2]| rest.iter().map(String::as_str).eq(*of);
        return rest.first().is_some_and(|module| STD.contains(&&**module)) || STD_PARTS.iter().any(is_part);
    }
    let is_type = first.starts_with(char::is_uppercase);
    is_type || names.contains(first) || [&OURS[..], &CRATES, &PRIMITIVES].concat().contains(&&**first)
}

/// What stands for a module of ours, or for a pure one, in this file: what it declares, and what it imports from there.
fn names(tokens: &[TokenTree]) -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    visit(tokens, 0, &mut |tokens, at, _| {
        if tokens::is_ident(tokens.get(at), "mod") {
            names.extend(tokens.get(at + 1).map(ToString::to_string));
        }
        let Some(TokenTree::Ident(first)) = tokens.get(at + 1).filter(|_| tokens::is_ident(tokens.get(at), "use"))
        else {
            return;
        };
        let first = first.to_string();
        if [&OURS[..], &CRATES, &["std"]].concat().contains(&&*first) {
            let import = tokens[at + 2..].split(|token| tokens::is_punct(Some(token), ';')).next().unwrap_or_default();
            tokens::idents(import, &mut names);
        }
    });
    names
}
