//! Starts programs for another processor in a user-mode emulator.
//!
//! If the kernel knows the emulator (`binfmt_misc`), nothing needs to be done. Otherwise the command line starts the emulator with the program as its argument.
//! That applies to this program alone: the kernel cannot execute the programs that it executes, unless a script stands in their places.

use std::ffi::OsString;
use std::fs::{self, File};
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use crate::elf::program::{self, HEADER_BYTES};
use crate::executable;
use crate::target::Architecture;

/// The directory of the kernel's registered binary formats.
const REGISTERED: &str = "/proc/sys/fs/binfmt_misc";

/// What is appended to the name of a program whose place a script has taken.
const MOVED: &str = ".emulated";

/// A user-mode emulator of a processor.
#[derive(Clone, Copy, Debug)]
struct Emulator {
    architecture: Architecture,
    program: &'static str,
    /// The directory in which the emulator looks for the loader and libraries, in place of the root.
    libraries: &'static str,
    /// The name of its registration in `binfmt_misc`.
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

/// The command that starts a program on this machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Start {
    pub program: PathBuf,
    /// Arguments that precede the program's own.
    pub arguments: Vec<String>,
}

/// The error that a program needs an emulator that is not installed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("it is for {architecture}, and there is no emulator of that here: {remedy}")]
pub struct MissingEmulator {
    architecture: Architecture,
    remedy: &'static str,
}

/// The command that starts a program. A file that is not a program for a known processor is started directly, so that the system reports what is wrong.
pub fn start(program: &Path) -> Result<Start, MissingEmulator> {
    start_here(program, Architecture::of_this_machine(), Path::new(REGISTERED), Path::exists)
}

/// Whether programs for a processor can be started here, natively or in an emulator.
pub fn can_start(architecture: Architecture) -> bool {
    let emulated = |it: &Emulator| Path::new(REGISTERED).join(it.registered).exists() || Path::new(it.program).exists();
    let emulator = EMULATORS.iter().find(|emulator| emulator.architecture == architecture);
    architecture == Architecture::of_this_machine() || emulator.is_some_and(emulated)
}

/// Lets other programs execute a program that needs an emulator which the kernel does not know: a shell script takes its place and becomes the emulator with it,
/// in the same process and with the same descriptors. Does nothing to other files, nor where the emulator is missing.
pub fn let_others_execute(program: &Path) -> io::Result<()> {
    match start(program) {
        Ok(start) if start.program != program => replace_by_script(program, &start),
        _ => Ok(()),
    }
}

/// The program stays beside the script, under another name.
fn replace_by_script(program: &Path, start: &Start) -> io::Result<()> {
    let mut moved = OsString::from(program);
    moved.push(MOVED);
    fs::rename(program, moved)?;
    let options = start.arguments.split_last().map(|(_, options)| options.join(" ")).unwrap_or_default();
    let emulator = start.program.display();
    executable::write(program, format!("#!/bin/sh\nexec {emulator} {options} \"$0{MOVED}\" \"$@\"\n"))
}

fn start_here(
    program: &Path,
    machine: Architecture,
    registered: &Path,
    exists: impl Fn(&Path) -> bool,
) -> Result<Start, MissingEmulator> {
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
        return Err(MissingEmulator { architecture: *architecture, remedy });
    }
    let arguments = ["-L".to_owned(), (*libraries).to_owned(), program.display().to_string()].to_vec();
    Ok(Start { program: path.into(), arguments })
}

/// The processor of a program; `None` for scripts and for other processors.
fn architecture_of(program: &Path) -> io::Result<Option<Architecture>> {
    let mut header = [0; HEADER_BYTES];
    File::open(program)?.read_exact(&mut header)?;
    let mut known = [Architecture::X86_64, Architecture::Arm64].into_iter();
    Ok(program::architecture(&header).and_then(|name| known.find(|known| known.to_string() == name)))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Writes the start of an ELF file for a processor.
    fn program(folder: &Path, machine: u8) -> PathBuf {
        let path = folder.join(format!("program-{machine}"));
        let mut header = b"\x7fELF\x02\x01\x01".to_vec();
        header.resize(16, 0);
        header.extend([2, 0, machine, 0]);
        fs::write(&path, header).unwrap();
        path
    }

    #[test]
    fn a_program_for_this_processor_is_started_as_it_is() {
        let folder = tempfile::tempdir().unwrap();
        let start = |program: &Path| start_here(program, Architecture::X86_64, folder.path(), |_| true).unwrap();
        let native = program(folder.path(), 62);
        assert_eq!(start(&native), Start { program: native, arguments: Vec::new() });
        let script = folder.path().join("script");
        fs::write(&script, "#!/bin/sh\nexit 0 # and more\n").unwrap();
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
    fn a_script_in_the_place_of_a_program_becomes_its_emulator() {
        let folder = tempfile::tempdir().unwrap();
        let path = program(folder.path(), 183);
        let bytes = fs::read(&path).unwrap();
        let arguments = ["-L".to_owned(), "/libraries".to_owned(), path.display().to_string()].to_vec();
        // In the place of an emulator a program that tells its arguments.
        replace_by_script(&path, &Start { program: "/bin/echo".into(), arguments }).unwrap();
        let output = std::process::Command::new(&path).args(["a", "b c"]).output().unwrap();
        let moved = format!("{}{MOVED}", path.display());
        assert_eq!(String::from_utf8(output.stdout).unwrap(), format!("-L /libraries {moved} a b c\n"));
        assert_eq!(fs::read(moved).unwrap(), bytes);
        let native = Path::new("/bin/true");
        let_others_execute(native).unwrap();
        assert!(native.exists());
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
