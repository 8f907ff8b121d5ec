use super::*;
use crate::manifest::Manifest;
use crate::plan;

fn wanted(architecture: Architecture, libc: Libc, floor: &str) -> LayerTarget {
    LayerTarget { architecture, libc, glibc_floor: floor.parse().unwrap(), accepts_open: false }
}

fn levels(cell: &str) -> Levels {
    plan::cell(Manifest::embedded().unwrap(), cell).unwrap().0.levels
}

/// The name, the compiler and the linker that an Intel machine takes.
fn chosen(cell: &str, architecture: Architecture, libc: Libc, floor: &str) -> Result<String, Error> {
    let wanted = wanted(architecture, libc, floor);
    let flavour = Flavours::embedded()?.of(Architecture::X86_64, &wanted, &levels(cell))?;
    Ok(format!("{} {:?} {:?}", flavour.name, flavour.compiler, flavour.linker))
}

#[test]
fn a_flavour_is_chosen_by_what_the_layer_is_for_and_how_it_is_linked() {
    use Architecture::{Arm64, X86_64};
    let is = |cell, architecture, libc, floor| chosen(cell, architecture, libc, floor).unwrap();
    assert_eq!(is("ship", X86_64, Libc::Gnu, "2.26"), "x86_64 Workspace Cc", "a static program has no floor");
    assert_eq!(is("baseline", X86_64, Libc::Gnu, "2.34"), "x86_64 Workspace Cc");
    assert_eq!(is("baseline", X86_64, Libc::Gnu, "2.26"), "x86_64-old Workspace Zig");
    assert_eq!(is("baseline", X86_64, Libc::Gnu, "2.33"), "x86_64-old Workspace Zig");
    assert_eq!(is("ship", X86_64, Libc::Musl, "2.26"), "x86_64-musl Debian Zig");
    assert_eq!(is("ship", Arm64, Libc::Gnu, "2.26"), "arm64 Debian Gcc");
    assert_eq!(is("ship", Arm64, Libc::Musl, "2.26"), "arm64-musl Debian Zig");
}

#[test]
fn a_switch_that_a_flavour_cannot_have_is_refused_with_the_reason_and_the_remedy() {
    use Architecture::{Arm64, X86_64};
    let cases = [
        ("seed", Arm64, Libc::Gnu, "target-cpu=x86-64-v2", "`--features generic`"),
        ("ship+neoverse-n1", X86_64, Libc::Gnu, "target-cpu=neoverse-n1", "no processor of x86_64"),
        ("ship+x86-64-v2", Arm64, Libc::Musl, "target-cpu=x86-64-v2", "no processor of arm64"),
        ("baseline", X86_64, Libc::Musl, "static=off", "`--features static`"),
        ("baseline+static-libgcc", X86_64, Libc::Gnu, "static-libgcc", "`--features -static-libgcc`"),
        ("baseline", Arm64, Libc::Gnu, "static=off", "`--features static,fixed-address`"),
        ("ship-fips", X86_64, Libc::Musl, "crypto=fips", "leave --libc out"),
        ("ship-fips-fixed-address-static", X86_64, Libc::Gnu, "crypto=fips", "`--features static`"),
        ("ship-fips", Arm64, Libc::Gnu, "crypto=fips", "`--outside-certificate`"),
    ];
    for (cell, architecture, libc, choice, reason) in cases {
        let error = chosen(cell, architecture, libc, "2.26").unwrap_err();
        assert_eq!(error.status(), 2);
        assert!(error.to_string().starts_with(choice) && error.to_string().contains(reason), "{error}");
    }
    assert!(chosen("baseline+static-libgcc", X86_64, Libc::Gnu, "2.34").is_ok(), "the machine's linker can do it");
}

#[test]
fn every_value_for_one_processor_is_refused_for_the_other() {
    let (manifest, flavours) = (Manifest::embedded().unwrap(), Flavours::embedded().unwrap());
    let values = manifest.factors.iter().flat_map(|factor| factor.values.iter().map(move |value| (factor, value)));
    for (factor, value) in values.filter(|(_, value)| value.architecture.is_some()) {
        let choice = Choice::new(&factor.name, &value.name);
        let refused = flavours.refused.iter().filter(|refused| refused.choice == choice);
        let refused: Vec<_> = refused.filter_map(|refused| refused.architecture).collect();
        assert!(refused.len() == 1 && value.is_foreign(refused[0]), "{choice}: {refused:?}");
    }
}

#[test]
fn accepted_uncertified_flavours_are_built_with_their_flags() {
    let flavours = Flavours::embedded().unwrap();
    let accepting = LayerTarget { accepts_open: true, ..wanted(Architecture::Arm64, Libc::Gnu, "2.26") };
    let validated = levels("ship-fips");
    let flavour = flavours.of(Architecture::X86_64, &accepting, &validated).unwrap();
    let flags = |levels: &Levels| {
        let objections = flavours.objections(&accepting, Some(flavour.linker), levels);
        objections.flat_map(|accepted| accepted.c_flags.clone()).collect::<Vec<_>>()
    };
    assert_eq!((flavour.name.as_str(), flags(&validated)), ("arm64", vec!["-fno-jump-tables".to_owned()]));
    assert!(flags(&levels("ship")).is_empty());
    let musl = LayerTarget { libc: Libc::Musl, ..accepting };
    assert!(flavours.of(Architecture::X86_64, &musl, &validated).is_err(), "that is not open, but refused");
}

#[test]
fn what_a_machine_cannot_build_is_refused() {
    let foreign = wanted(Architecture::X86_64, Libc::Gnu, "2.26");
    let error = Flavours::embedded().unwrap().of(Architecture::Arm64, &foreign, &levels("ship")).unwrap_err();
    assert_eq!(error.status(), 2);
    assert!(error.to_string().contains("static program for x86_64 with gnu on a machine of arm64"), "{error}");
}

#[test]
fn every_machine_builds_plainly_for_itself() {
    for machine in [Architecture::X86_64, Architecture::Arm64] {
        let plain = Flavours::embedded().unwrap().plain(machine).unwrap();
        assert_eq!((plain.name.as_str(), plain.architecture), (machine.to_string().as_str(), machine));
    }
}

#[test]
fn package_table_is_complete_and_used() {
    let flavours = Flavours::embedded().unwrap();
    let mut used: Vec<&String> = flavours.all.iter().flat_map(|flavour| &flavour.packages).collect();
    used.sort();
    used.dedup();
    assert_eq!(used, flavours.packages.keys().collect::<Vec<_>>());
    for flavour in &flavours.all {
        assert!(flavour.packages.is_sorted(), "{}", flavour.name);
        let emulated = flavour.architecture != flavour.machine;
        assert_eq!(
            flavour.packages.contains(&"qemu-user-static".to_owned()),
            emulated,
            "{}: it is asked",
            flavour.name
        );
        assert_eq!(flavour.packages.contains(&"rust-web-src".to_owned()), flavour.build_std, "{}", flavour.name);
    }
    assert!(flavours.zig.requirements.iter().all(|requirement| requirement.contains("==")), "{:?}", flavours.zig);
}

#[test]
fn what_is_refused_or_required_is_something_that_can_be_chosen() {
    let manifest = Manifest::embedded().unwrap();
    let flavours = Flavours::embedded().unwrap();
    let refused = flavours.refused.iter().map(|refused| &refused.choice);
    for choice in refused.chain(flavours.required.iter().map(|required| &required.choice)) {
        assert!(manifest.offers(choice).is_ok(), "{choice}");
    }
}

#[test]
fn what_is_missing_is_installed_by_one_command() {
    let missing = |packages: &[&str]| {
        let packages = packages.iter().map(|package| (*package).to_owned()).collect();
        let error = Error::Missing { packages };
        assert_eq!(error.status(), 6);
        error.to_string()
    };
    let plain = missing(&["cargo-web", "rustc-web"]);
    let start = "not installed: cargo-web, rustc-web; install with: apt-get update && apt-get install ";
    assert!(plain.starts_with(start) && plain.ends_with(" cargo-web rustc-web"), "{plain}");
    let foreign = missing(&["libstd-rust-web-dev:arm64"]);
    assert!(foreign.contains("with: dpkg --add-architecture arm64 && apt-get update && apt-get install "), "{foreign}");
}

#[test]
fn a_switch_names_the_packages_of_missing_programs() {
    let flavours = Flavours::embedded().unwrap();
    let missing = |cell: &str, there: &[&str]| {
        let levels = levels(cell);
        let packages = flavours.missing_for(&levels, |program| there.contains(&program));
        packages.cloned().collect::<Vec<_>>()
    };
    assert_eq!(missing("ship-fips", &[]), ["cmake", "golang-go", "make"]);
    assert_eq!(missing("ship-fips", &["make", "cmake"]), ["golang-go"]);
    assert_eq!(missing("ship-fips", &["make", "cmake", "go"]), [""; 0]);
    assert_eq!(missing("ship", &[]), [""; 0]);
}

#[test]
fn another_compiler_of_the_distribution_is_refused_with_the_remedy() {
    let (pinned, found) = ("1.2.3".to_owned(), "rustc 1.2.4 (abc 2026-01-01)".to_owned());
    let error = Error::Distribution {
        path: PathBuf::from("/usr/bin/rustc"),
        pinned,
        found,
        packages: vec!["rustc-web".to_owned()],
    };
    assert_eq!(error.status(), 6);
    let said = error.to_string();
    assert!(said.contains("1.2.4") && said.contains("names is 1.2.3") && said.contains("rustc-web"), "{said}");
}

/// The arguments of images/Dockerfile that a name in images/layers.toml sets.
#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "SCREAMING_SNAKE_CASE", default)]
struct Image {
    set: String,
    features: String,
    target_cpu: String,
    linker_flags: String,
    jemalloc_conf: String,
    arch: String,
    libc: String,
    glibc_floor: String,
}

impl Default for Image {
    fn default() -> Self {
        let [set, arch, libc, glibc_floor] = ["ship", "x86_64", "gnu", "2.26"].map(str::to_owned);
        let [features, target_cpu, linker_flags, jemalloc_conf] = [const { String::new() }; 4];
        Self { set, features, target_cpu, linker_flags, jemalloc_conf, arch, libc, glibc_floor }
    }
}

#[test]
fn every_named_image_has_a_flavour() {
    let file = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../images/layers.toml");
    let images: BTreeMap<String, Image> = toml::from_str(&std::fs::read_to_string(file).unwrap()).unwrap();
    for (name, flavour) in [("ship", "x86_64"), ("seed", "x86_64"), ("arm64", "arm64"), ("musl", "x86_64-musl")] {
        assert!(of(&images[name]).unwrap().starts_with(&format!("{flavour} ")), "{name}");
    }
    for (name, image) in &images {
        assert!(of(image).is_ok(), "{name}: {:?}", of(image));
    }
}

fn of(image: &Image) -> Result<String, Error> {
    use clap::ValueEnum as _;
    let choices = [&image.features, &image.target_cpu, &image.linker_flags, &image.jemalloc_conf];
    let choices = choices.iter().flat_map(|list| list.split(',')).filter(|choice| !choice.is_empty());
    let signed = choices.map(|choice| if choice.starts_with('-') { choice.to_owned() } else { format!("+{choice}") });
    let cell = image.set.clone() + &signed.collect::<String>();
    let architecture = Architecture::from_str(&image.arch, false).unwrap();
    chosen(&cell, architecture, Libc::from_str(&image.libc, false).unwrap(), &image.glibc_floor)
}

#[test]
fn a_program_that_the_toolchain_does_not_have_keeps_its_name() {
    let (root, folder) = (std::path::Path::new(env!("CARGO_MANIFEST_DIR")), tempfile::tempdir().unwrap());
    let plain = Toolchain::plain(root, crate::workspace::Profile::Release).unwrap();
    assert_eq!(plain.clone().with_programs_in(folder.path()).agent, plain.agent);
    for (file, is_called) in [("rustc", false), ("cargo", true)] {
        std::fs::write(folder.path().join(file), "").unwrap();
        let agent = plain.clone().with_programs_in(folder.path()).agent;
        assert_eq!(agent.variables["RUSTC"], folder.path().join("rustc").display().to_string());
        assert_eq!(agent.command, is_called.then(|| folder.path().join("cargo")));
    }
}
