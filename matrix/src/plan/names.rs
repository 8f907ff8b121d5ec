//! Cells by name: `ship`, `ship+jemalloc`, `baseline-webpki-roots`.

use super::Error;
use crate::manifest::{Choice, Levels, Manifest, OFF, ON};

/// What a name stands for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CellName {
    /// The set that it begins with.
    pub set: Levels,
    /// The set with what the name adds and takes away.
    pub levels: Levels,
    set_name: String,
    parts: Vec<NamePart>,
}

/// A part of a name that adds something or takes it away.
#[derive(Clone, Debug, PartialEq, Eq)]
struct NamePart {
    /// With its sign.
    text: String,
    choice: Choice,
}

impl CellName {
    /// The name without what changes nothing. `ship+static` is `ship`, which has `static` already: the same cell, with the same build and the same budget.
    pub fn shortest(&self) -> String {
        let counts = |(index, part): &(usize, &NamePart)| {
            let mut later = self.parts.iter().skip(index + 1);
            let is_last = later.all(|other| other.choice.factor != part.choice.factor);
            is_last && !part.choice.holds(&self.set)
        };
        let parts = self.parts.iter().enumerate().filter(counts).map(|(_, part)| part.text.as_str());
        std::iter::once(self.set_name.as_str()).chain(parts).collect()
    }
}

/// Names have hyphens in them, so the longest that fits is meant.
pub fn read(manifest: &Manifest, name: &str) -> Result<CellName, Error> {
    let wrong = |reason: String| Error::Cell { cell: name.to_owned(), reason };
    let sets = manifest.sets.iter().map(|set| set.name.clone());
    let Some((set_name, mut rest)) = longest(name, sets) else {
        let sets: Vec<&str> = manifest.sets.iter().map(|set| set.name.as_str()).collect();
        return Err(wrong(format!("no set begins so; sets: {}", sets.join(", "))));
    };
    let set = manifest.set_levels(&set_name).unwrap_or_default();
    let (mut levels, mut parts) = (set.clone(), Vec::new());
    while let Some(sign) = rest.chars().next() {
        let after = rest.get(1..).unwrap_or_default();
        let Some((word, next)) = longest(after, words(manifest)) else {
            return Err(wrong(format!("no switch or value is named \"{after}\"; cargo matrix list shows all")));
        };
        let choice = choice(manifest, &word, sign == '+').map_err(|reason| wrong(format!("{word} {reason}")))?;
        levels.insert(choice.factor.clone(), choice.level.clone());
        parts.push(NamePart { text: format!("{sign}{word}"), choice });
        rest = next;
    }
    Ok(CellName { set, levels, set_name, parts })
}

/// The longest of the words that `text` begins with and that ends where the text or a word does.
fn longest(text: &str, words: impl Iterator<Item = String>) -> Option<(String, &str)> {
    let fits = words.filter_map(|word| {
        let rest = text.strip_prefix(word.as_str())?;
        (rest.is_empty() || rest.starts_with(['+', '-'])).then_some((word, rest))
    });
    fits.max_by_key(|(word, _)| word.len())
}

/// What can be added or taken away: factors, values, and factors with values.
fn words(manifest: &Manifest) -> impl Iterator<Item = String> {
    manifest.factors.iter().flat_map(|factor| {
        // Refused ones as well, so that the reason can be told.
        let values = factor.values.iter().map(|value| &value.name);
        let values = values.chain(factor.refused.iter().map(|refused| &refused.name));
        let values = values.flat_map(|value| [value.clone(), format!("{}={value}", factor.name)]);
        std::iter::once(factor.name.clone()).chain(values)
    })
}

fn choice(manifest: &Manifest, word: &str, add: bool) -> Result<Choice, String> {
    if let Some(factor) = manifest.factor(word) {
        return match (factor.values.is_empty(), add) {
            (true, _) => Ok(Choice::new(word, if add { ON } else { OFF })),
            (false, false) => Ok(Choice::new(word, factor.reference())),
            (false, true) => Err("is an axis: name one of its values".to_owned()),
        };
    }
    let (axis, value) = word.split_once('=').map_or((None, word), |(axis, value)| (Some(axis), value));
    let meant = manifest.factors.iter().filter(|factor| axis.is_none_or(|axis| axis == factor.name));
    if let Some(refused) = meant.clone().flat_map(|factor| &factor.refused).find(|refused| add && refused.name == value)
    {
        return Err(format!("is refused: {}", refused.reason));
    }
    let mut having = meant.filter(|factor| factor.values.iter().any(|known| known.name == value));
    match (having.next(), having.next()) {
        (Some(factor), None) => Ok(Choice::new(&factor.name, if add { value } else { factor.reference() })),
        (None, _) => Err("is nothing that can be switched".to_owned()),
        _ => Err("is a value of several axes: write axis=value".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(name: &str) -> Result<Vec<String>, String> {
        let manifest = Manifest::embedded().unwrap();
        let name = read(manifest, name).map_err(|error| error.to_string())?;
        Ok(manifest.chosen(&name.levels).map(|(_, choice)| choice.to_string()).collect())
    }

    #[test]
    fn a_set_is_changed_word_by_word() {
        assert_eq!(of("baseline").unwrap(), ["otlp", "appsec", "allocator=jemalloc"]);
        assert_eq!(of("baseline+static-libgcc").unwrap(), ["otlp", "appsec", "allocator=jemalloc", "static-libgcc"]);
        assert_eq!(of("baseline+lazy-intake-jemalloc").unwrap(), ["lazy-intake", "otlp", "appsec"]);
        assert_eq!(
            of("baseline+opt-level=3+aws-lc-allocator").unwrap(),
            ["otlp", "appsec", "crypto=aws-lc", "opt-level=3"]
        );
        assert_eq!(
            of("baseline+x86-64-v2+static").unwrap(),
            ["otlp", "appsec", "allocator=jemalloc", "target-cpu=x86-64-v2", "static"]
        );
        assert_eq!(of("baseline-webpki-roots").unwrap(), of("baseline").unwrap(), "it was off before");
        assert!(!of("seed-webpki-roots").unwrap().contains(&"webpki-roots".to_owned()));
    }

    #[test]
    fn what_a_set_has_already_makes_no_other_cell() {
        let manifest = Manifest::embedded().unwrap();
        let shortest = |name: &str| read(manifest, name).unwrap().shortest();
        assert_eq!(shortest("ship+static"), "ship");
        assert_eq!(shortest("ship+static+jemalloc"), "ship+jemalloc");
        assert_eq!(shortest("baseline+static-static"), "baseline");
        assert_eq!(shortest("baseline-static+static"), "baseline+static");
        assert_eq!(shortest("ship-static"), "ship-static");
    }

    #[test]
    fn invalid_cell_names_have_different_errors() {
        assert!(of("nobody").unwrap_err().contains("no set begins so; sets: baseline, seed, ship,"));
        assert!(of("baseline+magic").unwrap_err().contains("no switch or value is named \"magic\"; cargo matrix list"));
        assert!(of("baseline+magic-jemalloc").unwrap_err().contains("named \"magic-jemalloc\""));
        assert!(of("baseline+crypto").unwrap_err().contains("name one of its values"));
        for refused in ["baseline+x86-64-v3", "baseline+target-cpu=x86-64-v3"] {
            assert!(of(refused).unwrap_err().contains("is refused: Lambda does not promise AVX2"));
        }
        assert!(of("baselineship").is_err());
        assert!(of("baseline+").is_err());
    }
}
