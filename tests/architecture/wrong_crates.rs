//! The rules about errors and circles against small trees that break them, and against some that do not.

use crate::tree::Tree;
use crate::wrong_trees::places;
use crate::{circles, errors};

#[test]
fn errors_that_become_texts_are_found() {
    let found = |path: &str, text: &str| places(&errors::texts(&Tree::default().with(path, text)));
    assert_eq!(found("src/a.rs", "fn f() { g().map_err(|error| error.to_string()) }"), ["src/a.rs:1"]);
    assert_eq!(
        found("crates/b/src/a.rs", "fn f() { g().map_err(|e| E { why: e.to_string() }) }"),
        ["crates/b/src/a.rs:1"]
    );
    assert_eq!(found("src/a.rs", "fn f() { g().map_err(E::from).unwrap().to_string() }"), [""; 0]);
}

#[test]
fn errors_that_repeat_or_lose_a_source_are_found() {
    let found = |variant: &str| {
        let text =
            format!("#[derive(Error)]\nenum Failure {{\n    /// Text.\n    {variant},\n    Other(String),\n}}\n");
        places(&errors::flattened(&Tree::default().with("src/a.rs", &text)))
    };
    for wrong in [
        "#[error(\"a: {0}\")] A(#[source] io::Error)",
        "#[error(\"a: {0:?}\")] A(#[from] Inner)",
        "#[error(\"a: {}\", .0)] A(#[source] io::Error)",
        "#[error(\"a: {source}\")] A { path: PathBuf, source: Inner }",
        "#[error(\"a: {}\", source)] A { pairs: Map<A, B>, source: Inner }",
        "#[error(\"a\")] A(io::Error)",
        "#[error(\"a: {cause}\")] A { cause: Box<dyn Error> }",
    ] {
        assert_eq!(found(wrong), ["src/a.rs:4"], "{wrong}");
    }
    for right in [
        "#[error(\"a\")] A(#[source] io::Error)",
        "#[error(\"{0}: a\")] A(String, #[source] io::Error)",
        "#[error(transparent)] A(io::Error)",
        "#[error(\"{{0}} {path:?}\")] A { path: PathBuf, source: Inner }",
        "#[error(\"a\")] A",
    ] {
        assert_eq!(found(right), [""; 0], "{right}");
    }
    let of_a_struct = "#[derive(Error)]\n#[error(\"a: {0}\")]\npub(crate) struct A(pub(crate) #[source] Inner);\n";
    assert_eq!(places(&errors::flattened(&Tree::default().with("src/a.rs", of_a_struct))), ["src/a.rs:2"]);
}

#[test]
fn circles_of_folders_are_found() {
    let found = |one: &str, other: &str| {
        let tree = Tree::default()
            .with("crates/a/src/lib.rs", "mod one; mod two;")
            .with("crates/a/src/one/mod.rs", "mod deep;");
        let tree = tree.with("crates/a/src/one/deep.rs", one).with("crates/a/src/two.rs", other);
        places(&circles::found(&tree))
    };
    for one in
        ["use crate::two::T;", "use super::super::two;", "fn f() { crate::two::f() }", "use crate::{two::{T, U}};"]
    {
        assert_eq!(found(one, "use super::one::deep;"), ["crates/a/src:1"], "{one}");
        assert_eq!(found(one, "mod inner { use super::super::one; }"), ["crates/a/src:1"], "{one}");
        assert_eq!(found(one, "#[cfg(test)]\nmod tests { use crate::one; }"), [""; 0], "{one}");
    }
    assert_eq!(found("use crate::three;", "use crate::one;"), [""; 0]);
}
