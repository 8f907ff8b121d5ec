//! What is written to be executed, what is built, and what reads ELF files: each by the one module that does it right.

use proc_macro2::{Delimiter, TokenTree};

use crate::lengths::Exempt;
use crate::tokens;
use crate::tree::{Complaint, Tree};

/// Files that set modes of files.
pub const MODES: &[Exempt] = &[
    Exempt {
        path: "matrix/src/archive/mod.rs",
        reason: "the modes of a layer's files, whose programs are written by matrix::executable",
    },
    Exempt { path: "matrix/src/files.rs", reason: "the modes of files that are no programs" },
    Exempt { path: "matrix/src/inspect/ask.rs", reason: "the mode of a folder" },
    Exempt { path: "matrix/src/sandbox/disk.rs", reason: "opens paths without reading them, and creates none" },
    Exempt {
        path: "matrix/src/sandbox/function/local_packages.rs",
        reason: "copies archives, and sets a mode in a test",
    },
    Exempt {
        path: "matrix/src/sandbox/function/tree.rs",
        reason: "copies a function's files with the modes that they have",
    },
    Exempt {
        path: "matrix/src/workspace/leftovers.rs",
        reason: "the mode of a marker, and in tests those of directories",
    },
    Exempt { path: "matrix/src/workspace/private.rs", reason: "the modes of directories" },
    Exempt { path: "src/os/file.rs", reason: "opens files without waiting for a writer, and creates none" },
    Exempt {
        path: "src/os/checkpoints.rs",
        reason: "opens a file without waiting for a reader, and creates no program",
    },
];

/// Files that start cargo.
pub const CARGO: &[Exempt] = &[
    Exempt { path: "matrix/src/workspace/mod.rs", reason: "the function itself" },
    Exempt { path: "tests/architecture/version_output.rs", reason: "asks for metadata, and compiles nothing" },
];

/// Files that read ELF files.
pub const ELF: &[Exempt] = &[
    Exempt { path: "matrix/src/elf/loader_work.rs", reason: "a part of matrix::elf" },
    Exempt { path: "matrix/src/elf/mod.rs", reason: "a part of matrix::elf" },
    Exempt { path: "matrix/src/elf/program.rs", reason: "a part of matrix::elf" },
    Exempt { path: "matrix/tests/switch_effects.rs", reason: "reads what only a compiler flag changes" },
    Exempt { path: "matrix/tests/switch_support/mod.rs", reason: "reads what only a switch changes" },
];

/// What makes a file executable.
const MODE_NAMES: [&str; 6] = ["set_permissions", "set_mode", "OpenOptionsExt", "from_mode", "fchmod", "fchmodat"];

/// Files that make a program executable by themselves. `matrix::executable` writes it so that it can be executed at once ("Text file busy").
pub fn written(tree: &Tree, allowed: &[Exempt]) -> Vec<Complaint> {
    let is_mode = |tokens: &[TokenTree], at: usize| {
        let is_name = MODE_NAMES.iter().any(|name| tokens::is_ident(tokens.get(at), name));
        // A copy has the mode of what it was made from.
        let is_copy = tokens::is_ident(tokens.get(at), "fs")
            && tokens::is_path_separator(tokens, at + 1)
            && tokens::is_ident(tokens.get(at + 3), "copy");
        is_name || is_copy || is_command(tokens, at, "chmod")
    };
    found(tree, allowed, "writes a program without matrix::executable", &is_mode)
}

/// Files that start cargo by themselves. `matrix::workspace::cargo` does so in the environment of a shell, so that no build undoes another one's.
pub fn built(tree: &Tree, allowed: &[Exempt]) -> Vec<Complaint> {
    let is_cargo = |tokens: &[TokenTree], at: usize| {
        let is_variable =
            ["env", "option_env", "var", "var_os"].iter().any(|name| tokens::is_ident(tokens.get(at), name));
        let argument = (at + 1..at + 3).find_map(|at| tokens::group(tokens.get(at), Delimiter::Parenthesis));
        let is_own = argument.is_some_and(|argument| argument.len() == 1 && tokens::has_text(&argument, "CARGO"));
        (is_variable && is_own) || is_command(tokens, at, "cargo")
    };
    found(tree, allowed, "starts cargo without matrix::workspace::cargo", &is_cargo)
}

/// Files that name the crate `object` themselves. `matrix::elf` reads ELF files for all others.
pub fn read(tree: &Tree, allowed: &[Exempt]) -> Vec<Complaint> {
    let is_crate = |tokens: &[TokenTree], at: usize| {
        tokens::is_ident(tokens.get(at), "object")
            && tokens::is_path_separator(tokens, at + 1)
            && !tokens::continues_path(tokens, at)
    };
    found(tree, allowed, "reads an ELF file without matrix::elf", &is_crate)
}

/// Whether `Command::new` with this program is at `at`.
fn is_command(tokens: &[TokenTree], at: usize, program: &str) -> bool {
    let is_new = tokens::is_ident(tokens.get(at), "Command")
        && tokens::is_path_separator(tokens, at + 1)
        && tokens::is_ident(tokens.get(at + 3), "new");
    let argument = tokens::group(tokens.get(at + 4), Delimiter::Parenthesis).filter(|_| is_new);
    argument.is_some_and(|argument| tokens::has_text(&argument, program))
}

fn found(tree: &Tree, allowed: &[Exempt], what: &str, is: &dyn Fn(&[TokenTree], usize) -> bool) -> Vec<Complaint> {
    let mut complaints = Vec::new();
    for file in tree.rust("") {
        let mut lines = Vec::new();
        search(&tokens::of(file), is, &mut lines);
        lines.dedup();
        match allowed.iter().find(|allowed| allowed.path == file.path) {
            None => complaints.extend(lines.into_iter().map(|line| Complaint::new(file, line, what))),
            Some(Exempt { reason, .. }) if lines.is_empty() => {
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
