//! Handling of signals that terminate a process by default. SIGTERM and SIGINT are received as requests to terminate; the others are ignored. Only
//! SHUTDOWN and these two signals end the extension.

use std::io;

use nix::sys::{
    signal::{SigSet, Signal},
    signalfd::{SfdFlags, SignalFd},
};
use tokio::io::{Interest, unix::AsyncFd};

/// Signals that request termination: SIGTERM from a container runtime or an emulator, SIGINT from a terminal.
const TERMINATION: [Signal; 2] = [Signal::SIGTERM, Signal::SIGINT];

/// Signals that stay unblocked: those raised by a fault of the thread itself, after which it cannot continue, and SIGCHLD, which terminates nothing.
/// All other signals are blocked. SIGPIPE results from writing to a closed pipe, which is then an error. SIGKILL and SIGSTOP cannot be blocked.
const NOT_BLOCKED: [Signal; 8] = [
    Signal::SIGILL,
    Signal::SIGTRAP,
    Signal::SIGABRT,
    Signal::SIGBUS,
    Signal::SIGFPE,
    Signal::SIGSEGV,
    Signal::SIGSYS,
    Signal::SIGCHLD,
];

/// Blocks all other signals, real-time signals included. Threads inherit the mask of the thread that starts them, so this must be called before any
/// other thread is started.
pub fn block() {
    let mut blocked = SigSet::all();
    for signal in NOT_BLOCKED {
        blocked.remove(signal);
    }
    // This fails only for nonexistent signals.
    let _ = blocked.thread_block();
}

/// Unblocks the termination signals on this thread, so that they end the process at once. Used where no data was collected that would need a flush.
pub fn unblock_termination() {
    let _ = set(&TERMINATION).thread_unblock();
}

/// Receives the termination signals, which are blocked.
#[derive(Debug)]
pub struct Termination {
    /// None if the signals cannot be watched.
    signals: Option<AsyncFd<SignalFd>>,
}

impl Termination {
    /// Starts watching; requires an async runtime. If no file descriptor is left, these signals end the process at once.
    pub fn watch() -> Self {
        let signals = watch();
        if let Err(error) = &signals {
            tracing::warn!(
                "EXTENSION | SIGTERM cannot be watched, and would end the extension without a flush: {error}"
            );
            unblock_termination();
        }
        Self { signals: signals.ok() }
    }

    /// Waits for a termination signal and returns its name. Cancel-safe.
    pub async fn received(&self) -> &'static str {
        if let Some(signals) = &self.signals
            && let Ok(readable) = signals.readable().await
        {
            let received = readable.get_inner().read_signal().ok().flatten();
            let number = received.and_then(|received| i32::try_from(received.ssi_signo).ok());
            return number.and_then(|number| Signal::try_from(number).ok()).unwrap_or(Signal::SIGTERM).as_str();
        }
        std::future::pending().await
    }
}

#[expect(unsafe_code, reason = "the reactor has to be promised that what it watches stays open")]
fn watch() -> io::Result<AsyncFd<SignalFd>> {
    let signals = SignalFd::with_flags(&set(&TERMINATION), SfdFlags::SFD_NONBLOCK | SfdFlags::SFD_CLOEXEC)?;
    // SAFETY: a `SignalFd` stays open until it is dropped, and its descriptor never changes.
    Ok(unsafe { AsyncFd::register_with_interest(signals, Interest::READABLE) }?)
}

fn set(signals: &[Signal]) -> SigSet {
    signals.iter().copied().collect()
}

#[cfg(test)]
mod tests {
    use nix::sys::signal::raise;

    use super::*;

    /// The signals are raised on this test's thread only.
    #[tokio::test]
    async fn signals_do_not_end_the_process_and_those_that_ask_for_it_are_received() {
        block();
        let termination = Termination::watch();
        let ends = |signal: &Signal| !matches!(signal, Signal::SIGKILL | Signal::SIGSTOP);
        for ignored in Signal::iterator().filter(|signal| !NOT_BLOCKED.contains(signal) && ends(signal)) {
            if !TERMINATION.contains(&ignored) {
                raise(ignored).unwrap();
            }
        }
        for signal in TERMINATION {
            raise(signal).unwrap();
            assert_eq!(termination.received().await, signal.as_str());
        }
    }

    #[test]
    fn every_signal_but_synchronous_ones_is_blocked() {
        block();
        let status = std::fs::read_to_string("/proc/thread-self/status").unwrap();
        let blocked = status.lines().find_map(|line| line.strip_prefix("SigBlk:")).unwrap();
        let blocked = u64::from_str_radix(blocked.trim(), 16).unwrap();
        let excluded = NOT_BLOCKED.into_iter().chain([Signal::SIGKILL, Signal::SIGSTOP]).map(|signal| signal as i32);
        // The C library reserves the first real-time signals.
        let excluded: Vec<i32> = excluded.chain(32..35).collect();
        for signal in (1..=64).filter(|signal| !excluded.contains(signal)) {
            assert!(blocked & (1 << (signal - 1)) != 0, "{signal}");
        }
        for signal in NOT_BLOCKED {
            assert!(blocked & (1 << (signal as i32 - 1)) == 0, "{signal}");
        }
    }
}
