//! Numbers and promises of README and docs that a command or a file can confirm.

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "a test that can't go on has failed")]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use matrix::build;
use matrix::commands::comparison::{self, MachineCapabilities};
use matrix::flavour::Toolchain;
use matrix::layer::publish;
use matrix::manifest::{Levels, Manifest};
use matrix::plan::{Cell, CellKind};
use matrix::workspace::Profile;
use serde_json::Value;
use toml::Table;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn read(path: &str) -> String {
    fs::read_to_string(root().join(path)).unwrap()
}

/// A page without its line ends, so that a sentence is found wherever it is broken.
fn prose(path: &str) -> String {
    read(path).split_whitespace().collect::<Vec<_>>().join(" ")
}

fn assert_says(path: &str, sentence: &str) {
    assert!(prose(path).contains(sentence), "{path} does not say `{sentence}`");
}

/// What follows the first text, up to the next other one.
fn between<'t>(text: &'t str, before: &str, after: &str) -> &'t str {
    let (_, rest) = text.split_once(before).unwrap_or_else(|| panic!("nothing begins with `{before}`"));
    rest.split_once(after).unwrap_or_else(|| panic!("nothing after `{before}` ends with `{after}`")).0
}

fn matrix(words: &[&str]) -> String {
    let output = Command::new(env!("CARGO_BIN_EXE_matrix")).args(words).output().unwrap();
    assert!(output.status.success(), "{words:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// What a plan would start, and under how many conditions.
fn planned(words: &[&str]) -> (u64, usize) {
    let document: Value = serde_json::from_str(&matrix(&[words, &["--dry-run", "--format", "json"]].concat())).unwrap();
    (document["estimate"]["cold_starts"].as_u64().unwrap(), document["plan"]["conditions"].as_array().unwrap().len())
}

/// As English has large numbers.
fn with_commas(number: u64) -> String {
    let digits = number.to_string();
    let groups: Vec<&str> = digits.as_bytes().rchunks(3).rev().map(|group| str::from_utf8(group).unwrap()).collect();
    groups.join(",")
}

fn toml(path: &str) -> Table {
    toml::from_str(&read(path)).unwrap()
}

#[test]
fn the_starts_of_the_benchmark_are_those_of_its_plans() {
    let steps = comparison::steps(Path::new("anywhere"), comparison::BLOCKS, &MachineCapabilities::ALL);
    let lines: Vec<String> = steps.iter().map(ToString::to_string).collect();
    let plans = lines.iter().filter(|line| line.starts_with("plan "));
    let starts = plans.map(|line| planned(&line.split(' ').collect::<Vec<_>>()).0).sum();
    assert_says("README.md", &format!("the {} cold starts", with_commas(starts)));
}

#[test]
fn the_starts_of_the_published_table_are_those_of_its_command() {
    let page = prose("docs/cold-start.md");
    let sentence = between(&page, "The table is from ", " `ship-agent` is faster");
    let command = between(sentence, "`cargo matrix ", "`");
    let (starts, conditions) = planned(&command.split(' ').collect::<Vec<_>>());
    let said = sentence.split(' ').next().unwrap();
    assert_eq!(said, with_commas(starts), "{command}");
    assert!(sentence.contains(&format!("in all {conditions} conditions")), "{sentence}: {conditions}");
}

/// The rows of a page's table whose cells begin like this.
fn rows(path: &str, begins: &str) -> Vec<Vec<String>> {
    let text = read(path);
    let rows = text.lines().filter(|line| line.starts_with(begins));
    rows.map(|row| row.split('|').map(|cell| cell.trim().to_owned()).collect()).collect()
}

/// Each word after a number at the beginning of a line of the help's exit statuses.
fn statuses(command: &str) -> BTreeMap<u8, String> {
    let help = matrix(&[command, "--help"]);
    let (_, list) = help.split_once("Exit status").unwrap();
    let lines = list.lines().filter_map(|line| line.strip_prefix("  ")?.split_once(char::is_whitespace));
    lines.filter_map(|(number, meaning)| Some((number.parse().ok()?, meaning.trim().to_owned()))).collect()
}

#[test]
fn the_disk_space_of_a_run_is_documented_and_checked() {
    let script = read("ci/test");
    let gigabytes = between(&script, "require_space \"$target\" ", "\n");
    assert_says("README.md", &format!("a run of `ci/test` needs {gigabytes} GB of disk"));
    assert_says("CONTRIBUTING.md", &format!("some 45 minutes on two cores and {gigabytes} GB of disk"));
    let ask = |gigabytes: &str| {
        let folder = tempfile::tempdir().unwrap();
        let line = format!("source ci/lib/space.sh && require_space {} {gigabytes}", folder.path().display());
        Command::new("bash").args(["-c", &line, "ci/test"]).current_dir(root()).output().unwrap()
    };
    assert!(ask("0").status.success());
    let full = ask("999999");
    let said = String::from_utf8_lossy(&full.stderr).into_owned();
    assert_eq!(full.status.code(), Some(6), "{said}");
    assert!(said.starts_with("ci/test: 999999 GB of disk are needed in ") && said.contains(" MB free"), "{said}");
}

#[test]
fn pages_name_an_effect_and_a_template_as_the_rest_of_them_does() {
    assert_says(
        "docs/cold-start.md",
        "No effect against the newest on either gate or on the time until every socket is served (MDE",
    );
    let used = "a template of the folder is used only if `--function` names a function of it";
    assert_says("docs/sandbox.md", used);
    let page = prose("docs/sandbox.md");
    assert!(!page.contains("only read if `--template"), "the page says as well that `{used}`");
}

#[test]
fn the_verdicts_of_the_gate_are_those_of_its_help() {
    let page = read("docs/gate.md");
    let table = between(&page, "| status | outcome |", "\n\n");
    let documented: BTreeMap<u8, String> = table
        .lines()
        .filter_map(|line| {
            let mut cells = line.strip_prefix("| ")?.split(" | ");
            Some((cells.next()?.parse().ok()?, cells.next()?.to_owned()))
        })
        .collect();
    let verdicts = statuses("gate").into_iter().filter_map(|(status, meaning)| {
        let (verdict, _) = meaning.split_once(": ")?;
        (!verdict.contains(' ')).then(|| (status, verdict.to_owned()))
    });
    assert!(documented.len() > 3);
    assert_eq!(documented, verdicts.collect());
}

#[test]
fn statuses_that_are_promised_are_in_the_help() {
    for (page, promise, command, status, meaning) in [
        ("README.md", "It ends with status 5 if a proof does not hold", "fips-report", 5, "a proof fails"),
        ("docs/fips.md", "It ends with 5 if a proof fails", "fips-report", 5, "a proof fails"),
    ] {
        assert_says(page, promise);
        let statuses = statuses(command);
        assert!(statuses.get(&status).is_some_and(|said| said.starts_with(meaning)), "{command}: {statuses:?}");
    }
}

/// `cargo matrix layer` refuses a layer beyond its budget, and `ci/sizes` holds what was built to the sizes beside it.
#[test]
fn the_bytes_of_programs_are_those_beside_the_budgets() {
    let budgets = toml("matrix/layer-budgets.toml");
    let bytes = |layer: &str| {
        let files = budgets.get(layer)?.as_table()?.get("files")?.as_table()?;
        let agent = files.get("bottlecap/agent").or_else(|| files.get("extensions/datadog-agent"));
        u64::try_from(agent?.as_integer()?).ok()
    };
    let mut rows = rows("docs/layers.md", "| `--");
    rows.extend(self::rows("docs/layers.md", "| nothing | the pinned toolchain"));
    assert_eq!(rows.len(), 8);
    for row in &rows {
        let options = row.get(1).unwrap().trim_matches('`');
        let layer = match options {
            "nothing" => "ship",
            "--features=-static,-fixed-address" => "ship-static-fixed-address@x86_64-old",
            "--libc musl" => "ship@x86_64-musl",
            "--arch arm64" => "ship@arm64",
            "--arch arm64 --libc musl" => "ship@arm64-musl",
            "--set ship-fips" => "ship-fips",
            "--arch arm64 --features=-static,-fixed-address" => "ship-static-fixed-address@arm64-old",
            "--set ship-fips --arch arm64 --outside-certificate" => "ship-fips@arm64",
            other => panic!("which layer is that of {other}?"),
        };
        let documented = row.get(3).unwrap();
        match bytes(layer) {
            Some(bytes) => assert_eq!(documented, &with_commas(bytes), "{options}"),
            // What CI does not build, nobody would correct.
            None => assert!(
                ["–", "not recorded"].contains(&documented.as_str()),
                "{options}: nothing confirms {documented} bytes"
            ),
        }
    }
    let tenths = (bytes("ship-agent").unwrap() + 50_000) / 100_000;
    let megabytes = format!("{}.{} MB", tenths / 10, tenths % 10);
    assert_says("docs/cold-start.md", &format!("On disk it is not: its {megabytes} have to be read"));
}

/// Their files are recorded with a measurement, and are built here: three percent are what a layer's program may be off as well.
#[test]
fn the_bytes_of_launcher_and_std_floor_are_those_of_what_is_built_here() {
    let row = |name: &str| rows("docs/launcher.md", &format!("| {name} | ")).remove(0);
    let documented_bytes = |name: &str| row(name)[2].replace(',', "").parse::<u64>().unwrap();
    let floor = Cell { id: "std-floor".to_owned(), kind: CellKind::StdFloor, levels: Levels::new() };
    let tools = Toolchain::plain(&root(), Profile::Release).unwrap();
    let floor = build::one(Manifest::embedded().unwrap(), floor, tools).unwrap().unwrap();
    let launcher = fs::metadata(build::launcher::for_tests().unwrap()).unwrap().len();
    let budgets = toml("matrix/layer-budgets.toml");
    let recorded = budgets["ship"]["files"]["extensions/datadog-agent"].as_integer().unwrap();
    for (name, bytes) in [("std-floor", floor.bytes), ("launcher", launcher), ("launcher", recorded.unsigned_abs())] {
        let documented = documented_bytes(name);
        assert!(
            documented.abs_diff(bytes) * 100 <= 3 * bytes,
            "docs/launcher.md: {name} has {bytes} bytes, not {documented}"
        );
    }
    assert!(launcher <= 16 << 10);
    assert_says("docs/launcher.md", "The launcher is a program of 16 KB");
    assert_says("docs/layers.md", "a program of 16 KB that starts first");
}

#[test]
fn statements_about_the_published_table_follow_from_it() {
    let text = read("docs/cold-start.md");
    let number = |text: &str| text.trim().parse::<f64>().unwrap();
    let gates = |cell: &str| cell.split('/').map(number).collect::<Vec<_>>();
    let table = between(&text, "| register / ready, ms |", "\n\n");
    let rows: Vec<Vec<&str>> = table.lines().skip(2).map(|line| line.split('|').map(str::trim).collect()).collect();
    let (disk, memory): (Vec<_>, Vec<_>) = rows
        .iter()
        .filter(|row| row.iter().any(|cell| cell.contains("MB") && !cell.contains("faults")))
        .partition(|row| row[1].contains("on disk"));
    assert!(memory.len() >= 4 && disk.len() == 1);
    for row in memory {
        let (ship, floor) = (gates(row[3]), gates(row[5]));
        let worst = ship.iter().zip(&floor).map(|(ship, floor)| ship / floor).fold(0.0, f64::max);
        assert!(worst <= 1.2, "{}: {worst}", row[1]);
    }
    for row in disk {
        let (launcher, floor) = (gates(row[4]), gates(row[5]));
        assert!(launcher.iter().zip(&floor).all(|(launcher, floor)| launcher < floor), "{row:?}");
    }
}

#[test]
fn measurements_in_two_documents_are_equal() {
    let evidence = |factor: &str| Manifest::embedded().unwrap().factor(factor).unwrap().evidence.clone();
    assert_says(
        "docs/adding-a-switch.md",
        "no effect on either gate (MDE 0.15 / 0.23 ms); after the start, the bench `load` saw a hundred log lines take 126 µs instead of 172",
    );
    let tag_cache = evidence("tag-cache");
    assert!(tag_cache.contains("MDE 0.15 / 0.23 ms") && tag_cache.contains("take 126 us with it and 172 us without"));
    assert_says("docs/fips.md", "**+1.05 [1.00, 1.10] and +1.03 [0.97, 1.10]**");
    assert_says("docs/fips.md", "+0.01 [−0.05, 0.07] and +0.05 [−0.10, 0.19]");
    let crypto = evidence("crypto");
    assert!(crypto.contains("1.05 ms later [1.00, 1.10] and ready 1.03 ms later [0.97, 1.10]"));
    assert!(crypto.contains("+0.01 [-0.05, 0.07] and +0.05 [-0.10, 0.19]"));
}

/// A page without the commands in its blocks that are neither cargo's nor ours: `ci/aws` holds those of the AWS CLI to it, and the others are examples.
fn without_commands_of_others(text: &str) -> String {
    let mut kept = String::new();
    let mut goes_on = false;
    for line in text.lines() {
        let block = line.strip_prefix("    ").map(str::trim_start);
        let is_theirs =
            goes_on || block.is_some_and(|line| ["aws ", "cosign ", "gh "].iter().any(|it| line.starts_with(it)));
        goes_on = is_theirs && line.ends_with('\\');
        if !is_theirs {
            kept = kept + line + "\n";
        }
    }
    kept
}

#[test]
fn options_that_are_named_are_options() {
    let commands = matrix(&["--help"]);
    let commands =
        between(&commands, "Commands:\n", "\n\n").lines().filter_map(|line| line.strip_prefix("  ")?.split(' ').next());
    let mut known = String::new();
    for command in commands.filter(|command| !command.is_empty() && *command != "help") {
        known += &matrix(&[command, "--help"]);
    }
    for script in [
        "ci/test",
        "ci/features",
        "ci/combinations",
        "ci/images",
        "ci/flavours",
        "ci/profile-sweep",
        "ci/release",
        "ci/reproduce",
        "ci/sizes",
        "ci/fips",
        "ci/deny",
        "ci/mutants",
        "ci/fuzz",
        "ci/version",
    ] {
        known += &read(script);
    }
    let mut pages = vec!["README.md".to_owned(), "CONTRIBUTING.md".to_owned()];
    for entry in fs::read_dir(root().join("docs")).unwrap() {
        pages.push(format!("docs/{}", entry.unwrap().file_name().to_str().unwrap()));
    }
    // Of the extension, of cargo, of sudo, of linkers, of benches, of Dockerfiles, of containers and of the AWS CLI.
    let others = [
        "--version",
        "--release",
        "--preserve-env",
        "--dependency-file",
        "--no-default-features",
        "--features",
        "--workspace",
        "--bench",
        "--profile",
        "--lib",
        "--record",
        "--from",
        "--layers",
        "--privileged",
        "--region",
        "--fifo",
        "--only",
    ];
    let is_between = |c: char| !(c.is_ascii_alphanumeric() || c == '-');
    let known: BTreeSet<&str> = known.split(is_between).chain(others).collect();
    for page in pages {
        for word in without_commands_of_others(&read(&page)).split(is_between) {
            let is_option =
                word.strip_prefix("--").is_some_and(|name| name.starts_with(|c: char| c.is_ascii_lowercase()));
            assert!(!is_option || known.contains(word), "{page}: nothing has an option {word}");
        }
    }
}

#[test]
fn the_usual_glibc_is_that_of_the_help() {
    let help = matrix(&["layer", "--help"]);
    let usual = between(between(&help, "--glibc-floor <VERSION>", "--outside"), "[default: ", "]");
    assert_says("docs/layers.md", &format!("`--glibc-floor`, {usual} if nothing is said"));
}

#[test]
fn the_publish_command_of_the_page_is_that_of_a_layer() {
    assert_says("docs/layers.md", &format!("--compatible-runtimes {} \\", publish::RUNTIMES.join(" ")));
    let rows = rows("docs/layers.md", "| `Datadog-Extension");
    assert_eq!(rows.len(), 4);
    for row in rows {
        let options: Vec<&str> = row[2].trim_matches('`').split(' ').collect();
        let value = |option| options.iter().skip_while(|word| **word != option).nth(1);
        let (cell, flavour) = (value("--set").unwrap(), value("--arch").unwrap_or(&"x86_64"));
        assert_eq!(row[3], format!("`{}`", publish::layer_name(cell, flavour)), "{row:?}");
    }
}

#[test]
fn the_arguments_of_the_image_are_those_of_its_recipe() {
    let recipe = read("images/Dockerfile");
    let known: BTreeSet<&str> =
        recipe.lines().filter_map(|line| line.strip_prefix("ARG ")?.split('=').next()).collect();
    let page = prose("docs/layers.md");
    let section = between(&page, "The other arguments are those of `cargo matrix layer`:", "those of the usual layers");
    let mut named: BTreeSet<&str> = section
        .split('`')
        .filter(|word| word.chars().all(|c| c.is_ascii_uppercase() || c == '_') && !word.is_empty())
        .collect();
    named.extend(["TOOLCHAIN", "FUNCTION"]);
    assert_eq!(named, known);
}

#[test]
fn the_profile_is_the_one_of_the_package() {
    let cargo = read("Cargo.toml");
    let profile = between(&cargo, "[profile.release]\n", "\n\n").lines().collect::<Vec<_>>().join(", ");
    assert!(read("docs/release-profile.md").contains(&format!("    {profile}\n")), "{profile}");
}

/// Otherwise `ci/ablation` would build a base with a tool that is another one than its own.
#[test]
fn a_tool_is_the_same_only_if_its_crates_are() {
    let (tool, workspace) = (toml("matrix/Cargo.toml"), toml("Cargo.toml"));
    let paths = tool["dependencies"].as_table().unwrap().keys().filter_map(|name| {
        let dependency = workspace["workspace"]["dependencies"].get(name)?;
        dependency.get("path")?.as_str()
    });
    let script = read("ci/lib/sources.sh");
    let compared: Vec<&str> = between(&script, "same_tool() {", "}").split_whitespace().collect();
    let mut count = 0;
    for path in paths {
        count += 1;
        assert!(compared.contains(&path), "same_tool does not compare {path}");
    }
    assert!(count > 0);
}

/// Otherwise `cargo test` would compile those crates, and the tool with them, once more beside what `cargo build` has compiled.
#[test]
fn the_tool_has_the_features_that_tests_of_the_extension_need() {
    let features = |dependency: &toml::Value| -> BTreeSet<String> {
        let list = dependency.get("features").and_then(toml::Value::as_array);
        list.into_iter().flatten().map(|feature| feature.as_str().unwrap().to_owned()).collect()
    };
    let (extension, tool) = (toml("Cargo.toml"), toml("matrix/Cargo.toml"));
    let shared = extension["dev-dependencies"].as_table().unwrap().iter();
    let shared = shared.filter_map(|(name, needs)| Some((name, needs, tool["dependencies"].get(name)?)));
    let missing: Vec<String> = shared
        .flat_map(|(name, needs, has)| {
            let (needs, has) = (features(needs), features(has));
            needs.difference(&has).map(|feature| format!("{name}/{feature}")).collect::<Vec<_>>()
        })
        .collect();
    assert_eq!(missing, Vec::<String>::new());
}

/// That cargo reads the file is for `ci/test --full` to see, which installs the tool.
#[test]
fn the_installed_tool_survives_a_panic_and_the_extension_does_not() {
    let panic = |path: &str| toml(path)["profile"]["release"]["panic"].as_str().unwrap().to_owned();
    assert_eq!((panic("matrix/.cargo/config.toml"), panic("Cargo.toml")), ("unwind".to_owned(), "abort".to_owned()));
    assert!(matrix(&["--version"]).ends_with(" (panic=unwind)\n"), "{}", matrix(&["--version"]));
    assert_says("docs/ci.md", "`matrix --version` says so: `panic=unwind`");
}

/// Each package of a lock file with its newest version.
fn locked(path: &str) -> BTreeMap<String, Vec<u64>> {
    let mut versions: BTreeMap<String, Vec<u64>> = BTreeMap::new();
    for package in toml(path)["package"].as_array().unwrap() {
        let text = |key: &str| package[key].as_str().unwrap();
        let version: Vec<u64> = text("version").split(['.', '+']).map_while(|part| part.parse().ok()).collect();
        let newest = versions.entry(text("name").to_owned()).or_default();
        *newest = version.max(std::mem::take(newest));
    }
    versions
}

/// The checksum of each package of a lock file, by name and version.
fn packages(path: &str) -> BTreeMap<[String; 2], String> {
    let file = toml(path);
    let packages = file["package"].as_array().unwrap().iter().map(|package| {
        let text = |key: &str| package.get(key).and_then(|value| value.as_str()).unwrap_or_default().to_owned();
        ([text("name"), text("version")], text("checksum"))
    });
    packages.collect()
}

#[test]
fn what_the_fips_module_holds_back_is_what_its_lock_file_holds_back() {
    let (usual, fips) = (locked("Cargo.lock"), locked("fips/Cargo.lock"));
    let older: BTreeSet<&str> = fips
        .iter()
        .filter(|(name, version)| usual.get(*name).is_some_and(|usual| usual > *version))
        .map(|(name, _)| name.as_str())
        .collect();
    let page = prose("docs/fips.md");
    let section = between(&page, "with a `Cargo.lock` in which", "are older");
    let named: BTreeSet<&str> = section.split('`').skip(1).step_by(2).collect();
    assert_eq!(named, older);
    let (usual, fips) = (packages("Cargo.lock"), packages("fips/Cargo.lock"));
    let others = |lock: &BTreeMap<[String; 2], String>, other: &BTreeMap<[String; 2], String>| {
        let own = lock.iter().filter(|(key, checksum)| other.get(*key) != Some(*checksum));
        own.map(|([name, version], _)| format!("{name} {version}")).collect::<BTreeSet<_>>()
    };
    let more = between(&page, "are older, beside which there are", "which `bindgen` needs");
    let more: BTreeSet<String> = more.split(" and ").map(|it| it.trim().trim_matches(',').replace('`', "")).collect();
    let held_back = |lock: &BTreeMap<[String; 2], String>| {
        let names = lock.keys().filter(|[name, _]| older.contains(name.as_str()));
        names.map(|[name, version]| format!("{name} {version}")).collect::<BTreeSet<_>>()
    };
    assert_eq!(others(&fips, &usual), held_back(&fips).union(&more).cloned().collect(), "everything else is the same");
    assert_eq!(others(&usual, &fips), held_back(&usual), "and nothing is missing");
    let fips = locked("fips/Cargo.lock");
    let version = |name: &str| fips[name].iter().map(ToString::to_string).collect::<Vec<_>>().join(".");
    assert_says(
        "docs/fips.md",
        &format!("`aws-lc-fips-sys` {}, by way of `aws-lc-rs` {},", version("aws-lc-fips-sys"), version("aws-lc-rs")),
    );
    assert_says("docs/fips.md", &format!("at {} and {},", version("rustls"), version("rustls-webpki")));
}
