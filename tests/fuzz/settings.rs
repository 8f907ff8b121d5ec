//! All settings that are documented, and what one of them may change.

use std::collections::{BTreeMap, BTreeSet};

use bottlecap::config::{self, Config, Loaded};

/// A row of the table in `docs/configuration.md`, and what its setting means beside the examples of all others.
pub struct Setting {
    pub name: &'static str,
    example: String,
    /// What there is without it.
    absent: Loaded,
    /// The fields that it may change.
    about: BTreeSet<String>,
}

/// Every setting but the API key, which is not shown by any configuration.
pub fn documented() -> Vec<Setting> {
    let page = include_str!("../../docs/configuration.md");
    let rows = page.lines().filter(|line| line.starts_with("| `"));
    let cells = rows.map(|row| row.split(" | ").collect::<Vec<_>>()).filter(|cells| cells.len() == 7);
    let examples = cells.map(|cells| {
        let plain = |cell: &'static str| cell.trim_start_matches("| ").trim_matches('`');
        (plain(cells[0]), plain(cells[4]).replace("\\|", "|"))
    });
    let examples: Vec<_> = examples.filter(|(name, _)| *name != "DD_API_KEY").collect();
    let mut settings: Vec<_> = examples.into_iter().map(|(name, example)| Setting::new(name, example)).collect();
    for index in 0..settings.len() {
        let example = settings[index].example.clone();
        let absent = load(&settings, index, None);
        // Some settings count only beside others, and some only without.
        let mut about = changed(&absent.config, &load(&settings, index, Some(&example)).config);
        about.extend(changed(&Config::default(), &config::load([(settings[index].name, &*example)], None).config));
        settings[index] = Setting { absent, about, ..Setting::new(settings[index].name, example) };
    }
    settings
}

impl Setting {
    fn new(name: &'static str, example: String) -> Self {
        Self { name, example, absent: config::load([("", ""); 0], None), about: BTreeSet::new() }
    }
}

/// Loads this value of one setting, or none of it, beside the examples of all others.
fn load(settings: &[Setting], index: usize, value: Option<&str>) -> Loaded {
    let others = settings.iter().enumerate().filter(|(at, _)| *at != index);
    let others = others.map(|(_, other)| (other.name, other.example.as_str()));
    config::load(others.chain(value.map(|value| (settings[index].name, value))), None)
}

/// Loads this value of one setting beside the examples of all others. What changes, compared with its absence, is at most what the setting is about; and nothing
/// if the value is refused.
pub fn assert_alone(settings: &[Setting], index: usize, value: &str) -> Loaded {
    let loaded = load(settings, index, Some(value));
    let Setting { name, absent, about, .. } = &settings[index];
    // One setting may miss this one, with any unusable value as without one.
    let new = loaded.warnings.iter().filter(|warning| !absent.warnings.contains(warning));
    let (own, others): (Vec<_>, Vec<_>) = new.partition(|warning| warning.key == *name);
    assert!(others.iter().all(|warning| warning.why.contains(name)), "{name}: {others:?}");
    assert!(own.len() <= 1, "{name}: {own:?}");
    if own.iter().any(|warning| !warning.why.starts_with("has items that can't be used")) {
        assert_eq!(loaded.config, absent.config, "{name}={value} is refused");
    }
    if loaded.config != absent.config {
        let changed = changed(&absent.config, &loaded.config);
        assert!(changed.is_subset(about), "{name}={value} changes {changed:?}, and is about {about:?}");
    }
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
