//! The loop for Lambda Managed Instances: invocations overlap, the environment is not frozen, and SHUTDOWN is the only event of the Extensions API.

use std::time::Duration;

use tokio::time::{Instant, MissedTickBehavior, interval_at};

use super::{
    engine::Engine,
    next::{NextPoller, PlatformUnreachable},
};
use crate::{
    config::FlushStrategy,
    platform::{Event, Shutdown},
};

/// Flush interval unless the customer sets another.
const INTERVAL: Duration = Duration::from_secs(30);

/// Handles events until SHUTDOWN. Cancel-safe.
pub async fn run(engine: &mut Engine, mut next: NextPoller) -> Shutdown {
    let interval = match engine.config.flush_strategy {
        FlushStrategy::Continuously(interval) => interval,
        FlushStrategy::Default => INTERVAL,
        other => {
            tracing::warn!(
                "Managed Instance mode detected. Flush strategy '{other}' is not compatible; data leaves every {} s",
                INTERVAL.as_secs()
            );
            INTERVAL
        }
    };
    let mut ticks = interval_at(Instant::now() + interval, interval);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
    loop {
        tokio::select! {
            _ = engine.progress() => {}
            event = next.event() => match event {
                Ok(Event::Shutdown(event)) => return event,
                Ok(Event::Invoke(invoke)) => {
                    tracing::warn!("EXTENSION | INVOKE {} is not expected on a managed instance", invoke.request_id);
                }
                Err(PlatformUnreachable) => engine.start_flush(),
            },
            _ = ticks.tick() => {
                if !engine.flusher.is_flushing() {
                    engine.start_flush();
                }
            }
        }
    }
}
