use super::*;

const SMALL: &str = r#"
[[factor]]
name = "quick"
kind = "feature"
tier = "A"
gates = ["ready"]
hypothesis = "It is quicker."
origin = "ours"
on.features = ["quick"]
status = "ship"
evidence = "Seen."

[[factor]]
name = "size"
kind = "axis"
tier = "C"
gates = []
hypothesis = "It is smaller."
origin = "ours"
status = "candidate"
[[factor.values]]
name = "z"
[[factor.values]]
name = "3"
with.profile = { opt-level = "3" }

[[set]]
name = "ship"
about = "Recommended."
choices = ["quick"]
"#;

#[test]
fn the_embedded_manifest_holds_together() {
    let manifest = Manifest::embedded().unwrap();
    assert!(manifest.factor("late-runtime").is_some());
    assert!(manifest.features().contains(&"aws-lc"), "an axis' features count, too");
}

#[test]
fn a_factor_has_two_levels_or_those_of_its_axis() {
    let manifest = Manifest::parse(SMALL).unwrap();
    let names = |factor: &str| -> Vec<String> {
        manifest.factor(factor).unwrap().levels().iter().map(|level| level.name.to_owned()).collect()
    };
    assert_eq!(names("quick"), [OFF, ON]);
    assert_eq!(names("size"), ["z", "3"]);
    let size = manifest.factor("size").unwrap();
    assert_eq!(size.reference(), "z");
    assert_eq!(size.setting("3").unwrap().profile["opt-level"], "3");
    assert!(size.setting("on").is_none());
}

#[test]
fn unknown_manifest_keys_are_refused() {
    for (wrong, instead) in [
        ("origin = \"ours\"\non", "origins = \"ours\"\norigin = \"ours\"\non"),
        ("on.features", "on.feature"),
        ("with.profile = {", "with.profiles = {"),
        ("about", "abuot"),
        ("tier = \"A\"", "tier = \"D\""),
    ] {
        let text = SMALL.replacen(wrong, instead, 1);
        assert!(matches!(Manifest::parse(&text), Err(Error::Syntax(_))), "{instead} was read");
    }
}

#[test]
fn a_choice_reads_as_it_is_written() {
    for text in ["lazy-intake", "crypto=aws-lc"] {
        assert_eq!(Choice::from(text.to_owned()).to_string(), text);
    }
    assert_eq!(Choice::from("quick".to_owned()), Choice::new("quick", ON));
}
