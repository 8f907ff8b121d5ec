//! The program in front of the agent: that it is the launcher of these sources, and that there is no cryptography in it.

use super::allowed::{self, FILE, PackageAllowlist, Program};
use super::benchmark;
use super::proof::{Facts, Proof};
use super::symbols::Symbols;
use crate::build::launcher;
use crate::hash;
use crate::materials::packages::Packages;

/// What is known of a launcher.
#[derive(Clone, Copy, Debug)]
pub struct Evidence<'a> {
    /// As it was built from these sources for this report.
    pub built: &'a [u8],
    /// As it is in the layer; the same as what was built where there is no layer.
    pub shipped: &'a [u8],
    /// As it was built once more, with the names of what is in it.
    pub named: &'a [u8],
    /// By its own lock file.
    pub packages: &'a Packages,
    /// Lambda's name of the processor.
    pub architecture: &'a str,
    /// As the module calls itself.
    pub module: &'a str,
    /// What makes it.
    pub command: &'a str,
}

/// The launcher is what these sources make, and encrypts and signs nothing.
pub fn judge(evidence: &Evidence<'_>, allowed: &PackageAllowlist) -> Proof {
    let Evidence { built, shipped, named, packages, architecture, module, command } = *evidence;
    let mut facts = Facts::default();
    let (of_built, of_shipped) = (hash::hexadecimal(built), hash::hexadecimal(shipped));
    if built == shipped {
        facts.note(true, format!("it has SHA-256 {of_shipped}, byte for byte as it was built for this report"));
    } else {
        facts.note(false, format!("it has SHA-256 {of_shipped}, and these sources make one with {of_built}"));
    }
    let objections = launcher::objections(shipped, architecture);
    if objections.is_empty() {
        let (bytes, most) = (shipped.len(), launcher::MAX_BYTES);
        facts.note(
            true,
            format!("it is static, has no loader and no dynamic segment, and {bytes} bytes, of {most} at most"),
        );
    }
    for objection in objections {
        facts.note(false, objection);
    }
    note_packages(packages, allowed, &mut facts);
    match (Symbols::of(named), Symbols::of(shipped)) {
        (Some(named), Some(shipped)) => note_symbols(&named, &shipped, &mut facts),
        _ => facts.note(false, "its names cannot be read, because it is no ELF file of 64 bits"),
    }
    let has_module = benchmark::names(shipped, module);
    facts.note(!has_module, format!("the text {module} is {}in it", if has_module { "" } else { "not " }));
    let claim = "The program that Lambda starts is the launcher of these sources: static, made of listed packages alone, with no cryptography in it, so that it encrypts and signs nothing. It speaks HTTP with Lambda's API and executes the agent, which the proofs are about for which a program runs: `module` and `integrity` ask the agent itself, all others start it by the launcher, but in an emulator.";
    let how = format!("`{command}`, `nm` of the same with names, and the list in `{FILE}`");
    Proof::new("launcher", claim, how, facts)
}

fn note_packages(packages: &Packages, allowed: &PackageAllowlist, facts: &mut Facts) {
    let problems = allowed.problems(Program::Launcher, packages, allowed::is_foreign);
    if problems.is_empty() {
        let names: Vec<_> = allowed.launcher.keys().cloned().collect();
        facts.note(
            true,
            format!("beside our own code it is made of {}, each with the checksum of its archive", names.join(", ")),
        );
    }
    for problem in problems {
        facts.note(false, problem);
    }
}

/// No library of cryptography is in it, by its names, or loaded.
fn note_symbols(named: &Symbols, shipped: &Symbols, facts: &mut Facts) {
    let Symbols { marked, telling, loaded, count, code } = named;
    facts.note(*count > 0, format!("{count} names are left in it"));
    for library in marked.keys().chain(telling) {
        facts.note(false, format!("{library} is in it"));
    }
    for library in loaded.iter().chain(&shipped.loaded) {
        facts.note(false, format!("{library} is loaded at the start"));
    }
    let same = if *code == shipped.code { "the same code as" } else { "other code than" };
    facts.note(*code == shipped.code, format!("with names, it has {same} the one that is shipped: SHA-256 {code}"));
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;

    use super::*;
    use crate::flavour::Toolchain;
    use crate::materials::packages::{Key, Package};
    use crate::target::Architecture;
    use crate::workspace::Profile;

    fn root() -> &'static Path {
        Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap()
    }

    /// The launcher of the workspace in this folder, with names.
    fn named(root: &Path) -> Vec<u8> {
        let builds = tempfile::tempdir().unwrap();
        let tools = Toolchain::plain(root, Profile::Release).unwrap().by_path(root).launcher;
        let (outcome, _) = launcher::with_names(root, &tools, builds.path()).unwrap();
        fs::read(outcome.program).unwrap()
    }

    fn copy(from: &Path, to: &Path) {
        fs::create_dir_all(to).unwrap();
        for entry in fs::read_dir(from).unwrap() {
            let (path, name) = (entry.as_ref().unwrap().path(), entry.unwrap().file_name());
            match () {
                () if name == "target" => {}
                () if path.is_dir() => copy(&path, &to.join(name)),
                () => fs::write(to.join(name), fs::read(path).unwrap()).unwrap(),
            }
        }
    }

    /// The launcher of the same sources with a changed line.
    fn of_other_sources() -> Vec<u8> {
        let folder = tempfile::tempdir().unwrap();
        copy(&root().join("crates"), &folder.path().join("crates"));
        for file in ["Cargo.toml", "rust-toolchain.toml"] {
            fs::write(folder.path().join(file), fs::read(root().join(file)).unwrap()).unwrap();
        }
        let place = folder.path().join("crates/launcher/src/agent.rs");
        let text = fs::read_to_string(&place).unwrap();
        let changed = text.replace("/opt/bottlecap/agent", "/tmp/bottlecap/agent");
        assert_ne!(changed, text);
        fs::write(place, changed).unwrap();
        named(folder.path())
    }

    #[test]
    fn the_launcher_of_these_sources_alone_is_what_is_claimed() {
        let (built, with_names) = (fs::read(launcher::for_tests().unwrap()).unwrap(), named(root()));
        let packages = launcher::packages(root(), &crate::target::plain()).unwrap();
        let (allowed, architecture) =
            (PackageAllowlist::embedded().unwrap(), Architecture::of_this_machine().to_string());
        let good = Evidence {
            built: &built,
            shipped: &built,
            named: &with_names,
            packages: &packages,
            architecture: &architecture,
            module: "AWS-LC FIPS 3.1.0",
            command: "cargo",
        };
        let proof = judge(&good, &allowed);
        assert!(proof.holds, "{proof:#?}");
        let against = |evidence: &Evidence<'_>| judge(evidence, &allowed).against.join("; ");

        let mut doctored = built.clone();
        let last = doctored.len() / 2;
        doctored[last] ^= 1;
        assert!(against(&Evidence { shipped: &doctored, ..good }).contains("and these sources make one with"));
        let script = b"#!/bin/sh\nexec /opt/bottlecap/agent\n";
        let text = against(&Evidence { shipped: script, ..good });
        assert!(text.contains("no 64-bit ELF file") && text.contains("its names cannot be read"), "{text}");
        // Only a text in it differs, so its bytes have to tell.
        assert!(
            against(&Evidence { shipped: &of_other_sources(), ..good }).contains("and these sources make one with")
        );

        // This program checks certificates with ring.
        let other = fs::read(std::env::current_exe().unwrap()).unwrap();
        let text = against(&Evidence { built: &other, shipped: &other, named: &other, ..good });
        for part in ["ring_core_", "is loaded at the start", "it needs the loader", "bytes, and at most"] {
            assert!(text.contains(part), "{part} is not in: {text}");
        }
        let mut planted = packages.clone();
        let sha2 = Package { linked: true, checksum: Some("00".to_owned()), ..Package::default() };
        planted.0.insert(Key::new("sha2", "0.11.0"), sha2);
        assert!(against(&Evidence { packages: &planted, ..good }).contains("sha2 0.11.0 is not on the list"));
        let module = [&built[..], b"AWS-LC FIPS 3.1.0"].concat();
        assert!(
            against(&Evidence { built: &module, shipped: &module, ..good })
                .contains("the text AWS-LC FIPS 3.1.0 is in it")
        );
    }
}
