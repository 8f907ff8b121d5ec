//! Imports that would hide a name from the other rules: those look for modules and types by the names that these have where they are declared.

use proc_macro2::{Delimiter, TokenTree};

use crate::tokens;
use crate::tree::{Complaint, File, Tree};

const MAP: &str = "src/lib.rs";

/// `use X as Y`, but for `as _`, which gives no name at all.
pub fn renamed(tree: &Tree) -> Vec<Complaint> {
    let mut complaints = Vec::new();
    for file in tree.rust("src/") {
        collect(file, &tokens::of(file), &mut complaints);
    }
    complaints
}

/// Whatever else than `mod name;` is in the crate's root: a re-export there would be an import that no row of the table knows.
pub fn items_of_the_map(tree: &Tree) -> Vec<Complaint> {
    tree.rust(MAP).flat_map(other_items).collect()
}

fn collect(file: &File, tokens: &[TokenTree], complaints: &mut Vec<Complaint>) {
    let mut in_import = false;
    for (at, token) in tokens.iter().enumerate() {
        let starts = ["use", "extern"].iter().any(|word| tokens::is_ident(Some(token), word));
        in_import = (in_import || starts) && !tokens::is_punct(Some(token), ';');
        if let TokenTree::Group(group) = token {
            let inner: Vec<TokenTree> = group.stream().into_iter().collect();
            if in_import && group.delimiter() == Delimiter::Brace {
                complaints.extend(aliases(file, &inner));
            }
            collect(file, &inner, complaints);
        } else if in_import {
            complaints.extend(alias(file, tokens, at));
        }
    }
}

/// At any depth of the braces of an import.
fn aliases(file: &File, tokens: &[TokenTree]) -> Vec<Complaint> {
    let mut complaints = Vec::new();
    for (at, token) in tokens.iter().enumerate() {
        match token {
            TokenTree::Group(group) => {
                complaints.extend(aliases(file, &group.stream().into_iter().collect::<Vec<_>>()));
            }
            _ => complaints.extend(alias(file, tokens, at)),
        }
    }
    complaints
}

fn alias(file: &File, tokens: &[TokenTree], at: usize) -> Option<Complaint> {
    let TokenTree::Ident(name) = tokens.get(at + 1).filter(|_| tokens::is_ident(tokens.get(at), "as"))? else {
        return None;
    };
    let what = format!("imports something under the name `{name}`, which hides it from these rules");
    (name != "_").then(|| Complaint::new(file, tokens::line(&tokens[at]), what))
}

fn other_items(file: &File) -> Vec<Complaint> {
    let tokens = tokens::of(file);
    let mut complaints = Vec::new();
    let mut item: Vec<&TokenTree> = Vec::new();
    for token in &tokens {
        item.push(token);
        let is_body = matches!(token, TokenTree::Group(group) if group.delimiter() == Delimiter::Brace);
        if is_body || tokens::is_punct(Some(token), ';') {
            let declares = item.iter().any(|token| tokens::is_ident(Some(token), "mod"));
            // The semicolon after a body belongs to what was found already.
            if is_body || (!declares && item.len() > 1) {
                complaints.push(Complaint::new(file, tokens::line(item[0]), "is the map, and holds only `mod name;`"));
            }
            item.clear();
        }
    }
    complaints
}
