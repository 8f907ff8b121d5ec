use std::collections::BTreeMap;

use super::*;
use crate::archive::places;
use crate::archive::{self, File};
use crate::workspace::Profile;

fn context(folder: &Path) -> BuildContext<'static> {
    BuildContext {
        manifest: Manifest::embedded().unwrap(),
        root: folder.to_owned(),
        builds: folder.join("build"),
        programs: folder.join("programs"),
        origin: Origin { sources: "commit".to_owned(), compiler: "rustc 1".to_owned() },
        tools: Toolchain::plain(folder, Profile::Release).unwrap(),
    }
}

fn cell(kind: CellKind) -> Cell {
    Cell { id: "one".to_owned(), kind, levels: BTreeMap::new() }
}

fn external(path: &str) -> Cell {
    cell(CellKind::External { path: PathBuf::from(path), environment: BTreeMap::new(), own_payload: false })
}

#[test]
fn a_program_from_elsewhere_is_hashed_where_it_is() {
    let folder = tempfile::tempdir().unwrap();
    let program = folder.path().join("agent");
    fs::write(&program, "abc").unwrap();
    let cell = external(program.to_str().unwrap());
    let context = context(folder.path());
    let job = context.job(&cell).unwrap();
    let built = context.work(&job, &|_| {});
    assert_eq!((built.program.as_deref(), built.bytes, built.failure.as_ref()), (Some(program.as_path()), 3, None));
    assert_eq!(built.sha256, hash::hexadecimal(b"abc"));
    assert!(context.is_current(&job, &built));
    fs::write(&program, "abd").unwrap();
    assert!(!context.is_current(&job, &built), "another program has come to lie there");
}

#[test]
fn a_layer_from_elsewhere_is_unpacked_and_another_one_in_its_place_is_noticed() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("layer.zip");
    let layer = |agent: &str| {
        let file = |place: &str, text: &str| File { place: place.to_owned(), bytes: text.into(), executable: true };
        let files = [file(places::EXTENSION, "launcher"), file(places::AGENT, agent)];
        fs::write(&path, archive::write(&files).unwrap()).unwrap();
    };
    layer("agent");
    let cell = external(path.to_str().unwrap());
    let context = context(folder.path());
    let job = context.job(&cell).unwrap();
    let built = context.work(&job, &|_| {});
    assert_eq!(built.failure, None);
    let text = |path: &Option<PathBuf>| fs::read_to_string(path.as_ref().unwrap()).unwrap();
    assert_eq!((text(&built.program), text(&built.agent)), ("launcher".to_owned(), "agent".to_owned()));
    assert!(context.is_current(&context.job(&cell).unwrap(), &built));
    layer("other");
    let job = context.job(&cell).unwrap();
    assert!(!context.is_current(&job, &built));
    assert_eq!(text(&context.work(&job, &|_| {}).agent), "other");
}

#[test]
fn what_is_not_there_is_a_failure_of_its_cell() {
    let folder = tempfile::tempdir().unwrap();
    let cell = external("/nowhere/agent");
    let context = context(folder.path());
    let job = context.job(&cell).unwrap();
    let built = context.work(&job, &|_| {});
    assert!(built.program.is_none() && built.failure.is_some());
    assert!(!context.is_current(&job, &built));
}

#[test]
fn the_floor_of_the_standard_library_is_made_without_anything_else() {
    let folder = tempfile::tempdir().unwrap();
    let cell = cell(CellKind::StdFloor);
    let context = context(folder.path());
    let job = context.job(&cell).unwrap();
    let built = context.work(&job, &|_| {});
    assert_eq!(built.failure, None);
    let program = built.program.clone().unwrap();
    assert_eq!(program, folder.path().join("programs/one/datadog-agent"));
    assert!(context.is_current(&job, &built));
    fs::remove_file(program).unwrap();
    assert!(!context.is_current(&job, &built), "it is not there any more");
}

#[test]
fn the_floor_is_a_call_for_the_launchers_package_and_none_without_a_checkout() {
    let folder = tempfile::tempdir().unwrap();
    let floor = cell(CellKind::Floor);
    assert!(context(folder.path()).job(&floor).is_none());
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let context = BuildContext { root: root.to_owned(), ..context(folder.path()) };
    let job = context.job(&floor).unwrap();
    let Task::Yardstick(yardstick::Source::Package(call)) = &job.task else { panic!("it is to be built") };
    let shell = call.shell();
    for part in ["--package launcher --bin floor", "linker=rust-lld", "--profile release"] {
        assert!(shell.contains(part), "{part} is not in: {shell}");
    }
    assert!(job.stamp.contains(&shell) && job.stamp.starts_with("commit\n"), "{}", job.stamp);
}

#[test]
fn failed_build_names_the_command_that_shows_its_output() {
    let folder = tempfile::tempdir().unwrap();
    let levels = Manifest::embedded().unwrap().set_levels("baseline").unwrap();
    let cell = Cell { levels, ..cell(CellKind::Build) };
    let context = context(folder.path());
    let built = context.work(&context.job(&cell).unwrap(), &|_| {});
    let failure = built.failure.unwrap();
    assert!(failure.output.contains("Cargo.toml"), "there is no workspace here: {}", failure.output);
    assert!(
        failure.command.contains("cargo build --profile release --locked --package bottlecap"),
        "{}",
        failure.command
    );
}

#[test]
fn what_the_last_build_has_made_stays_until_the_next_one_has_ended() {
    let folder = tempfile::tempdir().unwrap();
    let context = context(folder.path());
    let floor = cell(CellKind::StdFloor);
    let built = context.work(&context.job(&floor).unwrap(), &|_| {});
    let program = built.program.clone().unwrap();
    let levels = Manifest::embedded().unwrap().set_levels("baseline").unwrap();
    let broken = Cell { levels, ..cell(CellKind::Build) };
    assert!(context.work(&context.job(&broken).unwrap(), &|_| {}).failure.is_some());
    assert_eq!(hash::of_files([program.as_path()]).unwrap(), built.sha256);
    let again = context.work(&context.job(&floor).unwrap(), &|_| {});
    assert_eq!((again.failure, again.sha256), (None, built.sha256));
    let there = fs::read_dir(&context.programs).unwrap().map(|entry| entry.unwrap().file_name()).collect::<Vec<_>>();
    assert_eq!(there, ["one"]);
}

#[test]
fn two_builds_of_a_cell_do_not_disturb_each_other() {
    let folder = tempfile::tempdir().unwrap();
    let (context, cell) = (context(folder.path()), cell(CellKind::StdFloor));
    std::thread::scope(|scope| {
        let both = [(); 2].map(|()| scope.spawn(|| context.work(&context.job(&cell).unwrap(), &|_| {})));
        for built in both.map(|one| one.join().unwrap()) {
            assert_eq!(built.failure, None);
        }
    });
    let built = context.work(&context.job(&cell).unwrap(), &|_| {});
    assert!(context.is_current(&context.job(&cell).unwrap(), &built));
}

#[test]
fn other_sources_or_flags_make_another_program() {
    let folder = tempfile::tempdir().unwrap();
    let manifest = Manifest::embedded().unwrap();
    let of = |set: &str| Cell { levels: manifest.set_levels(set).unwrap(), ..cell(CellKind::Build) };
    let (baseline, seed) = (of("baseline"), of("seed"));
    let mut context = context(folder.path());
    let stamp = |context: &BuildContext, cell: &Cell| context.job(cell).unwrap().stamp;
    let before = stamp(&context, &baseline);
    assert_eq!(stamp(&context, &baseline), before);
    assert_ne!(stamp(&context, &seed), before);
    context.origin.sources = "another".to_owned();
    assert_ne!(stamp(&context, &baseline), before);
}

#[test]
fn another_c_compiler_makes_another_program_in_another_directory() {
    let folder = tempfile::tempdir().unwrap();
    let manifest = Manifest::embedded().unwrap();
    let cell = Cell { levels: manifest.set_levels("baseline").unwrap(), ..cell(CellKind::Build) };
    let mut context = context(folder.path());
    let made = |context: &BuildContext| {
        let job = context.job(&cell).unwrap();
        let Task::Build(calls) = &job.task else { panic!("it is to be built") };
        (job.stamp.clone(), calls.agent.release_directory().unwrap().to_owned())
    };
    let before = made(&context);
    assert_eq!(made(&context), before, "the same tools, the same directory");
    context.tools.agent.c_tools += ", after an update of libc.a";
    let after = made(&context);
    assert_ne!(after.0, before.0);
    assert_ne!(after.1, before.1, "cargo would not run build scripts again");
}

#[test]
fn a_launcher_is_a_second_call() {
    let folder = tempfile::tempdir().unwrap();
    let mut levels = Manifest::embedded().unwrap().set_levels("baseline").unwrap();
    levels.insert("launcher".to_owned(), "on".to_owned());
    let cell = Cell { levels, ..cell(CellKind::Build) };
    let context = context(folder.path());
    let Task::Build(calls) = context.job(&cell).unwrap().task else { panic!("it is to be built") };
    let Calls { launcher: Some(launcher), agent, .. } = *calls else { panic!("there is no call for the launcher") };
    let shell = launcher.shell();
    for part in ["--package launcher --bin launcher", "linker=rust-lld", "/crates/Cargo.toml", "--profile release"] {
        assert!(shell.contains(part), "{part} is not in: {shell}");
    }
    assert!(agent.shell().contains("--bin bottlecap"), "{}", agent.shell());
}

#[test]
fn what_is_started_again_is_not_built_again() {
    let folder = tempfile::tempdir().unwrap();
    assert!(context(folder.path()).job(&cell(CellKind::Again { of: "ship".to_owned() })).is_none());
}

#[test]
fn launcher_with_another_profile_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path();
    fs::create_dir(root.join("crates")).unwrap();
    fs::write(root.join("crates/Cargo.toml"), "[profile.release]\nlto = \"fat\"\nopt-level = \"z\"\n").unwrap();
    // In the place of another cargo.
    let unit = r#"{"pkg_id":"path+file:///x/launcher#0.1.0","mode":"build","platform":"x","profile":{"lto":"thin","opt_level":"z"}}"#;
    let artifact = r#"{"executable":"/nowhere/launcher","fresh":true,"profile":{"opt_level":"3"}}"#;
    let script = format!(
        "#!/bin/sh\ncase \"$*\" in\n*--unit-graph*) echo '{{\"units\":[{unit}],\"roots\":[0]}}' ;;\n*) echo '{artifact}' ;;\nesac\n"
    );
    let cargo = root.join("cargo");
    executable::write(&cargo, script).unwrap();
    let mut context = context(root);
    context.tools.launcher.command = Some(cargo);
    context.tools.launcher.flavour.compiler = crate::flavour::Compiler::Debian;
    let tools = &context.tools.launcher;
    let call = CargoCommand::new(
        launcher::NAME,
        &Recipe::of_launcher(tools.flavour.architecture),
        tools,
        root,
        &context.builds,
    );
    let failure = context.launcher(&call, &|_| {}).unwrap_err();
    for part in ["cargo compiles launcher with lto=thin, not fat", "with opt-level 3, not z"] {
        assert!(failure.output.contains(part), "{part} is not in:\n{}", failure.output);
    }
}
