//! The report as a page that is read from top to bottom.

use super::benchmark::Benchmark;
use super::certificate::{Certificate, CertifiedModule, Environments, Procedure};
use super::document::{Document, ProgramUnderTest};
use super::graph::HeldBackPackage;
use super::procedure::Step;
use super::proof::Proof;
use crate::report::escaped;

/// The whole page.
pub fn write(document: &Document) -> String {
    let mut blocks = vec![format!("# FIPS report: {}", escaped(&document.subject.cell)), verdict(document)];
    blocks.push("## Proofs".to_owned());
    blocks.push(overview(&document.proofs));
    blocks.extend(document.proofs.iter().map(proof));
    blocks.push("## The module".to_owned());
    blocks.extend(module(&document.certified));
    blocks.push("## The build procedure".to_owned());
    blocks.extend(procedure(&document.certified.procedure, &document.procedure));
    if let Some(benchmark) = &document.benchmark {
        blocks.push("## What it costs at the start".to_owned());
        blocks.extend(self::benchmark(benchmark, document));
    }
    blocks.push("## What is not claimed".to_owned());
    let claims: Vec<_> = document.not_claimed.iter().map(|claim| format!("- {}", escaped(claim))).collect();
    blocks.push(claims.join("\n"));
    blocks.push("## The program".to_owned());
    blocks.push(subject(document));
    blocks.join("\n\n") + "\n"
}

fn verdict(document: &Document) -> String {
    let count = document.proofs.len();
    let (failed, not_run) = (document.failed(), document.not_run());
    let mut verdict = match failed.len() {
        0 if not_run.is_empty() => format!("**All {count} proofs hold.**"),
        0 => format!("**{} of {count} proofs hold.**", count - not_run.len()),
        failures => format!("**{failures} of {count} proofs fail: {}.**", failed.join(", ")),
    };
    if !not_run.is_empty() {
        verdict += &format!(" **Not run, and so not proven: {}.**", not_run.join(", "));
    }
    if !document.tree.is_clean() {
        let sources = escaped(&document.tree.sources);
        verdict +=
            &format!(" **The sources differ from their commit ({sources}): what is said here holds of no commit.**");
    }
    let about = "Each is computed from what was found, as written below it; none of them makes a validated module of a build. What is not claimed stands further down.";
    format!("{verdict} {about}")
}

fn table(head: &[&str], rows: impl IntoIterator<Item = Vec<String>>) -> String {
    let line = |fields: Vec<String>| format!("| {} |", fields.join(" | "));
    let head: Vec<String> = head.iter().map(|name| (*name).to_owned()).collect();
    let rule = vec!["---".to_owned(); head.len()];
    let rows = rows.into_iter().map(|row| line(row.iter().map(|field| escaped(field)).collect()));
    [line(head), line(rule)].into_iter().chain(rows).collect::<Vec<_>>().join("\n")
}

fn overview(proofs: &[Proof]) -> String {
    let mark =
        |proof: &Proof| if proof.holds { proof.outcome().to_owned() } else { format!("**{}**", proof.outcome()) };
    let mut lines = vec!["| Proof | | Claim |".to_owned(), "| --- | --- | --- |".to_owned()];
    lines.extend(
        proofs.iter().map(|proof| format!("| {} | {} | {} |", proof.name, mark(proof), sentence(&proof.claim))),
    );
    lines.join("\n")
}

fn proof(proof: &Proof) -> String {
    let verdict = proof.outcome();
    let mut lines = vec![
        format!("### {}: {verdict}", proof.name),
        String::new(),
        format!("By {}.", sentence(&proof.how)),
        String::new(),
    ];
    lines.extend(proof.not_run.iter().map(|reason| format!("- **Not run:** {}", escaped(reason))));
    lines.extend(proof.against.iter().map(|fact| format!("- **Against it:** {}", escaped(fact))));
    lines.extend(proof.evidence.iter().map(|fact| format!("- {}", escaped(fact))));
    lines.join("\n")
}

/// Our own words, in which what stands between backquotes is code.
fn sentence(text: &str) -> String {
    let parts = text.split('`').enumerate();
    parts.map(|(place, part)| if place % 2 == 1 { format!("`{part}`") } else { escaped(part) }).collect()
}

fn module(certified: &CertifiedModule) -> Vec<String> {
    let Certificate { standard, number, name, page, policy, status, status_source, status_read, .. } =
        &certified.certificate;
    let Certificate { source, read, caveats, algorithms, .. } = &certified.certificate;
    let Environments { tested, affirmed, lambda, source: environments, read: since } = &certified.environments;
    let facts = [
        ["Module", &certified.module],
        [
            "From",
            &format!("{} {}, as its lock file has it, linked statically", certified.package, certified.package_version),
        ],
        ["Certificate", &format!("{standard}, number {number}, {name}")],
        ["Status and dates", status],
        ["Source of these", &format!("{status_source}; read {status_read}")],
        ["Page", page],
        ["Security policy", policy],
        ["Source of the number", &format!("{source}; read {read}")],
        ["Affirmed environments", affirmed],
    ];
    let rows = facts.iter().map(|fact| fact.iter().map(|text| (*text).to_owned()).collect());
    let environment = tested.iter().map(|one| vec![one.system.clone(), one.architecture.clone(), one.machine.clone()]);
    let algorithms = algorithms.iter().map(|it| vec![it.name.clone(), it.purpose.clone(), it.standard.clone()]);
    let caveats: Vec<_> = caveats.iter().map(|caveat| format!("- {}", escaped(caveat))).collect();
    vec![
        table(&["", ""], rows),
        "Caveats:".to_owned(),
        caveats.join("\n"),
        "What the extension uses of it, and by which standard that is approved; whether the module's validation covers it is for the tables of the policy to say:".to_owned(),
        table(&["Algorithm", "For", "Standard"], algorithms),
        "The environments in which it was tested:".to_owned(),
        table(&["System", "Processor", "Machine"], environment),
        format!("{}.", escaped(lambda)),
        format!("Source of these: {}; read {since}.", escaped(environments)),
    ]
}

/// What was asked beside what was done.
fn procedure(Procedure { source, read, .. }: &Procedure, steps: &[Step]) -> Vec<String> {
    let same = |step: &Step| if step.same { "the same" } else { "**different**" };
    let mut lines =
        vec!["| | The security policy asks for | This build | |".to_owned(), "| --- | --- | --- | --- |".to_owned()];
    lines.extend(steps.iter().map(|step| {
        let Step { about, asked, done, .. } = step;
        format!("| {} | {} | {} | {} |", escaped(about), escaped(asked), sentence(done), same(step))
    }));
    let computed =
        "What this build does is computed from what CMake, the build script and the program have said in it.";
    vec![lines.join("\n"), format!("Source of what is asked: {}; read {read}. {computed}", escaped(source))]
}

fn benchmark(benchmark: &Benchmark, document: &Document) -> Vec<String> {
    let number = |value: f64| format!("{value:.2}");
    let rows = benchmark.rows.iter().map(|row| {
        let counts = [row.starts.to_string(), row.bytes.to_string()];
        [vec![row.cell.clone()], counts.to_vec(), vec![number(row.register), number(row.ready)]].concat()
    });
    let differences = benchmark.differences.iter().map(|difference| {
        vec![difference.cell.clone(), difference.reference.clone(), difference.gate.to_owned(), difference.text()]
    });
    let machine = &document.machine;
    let mut blocks = vec![
        format!(
            "Medians in ms, from exec to the registration and to the first request for an event. {} blocks; {}. The programs differ in whose cryptography they have, and in whether a launcher comes before them; with the module, {}.",
            benchmark.blocks,
            escaped(&benchmark.condition),
            escaped(&held_back(&document.held_back))
        ),
        table(&["Cell", "Starts", "Bytes", "Register", "Ready"], rows),
        "Differences, with 95 % intervals:".to_owned(),
        table(&["Cell", "Against", "Gate", "Difference"], differences),
        format!(
            "Measured on {}, {} CPUs, {}, with a load of {} when the report was written: with more than the CPUs, others were at work, and the intervals are wider than the machine's own.",
            escaped(&machine.cpu),
            machine.cores,
            escaped(&machine.kernel),
            machine.load
        ),
    ];
    blocks.extend(benchmark.invalid.as_ref().map(|reason| format!("**Invalid measurement:** {}", escaped(reason))));
    blocks.extend(benchmark.notes.iter().map(|note| escaped(note)));
    blocks
}

/// Which packages have other versions with the module, and which there are only with it.
fn held_back(held: &[HeldBackPackage]) -> String {
    let lines = held.iter().map(|HeldBackPackage { name, version, others }| match others.as_slice() {
        [] => format!("{name} {version} (elsewhere there is none)"),
        others => format!("{name} {version} (elsewhere {})", others.join(", ")),
    });
    match held.len() {
        0 => "every package has the version of the others".to_owned(),
        1 => format!("one package has another version: {}", lines.collect::<String>()),
        count => format!("{count} packages have other versions: {}", lines.collect::<Vec<_>>().join(", ")),
    }
}

fn subject(document: &Document) -> String {
    let ProgramUnderTest { cell, sha256, bytes, sources, lock_sha256, rustc, cc, target, command, .. } =
        &document.subject;
    let ProgramUnderTest { launcher, worker, programs, tools, .. } = &document.subject;
    let bytes = bytes.to_string();
    let beside = launcher.as_ref().or(worker.as_ref());
    let of_beside = beside.map(|it| ["SHA-256 of the Cargo.lock of launcher and WAF worker", &it.lock_sha256]);
    let facts = [
        ["Cell", cell],
        [if launcher.is_some() { "SHA-256 of launcher and agent, one behind the other" } else { "SHA-256" }, sha256],
        ["Bytes", &bytes],
        ["Sources", sources],
        ["Sources, with this tool and its lists", &document.tree.sources],
        ["SHA-256 of this tool", &document.tree.tool_sha256],
        ["SHA-256 of Cargo.lock", lock_sha256],
        ["Compiler", rustc],
        ["C compiler", cc],
        ["Target", target],
        ["Date", &document.date],
    ];
    let facts = facts.into_iter().chain(of_beside);
    let rows = facts.map(|fact| fact.map(str::to_owned).to_vec());
    let of_layer =
        document.layer.iter().map(|layer| vec![layer.file.clone(), layer.bytes.to_string(), layer.sha256.clone()]);
    let of_programs = programs.iter().map(|it| vec![it.place.clone(), it.bytes.to_string(), it.sha256.clone()]);
    let tools = tools.iter().map(|it| vec![it.name.clone(), it.path.clone(), it.version.clone(), it.sha256.clone()]);
    let files = table(&["File", "Bytes", "SHA-256"], of_layer.chain(of_programs));
    let tools = table(&["Tool", "Path", "Version", "SHA-256"], tools);
    let others = [("launcher", launcher), ("WAF worker", worker)]
        .into_iter()
        .filter_map(|(name, it)| it.as_ref().map(|it| format!("\n\nThe {name} by:\n\n    {}", it.command)));
    let compared = "Recorded of each: path, version and SHA-256. Compared: the SHA-256 with that before the build, the path with those that were looked for then, of programs that they are ELF files and no scripts, and on Debian and its relatives the MD5 sum with that of the package database. Not compared: the SHA-256 with any list of known ones, because it differs between hosts. For a layer, rustc has to be of the version that `rust-toolchain.toml` names.";
    // Indented, not fenced: no command ends an indented block.
    format!(
        "{}\n\n{files}\n\nBesides, {}.\n\nBuilt by:\n\n{tools}\n\n{compared}\n\nMade, in the root of the sources, by:\n\n    {command}{}",
        table(&["", ""], rows),
        escaped(&held_back(&document.held_back)),
        others.collect::<String>()
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fips_report::benchmark::{Difference, Row};
    use crate::fips_report::document::sample;
    use crate::fips_report::tree::Tree;

    #[test]
    fn a_page_begins_with_its_verdict_and_names_what_fails() {
        let page = write(&sample(true));
        assert!(page.starts_with("# FIPS report: ship-fips\n\n**All 1 proofs hold.**"), "{page}");
        let page = write(&sample(false));
        assert!(
            page.contains("**1 of 1 proofs fail: symbols.**") && page.contains("| symbols | **fails** |"),
            "{page}"
        );
        let proof = Proof::not_run("roots", "Claim.", "how", "no such processor");
        let not_run = write(&Document { holds: false, proofs: vec![proof], ..sample(true) });
        assert!(not_run.contains("**0 of 1 proofs hold.** **Not run, and so not proven: roots.**"), "{not_run}");
        assert!(not_run.contains("- **Not run:** no such processor"), "{not_run}");
        assert!(page.contains("- **Against it:** aws\\_lc\\_0\\_42\\_0 is in it"), "{page}");
    }

    #[test]
    fn verdict_names_uncommitted_changes() {
        let clean = sample(true);
        assert!(!write(&clean).contains("holds of no commit"));
        let tree = Tree { sources: "abc+def".to_owned(), ..clean.tree.clone() };
        let page = write(&Document { tree, ..clean });
        let verdict = page.lines().nth(2).unwrap();
        assert!(verdict.contains("**The sources differ from their commit (abc+def)"), "{verdict}");
    }

    #[test]
    fn packages_of_older_versions_are_named() {
        let held = |name: &str, others: &[&str]| HeldBackPackage {
            name: name.to_owned(),
            version: "1.0.0".to_owned(),
            others: others.iter().map(|other| (*other).to_owned()).collect(),
        };
        assert_eq!(held_back(&[]), "every package has the version of the others");
        assert_eq!(held_back(&[held("a", &["2.0.0"])]), "one package has another version: a 1.0.0 (elsewhere 2.0.0)");
        let two = held_back(&[held("a", &["2.0.0"]), held("b", &[])]);
        assert_eq!(two, "2 packages have other versions: a 1.0.0 (elsewhere 2.0.0), b 1.0.0 (elsewhere there is none)");
    }

    #[test]
    fn what_an_auditor_needs_is_on_it() {
        let page = write(&sample(true));
        for part in [
            "number 5314",
            "Graviton4",
            "Lambda is not among them",
            "second hand",
            "`nm a_program`",
            "00ff",
            "11ee",
            "## What is not claimed",
            "cmake3 -DFIPS=1",
            "**different**",
            "entropy source is passive",
            "SP 800-56C revision 2",
            "| extensions/datadog-agent | 7 |",
            "/nowhere/cc",
            "22dd",
            "validated on 2026-06-05, sunset date 2031-06-04",
            "rustls 0.1.0 (elsewhere 0.2.0)",
        ] {
            assert!(page.contains(part), "{part} is not in: {page}");
        }
        assert!(page.contains("ring\\_core \\| is not in it"), "what was found is no markup: {page}");
        assert!(page.ends_with("\n    RUSTFLAGS='-C a_b' cargo build\n"), "{page}");
        assert!(!page.contains("What it costs"), "it was not measured");
    }

    #[test]
    fn a_price_has_its_intervals_and_the_state_of_the_machine() {
        let (cell, reference) = ("ship-fips".to_owned(), "ship-fips+crypto-ring".to_owned());
        let sha256 = String::new();
        let row = Row { cell: cell.clone(), starts: 20, bytes: 6_818_568, sha256, register: 9.25, ready: 9.5 };
        let difference = Difference { cell, reference, gate: "register", value: 6.5, low: 6.25, high: 6.75 };
        let benchmark = Benchmark {
            condition: "1024 MB".to_owned(),
            blocks: 20,
            rows: vec![row],
            differences: vec![difference],
            launcher_has_module: false,
            notes: vec!["A note.".to_owned()],
            invalid: None,
        };
        let page = write(&Document { benchmark: Some(benchmark), ..sample(true) });
        for part in [
            "| ship-fips | 20 | 6818568 | 9.25 | 9.50 |",
            "+6.50 ms \\[6.25, 6.75\\]",
            "load of 7.00 6.00 5.00",
            "A note.",
        ] {
            assert!(page.contains(part), "{part} is not in: {page}");
        }
    }
}
