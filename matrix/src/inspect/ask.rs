//! Asks a program that is only at hand as bytes what it is, with `--version=json`, as nobody, without a network, and in a process namespace of its own.

use std::fs::Permissions;
use std::io::{self, PipeReader, PipeWriter, Read as _};
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::process::CommandExt as _;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::sched::{CloneFlags, unshare};
use nix::sys::resource::{Resource, setrlimit};
use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;
use serde_json::Value;

use super::pid_namespace;
use crate::emulator;
use crate::executable;

/// How long a program may take.
const TIME: Duration = Duration::from_secs(10);
/// Bytes of an answer that are read.
const MAX_ANSWER: u64 = 1 << 20;
/// Bytes of memory and processes that a program may have. An emulator reserves more addresses than any machine has memory, and uses few.
const LIMITS: [(Resource, u64); 2] = [(Resource::RLIMIT_DATA, 1 << 30), (Resource::RLIMIT_NPROC, 64)];
/// Bytes that an emulator may write to a file: it keeps some of what it needs in one. A program that needs no emulator may write none.
const EMULATORS_FILE: u64 = 64 << 20;
/// User and group of nobody, on every Linux system.
const NOBODY: u32 = 65_534;

/// Why a program has not said what it is.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("it cannot be written to a temporary directory")]
    Store(#[source] io::Error),
    #[error(transparent)]
    NoEmulator(#[from] emulator::MissingEmulator),
    #[error("it cannot be started without privileges and without a network")]
    Isolate(#[source] io::Error),
    #[error("it cannot be watched")]
    Watch(#[source] io::Error),
    /// The program is to blame; all others are faults of this machine.
    #[error("{0}")]
    Program(String),
}

impl Error {
    pub(super) fn is_of_machine(&self) -> bool {
        !matches!(self, Self::Program(_))
    }
}

/// Its answer, or why there is none. Only root can become nobody.
pub(super) fn ask(program: &[u8]) -> Result<Value, Error> {
    let place = tempfile::Builder::new().permissions(Permissions::from_mode(0o755)).tempdir().map_err(Error::Store)?;
    let file = place.path().join("program");
    executable::write(&file, program).map_err(Error::Store)?;
    let start = emulator::start(&file)?;
    let file_size = if start.program == file { 0 } else { EMULATORS_FILE };
    let mut command = Command::new(start.program);
    command.args(start.arguments).arg("--version=json").current_dir("/").env_clear().process_group(0);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
    command.uid(NOBODY).gid(NOBODY);
    let (mut isolated, word) = io::pipe().map_err(Error::Isolate)?;
    let (ended, report) = io::pipe().map_err(Error::Isolate)?;
    isolate(&mut command, file_size, word, report);
    let child = command.spawn();
    // Its ends of the pipes go with it: without a word from the child, the pipe has ended.
    drop(command);
    let child = child.map_err(|error| {
        let is_isolated = isolated.read(&mut [0]).is_ok_and(|read| read == 1);
        if is_isolated && is_no_program(&error) {
            Error::Program(format!("the system does not execute it: {error}"))
        } else {
            Error::Isolate(error)
        }
    })?;
    serde_json::from_slice(&answer(child, ended)?)
        .map_err(|error| Error::Program(format!("--version=json cannot be read: {error}")))
}

/// What `execve` says of a file that is broken. Anything else, such as a loader that is missing, is for this machine to have.
fn is_no_program(error: &io::Error) -> bool {
    let errno = error.raw_os_error().map(Errno::from_raw);
    matches!(errno, Some(Errno::ENOEXEC | Errno::EINVAL | Errno::ELIBBAD))
}

/// Waits for the end of a program, and kills it if that does not come. What it has started ends with it, in whichever session that is: nothing of a stranger's is left
/// behind, and nothing keeps the answer's pipe open.
fn answer(mut child: Child, ended: PipeReader) -> Result<Vec<u8>, Error> {
    let (sender, receiver) = mpsc::channel();
    let output = child.stdout.take();
    thread::spawn(move || {
        let mut answer = Vec::new();
        let read = output.map_or(Ok(0), |output| output.take(MAX_ANSWER).read_to_end(&mut answer));
        // Nobody waits any more if the time is up.
        let _ = sender.send(read.map(|_| answer));
    });
    let end = Instant::now() + TIME;
    while child.try_wait().map_err(Error::Watch)?.is_none() {
        if Instant::now() >= end {
            kill(&mut child);
            return Err(late());
        }
        thread::sleep(Duration::from_millis(5));
    }
    let status = pid_namespace::status(ended).map_err(Error::Watch)?;
    if !status.success() {
        return Err(Error::Program(format!("--version=json ended with {status}")));
    }
    let left = end.saturating_duration_since(Instant::now());
    receiver.recv_timeout(left).map_err(|_| late())?.map_err(Error::Watch)
}

fn late() -> Error {
    Error::Program(format!("--version=json took longer than {} s", TIME.as_secs()))
}

/// Kills the processes around a program that has not ended, and with the first one of its namespace the kernel kills everything in it.
fn kill(child: &mut Child) {
    if let Some(group) = i32::try_from(child.id()).ok().map(Pid::from_raw) {
        let _ = killpg(group, Signal::SIGKILL);
    }
    let _ = child.wait();
}

/// `word` gets a byte once the program's process is isolated, and `report` how that has ended.
#[expect(unsafe_code, reason = "the only way to act in the child between fork and exec")]
fn isolate(command: &mut Command, file_size: u64, word: PipeWriter, report: PipeWriter) {
    const OWN: CloneFlags = CloneFlags::CLONE_NEWUSER
        .union(CloneFlags::CLONE_NEWNET)
        .union(CloneFlags::CLONE_NEWIPC)
        .union(CloneFlags::CLONE_NEWPID);
    let hook = move || -> io::Result<()> {
        nix::sys::prctl::set_no_new_privs()?;
        nix::sys::prctl::set_pdeathsig(Signal::SIGKILL)?;
        unshare(OWN)?;
        pid_namespace::enter(&report)?;
        for (resource, limit) in LIMITS.into_iter().chain([(Resource::RLIMIT_FSIZE, file_size)]) {
            setrlimit(resource, limit, limit)?;
        }
        nix::unistd::write(&word, b"1")?;
        Ok(())
    };
    // SAFETY: between fork and exec only async-signal-safe calls are allowed. The hook makes system calls, allocates nothing and takes no lock.
    unsafe { command.pre_exec(hook) };
}

/// Whether a program knows the question: it has it in it. One that does not would do what it is there for.
pub(super) fn knows_the_question(program: &[u8]) -> bool {
    const QUESTION: &[u8] = b"--version=json";
    program.windows(QUESTION.len()).any(|window| window == QUESTION)
}
