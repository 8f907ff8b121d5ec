//! Handles Ctrl-C: sets a flag for work that listens; ends the process if none does.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, Once, PoisonError, Weak};
use std::thread;

use nix::sys::signal::{SigHandler, Signal, raise, signal};

/// The flags that the next Ctrl-C sets, as long as they are in use.
static LISTENERS: Mutex<Vec<Weak<AtomicBool>>> = Mutex::new(Vec::new());

/// A flag that the next Ctrl-C sets. As long as it is in use, that signal does not end the process.
///
/// Tokio's signal handler stays installed. Once no flag is in use, the listening thread ends the process at the next Ctrl-C.
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
            if notify_all() {
                eprintln!("Interrupted: what is under way is finished first.");
            } else {
                end();
            }
        }
    });
}

/// Ends this process as the signal would without a handler, so that a shell reports 130.
#[expect(unsafe_code, reason = "a handler can be taken away by no safe call")]
fn end() {
    // SAFETY: the default action runs no code of this process.
    let _ = unsafe { signal(Signal::SIGINT, SigHandler::SigDfl) };
    let _ = raise(Signal::SIGINT);
}

/// Sets all flags. Returns whether there were any.
fn notify_all() -> bool {
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

    /// The test runs itself in a child process that is interrupted twice.
    #[test]
    fn ctrl_c_ends_a_process_without_listeners() {
        use std::os::unix::process::ExitStatusExt as _;
        const VICTIM: &str = "MATRIX_TEST_INTERRUPTED";
        if std::env::var_os(VICTIM).is_some() {
            let interrupted = watch();
            while !interrupted.load(Ordering::SeqCst) {
                // Before the handler is installed, the signal would end the process here.
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
        let name = "interrupt::tests::ctrl_c_ends_a_process_without_listeners";
        let output = victim.args(["--exact", name, "--nocapture"]).env(VICTIM, "1").output().unwrap();
        assert_eq!(output.status.signal(), Some(2), "{output:?}");
        assert!(String::from_utf8_lossy(&output.stdout).contains("told"), "{output:?}");
    }

    #[test]
    fn a_listener_is_notified_until_it_is_dropped() {
        let interrupted = watch();
        assert!(notify_all() && interrupted.load(Ordering::SeqCst));
        let other = watch();
        assert!(!other.load(Ordering::SeqCst), "only what follows counts");
    }
}
