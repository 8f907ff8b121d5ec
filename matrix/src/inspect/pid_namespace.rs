//! A process namespace for one program: whatever it has started ends with it, in whichever session and process group that is.
//!
//! Source: `pid_namespaces(7)`. When the first process of a namespace ends, the kernel kills all others, and the first one is gone only after them. Three processes are
//! needed: the one that was started stays outside and waits for the first one inside, which waits for the program. The program itself cannot be the first: signals
//! such as that of `abort` would have no effect on it.

use std::io::{self, PipeReader, PipeWriter, Read as _};
use std::os::fd::{AsRawFd as _, RawFd};
use std::os::unix::process::ExitStatusExt as _;
use std::process::ExitStatus;

use nix::libc;
use nix::sys::prctl::set_pdeathsig;
use nix::sys::signal::Signal;

/// Returns in the second process of a namespace that the caller has just made for its children. Called between fork and exec. The calling process and the first one of
/// the namespace never return: they wait, and how the program has ended gets into `report`.
pub(super) fn enter(report: &PipeWriter) -> io::Result<()> {
    continue_in_child(None)?;
    // The process outside ends with the tool, or is killed.
    set_pdeathsig(Signal::SIGKILL)?;
    continue_in_child(Some(report.as_raw_fd()))
}

/// How the program has ended, when the process that was started has.
pub(super) fn status(mut report: PipeReader) -> io::Result<ExitStatus> {
    let mut status = [0; size_of::<libc::c_int>()];
    report.read_exact(&mut status)?;
    Ok(ExitStatus::from_raw(libc::c_int::from_ne_bytes(status)))
}

/// Forks, without the C library: another thread may have held one of its locks at the first fork.
#[expect(unsafe_code, reason = "no crate that we have offers this call")]
fn continue_in_child(report: Option<RawFd>) -> io::Result<()> {
    const NONE: libc::c_long = 0;
    let signal = libc::c_long::from(libc::SIGCHLD);
    // SAFETY: with a signal and no flags, the call makes a child that has a copy of everything and returns as this process does.
    match unsafe { libc::syscall(libc::SYS_clone, signal, NONE, NONE, NONE, NONE) } {
        -1 => Err(io::Error::last_os_error()),
        0 => Ok(()),
        child => wait_for(child, report),
    }
}

/// Waits for a child, and for orphans that have come to this process, and ends. No pipe stays open because of it.
#[expect(unsafe_code, reason = "between fork and exec, only what the system offers can be called")]
fn wait_for(child: libc::c_long, report: Option<RawFd>) -> ! {
    close_all_but(report);
    let mut status = 0;
    loop {
        // SAFETY: the call writes to `status`, which is there.
        let ended = unsafe { libc::waitpid(-1, &raw mut status, 0) };
        if libc::c_long::from(ended) == child {
            break;
        }
        if ended == -1 && io::Error::last_os_error().kind() != io::ErrorKind::Interrupted {
            // SAFETY: it ends this process, which has nothing to clean up.
            unsafe { libc::_exit(1) };
        }
    }
    if let Some(report) = report {
        let status = status.to_ne_bytes();
        // SAFETY: the call reads as many bytes as there are. Without the report, the reader finds the end of the pipe.
        unsafe { libc::write(report, status.as_ptr().cast(), status.len()) };
    }
    // SAFETY: as above.
    unsafe { libc::_exit(0) }
}

/// Closes all descriptors but one. A kernel before 5.9 does not know the call; then those with the lower numbers are closed one by one.
#[expect(unsafe_code, reason = "between fork and exec, only what the system offers can be called")]
fn close_all_but(kept: Option<RawFd>) {
    const LAST: libc::c_uint = libc::c_uint::MAX;
    const NONE: libc::c_uint = 0;
    let kept = kept.and_then(|kept| libc::c_uint::try_from(kept).ok());
    let close = |first: libc::c_uint, last: libc::c_uint| {
        // SAFETY: nothing in this process uses a descriptor any more but the one that is kept.
        if first <= last && unsafe { libc::syscall(libc::SYS_close_range, first, last, NONE) } == -1 {
            for descriptor in first..=last.min(1 << 12) {
                // SAFETY: as above.
                unsafe { libc::close(libc::c_int::try_from(descriptor).unwrap_or(-1)) };
            }
        }
    };
    match kept {
        None => close(0, LAST),
        Some(kept) => {
            if let Some(last) = kept.checked_sub(1) {
                close(0, last);
            }
            close(kept + 1, LAST);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::process::CommandExt as _;
    use std::process::{Child, Command, Stdio};

    use nix::sched::{CloneFlags, unshare};

    use super::*;
    use crate::sandbox::isolation;

    /// Starts a program in a process namespace of its own. A user namespace makes it possible for any user.
    fn spawn(mut command: Command, reported: PipeWriter) -> io::Result<Child> {
        let hook = move || {
            unshare(CloneFlags::CLONE_NEWUSER | CloneFlags::CLONE_NEWPID)?;
            enter(&reported)
        };
        #[expect(unsafe_code, reason = "as where it is used")]
        // SAFETY: as where it is used.
        unsafe {
            command.pre_exec(hook);
        }
        command.spawn()
    }

    /// What a shell prints until everything that it has started is gone, and how it ends.
    fn run(script: &str) -> io::Result<(String, ExitStatus)> {
        let (report, reported) = io::pipe()?;
        let mut command = Command::new("/bin/sh");
        command.args(["-c", script]).stdin(Stdio::null()).stdout(Stdio::piped());
        let mut child = spawn(command, reported)?;
        child.wait()?;
        // Whoever still had it would keep the pipe open for a minute.
        let mut printed = String::new();
        child.stdout.take().unwrap().read_to_string(&mut printed)?;
        Ok((printed, status(report)?))
    }

    #[test]
    fn everything_that_a_program_has_started_ends_with_it() {
        let began = std::time::Instant::now();
        let (printed, status) = match run("setsid sleep 60 & (setsid sh -c 'sleep 60 & sleep 60' &); echo $$; exit 7") {
            Ok(ended) => ended,
            Err(refused) => return isolation::skip(&refused.to_string()),
        };
        assert_eq!((printed.as_str(), status.code()), ("2\n", Some(7)));
        assert!(began.elapsed() < std::time::Duration::from_secs(30), "{:?}", began.elapsed());
        for (signal, number) in [("ABRT", 6), ("KILL", 9)] {
            assert_eq!(run(&format!("kill -{signal} $$")).unwrap().1.signal(), Some(number));
        }
    }

    #[test]
    fn a_program_that_cannot_be_executed_is_an_error_of_its_start() {
        let (_report, reported) = io::pipe().unwrap();
        let error = spawn(Command::new("/nonexistent/program"), reported).unwrap_err();
        if error.kind() != io::ErrorKind::NotFound {
            isolation::skip(&error.to_string());
        }
    }
}
