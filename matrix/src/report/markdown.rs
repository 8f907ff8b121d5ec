//! The report as a comment on a pull request: the important parts visible, the rest folded.

use super::alarm::{Alarm, Severity};
use super::sections::{ConditionSection, Kind, Report};
use super::tables::{self, Table};
use super::words::DEFINITIONS;

/// Writes the whole report.
pub fn write(report: &Report) -> String {
    let mut page = Page { out: String::new() };
    page.block("### Cold start");
    page.block(&escaped(&report.summary()));
    if let Some(provenance) = report.provenance() {
        page.block(&escaped(&provenance.sentence));
    }
    page.alarms(&report.alarms);
    for section in &report.sections {
        page.section(section);
    }
    page.folded("How to read this", |page| {
        let definitions: Vec<_> =
            DEFINITIONS.iter().map(|definition| format!("- **{}**: {}", definition.name, definition.about)).collect();
        page.block(&definitions.join("\n"));
    });
    page.aliases(report);
    page.out
}

struct Page {
    out: String,
}

impl Page {
    fn section(&mut self, section: &ConditionSection) {
        self.block(&format!("#### {}", escaped(&section.title)));
        self.alarms(&section.alarms);
        let main = section.main_kind();
        self.table(&tables::results(section, main));
        self.folded("Both gates of every cell", |page| page.table(&tables::gates(section)));
        self.folded_table(&tables::resource_usage(section));
        self.folded_table(&tables::others(section));
        if main == Kind::Effect {
            self.folded_table(&tables::results(section, Kind::Comparison));
        }
        let pairs = tables::results(section, Kind::Interaction);
        if let Some(sentence) = tables::quiet_pairs(section) {
            self.folded(&pairs.title, |page| {
                page.table(&pairs);
                page.block(&escaped(&sentence));
            });
        }
    }

    fn alarms(&mut self, alarms: &[Alarm]) {
        for alarm in alarms {
            let kind = match alarm.weight {
                Severity::Broken => "CAUTION",
                Severity::Note => "NOTE",
            };
            self.block(&format!("> [!{kind}]\n> {}", escaped(&alarm.sentence)));
            if let Some(detail) = &alarm.detail {
                // Indented, not fenced: no compiler output can end an indented block.
                let lines: Vec<_> = detail.lines().map(|line| format!("    {line}")).collect();
                self.folded("What was said", |page| page.block(&lines.join("\n")));
            }
        }
    }

    fn aliases(&mut self, report: &Report) {
        let aliases = &report.experiment.analysis.aliases;
        if aliases.is_empty() {
            return;
        }
        self.folded("Confounded effects", |page| {
            let line = |alias: &crate::plan::Alias| {
                format!("- {} may also be {}", escaped(&alias.effect), escaped(&alias.with.join(", ")))
            };
            page.block(&aliases.iter().map(line).collect::<Vec<_>>().join("\n"));
        });
    }

    fn folded_table(&mut self, table: &Table) {
        if !table.is_empty() {
            self.folded(&table.title, |page| page.table(table));
        }
    }

    fn folded(&mut self, title: &str, inside: impl FnOnce(&mut Self)) {
        self.block(&format!("<details><summary>{}</summary>", escaped(title)));
        inside(self);
        self.block("</details>");
    }

    fn table(&mut self, table: &Table) {
        if table.is_empty() {
            return;
        }
        let row = |fields: Vec<String>| format!("| {} |", fields.join(" | "));
        let mut lines = vec![
            row(table.columns.iter().map(|column| escaped(&column.title)).collect()),
            row(table.columns.iter().map(|it| if it.numeric { "---:" } else { "---" }.to_owned()).collect()),
        ];
        let fields = |fields: &Vec<tables::Field>| row(fields.iter().map(|field| escaped(&field.text)).collect());
        lines.extend(table.rows.iter().map(fields));
        self.block(&lines.join("\n"));
    }

    fn block(&mut self, block: &str) {
        if !self.out.is_empty() {
            self.out.push('\n');
        }
        self.out.push_str(block);
        self.out.push('\n');
    }
}

/// Text that is shown literally: no markup, no mentions, no end of a table row.
pub fn escaped(text: &str) -> String {
    let mut out = String::new();
    for character in text.chars() {
        match character {
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '&' => out.push_str("&amp;"),
            // A zero-width space prevents the mention and keeps the name readable.
            '@' => out.push_str("@\u{200b}"),
            '|' | '`' | '*' | '_' | '[' | ']' | '\\' | '#' | '~' => {
                out.push('\\');
                out.push(character);
            }
            other if other.is_control() => out.push(' '),
            other => out.push(other),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hostile_name_stays_a_name() {
        let name = "a|b<script>alert(1)</script>\n`@all`";
        assert_eq!(escaped(name), "a\\|b&lt;script&gt;alert(1)&lt;/script&gt; \\`@\u{200b}all\\`");
    }
}
