//! The end: what is still to come is waited for, and everything leaves, within the platform's budget.

use std::time::Duration;

use tokio::time::{Instant, timeout_at};

use super::engine::{Engine, Progress};
use crate::{
    flush::Dropped,
    os::{clock, log::excerpt, streams},
    platform::Shutdown,
};

/// What stays of the budget for the process to end by itself; after it, the platform kills.
const MARGIN_MS: i64 = 150;
/// The budget at least, whatever the deadline says: it is told by another clock than ours, and may not be told at all.
const MIN_BUDGET: Duration = Duration::from_millis(500);
/// The budget at most, whatever the deadline says: 2,000 ms less the margin.
///
/// Source: AWS Lambda developer guide, "Understanding the Lambda execution environment lifecycle": the shutdown phase of a function with external extensions is
/// limited to 2,000 ms; then Lambda kills all processes.
const MAX_BUDGET: Duration = Duration::from_millis(2000 - MARGIN_MS.unsigned_abs());
/// What stays of the budget for the last flush when telemetry does not stop coming; half of a budget that is shorter than twice this.
const LAST_FLUSH: Duration = Duration::from_millis(700);
/// How long a silence means that nothing more will come while the report of an invocation is still owed, and while the next invocation waits for the end of this
/// environment. A sandbox that is not needed any more has all of the budget.
const SILENCE_BEFORE_REPORT: Duration = Duration::from_millis(300);
/// The same after that: two of the platform's buffering periods.
const SILENCE_AFTER_REPORT: Duration = Duration::from_millis(50);

/// Of the reason that Lambda gives, which is printed, in bytes.
const MAX_REASON: usize = 100;

/// Ends everything in order.
pub async fn run(mut engine: Engine, event: &Shutdown) {
    let reason = excerpt(&event.shutdown_reason, MAX_REASON);
    streams::print(&format!("Exiting: {reason}, deadline: {}", event.deadline_ms));
    let now = Instant::now();
    let budget = budget(event, now);
    let deadline = now + budget;
    engine.ending();
    // What is here leaves while the rest arrives.
    engine.start_flush();
    await_telemetry(&mut engine, deadline - LAST_FLUSH.min(budget / 2), silence_before_report(event)).await;
    engine.ended();
    engine.start_flush();
    engine.flusher.finish(deadline).await;
    let lost = engine.flusher.drop_unconfirmed();
    if lost != Dropped::default() {
        log::warn!("{lost} were dropped or not confirmed by Datadog in this sandbox's life");
    }
}

/// How long everything may take.
fn budget(event: &Shutdown, now: Instant) -> Duration {
    clock::instant_at(event.deadline_ms.saturating_sub(MARGIN_MS)).duration_since(now).clamp(MIN_BUDGET, MAX_BUDGET)
}

fn silence_before_report(event: &Shutdown) -> Duration {
    if event.shutdown_reason == "spindown" { Duration::MAX } else { SILENCE_BEFORE_REPORT }
}

async fn await_telemetry(engine: &mut Engine, until: Instant, before_report: Duration) {
    let mut last = Instant::now();
    // Asked at each turn, because a flood of metrics leaves no moment in which nothing is ready.
    while engine.telemetry.is_some() && Instant::now() < until {
        let silence = if engine.processor.awaits_report() { before_report } else { SILENCE_AFTER_REPORT };
        let end = last.checked_add(silence).map_or(until, |end| end.min(until));
        match timeout_at(end, engine.progress()).await {
            Ok(Progress::Telemetry) => last = Instant::now(),
            Ok(Progress::Metrics | Progress::Usage | Progress::Request | Progress::NoRoom) => {}
            Err(_) => return,
        }
    }
}

#[cfg(test)]
#[path = "shutdown_tests.rs"]
mod tests;
