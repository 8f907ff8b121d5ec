//! The least life: the function is served, and nothing is collected.

use super::ask::{Answer, Asked, Line};
use crate::{platform::Event, run::Ended};

/// Asks for one event after the other until the sandbox ends.
pub fn idle(asked: Asked) -> Ended {
    let Asked { registered, line, .. } = asked;
    let Line::Open { mut connection, subscription } = line else { return Ended::PlatformGone };
    if matches!(subscription, Answer::Owed) && connection.subscribed().is_err() {
        return Ended::PlatformGone;
    }
    loop {
        match connection.event() {
            Ok(Event::Shutdown(_)) => return Ended::Shutdown,
            Ok(Event::Invoke(_)) => {}
            Err(_) => return Ended::PlatformGone,
        }
        if connection.ask(&registered.id).is_err() {
            return Ended::PlatformGone;
        }
    }
}
