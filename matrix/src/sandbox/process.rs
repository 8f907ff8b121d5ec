//! The processes of a sandbox. Each has its own process group, which is stopped, continued and killed as a whole.

use std::collections::BTreeMap;
use std::fs::OpenOptions;
use std::io;
use std::os::fd::{AsFd as _, AsRawFd as _, OwnedFd};
use std::path::Path;
use std::process::{ExitStatus, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use nix::fcntl::{FcntlArg, FdFlag, OFlag, fcntl};
use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::signal::{Signal, killpg};
use nix::time::{ClockId, clock_gettime};
use nix::unistd::Pid;
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use tokio::net::unix::pipe::Receiver;
use tokio::process::Command;
use tokio::sync::watch;

use super::cpu::CgroupEntry;
use super::footprint::{BaselineUsage, cpu_time};
use super::frames::Record;
use super::lambda_user::LambdaUser;
use super::lines::Lines;
use super::next_breakpoint::NextBreakpoint;
use super::output_splitter::OutputSplitter;
use super::processes::{self, Processes};
use super::system_files::SystemFiles;

/// The program to run, with its environment and limits.
#[derive(Debug)]
pub(crate) struct Launch<'a> {
    pub program: &'a Path,
    pub arguments: &'a [String],
    pub environment: &'a BTreeMap<String, String>,
    pub directory: &'a Path,
    pub line_bytes: usize,
    pub cgroup_entry: Option<&'a CgroupEntry>,
    /// The breakpoint that stops it.
    pub next_breakpoint: Option<&'a Arc<NextBreakpoint>>,
    /// The process namespace; `None` if it sees the machine's processes.
    pub processes: Option<&'a Processes>,
    /// The files with the environment's figures; `None` if it sees the machine's.
    pub system_files: Option<&'a Arc<SystemFiles>>,
    /// The user as whom it runs; `None` if that is the one who started the sandbox.
    pub user: Option<LambdaUser>,
    /// Whether it gets a descriptor for framed log records, as managed runtimes do.
    pub has_log_pipe: bool,
}

/// The variable with the number of the descriptor for framed log records.
const LOG_PIPE: &str = "_LAMBDA_TELEMETRY_LOG_FD";

/// A callback for the lines and log records of a process.
pub(crate) type Sink = Arc<dyn Fn(Record<'_>) + Send + Sync>;

/// A child process with its descendants. Dropping it kills its process group.
#[derive(Debug)]
pub(crate) struct Process {
    /// The process id, which is also the id of its process group.
    pub pid: Pid,
    /// The time just before `execve`, taken by the child.
    pub executed: Instant,
    /// Its usage before the exec.
    pub baseline_usage: BaselineUsage,
    exit: watch::Receiver<Option<ExitStatus>>,
    pump: Arc<PipeReader>,
}

impl Process {
    /// Starts `launch`. It must be called on the sandbox's own thread: the kernel kills the child when its parent thread ends.
    ///
    /// `exited` is called once, when the child has ended and all of its lines have been read, with the CPU time since its exec.
    pub(crate) fn start(
        launch: &Launch<'_>,
        sink: &Sink,
        exited: impl FnOnce(ExitStatus, Option<Duration>) + Send + 'static,
    ) -> io::Result<Self> {
        let (output, output_end) = nix::unistd::pipe2(OFlag::O_CLOEXEC)?;
        let stderr_end = reopened(&output_end)?;
        let (clock, clock_end) = nix::unistd::pipe2(OFlag::O_CLOEXEC)?;
        let log_end = launch.has_log_pipe.then(|| reopened(&output_end)).transpose()?;
        // `/dev/stdout` and `/dev/stderr` can only be opened by the user of the pipe.
        launch.user.map_or(Ok(()), |user| user.own(&output_end))?;
        // Before there is anything to be read: what follows the exec delays the platform's first answers.
        let pump = PipeReader::start(output, launch, sink)?;
        let before = Instant::now();
        let mut child = {
            let mut command = Command::new(launch.program);
            command
                .args(launch.arguments)
                .env_clear()
                .envs(launch.environment)
                .envs(log_end.as_ref().map(|end| (LOG_PIPE, end.as_raw_fd().to_string())))
                .current_dir(launch.directory)
                .stdin(Stdio::null())
                .stdout(output_end)
                .stderr(stderr_end)
                .process_group(0)
                .kill_on_drop(true);
            at_exec(&mut command, before, clock_end, log_end, launch);
            let _entered = launch.processes.map(Processes::enter).transpose()?;
            command.spawn()?
        };
        let stamp = ExecTimestamp::read(&clock)?;
        let (executed, baseline_usage) = (before + stamp.elapsed, stamp.baseline_usage);
        let pid = child.id().and_then(|id| i32::try_from(id).ok()).map(Pid::from_raw);
        let pid = pid.ok_or_else(|| io::Error::other("the child ended before it was seen"))?;
        let (exit_tx, exit) = watch::channel(None);
        let last_lines = Arc::clone(&pump);
        tokio::spawn(async move {
            let used = used_at_end(pid, baseline_usage).await;
            let status = child.wait().await.unwrap_or_default();
            // Kills its descendants at once: later, the group id may belong to another group.
            let _ = killpg(pid, Signal::SIGKILL);
            last_lines.end_line();
            exited(status, used);
            let _ = exit_tx.send(Some(status));
        });
        Ok(Self { pid, executed, baseline_usage, exit, pump })
    }

    /// Sends a signal to the whole group; a group that is gone is no error.
    pub(crate) fn signal(&self, signal: Signal) {
        if self.exit.borrow().is_none() {
            let _ = killpg(self.pid, signal);
        }
    }

    /// The exit status, if it has ended.
    pub(crate) fn ended(&self) -> Option<ExitStatus> {
        *self.exit.borrow()
    }

    /// Waits for the process to end.
    pub(crate) async fn wait(&self) -> ExitStatus {
        let mut exit = self.exit.clone();
        let ended = exit.wait_for(Option::is_some).await;
        ended.ok().and_then(|status| *status).unwrap_or_default()
    }

    /// Reads every line that was written by now, without waiting.
    pub(crate) fn drain(&self) {
        self.pump.drain();
    }

    /// As [`Self::drain`]; text without a line feed counts as a line.
    pub(crate) fn end_lines(&self) {
        self.pump.end_line();
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.signal(Signal::SIGKILL);
    }
}

/// Another open file of the same pipe. A runtime that makes its standard output nonblocking does not change this one, as it would a duplicate: a long log record
/// would be cut.
fn reopened(end: &OwnedFd) -> io::Result<OwnedFd> {
    let path = format!("/proc/thread-self/fd/{}", end.as_raw_fd());
    OpenOptions::new().write(true).open(path).map(OwnedFd::from)
}

/// The CPU time of a process from its exec to its end. It is read from the zombie, because waiting for the process returns only a status.
async fn used_at_end(process: Pid, baseline_usage: BaselineUsage) -> Option<Duration> {
    let raw = rustix::process::Pid::from_raw(process.as_raw())?;
    let handle = watched(rustix::process::pidfd_open(raw, rustix::process::PidfdFlags::empty()).ok()?).ok()?;
    let _ = handle.readable().await.ok()?;
    cpu_time(process, baseline_usage)
}

#[expect(unsafe_code, reason = "the reactor has to be promised that what it watches stays open")]
fn watched(handle: OwnedFd) -> io::Result<AsyncFd<OwnedFd>> {
    // SAFETY: an `OwnedFd` is open until it is dropped and always returns the same descriptor, which is what the function requires.
    Ok(unsafe { AsyncFd::register_with_interest(handle, Interest::READABLE) }?)
}

#[expect(unsafe_code, reason = "the only way to act in the child between fork and exec")]
fn at_exec(command: &mut Command, before: Instant, clock: OwnedFd, log: Option<OwnedFd>, launch: &Launch<'_>) {
    let (cgroup_entry, next_breakpoint) = (launch.cgroup_entry.cloned(), launch.next_breakpoint.cloned());
    let (has_processes, system_files, user) = (launch.processes.is_some(), launch.system_files.cloned(), launch.user);
    let hook = move || {
        if has_processes {
            processes::look_around()?;
            system_files.as_ref().map_or(Ok(()), |files| files.mount_in_proc())?;
        }
        if let Some(cgroup_entry) = &cgroup_entry {
            cgroup_entry.enter()?;
        }
        if let Some(next_breakpoint) = &next_breakpoint {
            next_breakpoint.claim()?;
        }
        if let Some(log) = &log {
            fcntl(log, FcntlArg::F_SETFD(FdFlag::empty()))?;
        }
        user.map_or(Ok(()), LambdaUser::assume)?;
        nix::sys::prctl::set_pdeathsig(Signal::SIGKILL)?;
        ExecTimestamp::write(before, &clock)
    };
    // SAFETY: between fork and exec only async-signal-safe calls are allowed. The hook makes a handful of system calls
    // (`unshare`, `mount`, `write`, `sched_setaffinity`, `fcntl`, `setresuid`, `capset`, `prctl`, `getrusage`, `clock_gettime`), allocates nothing and takes no lock.
    unsafe { command.pre_exec(hook) };
}

/// What a child reports right before its `execve`.
struct ExecTimestamp {
    /// Time since the moment before the child was made.
    elapsed: Duration,
    baseline_usage: BaselineUsage,
}

impl ExecTimestamp {
    /// Writes the report in the child; the time is taken last.
    fn write(before: Instant, clock: &OwnedFd) -> io::Result<()> {
        let faults = getrusage(UsageWho::RUSAGE_SELF)?.minor_page_faults();
        let cpu = Duration::from(clock_gettime(ClockId::CLOCK_PROCESS_CPUTIME_ID)?);
        let nanoseconds = |duration: Duration| u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX);
        let mut stamp = [0_u8; 24];
        let numbers = [u64::try_from(faults).unwrap_or_default(), nanoseconds(cpu), nanoseconds(before.elapsed())];
        for (place, number) in stamp.chunks_exact_mut(8).zip(numbers) {
            place.copy_from_slice(&number.to_ne_bytes());
        }
        nix::unistd::write(clock, &stamp)?;
        Ok(())
    }

    /// Reads the report. It is available, because the child wrote it before its exec and `spawn` returns after that.
    fn read(clock: &OwnedFd) -> io::Result<Self> {
        let mut stamp = [0_u8; 24];
        nix::unistd::read(clock, &mut stamp)?;
        let (numbers, _) = stamp.as_chunks::<8>();
        let mut numbers = numbers.iter().map(|number| u64::from_ne_bytes(*number));
        let mut next = || numbers.next().unwrap_or_default();
        let (minor_faults, cpu, elapsed) = (next(), Duration::from_nanos(next()), Duration::from_nanos(next()));
        Ok(Self { elapsed, baseline_usage: BaselineUsage { cpu, minor_faults } })
    }
}

/// Reads the pipe of a process as data arrives, and on demand.
struct PipeReader {
    pipe: Receiver,
    splitter: Mutex<Splitter>,
    sink: Sink,
}

/// What divides the bytes of a pipe into lines, or into lines and records.
enum Splitter {
    Lines(Lines),
    LinesAndRecords(OutputSplitter),
}

impl Splitter {
    fn feed(&mut self, bytes: &[u8], record: &mut dyn FnMut(Record<'_>)) {
        match self {
            Self::Lines(lines) => lines.feed(bytes, &mut |line| record(Record::untimed(line))),
            Self::LinesAndRecords(splitter) => in_order_of_time(|record| splitter.feed(bytes, record), record),
        }
    }

    fn end_line(&mut self, record: &mut dyn FnMut(Record<'_>)) {
        match self {
            Self::Lines(lines) => lines.finish(&mut |line| record(Record::untimed(line))),
            Self::LinesAndRecords(splitter) => splitter.end_line(record),
        }
    }

    fn finish(&mut self, record: &mut dyn FnMut(Record<'_>)) {
        match self {
            Self::Lines(_) => self.end_line(record),
            Self::LinesAndRecords(splitter) => splitter.finish(record),
        }
    }
}

/// Emits what is read at once. Of records, the time is known at which they were written; a line before one was written before that.
fn in_order_of_time(read: impl FnOnce(&mut dyn FnMut(Record<'_>)), record: &mut dyn FnMut(Record<'_>)) {
    let mut all: Vec<(Vec<u8>, Option<Duration>)> = Vec::new();
    read(&mut |one| all.push((one.bytes.to_vec(), one.written)));
    let mut next: Option<Duration> = None;
    for (_, written) in all.iter_mut().rev() {
        next = written.map_or(next, |at| Some(next.map_or(at, |next| next.min(at))));
        *written = written.or(next);
    }
    for (bytes, written) in &all {
        record(Record { bytes, written: *written });
    }
}

impl std::fmt::Debug for PipeReader {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("PipeReader").finish_non_exhaustive()
    }
}

impl PipeReader {
    fn start(pipe: OwnedFd, launch: &Launch<'_>, sink: &Sink) -> io::Result<Arc<Self>> {
        let splitter = Mutex::new(if launch.has_log_pipe {
            Splitter::LinesAndRecords(OutputSplitter::new(launch.line_bytes))
        } else {
            Splitter::Lines(Lines::new(launch.line_bytes))
        });
        let pump = Arc::new(Self { pipe: Receiver::from_owned_fd(pipe)?, splitter, sink: Arc::clone(sink) });
        let reader = Arc::clone(&pump);
        tokio::spawn(async move {
            while reader.pipe.readable().await.is_ok() {
                if reader.read(|chunk| reader.pipe.try_read(chunk)) {
                    break;
                }
            }
        });
        Ok(pump)
    }

    /// Reads what is there, without waiting.
    ///
    /// A line that is written before an HTTP request is in the pipe when the request arrives, but the reactor notices the two independently. Reading here keeps
    /// the line before the request.
    fn drain(&self) {
        self.read(|chunk| Ok(nix::unistd::read(self.pipe.as_fd(), chunk)?));
    }

    /// As [`Self::drain`]; text without a line feed counts as a line. The rest of a log record is still to come.
    fn end_line(&self) {
        self.drain();
        let mut splitter = self.splitter.lock().unwrap_or_else(PoisonError::into_inner);
        splitter.end_line(&mut |record| (self.sink)(record));
    }

    /// Reads until nothing is there. Returns true at the end of the pipe.
    fn read(&self, read: impl Fn(&mut [u8]) -> io::Result<usize>) -> bool {
        let mut splitter = self.splitter.lock().unwrap_or_else(PoisonError::into_inner);
        let mut taken = |record: Record<'_>| (self.sink)(record);
        let mut chunk = [0_u8; 16 * 1024];
        loop {
            match read(&mut chunk) {
                Ok(0) => {
                    splitter.finish(&mut taken);
                    return true;
                }
                Ok(length) => splitter.feed(chunk.get(..length).unwrap_or_default(), &mut taken),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(_) => return false,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sandbox::isolation;

    /// What a program prints that is started with these arguments.
    async fn printed(program: &str, arguments: &[&str], user: Option<LambdaUser>) -> Vec<String> {
        let arguments: Vec<String> = arguments.iter().map(|argument| (*argument).to_owned()).collect();
        let environment = BTreeMap::from(["PATH"].map(|name| (name.to_owned(), std::env::var(name).unwrap())));
        let launch = Launch {
            program: Path::new(program),
            arguments: &arguments,
            environment: &environment,
            directory: Path::new("/"),
            line_bytes: 256 * 1024,
            cgroup_entry: None,
            next_breakpoint: None,
            processes: None,
            system_files: None,
            user,
            has_log_pipe: true,
        };
        let lines = Arc::new(Mutex::new(Vec::new()));
        let taken = Arc::clone(&lines);
        let sink: Sink = Arc::new(move |record: Record<'_>| {
            taken.lock().unwrap().push(String::from_utf8_lossy(record.bytes).into_owned());
        });
        Process::start(&launch, &sink, |_, _| ()).unwrap().wait().await;
        let lines = lines.lock().unwrap();
        lines.clone()
    }

    #[tokio::test]
    async fn a_long_record_is_whole_though_standard_output_does_not_block() {
        let script = "import os, struct\nos.set_blocking(1, False)\nlog = int(os.environ['_LAMBDA_TELEMETRY_LOG_FD'])\n\
            text = b'y' * 200000\nos.write(log, struct.pack('>IIQ', 0xa55a0003, len(text), 1) + text)\n\
            os.set_blocking(1, True)\nos.write(1, b'end\\n')\n";
        let lines = printed("/usr/bin/env", &["python3", "-c", script], None).await;
        assert_eq!(lines.iter().map(String::len).collect::<Vec<_>>(), [200_000, 3]);
    }

    #[tokio::test]
    async fn a_program_of_lambdas_user_opens_its_standard_error_by_name() {
        let user = match LambdaUser::set_up(std::iter::empty()) {
            Ok(user) => user,
            Err(refused) => return isolation::skip(&refused.to_string()),
        };
        let script = "echo first > /dev/stderr; echo second > /dev/stdout; echo third";
        assert_eq!(printed("/bin/sh", &["-c", script], Some(user)).await, ["first", "second", "third"]);
    }
}
