//! Holds the tree to its design: who may import whom, where switches live, how long things get.
//!
//! Each rule looks at a tree of files in memory, so that the rules are themselves tested against small wrong trees.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "the helpers of a test fail like a test, but only functions marked as tests are exempt by themselves"
)]

#[path = "architecture/circles.rs"]
mod circles;
#[path = "architecture/commands.rs"]
mod commands;
#[path = "architecture/conditions.rs"]
mod conditions;
#[path = "architecture/declarations.rs"]
mod declarations;
#[path = "architecture/errors.rs"]
mod errors;
#[path = "architecture/exempt.rs"]
mod exempt;
#[path = "architecture/imports.rs"]
mod imports;
#[path = "architecture/layers.rs"]
mod layers;
#[path = "architecture/lengths.rs"]
mod lengths;
#[path = "architecture/middle.rs"]
mod middle;
#[path = "architecture/names.rs"]
mod names;
#[path = "architecture/parity.rs"]
mod parity;
#[path = "architecture/participles.rs"]
mod participles;
#[path = "architecture/programs.rs"]
mod programs;
#[path = "architecture/purity.rs"]
mod purity;
#[path = "architecture/renames.rs"]
mod renames;
#[path = "architecture/switches.rs"]
mod switches;
#[path = "architecture/targets.rs"]
mod targets;
#[path = "architecture/tokens.rs"]
mod tokens;
#[path = "architecture/toolchain.rs"]
mod toolchain;
#[path = "architecture/tree.rs"]
mod tree;
#[path = "architecture/version_output.rs"]
mod version_output;
#[path = "architecture/wrong_crates.rs"]
mod wrong_crates;
#[path = "architecture/wrong_trees.rs"]
mod wrong_trees;

use tree::{Complaint, Tree};

fn assert_clean(complaints: &[Complaint]) {
    let lines: Vec<String> = complaints.iter().map(Complaint::to_string).collect();
    assert!(lines.is_empty(), "\n{}", lines.join("\n"));
}

#[test]
fn the_tree_is_read() {
    let tree = Tree::of_repository();
    assert!(tree.rust("src/").any(|file| file.path == "src/lib.rs"));
    assert!(tree.rust("matrix/").any(|file| file.path == "matrix/src/lib.rs"));
    assert!(tree.files.iter().all(|file| !file.path.starts_with("target/")));
}

#[test]
fn modules_import_only_what_the_table_allows() {
    assert_clean(&imports::table(&Tree::of_repository()));
}

#[test]
fn modules_of_the_tool_import_downwards_only() {
    assert_clean(&layers::upwards(&Tree::of_repository()));
}

#[test]
fn folders_do_not_import_each_other_in_circles() {
    assert_clean(&circles::found(&Tree::of_repository()));
}

#[test]
fn errors_keep_their_sources_out_of_their_messages() {
    assert_clean(&errors::flattened(&Tree::of_repository()));
}

#[test]
fn errors_of_the_agent_stay_errors() {
    assert_clean(&errors::texts(&Tree::of_repository()));
}

#[test]
fn parts_of_the_middle_import_downwards_only() {
    assert_clean(&middle::upwards(&Tree::of_repository()));
}

#[test]
fn the_middle_is_pure() {
    assert_clean(&purity::impure(&Tree::of_repository()));
}

#[test]
fn imports_keep_the_names_of_what_they_import() {
    assert_clean(&renames::renamed(&Tree::of_repository()));
}

#[test]
fn retired_names_are_not_used() {
    assert_clean(&names::retired(&Tree::of_repository()));
}

#[test]
fn types_are_named_by_nouns() {
    assert_clean(&participles::participles(&Tree::of_repository()));
}

#[test]
fn the_crate_root_only_declares_modules() {
    assert_clean(&renames::items_of_the_map(&Tree::of_repository()));
}

#[test]
fn programs_are_written_by_one_function() {
    assert_clean(&programs::written(&Tree::of_repository(), programs::MODES));
}

#[test]
fn cargo_is_started_by_one_function() {
    assert_clean(&programs::built(&Tree::of_repository(), programs::CARGO));
}

#[test]
fn elf_files_are_read_by_one_module() {
    assert_clean(&programs::read(&Tree::of_repository(), programs::ELF));
}

#[test]
fn switches_are_read_in_their_one_home() {
    assert_clean(&switches::homes(&Tree::of_repository()));
}

#[test]
fn files_stay_short() {
    assert_clean(&lengths::lines(&Tree::of_repository(), lengths::EXEMPT));
}

#[test]
fn names_of_functions_stay_short() {
    assert_clean(&lengths::names(&Tree::of_repository()));
}

#[test]
fn nothing_is_left_for_later() {
    assert_clean(&lengths::leftovers(&Tree::of_repository()));
}

#[test]
fn what_the_parity_page_claims_is_tested() {
    let tree = Tree::of_repository();
    assert_eq!(parity::last_numbers(&tree), parity::LAST);
    assert_clean(&parity::unproven(&tree));
}

#[test]
fn commands_of_the_documentation_are_run() {
    let tree = Tree::of_repository();
    assert!(commands::count(&tree) >= 20);
    assert_clean(&commands::not_run(&tree));
    assert_clean(&commands::fenced(&tree));
    assert_clean(&commands::not_marked(&tree));
}

#[test]
fn the_toolchain_is_written_in_one_place() {
    assert_clean(&toolchain::repeated(&Tree::of_repository()));
}

#[test]
fn the_binary_names_every_feature() {
    assert_clean(&version_output::unmatched(&version_output::declared(), &version_output::printed()));
}
