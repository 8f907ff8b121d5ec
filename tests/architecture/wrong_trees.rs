//! Each rule against a small tree that breaks it, and against one that doesn't.

use crate::lengths::{self, Exempt};
use crate::tree::{Complaint, Tree};
use crate::{
    commands, imports, layers, middle, names, parity, participles, programs, purity, renames, switches, toolchain,
    version_output,
};

/// The places complained about.
pub fn places(complaints: &[Complaint]) -> Vec<String> {
    complaints.iter().map(|complaint| format!("{}:{}", complaint.path, complaint.line)).collect()
}

/// A tree with one file in each of the modules that the others import.
fn modules() -> Tree {
    ["platform/mod.rs", "config/mod.rs", "process/mod.rs", "aggregate/mod.rs", "startup/mod.rs", "os/mod.rs"]
        .into_iter()
        .fold(Tree::default(), |tree, path| tree.with(&format!("src/{path}"), ""))
}

#[test]
fn forbidden_imports_are_found_however_they_are_written() {
    let spellings = [
        "use crate::startup::Services;",
        "use crate::{config::Config, startup};",
        "use bottlecap::startup;",
        "use ::bottlecap::startup;",
        "fn f() { crate::startup::go(); }",
        "macro_rules! m { () => { $crate::startup::go() } }",
        "use super::super::startup;",
        "use super::super::{startup::Services};",
        "mod inner { fn f() { super::super::super::startup::go(); } }",
        "use crate::*;",
        "use crate::platform::Client;",
        "use crate::platform::{ids::RequestId, register};",
    ];
    for spelling in spellings {
        let complaints = imports::table(&modules().with("src/process/tags.rs", spelling));
        assert_eq!(places(&complaints), ["src/process/tags.rs:1"], "{spelling}");
    }
}

#[test]
fn allowed_imports_are_left_alone() {
    let source = r#"
        //! Not an import: crate::startup.
        use crate::config::{Config, Tag};
        use crate::platform::ids::RequestId;
        use crate::platform::{ids};
        use super::startup; // a sibling in this module
        use super::super::config;
        use crate::process::tags;
        const TEXT: &str = "crate::startup";
        #[cfg(test)]
        mod tests { use crate::startup::go; }
        #[cfg(test)]
        use crate::startup::go;
    "#;
    let tree = modules().with("src/process/tags.rs", source).with("src/main.rs", "use bottlecap::startup;");
    let tree = tree.with("src/lib.rs", "pub mod startup;");
    assert_eq!(places(&imports::table(&tree)), [""; 0]);
}

#[test]
fn parts_of_the_middle_that_import_upwards_are_found() {
    for (path, source) in [
        ("src/process/trigger/sqs.rs", "use crate::process::invocation::Context;"),
        ("src/process/trigger/sqs.rs", "fn f() { super::super::invocation::go() }"),
        ("src/process/propagation.rs", "use super::{trigger::Event, invocation};"),
        ("src/process/data_streams/mod.rs", "use bottlecap::process::trigger::Event;"),
    ] {
        let complaints = middle::upwards(&Tree::default().with(path, source));
        assert!(
            !complaints.is_empty() && places(&complaints).iter().all(|place| *place == format!("{path}:1")),
            "{source}"
        );
    }
    let allowed = "use crate::process::{propagation::Carrier, trace::Span, tags};\nuse super::json;";
    assert_eq!(places(&middle::upwards(&Tree::default().with("src/process/trigger/sqs.rs", allowed))), [""; 0]);
}

#[test]
fn only_files_that_are_declared_as_tests_are_exempt() {
    let foreign = "use crate::startup::go;";
    let found = |declared: &str, path: &str| {
        let tree = modules().with("src/process/log.rs", declared).with(path, foreign);
        places(&imports::table(&tree))
    };
    for path in ["src/process/log_tests.rs", "src/process/log/tests.rs", "src/process/tests/log.rs"] {
        assert_eq!(found("", path), [format!("{path}:1")], "by its name alone");
    }
    let test = "#[cfg(test)]\nmod tests;\nmod other;";
    assert_eq!(found(test, "src/process/log/tests.rs"), [""; 0]);
    assert_eq!(found(test, "src/process/log/tests/mod.rs"), [""; 0]);
    assert_eq!(found(test, "src/process/log/other.rs"), ["src/process/log/other.rs:1"]);
    let elsewhere = "#[cfg(test)]\n#[path = \"log_tests.rs\"]\nmod tests;";
    assert_eq!(found(elsewhere, "src/process/log_tests.rs"), [""; 0]);
    let part = modules().with("src/process/log.rs", test).with("src/process/log/tests.rs", "mod part;");
    assert_eq!(places(&imports::table(&part.with("src/process/log/tests/part.rs", foreign))), [""; 0]);
}

#[test]
fn a_file_that_is_a_part_of_the_program_too_is_not_exempt() {
    let declared = "mod log;\n#[cfg(test)]\n#[path = \"log.rs\"]\nmod again;\n#[cfg(test)]\nmod tests;";
    let tree = Tree::default().with("src/lib.rs", "pub mod process;\npub mod startup;").with("src/startup.rs", "");
    let tree = tree.with("src/process/mod.rs", declared).with("src/process/tests.rs", "use crate::startup::go;");
    let tree = tree.with("src/process/log.rs", "mod part;\nuse crate::startup::go;");
    let tree = tree.with("src/process/log/part.rs", "use crate::startup::go;");
    assert_eq!(places(&imports::table(&tree)), ["src/process/log.rs:2", "src/process/log/part.rs:1"]);
}

#[test]
fn a_part_of_an_item_for_tests_exempts_nothing_after_it() {
    for source in [
        "struct S { #[cfg(test)] a: HashMap<A, B>, b: crate::startup::Services }",
        "enum E { #[cfg(test)] A, B(crate::startup::Services) }",
        "fn f(#[cfg(test)] a: fn(A) -> B, b: crate::startup::Services) {}",
        "fn f() { match x { #[cfg(test)] A => 1, _ => crate::startup::go() } }",
        "fn f() { S { #[cfg(test)] a: 1, b: crate::startup::go() } }",
    ] {
        let complaints = imports::table(&modules().with("src/process/tags.rs", source));
        assert_eq!(places(&complaints), ["src/process/tags.rs:1"], "{source}");
    }
    let test = "#[cfg(test)]\nimpl<A, B> From<A> for fn(A, B) -> HashMap<A, B> { fn f() { crate::startup::go() } }";
    assert_eq!(places(&imports::table(&modules().with("src/process/tags.rs", test))), [""; 0]);
}

#[test]
fn imports_that_are_handed_on_to_others_are_found() {
    let found = |source: &str| {
        places(&imports::table(&modules().with("src/config/mod.rs", "").with("src/config/x.rs", source)))
    };
    for source in [
        "pub use crate::os::file;",
        "pub(crate) use crate::{os::file};",
        "pub use super::super::os;",
        "pub type Clock = crate::os::Clock;",
    ] {
        assert_eq!(found(source), ["src/config/x.rs:1"], "{source}");
    }
    let own = "pub use crate::config::types::Config;\npub use self::types::X;\npub struct S { a: u8 }\nuse crate::os::file;\n\
               pub fn f() { crate::os::go() }";
    assert_eq!(found(own), [""; 0]);
}

#[test]
fn only_the_roots_import_start() {
    let tree = modules().with("src/run/mod.rs", "use crate::process::X;\nuse crate::startup::X;");
    assert_eq!(places(&imports::table(&tree)), ["src/run/mod.rs:2"]);
    let tree = modules().with("src/startup/order.rs", "use crate::process::X;\nuse crate::startup::X;");
    assert_eq!(places(&imports::table(&tree)), [""; 0]);
}

#[test]
fn a_module_without_a_row_is_found() {
    let tree = modules().with("src/misc.rs", "");
    assert_eq!(places(&imports::table(&tree)), ["src/misc.rs:1"]);
}

#[test]
fn impure_middles_are_found() {
    let impure = [
        "use tokio::sync::mpsc;",
        "use std::{fmt, net::IpAddr};",
        "use std::fs;",
        "fn f() { std::env::var(\"X\").ok(); }",
        "fn f() { reqwest::get(\"x\"); }",
        "fn f() { let t = std::time::Instant::now(); }",
        "fn f() { g(|| SystemTime::now()); }",
        "fn f(start: Instant) { start.elapsed(); }",
        "fn f(start: Instant) { Some(start).map(Instant::elapsed); }",
        "fn f() { time::OffsetDateTime::now_utc(); }",
        "use rand::RngExt;",
        "fn f() -> u64 { rand::random() }",
        "use std::thread;",
        "use std::{fmt, process::Command};",
        "fn f() { std::process::exit(1); }",
        "use std::*;",
        "use ::std::fs;",
        "fn f() { ::std::fs::read(x); }",
        "use std::os::unix::net::UnixStream;",
        "use std::io::{Read as _, Write as _};",
        "use std::io::stdin;",
        "fn f() { std::io::stdin(); }",
        "type Clock = Instant; fn f() { Clock::now(); }",
        "fn f() { <Instant>::now(); }",
        "fn f(clock: &dyn Clock) { clock.now(); }",
        "fn f() { println!(); }",
        "use nix::unistd::getpid;",
        "fn f() { libc::getpid(); }",
        "use socket2::{Domain, Socket};",
        "extern crate nix; fn f() { nix::unistd::getpid(); }",
        "extern \"C\" { fn getpid() -> i32; }",
    ];
    for source in impure {
        for module in ["process", "aggregate"] {
            let path = format!("src/{module}/x.rs");
            assert_eq!(
                places(&purity::impure(&Tree::default().with(&path, source))),
                [format!("{path}:1")],
                "{source}"
            );
        }
        assert_eq!(places(&purity::impure(&Tree::default().with("src/intake/x.rs", source))), [""; 0]);
    }
    let pure = "// tokio, std::fs\nuse std::{fmt, io::Write as _, time::{Duration, Instant}};\nfn f(now: Instant) { S { a: now }; self.now; fmt::write(); u8::from(1); }\n\
                use crate::platform::json;\nmod part;\nfn g() { json::Object::new(part::f()); }\n\
                #[cfg(test)]\nmod tests { fn f() { Instant::now(); } }";
    assert_eq!(places(&purity::impure(&Tree::default().with("src/process/x.rs", pure))), [""; 0]);
}

#[test]
fn features_outside_of_their_homes_are_found() {
    let pair = "#[cfg(feature = \"otlp\")]\n#[path = \"enabled.rs\"]\npub(crate) mod otlp;\n\
                #[cfg(not(feature = \"otlp\"))]\n#[path = \"disabled.rs\"]\nmod otlp;\n\
                #[cfg(feature = \"otlp\")]\npub use otlp::X;\n";
    let macros = "fn f() -> bool {\n    if cfg!(feature = \"x\") { true } else { false }\n}";
    let found = |path: &str, source: &str| places(&switches::homes(&Tree::default().with(path, source)));
    assert_eq!(found("src/features.rs", macros), [""; 0]);
    assert_eq!(found("src/ingest/otlp/mod.rs", pair), [""; 0]);
    assert_eq!(found("src/ingest/otlp.rs", pair).len(), 3);
    assert_eq!(found("src/ingest/mod.rs", macros), ["src/ingest/mod.rs:2"]);
    assert_eq!(found("src/ingest/mod.rs", &format!("{pair}{macros}")), ["src/ingest/mod.rs:10"]);
    assert_eq!(found("src/ingest/mod.rs", "#[cfg(feature = \"x\")]\nmod lonely;"), ["src/ingest/mod.rs:1"]);
    let beside = format!("{pair}#[cfg(feature = \"x\")]\nmod lonely;\n#[cfg(feature = \"otlp\")]\nmod third;");
    assert_eq!(found("src/ingest/otlp/mod.rs", &beside), ["src/ingest/otlp/mod.rs:9", "src/ingest/otlp/mod.rs:11"]);
    let three = "#[cfg(feature = \"a\")]\nmod a;\n#[cfg(all(feature = \"b\", not(feature = \"a\")))]\nmod b;\n\
                 #[cfg(not(any(feature = \"a\", feature = \"b\")))]\nmod c;\n";
    assert_eq!(found("src/ingest/mod.rs", three), [""; 0]);
    assert_eq!(found("src/ingest/mod.rs", &three.replace("not(any(", "not(all(")).len(), 3, "two of them, or none");
    assert_eq!(found("src/lib.rs", "#[cfg(all(unix, feature = \"x\"))]\nmod y;"), ["src/lib.rs:1"]);
    assert_eq!(found("src/a/b.rs", "#[cfg_attr(feature = \"x\", inline)]\nfn f() {}"), ["src/a/b.rs:1"]);
    assert_eq!(found("src/a/b.rs", "// cfg!(feature = \"x\")\n#[cfg(test)]\nmod tests {}"), [""; 0]);
    assert_eq!(found("src/a/b.rs", "#![cfg(feature = \"x\")]\nfn f() {}"), ["src/a/b.rs:1"]);
    assert_eq!(found("src/a/mod.rs", &format!("#![cfg_attr(feature = \"x\", allow(y))]\n{pair}")), ["src/a/mod.rs:1"]);
}

#[test]
fn imports_under_another_name_are_found() {
    let found = |source: &str| places(&renames::renamed(&Tree::default().with("src/a.rs", source)));
    for source in [
        "use std as s;",
        "pub use crate::startup as begin;",
        "use std::{fmt, time::{Duration, Instant as Moment}};",
        "extern crate tokio as t;",
        "mod inner { fn f() { use crate::{self as root}; } }",
    ] {
        assert_eq!(found(source), ["src/a.rs:1"], "{source}");
    }
    assert_eq!(found("use std::io::{Read as _, Write as _};\nfn f(x: u8) -> u32 { let y = { x as u32 }; y }"), [""; 0]);
}

#[test]
fn anything_but_modules_in_the_crate_root_is_found() {
    let found = |source: &str| places(&renames::items_of_the_map(&Tree::default().with("src/lib.rs", source)));
    assert_eq!(found("//! A map.\n\npub mod a;\n/// A module.\n#[cfg(test)]\nmod b;\n"), [""; 0]);
    for source in [
        "pub use startup::Services;",
        "pub use startup::{self, Services};",
        "use startup::Services;",
        "pub fn f() {}",
        "pub type Clock = std::time::Instant;",
        "pub mod inner { pub use crate::startup; }",
    ] {
        assert_eq!(found(&format!("pub mod a;\n{source}")), ["src/lib.rs:2"], "{source}");
    }
}

#[test]
fn programs_that_are_written_or_built_in_another_way_are_found() {
    let allowed = [Exempt { path: "src/a.rs", reason: "it is allowed to" }];
    let written = |path: &str, source: &str| places(&programs::written(&Tree::default().with(path, source), &allowed));
    let modes = "fn f() {\n    fs::set_permissions(p, Permissions::from_mode(0o755));\n}";
    assert_eq!(written("tests/e2e/x.rs", modes), ["tests/e2e/x.rs:2"]);
    for source in [
        "use std::os::unix::fs::OpenOptionsExt as _;",
        "fn f() { fs::copy(from, to); }",
        "fn f() { std::fs::copy(env!(\"CARGO_BIN_EXE_x\"), to); }",
        "fn f() { tempfile::Builder::new().permissions(Permissions::from_mode(0o755)); }",
        "fn f() { nix::sys::stat::fchmod(file, mode); }",
        "fn f() { Command::new(\"chmod\").arg(\"755\"); }",
    ] {
        assert_eq!(written("matrix/src/x.rs", source), ["matrix/src/x.rs:1"], "{source}");
    }
    assert_eq!(written("src/a.rs", modes), [""; 0]);
    assert_eq!(written("src/a.rs", ""), ["src/a.rs:1"], "the exemption is not needed");
    assert_eq!(written("src/b.rs", "// set_permissions\nfn f() { executable::write(p, b); }"), [""; 0]);

    let built = |path: &str, source: &str| places(&programs::built(&Tree::default().with(path, source), &allowed));
    for source in [
        "fn f() { Command::new(\"cargo\").arg(\"build\"); }",
        "fn f() { std::process::Command::new(env!(\"CARGO\")); }",
        "fn f() { Command::new(std::env::var_os(\"CARGO\").unwrap_or_else(|| \"cargo\".into())); }",
        "fn f() { let c = env!(\"CARGO\"); Command::new(c); }",
        "fn f() { let c = option_env!(\"CARGO\"); }",
    ] {
        assert_eq!(built("matrix/tests/x.rs", source), ["matrix/tests/x.rs:1"], "{source}");
        assert_eq!(built("src/a.rs", source), [""; 0]);
    }
    assert_eq!(built("src/b.rs", "fn f() { Command::new(\"git\").arg(\"cargo\"); }"), [""; 0]);
}

#[test]
fn elf_files_that_are_read_in_another_way_are_found() {
    let allowed = [Exempt { path: "matrix/src/elf/mod.rs", reason: "the reader" }];
    let read = |path: &str, source: &str| places(&programs::read(&Tree::default().with(path, source), &allowed));
    for source in ["use object::elf::PT_LOAD;", "fn f() { ::object::File::parse(b); }", "fn f(e: object::Error) {}"] {
        assert_eq!(read("matrix/src/x.rs", source), ["matrix/src/x.rs:1"], "{source}");
        assert_eq!(read("matrix/src/elf/mod.rs", source), [""; 0]);
    }
    assert_eq!(read("src/x.rs", "use crate::json::object::Field; fn f() { object(1); }"), [""; 0]);
}

#[test]
fn long_files_are_found() {
    let lines = |count: usize| "\n".repeat(count);
    let tree = Tree::default().with("src/main.rs", &lines(40)).with("src/a.rs", &lines(500)).with("x.md", &lines(900));
    assert_eq!(places(&lengths::lines(&tree, &[])), [""; 0]);
    let tree = Tree::default().with("src/main.rs", &lines(41)).with("matrix/src/a.rs", &lines(501));
    assert_eq!(places(&lengths::lines(&tree, &[])), ["src/main.rs:41", "matrix/src/a.rs:501"]);
    let table = [Exempt { path: "src/a.rs", reason: "a table" }];
    assert_eq!(places(&lengths::lines(&Tree::default().with("src/a.rs", &lines(501)), &table)), [""; 0]);
    assert_eq!(places(&lengths::lines(&Tree::default().with("src/a.rs", &lines(9)), &table)), ["src/a.rs:9"]);
}

#[test]
fn long_names_of_functions_are_found() {
    let found = |length: usize| {
        let test = format!("mod tests {{\n    #[test]\n    fn {}() {{}}\n}}\n", "a".repeat(length));
        places(&lengths::names(&Tree::default().with("src/a.rs", &test)))
    };
    assert_eq!(found(lengths::NAME), [""; 0]);
    assert_eq!(found(lengths::NAME + 1), ["src/a.rs:3"]);
}

#[test]
fn leftovers_are_found() {
    for left in [
        concat!("// TO", "DO: later"),
        concat!("FIX", "ME"),
        concat!("fn f() { to", "do!() }"),
        concat!("unimplemented", "!()"),
    ] {
        assert_eq!(places(&lengths::leftovers(&Tree::default().with("src/a.rs", left))), ["src/a.rs:1"], "{left}");
    }
    let fine = Tree::default().with("src/a.rs", "let todos = mastodon();").with("a.md", "Say toDo or TODOS.");
    assert_eq!(places(&lengths::leftovers(&fine)), [""; 0]);
}

#[test]
fn commands_that_ci_does_not_run_are_found() {
    let ci = "cargo matrix bench --blocks 6\nas_root ci/images ship\n# cargo matrix check\n";
    let tree = |page: &str| Tree::default().with("ci/test", ci).with("ci/images", "").with("docs/a.md", page);
    let found = |page: &str| places(&commands::not_run(&tree(page)));
    assert_eq!(found("    cargo matrix bench\n\n    ci/images ship\n\nor `cargo matrix check`\n    ci/test"), [""; 0]);
    for command in ["cargo matrix check", "cargo matrix ben", "cargo matrix bench --blocks 60", "ci/images"] {
        let expected = if command == "ci/images" { vec![] } else { vec!["docs/a.md:2"] };
        assert_eq!(found(&format!("Type\n    {command}")), expected, "{command}");
    }
    for command in
        ["$ cargo matrix check", "BASE=x RUNS=2 cargo matrix check", "sudo ci/images all", "sudo X=y ci/images all"]
    {
        assert_eq!(found(&format!("Type\n    {command}")), ["docs/a.md:2"], "{command}");
    }
    assert_eq!(found("    sudo BASE=x cargo matrix bench"), [""; 0]);
    let gone = Tree::default().with("ci/test", "ci/gone").with("README.md", "    ci/gone");
    assert_eq!(places(&commands::not_run(&gone)), ["README.md:1"]);
    let part =
        |text: &str| places(&commands::not_run(&Tree::default().with("ci/test", "").with("CONTRIBUTING.md", text)));
    assert_eq!(part("Examples:\n\n    cargo test --lib\n"), [""; 0]);
    assert_eq!(part("Type:\n\n    cargo test --lib\n"), ["CONTRIBUTING.md:3"]);
    assert_eq!(part("Examples:\n\n    cargo matrix list\n"), ["CONTRIBUTING.md:3"]);
}

#[test]
fn commands_that_a_script_does_not_always_run_do_not_count() {
    let found = |ci: &str| {
        let tree = Tree::default().with("ci/test", ci).with("docs/a.md", "    cargo matrix check");
        places(&commands::not_run(&tree)).len()
    };
    assert_eq!(found("step\nBASE=x cargo matrix check --all\n"), 0);
    assert_eq!(found("if ((${#full[@]} > 0)); then\n    cargo matrix check\nfi\n"), 0, "with --full");
    for ci in [
        "if false; then\n    cargo matrix check\nfi\n",
        "never() {\n    cargo matrix check\n}\n",
        "cat <<EOF\ncargo matrix check\nEOF\n",
        "cat <<-'END'\ncargo matrix check\nEND\n",
        "if ((${#full[@]} > 0)); then\n    if false; then\n        cargo matrix check\n    fi\nfi\n",
        "if ((${#full[@]} > 0)); then\n    step\nfi\nif false; then\n    cargo matrix check\nfi\n",
    ] {
        assert_eq!(found(ci), 1, "{ci}");
    }
}

#[test]
fn blocks_with_fences_are_found() {
    let found = |page: &str| places(&commands::fenced(&Tree::default().with("README.md", page)));
    assert_eq!(found("Type:\n\n    cargo matrix check\n"), [""; 0]);
    assert_eq!(found("Type:\n```sh\ncargo matrix check\n```\n"), ["README.md:2", "README.md:4"]);
    assert_eq!(found("- Type:\n  ~~~\n"), ["README.md:2"]);
}

#[test]
fn foreign_commands_without_test_or_mark_are_found() {
    let found = |ci: &str, page: &str| {
        places(&commands::not_marked(&Tree::default().with("ci/test", ci).with("docs/a.md", page)))
    };
    let aws = "Type\n\n    aws lambda list-layers \\\n      --output text";
    assert_eq!(found("ci/aws docs/b.md\nci/other docs/a.md", aws), ["docs/a.md:3"]);
    assert_eq!(found("ci/aws docs/a.md target/layer.txt", aws), [""; 0]);
    assert_eq!(found("", "Example:\n\n    gh release list\n\n    gh api\nText.\n    gh api"), ["docs/a.md:7"]);
    assert_eq!(found("", "Text about gh, and `openssl dgst`."), [""; 0]);
}

#[test]
fn repeated_toolchain_versions_are_found() {
    let home = || Tree::default().with("rust-toolchain.toml", "[toolchain]\nchannel = \"1.80.1\"\n");
    for repeated in ["FROM rust:1.80", "Needs 1.80.1.", "rustup default 1.80.1", "Rust 1.80 is needed"] {
        let tree = home().with("images/Dockerfile", repeated);
        assert_eq!(places(&toolchain::repeated(&tree)), ["images/Dockerfile:1"], "{repeated}");
    }
    for fine in ["1.80 ms", "rust 11.80", "rust 1.80.2", "tool 1.80.12"] {
        assert_eq!(places(&toolchain::repeated(&home().with("README.md", fine))), [""; 0], "{fine}");
    }
    assert_eq!(places(&toolchain::repeated(&home().with("Cargo.toml", "rust-version = \"1.80\""))), [""; 0]);
    let loose = Tree::default().with("rust-toolchain.toml", "channel = \"stable\"");
    assert_eq!(places(&toolchain::repeated(&loose)), ["rust-toolchain.toml:1"]);
    assert_eq!(places(&toolchain::repeated(&Tree::default())), ["rust-toolchain.toml:1"]);
}

#[test]
fn missing_and_unknown_switches_are_found() {
    let names = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
    let declared = names(&["default", "ship", "baseline", "otlp", "webpki-roots"]);
    assert_eq!(places(&version_output::unmatched(&declared, &names(&["otlp", "webpki-roots"]))), [""; 0]);
    for printed in
        [names(&["otlp"]), names(&["otlp", "webpki-roots", "more"]), names(&["otlp", "webpki-roots", "ship"])]
    {
        assert_eq!(places(&version_output::unmatched(&declared, &printed)), ["Cargo.toml:1"], "{printed:?}");
    }
}

#[test]
fn claims_of_parity_without_a_test_or_a_reason_are_found() {
    let tests = "#[test]\nfn proven() {}\n\nfn helper() {}\n";
    let found =
        |page: &str| places(&parity::unproven(&Tree::default().with("tests/a.rs", tests).with(parity::PAGE, page)));
    assert_eq!(found("| # | what | tests | otherwise |\n|---|---|---|---|\n"), [""; 0]);
    assert_eq!(found("| 1 | it works | `tests/a.rs::proven` | |\n| D1 | better | | comes with the rest |\n"), [""; 0]);
    assert_eq!(found("| 1 | it works | | |"), ["docs/parity.md:1"]);
    assert_eq!(found("| 1 | it works | `tests/a.rs::helper` | |"), ["docs/parity.md:1"]);
    assert_eq!(found("| 1 | it works | `tests/b.rs::proven` | comes later |"), ["docs/parity.md:1"]);
    assert_eq!(found("| 1 | a | | comes later |\n| 1 | b | | comes later |"), ["docs/parity.md:2"]);
    assert_eq!(places(&parity::unproven(&Tree::default())), ["docs/parity.md:1"]);
}

#[test]
fn a_type_that_is_named_by_a_participle_is_found() {
    let found = |source: &str| places(&participles::participles(&Tree::default().with("matrix/src/a.rs", source)));
    for source in ["struct Seen;", "pub enum Queued {}", "fn f() { type Sending = u8; }", "mod a { trait Known {} }"] {
        assert_eq!(found(source), ["matrix/src/a.rs:1"], "{source}");
    }
    for source in ["struct Finding;", "struct SeenItems;", "enum State { Queued }", "// struct Seen;", "fn sent() {}"] {
        assert_eq!(found(source), [""; 0], "{source}");
    }
}

#[test]
fn a_retired_name_is_found_in_code_and_not_in_text() {
    let wrong = Tree::default().with("src/a.rs", "/// A Bequest.\nfn f() {\n    let _ = (\"Bequest\", Bequest);\n}\n");
    assert_eq!(places(&names::retired(&wrong)), ["src/a.rs:3"]);
}

#[test]
fn some_names_are_retired_below_a_path_and_some_by_their_start() {
    let found = |path: &str, text: &str| places(&names::retired(&Tree::default().with(path, text)));
    assert_eq!(found("matrix/src/report/a.rs", "use ink::CellColor;\n"), ["matrix/src/report/a.rs:1"]);
    assert_eq!(found("src/a.rs", "fn ink() {}\n"), [""; 0]);
    assert_eq!(found("src/a.rs", "fn settle_user() {}\n"), ["src/a.rs:1"]);
}

#[test]
fn an_import_of_a_higher_layer_is_found() {
    let found = |path: &str, text: &str| places(&layers::upwards(&Tree::default().with(path, text)));
    assert_eq!(found("matrix/src/plan/mod.rs", "use crate::manifest::Levels;\n"), [""; 0]);
    assert_eq!(found("matrix/src/plan/mod.rs", "\nuse crate::build::Recipe;\n"), ["matrix/src/plan/mod.rs:2"]);
    assert_eq!(found("matrix/src/invoke/a.rs", "fn f() { crate::layer::f() }\n"), ["matrix/src/invoke/a.rs:1"]);
    assert_eq!(found("matrix/src/new.rs", ""), ["matrix/src/new.rs:1"]);
}
