//! Looks again and again at what the function uses while it runs.
//!
//! It is a thread of its own, because a look at every process takes a while on a small share of a CPU and would hold up whatever else its thread
//! has to do. It is started by the first invocation, and sleeps without a timer between two.

use std::{
    io,
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    thread,
    time::{Duration, Instant},
};

use crate::{
    os::{proc::Proc, tmp},
    process::usage::{Limits, Peak, Space},
};

/// How often it looks.
const INTERVAL: Duration = Duration::from_millis(10);
/// Of how many parts of the time it takes one at most: where looking takes long, it looks less often.
const SHARE: u32 = 50;
/// How long it looks away at most.
const LONGEST_PAUSE: Duration = Duration::from_millis(500);

/// What was seen of the function's use since the peaks were last set back.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Seen {
    pub peak: Peak,
    pub limits: Limits,
}

/// The hand that holds the thread.
#[derive(Debug)]
pub struct Sampler {
    proc: Proc,
    shared: Arc<Shared>,
    running: bool,
}

#[derive(Debug, Default)]
struct Shared {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    wanted: Wanted,
    /// Counts the times that the peaks were set back: what was looked at before belongs to nobody after.
    turn: u64,
    seen: Option<Seen>,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
enum Wanted {
    #[default]
    Rest,
    Samples,
    End,
}

impl Sampler {
    /// One that has not looked yet.
    pub fn new(proc: Proc) -> Self {
        Self { proc, shared: Arc::default(), running: false }
    }

    /// Looks from now on.
    pub fn start(&mut self) {
        if !self.running {
            match spawn(self.proc.clone(), self.shared.clone()) {
                Ok(()) => self.running = true,
                // What the function uses is then looked at when it ends, and the next invocation tries again.
                Err(error) => log::debug!("no thread to sample what the function uses: {error}"),
            }
        }
        self.shared.want(Wanted::Samples);
    }

    /// Looks no more. What was seen stays.
    pub fn stop(&self) {
        self.shared.want(Wanted::Rest);
    }

    /// Forgets what was seen.
    pub fn set_back(&self) {
        let mut state = self.shared.lock();
        state.turn += 1;
        state.seen = None;
        self.shared.changed.notify_one();
    }

    /// What was seen. If that is nothing because everything was over too soon, it is seen now.
    pub fn seen(&self) -> Seen {
        let seen = self.shared.lock().seen;
        seen.unwrap_or_else(|| look(&self.proc, None))
    }
}

impl Drop for Sampler {
    fn drop(&mut self) {
        self.shared.want(Wanted::End);
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn want(&self, wanted: Wanted) {
        self.lock().wanted = wanted;
        self.changed.notify_one();
    }
}

fn spawn(proc: Proc, shared: Arc<Shared>) -> io::Result<()> {
    thread::Builder::new().name("usage".to_owned()).spawn(move || sample(&proc, &shared))?;
    Ok(())
}

fn sample(proc: &Proc, shared: &Shared) {
    loop {
        let resting = |state: &mut State| state.wanted == Wanted::Rest;
        let state = shared.changed.wait_while(shared.lock(), resting).unwrap_or_else(PoisonError::into_inner);
        if state.wanted == Wanted::End {
            return;
        }
        let (turn, before) = (state.turn, state.seen);
        drop(state);
        let began = Instant::now();
        let seen = look(proc, before);
        let pause = (began.elapsed() * SHARE).clamp(INTERVAL, LONGEST_PAUSE);
        let mut state = shared.lock();
        if state.turn == turn {
            state.seen = Some(seen);
        }
        let unchanged = |state: &mut State| state.wanted == Wanted::Samples && state.turn == turn;
        // Whether time was up or something has changed, the loop looks for itself.
        drop(shared.changed.wait_timeout_while(state, pause, unchanged));
    }
}

/// Looks once. Limits are read the first time only: whoever may change them does so before the function runs.
fn look(proc: &Proc, before: Option<Seen>) -> Seen {
    let census = proc.census();
    let now = Peak {
        files: census.map(|census| census.files),
        threads: census.and_then(|census| census.threads),
        tmp: tmp::space().map(|tmp::Space { size, used }| Space { size, used }),
    };
    let mut seen = before.unwrap_or_else(|| Seen { peak: Peak::default(), limits: limits(proc) });
    seen.peak.raise(now);
    seen
}

fn limits(proc: &Proc) -> Limits {
    let mut limits = Limits::default();
    proc.limits().for_each(|text| limits.tighten(&text));
    limits
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    /// A machine with one process, and its open files.
    fn machine(files: &[&str]) -> (tempfile::TempDir, Proc) {
        let directory = tempfile::tempdir().unwrap();
        fs::create_dir_all(directory.path().join("7/task/7")).unwrap();
        fs::create_dir_all(directory.path().join("7/fd")).unwrap();
        for file in files {
            open(&directory, file);
        }
        let proc = Proc::at(directory.path());
        (directory, proc)
    }

    fn open(directory: &tempfile::TempDir, file: &str) {
        fs::write(directory.path().join("7/fd").join(file), "").unwrap();
    }

    fn close(directory: &tempfile::TempDir, file: &str) {
        fs::remove_file(directory.path().join("7/fd").join(file)).unwrap();
    }

    fn has_seen(sampler: &Sampler) -> bool {
        sampler.shared.lock().seen.is_some()
    }

    /// Waits until that many files have been seen.
    fn await_files(sampler: &Sampler, files: u64) {
        let until = Instant::now() + Duration::from_secs(20);
        while sampler.shared.lock().seen.and_then(|seen| seen.peak.files) != Some(files) {
            assert!(Instant::now() < until, "{sampler:?}");
            thread::sleep(Duration::from_millis(1));
        }
    }

    #[test]
    fn it_keeps_the_most_that_it_has_seen_until_that_is_set_back() {
        let (directory, proc) = machine(&["0"]);
        let mut sampler = Sampler::new(proc);
        assert!(!has_seen(&sampler));
        sampler.start();
        await_files(&sampler, 1);
        open(&directory, "1");
        await_files(&sampler, 2);
        close(&directory, "1");
        sampler.stop();
        let seen = sampler.seen();
        assert_eq!((seen.peak.files, seen.peak.threads), (Some(2), Some(1)));
        assert_eq!(seen.limits, Limits::default());
        assert!(seen.peak.tmp.is_some());
        sampler.set_back();
        assert_eq!(sampler.seen().peak.files, Some(1), "looked at once more");
        assert!(!has_seen(&sampler), "by the one who asked");
    }

    #[test]
    fn it_rests_between_two_invocations_and_ends_with_its_holder() {
        let (directory, proc) = machine(&["0"]);
        let mut sampler = Sampler::new(proc);
        sampler.start();
        await_files(&sampler, 1);
        sampler.stop();
        sampler.set_back();
        open(&directory, "1");
        // Several times as long as it would take to look.
        thread::sleep(INTERVAL * 10);
        assert!(!has_seen(&sampler));
        sampler.start();
        await_files(&sampler, 2);
        let shared = Arc::downgrade(&sampler.shared);
        drop(sampler);
        let until = Instant::now() + Duration::from_secs(20);
        while shared.strong_count() > 0 {
            assert!(Instant::now() < until, "the thread lives");
            thread::sleep(Duration::from_millis(1));
        }
    }
}
