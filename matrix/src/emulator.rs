//! Programs for another processor than this machine's are started all the same, by an emulator.
//!
//! A kernel can be told to find the emulator itself (`binfmt_misc`); then there is nothing to be done here. Where it is not, the emulator is put before the
//! program, which holds for that program alone: what it executes in turn, the kernel refuses.

use std::fs::File;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use object::elf::{ELFMAG, EM_AARCH64, EM_X86_64};

use crate::flavour::Architecture;

/// Where a kernel keeps what it was told about programs that it cannot execute by itself.
const REGISTERED: &str = "/proc/sys/fs/binfmt_misc";

/// An emulator of a processor, of its programs alone and not of a machine.
#[derive(Clone, Copy, Debug)]
struct Emulator {
    architecture: Architecture,
    program: &'static str,
    /// Where a loader and libraries for that processor are looked for, and not in the root.
    libraries: &'static str,
    /// Under which name it is registered.
    registered: &'static str,
    remedy: &'static str,
}

const EMULATORS: [Emulator; 2] = [
    Emulator {
        architecture: Architecture::Arm64,
        program: "/usr/bin/qemu-aarch64-static",
        libraries: "/usr/aarch64-linux-gnu",
        registered: "qemu-aarch64",
        remedy: "apt-get install --no-install-recommends qemu-user-static libc6-arm64-cross",
    },
    Emulator {
        architecture: Architecture::X86_64,
        program: "/usr/bin/qemu-x86_64-static",
        libraries: "/usr/x86_64-linux-gnu",
        registered: "qemu-x86_64",
        remedy: "apt-get install --no-install-recommends qemu-user-static libc6-amd64-cross",
    },
];

/// How a program is started on this machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Start {
    pub program: PathBuf,
    /// What comes before its own.
    pub arguments: Vec<String>,
}

/// A program that cannot be started here.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("it is for {architecture}, and there is no emulator of that here: {remedy}")]
pub struct Missing {
    architecture: Architecture,
    remedy: &'static str,
}

/// How to start a program. What is no program for a known processor is started as it is, so that the system says what is wrong with it.
pub fn start(program: &Path) -> Result<Start, Missing> {
    start_here(program, Architecture::of_this_machine(), Path::new(REGISTERED), Path::exists)
}

/// Whether programs for a processor can be started here, by itself or in an emulator.
pub fn can_start(architecture: Architecture) -> bool {
    let emulated = |it: &Emulator| Path::new(REGISTERED).join(it.registered).exists() || Path::new(it.program).exists();
    let emulator = EMULATORS.iter().find(|emulator| emulator.architecture == architecture);
    architecture == Architecture::of_this_machine() || emulator.is_some_and(emulated)
}

/// Whether a program is for another processor and the kernel would not execute it by itself: what it executes in turn is not executed either.
pub fn is_emulated(program: &Path) -> bool {
    start(program).map_or(true, |start| start.program != program)
}

fn start_here(
    program: &Path,
    machine: Architecture,
    registered: &Path,
    exists: impl Fn(&Path) -> bool,
) -> Result<Start, Missing> {
    let as_it_is = Start { program: program.to_owned(), arguments: Vec::new() };
    let architecture = architecture_of(program).ok().flatten().filter(|architecture| *architecture != machine);
    let emulator = EMULATORS.iter().find(|emulator| Some(emulator.architecture) == architecture);
    let Some(Emulator { architecture, program: path, libraries, registered: name, remedy }) = emulator else {
        return Ok(as_it_is);
    };
    if exists(&registered.join(name)) {
        return Ok(as_it_is);
    }
    if !exists(Path::new(path)) {
        return Err(Missing { architecture: *architecture, remedy });
    }
    let arguments = ["-L".to_owned(), (*libraries).to_owned(), program.display().to_string()].to_vec();
    Ok(Start { program: path.into(), arguments })
}

/// For which processor a program is; none of scripts, and of what is for others.
fn architecture_of(program: &Path) -> io::Result<Option<Architecture>> {
    // Of the file's header, what stands before the entry point.
    let mut header = [0; 20];
    File::open(program)?.read_exact(&mut header)?;
    let [magic @ .., low, high] = header;
    let known = [(EM_X86_64, Architecture::X86_64), (EM_AARCH64, Architecture::Arm64)];
    let is = |machine: object::elf::Machine| machine.0 == u16::from_le_bytes([low, high]);
    let found = known.into_iter().find(|(machine, _)| magic.starts_with(&ELFMAG) && is(*machine));
    Ok(found.map(|(_, architecture)| architecture))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The beginning of a program for a processor, and of nothing else.
    fn program(folder: &Path, machine: u8) -> PathBuf {
        let path = folder.join(format!("program-{machine}"));
        let mut header = b"\x7fELF\x02\x01\x01".to_vec();
        header.resize(16, 0);
        header.extend([2, 0, machine, 0]);
        std::fs::write(&path, header).unwrap();
        path
    }

    #[test]
    fn a_program_for_this_processor_is_started_as_it_is() {
        let folder = tempfile::tempdir().unwrap();
        let start = |program: &Path| start_here(program, Architecture::X86_64, folder.path(), |_| true).unwrap();
        let native = program(folder.path(), 62);
        assert_eq!(start(&native), Start { program: native, arguments: Vec::new() });
        let script = folder.path().join("script");
        std::fs::write(&script, "#!/bin/sh\nexit 0 # and more\n").unwrap();
        assert_eq!(start(&script).program, script);
        assert_eq!(start(Path::new("/nowhere")).program, Path::new("/nowhere"), "the system says what is wrong");
    }

    #[test]
    fn a_program_for_another_processor_has_its_emulator_before_it() {
        let folder = tempfile::tempdir().unwrap();
        let foreign = program(folder.path(), 183);
        let there = |path: &Path| path.starts_with("/usr/bin");
        let start = start_here(&foreign, Architecture::X86_64, folder.path(), there).unwrap();
        assert_eq!(start.program, Path::new("/usr/bin/qemu-aarch64-static"));
        assert_eq!(start.arguments, ["-L", "/usr/aarch64-linux-gnu", foreign.to_str().unwrap()]);
        let other = start_here(&program(folder.path(), 62), Architecture::Arm64, folder.path(), there).unwrap();
        assert_eq!(other.program, Path::new("/usr/bin/qemu-x86_64-static"));
    }

    #[test]
    fn where_the_kernel_knows_the_emulator_nothing_is_put_before_the_program() {
        let folder = tempfile::tempdir().unwrap();
        let foreign = program(folder.path(), 183);
        let start = start_here(&foreign, Architecture::X86_64, folder.path(), |_| true).unwrap();
        assert_eq!(start, Start { program: foreign, arguments: Vec::new() });
    }

    #[test]
    fn a_missing_emulator_is_named_with_its_cure() {
        let folder = tempfile::tempdir().unwrap();
        let foreign = program(folder.path(), 183);
        let missing = start_here(&foreign, Architecture::X86_64, folder.path(), |_| false).unwrap_err().to_string();
        assert!(missing.contains("it is for arm64") && missing.contains("apt-get install"), "{missing}");
        assert!(missing.contains("qemu-user-static"), "{missing}");
    }
}
