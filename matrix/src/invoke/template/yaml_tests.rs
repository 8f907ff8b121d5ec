use std::fmt::Write as _;

use serde_json::json;

use super::*;

fn value(text: &str) -> Value {
    Document::read(text).unwrap().value(Schema::Yaml11)
}

fn refused(text: &str) -> String {
    Document::read(text).unwrap_err().to_string()
}

#[test]
fn tags_are_functions_however_their_arguments_are_written() {
    for (text, expected) in [
        ("!Ref Orders", json!({"Ref": "Orders"})),
        ("!Ref \"Orders\"", json!({"Ref": "Orders"})),
        ("!Condition IsProd", json!({"Condition": "IsProd"})),
        ("!ImportValue 'orders-table'", json!({"Fn::ImportValue": "orders-table"})),
        ("!GetAtt \"Orders.Arn\"", json!({"Fn::GetAtt": ["Orders", "Arn"]})),
        ("!GetAtt Outer.Outputs.Arn", json!({"Fn::GetAtt": ["Outer", "Outputs.Arn"]})),
        ("!GetAtt [Orders, Arn]", json!({"Fn::GetAtt": ["Orders", "Arn"]})),
        ("!Base64 hello", json!({"Fn::Base64": "hello"})),
        ("!Sub 0755", json!({"Fn::Sub": "0755"})),
        ("!Sub ''", json!({"Fn::Sub": ""})),
        ("!Ref", json!({"Ref": ""})),
        ("!Sub [\"${A}\", {A: !Ref B}]", json!({"Fn::Sub": ["${A}", {"A": {"Ref": "B"}}]})),
        ("!Select [0, !Split [\",\", \"a,b\"]]", json!({"Fn::Select": ["0", {"Fn::Split": [",", "a,b"]}]})),
        ("!Sub |\n  a ${B}\n  c\n", json!({"Fn::Sub": "a ${B}\nc\n"})),
        ("!Transform {Name: AWS::Include}", json!({"Fn::Transform": {"Name": "AWS::Include"}})),
        ("!!str 0755", json!("0755")),
        ("! 0755", json!("0755")),
        ("!!int \"0755\"", json!("493")),
        ("!!binary aGk=", json!({"Fn::binary": "aGk="})),
    ] {
        assert_eq!(value(&format!("A: {text}\n"))["A"], expected, "{text}");
    }
}

#[test]
fn only_plain_scalars_are_numbers() {
    for (text, expected) in [
        ("0755", "493"),
        ("'0755'", "0755"),
        ("'{\"id\": 12345678901234567, \"rate\": 1e-3}'", "{\"id\": 12345678901234567, \"rate\": 1e-3}"),
        ("\"modes: 0755, 0644\"", "modes: 0755, 0644"),
        ("\"a [0123, x\"", "a [0123, x"),
        ("|\n  retries: 0755\n  - 1.2.3\n", "retries: 0755\n- 1.2.3\n"),
        (">-\n  0755\n", "0755"),
        ("\"Release: 1.2.3, stable\"", "Release: 1.2.3, stable"),
        ("\"see !Ref Orders for more\"", "see !Ref Orders for more"),
        ("'use !GetAtt X.Arn'", "use !GetAtt X.Arn"),
        ("007 agents # of 0755", "007 agents"),
        ("x-0755", "x-0755"),
    ] {
        assert_eq!(value(&format!("A: {text}\n"))["A"], json!(expected), "{text}");
    }
    assert_eq!(value("0755: [0755, '1']\n"), json!({"0755": ["493", "1"]}));
    let service = Document::read("A: 0755").unwrap();
    assert_eq!(service.value(Schema::Yaml12), json!({"A": "755"}));
}

#[test]
fn files_of_other_systems_and_in_json_are_read() {
    let expected = json!({"Resources": {"A": {"Mode": "493", "Text": "a\nb\n"}}});
    let yaml = "Resources:\n  A:\n    Mode: 0755\n    Text: |\n      a\n      b\n";
    assert_eq!(value(yaml), expected);
    assert_eq!(value(&yaml.replace('\n', "\r\n")), expected);
    assert_eq!(value(&format!("\u{feff}{yaml}")), expected);
    assert_eq!(value(&format!("%YAML 1.1\n---\n{yaml}...\n# The end\n")), expected);
    let json = "{\n\t\"Resources\": {\"A\": {\"Ref\": \"B\\/C\", \"N\": [1.10, 1e3, 12, true, null, \"0755\"]}}\n}\n";
    let read = json!({"Resources": {"A": {"Ref": "B/C", "N": ["1.1", "1000.0", "12", true, null, "0755"]}}});
    assert_eq!(value(json), read);
    assert!(Document::read(json).unwrap().has("Resources") && !Document::read(json).unwrap().has("A"));
    for nothing in ["", "# Nothing\n", "---\n", "null"] {
        let document = Document::read(nothing).unwrap();
        assert!(document.value(Schema::Yaml11).is_null() && !document.has("Resources"), "{nothing:?}");
    }
}

#[test]
fn aliases_and_merged_mappings_stand_for_what_they_name() {
    let text = "\
Base: &base {A: 1, B: &text two}
More: &more {B: 3, C: 4}
One: {<<: *base, A: 5}
Both:
  <<: [*base, *more]
Quoted: {\"<<\": *text}
";
    let found = value(text);
    assert_eq!(found["One"], json!({"A": "5", "B": "two"}));
    assert_eq!(found["Both"], json!({"A": "1", "B": "two", "C": "4"}));
    assert_eq!(found["Quoted"], json!({"<<": "two"}));
    for wrong in ["A: {<<: b}", "A: {<<: [b]}", "A: {<<: !Ref B}"] {
        assert_eq!(refused(wrong), "line 1: `<<` takes a mapping or a list of mappings", "{wrong}");
    }
    assert_eq!(refused("A: 1\nB: &b [*b]\n"), "line 2: an alias stands for what it is in itself");
    assert!(refused("A: *b\n").starts_with("line 1: "));
}

#[test]
fn the_last_one_of_repeated_keys_counts_and_they_are_named() {
    let document = Document::read("A: 1\nB: {C: 2,\n  C: [3]}\nA: 4\n").unwrap();
    assert_eq!(document.value(Schema::Yaml11), json!({"A": "4", "B": {"C": ["3"]}}));
    assert_eq!(document.repeated_keys, ["C (line 3)", "A (line 4)"]);
    let document = Document::read(&"A: 1\n".repeat(1000)).unwrap();
    assert_eq!(document.repeated_keys.len(), REPEATED_KEYS);
}

#[test]
fn what_is_no_template_is_refused_with_its_line() {
    for (text, expected) in [
        ("A: [", "line 1: "),
        ("A: 1\nB: \"x\" y\n", "line 2: "),
        ("A: 1\n---\nA: 2\n", "line 2: a second document begins; a template has one"),
        ("[a]: b\n", "line 1: "),
        ("A: {{b: c}: d}\n", "line 1: "),
        ("? !Ref A\n: b\n", "line 1: a key is no text"),
        ("A: {B: C: D}\n", "line 1: "),
        ("A:\n\t- b\n", "line "),
        ("A: !x!y z\n", "line 1: "),
    ] {
        assert!(refused(text).starts_with(expected), "{text}: {}", refused(text));
    }
}

#[test]
fn nesting_has_a_limit_with_that_of_aliases() {
    let brackets = |depth: usize| format!("A: {}{}", "[".repeat(depth), "]".repeat(depth));
    assert!(Document::read(&brackets(DEPTH - 1)).is_ok());
    for deep in [brackets(DEPTH), brackets(10_000), "[".repeat(10_000), "- ".repeat(10_000), "{a: ".repeat(10_000)] {
        assert!(refused(&deep).starts_with("line 1: "), "{}", refused(&deep));
    }
    let blocks = (0..10_000).fold(String::new(), |mut text, depth| {
        writeln!(text, "{}a:", " ".repeat(depth)).unwrap();
        text
    });
    assert!(Document::read(&blocks).is_err());
    let json = format!("{{\"A\": {}{}}}", "[".repeat(10_000), "]".repeat(10_000));
    assert!(Document::read(&json).is_err());
    let mut aliases = format!("a0: &a0 {}x{}\n", "[".repeat(60), "]".repeat(60));
    for level in 1..10_000 {
        writeln!(aliases, "a{level}: &a{level} [*a{}]", level - 1).unwrap();
    }
    assert!(refused(&aliases).ends_with("aliases stand for more than 100 levels of lists and mappings"));
}

#[test]
fn what_aliases_stand_for_has_a_limit() {
    let bomb = |first: &str, repeat: &dyn Fn(usize) -> String| {
        (1..20).fold(format!("a0: &a0 {first}\n"), |mut text, level| {
            writeln!(text, "a{level}: &a{level} {}", repeat(level - 1)).unwrap();
            text
        })
    };
    let lists = bomb("[x]", &|level| format!("[{}]", vec![format!("*a{level}"); 10].join(",")));
    assert!(refused(&lists).ends_with("aliases stand for more than 8 MB"));
    let long = format!("a: &a {}\nb: [{}]\n", "x".repeat(100_000), vec!["*a"; 1000].join(","));
    assert!(refused(&long).ends_with("aliases stand for more than 8 MB"));
    let entries: Vec<String> = (0..1000).map(|key| format!("k{key}: v")).collect();
    let merged = format!("a: &a {{{}}}\nb: {{<<: [{}]}}\n", entries.join(", "), vec!["*a"; 100_000].join(","));
    assert!(refused(&merged).ends_with("aliases stand for more than 8 MB"));
    let few = (0..1000).fold("a: &a {b: c}\n".to_owned(), |mut text, key| {
        writeln!(text, "k{key}: *a").unwrap();
        text
    });
    assert_eq!(value(&few)["k999"], json!({"b": "c"}));
}

#[test]
fn the_time_of_a_text_grows_with_its_length() {
    const BYTES: usize = 1_000_000;
    let repeated = |piece: &str| piece.repeat(BYTES / piece.len());
    let keys = (0..BYTES / 20).fold(String::new(), |mut text, key| {
        writeln!(text, "key{key}: value {key}").unwrap();
        text
    });
    for text in [
        format!("A: |\n{}", repeated("  x: 0755\n").repeat(10)),
        format!("A: \"{}\"", repeated("\\n").repeat(10)),
        format!("A: {}", repeated("0")),
        format!("A: {}", repeated("1:")),
        format!("A: {}", repeated("\u{2028}")),
        format!("A:\n{}", repeated("- 0755\n")),
        format!("A: [{}]", repeated("0,")),
        format!("A: [{}]", repeated("'0' ")),
        repeated("#x\n"),
        repeated("- "),
        repeated("&a "),
        repeated("!a "),
        keys,
    ] {
        let start = std::time::Instant::now();
        if let Ok(document) = Document::read(&text) {
            for schema in [Schema::Yaml11, Schema::Yaml12] {
                drop(document.value(schema));
            }
        }
        assert!(
            start.elapsed().as_secs() < 60,
            "{:?}: {:?}",
            text.chars().take(20).collect::<String>(),
            start.elapsed()
        );
    }
}
