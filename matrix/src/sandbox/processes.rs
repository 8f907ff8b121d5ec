//! The sandbox's process namespace. On Lambda, an extension sees the function, the extensions and a few of the platform's processes only.
//!
//! Source: `pid_namespaces(7)`. A namespace needs a first process as long as it is used; on Lambda that is the platform's own.

use std::fs::File;
use std::io;
use std::os::fd::AsFd as _;
use std::os::unix::process::CommandExt as _;
use std::process::{Child, Command, Stdio};

use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, setns, unshare};
use nix::sys::prctl::set_pdeathsig;
use nix::sys::signal::{SigHandler, Signal, signal};

use super::process_table::ProcessTable;

/// A process namespace. All of its processes end with it.
#[derive(Debug)]
pub(crate) struct Processes {
    /// The first process; taken when the namespace is ended.
    first: Option<Child>,
    own: File,
    machine: File,
}

/// A guard: while it exists, children of the calling thread are created in the namespace. The thread cannot start threads meanwhile.
#[derive(Debug)]
pub(crate) struct NamespaceGuard<'a>(&'a Processes);

impl Processes {
    /// Makes a process namespace. It needs `CAP_SYS_ADMIN`.
    pub(crate) fn isolate() -> io::Result<Self> {
        let machine = File::open("/proc/thread-self/ns/pid")?;
        // Tests that the thread can return. From within a user namespace of its own it cannot, and it could not start any process any more.
        setns(&machine, CloneFlags::CLONE_NEWPID)?;
        unshare(CloneFlags::CLONE_NEWPID)?;
        let first = first_process();
        // The thread returns whether or not the first process was started.
        setns(&machine, CloneFlags::CLONE_NEWPID)?;
        let first = first?;
        let own = File::open(format!("/proc/{}/ns/pid", first.id()))?;
        Ok(Self { first: Some(first), own, machine })
    }

    /// The processes of the namespace without the first one.
    pub(crate) fn table(&self) -> ProcessTable {
        self.first.as_ref().map_or_else(ProcessTable::of_machine, |first| ProcessTable::of_namespace(first.id()))
    }

    /// Makes the calling thread create its children in the namespace.
    pub(crate) fn enter(&self) -> io::Result<NamespaceGuard<'_>> {
        setns(self.own.as_fd(), CloneFlags::CLONE_NEWPID)?;
        Ok(NamespaceGuard(self))
    }
}

impl Drop for Processes {
    fn drop(&mut self) {
        // The kernel kills all other processes with the first one. It is gone only when the parent of the others has reaped them, and that may be this very
        // thread.
        if let Some(mut first) = self.first.take()
            && first.kill().is_ok()
        {
            std::thread::spawn(move || first.wait());
        }
    }
}

impl Drop for NamespaceGuard<'_> {
    fn drop(&mut self) {
        // It cannot fail: `isolate` has tested it.
        let _ = setns(self.0.machine.as_fd(), CloneFlags::CLONE_NEWPID);
    }
}

/// Makes a child see the processes of its own namespace in `/proc`. Called between fork and exec.
pub(crate) fn look_around() -> io::Result<()> {
    unshare(CloneFlags::CLONE_NEWNS)?;
    let none: Option<&str> = None;
    mount(none, "/", none, MsFlags::MS_REC | MsFlags::MS_PRIVATE, none)?;
    mount(Some("proc"), "/proc", Some("proc"), MsFlags::empty(), none)?;
    Ok(())
}

/// The first process, which does nothing until it is killed. It also tests [`look_around`], so that it will not fail later.
#[expect(unsafe_code, reason = "the only way to act in the child between fork and exec")]
fn first_process() -> io::Result<Child> {
    let mut command = Command::new("sleep");
    command.arg("infinity").stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    let hook = || {
        set_pdeathsig(Signal::SIGKILL)?;
        // It becomes the parent of orphans, and the kernel reaps children of a parent that ignores SIGCHLD.
        // SAFETY: no handler is installed.
        unsafe { signal(Signal::SIGCHLD, SigHandler::SigIgn) }?;
        look_around()
    };
    // SAFETY: between fork and exec only async-signal-safe calls are allowed. The hook makes system calls, allocates nothing and takes no lock.
    unsafe { command.pre_exec(hook) };
    command.spawn()
}

#[cfg(test)]
mod tests {
    use std::io::BufRead as _;
    use std::thread;

    use super::*;
    use crate::sandbox::isolation;

    /// The ids that a process sees in a new namespace.
    fn seen() -> io::Result<String> {
        let processes = Processes::isolate()?;
        let mut command = Command::new("sh");
        command.args(["-c", "cd /proc && echo [0-9]*; sleep 60 & read line"]);
        #[expect(unsafe_code, reason = "as where it is used")]
        // SAFETY: as where it is used.
        unsafe {
            command.pre_exec(look_around);
        }
        let entered = processes.enter()?;
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
        drop(entered);
        let mut output = io::BufReader::new(child.stdout.take().unwrap());
        let mut ids = String::new();
        output.read_line(&mut ids)?;
        // The thread can start threads again.
        assert!(thread::spawn(|| true).join().unwrap());
        drop(processes);
        // The output ends when all processes that could write to it are gone.
        output.read_line(&mut String::new())?;
        child.wait()?;
        Ok(ids)
    }

    #[test]
    fn a_process_sees_the_first_one_and_itself_and_all_end_with_the_namespace() {
        match thread::spawn(seen).join().unwrap() {
            Ok(ids) => assert_eq!(ids, "1 2\n"),
            Err(refused) => {
                assert_eq!(refused.raw_os_error(), Some(1), "only a missing privilege is a reason: {refused}");
                assert!(!isolation::is_required(), "{refused}");
            }
        }
    }
}
