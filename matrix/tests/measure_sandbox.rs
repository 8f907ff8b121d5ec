//! What an extension sees of its machine under a condition, and what is left of that afterwards.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test that can't go on has failed")]

use std::fs;
use std::path::Path;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::measure_support::*;
use matrix::measure::trust_store_mounts;
use matrix::plan::TrustStore;
use matrix::sandbox::cpu::visible_cpus;
use matrix::sandbox::journal::{Entry, JournalEvent};
use matrix::sandbox::setup::{Cpu, LayerFile, Setup};
use matrix::sandbox::{Extension, Invocation, Sandbox, SandboxRecord, intake, isolation};
use serde_json::{Value, json};

/// One at a time: they measure time, and they look for what others may still have.
static ALONE: Mutex<()> = Mutex::new(());

struct Run {
    seen: Value,
    register: Duration,
    invocation: Invocation,
    record: SandboxRecord,
}

fn run_sandbox(setup: Setup, environment: &[(&str, &str)]) -> Run {
    let directory = directory();
    let seen = directory.path().join("seen");
    let mut extension = Extension::new("datadog-agent", agent());
    extension.layer_files = vec![LayerFile { place: "bottlecap/agent".into(), source: agent() }];
    for (name, value) in environment.iter().copied().chain([("SEEN", seen.to_str().unwrap())]) {
        extension.environment.insert(name.to_owned(), value.to_owned());
    }
    let intake = Some(intake::Plan::default());
    let timeout = Duration::from_secs(30);
    let sandbox = Sandbox::start(Setup { extensions: vec![extension], intake, timeout, ..setup }).unwrap();
    let register = sandbox.gates().extensions[0].register.unwrap();
    let invocation = sandbox.invoke(b"{}").unwrap();
    let record = sandbox.shutdown().unwrap();
    Run { seen: serde_json::from_str(&fs::read_to_string(seen).unwrap()).unwrap(), register, invocation, record }
}

fn happened(journal: &[Entry], is: impl Fn(&JournalEvent) -> bool) -> bool {
    journal.iter().any(|entry| is(&entry.what))
}

/// The reason for which something was refused; a machine that permits it gives none.
fn refusal(journal: &[Entry]) -> Option<&str> {
    journal.iter().find_map(|entry| match &entry.what {
        JournalEvent::CpuUnlimited { reason } | JournalEvent::MountsShared { reason } => Some(reason.as_str()),
        _ => None,
    })
}

#[test]
fn a_throttled_start_takes_its_share_of_the_time_and_leaves_no_group_behind() {
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let run = run_sandbox(Setup { memory_mb: 128, cpu: Cpu::Throttled, ..Setup::default() }, &[("BURN", "20")]);
    let journal = &run.record.journal;
    if happened(journal, |what| *what == JournalEvent::CpuOfTier) {
        // Twenty milliseconds at 7 % of a CPU take about 280.
        assert!(run.register > Duration::from_millis(150), "{:?}", run.register);
        assert!(run.invocation.duration > Duration::from_millis(150), "{:?}", run.invocation.duration);
        // Tests beside this one have groups as well, which go with their sandboxes.
        let groups = || groups_of_this_process(Path::new("/sys/fs/cgroup"));
        let (mut left, began) = (groups(), Instant::now());
        while !left.is_empty() && began.elapsed() < Duration::from_mins(2) {
            std::thread::sleep(Duration::from_millis(50));
            let now = groups();
            left.retain(|group| now.contains(group));
        }
        assert!(left.is_empty(), "{left:?}");
    } else {
        isolation::skip(refusal(journal).filter(|reason| !reason.is_empty()).unwrap());
    }
}

#[test]
fn a_boost_ends_with_the_init() {
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let run = run_sandbox(Setup { memory_mb: 128, cpu: Cpu::Boosted, ..Setup::default() }, &[("BURN", "20")]);
    let journal = &run.record.journal;
    if happened(journal, |what| *what == JournalEvent::CpuOfTier) {
        assert!(happened(journal, |what| *what == JournalEvent::Throttled));
        assert!(run.invocation.duration > Duration::from_millis(150), "{:?}", run.invocation.duration);
    } else {
        isolation::skip(refusal(journal).filter(|reason| !reason.is_empty()).unwrap());
    }
}

#[test]
fn a_tier_shows_its_cpus_and_hides_the_control_groups() {
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let here = std::thread::available_parallelism().unwrap().get();
    if here <= visible_cpus(128) {
        println!("not tested: every tier sees all {here} CPUs of this machine");
    }
    let run = run_sandbox(Setup { memory_mb: 10_240, cpu: Cpu::Boosted, ..Setup::default() }, &[]);
    assert_eq!(run.seen["cpus"], json!(visible_cpus(10_240).min(here)));
    let run = run_sandbox(Setup { memory_mb: 128, cpu: Cpu::Boosted, ..Setup::default() }, &[]);
    assert_eq!(run.seen["cpus"], json!(visible_cpus(128).min(here)));
    match refusal(&run.record.journal) {
        None => assert_eq!(run.seen["groups"], json!([])),
        Some(reason) => isolation::skip(reason),
    }
}

#[test]
fn a_trust_store_is_seen_in_the_place_of_the_machines() {
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let before = names(Path::new("/etc/ssl/certs"));
    for store in [TrustStore::Al2023, TrustStore::Debian] {
        let directory = tempfile::tempdir().unwrap();
        let mounts = match trust_store_mounts(store, directory.path()) {
            Ok(mounts) => mounts,
            Err(error) => {
                assert!(error.to_string().contains("apt-get install ca-certificates"), "{error}");
                continue;
            }
        };
        let run = run_sandbox(Setup { mounts, ..Setup::default() }, &[]);
        assert_eq!(run.seen["variables"], json!([]), "SSL_CERT_FILE and SSL_CERT_DIR would win over any store");
        match refusal(&run.record.journal) {
            None if store == TrustStore::Al2023 => {
                assert_eq!(run.seen["ssl"], json!(["ca-bundle.crt"]));
                assert_eq!(run.seen["pki"], json!(["ca-bundle.crt"]));
            }
            None => {
                let names = run.seen["ssl"].as_array().unwrap();
                let hashed = names.iter().filter(|name| name.as_str().unwrap().ends_with(".0")).count();
                assert!(hashed > 50 && names.len() > 2 * hashed, "{names:?}");
                assert!(run.seen["pki"].is_string(), "{}", run.seen["pki"]);
            }
            Some(reason) => isolation::skip(reason),
        }
    }
    assert_eq!(names(Path::new("/etc/ssl/certs")), before, "the machine is as it was");
}

#[test]
fn a_layer_file_is_beside_extensions_and_cpu_time_and_footprint_are_measured() {
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let run = run_sandbox(Setup { footprints: true, ..Setup::default() }, &[("BURN", "30")]);
    assert_eq!(run.seen["layer"], json!(["agent"]));
    let used = run.record.journal.iter().find_map(|entry| match &entry.what {
        JournalEvent::Used { cpu, .. } => Some(*cpu),
        _ => None,
    });
    // Once before it registers and once for the event.
    assert!(used.unwrap() >= Duration::from_millis(60), "{used:?}");
    let footprint = run.record.journal.iter().find_map(|entry| match &entry.what {
        JournalEvent::Footprint { footprint, .. } => Some(*footprint),
        _ => None,
    });
    let footprint = footprint.unwrap();
    assert!(
        footprint.minor_faults > 100 && footprint.resident_peak_kib > 1000 && footprint.threads == 1,
        "{footprint:?}"
    );
}

/// Bytes of the two files of an extension that were in memory at its exec.
fn remaining(files: &Path, cold: bool) -> Option<u64> {
    let agent_file = LayerFile { place: "bottlecap/agent".into(), source: files.join("agent") };
    let mut extension = Extension::new("datadog-agent", files.join("program"));
    extension.layer_files = vec![agent_file];
    let sandbox = Sandbox::start(Setup { extensions: vec![extension], cold, ..Setup::default() }).unwrap();
    assert!(sandbox.gates().extensions[0].next.is_some());
    sandbox.journal().iter().find_map(|entry| match entry.what {
        JournalEvent::PagesDropped { remaining, .. } => Some(remaining),
        _ => None,
    })
}

#[test]
fn files_of_a_cold_extension_are_on_disk_at_exec() {
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let files = directory();
    for name in ["program", "agent"] {
        matrix::executable::copy(Path::new(env!("CARGO_BIN_EXE_std-floor")), &files.path().join(name)).unwrap();
    }
    for _ in 0..3 {
        // Whoever prepares the start reads the first of them.
        assert_eq!(fs::read(files.path().join("program")).unwrap(), fs::read(files.path().join("agent")).unwrap());
        assert_eq!(remaining(files.path(), true), Some(0));
    }
    assert_eq!(remaining(files.path(), false), None);
    let mapped = memory_map(&files.path().join("agent"));
    assert!(remaining(files.path(), true).unwrap() > 0, "what is mapped cannot be dropped, and that is told");
    drop(mapped);
}

/// A process that has a file's pages mapped for as long as it lives.
fn memory_map(file: &Path) -> ChildGuard {
    use std::io::BufRead as _;
    const MAP: &str = "import mmap, sys, time; f = open(sys.argv[1], 'rb'); m = mmap.mmap(f.fileno(), 0, prot=mmap.PROT_READ); sum(m[::4096]); \
                       print(flush=True); time.sleep(600)";
    let mut command = std::process::Command::new("python3");
    let mut child = command.args(["-c", MAP]).arg(file).stdout(std::process::Stdio::piped()).spawn().unwrap();
    let mut ready = String::new();
    std::io::BufReader::new(child.stdout.take().unwrap()).read_line(&mut ready).unwrap();
    ChildGuard(child)
}

struct ChildGuard(std::process::Child);

impl Drop for ChildGuard {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn groups_of_this_process(directory: &Path) -> Vec<String> {
    let mine = format!("matrix-{}-", std::process::id());
    let mut found = Vec::new();
    for entry in fs::read_dir(directory).into_iter().flatten().flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        if name.starts_with(&mine) {
            found.push(name);
        } else if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            found.extend(groups_of_this_process(&entry.path()));
        }
    }
    found
}

fn names(directory: &Path) -> Vec<String> {
    let entries = fs::read_dir(directory).into_iter().flatten().flatten();
    let mut names: Vec<_> = entries.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect();
    names.sort();
    names
}
