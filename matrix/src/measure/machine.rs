//! `run.json`: the machine and the program versions with which the samples were taken.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::process::Command;

use serde::{Deserialize, Serialize};

use super::{Error, produced, reading, trust, writing};
use crate::files;
use crate::plan::{Cache, Condition, Plan, Regime, SCHEMA, TrustStore};
use crate::sandbox::cpu::control_groups;

/// The version of how gates are measured, and of the floor that ratios are to. 2: the kernel takes the time of arrivals at the sandbox, which took it itself before.
/// 3: the floor has no C library and takes about half of the time, so that ratios to it are twice what they were to the one of the standard library.
pub const INSTRUMENT: u32 = 3;
/// [`INSTRUMENT`] of the runs whose record does not say it.
const UNRECORDED_INSTRUMENT: u32 = 2;

/// The record of a run, besides its samples.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Run {
    /// The schema version, [`crate::plan::SCHEMA`].
    pub schema: u32,
    /// [`INSTRUMENT`] of the program that measured.
    #[serde(default = "unrecorded_instrument")]
    pub instrument: u32,
    /// The plan's seed.
    pub seed: u64,
    /// The plan's design.
    pub design: String,
    /// The version of this program.
    pub matrix: String,
    /// The commit of the workspace, with `-dirty` if tracked files were modified; `None` outside of a repository.
    pub commit: Option<String>,
    /// The machine.
    pub machine: Machine,
    /// Refusals of the machine, one sentence each: what it did not allow the sandbox. Empty if every condition was produced in full.
    pub refused: Vec<String>,
    /// Conditions of the plan that were not measured, because the machine does not produce them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub left_out: Vec<SkippedCondition>,
}

/// A condition that a machine does not produce.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SkippedCondition {
    pub condition: Condition,
    /// The refusal that prevents it.
    pub reason: String,
}

/// The properties of a machine that affect times in milliseconds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Machine {
    /// The processor, as in `/proc/cpuinfo`.
    pub cpu: String,
    /// CPUs available to this program.
    pub cores: usize,
    /// The kernel, as in `uname -sr`.
    pub kernel: String,
    /// The architecture, as in `uname -m`.
    pub architecture: String,
    /// The CPU frequency governor of the first CPU; `None` if unknown.
    pub governor: Option<String>,
    /// Memory in MB.
    pub memory_mb: u64,
    /// The version of the control groups that limit CPU time; `None` if there are none.
    pub control_groups: Option<u8>,
    /// The read-ahead in KiB of the disk with the programs. If it exceeds the program's size, a cold start touches the whole file. `None` if unknown.
    pub read_ahead_kib: Option<u64>,
    /// The certificates that the trust stores of the conditions are made from; `None` if the machine has none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub certificates: Option<Certificates>,
}

/// A bundle of certificates.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Certificates {
    pub count: usize,
    /// The first 16 hexadecimal digits of the bundle's SHA-256.
    pub sha256: String,
}

impl Run {
    /// The record of a run of this plan on this machine, with its programs in `directory`.
    pub fn here(plan: &Plan, refused: Vec<String>, left_out: Vec<SkippedCondition>, directory: &Path) -> Self {
        Self {
            schema: SCHEMA,
            instrument: INSTRUMENT,
            seed: plan.seed,
            design: plan.design.clone(),
            matrix: env!("CARGO_PKG_VERSION").to_owned(),
            commit: commit(),
            machine: Machine::here(directory),
            refused,
            left_out,
        }
    }

    /// Returns an error if the file is of another plan or another [`INSTRUMENT`], whose samples must not be mixed with this one's.
    pub fn check(path: &Path, plan: &Plan) -> Result<(), Error> {
        let text = match fs::read_to_string(path) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(()),
            read => read.map_err(reading(path))?,
        };
        let malformed = |source| Error::Malformed { path: path.to_owned(), line: 1, source };
        let before: Self = serde_json::from_str(&text).map_err(malformed)?;
        let other = |what| Err(Error::OtherRun { path: path.to_owned(), what });
        if before.seed != plan.seed || before.design != plan.design {
            other("plan")
        } else if before.instrument != INSTRUMENT {
            other("version of the measurement")
        } else {
            Ok(())
        }
    }

    /// Why the machine did not produce a condition; `None` if it did.
    pub fn not_produced(&self, condition: &Condition) -> Option<&str> {
        let left_out = self.left_out.iter().find(|left_out| left_out.condition == *condition);
        let refused = self.refused.iter().find(|sentence| is_refused(condition, sentence));
        left_out.map(|left_out| left_out.reason.as_str()).or(refused.map(String::as_str))
    }

    /// Writes the file. An existing one was checked by [`Run::check`] to be of the same plan.
    pub fn write(&self, path: &Path) -> Result<(), Error> {
        let text = serde_json::to_string_pretty(self).map_err(std::io::Error::from).map_err(writing(path))?;
        files::write(path, text + "\n").map_err(writing(path))
    }
}

impl Machine {
    /// Merges two machines of one run. Names that differ are joined, of CPUs and memory the smaller number counts, and anything else that differs becomes
    /// unknown.
    #[must_use]
    pub fn and(self, other: &Self) -> Self {
        Self {
            cpu: both(self.cpu, &other.cpu),
            cores: self.cores.min(other.cores),
            kernel: both(self.kernel, &other.kernel),
            architecture: both(self.architecture, &other.architecture),
            governor: self.governor.filter(|governor| other.governor.as_ref() == Some(governor)),
            memory_mb: self.memory_mb.min(other.memory_mb),
            control_groups: self.control_groups.filter(|version| other.control_groups == Some(*version)),
            read_ahead_kib: self.read_ahead_kib.filter(|kib| other.read_ahead_kib == Some(*kib)),
            certificates: self.certificates.filter(|bundle| other.certificates.as_ref() == Some(bundle)),
        }
    }

    /// This machine, with the read-ahead of the disk of `directory`. Names that cannot be determined are `unknown`.
    pub fn here(directory: &Path) -> Self {
        let read = |path: &str| fs::read_to_string(path).unwrap_or_default();
        let field = |text: &str, name: &str| {
            let line = text.lines().find(|line| line.starts_with(name))?;
            Some(line.split_once(':')?.1.trim().to_owned())
        };
        let uname = nix::sys::utsname::uname().ok();
        let of = |part: fn(&nix::sys::utsname::UtsName) -> &std::ffi::OsStr| {
            uname.as_ref().map_or_else(|| "unknown".to_owned(), |uname| part(uname).to_string_lossy().into_owned())
        };
        let kilobytes =
            field(&read("/proc/meminfo"), "MemTotal").and_then(|total| total.split(' ').next()?.parse::<u64>().ok());
        let governor = read("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor");
        Self {
            cpu: field(&read("/proc/cpuinfo"), "model name").unwrap_or_else(|| "unknown".to_owned()),
            cores: std::thread::available_parallelism().map_or(1, usize::from),
            kernel: format!("{} {}", of(|uname| uname.sysname()), of(|uname| uname.release())),
            architecture: of(|uname| uname.machine()),
            governor: Some(governor.trim().to_owned()).filter(|governor| !governor.is_empty()),
            memory_mb: kilobytes.unwrap_or_default() / 1024,
            control_groups: control_groups(),
            read_ahead_kib: read_ahead(directory),
            certificates: trust::certificates(),
        }
    }
}

fn unrecorded_instrument() -> u32 {
    UNRECORDED_INSTRUMENT
}

/// Whether a refusal means that a condition was not produced. Runs of earlier versions measured such conditions all the same.
fn is_refused(condition: &Condition, sentence: &str) -> bool {
    [
        (produced::NO_SHARE, condition.regime == Regime::Throttled),
        (produced::NO_STORE, condition.trust_store != TrustStore::Host),
        (produced::NOT_COLD, condition.cache == Cache::Cold),
    ]
    .into_iter()
    .any(|(refusal, matters)| matters && sentence.starts_with(refusal))
}

/// Joins two names with "and", unless the second is contained already.
fn both(one: String, other: &str) -> String {
    if one.split(" and ").any(|known| known == other) { one } else { format!("{one} and {other}") }
}

fn read_ahead(directory: &Path) -> Option<u64> {
    let device = fs::metadata(directory).ok()?.dev();
    let (major, minor) = (nix::sys::stat::major(device), nix::sys::stat::minor(device));
    fs::read_to_string(format!("/sys/class/bdi/{major}:{minor}/read_ahead_kb")).ok()?.trim().parse().ok()
}

fn commit() -> Option<String> {
    let git = |arguments: &[&str]| {
        let output = Command::new("git").args(arguments).output().ok().filter(|output| output.status.success())?;
        Some(String::from_utf8_lossy(&output.stdout).trim().to_owned())
    };
    let commit = git(&["rev-parse", "HEAD"])?;
    let dirty = !git(&["status", "--porcelain", "--untracked-files=no"])?.is_empty();
    Some(if dirty { commit + "-dirty" } else { commit })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn facts_common_to_two_machines_are_kept() {
        let here = Machine::here(Path::new("."));
        assert_eq!(here.clone().and(&here), here);
        let other = Machine { kernel: "Linux 6.1".to_owned(), read_ahead_kib: Some(1 << 30), ..here.clone() };
        let both = here.clone().and(&other).and(&other);
        assert_eq!(both.kernel, format!("{} and Linux 6.1", here.kernel));
        assert_eq!((both.read_ahead_kib, both.cpu), (None, here.cpu));
    }
}
