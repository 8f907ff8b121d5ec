//! How long files get, and what must not be left in them. The length of functions is clippy's `too_many_lines`.

use proc_macro2::TokenTree;

use crate::tokens;
use crate::tree::{Complaint, File, Tree};

pub struct Exempt {
    pub path: &'static str,
    pub reason: &'static str,
}

/// Tables and fixtures that are longer for a reason.
pub const EXEMPT: &[Exempt] = &[];

const FILE: usize = 500;
const MAIN: usize = 40;
/// Maximum length of a function's name, which for a test is its condition and its result.
pub const NAME: usize = 80;

pub fn lines(tree: &Tree, exempt: &[Exempt]) -> Vec<Complaint> {
    let mut complaints = Vec::new();
    for file in tree.rust("") {
        let lines = file.text.lines().count();
        let limit = if file.path == "src/main.rs" { MAIN } else { FILE };
        let exemption = exempt.iter().find(|exempt| exempt.path == file.path);
        match exemption {
            None if lines > limit => {
                complaints.push(Complaint::new(file, lines, format!("has {lines} lines, more than {limit}")));
            }
            Some(Exempt { reason, .. }) if lines <= limit => {
                complaints.push(Complaint::new(file, lines, format!("needs no exemption as \"{reason}\" any more")));
            }
            _ => {}
        }
    }
    complaints
}

/// Words for which the field has a term: a name has a condition and a result, such as `flush_retries_429_after_retry_after`.
const UNSPECIFIC: [&str; 8] = ["anybody", "costs", "everybody", "nobody", "somebody", "told", "whatever", "whoever"];

/// Functions whose names are too long or too unspecific to be read in a list of tests.
pub fn names(tree: &Tree) -> Vec<Complaint> {
    tree.rust("").flat_map(|file| unreadable_names(file, &tokens::of(file))).collect()
}

fn unreadable_names(file: &File, tokens: &[TokenTree]) -> Vec<Complaint> {
    let mut complaints = Vec::new();
    for (at, token) in tokens.iter().enumerate() {
        match token {
            TokenTree::Group(group) => {
                complaints.extend(unreadable_names(file, &group.stream().into_iter().collect::<Vec<_>>()));
            }
            TokenTree::Ident(name) if at > 0 && tokens::is_ident(tokens.get(at - 1), "fn") => {
                let (text, line) = (name.to_string(), tokens::line(token));
                if text.len() > NAME {
                    let what = format!("`{name}` has {} characters, more than {NAME}", text.len());
                    complaints.push(Complaint::new(file, line, what));
                }
                if let Some(word) = text.split('_').find(|word| UNSPECIFIC.contains(word)) {
                    let what = format!("`{name}` has the word \"{word}\": say who or what it is");
                    complaints.push(Complaint::new(file, line, what));
                }
            }
            _ => {}
        }
    }
    complaints
}

pub fn leftovers(tree: &Tree) -> Vec<Complaint> {
    // Put together here, so that this file is not one of those it finds.
    let words = [concat!("TO", "DO"), concat!("FIX", "ME")];
    let macros = [concat!("unimplemented", "!"), concat!("to", "do!")];
    let mut complaints = Vec::new();
    for file in &tree.files {
        for (index, line) in file.text.lines().enumerate() {
            let has_word = |word: &str| line.split(|c: char| !c.is_ascii_alphanumeric()).any(|part| part == word);
            let has_macro = |name: &str| file.is_rust() && line.contains(name);
            for found in words.iter().filter(|word| has_word(word)).chain(macros.iter().filter(|name| has_macro(name)))
            {
                complaints.push(Complaint::new(file, index + 1, format!("has a {found} in it")));
            }
        }
    }
    complaints
}
