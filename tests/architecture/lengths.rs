//! How long files get, and what must not be left in them. The length of functions is clippy's `too_many_lines`.

use crate::tree::{Complaint, Tree};

pub struct Exempt {
    pub path: &'static str,
    pub reason: &'static str,
}

/// Tables and fixtures that are longer for a reason.
pub const EXEMPT: &[Exempt] = &[];

const FILE: usize = 500;
const MAIN: usize = 40;

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
