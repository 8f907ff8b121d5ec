use std::collections::BTreeMap;
use std::process::Stdio;

use super::*;
use crate::build::cargo::CargoCommand;
use crate::build::recipe::Recipe;
use crate::flavour::Toolchain;
use crate::workspace::Profile;

/// A workspace whose program tells with which optimization it was compiled, and prints the variables of its build, but those of cargo's own.
fn workspace(folder: &Path) -> PathBuf {
    let root = folder.join("workspace");
    fs::create_dir_all(root.join("src")).unwrap();
    let write = |name: &str, text: &str| fs::write(root.join(name), text).unwrap();
    write(
        "Cargo.toml",
        "[package]\nname = \"bottlecap\"\nversion = \"1.0.0\"\nedition = \"2024\"\n[profile.release]\nopt-level = 1\n",
    );
    write("Cargo.lock", "version = 4\n\n[[package]]\nname = \"bottlecap\"\nversion = \"1.0.0\"\n");
    write(
        "build.rs",
        r#"
fn main() {
    let all = std::env::vars().map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>().join(";");
    println!("cargo::rustc-env=BUILT_WITH={}", all.replace('\n', " "));
}
"#,
    );
    write("src/main.rs", r#"fn main() { println!("{}", env!("BUILT_WITH")); }"#);
    root
}

/// The variables of a build beside which there are these.
fn built(root: &Path, builds: &Path, recipe: &Recipe, variables: &[(&str, &str)]) -> BTreeMap<String, String> {
    built_with(Profile::Release, root, builds, recipe, variables)
}

fn built_with(
    profile: Profile,
    root: &Path,
    builds: &Path,
    recipe: &Recipe,
    variables: &[(&str, &str)],
) -> BTreeMap<String, String> {
    let tools = Toolchain::plain(root, profile).unwrap().agent;
    let call = CargoCommand::new("bottlecap", recipe, &tools, root, builds);
    let there = std::env::vars_os().chain(variables.iter().map(|(name, value)| (name.into(), value.into())));
    let outcome = call.run_beside(root, there, &|_| {}).unwrap_or_else(|failure| panic!("{}", failure.output));
    let output = Command::new(outcome.program).stdin(Stdio::null()).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    text.trim().split(';').filter_map(|one| one.split_once('=')).map(|(k, v)| (k.to_owned(), v.to_owned())).collect()
}

#[test]
fn neither_variables_nor_configuration_of_the_user_reach_a_build() {
    let folder = tempfile::tempdir().unwrap();
    let root = workspace(folder.path());
    let config =
        "[profile.release]\nopt-level = 3\n[env]\nCFLAGS = \"-O1\"\n[build]\nrustflags = [\"--cfg=foreign\"]\n";
    // As in a home with the workspace below it, and as in the workspace itself.
    for around in [folder.path(), &root] {
        fs::create_dir(around.join(".cargo")).unwrap();
        fs::write(around.join(".cargo/config.toml"), config).unwrap();
    }
    let foreign = [
        ("CFLAGS", "-O1"),
        ("TARGET_CFLAGS", "-O1"),
        ("AWS_LC_FIPS_SYS_CMAKE_BUILDER", "0"),
        ("RUSTC_WRAPPER", "/nowhere"),
        ("CARGO_PROFILE_RELEASE_OPT_LEVEL", "3"),
        ("RUSTFLAGS", "--cfg=foreign"),
        ("http_proxy", "http://localhost:1"),
    ];
    let seen = built(&root, &folder.path().join("builds"), &Recipe::default(), &foreign);
    assert_eq!(seen["OPT_LEVEL"], "1");
    assert_eq!(seen["CARGO_PROFILE_RELEASE_OPT_LEVEL"], "1", "as Cargo.toml says");
    for name in ["CFLAGS", "TARGET_CFLAGS", "AWS_LC_FIPS_SYS_CMAKE_BUILDER"] {
        assert!(!seen.contains_key(name), "{name}");
    }
    assert!(!seen["CARGO_ENCODED_RUSTFLAGS"].contains("foreign"), "{seen:?}");
    assert_eq!(seen["http_proxy"], "http://localhost:1");
    let recipe = Recipe { profile: BTreeMap::from([("opt-level".to_owned(), "2".to_owned())]), ..Recipe::default() };
    assert_eq!(built(&root, &folder.path().join("builds"), &recipe, &foreign)["OPT_LEVEL"], "2");
}

#[test]
fn quick_builds_are_as_closed_as_the_others() {
    let folder = tempfile::tempdir().unwrap();
    let root = workspace(folder.path());
    // They name the tool's package as well, for its features.
    fs::create_dir_all(root.join("matrix/src")).unwrap();
    fs::write(root.join("matrix/src/lib.rs"), "").unwrap();
    let package = "[package]\nname = \"matrix\"\nversion = \"1.0.0\"\nedition = \"2024\"\n";
    fs::write(root.join("matrix/Cargo.toml"), package).unwrap();
    let append = |name: &str, text: &str| {
        let path = root.join(name);
        fs::write(&path, fs::read_to_string(&path).unwrap() + text).unwrap();
    };
    append("Cargo.toml", "[workspace]\nmembers = [\"matrix\"]\n");
    append("Cargo.lock", "\n[[package]]\nname = \"matrix\"\nversion = \"1.0.0\"\n");
    fs::create_dir(root.join(".cargo")).unwrap();
    let config = "[profile.dev]\nopt-level = 3\n[env]\nCFLAGS = \"-O1\"\n[build]\nrustflags = [\"--cfg=foreign\"]\n";
    fs::write(root.join(".cargo/config.toml"), config).unwrap();
    let foreign = [
        ("CFLAGS", "-O1"),
        ("CARGO_PROFILE_DEV_OPT_LEVEL", "3"),
        ("RUSTFLAGS", "--cfg=foreign"),
        ("CARGO_INCREMENTAL", "0"),
    ];
    let builds = folder.path().join("builds");
    let seen = built_with(Profile::Dev, &root, &builds, &Recipe::default(), &foreign);
    assert_eq!((seen["PROFILE"].as_str(), seen["OPT_LEVEL"].as_str()), ("debug", "0"));
    assert!(!seen.contains_key("CFLAGS") && !seen["CARGO_ENCODED_RUSTFLAGS"].contains("foreign"), "{seen:?}");
    assert_eq!(seen["CARGO_INCREMENTAL"], "0", "as the tests beside it have it");
    assert!(builds.join("quick/debug").exists() && !root.join("target").exists(), "the configuration has flags");
}

#[test]
fn a_directory_with_a_blank_in_its_name_builds_the_same() {
    let folder = tempfile::tempdir().unwrap();
    let blank = folder.path().join("a folder");
    fs::create_dir(&blank).unwrap();
    let root = workspace(&blank);
    let main = r#"fn main() { println!("place={}", include!(concat!(env!("CARGO_MANIFEST_DIR"), "/src/place.rs"))); }"#;
    fs::write(root.join("src/main.rs"), main).unwrap();
    fs::write(root.join("src/place.rs"), "file!()").unwrap();
    let recipe = Recipe { rustflags: vec!["-C".to_owned(), "strip=symbols".to_owned()], ..Recipe::default() };
    assert_eq!(built(&root, &blank.join("builds"), &recipe, &[])["place"], "./src/place.rs");
}

#[test]
fn where_crates_come_from_is_what_the_nearest_configuration_says() {
    let folder = tempfile::tempdir().unwrap();
    let (root, users) = (folder.path().join("a/b"), folder.path().join("user/.cargo"));
    for at in [&root.join(".cargo"), &folder.path().join("a/.cargo"), &users] {
        fs::create_dir_all(at).unwrap();
    }
    fs::write(root.join(".cargo/config.toml"), "[alias]\nx = \"y\"\n[net]\nretry = 1\n").unwrap();
    let near = "[net]\nretry = 2\noffline = true\n[source.mine]\ndirectory = \"vendor\"\n";
    fs::write(folder.path().join("a/.cargo/config"), near).unwrap();
    fs::write(users.join("config.toml"), "[http]\ncainfo = \"/ca.pem\"\n[build]\njobs = 1\n").unwrap();
    fs::write(users.join("credentials.toml"), "").unwrap();
    let home = folder.path().join("home");
    for _ in 0..2 {
        prepare_cargo_home(&home, &root, Some(&users)).unwrap();
    }
    let config = read(&home).unwrap();
    let expected = format!(
        "[net]\nretry = 1\noffline = true\n[source.mine]\ndirectory = \"{}\"\n[http]\ncainfo = \"/ca.pem\"\n",
        folder.path().join("a/vendor").display()
    );
    assert_eq!(config, expected.parse().unwrap());
    assert_eq!(fs::canonicalize(home.join("registry")).unwrap(), users.join("registry").canonicalize().unwrap());
    assert!(home.join("credentials.toml").exists());
    let another = folder.path().join("another");
    prepare_cargo_home(&home, &root, Some(&another)).unwrap();
    assert_eq!(fs::read_link(home.join("git")).unwrap(), another.join("git"), "the user's home has moved");
    fs::remove_file(home.join("git")).unwrap();
    fs::create_dir_all(home.join("git/db")).unwrap();
    prepare_cargo_home(&home, &root, Some(&another)).unwrap();
    assert!(home.join("git").is_symlink(), "cargo had made a folder of its own");
    let tables = ignored_config_tables(&root, Some(&users));
    let expected = format!("[build] of {}", users.display());
    assert!(tables.contains(&expected) && !tables.iter().any(|table| table.contains("[net]")), "{tables:?}");
}

#[test]
fn an_invalid_configuration_is_reported_with_its_path() {
    let folder = tempfile::tempdir().unwrap();
    fs::create_dir(folder.path().join(".cargo")).unwrap();
    fs::write(folder.path().join(".cargo/config.toml"), "no").unwrap();
    let error = prepare_cargo_home(&folder.path().join("home"), folder.path(), None).unwrap_err().to_string();
    assert!(error.contains(".cargo/config.toml cannot be read"), "{error}");
}

#[test]
fn configuration_that_builds_cannot_ignore_is_refused() {
    assert!(check_root_config(&"[source.a]\n[alias]\n".parse().unwrap()).is_ok());
    let error = check_root_config(&"[profile.release]\nlto = false".parse().unwrap()).unwrap_err().to_string();
    assert!(error.contains("[profile]"), "{error}");
}

#[test]
fn variables_that_reach_nothing_are_named() {
    let names = [
        "CFLAGS",
        "CC_x86_64",
        "CARGO_TARGET_DIR",
        "CARGO_TARGET_X_LINKER",
        "PATH",
        "HOME",
        "TARGET_CFLAGS",
        "TARGET_CPU",
    ];
    assert_eq!(
        ignored_variables(names.map(OsString::from).into_iter()),
        ["CARGO_TARGET_X_LINKER", "CC_x86_64", "CFLAGS", "TARGET_CFLAGS"]
    );
    // Where cargo finds what it has downloaded, unless a build has a home of its own.
    assert!(is_allowed("CARGO_HOME".as_ref()));
    for name in names.into_iter().chain(BUILD_VARIABLES) {
        assert!(!(is_allowed(name.as_ref()) && is_build_variable(name)), "{name}");
    }
}

#[test]
fn what_cargo_says_of_a_build_is_said_without_the_users_configuration() {
    let folder = tempfile::tempdir().unwrap();
    let root = workspace(folder.path());
    fs::create_dir(root.join(".cargo")).unwrap();
    fs::write(root.join(".cargo/config.toml"), "[build]\nrustc = \"/nowhere/rustc\"\n").unwrap();
    let answers = |command: &mut Command| {
        let command = command.args(["tree", "--locked", "--manifest-path"]).arg(root.join("Cargo.toml"));
        command.stdin(Stdio::null()).output().unwrap().status.success()
    };
    assert!(!answers(crate::workspace::cargo().current_dir(&root)), "cargo reads that configuration");
    let mut isolated = crate::workspace::cargo();
    isolate(&mut isolated, &root, &folder.path().join("builds")).unwrap();
    assert!(answers(&mut isolated));
}
