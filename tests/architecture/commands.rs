//! What README, CONTRIBUTING and docs tell people to type is run before every merge: each command of a block is a line of `ci/test`, where it may have further options.
//! Commands of others, which need an account, are tried by `ci/aws` or marked as examples.

use std::path::Path;

use crate::tree::{Complaint, File, Tree};

const CI: &str = "ci/test";
const AWS: &str = "aws ";
/// How commands begin that run a part of what `ci/test` runs as a whole: no complaint where the block is marked as an example.
const PARTS: [&str; 3] = ["cargo check ", "cargo test ", "cargo --config profile."];
/// How commands begin that nothing here can run.
const OTHERS: [&str; 5] = ["cosign ", "docker ", "gh ", "openssl ", "podman "];

/// Commands in blocks that `ci/test` does not run, and scripts that do not exist.
pub fn not_run(tree: &Tree) -> Vec<Complaint> {
    let ci = tree.files.iter().find(|file| file.path == CI);
    let run: Vec<&str> = ci.iter().flat_map(|file| run_lines(&file.text)).map(plain).collect();
    let mut complaints = Vec::new();
    for (file, Line { at, text: command, is_example }) in pages(tree).flat_map(commands) {
        let is_run =
            |run: &&str| run.strip_prefix(command).is_some_and(|rest| rest.is_empty() || rest.starts_with(' '));
        let is_part = is_example && PARTS.iter().any(|start| command.starts_with(start));
        if command != CI && !is_part && !run.iter().any(is_run) {
            complaints.push(Complaint::new(file, at, format!("{CI} does not run `{command}`")));
        }
        let script = command.split(' ').next().filter(|word| word.starts_with("ci/"));
        if script.is_some_and(|script| !tree.files.iter().any(|file| file.path == script)) {
            complaints.push(Complaint::new(file, at, format!("there is no script for `{command}`")));
        }
    }
    complaints
}

/// Commands of others that `ci/test` does not try, where nothing says that they are examples.
pub fn not_marked(tree: &Tree) -> Vec<Complaint> {
    let ci = tree.files.iter().find(|file| file.path == CI);
    let tried: Vec<&str> = ci
        .iter()
        .flat_map(|file| run_lines(&file.text))
        .filter_map(|line| line.trim().strip_prefix("ci/aws "))
        .collect();
    let mut complaints = Vec::new();
    for page in pages(tree) {
        let is_tried = tried.iter().any(|line| line.split(' ').any(|path| path == page.path));
        for Line { at, text, is_example } in block_lines(page) {
            let command = text.trim();
            if command.starts_with(AWS) && !is_tried {
                complaints.push(Complaint::new(page, at, format!("{CI} does not have ci/aws try `{command}`")));
            } else if OTHERS.iter().any(|start| command.starts_with(start)) && !is_example {
                complaints.push(Complaint::new(page, at, format!("nothing says that `{command}` is an example")));
            }
        }
    }
    complaints
}

/// Fences: the commands of a block are found by their indentation.
pub fn fenced(tree: &Tree) -> Vec<Complaint> {
    let fence = |line: &str| ["```", "~~~"].iter().any(|fence| line.trim_start().starts_with(fence));
    let lines = pages(tree).flat_map(|page| page.text.lines().enumerate().map(move |(at, line)| (page, at + 1, line)));
    let fences = lines.filter(|(_, _, line)| fence(line));
    fences.map(|(page, at, _)| Complaint::new(page, at, "its commands are not looked at: indent the block")).collect()
}

/// How many commands there are.
pub fn count(tree: &Tree) -> usize {
    pages(tree).flat_map(commands).count()
}

fn pages(tree: &Tree) -> impl Iterator<Item = &File> {
    let is_page = |path: &Path| {
        [Path::new("README.md"), Path::new("CONTRIBUTING.md")].contains(&path)
            || (path.starts_with("docs") && path.extension().is_some_and(|it| it == "md"))
    };
    tree.files.iter().filter(move |file| is_page(Path::new(&file.path)))
}

/// A line of an indented block, without the indentation.
struct Line<'t> {
    at: usize,
    text: &'t str,
    /// The paragraph before the block marks it as an example.
    is_example: bool,
}

/// The lines of a page's indented blocks.
fn block_lines(page: &File) -> impl Iterator<Item = Line<'_>> {
    let mut is_example = false;
    page.text.lines().enumerate().filter_map(move |(at, line)| {
        let text = line.strip_prefix("    ");
        if text.is_none() && !line.is_empty() {
            is_example = line.contains("Example");
        }
        Some(Line { at: at + 1, text: text?, is_example })
    })
}

/// The commands of a page's indented blocks.
fn commands(page: &File) -> impl Iterator<Item = (&File, Line<'_>)> {
    block_lines(page).filter_map(move |line| {
        let text = plain(line.text);
        let is_command = ["cargo ", "ci/"].iter().any(|start| text.starts_with(start));
        is_command.then_some((page, Line { text, ..line }))
    })
}

/// How the block begins that only `ci/test --full` runs.
const FULL: &str = "if ((${#full[@]} > 0)); then";

/// The lines of a script that it executes in any case, or with `--full`: none of a function, of a condition or of a text.
fn run_lines(script: &str) -> Vec<&str> {
    let (mut lines, mut text_end, mut is_full) = (Vec::new(), None, false);
    for line in script.lines() {
        if text_end.is_some() {
            text_end = text_end.filter(|end| line.trim() != *end);
            continue;
        }
        text_end = line
            .split_once("<<")
            .filter(|(_, word)| !word.starts_with('<'))
            .map(|(_, word)| word.trim_matches(['-', '\'', '"', ' ']));
        is_full = if is_full { line != "fi" } else { line == FULL };
        let indent = line.len() - line.trim_start().len();
        if indent == 0 || (is_full && indent == 4) {
            lines.push(line);
        }
    }
    lines
}

/// A command without a prompt, variables and the privileges that it may ask for.
fn plain(line: &str) -> &str {
    let mut line = line.trim();
    while let Some((first, rest)) = line.split_once(' ') {
        let is_name = |name: &str| !name.is_empty() && name.chars().all(|c| c.is_ascii_uppercase() || c == '_');
        let is_variable = first.split_once('=').is_some_and(|(name, _)| is_name(name));
        if !is_variable && !["$", "sudo", "as_root", "env"].contains(&first) {
            break;
        }
        line = rest.trim_start();
    }
    line
}
