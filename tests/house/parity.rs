//! What `docs/parity.md` claims: every row has a test that exists, or the reason why there is none.

use crate::tree::{Complaint, File, Tree};

/// Where the claims stand.
pub const PAGE: &str = "docs/parity.md";

/// Rows without a test or a reason, rows that stand there twice, and tests that do not exist.
pub fn unproven(tree: &Tree) -> Vec<Complaint> {
    let Some(page) = tree.files.iter().find(|file| file.path == PAGE) else {
        return vec![Complaint { path: PAGE.to_owned(), line: 1, what: "there is no such page".to_owned() }];
    };
    let rows: Vec<Row> = rows(page).collect();
    let twice = rows.iter().enumerate().filter(|(at, row)| rows[..*at].iter().any(|other| other.number == row.number));
    let twice = twice.map(|(_, row)| Complaint::new(page, row.line, format!("{} stands here twice", row.number)));
    let bare = rows.iter().filter(|row| row.proofs.is_empty() && row.reason.is_empty());
    let bare = bare.map(|row| Complaint::new(page, row.line, format!("{} has neither test nor reason", row.number)));
    let missing = rows.iter().flat_map(|row| row.proofs.iter().map(move |proof| (row, proof)));
    let missing = missing.filter(|(_, proof)| !is_test(tree, proof));
    let missing = missing.map(|(row, proof)| Complaint::new(page, row.line, format!("there is no test {proof}")));
    twice.chain(bare).chain(missing).collect()
}

/// How many rows the page has.
pub fn count(tree: &Tree) -> usize {
    tree.files.iter().filter(|file| file.path == PAGE).flat_map(rows).count()
}

struct Row<'t> {
    line: usize,
    number: &'t str,
    /// As `file::test`.
    proofs: Vec<&'t str>,
    reason: &'t str,
}

/// Lines of the form `| number | what | tests | reason |`.
fn rows(page: &File) -> impl Iterator<Item = Row<'_>> {
    page.text.lines().enumerate().filter_map(|(at, line)| {
        let mut cells = line.strip_prefix('|')?.split('|').map(str::trim);
        let number = cells.next()?;
        number.trim_start_matches('D').parse::<u32>().ok()?;
        let (_, proofs, reason) = (cells.next()?, cells.next()?, cells.next()?);
        Some(Row {
            line: at + 1,
            number,
            proofs: proofs.split('`').skip(1).step_by(2).collect(),
            reason: reason.trim(),
        })
    })
}

/// Whether a file has a function of that name below an attribute that makes it a test.
fn is_test(tree: &Tree, proof: &str) -> bool {
    let Some((path, name)) = proof.split_once("::") else { return false };
    let Some(file) = tree.files.iter().find(|file| file.path == path) else { return false };
    let head = format!("fn {name}(");
    let mut above = file.text.lines().map(str::trim).rev();
    above.any(|line| line.trim_start_matches("async ").starts_with(&head))
        && above
            .take_while(|line| line.starts_with("#[") || line.starts_with("//"))
            .any(|line| line == "#[test]" || line.starts_with("#[tokio::test"))
}
