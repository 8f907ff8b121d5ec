use super::*;
use crate::flavour::Toolchain;
use crate::workspace::Profile;

fn tool(path: &str, sha256: &str) -> BuildTool {
    let [name, path, sha256, version] = [C_COMPILER, path, sha256, "cc 12.2.0"].map(str::to_owned);
    BuildTool { name, path, sha256, is_elf: true, version }
}

#[test]
fn changed_or_unknown_build_tool_fails_the_build_proof() {
    let against = |before: &[BuildTool], after: &[BuildTool]| {
        let mut facts = Facts::default();
        BuildTools { before: before.to_vec(), after: after.to_vec(), ..BuildTools::default() }.note(&mut facts);
        facts.against.concat()
    };
    let there = [tool("/usr/bin/cc", "ff"), tool("/usr/bin/other", "00")];
    assert_eq!(against(&there, &there[..1]), "");
    assert!(against(&there, &[tool("/usr/bin/cc", "ee")]).contains("had SHA-256 ff before the build"));
    assert!(against(&there, &[tool("/tmp/cc", "ff")]).contains("/tmp/cc is not where it was looked for"));
    assert!(!against(&there, &[]).is_empty(), "nothing has made it");
}

#[test]
fn a_script_in_the_place_of_a_program_is_against_the_build() {
    let folder = tempfile::tempdir().unwrap();
    let wrapper = folder.path().join("wrapper");
    crate::executable::write(&wrapper, "#!/bin/sh\nexec cc -DBROKEN \"$@\"\n").unwrap();
    let against = |name: &str, path: &Path| {
        let tools = vec![BuildTool::of(name, path, false)];
        let mut facts = Facts::default();
        BuildTools { before: tools.clone(), after: tools, ..BuildTools::default() }.note(&mut facts);
        facts.against.concat()
    };
    let program = std::env::current_exe().unwrap();
    for name in
        [C_COMPILER, "cc1", "as", "collect2", LD, AR, CMAKE, MAKE, GO, PERL, RUSTC, CARGO, GIT, "CMAKE_C_COMPILER_AR"]
    {
        assert_eq!(against(name, &program), "");
        assert!(against(name, &wrapper).contains("wrapper is no ELF file"), "{name}");
    }
    assert_eq!(against("libc.a", &wrapper), "", "it is no program");
    assert!(against(GO, folder.path()).contains("is no ELF file"));
}

#[test]
fn scripts_on_the_path_under_the_names_of_programs_are_against_the_build() {
    let (scripts, files) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    for (_, file) in BY_NAME {
        crate::executable::write(&scripts.path().join(file), "#!/bin/sh\nexec /usr/bin/env \"$0\" \"$@\"\n").unwrap();
        // An ELF file that nobody may execute.
        fs::write(files.path().join(file), b"\x7fELF").unwrap();
    }
    // Nothing starts a file that nobody may execute, so it hides no script.
    let path = std::env::join_paths([files.path(), scripts.path()]).unwrap();
    let tools = by_name(&path);
    let mut facts = Facts::default();
    BuildTools { before: tools.clone(), after: tools, ..BuildTools::default() }.note(&mut facts);
    let against = facts.against.join("\n");
    for name in ["rustc on the path", "cargo on the path", "git", "ar", "ranlib"] {
        assert!(against.contains(&format!("{name}: {}", scripts.path().display())), "{name}: {against}");
    }
    let beside = beside_compilers(scripts.path());
    assert!(beside.iter().any(|tool| tool.name == AR && !tool.is_elf), "{beside:?}");
}

#[test]
fn cmake_results_are_recognized_by_program_name() {
    for (file, name) in [
        ("ar", Some(AR)),
        ("x86_64-linux-gnu-gcc-ar-12", Some(AR)),
        ("llvm-ranlib-14", Some(RANLIB)),
        ("aarch64-linux-gnu-ld", Some(LD)),
        ("g++-12", Some("g++")),
        ("ctest", Some("ctest")),
        ("ccmake", Some("ccmake")),
        ("cmake-gui", Some("gui")),
        ("clang-scan-deps-14", Some("deps")),
        ("bar", None),
        ("ar-more", None),
        ("grep", None),
    ] {
        assert_eq!(kind(file), name, "{file}");
    }
}

#[test]
fn what_is_beside_a_linked_cmake_is_looked_for_where_the_link_leads() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path().canonicalize().unwrap();
    let (real, link) = (folder.join("real/cmake"), folder.join("cmake"));
    fs::create_dir(folder.join("real")).unwrap();
    crate::executable::write(&real, MAGIC).unwrap();
    std::os::unix::fs::symlink(&real, &link).unwrap();
    assert_eq!(folder_with_others(CMAKE, &link), Some(folder.join("real")));
    assert_eq!(folder_with_others(C_COMPILER, &link), Some(folder));
    assert_eq!(folder_with_others(MAKE, &link), None);
}

#[test]
fn a_compiler_with_a_file_of_rules_is_against_the_build() {
    let folder = tempfile::tempdir().unwrap();
    let against = |compiler: &Path| {
        let tools = with_parts(C_COMPILER, compiler);
        let mut facts = Facts::default();
        BuildTools { before: tools.clone(), after: tools, ..BuildTools::default() }.note(&mut facts);
        facts.against.join("\n")
    };
    assert_eq!(against(&on_path(OsStr::new("cc")).unwrap()), "");
    let (specs, compiler) = (folder.path().join("specs"), folder.path().join("cc"));
    fs::write(&specs, "*cc1:\n+ -DBROKEN\n").unwrap();
    crate::executable::write(&compiler, format!("#!/bin/sh\nexec cc -B{} \"$@\"\n", folder.path().display())).unwrap();
    let expected = format!("specs: {} tells the C compiler what to start", specs.canonicalize().unwrap().display());
    assert!(against(&compiler).contains(&expected), "{}", against(&compiler));
}

#[test]
fn what_is_started_by_name_counts_as_used() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let tools = Toolchain::plain(root, Profile::Release).unwrap().agent;
    let module =
        ModuleBuild { programs: [("CMAKE_AR".to_owned(), "/nowhere/ar".to_owned())].into(), ..Default::default() };
    let (before, after) = (at_hand(root, &[&tools]), used(root, &[&tools], &module, Vec::new()));
    for (name, file) in BY_NAME {
        let wanted = fs::canonicalize(on_path(OsStr::new(file)).unwrap()).unwrap().display().to_string();
        let is_there = |tools: &[BuildTool]| tools.iter().any(|tool| tool.name == name && tool.path == wanted);
        assert!(is_there(&before) && is_there(&after), "{name}");
    }
    let mut facts = Facts::default();
    BuildTools { before, after, ..BuildTools::default() }.note(&mut facts);
    let [missing, script] = &facts.against[..] else { panic!("{facts:#?}") };
    assert!(missing.contains("ar: /nowhere/ar is not where it was looked for"), "{missing}");
    assert!(script.contains("ar: /nowhere/ar is no ELF file"), "{script}");
}

#[test]
fn a_program_is_known_by_its_bytes() {
    let folder = tempfile::tempdir().unwrap();
    let (program, link) = (folder.path().join("program"), folder.path().join("link"));
    crate::executable::write(&program, "#!/bin/sh\necho\necho one 1.0\n").unwrap();
    std::os::unix::fs::symlink(&program, &link).unwrap();
    let tool = |asked| BuildTool::of("cc", &link, asked);
    let before = tool(true);
    assert!(before.path.ends_with("program") && before.version == "one 1.0", "{before:?}");
    assert!(tool(false).version.is_empty());
    let whole = || BuildTool::of("tools", folder.path(), false).sha256;
    let folder_before = whole();
    assert_eq!(folder_before.len(), 64);
    crate::executable::write(&program, "#!/bin/sh\necho one 1.0 # doctored\n").unwrap();
    let after = tool(true);
    assert!(after.version.starts_with("one 1.0") && after.sha256 != before.sha256);
    assert_ne!(whole(), folder_before);
}

#[test]
fn the_compilers_at_hand_are_found_with_what_they_start_and_link() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let tools = Toolchain::plain(root, Profile::Release).unwrap().agent;
    let found = at_hand(root, &[&tools]);
    for name in [
        C_COMPILER,
        "cc1",
        "as",
        "ld",
        "libc.a",
        RUSTC,
        CARGO,
        rust_tools::LINKER,
        rust_tools::LIBRARY,
        rust_tools::STANDARD_LIBRARY,
    ] {
        let tool = found.iter().find(|tool| tool.name == name).unwrap_or_else(|| panic!("{name}: {found:#?}"));
        assert_eq!(tool.sha256.len(), 64, "{tool:?}");
        assert!(tool.is_elf || !is_program_by_name(name), "{tool:?}");
    }
}
