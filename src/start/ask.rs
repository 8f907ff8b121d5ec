//! The first half of the short order: everything up to the first request for an event, with nothing but sockets. It runs in the agent itself, or in the
//! launcher, which then leaves the sockets to the agent.

use super::ports::{self, Ports};
use crate::{
    features::{BIND_FIRST, PIPELINED_NEXT},
    os::trace::{Checkpoint, checkpoint},
    platform::{
        Environment, Error, ExtensionId, Registered, Subscribed,
        raw::blocking::{Connection, Established},
        subscription::Subscription,
    },
};

/// Registered, and on the way to the first event as far as that was possible.
#[derive(Debug)]
pub struct Asked {
    /// Where we are.
    pub environment: Environment,
    /// Who we are to the platform.
    pub registered: Registered,
    /// Where we listen.
    pub ports: Ports,
    /// How far the connection has got.
    pub line: Line,
}

/// The connection to the platform.
#[derive(Debug)]
pub enum Line {
    /// The next event has been asked for.
    Open {
        /// On which the answers come.
        connection: Connection,
        /// The subscription.
        subscription: Answer,
    },
    /// It broke; another one has to be opened, and the next event asked for.
    Broken(Error),
}

/// The answer to the subscription.
#[derive(Debug)]
pub enum Answer {
    /// It is here.
    Here(Result<Subscribed, Error>),
    /// It comes before the next event.
    Owed,
    /// There was nothing to subscribe with.
    Never,
}

/// Registers, binds, subscribes and asks. Fails only as long as the platform has not accepted the registration. `logs_wanted` is asked while that is on its way.
pub fn ask(environment: Environment, logs_wanted: impl FnOnce(&Environment) -> bool) -> Result<Asked, Error> {
    let initialization = environment.initialization();
    let registering = Connection::register(environment.runtime_api.clone(), initialization)?;
    let early = BIND_FIRST.then(ports::bind);
    let logs = logs_wanted(&environment);
    let Established { mut connection, registered } = registering.registered()?;
    checkpoint(Checkpoint::Registered);
    let ports = early.unwrap_or_else(ports::bind);
    let subscription =
        ports.telemetry.as_ref().ok().map(|bound| Subscription { port: bound.port, logs, initialization });
    let line = match subscribe_and_ask(&mut connection, &registered.id, subscription) {
        Ok(subscription) => Line::Open { connection, subscription },
        Err(error) => Line::Broken(error),
    };
    checkpoint(Checkpoint::Asked);
    Ok(Asked { environment, registered, ports, line })
}

fn subscribe_and_ask(
    connection: &mut Connection,
    id: &ExtensionId,
    subscription: Option<Subscription>,
) -> Result<Answer, Error> {
    let answer = match subscription {
        Some(subscription) if PIPELINED_NEXT => {
            connection.subscribe_and_ask(id, subscription)?;
            return Ok(Answer::Owed);
        }
        Some(subscription) => {
            connection.subscribe(id, subscription)?;
            match connection.subscribed() {
                Err(error @ Error::Transport { .. }) => return Err(error),
                answer => Answer::Here(answer),
            }
        }
        None => Answer::Never,
    };
    connection.ask(id)?;
    Ok(answer)
}
