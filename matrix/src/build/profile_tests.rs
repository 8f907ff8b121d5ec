use std::path::PathBuf;

use super::*;
use crate::build::cargo::CargoCommand;
use crate::build::launcher;
use crate::flavour::Toolchain;
use crate::workspace::Profile;

/// A configuration that changes every key.
const HOSTILE: &str = "\
[profile.release]
codegen-units = 256
debug = true
debug-assertions = true
incremental = true
lto = \"off\"
opt-level = 0
overflow-checks = true
panic = \"unwind\"
rpath = true
strip = false
[profile.release.package.dependency]
opt-level = 0
";

fn of(root: &Path, choices: &[(&str, &str)]) -> ReleaseProfile {
    let replaced = choices.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned()));
    ReleaseProfile::of(&Recipe { profile: replaced.collect(), ..Recipe::default() }, root).unwrap()
}

#[test]
fn the_profile_is_that_of_the_workspace_with_what_the_cell_replaces() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let plain = of(root, &[]).into_keys();
    for (key, value) in [
        ("codegen-units", "1"),
        ("debug", "false"),
        ("incremental", "false"),
        ("lto", "fat"),
        ("opt-level", "z"),
        ("panic", "abort"),
        ("strip", "true"),
        ("package.aws-lc-fips-sys.opt-level", "3"),
    ] {
        assert_eq!(plain.get(key).map(String::as_str), Some(value), "{key}");
    }
    assert_eq!(of(root, &[("opt-level", "3")]).opt_level(), "3");
}

#[test]
fn every_key_is_given_to_cargo() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let profile = of(root, &[("opt-level", "3")]);
    let variables = profile.variables();
    for (key, _) in DEFAULTS {
        assert!(variables.contains_key(&variable(key)), "{key}");
    }
    assert_eq!(variables["CARGO_PROFILE_RELEASE_OPT_LEVEL"], "3");
    assert_eq!(profile.options(), ["--config=profile.release.package.aws-lc-fips-sys.opt-level=3"]);
    let quoted = ReleaseProfile(BTreeMap::from([("package.\"*\".panic".to_owned(), "abort".to_owned())]));
    assert_eq!(quoted.options(), ["--config=profile.release.package.\"*\".panic=\"abort\""]);
}

/// A workspace whose program has a dependency, and its call.
fn workspace(folder: &Path) -> (PathBuf, CargoCommand, ReleaseProfile) {
    let root = folder.join("workspace");
    for name in ["src", "dependency/src", ".cargo"] {
        fs::create_dir_all(root.join(name)).unwrap();
    }
    let write = |name: &str, text: &str| fs::write(root.join(name), text).unwrap();
    write(
        "Cargo.toml",
        "[package]\nname = \"bottlecap\"\nversion = \"1.0.0\"\nedition = \"2024\"\n\
         [dependencies]\ndependency = { path = \"dependency\" }\n\
         [profile.release]\nlto = \"fat\"\ncodegen-units = 1\npanic = \"abort\"\nstrip = true\nopt-level = \"z\"\n\
         [profile.release.package.dependency]\nopt-level = 2\n",
    );
    let package = |name: &str| format!("[[package]]\nname = \"{name}\"\nversion = \"1.0.0\"\n");
    let depends = "dependencies = [\n \"dependency\",\n]\n";
    let lock = format!("version = 4\n\n{}{depends}\n{}", package("bottlecap"), package("dependency"));
    write("Cargo.lock", &lock);
    write("src/main.rs", "fn main() {}");
    write("dependency/Cargo.toml", "[package]\nname = \"dependency\"\nversion = \"1.0.0\"\nedition = \"2024\"\n");
    write("dependency/src/lib.rs", "");
    write(".cargo/config.toml", HOSTILE);
    let tools = Toolchain::plain(&root, Profile::Release).unwrap().agent;
    let call = CargoCommand::new("bottlecap", &Recipe::default(), &tools, &root, &folder.join("builds"));
    let profile = of(&root, &[]);
    (root, call, profile)
}

/// The home of cargo with this configuration in the place of that of isolated builds.
fn differences(config: &str) -> Vec<String> {
    let folder = tempfile::tempdir().unwrap();
    let (root, call, profile) = workspace(folder.path());
    let home = folder.path().join("home");
    fs::create_dir(&home).unwrap();
    fs::write(home.join("config.toml"), config).unwrap();
    let mut command = call.process(&root, std::env::vars_os()).unwrap();
    let graph = Graph::of(command.env("CARGO_HOME", home)).unwrap();
    assert!(graph.units.iter().any(|unit| unit.package() == "dependency"));
    profile.differences(&graph)
}

#[test]
fn cargo_has_the_profile_of_the_workspace_in_spite_of_its_configuration() {
    let folder = tempfile::tempdir().unwrap();
    let (root, call, profile) = workspace(folder.path());
    let variables = HOSTILE.lines().filter_map(|line| line.split_once(" = "));
    let variables = variables.map(|(key, value)| (variable(key).into(), value.trim_matches('"').into()));
    let mut command = call.process(&root, std::env::vars_os().chain(variables)).unwrap();
    let graph = Graph::of(&mut command).unwrap();
    assert_eq!(profile.differences(&graph), [""; 0]);
    // Nor would one that the isolation had let through.
    assert_eq!(differences(HOSTILE), [""; 0]);
}

#[test]
fn a_foreign_profile_is_found_in_cargos_unit_graph() {
    // Only isolation keeps it out.
    let all = differences("[profile.release.package.\"*\"]\ncodegen-units = 7\n");
    assert_eq!(all, ["cargo compiles dependency with codegen-units=7, not 1"]);
    let folder = tempfile::tempdir().unwrap();
    let (root, call, profile) = workspace(folder.path());
    let mut command = call.process(&root, std::env::vars_os()).unwrap();
    command.env(variable("lto"), "thin").env(variable("strip"), "debuginfo").env(variable("debug"), "1");
    let graph = Graph::of(command.env(variable("opt-level"), "s")).unwrap();
    let found = profile.differences(&graph).join("\n");
    for part in
        ["bottlecap with lto=thin", "bottlecap with strip=debuginfo", "with debug=1, not 0", "opt-level=s, not z"]
    {
        assert!(found.contains(part), "{part} is not in:\n{found}");
    }
    assert!(!found.contains("dependency with opt-level"), "{found}");
}

#[test]
fn the_profile_of_the_launcher_is_held_to_cargos_as_well() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let folder = tempfile::tempdir().unwrap();
    let tools = Toolchain::plain(root, Profile::Release).unwrap().launcher;
    let recipe = Recipe::of_launcher(tools.flavour.architecture);
    let call = CargoCommand::new(launcher::NAME, &recipe, &tools, root, folder.path());
    let asked = ReleaseProfile::of(&recipe, root).unwrap();
    let mut command = call.process(root, std::env::vars_os()).unwrap();
    assert_eq!(asked.differences(&Graph::of(&mut command).unwrap()), [""; 0]);
    let mut command = call.process(root, std::env::vars_os()).unwrap();
    let found = asked.differences(&Graph::of(command.env(variable("lto"), "thin")).unwrap());
    let expected = ["extension-protocol", "launcher", "rustix"]
        .map(|package| format!("cargo compiles {package} with lto=thin, not fat"));
    assert!(expected.iter().all(|difference| found.contains(difference)), "{found:?}");
}
