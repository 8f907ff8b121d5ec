//! The WAF worker beside an agent with `AppSec`, its library and its rules: that they are those of these sources and the pinned ones, and what of cryptography is in them.

use std::io::Read as _;

use flate2::read::GzDecoder;

use super::algorithms;
use super::allowed::{self, FILE, PackageAllowlist, Program};
use super::benchmark;
use super::proof::{Facts, Proof};
use super::symbols::Symbols;
use crate::build::waf::{self, PinnedArtefact};
use crate::elf::{self, Linkage};
use crate::hash;
use crate::materials::packages::Packages;

/// The files and packages of a WAF worker, which `judge` compares.
#[derive(Clone, Copy, Debug)]
pub struct Evidence<'a> {
    /// The stripped program, built for this report.
    pub built: &'a [u8],
    /// The same program built with its symbols.
    pub named: &'a [u8],
    /// The files of the layer; without `--layer`, those of this machine.
    pub shipped: WorkerFiles<'a>,
    /// The packages in crates/waf/Cargo.lock.
    pub packages: &'a Packages,
    /// Lambda's name of the processor.
    pub architecture: &'a str,
    /// The name that the module gives itself.
    pub module: &'a str,
    /// The shell command that builds it.
    pub command: &'a str,
}

/// The files of a layer for App & API Protection.
#[derive(Clone, Copy, Debug)]
pub struct WorkerFiles<'a> {
    pub program: &'a [u8],
    pub library: &'a [u8],
    /// The rules, compressed with gzip.
    pub rules: &'a [u8],
}

/// What the library has of cryptography, with what it is for. Anything else in it is against a layer.
const OF_LIBRARY: [(&str, &str); 1] = [(
    "SHA-256",
    "an implementation of its own, which is not validated: it makes fingerprints of requests, by which they are grouped, and which protect nothing",
)];

/// Functions of the C library that reach a network, or listen.
const NETWORK: [&str; 16] = [
    "accept",
    "accept4",
    "bind",
    "connect",
    "getaddrinfo",
    "gethostbyname",
    "listen",
    "recv",
    "recvfrom",
    "recvmsg",
    "res_query",
    "send",
    "sendmsg",
    "sendto",
    "socket",
    "socketpair",
];

/// Functions through which a library can call others that its imports do not list.
const OPEN_ENDED: [&str; 3] = ["dlopen", "dlsym", "syscall"];

/// The worker is what these sources make, its library and rules are the pinned ones, and nothing of them encrypts or signs.
pub fn judge(evidence: &Evidence<'_>, allowed: &PackageAllowlist, pinned: &PinnedArtefact) -> Proof {
    let mut facts = Facts::default();
    note_program(evidence, allowed, &mut facts);
    let WorkerFiles { library, rules, .. } = evidence.shipped;
    note_library(library, pinned.library_sha256(evidence.architecture), &mut facts);
    note_rules(rules, &pinned.rules_sha256, &mut facts);
    let claim = "The program that the agent starts for AppSec is the worker of these sources: made of listed packages alone, without cryptography, and with nothing but libddwaf.so to call, beside few functions of the C library that reach no network; which system calls it makes by itself, its sources say. libddwaf.so and the rules are the pinned files. Of cryptography, libddwaf.so has a SHA-256 of its own, which protects nothing.";
    let how = format!(
        "`{}`, `nm` of the same with names, `readelf --dyn-syms` of both, constants of {} in both, the list in `{FILE}`, and the SHA-256 of library and rules in `{}`",
        evidence.command,
        algorithms::known(),
        waf::PINS
    );
    Proof::new("worker", claim, how, facts)
}

fn note_program(evidence: &Evidence<'_>, allowed: &PackageAllowlist, facts: &mut Facts) {
    let Evidence { built, named, shipped: WorkerFiles { program, .. }, packages, architecture, module, .. } = *evidence;
    let (of_built, of_shipped) = (hash::hexadecimal(built), hash::hexadecimal(program));
    if built == program {
        facts.note(true, format!("the worker has SHA-256 {of_shipped}, byte for byte as it was built for this report"));
    } else {
        facts.note(false, format!("the worker has SHA-256 {of_shipped}, and these sources make one with {of_built}"));
    }
    let objections = waf::objections(program, architecture);
    if objections.is_empty() {
        let imports = elf::imports(program).join(", ");
        facts.note(true, format!("it loads {} alone, and imports {imports}", waf::LIBRARY));
    }
    let problems = allowed.problems(Program::Worker, packages, allowed::is_foreign);
    if problems.is_empty() {
        let names: Vec<_> = allowed.worker.keys().cloned().collect();
        let names = names.join(", ");
        facts.note(true, format!("beside our own code it is made of {names}, each with the checksum of its archive"));
    }
    for problem in objections.into_iter().chain(problems) {
        facts.note(false, problem);
    }
    match (Symbols::of(named), Symbols::of(program)) {
        (Some(named), Some(shipped)) => note_symbols(&named, &shipped, facts),
        _ => facts.note(false, "the worker's names cannot be read, because it is no ELF file of 64 bits"),
    }
    let found = algorithms::of(program).into_iter().collect::<Vec<_>>().join(", ");
    let found = if found.is_empty() { "no algorithm" } else { &found };
    facts.note(found == "no algorithm", format!("by constants, the worker has {found} of cryptography in it"));
    let has_module = benchmark::names(program, module);
    facts.note(!has_module, format!("the text {module} is {}in it", if has_module { "" } else { "not " }));
}

fn note_symbols(named: &Symbols, shipped: &Symbols, facts: &mut Facts) {
    let Symbols { marked, telling, count, code, .. } = named;
    facts.note(*count > 0, format!("{count} names are left in the worker"));
    for library in marked.keys().chain(telling) {
        facts.note(false, format!("{library} is in the worker"));
    }
    let same = if *code == shipped.code { "the same code as" } else { "other code than" };
    let comparison = format!("with names, the worker has {same} the one that is shipped: SHA-256 {code}");
    facts.note(*code == shipped.code, comparison);
}

fn note_library(library: &[u8], pinned: Option<&str>, facts: &mut Facts) {
    let (found, name) = (hash::hexadecimal(library), waf::LIBRARY);
    match pinned {
        Some(pinned) if pinned == found => facts.note(true, format!("{name} has SHA-256 {found}, as it is pinned")),
        Some(pinned) => facts.note(false, format!("{name} has SHA-256 {found}, and {pinned} is pinned")),
        None => facts.note(false, format!("no {name} is pinned for this processor")),
    }
    let libraries = Linkage::of(library).map(|linkage| linkage.libraries).unwrap_or_default();
    facts.note(!libraries.is_empty(), format!("{name} loads: {}", libraries.join(", ")));
    let imports = elf::imports(library);
    facts.note(!imports.is_empty(), format!("{name} imports: {}", imports.join(", ")));
    let among = |names: &[&str]| -> Vec<String> {
        imports.iter().filter(|name| names.contains(&name.as_str())).cloned().collect()
    };
    let network = among(&NETWORK).join(", ");
    let reaching = if network.is_empty() { "no function that reaches a network" } else { &network };
    facts.note(network.is_empty(), format!("of these {reaching} is for a network"));
    let open = among(&OPEN_ENDED).join(", ");
    if !open.is_empty() {
        facts.note(true, format!("{open} could reach more than is imported: what for, its pinned bytes decide"));
    }
    for algorithm in algorithms::of(library) {
        match OF_LIBRARY.iter().find(|(name, _)| *name == algorithm) {
            Some((_, about)) => facts.note(true, format!("by constants, {name} has {algorithm} in it: {about}")),
            None => facts.note(false, format!("by constants, {name} has {algorithm} in it, and nobody has listed it")),
        }
    }
}

fn note_rules(rules: &[u8], pinned: &str, facts: &mut Facts) {
    let mut text = Vec::new();
    let found = match GzDecoder::new(rules).read_to_end(&mut text) {
        Ok(_) => hash::hexadecimal(&text),
        Err(error) => error.to_string(),
    };
    let name = waf::RULES;
    if found == pinned {
        facts.note(true, format!("the rules in {name} have SHA-256 {found}, as they are pinned"));
    } else {
        facts.note(false, format!("the rules in {name} have SHA-256 {found}, and {pinned} is pinned"));
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;

    use super::*;
    use crate::build::waf::Artefact;
    use crate::flavour::Toolchain;
    use crate::materials::packages::{Key, Package};
    use crate::target::Architecture;
    use crate::workspace::{Profile, target_directory};

    /// The worker of these sources, with names.
    fn named() -> Vec<u8> {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
        let builds = tempfile::tempdir().unwrap();
        let tools = Toolchain::plain(root, Profile::Release).unwrap().by_path(root).launcher;
        let artefact = Artefact::ensure(Architecture::of_this_machine(), &target_directory(), &|_| {}).unwrap();
        let (outcome, _) = waf::with_names(root, &tools, builds.path(), &artefact).unwrap();
        fs::read(outcome.program).unwrap()
    }

    #[test]
    fn worker_proof_holds_for_built_worker() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
        let folder = waf::folder().unwrap();
        let read = |name: &str| fs::read(folder.join(name)).unwrap();
        let (program, library, rules) = (read(waf::NAME), read(waf::LIBRARY), read(waf::RULES));
        let with_names = named();
        let packages = waf::packages(root, &crate::target::plain()).unwrap();
        let (allowed, pinned) = (PackageAllowlist::embedded().unwrap(), waf::pinned().unwrap());
        let shipped = WorkerFiles { program: &program, library: &library, rules: &rules };
        let good = Evidence {
            built: &program,
            named: &with_names,
            shipped,
            packages: &packages,
            architecture: &Architecture::of_this_machine().to_string(),
            module: "AWS-LC FIPS 3.1.0",
            command: "cargo",
        };
        let proof = judge(&good, &allowed, &pinned);
        assert!(proof.holds, "{proof:#?}");
        let text = proof.evidence.join("; ");
        for part in
            ["__libc_start_main, abort", "imports: __", "has SHA-256 in it: an implementation of its own", "dlopen"]
        {
            assert!(text.contains(part), "{part} is not in: {text}");
        }
        let against = |evidence: &Evidence<'_>| judge(evidence, &allowed, &pinned).against.join("; ");
        let with = |shipped| Evidence { shipped, ..good };

        let mut flipped = program.clone();
        let place = flipped.len() / 2;
        flipped[place] ^= 1;
        assert!(
            against(&with(WorkerFiles { program: &flipped, ..shipped })).contains("and these sources make one with")
        );
        let script = b"#!/bin/sh\nexec /opt/bottlecap/agent\n";
        let text = against(&with(WorkerFiles { program: script, ..shipped }));
        assert!(text.contains("no 64-bit ELF file") && text.contains("names cannot be read"), "{text}");
        let sha512 = [0x428a_2f98_d728_ae22_u64, 0x7137_4491_23ef_65cd].map(u64::to_le_bytes).concat();
        let hashing = [&program[..], &sha512, b"AWS-LC FIPS 3.1.0"].concat();
        let text = against(&Evidence { built: &hashing, ..with(WorkerFiles { program: &hashing, ..shipped }) });
        assert!(text.contains("the worker has SHA-512 of cryptography in it"), "{text}");
        assert!(text.contains("the text AWS-LC FIPS 3.1.0 is in it"), "{text}");

        // This program has ring, the whole C library and a network.
        let other = fs::read(std::env::current_exe().unwrap()).unwrap();
        let evidence = Evidence { built: &other, named: &other, ..with(WorkerFiles { program: &other, ..shipped }) };
        let text = against(&evidence);
        for part in ["ring_core_", "alone", "which is not known to be everywhere", "bytes, and at most"] {
            assert!(text.contains(part), "{part} is not in: {text}");
        }
        let text = against(&with(WorkerFiles { library: &other, ..shipped }));
        for part in ["is pinned", "connect", "is for a network", "and nobody has listed it"] {
            assert!(text.contains(part), "{part} is not in: {text}");
        }
        assert!(against(&with(WorkerFiles { rules: b"{}", ..shipped })).contains("the rules in rules.json.gz have"));
        let mut planted = packages.clone();
        let sha2 = Package { linked: true, checksum: Some("00".to_owned()), ..Package::default() };
        planted.0.insert(Key::new("sha2", "0.11.0"), sha2);
        assert!(against(&Evidence { packages: &planted, ..good }).contains("sha2 0.11.0 is not on the list"));
        let text = against(&Evidence { architecture: "m68k", ..good });
        assert!(text.contains("not m68k") && text.contains("no libddwaf.so is pinned for this processor"), "{text}");
    }
}
