//! Keeps a worker running, and gives it one command after the other.

use std::{io, time::Duration};

use tokio::{
    sync::{mpsc, watch},
    time::{Instant, sleep_until},
};
use waf_protocol::{Reply, Request, WafStatus};

use super::{
    Command, State,
    files::Files,
    worker::{Error, Worker},
};
use crate::{
    os::{error::chain, thread::run_blocking},
    process::appsec::{Value, Versions},
};

/// How long things may take, while the sandbox is not frozen.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Until the rules are built. At the smallest memory tier they take a quarter of a second.
    pub start: Duration,
    /// For one evaluation. A budget that is used up is an answer; a worker without one has to go. Much longer than a budget, because a throttled sandbox gives the worker no
    /// CPU for a while, and to start another costs more than to wait.
    pub answer: Duration,
    /// Before the first restart; doubled for each further one, unless the worker has served meanwhile.
    pub backoff: Duration,
    /// Longest time before a restart.
    pub max_backoff: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            start: Duration::from_secs(10),
            answer: Duration::from_secs(1),
            backoff: Duration::from_secs(1),
            max_backoff: Duration::from_mins(1),
        }
    }
}

/// Whoever starts the worker, and starts it again.
pub struct Supervisor {
    pub files: Files,
    pub limits: Limits,
    pub commands: mpsc::Receiver<Command>,
    pub state: watch::Sender<State>,
}

/// How one run of the worker ended, and for how long it served.
struct Attempt {
    end: End,
    /// For how long it was ready; None: it has evaluated nothing.
    served: Option<Duration>,
}

/// Why a worker is not needed or not usable any more.
enum End {
    /// Nobody will send a command.
    Finished,
    /// Its rules cannot be used, now or later.
    Refused(String),
    Failed(Error),
}

/// Failures one after the other.
struct Failures {
    limits: Limits,
    count: u32,
    /// Before the next restart.
    backoff: Duration,
}

impl Failures {
    fn new(limits: Limits) -> Self {
        Self { limits, count: 0, backoff: limits.backoff }
    }

    /// A worker has failed. Gives the time before the restart. One that had served for as long as that begins a new series.
    fn add(&mut self, served: Option<Duration>) -> Duration {
        if served.is_some_and(|served| served >= self.backoff) {
            *self = Self::new(self.limits);
        }
        self.count = self.count.saturating_add(1);
        let backoff = self.backoff;
        self.backoff = (backoff * 2).min(self.limits.max_backoff);
        backoff
    }
}

impl Supervisor {
    /// Runs until nobody needs the WAF, or it can never be used.
    pub async fn run(mut self) {
        let files = self.files.clone();
        let rules = run_blocking("waf", move || files.read_rules()).await.and_then(|rules| rules);
        let configure = match rules {
            Ok(rules) => configure(&rules),
            Err(error) => return self.give_up(&format!("its rules cannot be read: {error}")),
        };
        let mut failures = Failures::new(self.limits);
        loop {
            let Attempt { end, served } = self.attempt(&configure).await;
            let backoff = match end {
                End::Finished => return,
                End::Refused(reason) => return self.give_up(&reason),
                End::Failed(Error::Start(error)) if error.kind() == io::ErrorKind::NotFound => {
                    return self.give_up(&format!("the layer has no WAF worker: {error}"));
                }
                End::Failed(error) => {
                    let backoff = failures.add(served);
                    self.state.send_replace(State::Failed);
                    report(&error, failures.count, backoff);
                    backoff
                }
            };
            if !self.refuse_until(Instant::now() + backoff).await {
                return;
            }
        }
    }

    fn give_up(self, reason: &str) {
        self.state.send_replace(State::Failed);
        tracing::error!("APPSEC | requests are not evaluated for attacks: {reason}");
    }

    /// Answers nobody until then. False if nobody will ask any more.
    async fn refuse_until(&mut self, until: Instant) -> bool {
        loop {
            tokio::select! {
                () = sleep_until(until) => return true,
                command = self.commands.recv() => if command.is_none() { return false },
            }
        }
    }

    /// Starts a worker and serves until it fails.
    async fn attempt(&mut self, configure: &[u8]) -> Attempt {
        let mut worker = match Worker::start(&self.files).await {
            Ok(worker) => worker,
            Err(error) => return Attempt { end: End::Failed(error), served: None },
        };
        let mut served = None;
        let end = match worker.request(configure, self.limits.start).await {
            Ok(Reply::Ready { waf_version, rules_version, loaded, failed }) => {
                let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
                let versions = Versions { waf: text(waf_version), rules: text(rules_version) };
                tracing::debug!(
                    "APPSEC | WAF {} is ready with {loaded} rules of version {:?}; {failed} cannot be used",
                    versions.waf,
                    versions.rules
                );
                self.state.send_replace(State::Ready(versions));
                self.serve(&mut worker, &mut served).await
            }
            Ok(Reply::Refused(reason)) => End::Refused(String::from_utf8_lossy(&reason).into_owned()),
            Ok(Reply::Outcome { .. }) => End::Failed(Error::Unexpected),
            Err(error) => End::Failed(error),
        };
        worker.stop().await;
        Attempt { end, served }
    }

    /// Gives the worker one command after the other. `served` becomes how long one that gives results had been ready when it was asked for
    /// the last time: an answer that it owes is no service.
    async fn serve(&mut self, worker: &mut Worker, served: &mut Option<Duration>) -> End {
        let (ready, mut has_evaluated) = (Instant::now(), false);
        loop {
            let command = tokio::select! {
                command = self.commands.recv() => Ok(command),
                error = worker.failure() => Err(error),
            };
            *served = has_evaluated.then(|| ready.elapsed());
            let command = match command {
                Ok(command) => command,
                Err(error) => return End::Failed(error),
            };
            let Some(Command { message, context, reply, _room }) = command else { return End::Finished };
            let Some(reply) = reply else {
                match worker.send(&message, self.limits.answer).await {
                    Ok(()) => continue,
                    Err(error) => return End::Failed(error),
                }
            };
            // Nobody waits for the result of a request that has been given up.
            if reply.is_closed() {
                continue;
            }
            match worker.request(&message, self.limits.answer).await {
                Ok(Reply::Outcome { context: answered, status, result }) if answered == context => {
                    has_evaluated = true;
                    let result = Some(result).filter(|result| is_result(status, result));
                    if let Some(result) = result {
                        // Whoever has asked may have given up meanwhile.
                        let _ = reply.send(result);
                    }
                }
                Ok(_) => return End::Failed(Error::Unexpected),
                Err(error) => return End::Failed(error),
            }
        }
    }
}

fn is_result(status: WafStatus, result: &Value) -> bool {
    let is_map = matches!(result, Value::Map(_));
    if status == WafStatus::Failed || !is_map {
        tracing::debug!("APPSEC | the WAF cannot evaluate a request");
    }
    status != WafStatus::Failed && is_map
}

fn configure(rules: &[u8]) -> Vec<u8> {
    let mut message = Vec::new();
    Request::Configure { rules, obfuscator: b"" }.write(&mut message);
    message
}

/// Says once what happens, and afterwards how often.
fn report(error: &Error, failures: u32, backoff: Duration) {
    let seconds = backoff.as_secs_f32();
    if failures == 1 {
        tracing::error!(
            "APPSEC | the WAF worker has failed: {}; requests are not evaluated until it is started again, in {seconds} s",
            chain(error)
        );
    } else {
        tracing::debug!("APPSEC | the WAF worker has failed {failures} times: {}; again in {seconds} s", chain(error));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_time_before_a_restart_grows_until_a_worker_has_served_for_as_long() {
        let mut failures = Failures::new(Limits::default());
        let seconds = |seconds| Some(Duration::from_secs(seconds));
        for (served, backoff, count) in [
            (None, 1, 1),
            (None, 2, 2),
            (seconds(3), 4, 3),
            (seconds(8), 1, 1),
            (None, 2, 2),
            (None, 4, 3),
            (None, 8, 4),
            (None, 16, 5),
            (None, 32, 6),
            (None, 60, 7),
            (seconds(59), 60, 8),
            (seconds(60), 1, 1),
            (seconds(3600), 1, 1),
        ] {
            assert_eq!((failures.add(served).as_secs(), failures.count), (backoff, count), "{served:?}");
        }
    }
}
