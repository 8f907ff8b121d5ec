//! The toolchain's version is in `rust-toolchain.toml`; whatever else needs it reads it from there.

use crate::tree::{Complaint, File, Tree};

const HOME: &str = "rust-toolchain.toml";

pub fn repeated(tree: &Tree) -> Vec<Complaint> {
    let Some(home) = tree.files.iter().find(|file| file.path == HOME) else {
        return vec![Complaint { path: HOME.to_owned(), line: 1, what: "is missing".to_owned() }];
    };
    let Some(full) = channel(home) else {
        return vec![Complaint::new(home, 1, "names no exact channel")];
    };
    let short = full.rsplit_once('.').map_or(full, |(short, _)| short);
    let mut complaints = Vec::new();
    for file in tree.files.iter().filter(|file| !is_apart(file)) {
        for (index, line) in file.text.lines().enumerate() {
            let lower = line.to_lowercase();
            let about_rust = ["rust", "cargo", "toolchain"].iter().any(|word| lower.contains(word));
            if has_version(line, full) || (about_rust && has_version(line, short)) {
                complaints.push(Complaint::new(file, index + 1, format!("repeats the toolchain's version {full}")));
            }
        }
    }
    complaints
}

/// `Cargo.toml` says which compiler is the oldest that is enough, and the lock file has versions of everything.
fn is_apart(file: &File) -> bool {
    file.path == HOME || file.path.ends_with("Cargo.toml") || file.path.ends_with("Cargo.lock")
}

fn channel(home: &File) -> Option<&str> {
    let line = home.text.lines().find(|line| line.trim_start().starts_with("channel"))?;
    let version = line.split('"').nth(1)?;
    version.chars().all(|c| c.is_ascii_digit() || c == '.').then_some(version)
}

/// Whether the version stands in the line and is not a part of a longer number.
fn has_version(line: &str, version: &str) -> bool {
    let numeric = |c: char| c.is_ascii_digit() || c == '.';
    line.match_indices(version).any(|(start, _)| {
        let before = line[..start].chars().next_back();
        let mut after = line[start + version.len()..].chars();
        let next = after.next();
        let ends_sentence = next == Some('.') && !after.next().is_some_and(|c| c.is_ascii_digit());
        !before.is_some_and(numeric) && (ends_sentence || !next.is_some_and(numeric))
    })
}
