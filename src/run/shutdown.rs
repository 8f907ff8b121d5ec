//! Shutdown: waits for the last telemetry and sends all data within the platform's budget.

use std::time::Duration;

use tokio::time::{Instant, timeout_at};

use super::engine::{Engine, Progress};
use crate::{
    flush::DropCounts,
    os::{clock, log::excerpt, streams},
    platform::Shutdown,
};

/// Margin for the process to exit before the deadline, at which Lambda kills it.
const MARGIN_MS: i64 = 150;
/// Minimum budget, whatever the deadline is. The deadline is based on Lambda's clock, and may be missing.
const MIN_BUDGET: Duration = Duration::from_millis(500);
/// Maximum budget, whatever the deadline is: 2,000 ms less the margin.
///
/// Source: AWS Lambda developer guide, "Understanding the Lambda execution environment lifecycle": the shutdown phase of a function with external
/// extensions is limited to 2,000 ms; then Lambda kills all processes.
const MAX_BUDGET: Duration = Duration::from_millis(2000 - MARGIN_MS.unsigned_abs());
/// Part of the budget that is reserved for the last flush if telemetry keeps arriving; half of the budget if that is shorter.
const LAST_FLUSH: Duration = Duration::from_millis(700);
/// Time without telemetry after which no more is expected, if the report of an invocation is missing and the next invocation waits for the end of
/// this environment. A sandbox that is no longer needed (`spindown`) waits for the report as long as the budget allows.
const SILENCE_BEFORE_REPORT: Duration = Duration::from_millis(300);
/// Time without telemetry after which no more is expected, if no report is missing: two of the platform's buffering periods.
const SILENCE_AFTER_REPORT: Duration = Duration::from_millis(50);

/// How long a request of a tracer that is being read or processed may take at most at the end.
const TRACERS: Duration = Duration::from_millis(200);
/// How often it is found out whether there still is one.
const TRACERS_CHECK: Duration = Duration::from_millis(5);

/// Of the reason that Lambda gives, which is printed, in bytes.
const MAX_REASON: usize = 100;

/// Shuts down: prints the reason, drains telemetry, flushes, and logs lost data.
pub async fn run(mut engine: Engine, event: &Shutdown) {
    let reason = excerpt(&event.shutdown_reason, MAX_REASON);
    streams::print(&format!("Exiting: {reason}, deadline: {}", event.deadline_ms));
    let now = Instant::now();
    let budget = budget(event, now);
    let deadline = now + budget;
    engine.ending();
    // Data that is already here is sent while the rest arrives.
    engine.start_flush();
    await_telemetry(&mut engine, deadline - LAST_FLUSH.min(budget / 2), silence_before_report(event)).await;
    start_last_flush(&mut engine, deadline - LAST_FLUSH.min(budget / 2), deadline).await;
    engine.flusher.finish(deadline).await;
    let mut lost = engine.flusher.drop_unconfirmed();
    lost.add(engine.traces.refused());
    if lost != DropCounts::default() {
        tracing::warn!("{lost} were dropped or not confirmed by Datadog in this sandbox");
    }
}

/// Starts a flush of everything that was received. What tracers send after that is answered with an error, because nothing would send it.
async fn start_last_flush(engine: &mut Engine, until: Instant, deadline: Instant) {
    await_tracers(engine, until).await;
    engine.traces.close().await;
    engine.ended();
    engine.start_flush();
    if engine.traces.is_processing() {
        await_processing(engine, deadline).await;
        engine.traces.give_up_processing();
        engine.start_flush();
    }
}

/// Spans of the last invocations are processed before the end, in at most half of the time that is left: the rest is to send them.
async fn await_processing(engine: &mut Engine, deadline: Instant) {
    let now = Instant::now();
    let until = now + deadline.saturating_duration_since(now) / 2;
    let processing = async {
        while engine.traces.is_processing() {
            tokio::select! {
                received = engine.traces.received(false) => engine.traces.take(received),
                // What was flushed before is sent meanwhile.
                () = engine.flusher.handle_next_completion() => {}
            }
        }
    };
    // What takes longer is given up.
    let _ = timeout_at(until, processing).await;
}

/// Time for the whole shutdown.
fn budget(event: &Shutdown, now: Instant) -> Duration {
    clock::instant_at(event.deadline_ms.saturating_sub(MARGIN_MS)).duration_since(now).clamp(MIN_BUDGET, MAX_BUDGET)
}

fn silence_before_report(event: &Shutdown) -> Duration {
    if event.shutdown_reason == "spindown" { Duration::MAX } else { SILENCE_BEFORE_REPORT }
}

async fn await_telemetry(engine: &mut Engine, until: Instant, before_report: Duration) {
    let mut last = Instant::now();
    // The time is checked in every iteration, because under a flood of metrics the timeout never fires.
    while engine.telemetry.is_some() && Instant::now() < until {
        let silence =
            if engine.processor.awaits_report(clock::epoch_ms()) { before_report } else { SILENCE_AFTER_REPORT };
        let end = last.checked_add(silence).map_or(until, |end| end.min(until));
        match timeout_at(end, engine.progress()).await {
            Ok(Progress::Telemetry) => last = Instant::now(),
            Ok(
                Progress::Metrics
                | Progress::Traces
                | Progress::Call
                | Progress::Usage
                | Progress::Request
                | Progress::NoRoom
                | Progress::AwaitsRuntime,
            ) => {}
            Err(_) => return,
        }
    }
}

/// Requests of tracers that have arrived are answered before the end.
async fn await_tracers(engine: &mut Engine, until: Instant) {
    let until = until.min(Instant::now() + TRACERS);
    while Instant::now() < until && engine.is_receiving() {
        let _ = timeout_at(until.min(Instant::now() + TRACERS_CHECK), engine.progress()).await;
    }
}

#[cfg(test)]
#[path = "shutdown_tests.rs"]
mod tests;
