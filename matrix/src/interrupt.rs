//! Ctrl-C. Whoever is at work and listens is asked to end; where nobody listens, the process ends at once.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, Once, PoisonError, Weak};
use std::thread;

use crate::cli;

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
                std::process::exit(cli::INTERRUPTED.into());
            }
        }
    });
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
    use super::*;

    #[test]
    fn a_listener_is_told_until_it_is_dropped() {
        let interrupted = watch();
        assert!(tell_everybody() && interrupted.load(Ordering::SeqCst));
        let other = watch();
        assert!(!other.load(Ordering::SeqCst), "only what follows counts");
    }
}
