//! The report for a terminal.

use console::{Alignment, Style, measure_text_width, pad_str};

use super::alarm::{Alarm, Severity};
use super::sections::{ConditionSection, Kind, Report};
use super::tables::{self, Field, FieldStyle, Table};
use super::words::DEFINITIONS;

const GAP: &str = "  ";
const WIDTH: usize = 100;

/// Writes the whole report.
pub fn write(report: &Report, colours: bool) -> String {
    let mut text = Text { colours, out: String::new() };
    text.line(&report.summary());
    if let Some(provenance) = report.provenance() {
        for line in wrapped(&one_line(&provenance.sentence), WIDTH) {
            text.line(&text.paint(Style::new().dim(), &line));
        }
    }
    text.alarms(&report.alarms);
    for section in &report.sections {
        text.section(section);
    }
    text.aliases(report);
    // Definitions come last, because a terminal shows the end first.
    text.definitions();
    text.out
}

struct Text {
    colours: bool,
    out: String,
}

impl Text {
    fn definitions(&mut self) {
        self.title("How to read this");
        for definition in DEFINITIONS {
            self.paragraph(&format!("{}: {}", definition.name, definition.about));
        }
    }

    fn section(&mut self, section: &ConditionSection) {
        self.line("");
        self.line(&self.paint(Style::new().bold().underlined(), &section.title));
        self.alarms(&section.alarms);
        self.table(&tables::gates(section));
        self.table(&tables::results(section, Kind::Effect));
        self.table(&tables::results(section, Kind::Interaction));
        if let Some(sentence) = tables::quiet_pairs(section) {
            self.line("");
            self.paragraph(&sentence);
        }
        self.table(&tables::results(section, Kind::Comparison));
        self.table(&tables::resource_usage(section));
        self.table(&tables::others(section));
    }

    fn alarms(&mut self, alarms: &[Alarm]) {
        for alarm in alarms {
            let style = match alarm.weight {
                Severity::Broken => Style::new().red().bold(),
                Severity::Note => Style::new().yellow(),
            };
            self.line("");
            for line in wrapped(&one_line(&alarm.sentence), WIDTH) {
                self.line(&self.paint(style.clone(), &line));
            }
            for line in alarm.detail.iter().flat_map(|detail| detail.lines()) {
                self.line(&self.paint(Style::new().dim(), &format!("  | {}", one_line(line))));
            }
        }
    }

    fn aliases(&mut self, report: &Report) {
        let aliases = &report.experiment.analysis.aliases;
        if aliases.is_empty() {
            return;
        }
        self.title("Confounded effects");
        for alias in aliases {
            self.paragraph(&format!("{} may also be {}", alias.effect, alias.with.join(", ")));
        }
    }

    fn title(&mut self, title: &str) {
        self.line("");
        self.line(&self.paint(Style::new().bold(), title));
    }

    /// Writes a table with columns as wide as their widest field; numbers are aligned to the right.
    fn table(&mut self, table: &Table) {
        if table.is_empty() {
            return;
        }
        self.title(&table.title);
        for line in wrapped(&table.about, WIDTH) {
            self.line(&self.paint(Style::new().dim(), &format!("{GAP}{line}")));
        }
        let width = |(index, column): (usize, &tables::Column)| {
            let fields = table.rows.iter().filter_map(|row| row.get(index));
            let widest = fields.map(|field| measure_text_width(&one_line(&field.text))).max().unwrap_or_default();
            widest.max(column.title.split(' ').map(measure_text_width).max().unwrap_or_default())
        };
        let widths: Vec<usize> = table.columns.iter().enumerate().map(width).collect();
        let sides: Vec<Alignment> =
            table.columns.iter().map(|it| if it.numeric { Alignment::Right } else { Alignment::Left }).collect();
        for row in heading(&table.columns, &widths).iter().chain(&table.rows) {
            self.row(row, &widths, &sides);
        }
    }

    fn row(&mut self, fields: &[Field], widths: &[usize], sides: &[Alignment]) {
        let mut line = String::new();
        for ((field, width), side) in fields.iter().zip(widths).zip(sides) {
            let padded = pad_str(&one_line(&field.text), *width, *side, None).into_owned();
            line.push_str(GAP);
            line.push_str(&match field.tone {
                FieldStyle::Plain => padded,
                FieldStyle::Good => self.paint(Style::new().green(), &padded),
                FieldStyle::Bad => self.paint(Style::new().red(), &padded),
                FieldStyle::Quiet => self.paint(Style::new().dim(), &padded),
            });
        }
        self.line(line.trim_end());
    }

    fn paragraph(&mut self, text: &str) {
        for (index, line) in wrapped(&one_line(text), WIDTH - GAP.len()).iter().enumerate() {
            let indent = if index == 0 { GAP.to_owned() } else { GAP.repeat(2) };
            self.line(&format!("{indent}{line}"));
        }
    }

    fn paint(&self, style: Style, text: &str) -> String {
        if self.colours { style.force_styling(true).apply_to(text).to_string() } else { text.to_owned() }
    }

    fn line(&mut self, line: &str) {
        self.out.push_str(line);
        self.out.push('\n');
    }
}

/// Wraps column titles to the width of their columns, aligned at the last line.
fn heading(columns: &[tables::Column], widths: &[usize]) -> Vec<Vec<Field>> {
    let titles: Vec<Vec<String>> =
        columns.iter().zip(widths).map(|(column, width)| wrapped(&column.title, *width)).collect();
    let lines = titles.iter().map(Vec::len).max().unwrap_or_default();
    let field = |title: &Vec<String>, line: usize| {
        let text = (line + title.len()).checked_sub(lines).and_then(|index| title.get(index)).cloned();
        Field { text: text.unwrap_or_default(), tone: FieldStyle::Quiet }
    };
    (0..lines).map(|line| titles.iter().map(|title| field(title, line)).collect()).collect()
}

/// Replaces control characters, which would move the cursor.
fn one_line(text: &str) -> String {
    text.trim_end().chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

fn wrapped(text: &str, width: usize) -> Vec<String> {
    let mut lines = vec![String::new()];
    // Only at ordinary spaces: a no-break space keeps words together.
    for word in text.split([' ', '\n']).filter(|word| !word.is_empty()) {
        let Some(line) = lines.last_mut() else { break };
        if line.is_empty() {
            line.push_str(word);
        } else if measure_text_width(line) + 1 + measure_text_width(word) <= width {
            line.push(' ');
            line.push_str(word);
        } else {
            lines.push(word.to_owned());
        }
    }
    lines
}
