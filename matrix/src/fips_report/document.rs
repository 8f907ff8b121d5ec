//! The report as one JSON document.

use serde::Serialize;

use super::benchmark::Benchmark;
use super::certificate::CertifiedModule;
use super::graph::HeldBackPackage;
use super::layer::{LayerDocument, ProgramFile};
use super::procedure::Step;
use super::proof::Proof;
use super::tools::BuildTool;
use super::tree::Tree;

/// What nothing here answers, for whoever signs.
pub const NOT_CLAIMED: [&str; 10] = [
    "That this is a validated module: it is a build of the module that was validated. A certificate is for one that is built as its security policy says, in the environments that the policy lists; what is different here stands under \"The build procedure\".",
    "That Lambda is an environment of the certificate.",
    "That no package has cryptography in it beside the module: those in Rust have no names by which that could be told. The list of packages is what somebody has read. Nor that our own sources have none.",
    "That the C compiler, the C library and the system beneath them are what their makers published. The report records their bytes and compares them with those before the build; on Debian and its relatives it compares MD5 sums with the package database, which root can change. With no list of known ones: hosts differ, and every update of a distribution is another file. Compare them with the archive of the distribution, or elsewhere with what `rpm --verify` says. Rust's toolchain for x86_64 is compared with pinned bytes, which are those that rustup had installed where they were written down.",
    "That the files beside these programs are what their makers published: the modules of CMake, the sources of Go's own library, Perl's modules, headers, the libraries that the programs load, and the settings of git. Their bytes are not recorded.",
    "That the machine that wrote the report was honest: it has made and judged everything in it. On another machine the same sources make the same bytes.",
    "That this tool does what its sources say, or the packages and the compiler that it was built with: `ci/fips` builds it from nothing, from archives with the checksums of Cargo.lock, and the report has its SHA-256. Build it on another machine, and let that one prove the same layer.",
    "That a validated version has every correction: it is an old version. Read the security advisories of AWS-LC before you choose it.",
    "That everything random comes from the module: names of no secret, and the checksums of data formats, do not.",
    "Anything about the function beside the extension, its runtime, or who else is in the sandbox.",
];

/// `fips-report.json`.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Document {
    /// The version of this document.
    pub schema: u32,
    /// Whether every proof was run and holds.
    pub holds: bool,
    /// RFC 3339, UTC.
    pub date: String,
    pub subject: ProgramUnderTest,
    pub tree: Tree,
    /// What this program has in other versions than builds without the module.
    pub held_back: Vec<HeldBackPackage>,
    /// The layer's zip file, if the report is about one.
    pub layer: Option<LayerDocument>,
    pub certified: CertifiedModule,
    /// What the security policy's procedure asks of a build of the module, beside what was done.
    pub procedure: Vec<Step>,
    pub proofs: Vec<Proof>,
    /// None if it was not asked for.
    pub benchmark: Option<Benchmark>,
    pub machine: Machine,
    pub not_claimed: Vec<&'static str>,
}

/// The program.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ProgramUnderTest {
    /// The cell.
    pub cell: String,
    pub sha256: String,
    pub bytes: u64,
    /// The commit; where the sources differ from it, `+` and a hash of the differences follow.
    pub sources: String,
    /// Of `Cargo.lock`.
    pub lock_sha256: String,
    /// As in `rustc --version`.
    pub rustc: String,
    /// The first line of the C compiler's `--version`.
    pub cc: String,
    pub target: String,
    /// What makes it.
    pub command: String,
    /// What is in front of it; none without a launcher.
    pub launcher: Option<ProgramBuild>,
    /// What the agent starts for `AppSec`; none without the WAF.
    pub worker: Option<ProgramBuild>,
    /// Each program by itself, by its place below `/opt`.
    pub programs: Vec<ProgramFile>,
    /// What has built the module and the programs.
    pub tools: Vec<BuildTool>,
}

/// The launcher or the WAF worker, beside what the programs have in common.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ProgramBuild {
    /// Of its own `Cargo.lock`.
    pub lock_sha256: String,
    /// What makes it.
    pub command: String,
}

/// Where it was made and measured.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Machine {
    pub cpu: String,
    pub cores: usize,
    pub kernel: String,
    /// Programs that wanted a CPU in the last minute, five and fifteen, as in `/proc/loadavg`, when the report was written.
    pub load: String,
}

impl Document {
    /// The names of the proofs that fail.
    pub fn failed(&self) -> Vec<&'static str> {
        let failed = self.proofs.iter().filter(|proof| !proof.holds && proof.not_run.is_none());
        failed.map(|proof| proof.name).collect()
    }

    /// The names of the proofs that were not run.
    pub fn not_run(&self) -> Vec<&'static str> {
        self.proofs.iter().filter(|proof| proof.not_run.is_some()).map(|proof| proof.name).collect()
    }
}

/// A report with one proof.
#[cfg(test)]
pub(super) fn sample(holds: bool) -> Document {
    let mut facts = super::proof::Facts::default();
    facts.note(true, "ring_core | is not in it");
    if !holds {
        facts.note(false, "aws_lc_0_42_0 is in it");
    }
    let text = str::to_owned;
    Document {
        schema: 7,
        holds,
        date: text("2026-01-02T03:04:05Z"),
        subject: ProgramUnderTest {
            cell: text("ship-fips"),
            sha256: text("00ff"),
            bytes: 12,
            sources: text("abc"),
            lock_sha256: text("11ee"),
            rustc: text("rustc 1"),
            cc: text("cc 1"),
            target: text("x"),
            command: text("RUSTFLAGS='-C a_b' cargo build"),
            launcher: None,
            worker: None,
            programs: vec![ProgramFile::of("extensions/datadog-agent", b"program")],
            tools: vec![BuildTool::of("cc", std::path::Path::new("/nowhere/cc"), false)],
        },
        tree: Tree { sources: text("abc"), lists: Vec::new(), tool_sha256: text("22dd") },
        held_back: vec![HeldBackPackage { name: text("rustls"), version: text("0.1.0"), others: vec![text("0.2.0")] }],
        layer: None,
        certified: CertifiedModule::embedded().unwrap(),
        procedure: vec![Step { about: "Flags", asked: text("cmake3 -DFIPS=1"), done: text("`-O3`"), same: false }],
        proofs: vec![Proof::new("symbols", "Nothing else is in it.", "`nm a_program`", facts)],
        benchmark: None,
        machine: Machine { cpu: text("Cpu"), cores: 2, kernel: text("Linux 6"), load: text("7.00 6.00 5.00") },
        not_claimed: NOT_CLAIMED.to_vec(),
    }
}
