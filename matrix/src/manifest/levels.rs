//! The levels of all factors, which define a cell.

use std::collections::BTreeMap;

use super::{Choice, EffectBehindLauncher, Factor, JointRequirement, Manifest};
use crate::target::Architecture;

/// Levels by factor name.
pub type Levels = BTreeMap<String, String>;

/// A choice that the manifest does not offer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WrongChoice {
    #[error("there is no factor \"{0}\"; `cargo matrix list` shows those that there are")]
    Factor(String),
    #[error("{factor} has no level \"{level}\"; it has {}", known.join(", "))]
    Level { factor: String, level: String, known: Vec<String> },
    #[error("{choice} is refused: {reason}")]
    Refused { choice: String, reason: String },
}

impl Manifest {
    /// The reference level of every factor.
    pub fn reference_levels(&self) -> Levels {
        self.factors.iter().map(|factor| (factor.name.clone(), factor.reference().to_owned())).collect()
    }

    /// The level of every factor in a named set.
    pub fn set_levels(&self, name: &str) -> Option<Levels> {
        let mut levels = self.reference_levels();
        for choice in &self.set(name)?.choices {
            levels.insert(choice.factor.clone(), choice.level.clone());
        }
        Some(levels)
    }

    /// What stands in place of a choice that is for another processor: the factor's value for this one, or its reference level. None if the choice can be kept.
    fn counterpart(&self, choice: &Choice, architecture: Architecture) -> Option<String> {
        let factor = self.factor(&choice.factor)?;
        factor.value(&choice.level).filter(|value| value.is_foreign(architecture))?;
        let other = factor.values.iter().find(|value| value.architecture == Some(architecture));
        Some(other.map_or(factor.reference(), |value| &value.name).to_owned())
    }

    /// Gives the sets the values of this processor in place of those of others.
    pub(super) fn adapt_sets(&mut self, architecture: Architecture) {
        let mut sets = std::mem::take(&mut self.sets);
        for choice in sets.iter_mut().flat_map(|set| &mut set.choices) {
            choice.level = self.counterpart(choice, architecture).unwrap_or_else(|| choice.level.clone());
        }
        self.sets = sets;
    }

    /// Gives levels that come from this set the values of a processor in place of those of others, and says which. A value that was asked for by name stays.
    pub fn adapt(&self, levels: &mut Levels, set: &str, architecture: Architecture) -> Vec<String> {
        let mut notes = Vec::new();
        for choice in self.set(set).into_iter().flat_map(|set| &set.choices) {
            if choice.holds(levels)
                && let Some(level) = self.counterpart(choice, architecture)
            {
                notes.push(format!("{choice} is for another processor; {architecture} has {}={level}", choice.factor));
                levels.insert(choice.factor.clone(), level);
            }
        }
        notes
    }

    /// The factor of a choice. Returns an error if the manifest does not offer the choice.
    pub fn offers(&self, choice: &Choice) -> Result<&Factor, WrongChoice> {
        let factor = self.factor(&choice.factor).ok_or_else(|| WrongChoice::Factor(choice.factor.clone()))?;
        if let Some(refused) = factor.refused.iter().find(|refused| refused.name == choice.level) {
            return Err(WrongChoice::Refused { choice: choice.to_string(), reason: refused.reason.clone() });
        }
        if factor.setting(&choice.level).is_some() {
            return Ok(factor);
        }
        let known = factor.levels().iter().map(|level| level.name.to_owned()).collect();
        Err(WrongChoice::Level { factor: choice.factor.clone(), level: choice.level.clone(), known })
    }

    /// Why these levels cannot be built together; `None` if they can.
    pub fn illegal(&self, levels: &Levels) -> Option<String> {
        self.chosen(levels).find_map(|(factor, choice)| {
            let missing = factor.missing(levels).next();
            let conflict = factor.conflicts.iter().find(|conflict| conflict.holds(levels));
            let value = factor.values.iter().find(|value| value.name == choice.level);
            let excluded =
                value.and_then(|value| Some((value, value.excludes.iter().find(|other| other.holds(levels))?)));
            missing
                .map(|missing| missing.describe(&choice))
                .or_else(|| conflict.map(|conflict| format!("{choice} and {conflict} exclude each other")))
                .or_else(|| excluded.map(|(value, other)| format!("{choice} excludes {other}: {}", value.because)))
        })
    }

    /// These levels without what the launcher makes moot, if they have one: what two cells with the same launcher can differ in.
    #[must_use]
    pub fn effective(&self, levels: &Levels) -> Levels {
        let mut effective = levels.clone();
        if self.launcher().is_some_and(|launcher| launcher.holds(levels)) {
            let moot = self.factors.iter().filter(|factor| factor.behind_launcher == Some(EffectBehindLauncher::Moot));
            effective.extend(moot.map(|factor| (factor.name.clone(), factor.reference().to_owned())));
        }
        effective
    }

    /// Why some factors that are on change nothing beside others that are on, one sentence each.
    pub fn inert(&self, levels: &Levels) -> Vec<String> {
        let inert = self.chosen(levels).filter_map(|(factor, choice)| {
            let above = factor.subsumed_by.iter().find(|above| above.holds(levels))?;
            Some(format!("{choice} changes nothing beside {above}"))
        });
        inert.collect()
    }

    /// The choices that differ from the reference levels.
    pub fn chosen<'m>(&'m self, levels: &'m Levels) -> impl Iterator<Item = (&'m Factor, Choice)> {
        self.factors.iter().filter_map(|factor| {
            let level = levels.get(&factor.name).filter(|level| *level != factor.reference())?;
            Some((factor, Choice::new(&factor.name, level)))
        })
    }
}

/// A choice that levels have to make and do not.
#[derive(Clone, Copy, Debug)]
pub struct MissingChoice<'m> {
    pub choice: &'m Choice,
    /// Set if it is required only beside another choice.
    joint: Option<&'m JointRequirement>,
}

impl MissingChoice<'_> {
    /// Why it is required by this choice.
    fn describe(&self, by: &Choice) -> String {
        let Self { choice, joint } = self;
        match joint {
            None => format!("{by} needs {choice}"),
            Some(joint) => format!("{by} beside {} needs {choice}: {}", joint.choice, joint.because),
        }
    }
}

impl Factor {
    /// What these levels lack, if the factor is not at its reference level.
    pub fn missing<'m>(&'m self, levels: &'m Levels) -> impl Iterator<Item = MissingChoice<'m>> {
        let plain = self.requires.iter().map(|choice| MissingChoice { choice, joint: None });
        let beside = self.beside.iter().filter(|joint| joint.choice.holds(levels));
        let joint = beside.map(|joint| MissingChoice { choice: &joint.requires, joint: Some(joint) });
        plain.chain(joint).filter(|missing| !missing.choice.holds(levels))
    }
}

impl Choice {
    /// Whether these levels make this choice.
    pub fn holds(&self, levels: &Levels) -> bool {
        levels.get(&self.factor) == Some(&self.level)
    }
}

/// Whether programs with these levels have full RELRO.
pub fn binds_eagerly(levels: &Levels) -> bool {
    levels.get("binding").is_none_or(|level| level == "eager")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::manifest::ON;

    fn with(choices: &[&str]) -> Levels {
        let mut levels = manifest().reference_levels();
        for choice in choices {
            let choice = Choice::from((*choice).to_owned());
            levels.insert(choice.factor, choice.level);
        }
        levels
    }

    fn manifest() -> &'static Manifest {
        Manifest::embedded().unwrap()
    }

    #[test]
    fn a_set_is_every_factor_with_its_level() {
        let seed = manifest().set_levels("seed").unwrap();
        assert_eq!(seed.len(), manifest().factors.len());
        assert_eq!((seed["allocator"].as_str(), seed["lazy-intake"].as_str()), ("jemalloc", "off"));
        assert!(manifest().set_levels("nobody").is_none());
    }

    #[test]
    fn a_set_has_the_value_of_each_processor_unless_another_was_asked_for() {
        let (x86, arm) = ("x86-64-v2", "neoverse-n1");
        let mut levels = manifest().set_levels("seed").unwrap();
        levels.insert("target-cpu".to_owned(), x86.to_owned());
        let mut manifest = manifest().clone();
        manifest.adapt_sets(Architecture::X86_64);
        assert!(manifest.adapt(&mut levels, "seed", Architecture::X86_64).is_empty());
        let notes = manifest.adapt(&mut levels, "seed", Architecture::Arm64);
        assert_eq!(notes, ["target-cpu=x86-64-v2 is for another processor; arm64 has target-cpu=neoverse-n1"]);
        assert_eq!(levels["target-cpu"], arm);
        let mut named = levels.clone();
        named.insert("target-cpu".to_owned(), "generic".to_owned());
        assert!(manifest.adapt(&mut named, "seed", Architecture::Arm64).is_empty(), "generic was asked for");
        manifest.adapt_sets(Architecture::Arm64);
        assert_eq!(manifest.set_levels("seed").unwrap(), levels);
    }

    #[test]
    fn what_a_choice_needs_is_asked_for() {
        assert_eq!(manifest().illegal(&with(&["pipelined-next", "raw-control-plane", "late-runtime"])), None);
        let reason = manifest().illegal(&with(&["pipelined-next"])).unwrap();
        assert_eq!(reason, "pipelined-next needs raw-control-plane");
        let reason = manifest().illegal(&with(&["jemalloc-narenas"])).unwrap();
        assert_eq!(reason, "jemalloc-narenas needs allocator=jemalloc");
    }

    #[test]
    fn two_choices_may_need_a_third_together() {
        assert_eq!(manifest().illegal(&with(&["appsec"])), None);
        let late = ["appsec", "raw-control-plane", "late-runtime"];
        let reason = manifest().illegal(&with(&late)).unwrap();
        assert!(reason.starts_with("appsec beside late-runtime needs appsec-defer: "), "{reason}");
        assert_eq!(manifest().illegal(&with(&[&late[..], &["appsec-defer"]].concat())), None);
    }

    #[test]
    fn a_value_may_exclude_what_its_axis_does_not() {
        assert_eq!(manifest().illegal(&with(&["crypto=aws-lc", "webpki-roots"])), None);
        assert_eq!(manifest().illegal(&with(&["crypto=fips"])), None);
        let reason = manifest().illegal(&with(&["crypto=fips", "webpki-roots"])).unwrap();
        assert!(reason.starts_with("crypto=fips excludes webpki-roots: who has to use a validated module"), "{reason}");
    }

    #[test]
    fn what_changes_nothing_is_named() {
        let levels = with(&["raw-control-plane", "late-runtime", "early-subscribe", "bind-first"]);
        assert_eq!(manifest().inert(&levels), ["early-subscribe changes nothing beside late-runtime"]);
    }

    #[test]
    fn behind_the_launcher_only_what_the_agent_does_itself_counts() {
        let [ship, agent] = ["ship", "ship-agent"].map(|set| manifest().set_levels(set).unwrap());
        assert_eq!(manifest().effective(&agent), agent);
        let moot = ["bind-first", "early-subscribe", "pipelined-next", "register-overlap"];
        let mut other = ship.clone();
        other.extend(moot.map(|factor| (factor.to_owned(), crate::manifest::OFF.to_owned())));
        assert_eq!(manifest().effective(&ship), other);
        other.insert("tag-cache".to_owned(), crate::manifest::OFF.to_owned());
        assert_ne!(manifest().effective(&ship), manifest().effective(&other));
    }

    #[test]
    fn what_is_not_on_offer_is_refused_with_the_reason() {
        let error = |factor, level| manifest().offers(&Choice::new(factor, level)).unwrap_err().to_string();
        assert!(error("target-cpu", "x86-64-v3").contains("SIGILL"));
        assert!(error("crypto", ON).ends_with("it has ring, aws-lc, fips"));
        assert!(error("magic", ON).starts_with("there is no factor"));
        assert_eq!(manifest().offers(&Choice::new("crypto", "aws-lc")).unwrap().name, "crypto");
    }
}
