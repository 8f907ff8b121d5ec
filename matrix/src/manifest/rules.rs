//! The rules of a manifest, beyond its syntax.

use std::collections::BTreeSet;

use super::{Choice, Factor, Kind, Manifest, Setting, Status};

/// Contradictions in the manifest, one line each.
pub fn complaints(manifest: &Manifest) -> Vec<String> {
    let mut complaints = duplicates(manifest);
    let has_launcher = manifest.launcher().is_some();
    for factor in &manifest.factors {
        shape(factor, &mut complaints);
        relations(manifest, factor, &mut complaints);
        if factor.behind_launcher.is_some() != (has_launcher && factor.kind != Kind::Launcher) {
            complaints.push(format!("{}: beside a launcher every other factor has `behind-launcher`", factor.name));
        }
    }
    circles(manifest, &mut complaints);
    for set in &manifest.sets {
        for choice in &set.choices {
            if let Err(error) = manifest.offers(choice) {
                complaints.push(format!("set {}: {error}", set.name));
            }
        }
        let levels = manifest.set_levels(&set.name).unwrap_or_default();
        complaints.extend(manifest.illegal(&levels).map(|reason| format!("set {}: {reason}", set.name)));
        if set.name.starts_with("ship") {
            let unproven = manifest.chosen(&levels).filter(|(factor, _)| factor.status != Status::Ship);
            complaints.extend(unproven.map(|(factor, choice)| {
                format!("set {}: {choice} is {}, and only what is ship belongs here", set.name, factor.status)
            }));
        }
    }
    complaints
}

fn duplicates(manifest: &Manifest) -> Vec<String> {
    let names = manifest.factors.iter().map(|factor| &factor.name).chain(manifest.sets.iter().map(|set| &set.name));
    let mut seen = BTreeSet::new();
    names.filter(|name| !seen.insert(*name)).map(|name| format!("{name} is there twice")).collect()
}

/// Checks that a factor's kind, levels and texts fit together.
fn shape(factor: &Factor, complaints: &mut Vec<String>) {
    let mut add = |what: &str| complaints.push(format!("{}: {what}", factor.name));
    let none = Setting::default();
    match factor.kind {
        Kind::Axis if factor.values.len() < 2 => add("an axis needs two values"),
        Kind::Axis if factor.on != none || factor.off != none => add("an axis has values and neither on nor off"),
        Kind::Axis => {}
        _ if !factor.values.is_empty() => add("only an axis has values"),
        Kind::Feature | Kind::Component if factor.on.features != [factor.name.as_str()] => {
            add("a feature is turned on by the Cargo feature of its name");
        }
        _ if factor.on == factor.off => add("on and off are the same"),
        Kind::Rustflag if factor.on.rustflags.is_empty() && factor.off.rustflags.is_empty() => {
            add("a rustflag factor needs rustflags");
        }
        Kind::Env if factor.on.env.is_empty() => add("an env factor needs env"),
        Kind::Profile if factor.on.profile.is_empty() => add("a profile factor needs profile"),
        Kind::Launcher if !factor.on.launcher => add("a launcher factor needs launcher"),
        _ => {}
    }
    if factor.values.iter().any(|value| value.excludes.is_empty() != value.because.is_empty()) {
        add("what a value excludes needs a reason, and only that");
    }
    let mut levels = BTreeSet::new();
    for level in factor.levels() {
        if !levels.insert(level.name) {
            add(&format!("the value {} is there twice", level.name));
        }
        if factor.refused.iter().any(|refused| refused.name == level.name) {
            add(&format!("the value {} is offered and refused", level.name));
        }
    }
    match factor.status {
        Status::Candidate if !factor.evidence.is_empty() => {
            add("there is evidence, so it is no candidate any more");
        }
        Status::Ship | Status::Superseded | Status::Measured | Status::Refuted if factor.evidence.is_empty() => {
            add("its status needs evidence");
        }
        _ => {}
    }
    if !factor.hypothesis.ends_with('.') {
        add("the hypothesis is not a sentence");
    }
}

/// Checks that the factors and levels a factor refers to exist, and that conflicts are mutual.
fn relations(manifest: &Manifest, factor: &Factor, complaints: &mut Vec<String>) {
    let excluded = factor.values.iter().flat_map(|value| &value.excludes);
    let joint = factor.beside.iter().flat_map(|joint| [&joint.choice, &joint.requires]);
    let all = factor.conflicts.iter().chain(&factor.requires).chain(&factor.subsumed_by).chain(excluded).chain(joint);
    for choice in all {
        match manifest.offers(choice) {
            Ok(other) if other.name == factor.name => complaints.push(format!("{0}: it names itself", factor.name)),
            Ok(_) => {}
            Err(error) => complaints.push(format!("{}: {error}", factor.name)),
        }
    }
    for conflict in &factor.conflicts {
        let names_us = |choice: &Choice| choice.factor == factor.name;
        let other = manifest.factor(&conflict.factor);
        if other.is_some_and(|other| !other.conflicts.iter().any(names_us)) {
            complaints.push(format!("{}: {} does not name it as a conflict", factor.name, conflict.factor));
        }
    }
}

/// Factors that require each other in a cycle, so that their effects cannot be separated.
fn circles(manifest: &Manifest, complaints: &mut Vec<String>) {
    for factor in &manifest.factors {
        let mut open: Vec<&str> = factor.requires.iter().map(|required| required.factor.as_str()).collect();
        let mut seen = BTreeSet::new();
        while let Some(name) = open.pop() {
            if name == factor.name {
                complaints.push(format!("{name}: it needs itself, by way of others"));
                break;
            }
            if seen.insert(name) {
                let further = manifest.factor(name).into_iter().flat_map(|other| &other.requires);
                open.extend(further.map(|required| required.factor.as_str()));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::manifest::{Error, Manifest};

    /// The first complaint about two features, `first` and `second`, with further lines, and a set of both.
    fn complaint(first: &str, second: &str, set: &str) -> String {
        let factor = |name: &str, more: &str| {
            format!(
                "[[factor]]\nname = \"{name}\"\nkind = \"feature\"\ntier = \"A\"\ngates = []\norigin = \"ours\"\n\
                 hypothesis = \"It helps.\"\non.features = [\"{name}\"]\nstatus = \"candidate\"\n{more}\n"
            )
        };
        let set = format!("[[set]]\nname = \"{set}\"\nabout = \"Both.\"\nchoices = [\"first\", \"second\"]\n");
        match Manifest::parse(&(factor("first", first) + &factor("second", second) + &set)) {
            Ok(_) => String::new(),
            Err(Error::Rules(complaints)) => complaints.join("; "),
            Err(error) => panic!("{error}"),
        }
    }

    #[test]
    fn two_plain_features_are_fine() {
        assert_eq!(complaint("", "", "both"), "");
        assert_eq!(complaint("requires = [\"second\"]", "", "both"), "");
    }

    #[test]
    fn a_conflict_is_named_on_both_sides_and_in_no_set() {
        let one_side = complaint("conflicts = [\"second\"]", "", "both");
        assert!(one_side.contains("first: second does not name it as a conflict"), "{one_side}");
        let both = complaint("conflicts = [\"second\"]", "conflicts = [\"first\"]", "both");
        assert_eq!(both, "set both: first and second exclude each other");
    }

    #[test]
    fn what_needs_itself_is_found() {
        let circle = complaint("requires = [\"second\"]", "requires = [\"first\"]", "both");
        assert!(circle.contains("first: it needs itself") && circle.contains("second: it needs itself"), "{circle}");
        assert!(complaint("requires = [\"first\"]", "", "both").contains("first: it names itself"));
    }

    #[test]
    fn names_must_exist() {
        assert!(complaint("requires = [\"third\"]", "", "both").contains("there is no factor \"third\""));
        assert!(complaint("subsumed-by = [\"second=3\"]", "", "both").contains("second has no level \"3\""));
        let joint = "beside = [{ choice = \"second\", requires = \"third\", because = \"it must\" }]";
        assert!(complaint(joint, "", "both").contains("there is no factor \"third\""));
        assert!(complaint("", "", "first").contains("first is there twice"));
    }

    #[test]
    fn beside_a_launcher_every_switch_says_what_becomes_of_it() {
        let launcher = "\n[[factor]]\nname = \"front\"\nkind = \"launcher\"\ntier = \"C\"\ngates = []\norigin = \"ours\"\n\
                        hypothesis = \"It helps.\"\non.launcher = true\nstatus = \"candidate\"\n";
        let [moot, effective] = ["moot", "effective"].map(|word| format!("behind-launcher = \"{word}\""));
        assert_eq!(complaint(&moot, &format!("{effective}{launcher}"), "both"), "");
        let silent = complaint(&moot, launcher, "both");
        assert_eq!(silent, "second: beside a launcher every other factor has `behind-launcher`");
        assert!(complaint(&moot, "", "both").starts_with("first: beside a launcher"), "there is none");
    }

    #[test]
    fn only_what_is_proven_ships() {
        let shipped = complaint("", "", "ship");
        assert!(shipped.contains("set ship: first is candidate"), "{shipped}");
    }

    #[test]
    fn a_status_goes_with_its_evidence() {
        assert!(complaint("evidence = \"Seen.\"", "", "both").contains("no candidate any more"));
    }
}
