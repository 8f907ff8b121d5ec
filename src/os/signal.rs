//! Signals whose default is to end the process. Those that ask it to end are taken note of, the others ignored: only SHUTDOWN and SIGTERM end the extension.

use std::io;

use nix::sys::{
    signal::{SigSet, Signal},
    signalfd::{SfdFlags, SignalFd},
};
use tokio::io::{Interest, unix::AsyncFd};

/// A container or an emulator asks the extension to end by the first, a person at a terminal by the second.
const TERMINATION: [Signal; 2] = [Signal::SIGTERM, Signal::SIGINT];

/// Those that come of what a thread itself does, after which it cannot go on, and the one of ended children, which ends nobody. All others mean nothing to us:
/// SIGPIPE comes of writing where nobody reads, which is an error then. Nobody can block SIGKILL and SIGSTOP.
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

/// Keeps all others from ending the process, real-time signals too. Threads inherit this from the one that starts them, so it has to be called before there are
/// others.
pub fn block() {
    let mut blocked = SigSet::all();
    for signal in NOT_BLOCKED {
        blocked.remove(signal);
    }
    // It fails for signals that do not exist only.
    let _ = blocked.thread_block();
}

/// Lets those that ask the process to end do it at once, on this thread: where nothing has been collected there is nothing to be flushed.
pub fn unblock_termination() {
    let _ = set(&TERMINATION).thread_unblock();
}

/// Takes note of the signals that ask the process to end. They are blocked.
#[derive(Debug)]
pub struct Termination {
    /// None: they cannot be watched.
    signals: Option<AsyncFd<SignalFd>>,
}

impl Termination {
    /// Watches from now on, within an async runtime. Where descriptors are used up, these signals end the process at once.
    pub fn watch() -> Self {
        let signals = watch();
        if let Err(error) = &signals {
            log::warn!("EXTENSION | SIGTERM cannot be watched, and would end the extension without a flush: {error}");
            unblock_termination();
        }
        Self { signals: signals.ok() }
    }

    /// Waits for such a signal, and gives its name. May be cancelled.
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
    // SAFETY: a `SignalFd` is open until it is dropped and always tells the same number, which is what is asked for.
    Ok(unsafe { AsyncFd::register_with_interest(signals, Interest::READABLE) }?)
}

fn set(signals: &[Signal]) -> SigSet {
    signals.iter().copied().collect()
}

#[cfg(test)]
mod tests {
    use nix::sys::signal::raise;

    use super::*;

    /// The signals go to this test's thread alone.
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
        // The C library keeps the first real-time signals for itself.
        let excluded: Vec<i32> = excluded.chain(32..35).collect();
        for signal in (1..=64).filter(|signal| !excluded.contains(signal)) {
            assert!(blocked & (1 << (signal - 1)) != 0, "{signal}");
        }
        for signal in NOT_BLOCKED {
            assert!(blocked & (1 << (signal as i32 - 1)) == 0, "{signal}");
        }
    }
}
