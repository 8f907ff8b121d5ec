//! The tables that text, Markdown and HTML share.

use super::number::{self, NOTHING, Scale};
use super::sections::{ConditionSection, Finding, GATES, Kind, Row};
use super::words;
use crate::analyze::{Direction, Verdict};

/// A table, not yet formatted.
#[derive(Clone, Debug)]
pub struct Table {
    pub title: String,
    /// A sentence that explains the table to a newcomer.
    pub about: String,
    pub columns: Vec<Column>,
    pub rows: Vec<Vec<Field>>,
}

#[derive(Clone, Debug)]
pub struct Column {
    pub title: String,
    /// Whether the column is aligned to the right.
    pub numeric: bool,
}

/// A table field.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Field {
    pub text: String,
    pub tone: FieldStyle,
}

/// The colour of a field, in formats that have colours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FieldStyle {
    Plain,
    Good,
    Bad,
    Quiet,
}

impl Table {
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }
}

impl Field {
    fn plain(text: impl Into<String>) -> Self {
        Self { text: text.into(), tone: FieldStyle::Plain }
    }

    fn nothing() -> Self {
        Self { text: NOTHING.to_owned(), tone: FieldStyle::Quiet }
    }

    fn of(finding: &Finding) -> Self {
        Self { text: finding.sentence.clone(), tone: tone(finding) }
    }
}

/// The table of both gates of every cell.
pub fn gates(section: &ConditionSection) -> Table {
    let against = section.reference.unwrap_or("reference");
    let has_ratios = section.rows.iter().any(|row| row.against.is_some());
    let mut columns = vec![Column::text("cell"), Column::number("starts")];
    columns.extend(GATES.map(|gate| Column::number(&format!("{gate} ms"))));
    if section.floor().is_some() {
        columns.extend(GATES.map(|gate| Column::number(&format!("{gate} ×\u{a0}floor"))));
    }
    if has_ratios {
        columns.extend(GATES.map(|gate| Column::number(&format!("{gate} ×\u{a0}{against}"))));
    }
    let fields = |row: &Row| {
        let mut fields = vec![Field::plain(row.title()), Field::plain(row.summary.starts.to_string())];
        fields.extend(GATES.map(|gate| spread(row, gate)));
        if section.floor().is_some() {
            let multiple =
                |gate| row.to_floor.get(gate).map_or_else(Field::nothing, |it| Field::plain(number::ratio(*it)));
            fields.extend(GATES.map(multiple));
        }
        if has_ratios {
            let ratio = |gate: &str| row.against.and_then(|comparison| comparison.ratios.get(gate));
            let write = |gate| ratio(gate).map_or_else(Field::nothing, |it| Field::plain(words::ratio(it)));
            fields.extend(GATES.map(write));
        }
        fields
    };
    let mut about = "Median of all starts, and in brackets what 80 of 100 starts lie between.".to_owned();
    if section.floor().is_some() {
        about.push_str(" “× floor” says how many times as long as the least an extension can do.");
    }
    if has_ratios {
        about.push_str(&format!(" “× {against}” says how many times as long as {against}, with its interval."));
    }
    Table { title: "The two gates".to_owned(), about, columns, rows: section.rows.iter().map(fields).collect() }
}

/// The table of every cell's costs other than time, as far as they were measured.
pub fn resource_usage(section: &ConditionSection) -> Table {
    const COSTS: [&str; 18] = [
        "init_null",
        "served",
        "first_invocation",
        "cpu_ready",
        "cpu_settled",
        "cpu_invocation",
        "next_after_done",
        "cpu_total",
        "minor_faults",
        "faults_settled",
        "threads",
        "resident_peak",
        "file_size",
        "entry_size",
        "file_touched",
        "entry_touched",
        "relocations",
        "libraries",
    ];
    let measured = |measure: &&str| section.rows.iter().any(|row| row.measure(measure).is_some());
    let measures: Vec<&str> = COSTS.into_iter().filter(measured).collect();
    let heading = |measure: &&str| {
        let unit = Scale::for_table(words::unit(measure)).unit;
        let is_in_title = words::title(measure).ends_with(unit);
        if is_in_title { Column::number(words::title(measure)) } else { Column::number(&with_unit(measure, unit)) }
    };
    let columns = std::iter::once(Column::text("cell")).chain(measures.iter().map(heading)).collect();
    let fields = |row: &Row| {
        let numbers = measures.iter().map(|measure| match row.measure(measure) {
            Some(summary) => Field::plain(Scale::for_table(words::unit(measure)).number(summary.p50)),
            None => Field::nothing(),
        });
        std::iter::once(Field::plain(row.title())).chain(numbers).collect()
    };
    let rows = if measures.is_empty() { Vec::new() } else { section.rows.iter().map(fields).collect() };
    let about = "Medians. Size, relocations and libraries are read from the file; page faults are counted; the rest depends on timing.";
    Table { title: "What it costs".to_owned(), about: about.to_owned(), columns, rows }
}

/// The table of comparisons, effects or interactions at the two gates, the largest first.
pub fn results(section: &ConditionSection, kind: Kind) -> Table {
    let mut subjects: Vec<&Finding> = Vec::new();
    for finding in by_size(section, kind) {
        if !subjects.iter().any(|other| other.subject == finding.subject && other.against == finding.against) {
            subjects.push(finding);
        }
    }
    let against = section.reference.unwrap_or("its reference");
    let (title, about, column) = match kind {
        Kind::Comparison => (
            format!("Against {against}, the largest difference first"),
            "20\u{a0}% trimmed mean of the paired differences: between starts of the same block, less a fifth of them at each end.",
            "cell",
        ),
        Kind::Effect => (
            "What each switch is worth, the largest effect first".to_owned(),
            "Going from the first value to the second, averaged over all settings of the others: 20\u{a0}% trimmed mean over the blocks.",
            "switch",
        ),
        Kind::Interaction => (
            "Which switches change each other's worth".to_owned(),
            "Only pairs that were found. “Help each other by 0.3 ms”: with one on, the other is worth 0.3 ms more than \
             on average.",
            "pair",
        ),
    };
    let gates: Vec<&str> = GATES.into_iter().filter(|gate| section.about(kind, gate).next().is_some()).collect();
    let columns = std::iter::once(Column::text(column)).chain(gates.iter().map(|gate| Column::text(gate))).collect();
    let fields = |first: &&Finding| {
        let same = |other: &&Finding| other.subject == first.subject && other.against == first.against;
        let at = |gate: &&str| section.about(kind, gate).find(same).map_or_else(Field::nothing, Field::of);
        std::iter::once(Field::plain(subject(first, section))).chain(gates.iter().map(at)).collect()
    };
    Table { title, about: about.to_owned(), columns, rows: subjects.iter().map(fields).collect() }
}

/// The table of significant findings in other measures than the gates.
pub fn others(section: &ConditionSection) -> Table {
    let kind = section.main_kind();
    let found = section
        .findings
        .iter()
        .filter(|finding| finding.kind == kind && !GATES.contains(&finding.measure) && finding.is_found());
    let fields = |finding: &Finding| {
        vec![Field::plain(words::title(finding.measure)), Field::plain(subject(finding, section)), Field::of(finding)]
    };
    Table {
        title: "Changes in other measures".to_owned(),
        about: "Only what was found. These measures are judged together, apart from the gates.".to_owned(),
        columns: vec![Column::text("measure"), Column::text("of"), Column::text("change")],
        rows: found.map(fields).collect(),
    }
}

/// A sentence that counts the pairs without a significant interaction and states the minimum detectable effect; `None` if there are none.
pub fn quiet_pairs(section: &ConditionSection) -> Option<String> {
    let gate = GATES.into_iter().rev().find(|gate| section.about(Kind::Interaction, gate).next().is_some())?;
    let (found, quiet): (Vec<_>, Vec<_>) =
        section.about(Kind::Interaction, gate).partition(|finding| finding.is_found());
    let (open, quiet): (Vec<_>, Vec<_>) =
        quiet.into_iter().partition(|finding| finding.estimate.verdict == Verdict::Inconclusive);
    let seen = quiet.iter().map(|finding| finding.estimate.detectable).fold(f64::NAN, f64::max);
    let seen = Scale::of(words::unit(gate), seen, seen).quantity(seen);
    let all = number::counted(found.len() + open.len() + quiet.len(), "pair");
    let open = match open.len() {
        0 => String::new(),
        open => format!(" {open} are inconclusive."),
    };
    Some(match (quiet.len(), open.is_empty()) {
        (0, true) => format!("All of {all} interact at the {}.", words::title(gate)),
        (0, false) => format!("{} of {all} interact at the {}.{open}", found.len(), words::title(gate)),
        (silent, _) => format!(
            "{silent} of {all} show no detectable interaction at the {} (MDE {seen}).{open}",
            words::title(gate)
        ),
    })
}

impl Column {
    fn text(title: &str) -> Self {
        Self { title: title.to_owned(), numeric: false }
    }

    fn number(title: &str) -> Self {
        Self { title: title.to_owned(), numeric: true }
    }
}

/// The cell or pair of a finding, with the cell it is compared with if that is not the section's reference.
fn subject(finding: &Finding, section: &ConditionSection) -> String {
    match finding.against {
        Some(against) if Some(against) != section.reference => format!("{} against {against}", finding.subject),
        _ => match finding.direction {
            Some(Direction { from, to }) => format!("{} ({from} → {to})", finding.subject),
            None => finding.subject.replace('*', " × "),
        },
    }
}

/// Findings by size, significant ones first. Of interactions, only significant ones.
fn by_size<'s, 'a>(section: &'s ConditionSection<'a>, kind: Kind) -> Vec<&'s Finding<'a>> {
    let at_gates = section.findings.iter().filter(|finding| finding.kind == kind && GATES.contains(&finding.measure));
    let mut findings: Vec<_> = at_gates.filter(|finding| kind != Kind::Interaction || finding.is_found()).collect();
    findings.sort_by(|one, other| {
        let size = |finding: &Finding| finding.estimate.value.abs();
        other.is_found().cmp(&one.is_found()).then(size(other).total_cmp(&size(one)))
    });
    findings
}

fn tone(finding: &Finding) -> FieldStyle {
    match finding.estimate.verdict {
        Verdict::Faster => FieldStyle::Good,
        Verdict::Slower | Verdict::DigestMismatch | Verdict::InvalidRun => FieldStyle::Bad,
        Verdict::NoDetectableChange | Verdict::Inconclusive | Verdict::NoOp => FieldStyle::Quiet,
    }
}

fn spread(row: &Row, gate: &str) -> Field {
    let scale = Scale::for_table(words::unit(gate));
    row.measure(gate).map_or_else(Field::nothing, |summary| {
        let write = |value| scale.number(value);
        Field::plain(format!("{} ({}–{})", write(summary.p50), write(summary.p10), write(summary.p90)))
    })
}

fn with_unit(measure: &str, unit: &str) -> String {
    let title = words::title(measure);
    if unit.is_empty() || unit == "pages" { title.to_owned() } else { format!("{title} {unit}") }
}
