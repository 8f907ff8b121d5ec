//! The first half of the short order: everything up to the first request for an event, with nothing but sockets. It runs in the agent itself, or in the
//! launcher, which then hands the sockets over to the agent.

use std::thread;

use extension_protocol::{Backoff, INIT_RETRIES};

use super::ports::{self, Ports};
use crate::{
    features::{BIND_FIRST, PIPELINED_NEXT},
    os::checkpoints::{Checkpoint, checkpoint},
    platform::{
        Environment, Error, ExtensionId, ExtensionRegistration, Subscription, SubscriptionOutcome,
        raw::blocking::{Connection, PendingRegistration, RegisteredConnection},
    },
    runtime_proxy::{self, ProxyListener},
};

/// Registered, and on the way to the first event as far as that was possible.
#[derive(Debug)]
pub struct StartupState {
    /// The environment of the sandbox.
    pub environment: Environment,
    /// Extension id and account from the registration.
    pub registered: ExtensionRegistration,
    /// The bound ports.
    pub ports: Ports,
    /// Where the runtime goes to; None where nobody wants a proxy.
    pub runtime_proxy: Option<Result<ProxyListener, runtime_proxy::Error>>,
    /// A connection on which the next event has been asked for. None if it has broken, or if the subscription has to be repeated before the next event may be
    /// asked for: another one has to be opened.
    pub connection: Option<Connection>,
    /// The state of the telemetry subscription.
    pub subscription: SubscriptionReply,
}

/// The response to the subscription.
#[derive(Debug)]
pub enum SubscriptionReply {
    /// The response has been read.
    Received(Result<SubscriptionOutcome, Error>),
    /// It comes on the connection, before the next event. Lost if there is no connection.
    Pending,
    /// Nothing was sent: there is no listener.
    NotSent,
}

/// Registers, binds, subscribes and asks for the next event. Fails only as long as the platform has not accepted the registration. `logs_wanted` is called while
/// that is on its way.
pub fn register(
    environment: Environment,
    logs_wanted: impl FnOnce(&Environment) -> bool,
) -> Result<StartupState, Error> {
    register_with(environment, ports::bind, logs_wanted)
}

fn register_with(
    environment: Environment,
    bind: fn() -> Ports,
    logs_wanted: impl FnOnce(&Environment) -> bool,
) -> Result<StartupState, Error> {
    let initialization = environment.initialization();
    // Lambda starts the runtime once the registration is answered, which may be before anything is done here after it is sent.
    let runtime_proxy = runtime_proxy::bind();
    let registration = Connection::register(environment.runtime_api.clone(), initialization);
    let early = BIND_FIRST.then(bind);
    let logs = logs_wanted(&environment);
    let RegisteredConnection { mut connection, registered } =
        registration.and_then(PendingRegistration::registered).or_else(|error| register_again(&environment, error))?;
    checkpoint(Checkpoint::Registered);
    let ports = early.unwrap_or_else(bind);
    let subscription =
        ports.telemetry.as_ref().ok().map(|bound| Subscription { port: bound.port, logs, initialization });
    let (connection, subscription) = match subscribe_and_send_next(&mut connection, &registered.id, subscription) {
        Ok(reply) => (Some(connection), reply),
        Err(error) => (None, SubscriptionReply::Received(Err(error))),
    };
    checkpoint(Checkpoint::NextSent);
    Ok(StartupState { environment, registered, ports, runtime_proxy, connection, subscription })
}

/// Repeats a registration whose error is temporary.
fn register_again(environment: &Environment, mut error: Error) -> Result<RegisteredConnection, Error> {
    for pause in Backoff::default().take(INIT_RETRIES) {
        if !error.is_temporary() {
            break;
        }
        thread::sleep(pause);
        let registration = Connection::register(environment.runtime_api.clone(), environment.initialization());
        match registration.and_then(PendingRegistration::registered) {
            Ok(connection) => return Ok(connection),
            Err(again) => error = again,
        }
    }
    Err(error)
}

/// Fails if the connection breaks, or if the subscription has to be repeated while the next event is not asked for.
fn subscribe_and_send_next(
    connection: &mut Connection,
    id: &ExtensionId,
    subscription: Option<Subscription>,
) -> Result<SubscriptionReply, Error> {
    let reply = match subscription {
        Some(subscription) if PIPELINED_NEXT => {
            connection.subscribe_and_send_next(id, subscription)?;
            return Ok(SubscriptionReply::Pending);
        }
        Some(subscription) => {
            connection.subscribe(id, subscription)?;
            match connection.subscribed() {
                Err(error) if error.is_temporary() => return Err(error),
                reply => SubscriptionReply::Received(reply),
            }
        }
        None => SubscriptionReply::NotSent,
    };
    connection.send_next(id)?;
    Ok(reply)
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
        Ports {
            telemetry: Err(ErrorKind::AddrInUse.into()),
            dogstatsd: Err(ErrorKind::AddrInUse.into()),
            trace_agent: Err(ErrorKind::AddrInUse.into()),
            lifecycle: Err(ErrorKind::AddrInUse.into()),
        }
    }

    /// The platform answers the registration only once the settings have been read, and finds the request there before.
    #[test]
    fn settings_are_read_while_the_registration_is_in_flight() {
        let platform = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        platform.set_nonblocking(true).unwrap();
        let address = platform.local_addr().unwrap().to_string();
        let environment = Environment::read(|name| (name == "AWS_LAMBDA_RUNTIME_API").then(|| address.clone()));
        let mut connections = Vec::new();
        let state = register_with(environment, no_ports, |_| {
            let (mut connection, _) = platform.accept().expect("a connection before the settings");
            connection.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
            let mut request = [0; 1024];
            let length = connection.read(&mut request).unwrap();
            assert!(request[..length].starts_with(b"POST /2020-01-01/extension/register "));
            connection.write_all(REGISTERED).unwrap();
            connections.push(connection);
            true
        });
        let state = state.unwrap();
        assert_eq!(state.registered.id.0, "id-1");
        assert!(state.connection.is_some(), "the next event is asked for on the same connection");
        assert!(matches!(state.subscription, SubscriptionReply::NotSent), "{:?}", state.subscription);
    }
}
