//! The table of switches in `docs/switches.md`.

use std::fmt::Write as _;

use super::Manifest;

/// The page with the table.
pub const PAGE: &str = "docs/switches.md";
/// The line before the table.
pub const BEGIN: &str = "<!-- switches -->";
/// The line after the table.
pub const END: &str = "<!-- /switches -->";

/// The table in Markdown, one row for each factor.
pub fn table(manifest: &Manifest) -> String {
    let mut table = "| Switch | Kind | Should move | Why | Status |\n|---|---|---|---|---|\n".to_owned();
    for factor in &manifest.factors {
        let values: Vec<String> = factor.values.iter().map(|value| format!("`{}`", value.name)).collect();
        let levels = if values.is_empty() { String::new() } else { format!(": {}", values.join(", ")) };
        let gates: Vec<String> = factor.gates.iter().map(ToString::to_string).collect();
        let gates = if gates.is_empty() { "–".to_owned() } else { gates.join(", ") };
        let _ = writeln!(
            table,
            "| `{}`{levels} | {} | {gates} | {} | {} |",
            factor.name, factor.kind, factor.hypothesis, factor.status
        );
    }
    table
}

/// The text between the markers.
pub fn between_markers(text: &str) -> Option<&str> {
    let (_, after) = text.split_once(BEGIN)?;
    after.split_once(END).map(|(table, _)| table)
}

/// A text with this table between its markers; none if it has no markers.
pub fn with_table(text: &str, table: &str) -> Option<String> {
    let (before, after) = text.split_once(BEGIN)?;
    let (_, after) = after.split_once(END)?;
    Some(format!("{before}{BEGIN}\n\n{table}\n{END}{after}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_has_a_row_for_each_factor() {
        let manifest = Manifest::embedded().unwrap();
        let table = table(manifest);
        assert_eq!(table.lines().count(), 2 + manifest.factors.len());
        assert!(table.contains("\n| `crypto`: `ring`, `aws-lc`, `fips` | axis | ready | "), "{table}");
        let columns = |line: &str| line.matches('|').count();
        assert!(table.lines().all(|line| columns(line) == 6), "a bar in a sentence would break the row");
    }

    #[test]
    fn only_what_is_between_the_markers_changes() {
        let text = format!("above\n{BEGIN}\nold\n{END}\nbelow\n");
        let written = with_table(&text, "new\n").unwrap();
        assert_eq!(written, format!("above\n{BEGIN}\n\nnew\n\n{END}\nbelow\n"));
        assert_eq!(between_markers(&written), Some("\n\nnew\n\n"));
        assert_eq!(with_table("no markers", "new"), None);
    }
}
