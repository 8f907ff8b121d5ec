//! The life beside a function that is invoked one event at a time and frozen in between.
//!
//! Everything is served all the time: telemetry comes in while a flush is on its way, and a flush goes on while the next event is waited for. What changes is
//! only whether the next event is asked for: asking allows the platform to freeze the sandbox.

use std::time::Duration;

use tokio::time::{Instant, MissedTickBehavior, interval_at, sleep_until};

use super::{
    engine::Engine,
    next::{NextPoller, PlatformUnreachable},
};
use crate::{
    flush::{Decision, FlushDecider, Hold, HoldEnd},
    os::clock,
    platform::{Event, Invoke, Shutdown, event::DEFAULT_TIMEOUT_MS},
    process::invocation::AttemptId,
};

/// What stays of the function's time, in milliseconds, for our answer to the platform: on a throttled CPU even that takes tens of them.
const DEADLINE_MARGIN_MS: i64 = 100;
/// How long a flush may hold the sandbox at most. It goes on in the background after that, and after a freeze.
const LONGEST_HOLD: Duration = Duration::from_secs(5);
/// The same for intakes that fail or did not answer in time before: the function is not to pay for an outage again and again.
const HOLD_WHILE_FAILING: Duration = Duration::from_millis(100);

/// Time without telemetry after which an invocation counts as ended whose end Lambda may have dropped with other telemetry.
const SILENCE_AFTER_LOSS: Duration = Duration::from_secs(1);

/// Why the next event is not being asked for, if it is not.
enum State {
    /// `next` was sent and no event is running.
    Polling,
    /// The function runs, and its data is to leave when it ends.
    Running { id: AttemptId, until: Instant },
    /// A flush is on its way that is to end first, or at least what of it can be expected to end well.
    Flushing { until: Instant, until_if_failing: Instant, deadline: Instant },
}

impl State {
    /// When the next event is asked for whatever else happens; None: it is being asked for.
    fn until(&self, engine: &Engine) -> Option<Instant> {
        match self {
            Self::Polling => None,
            // An event that Lambda has dropped does not come.
            Self::Running { until, .. } => {
                Some(engine.silent_since_loss.map_or(*until, |since| (since + SILENCE_AFTER_LOSS).min(*until)))
            }
            Self::Flushing { until, .. } if engine.flusher.hold() == Hold::Full => Some(*until),
            Self::Flushing { until_if_failing, .. } => Some(*until_if_failing),
        }
    }

    /// Why a flush does not hold the sandbox any longer; None if none did.
    fn hold_end(&self, now: Instant) -> Option<HoldEnd> {
        match self {
            Self::Polling | Self::Running { .. } => None,
            Self::Flushing { deadline, .. } if now >= *deadline => Some(HoldEnd::Deadline),
            Self::Flushing { .. } => Some(HoldEnd::TimeUp),
        }
    }
}

/// Serves events until SHUTDOWN. May be cancelled.
pub async fn run(engine: &mut Engine, mut next: NextPoller) -> Shutdown {
    let born = Instant::now();
    let mut decider = FlushDecider::new(engine.config.flush_strategy, engine.config.flush_timeout, Duration::ZERO);
    let long_invocation_interval = decider.long_invocation_interval();
    let mut long_invocation = interval_at(born + long_invocation_interval, long_invocation_interval);
    long_invocation.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut state = State::Polling;
    loop {
        let until = state.until(engine);
        tokio::select! {
            // What ends waits and begins invocations is rare, and comes before telemetry, of which there may be any amount: an invocation whose
            // beginning and end are both here is to be seen to begin first.
            biased;
            event = next.event(), if until.is_none() => match event {
                Ok(Event::Invoke(invoke)) => {
                    let decision = decider.decide(born.elapsed());
                    state = begin(engine, &invoke, decision);
                    long_invocation.reset();
                }
                Ok(Event::Shutdown(event)) => return event,
                Err(PlatformUnreachable) => engine.start_flush(),
            },
            () = sleep_until(until.unwrap_or(born)), if until.is_some() => {
                if let Some(reason) = state.hold_end(Instant::now()) {
                    engine.flusher.stop_waiting(reason);
                }
                state = time_up(engine, &state);
            }
            // What comes while a flush is under way leaves with the next one, as one payload.
            _ = long_invocation.tick(), if !engine.flusher.is_flushing() => engine.start_flush(),
            _ = engine.progress() => {}
        }
        state = advance(engine, state);
    }
}

/// The next event is not put off any longer. What is ready leaves although spans of the invocation are still processed.
fn time_up(engine: &mut Engine, state: &State) -> State {
    let State::Running { id, until } = state else { return State::Polling };
    if Instant::now() < *until {
        return flush(engine, *until);
    }
    if engine.processor.is_done(id) {
        engine.start_flush();
    }
    State::Polling
}

/// An invocation begins.
fn begin(engine: &mut Engine, invoke: &Invoke, decision: Decision) -> State {
    tracing::debug!("Invocation {}: flush decision {decision:?}", invoke.request_id);
    let id = engine.invoked(&invoke.request_id);
    let until = clock::instant_at(plausible_deadline(invoke.deadline_ms, clock::epoch_ms()) - DEADLINE_MARGIN_MS);
    match decision {
        Decision::End if engine.telemetry.is_some() => State::Running { id, until },
        Decision::Periodic => flush(engine, until),
        // Without telemetry the end cannot be seen, so what there is leaves while the function runs.
        Decision::End | Decision::Continuous => {
            if !engine.flusher.is_flushing() {
                engine.start_flush();
            }
            State::Polling
        }
        Decision::Skip => State::Polling,
    }
}

/// The deadline of an invocation that begins now. One that is past, by our clock, comes of another clock: then the function has the time that Lambda gives it by
/// default. All in milliseconds since the epoch.
fn plausible_deadline(deadline_ms: i64, now: i64) -> i64 {
    if deadline_ms > now { deadline_ms } else { now.saturating_add(DEFAULT_TIMEOUT_MS) }
}

/// The next state after an event.
fn advance(engine: &mut Engine, state: State) -> State {
    match state {
        State::Running { id, until } if engine.is_ready_to_flush(&id) => flush(engine, until),
        State::Flushing { .. } if engine.flusher.hold() == Hold::None => State::Polling,
        state => state,
    }
}

/// Starts a flush and holds the sandbox for it, as long as the function has time left.
fn flush(engine: &mut Engine, deadline: Instant) -> State {
    engine.start_flush();
    let now = Instant::now();
    if engine.flusher.hold() == Hold::None || deadline <= now {
        return State::Polling;
    }
    let [until, until_if_failing] = [LONGEST_HOLD, HOLD_WHILE_FAILING].map(|longest| deadline.min(now + longest));
    State::Flushing { until, until_if_failing, deadline }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        ingest::lifecycle::{CallQueue, runtime::observer},
        process::{
            event::parse,
            invocation::{
                Output, SpanSettings,
                call::{Call, EndCall, StartCall, test_decoder::decoder},
            },
        },
        run::{
            engine::Progress,
            loop_tests::{engine, full},
        },
    };

    #[test]
    fn a_deadline_that_is_past_at_the_beginning_is_none() {
        for (deadline_ms, now, expected) in [(5000, 4000, 5000), (5000, 5000, 8000), (-1, 5000, 8000), (5, 5000, 8000)]
        {
            assert_eq!(plausible_deadline(deadline_ms, now), expected);
        }
    }

    const HOUR: Duration = Duration::from_hours(1);

    #[tokio::test(start_paused = true)]
    async fn next_is_asked_for_once_the_invocation_has_ended() {
        let (mut engine, telemetry) = engine();
        let until = Instant::now() + LONGEST_HOLD;
        let id = engine.invoked(&"r".into());
        let state = advance(&mut engine, State::Running { id, until });
        assert!(matches!(state, State::Running { .. }));
        let done =
            br#"[{"time": "2022-10-21T14:05:03.165Z", "type": "platform.runtimeDone", "record": {"requestId": "r"}}]"#;
        assert!(telemetry.send(parse(done, 0)).await);
        assert_eq!(engine.progress().await, Progress::Telemetry);
        assert!(matches!(advance(&mut engine, state), State::Polling), "there is nothing to wait for");
    }

    #[tokio::test(start_paused = true)]
    async fn after_logs_dropped_a_second_of_silence_ends_the_wait_with_a_flush() {
        let (mut engine, telemetry) = engine();
        let now = Instant::now();
        let state = State::Running { id: engine.invoked(&"r".into()), until: now + HOUR };
        assert_eq!(state.until(&engine), Some(now + HOUR));
        let dropped = br#"[{"time": "2022-10-21T14:05:03.165Z", "type": "platform.logsDropped", "record": {}}]"#;
        assert!(telemetry.send(parse(dropped, 0)).await);
        assert_eq!(engine.progress().await, Progress::Telemetry);
        assert_eq!(state.until(&engine), Some(now + SILENCE_AFTER_LOSS));
        tokio::time::advance(SILENCE_AFTER_LOSS / 2).await;
        let line = br#"[{"time": "2022-10-21T14:05:03.165Z", "type": "function", "record": "a"}]"#;
        assert!(telemetry.send(parse(line, 0)).await);
        assert_eq!(engine.progress().await, Progress::Telemetry);
        assert_eq!(state.until(&engine), Some(now + SILENCE_AFTER_LOSS / 2 * 3), "telemetry still comes");
        engine.logs.push(b"{}");
        tokio::time::advance(SILENCE_AFTER_LOSS).await;
        assert!(matches!(time_up(&mut engine, &state), State::Polling));
        assert!(engine.flusher.drop_unconfirmed().logs > 0, "flushed, and dropped for want of a client");
        engine.invoked(&"s".into());
        assert_eq!(state.until(&engine), Some(now + HOUR), "the loss was of another invocation");
    }

    /// An engine with an invocation that is over, and whose spans take a thread.
    async fn ended_with_long_spans() -> (Engine, State) {
        let (mut engine, telemetry) = engine();
        let (service, resource) = ("svc".to_owned(), "f".to_owned());
        let settings = SpanSettings { service, resource, appsec: false, standalone: false, random: || 42 };
        engine.processor = engine.processor.with_spans(settings);
        let until = Instant::now() + HOUR;
        let id = engine.invoked(&"r".into());
        let (request_id, captured) = (Some("r".into()), vec![("k".to_owned(), "x".repeat(1 << 20))]);
        let start = StartCall { request_id: request_id.clone(), captured, ..StartCall::default() };
        let end = EndCall { request_id, trace_id: Some(1), span_id: Some(2), ..EndCall::default() };
        for call in [Call::Start(Box::new(start)), Call::End(Box::new(end))] {
            engine.processor.call(call, &mut Output::default());
        }
        let done =
            br#"[{"time": "2022-10-21T14:05:03.165Z", "type": "platform.runtimeDone", "record": {"requestId": "r"}}]"#;
        assert!(telemetry.send(parse(done, 0)).await);
        assert_eq!(engine.progress().await, Progress::Telemetry);
        (engine, State::Running { id, until })
    }

    #[tokio::test(start_paused = true)]
    async fn a_flush_waits_for_the_spans_of_the_invocation_to_be_processed() {
        let (mut engine, state) = ended_with_long_spans().await;
        let state = advance(&mut engine, state);
        assert!(matches!(state, State::Running { .. }) && engine.is_receiving());
        assert_eq!(engine.flusher.drop_unconfirmed().spans, 0);
        assert_eq!(engine.progress().await, Progress::Traces);
        assert!(matches!(advance(&mut engine, state), State::Polling));
        assert_eq!(engine.flusher.drop_unconfirmed().spans, 1, "flushed, and dropped for want of a client");
    }

    #[tokio::test(start_paused = true)]
    async fn a_flush_waits_for_what_the_runtime_has_sent_to_be_decoded() {
        let (mut engine, telemetry) = engine();
        let (observer, messages) = observer();
        engine.lifecycle = Some(CallQueue::of_runtime(decoder(None), messages));
        let state = State::Running { id: engine.invoked(&"r".into()), until: Instant::now() + HOUR };
        let response = observer.open();
        let done =
            br#"[{"time": "2022-10-21T14:05:03.165Z", "type": "platform.runtimeDone", "record": {"requestId": "r"}}]"#;
        assert!(telemetry.send(parse(done, 0)).await);
        assert_eq!(engine.progress().await, Progress::Telemetry);
        let state = advance(&mut engine, state);
        assert!(matches!(state, State::Running { .. }));
        assert_eq!(engine.progress().await, Progress::AwaitsRuntime);
        let state = advance(&mut engine, state);
        assert!(matches!(state, State::Running { .. }) && engine.awaits_runtime);
        drop(response);
        assert!(!matches!(advance(&mut engine, state), State::Running { .. }));
        assert!(!engine.awaits_runtime);
    }

    #[tokio::test(start_paused = true)]
    async fn hold_timeout_flushes_ready_data_during_span_processing() {
        let (mut engine, state) = ended_with_long_spans().await;
        engine.logs.push(b"{}");
        assert!(matches!(time_up(&mut engine, &state), State::Polling));
        assert!(engine.flusher.drop_unconfirmed().logs > 0, "flushed, and dropped for want of a client");
    }

    #[tokio::test(start_paused = true)]
    async fn a_flush_holds_the_sandbox_longer_while_it_can_be_expected_to_end_well() {
        let (mut engine, _telemetry) = engine();
        let now = Instant::now();
        let (until, until_if_failing) = (now + Duration::from_secs(5), now + Duration::from_millis(100));
        let state = State::Flushing { until, until_if_failing, deadline: until };
        assert_eq!(state.until(&engine), Some(until_if_failing), "nothing is under way");
        let (flusher, _building) = full();
        engine.flusher = flusher;
        assert_eq!(state.until(&engine), Some(until));
        let State::Flushing { until: longest, until_if_failing: shortest, .. } = flush(&mut engine, now + HOUR) else {
            panic!("a flush is under way")
        };
        assert_eq!((longest, shortest), (until, until_if_failing));
        let deadline = now + Duration::from_millis(50);
        let state = flush(&mut engine, deadline);
        assert_eq!(state.until(&engine), Some(deadline));
        assert!(matches!(state, State::Flushing { until_if_failing, .. } if until_if_failing == deadline));
    }

    #[test]
    fn only_timed_out_hold_marks_intake_failing() {
        let now = Instant::now();
        let flushing = |deadline| State::Flushing { until: now, until_if_failing: now, deadline };
        assert_eq!(flushing(now + HOLD_WHILE_FAILING).hold_end(now), Some(HoldEnd::TimeUp));
        assert_eq!(flushing(now).hold_end(now), Some(HoldEnd::Deadline));
        let running = State::Running { id: engine().0.invoked(&"r".into()), until: now };
        assert_eq!(running.hold_end(now), None, "no flush was waited for");
    }
}
