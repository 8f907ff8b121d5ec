//! The shutdown phase, as in "Understanding the Lambda execution environment lifecycle".

use std::sync::Arc;
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use serde_json::json;

use super::lifecycle::{EnvironmentLifecycle, Member, RunningRuntime};
use super::{Platform, State};
use crate::sandbox::invocation::ExitOf;
use crate::sandbox::journal::JournalEvent;
use crate::sandbox::setup::Origin;

/// The reason of a shutdown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reason {
    /// The environment is no longer needed.
    Spindown,
    /// An invocation timed out.
    Timeout,
    /// A process of the environment has failed.
    Failure,
}

impl Reason {
    fn name(self) -> &'static str {
        match self {
            Self::Spindown => "spindown",
            Self::Timeout => "timeout",
            Self::Failure => "failure",
        }
    }
}

impl EnvironmentLifecycle {
    /// Shuts the environment down: first the runtime, then the extensions, each within its part of the time limit.
    pub(crate) async fn shutdown(&mut self, reason: Reason) {
        if self.function.is_none() && self.extensions.is_empty() {
            // A failure has ended the environment already, and no invocation has needed another one since.
            return;
        }
        let platform = Arc::clone(&self.platform);
        let began = Instant::now();
        platform.journal.write_at(began, JournalEvent::ShutdownStarted { reason: reason.name() });
        platform.change(|state| state.leaving = true);
        self.thaw();
        platform.telemetry.hurry();
        let known = self.all_processes();
        let window = self.window();
        self.end_runtime(window * platform.setup.limits.shutdown_runtime_percent.min(100) / 100).await;

        let deadline = began + window;
        let event = json!({
            "eventType": "SHUTDOWN",
            "shutdownReason": reason.name(),
            "deadlineMs": self.epoch_ms(deadline),
        });
        platform.change(|state| {
            for agent in state.agents.iter_mut().filter(|agent| agent.wants.shutdown && !agent.internal) {
                platform.journal.write(JournalEvent::ShutdownSent { name: agent.name.clone() });
                agent.send(event.clone());
            }
        });
        self.end_extensions(began, deadline).await;
        // Remaining descendants must not affect the next environment.
        self.table.end(known).await;
        platform.telemetry.end();
        // Parked next requests get an error response.
        platform.change(|state| *state = State { leaving: true, ..State::default() });
        self.ready = false;
        self.init_took = None;
        platform.journal.write(JournalEvent::ShutdownOver);
    }

    /// The time limit of the whole shutdown.
    fn window(&self) -> Duration {
        let limits = &self.platform.setup.limits;
        let state = self.platform.lock();
        if !self.extensions.is_empty() {
            limits.shutdown_external
        } else if state.agents.is_empty() {
            limits.shutdown_none
        } else {
            limits.shutdown_internal
        }
    }

    async fn end_runtime(&mut self, part: Duration) {
        let process = match self.function.take() {
            Some(RunningRuntime::Process { process, .. }) => process,
            // A thread cannot be killed; it learns that its environment is gone.
            Some(RunningRuntime::Thread(thread)) => return thread.stop(),
            None => return,
        };
        if process.ended().is_some() {
            return;
        }
        if !part.is_zero() {
            self.platform.journal.write(JournalEvent::Terminated { origin: Origin::Function });
            process.signal(Signal::SIGTERM);
            if tokio::time::timeout(part, process.wait()).await.is_ok() {
                return;
            }
        }
        self.platform.journal.write(JournalEvent::Killed { origin: Origin::Function });
        process.signal(Signal::SIGKILL);
        process.wait().await;
    }

    async fn end_extensions(&mut self, began: Instant, deadline: Instant) {
        let members = std::mem::take(&mut self.extensions);
        let ends = members.into_iter().map(|member| {
            let is_notified = {
                let state = self.platform.lock();
                state.agents.iter().any(|agent| agent.wants.shutdown && *agent.name == *member.name)
            };
            let deadline = if is_notified { deadline } else { began };
            tokio::spawn(end(Arc::clone(&self.platform), member, began, deadline))
        });
        let ends: Vec<_> = ends.collect();
        self.exits.clear();
        for end in ends {
            self.exits.extend(end.await.ok());
        }
    }
}

/// Waits for an extension to exit, and kills it at the deadline.
async fn end(platform: Arc<Platform>, member: Member, began: Instant, deadline: Instant) -> ExitOf {
    let Member { name, process } = member;
    let ended = tokio::time::timeout_at(deadline.into(), process.wait()).await;
    let killed = ended.is_err();
    if killed {
        platform.journal.write(JournalEvent::Killed { origin: Origin::Extension(Arc::clone(&name)) });
        process.signal(Signal::SIGKILL);
    }
    let status = process.wait().await.to_string();
    ExitOf { name: name.to_string(), status, killed, took: began.elapsed() }
}
