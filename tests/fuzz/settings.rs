//! All settings that are documented, and what one of them may change.

use std::collections::{BTreeMap, BTreeSet};

use bottlecap::config::{self, Config, Loaded};

/// A row of the table in `docs/configuration.md`.
pub struct Documented {
    pub name: &'static str,
    example: String,
}

/// Every setting but the API key, which is not shown by any configuration.
pub fn documented() -> Vec<Documented> {
    let page = include_str!("../../docs/configuration.md");
    let rows = page.lines().filter(|line| line.starts_with("| `"));
    let cells = rows.map(|row| row.split(" | ").collect::<Vec<_>>()).filter(|cells| cells.len() == 7);
    let all = cells.map(|cells| {
        let plain = |cell: &'static str| cell.trim_start_matches("| ").trim_matches('`');
        Documented { name: plain(cells[0]), example: plain(cells[4]).replace("\\|", "|") }
    });
    all.filter(|key| key.name != "DD_API_KEY").collect()
}

/// Loads this value of one setting beside the examples of all others. What changes, compared with its absence, is at most what the setting is about; and nothing
/// if the value is refused.
pub fn assert_alone(keys: &[Documented], index: usize, value: &str) -> Loaded {
    let key = &keys[index];
    let load = |value: Option<&str>, others: bool| {
        let others = keys.iter().enumerate().filter(|(at, _)| others && *at != index);
        let others = others.map(|(_, other)| (other.name, other.example.as_str()));
        config::load(others.chain(value.map(|value| (key.name, value))), None)
    };
    let absent = load(None, true);
    let loaded = load(Some(value), true);
    // One setting may miss this one, with any unusable value as without one.
    let new = loaded.warnings.iter().filter(|warning| !absent.warnings.contains(warning));
    let (of_key, others): (Vec<_>, Vec<_>) = new.partition(|warning| warning.key == key.name);
    assert!(others.iter().all(|warning| warning.why.contains(key.name)), "{}: {others:?}", key.name);
    assert!(of_key.len() <= 1, "{}: {:?}", key.name, loaded.warnings);
    if of_key.iter().any(|warning| !warning.why.starts_with("has items that can't be used")) {
        assert_eq!(loaded.config, absent.config, "{}={value} is refused", key.name);
    }
    // Some settings count only beside others, and some only without.
    let mut about = changed(&absent.config, &load(Some(&key.example), true).config);
    about.extend(changed(&load(None, false).config, &load(Some(&key.example), false).config));
    let changed = changed(&absent.config, &loaded.config);
    assert!(changed.is_subset(&about), "{}={value} changes {changed:?}, and is about {about:?}", key.name);
    loaded
}

/// The names of the fields that differ, with the name of the group that a field is in.
fn changed(one: &Config, other: &Config) -> BTreeSet<String> {
    let (one, other) = (fields(one), fields(other));
    let names: BTreeSet<_> = one.keys().chain(other.keys()).cloned().collect();
    names.into_iter().filter(|name| one.get(name) != other.get(name)).collect()
}

/// The lines of each field. Groups are structs; their fields are indented by eight blanks.
fn fields(config: &Config) -> BTreeMap<String, Vec<String>> {
    let mut fields = BTreeMap::<_, Vec<_>>::new();
    let (mut group, mut field) = (String::new(), String::new());
    for line in format!("{config:#?}").lines() {
        let name = |indent: &str| {
            let (name, rest) = line.strip_prefix(indent)?.split_once(':')?;
            (!name.starts_with(' ')).then(|| (name.to_owned(), rest.to_owned()))
        };
        if let Some((name, rest)) = name("    ") {
            let is_struct = rest.ends_with(" {") && !rest.contains('(');
            (group, field) = if is_struct { (name, String::new()) } else { (String::new(), name) };
        } else if let Some((name, _)) = name("        ").filter(|_| !group.is_empty()) {
            field = name;
        }
        fields.entry(format!("{group}.{field}")).or_default().push(line.to_owned());
    }
    fields
}
