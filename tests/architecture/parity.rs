//! The rules of `docs/parity.md`: rows are numbered without gaps, and every row names tests that exist and run, or gives the reason why there is none.

use crate::declarations::{Chain, Declarations, attributes_above, file_attributes};
use crate::targets;
use crate::tree::{Complaint, File, Tree};

/// The page with the rows.
pub const PAGE: &str = "docs/parity.md";

/// What stands before the numbers of each table: of what it does, of what we do better, and of what it does with traces.
const PREFIXES: [&str; 3] = ["", "D", "T"];

/// The last row of each table. Nothing that was proven once is given up without a change here.
pub const LAST: [u32; 3] = [121, 48, 135];

/// Breaches of the rules, each with the line of its row.
pub fn unproven(tree: &Tree) -> Vec<Complaint> {
    let Some(page) = tree.files.iter().find(|file| file.path == PAGE) else {
        return vec![Complaint { path: PAGE.to_owned(), line: 1, what: "there is no such page".to_owned() }];
    };
    let declarations = Declarations::of(tree);
    let mut complaints = odd_lines(page);
    let mut last = [0; PREFIXES.len()];
    for (line, cells) in numbered_lines(page) {
        let mut complain = |what: String| complaints.push(Complaint::new(page, line, what));
        let Some(row) = Row::of(&cells) else {
            complain(format!("row {} does not have four cells", cells[0]));
            continue;
        };
        let last = &mut last[row.table];
        if row.number != *last + 1 {
            complain(format!("row {} follows row {last}", row.number));
        }
        *last = row.number;
        if row.proofs.is_empty() && !is_reason(row.reason) {
            complain(format!("row {} has neither a test nor a reason", row.number));
        }
        for fault in row.proofs.iter().filter_map(|proof| fault(tree, &declarations, proof)) {
            complain(fault);
        }
    }
    complaints
}

/// The numbers of the last rows.
pub fn last_numbers(tree: &Tree) -> [u32; 3] {
    let mut last = [0; PREFIXES.len()];
    for (_, cells) in tree.files.iter().filter(|file| file.path == PAGE).flat_map(numbered_lines) {
        if let Some(row) = Row::of(&cells) {
            last[row.table] = row.number;
        }
    }
    last
}

/// Lines that look like a part of a table and are none: what stands in them is checked by nobody.
fn odd_lines(page: &File) -> Vec<Complaint> {
    let rows: Vec<usize> = numbered_lines(page).map(|(line, _)| line).collect();
    let is_plain = |line: &str| line.starts_with("| # |") || line.chars().all(|c| matches!(c, '|' | '-'));
    let lines = page.text.lines().enumerate().map(|(at, line)| (at + 1, line.trim()));
    let odd = lines.filter(|(at, line)| line.starts_with('|') && !is_plain(line) && !rows.contains(at));
    odd.map(|(at, _)| Complaint::new(page, at, "a line of a table that is no row")).collect()
}

struct Row<'t> {
    number: u32,
    /// The index of its prefix.
    table: usize,
    /// As `file::test`.
    proofs: Vec<&'t str>,
    reason: &'t str,
}

/// Lines of the form `| number | …`, with their cells.
fn numbered_lines(page: &File) -> impl Iterator<Item = (usize, Vec<&str>)> {
    page.text.lines().enumerate().filter_map(|(at, line)| {
        let cells: Vec<&str> =
            line.trim_end().strip_prefix('|')?.strip_suffix('|')?.split('|').map(str::trim).collect();
        numbered(cells.first()?)?;
        Some((at + 1, cells))
    })
}

/// The table and the number of a row.
fn numbered(cell: &str) -> Option<(usize, u32)> {
    let of = |(table, prefix): (usize, &&str)| Some((table, cell.strip_prefix(prefix)?.parse().ok()?));
    PREFIXES.iter().enumerate().find_map(of)
}

impl<'t> Row<'t> {
    /// None unless there are four cells: number, what, tests and reason.
    fn of(cells: &[&'t str]) -> Option<Self> {
        let [number, _, proofs, reason] = cells else { return None };
        let (table, number) = numbered(number)?;
        Some(Self { number, table, proofs: proofs.split('`').skip(1).step_by(2).collect(), reason })
    }
}

/// Whether a text can be a reason: a dash or a single word such as `none` cannot.
fn is_reason(text: &str) -> bool {
    text.split_whitespace().filter(|word| word.chars().any(char::is_alphabetic)).count() >= 2
}

/// What is wrong with a proof, if anything.
fn fault(tree: &Tree, declarations: &Declarations, proof: &str) -> Option<String> {
    match attributes(tree, proof) {
        Some(attributes) if !attributes.iter().any(|line| line == "#[test]" || line.starts_with("#[tokio::test")) => {
            Some(format!("{proof} is not a test"))
        }
        Some(attributes) if attributes.iter().any(|line| is_ignore(line)) => {
            Some(format!("the test {proof} is ignored"))
        }
        Some(attributes) => {
            if let Some(condition) = attributes.iter().find(|line| is_condition(line)) {
                return Some(format!("the test {proof} is left out of some builds: {condition}"));
            }
            undeclared(tree, declarations, proof)
        }
        None => Some(format!("there is no test {proof}")),
    }
}

/// What is wrong with the declarations of a proof's file, if anything. One way without conditions is enough.
fn undeclared(tree: &Tree, declarations: &Declarations, proof: &str) -> Option<String> {
    let (path, _) = proof.split_once("::")?;
    let chains = declarations.chains(path);
    if chains.is_empty() {
        return Some(format!("no `mod` declares the file of the test {proof}"));
    }
    let is_conditional = |chain: &Chain| chain.attributes.iter().flatten().any(|line| is_condition(line));
    if chains.iter().all(is_conditional) {
        return Some(format!("the file of the test {proof} is left out of some builds"));
    }
    let mut roots = chains.iter().filter(|chain| !is_conditional(chain)).map(|chain| &*chain.root);
    roots.all(|root| targets::is_untested(tree, root)).then(|| format!("the target of the test {proof} is not tested"))
}

fn is_condition(attribute: &str) -> bool {
    attribute.starts_with("#[cfg(") && attribute != "#[cfg(test)]"
}

fn is_ignore(attribute: &str) -> bool {
    attribute.starts_with("#[ignore") || (attribute.starts_with("#[cfg_attr") && attribute.contains("ignore"))
}

/// The lines of attributes above the function that `file::function` names, above the modules of the file that it is in, and of the whole file.
fn attributes(tree: &Tree, proof: &str) -> Option<Vec<String>> {
    let (path, name) = proof.split_once("::")?;
    let file = tree.files.iter().find(|file| file.path == path)?;
    let head = format!("fn {name}(");
    let lines: Vec<&str> = file.text.lines().collect();
    let at = lines.iter().rposition(|line| line.trim().trim_start_matches("async ").starts_with(&head))?;
    let above = |at: usize| attributes_above(lines[..at].iter().map(|line| line.trim()));
    let mut attributes = above(at);
    // What a function is in begins with the nearest line above that is indented less.
    let mut indent = indent_of(lines[at]);
    for (at, line) in lines[..at].iter().enumerate().rev() {
        if !line.is_empty() && indent_of(line) < indent {
            indent = indent_of(line);
            attributes.extend(above(at));
        }
    }
    attributes.extend(file_attributes(file));
    Some(attributes)
}

fn indent_of(line: &str) -> usize {
    line.len() - line.trim_start().len()
}

const TESTS: &str = "#[test]\nfn proven() {}\n\n/// Slow.\n#[test]\n#[ignore = \"slow\"]\nfn ignored() {}\n\n\
                     #[cfg_attr(miri, ignore)]\n#[tokio::test]\nasync fn ignored_sometimes() {}\n\n\
                     #[cfg_attr(\n    all(miri, unix),\n    ignore\n)]\n#[test]\nfn ignored_on_lines() {}\n\n\
                     // What others ignore.\n#[tokio::test(start_paused = true)]\nasync fn paused() {}\n\nfn helper() {}\n";

/// The lines complained about in a page with these rows.
fn found(rows: &str) -> Vec<usize> {
    let tree = Tree::default().with("tests/a.rs", TESTS).with(PAGE, rows);
    unproven(&tree).iter().map(|complaint| complaint.line).collect()
}

#[test]
fn parity_rows_with_running_tests_or_reasons_pass() {
    assert_eq!(found("| 1 | a | `tests/a.rs::proven`, `tests/a.rs::paused` | |\n| 2 | b | | comes later |"), [0; 0]);
}

#[test]
fn parity_refuses_ignored_tests() {
    for ignored in ["ignored", "ignored_sometimes", "ignored_on_lines"] {
        assert_eq!(found(&format!("| 1 | a | `tests/a.rs::{ignored}` | |")), [1], "{ignored}");
    }
    assert_eq!(found("| 1 | a | `tests/a.rs::proven`, `tests/a.rs::ignored` | |"), [1]);
}

#[test]
fn parity_refuses_tests_that_some_builds_leave_out() {
    let found = |source: &str, declaration: &str| {
        let tree = Tree::default().with("src/lib.rs", declaration).with("src/a.rs", source);
        unproven(&tree.with(PAGE, "| 1 | a | `src/a.rs::proven` | |")).len()
    };
    let plain = "#[cfg(test)]\nmod tests {\n    #[test]\n    fn proven() {}\n}\n";
    assert_eq!(found(plain, "mod a;"), 0);
    assert_eq!(found(plain, "#[cfg(test)]\nmod a;"), 0);
    assert_eq!(found(plain, "#[cfg(feature = \"x\")]\nmod a;"), 1);
    for source in [
        "#[test]\n#[cfg(unix)]\nfn proven() {}\n",
        "#[cfg(feature = \"x\")]\nmod tests {\n    fn other() {\n    }\n\n    #[test]\n    fn proven() {}\n}\n",
        "#![cfg(unix)]\n#[test]\nfn proven() {}\n",
    ] {
        assert_eq!(found(source, "mod a;"), 1, "{source}");
    }
}

#[test]
fn parity_refuses_tests_in_files_that_no_mod_declares() {
    let tree = |declaration: &str| {
        let page = "| 1 | a | `src/a.rs::proven` | |";
        Tree::default().with("src/lib.rs", declaration).with("src/a.rs", "#[test]\nfn proven() {}\n").with(PAGE, page)
    };
    assert_eq!(unproven(&tree("pub mod a;")).len(), 0);
    for declaration in ["", "// mod a;", "pub mod b;"] {
        let complaints = unproven(&tree(declaration));
        assert!(complaints[0].what.contains("no `mod` declares"), "{declaration}: {complaints:?}");
    }
}

#[test]
fn parity_refuses_missing_tests_and_helpers() {
    for proof in ["tests/a.rs::missing", "tests/b.rs::proven", "tests/a.rs::helper", "proven"] {
        assert_eq!(found(&format!("| 1 | a | `{proof}` | a good reason |")), [1], "{proof}");
    }
}

#[test]
fn parity_refuses_gaps_repetitions_and_disorder_in_the_numbering() {
    let page = |numbers: &[&str]| {
        let rows = numbers.iter().map(|number| format!("| {number} | a | `tests/a.rs::proven` | |\n"));
        found(&rows.collect::<String>())
    };
    assert_eq!(page(&["1", "2", "D1", "3", "D2"]), [0; 0]);
    assert_eq!(page(&["2"]), [1]);
    assert_eq!(page(&["1", "3"]), [2]);
    assert_eq!(page(&["1", "1", "2"]), [2]);
    assert_eq!(page(&["D1", "D3"]), [2]);
    assert_eq!(page(&["1", "D2"]), [2]);
}

#[test]
fn parity_refuses_empty_reasons() {
    for reason in ["", " ", "-", "–", "?", "none", "`x`", "— —"] {
        assert_eq!(found(&format!("| 1 | a | | {reason} |")), [1], "{reason:?}");
    }
}

#[test]
fn parity_refuses_lines_of_tables_that_are_no_rows() {
    let page = |last: &str| {
        found(&format!("| # | what | tests | otherwise |\n|---|---|---|---|\n| 1 | a | | comes later |\n{last}"))
    };
    assert_eq!(page(""), [0; 0]);
    for odd in [
        "| 2 | b | | comes later",
        "| 1a | b | | comes later |",
        "|  | b | | comes later |",
        "  | 2 | b | | comes later |",
    ] {
        assert_eq!(page(odd), [4], "{odd}");
    }
}

#[test]
fn parity_knows_the_numbers_of_the_last_rows() {
    let tree =
        Tree::default().with(PAGE, "| 1 | a | | comes later |\n| 2 | b | | comes later |\n| D1 | c | | comes later |");
    assert_eq!(last_numbers(&tree), [2, 1, 0]);
}

#[test]
fn parity_refuses_tests_of_targets_that_are_not_tested() {
    let found = |path: &str, manifest: &str| {
        let tree = Tree::default().with("Cargo.toml", manifest).with(path, "#[test]\nfn proven() {}\n");
        unproven(&tree.with(PAGE, &format!("| 1 | a | `{path}::proven` | |"))).len()
    };
    assert_eq!(found("src/bin/b.rs", ""), 0);
    assert_eq!(found("tests/t.rs", "[[test]]\nname = \"other\"\ntest = false\n"), 0);
    for untested in ["test = false", "required-features = [\"x\"]"] {
        assert_eq!(found("src/bin/b.rs", &format!("[[bin]]\nname = \"x\"\npath = \"src/bin/b.rs\"\n{untested}\n")), 1);
        assert_eq!(found("src/bin/b.rs", &format!("[[bin]]\nname = \"b\"\n{untested}\n\n[profile.dev]\n")), 1);
        assert_eq!(found("tests/t/main.rs", &format!("[[test]]\nname = \"t\"\n{untested}\n")), 1);
        assert_eq!(found("src/lib.rs", &format!("[lib]\n{untested}\n")), 1);
    }
    assert_eq!(found("benches/b.rs", ""), 1, "cargo test runs none");
    assert_eq!(found("examples/e.rs", ""), 1);
}

#[test]
fn parity_refuses_rows_without_four_cells() {
    for row in ["| 1 | a |", "| 1 | a | `tests/a.rs::proven` |", "| 1 | a | b | `tests/a.rs::proven` | |"] {
        assert_eq!(found(row), [1], "{row}");
    }
}
