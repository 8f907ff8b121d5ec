use std::sync::Mutex;

use super::*;
use crate::flavour::{Flavour, Linker, Toolchain};

fn tools() -> Tools {
    Toolchain::plain(Path::new("."), Profile::Release).unwrap().agent
}

fn call() -> CargoCommand {
    let recipe = Recipe {
        features: vec!["a".to_owned(), "b".to_owned()],
        rustflags: vec!["-C".to_owned(), "link-arg=-Wl,-z,now".to_owned()],
        profile: BTreeMap::from([("opt-level".to_owned(), "3".to_owned())]),
        ..Recipe::default()
    };
    CargoCommand::new("bottlecap", &recipe, &tools(), Path::new("/the/root"), Path::new("/builds"))
}

#[test]
fn the_command_can_be_pasted() {
    let shell = call().shell();
    let start = "(cd / && env -i PATH=\"$PATH\" HOME=\"$HOME\" ${RUSTUP_HOME:+RUSTUP_HOME=\"$RUSTUP_HOME\"} BOTTLECAP_GIT_SHA=unknown ";
    assert!(shell.starts_with(start) && shell.contains(" CARGO_HOME=/builds/cargo-home "), "{shell}");
    assert!(
        shell.contains(" CARGO_PROFILE_RELEASE_OPT_LEVEL=3 CFLAGS_") && shell.contains("-ffile-prefix-map=/the/root=."),
        "{shell}"
    );
    let flags = " RUSTFLAGS='-C link-arg=-Wl,-z,now --remap-path-prefix=/the/root=.";
    assert!(shell.contains(flags), "{shell}");
    // What stands in the user's files may not choose another compiler of Go.
    for setting in [" GOENV=off ", " GOTOOLCHAIN=local ", " GOWORK=off ", " GOCACHE=/builds/"] {
        assert!(shell.contains(setting), "{setting}: {shell}");
    }
    assert!(shell.contains(" cargo build --profile release --locked "), "{shell}");
    assert!(shell.contains(" --manifest-path /the/root/Cargo.toml "), "{shell}");
    assert!(shell.ends_with(" --no-default-features --features a,b)"), "{shell}");
    assert!(shell.contains(&format!(" --target {} --target-dir /builds/", crate::target::plain())), "{shell}");
}

#[test]
fn names_are_kept_by_the_last_step_alone() {
    let shell = call().named().shell();
    assert!(shell.contains(" cargo rustc --profile release --locked "), "{shell}");
    let (_, of_rustc) = shell.split_once(" a,b -- ").unwrap();
    // What the linker opens is told by the same step, through the C compiler or by the linker itself.
    let report = call().named().link_report().unwrap().file.display().to_string();
    let option = format!("-Clink-arg=--dependency-file={report})");
    assert_eq!(of_rustc, format!("-C strip=none -Clink-arg=-Xlinker {option}"));
    let direct = CargoCommand { is_linker_called_directly: true, ..call().named() }.shell();
    assert!(direct.ends_with(&format!(" -C strip=none {option}")), "{direct}");
    let by_zig = CargoCommand { subcommand: "zigbuild", ..call().named() };
    assert!(call().link_report().is_none() && by_zig.link_report().is_none());
}

#[test]
fn features_are_tried_where_the_tests_are_built() {
    let quick = Tools { profile: Profile::Dev, ..tools() };
    let (root, builds) = (Path::new("/root"), Path::new("/builds"));
    let features = Recipe { features: vec!["a".to_owned()], ..Recipe::default() };
    let call = |is_plain| {
        let place = QuickBuilds::beside(root, builds, is_plain);
        let of_tests = place.target_directory.display().to_string();
        (of_tests, CargoCommand::quick("bottlecap", &features, &quick, root, place).shell())
    };
    let (of_tests, shell) = call(true);
    assert!(!of_tests.starts_with("/builds") && !shell.contains("CARGO_HOME="), "{shell}");
    let end = format!(
        "cargo build --profile dev --locked --package bottlecap --bin bottlecap --manifest-path /root/Cargo.toml \
         --package matrix --target-dir {of_tests} --no-default-features --features a)"
    );
    assert!(shell.starts_with("(cd /root && env -i PATH=") && shell.ends_with(&end), "{shell}");
    // What the user's configuration says would reach the build there.
    let (_, shell) = call(false);
    assert!(shell.starts_with("(cd / && env -i PATH="), "{shell}");
    assert!(shell.contains(" --target-dir /builds/quick "), "{shell}");
    assert!(shell.contains(" CARGO_HOME=/builds/cargo-home "), "{shell}");
    // Flags would have everything there compiled anew.
    let flags = Recipe { rustflags: vec!["-C".to_owned(), "x".to_owned()], ..features.clone() };
    let shell = CargoCommand::new("bottlecap", &flags, &quick, root, builds).shell();
    assert!(shell.contains(" --target-dir /builds/") && !shell.contains("/quick"), "{shell}");
}

#[test]
fn other_tools_are_called_in_cargos_stead_and_build_apart() {
    let plain = tools();
    let flavour = Flavour { linker: Linker::Zig, build_std: true, ..plain.flavour.clone() };
    let zig = Tools {
        flavour,
        command: Some(PathBuf::from("/the/zig/cargo-zigbuild")),
        target: "x86_64-unknown-linux-gnu.2.26".to_owned(),
        variables: BTreeMap::from([("CARGO_ZIGBUILD_ZIG_PATH".to_owned(), "/the/zig/zig".to_owned())]),
        ..plain
    };
    let call = CargoCommand::new("bottlecap", &Recipe::default(), &zig, Path::new("/root"), Path::new("/builds"));
    let shell = call.shell();
    assert!(shell.contains(" CARGO_ZIGBUILD_ZIG_PATH=/the/zig/zig "), "{shell}");
    assert!(shell.contains(" /the/zig/cargo-zigbuild zigbuild --profile release --locked "), "{shell}");
    assert!(
        shell.contains(" -Zbuild-std=std,panic_abort ") && shell.contains(" --target x86_64-unknown-linux-gnu.2.26 "),
        "{shell}"
    );
    assert!(shell.contains(" --target-dir /builds/x86_64-unknown-linux-gnu.2.26-"), "{shell}");
    let with_flag = Tools { c_flags: vec!["-O1".to_owned()], ..tools() };
    let call = CargoCommand::new(
        "bottlecap",
        &Recipe::default().with(&with_flag),
        &with_flag,
        Path::new("/root"),
        Path::new("/builds"),
    );
    assert!(call.shell().contains("='-O1 -ffile-prefix-map=/root=. "), "{}", call.shell());
}

#[test]
fn a_shell_reads_quoted_text_as_it_is() {
    assert_eq!(quoted("a-b=c,d"), "a-b=c,d");
    assert_eq!(quoted("a b"), "'a b'");
    assert_eq!(quoted("it's"), r"'it'\''s'");
    assert_eq!(quoted(""), "''");
    assert_eq!(quoted("-C\u{1f}it's a\\b"), r"$'-C\x1fit\'s a\\b'");
}

#[test]
fn the_program_is_found_among_cargos_messages() {
    let artifact = |file: &str, fresh: bool| {
        format!("{{\"reason\":\"compiler-artifact\",\"executable\":{file},\"fresh\":{fresh}}}\n")
    };
    let text = artifact("null", true) + "not json\n" + &artifact("\"/t/bottlecap\"", true);
    let read = Messages::read(text.as_bytes(), "bottlecap");
    assert_eq!((read.program, read.compiled), (Some(PathBuf::from("/t/bottlecap")), 0));
    let read = Messages::read((text + &artifact("\"/t/other\"", false)).as_bytes(), "bottlecap");
    assert_eq!((read.program, read.compiled), (Some(PathBuf::from("/t/bottlecap")), 1));
    assert_eq!(Messages::read("".as_bytes(), "bottlecap").program, None);
}

#[test]
fn the_folders_of_build_scripts_are_found_by_their_packages() {
    let text =
        r#"{"reason":"build-script-executed","package_id":"registry+https://x#module-sys@1.0.0","out_dir":"/t/out"}"#;
    let read = Messages::read(text.as_bytes(), "bottlecap");
    let outcome = Outcome {
        program: PathBuf::new(),
        opt_level: String::new(),
        compiled: 0,
        scripts: read.scripts,
        link_report: None,
    };
    assert_eq!(outcome.script("module-sys", "1.0.0"), Some(Path::new("/t/out")));
    assert_eq!(outcome.script("module-sys", "1.0.1"), None);
}

#[test]
fn of_a_long_failure_the_full_disk_is_kept() {
    let said: Vec<String> = (0..100).map(|number| format!("line {number}")).collect();
    assert_eq!(end_of(&said), said[60..]);
    let full = "error: failed to write /t/x.rmeta: No space left on device (os error 28)".to_owned();
    let kept = [&said[..3], &[full], &said[3..]].concat();
    let output = end_of(&kept).join("\n");
    let failure = Failure { command: String::new(), output };
    assert_eq!(failure.full_disk(), Some("error: failed to write /t/x.rmeta: No space left on device (os error 28)"));
    assert!(failure.output.ends_with("line 99"));
    assert_eq!(Failure { command: String::new(), output: "error: no".to_owned() }.full_disk(), None);
}

#[test]
fn compiled_crates_are_reported_as_progress() {
    let names = Mutex::new(Vec::new());
    let said =
        watch("   Compiling a v1.0.0\nerror: no\n".as_bytes(), &|name| names.lock().unwrap().push(name.to_owned()));
    assert_eq!(said, ["   Compiling a v1.0.0", "error: no"]);
    assert_eq!(*names.lock().unwrap(), ["a"]);
}

/// A program on the path that only passes on what it likes could be another compiler.
#[test]
fn rustc_on_path_is_not_called_instead_of_toolchain_rustc() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    let manifest =
        "[package]\nname = \"bottlecap\"\nversion = \"0.1.0\"\nedition = \"2024\"\n[profile.release]\n[workspace]\n";
    let lock = "version = 4\n\n[[package]]\nname = \"bottlecap\"\nversion = \"0.1.0\"\n";
    for (file, text) in [("Cargo.toml", manifest), ("Cargo.lock", lock), ("src/main.rs", "fn main() {}\n")] {
        crate::files::write(&at("root").join(file), text).unwrap();
    }
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let plain = Toolchain::plain(root, Profile::Release).unwrap();
    let by_path = plain.clone().by_path(root);
    let (mark, path) = (at("called"), at("path"));
    std::fs::create_dir(&path).unwrap();
    let script = format!("#!/bin/sh\n: >{}\nexec {} \"$@\"\n", mark.display(), by_path.agent.variables["RUSTC"]);
    crate::executable::write(&path.join("rustc"), script).unwrap();
    let others = std::env::var_os("PATH").unwrap();
    let path = std::env::join_paths(std::iter::once(path).chain(std::env::split_paths(&others))).unwrap();
    for (toolchain, is_called) in [(plain, true), (by_path, false)] {
        let builds = at(if is_called { "by-name" } else { "by-path" });
        let call = CargoCommand::new("bottlecap", &Recipe::default(), &toolchain.agent, &at("root"), &builds);
        let variables = std::env::vars_os().filter(|(name, _)| name != "PATH");
        let variables = variables.chain([("PATH".into(), path.clone())]);
        call.run_beside(&at("root"), variables, &|_| {}).unwrap();
        assert_eq!(mark.exists(), is_called);
        let _ = std::fs::remove_file(&mark);
    }
}
