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
    ask_with(environment, ports::bind, logs_wanted)
}

fn ask_with(
    environment: Environment,
    bind: fn() -> Ports,
    logs_wanted: impl FnOnce(&Environment) -> bool,
) -> Result<Asked, Error> {
    let initialization = environment.initialization();
    let registering = Connection::register(environment.runtime_api.clone(), initialization)?;
    let early = BIND_FIRST.then(bind);
    let logs = logs_wanted(&environment);
    let Established { mut connection, registered } = registering.registered()?;
    checkpoint(Checkpoint::Registered);
    let ports = early.unwrap_or_else(bind);
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

#[cfg(test)]
mod tests {
    use std::{
        io::{ErrorKind, Read as _, Write as _},
        net::{Ipv4Addr, TcpListener},
        time::Duration,
    };

    use super::*;

    const REGISTERED: &[u8] = b"HTTP/1.1 200 OK\r\nLambda-Extension-Identifier: id-1\r\ncontent-length: 2\r\n\r\n{}";

    fn no_ports() -> Ports {
        Ports { telemetry: Err(ErrorKind::AddrInUse.into()), dogstatsd: Err(ErrorKind::AddrInUse.into()) }
    }

    /// The platform answers the registration only once the settings have been read, and finds the request there before.
    #[test]
    fn settings_are_read_while_the_registration_is_in_flight() {
        let platform = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        platform.set_nonblocking(true).unwrap();
        let address = platform.local_addr().unwrap().to_string();
        let environment = Environment::read(|name| (name == "AWS_LAMBDA_RUNTIME_API").then(|| address.clone()));
        let mut connections = Vec::new();
        let asked = ask_with(environment, no_ports, |_| {
            let (mut connection, _) = platform.accept().expect("a connection before the settings");
            connection.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
            let mut request = [0; 1024];
            let length = connection.read(&mut request).unwrap();
            assert!(request[..length].starts_with(b"POST /2020-01-01/extension/register "));
            connection.write_all(REGISTERED).unwrap();
            connections.push(connection);
            true
        });
        let asked = asked.unwrap();
        assert_eq!(asked.registered.id.0, "id-1");
        assert!(matches!(asked.line, Line::Open { subscription: Answer::Never, .. }), "{:?}", asked.line);
    }
}
