//! Types whose name is a participle: it says what was done to a thing, and not what the thing is.

use proc_macro2::TokenTree;

use crate::tokens;
use crate::tree::{Complaint, File, Tree};

/// The folders that are checked.
const FOLDERS: &[&str] = &["benches", "crates", "fuzz", "matrix", "src", "tests"];

/// Participles without a regular ending.
const IRREGULAR: &[&str] = &[
    "Born", "Bound", "Brought", "Built", "Cut", "Done", "Drawn", "Found", "Given", "Gone", "Held", "Kept", "Known",
    "Left", "Lost", "Made", "Met", "Put", "Ran", "Read", "Said", "Seen", "Sent", "Set", "Shown", "Spent", "Taken",
    "Told", "Written",
];

/// Nouns of the field that end like a participle, or are spelt like one.
const NOUNS: &[&str] = &[
    // The object `buffering` of a subscription to the Telemetry API.
    "Buffering",
    "Encoding",
    "Finding",
    // The message of that name in Datadog's sketches.
    "Mapping",
    // A named set of choices, such as `ship`.
    "Set",
    "Setting",
    "Warning",
];

/// Structs, enums, unions, traits and types that are named by a participle.
pub fn participles(tree: &Tree) -> Vec<Complaint> {
    let files = FOLDERS.iter().flat_map(|folder| tree.rust(folder));
    files.flat_map(|file| complaints(file, &tokens::of(file))).collect()
}

fn complaints(file: &File, tokens: &[TokenTree]) -> Vec<Complaint> {
    let mut found = Vec::new();
    for (at, token) in tokens.iter().enumerate() {
        match token {
            TokenTree::Group(group) => {
                found.extend(complaints(file, &group.stream().into_iter().collect::<Vec<_>>()));
            }
            TokenTree::Ident(keyword) if DECLARATIONS.iter().any(|declaration| keyword == declaration) => {
                if let Some(TokenTree::Ident(name)) = tokens.get(at + 1)
                    && is_participle(&name.to_string())
                {
                    let what = format!("`{name}` is a participle: a type is named by a noun for what it holds");
                    found.push(Complaint::new(file, tokens::line(token), what));
                }
            }
            _ => {}
        }
    }
    found
}

const DECLARATIONS: [&str; 5] = ["struct", "enum", "union", "trait", "type"];

/// Whether a name is one word, and that is a participle. A longer name may have one before its noun.
fn is_participle(name: &str) -> bool {
    let is_one_word = name.starts_with(char::is_uppercase) && !name.chars().skip(1).any(char::is_uppercase);
    let has_ending = ["ed", "ing"].iter().any(|ending| name.ends_with(ending));
    is_one_word && (has_ending || IRREGULAR.contains(&name)) && !NOUNS.contains(&name)
}
