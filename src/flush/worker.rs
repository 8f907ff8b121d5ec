//! A thread for long-running jobs, which it runs one after another.

use std::sync::mpsc;

use tokio::sync::oneshot;

use crate::os::thread;

type Job = Box<dyn FnOnce() + Send>;

/// A thread that starts with the first job and lives as long as this value. If the system refuses a thread, the caller's thread runs the job.
#[derive(Debug, Default)]
pub struct Worker {
    jobs: Option<mpsc::Sender<Job>>,
}

impl Worker {
    /// Runs the job. The receiver gets its result.
    pub fn run<T: Send + 'static>(&mut self, job: impl FnOnce() -> T + Send + 'static) -> oneshot::Receiver<T> {
        self.run_on(job, start)
    }

    fn run_on<T: Send + 'static>(
        &mut self,
        job: impl FnOnce() -> T + Send + 'static,
        start: impl FnOnce() -> Option<mpsc::Sender<Job>>,
    ) -> oneshot::Receiver<T> {
        let (sender, receiver) = oneshot::channel();
        // The receiver of the result may be gone.
        let job: Job = Box::new(move || drop(sender.send(job())));
        if self.jobs.is_none() {
            self.jobs = start();
        }
        match &self.jobs {
            Some(jobs) => {
                if let Err(mpsc::SendError(job)) = jobs.send(job) {
                    self.jobs = None;
                    job();
                }
            }
            None => job(),
        }
        receiver
    }
}

/// Starts the thread; None if the system refuses it.
fn start() -> Option<mpsc::Sender<Job>> {
    let (sender, receiver) = mpsc::channel::<Job>();
    let work = move || receiver.iter().for_each(|job| job());
    match thread::start("compress", work) {
        Ok(_) => Some(sender),
        Err(error) => {
            tracing::debug!("FLUSH | No thread can be started, so the loop does its work: {error}");
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn this_thread() -> std::thread::ThreadId {
        std::thread::current().id()
    }

    #[test]
    fn jobs_run_one_after_the_other_on_one_other_thread() {
        let mut worker = Worker::default();
        let [first, second] = [(); 2].map(|()| worker.run(this_thread)).map(|result| result.blocking_recv().unwrap());
        assert_eq!(first, second);
        assert_ne!(first, this_thread());
    }

    #[test]
    fn job_runs_on_the_calling_thread_if_no_thread_can_be_started() {
        let mut worker = Worker::default();
        assert_eq!(worker.run_on(this_thread, || None).try_recv(), Ok(this_thread()));
        let another = worker.run(this_thread).blocking_recv().unwrap();
        assert_ne!(another, this_thread(), "it is tried again");
    }

    #[test]
    fn job_runs_on_the_calling_thread_if_the_other_has_ended() {
        let mut worker = Worker::default();
        let ended = worker.run_on(this_thread, || Some(mpsc::channel().0));
        assert_eq!(ended.blocking_recv(), Ok(this_thread()));
    }
}
