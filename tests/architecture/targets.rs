//! Which targets of Cargo's have their tests run by `cargo test`.

use crate::tree::{self, Tree};

/// Whether `cargo test` leaves out the tests of the target with this crate root: it is a benchmark or an example, or its manifest says so.
pub fn is_untested(tree: &Tree, root: &str) -> bool {
    let (package, root) = tree::split_package(root);
    let manifest = tree.files.iter().find(|file| file.path == format!("{package}Cargo.toml"));
    let text = manifest.map_or("", |manifest| &*manifest.text);
    let says_so =
        text.split("\n[").any(|table| is_of(table, root) && (has(table, "test", "false") || is_bounded(table)));
    says_so || root.starts_with("benches/") || root.starts_with("examples/")
}

/// Whether a table of the manifest, from its second bracket on, describes the target with this root.
fn is_of(table: &str, root: &str) -> bool {
    let kind = table.trim_start_matches('[').split(']').next().unwrap_or_default();
    if let Some(path) = value(table, "path") {
        return path.trim_matches('"') == root;
    }
    let name = value(table, "name").unwrap_or_default().trim_matches('"');
    match kind {
        "lib" => root == "src/lib.rs",
        "bin" => root == format!("src/bin/{name}.rs") || root == "src/main.rs" && !table.contains("src/bin"),
        "test" => [format!("tests/{name}.rs"), format!("tests/{name}/main.rs")].contains(&root.to_owned()),
        _ => false,
    }
}

/// Whether it is built with some features only.
fn is_bounded(table: &str) -> bool {
    value(table, "required-features").is_some_and(|features| features != "[]")
}

fn has(table: &str, key: &str, wanted: &str) -> bool {
    value(table, key) == Some(wanted)
}

fn value<'t>(table: &'t str, key: &str) -> Option<&'t str> {
    table.lines().find_map(|line| {
        let (name, value) = line.split_once('=')?;
        (name.trim() == key).then(|| value.split(" #").next().unwrap_or_default().trim())
    })
}
