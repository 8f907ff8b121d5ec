//! Asks a program that is only at hand as bytes what it is, with `--version=json`, as nobody and without a network.

use std::fs::Permissions;
use std::io::{self, Read as _};
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::process::CommandExt as _;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use nix::sched::{CloneFlags, unshare};
use nix::sys::resource::{Resource, setrlimit};
use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;
use serde_json::Value;

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

/// Its answer, or why there is none. Only root can become nobody.
pub(super) fn ask(program: &[u8]) -> Result<Value, String> {
    let place = tempfile::Builder::new().permissions(Permissions::from_mode(0o755)).tempdir();
    let place = place.map_err(|error| error.to_string())?;
    let file = place.path().join("program");
    executable::write(&file, program).map_err(|error| error.to_string())?;
    let start = emulator::start(&file).map_err(|missing| missing.to_string())?;
    let file_size = if start.program == file { 0 } else { EMULATORS_FILE };
    let mut command = Command::new(start.program);
    command.args(start.arguments).arg("--version=json").current_dir("/").env_clear().process_group(0);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
    command.uid(NOBODY).gid(NOBODY);
    isolate(&mut command, file_size);
    let child = command.spawn().map_err(|error| format!("it cannot be started without privileges: {error}"))?;
    serde_json::from_slice(&answer(child)?).map_err(|error| format!("--version=json cannot be read: {error}"))
}

/// Waits for the end of a program, and kills it if that does not come. What it has started ends with it: it could keep the answer's pipe open for ever.
fn answer(mut child: Child) -> Result<Vec<u8>, String> {
    let (sender, receiver) = mpsc::channel();
    let output = child.stdout.take();
    thread::spawn(move || {
        let mut answer = Vec::new();
        let read = output.map_or(Ok(0), |output| output.take(MAX_ANSWER).read_to_end(&mut answer));
        // Nobody waits any more if the time is up.
        let _ = sender.send(read.map(|_| answer));
    });
    let end = Instant::now() + TIME;
    let status = loop {
        match child.try_wait().map_err(|error| error.to_string())? {
            None if Instant::now() < end => thread::sleep(Duration::from_millis(5)),
            status => break status,
        }
    };
    if let Some(group) = i32::try_from(child.id()).ok().map(Pid::from_raw) {
        let _ = killpg(group, Signal::SIGKILL);
    }
    let late = || format!("--version=json took longer than {} s", TIME.as_secs());
    let Some(status) = status else {
        let _ = child.wait();
        return Err(late());
    };
    if !status.success() {
        return Err(format!("--version=json ended with {status}"));
    }
    let left = end.saturating_duration_since(Instant::now());
    receiver.recv_timeout(left).map_err(|_| late())?.map_err(|error| error.to_string())
}

#[expect(unsafe_code, reason = "the only way to act in the child between fork and exec")]
fn isolate(command: &mut Command, file_size: u64) {
    let hook = move || -> io::Result<()> {
        nix::sys::prctl::set_no_new_privs()?;
        nix::sys::prctl::set_pdeathsig(Signal::SIGKILL)?;
        unshare(CloneFlags::CLONE_NEWUSER | CloneFlags::CLONE_NEWNET | CloneFlags::CLONE_NEWIPC)?;
        for (resource, limit) in LIMITS.into_iter().chain([(Resource::RLIMIT_FSIZE, file_size)]) {
            setrlimit(resource, limit, limit)?;
        }
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
