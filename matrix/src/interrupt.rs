//! Ctrl-C. Whoever is at work and listens is asked to end; where nobody listens, the process ends at once.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, Once, PoisonError, Weak};
use std::thread;

use nix::sys::signal::{SigHandler, Signal, raise, signal};

/// What is set by the next Ctrl-C, as long as somebody keeps it.
static LISTENERS: Mutex<Vec<Weak<AtomicBool>>> = Mutex::new(Vec::new());

/// True from the next Ctrl-C on. As long as it is kept, that signal does not end the process.
///
/// The handler of a process stays once it is there. So what comes later, and listens to nobody, is ended here.
pub fn watch() -> Arc<AtomicBool> {
    static LISTENING: Once = Once::new();
    let interrupted = Arc::new(AtomicBool::new(false));
    LISTENERS.lock().unwrap_or_else(PoisonError::into_inner).push(Arc::downgrade(&interrupted));
    LISTENING.call_once(|| drop(thread::spawn(listen)));
    interrupted
}

fn listen() {
    let Ok(runtime) = tokio::runtime::Builder::new_current_thread().enable_all().build() else { return };
    runtime.block_on(async {
        while tokio::signal::ctrl_c().await.is_ok() {
            if tell_everybody() {
                eprintln!("Interrupted: what is under way is finished first.");
            } else {
                end();
            }
        }
    });
}

/// Ends this process as the signal would have without a handler, so that a shell reports 130.
#[expect(unsafe_code, reason = "a handler can be taken away by no safe call")]
fn end() {
    // SAFETY: the default action runs no code of this process.
    let _ = unsafe { signal(Signal::SIGINT, SigHandler::SigDfl) };
    let _ = raise(Signal::SIGINT);
}

/// Whether there was anybody.
fn tell_everybody() -> bool {
    let mut listeners = LISTENERS.lock().unwrap_or_else(PoisonError::into_inner);
    listeners.retain(|listener| match listener.upgrade() {
        Some(interrupted) => {
            interrupted.store(true, Ordering::SeqCst);
            true
        }
        None => false,
    });
    !listeners.is_empty()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    /// The test runs itself once more, as a process that is interrupted twice.
    #[test]
    fn ctrl_c_ends_a_process_in_which_nobody_listens_any_more() {
        use std::os::unix::process::ExitStatusExt as _;
        const VICTIM: &str = "MATRIX_TEST_INTERRUPTED";
        if std::env::var_os(VICTIM).is_some() {
            let interrupted = watch();
            while !interrupted.load(Ordering::SeqCst) {
                // Until the handler is there, the signal would end the process here.
                thread::sleep(Duration::from_millis(200));
                raise(Signal::SIGINT).unwrap();
                thread::sleep(Duration::from_millis(200));
            }
            println!("told");
            drop(interrupted);
            raise(Signal::SIGINT).unwrap();
            thread::sleep(Duration::from_mins(1));
            return;
        }
        let mut victim = std::process::Command::new(std::env::current_exe().unwrap());
        let name = "interrupt::tests::ctrl_c_ends_a_process_in_which_nobody_listens_any_more";
        let output = victim.args(["--exact", name, "--nocapture"]).env(VICTIM, "1").output().unwrap();
        assert_eq!(output.status.signal(), Some(2), "{output:?}");
        assert!(String::from_utf8_lossy(&output.stdout).contains("told"), "{output:?}");
    }

    #[test]
    fn a_listener_is_told_until_it_is_dropped() {
        let interrupted = watch();
        assert!(tell_everybody() && interrupted.load(Ordering::SeqCst));
        let other = watch();
        assert!(!other.load(Ordering::SeqCst), "only what follows counts");
    }
}
