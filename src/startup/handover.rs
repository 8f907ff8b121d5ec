//! Goes on where the launcher has got to. The format is `extension_protocol::handover`.

use std::{
    env, io,
    net::{TcpListener, TcpStream, UdpSocket},
    os::fd::{FromRawFd as _, OwnedFd, RawFd},
    process,
};

use extension_protocol::{Handover, Service, SubscriptionState, handover::VARIABLE, listeners::Sockets};
use nix::fcntl::{FcntlArg, FdFlag, fcntl};

use super::{
    ports::Ports,
    register::{StartupState, SubscriptionReply},
};
use crate::{
    ingest::{dogstatsd, lifecycle, telemetry, trace_agent},
    os::checkpoints::take_over,
    platform::{Environment, ExtensionId, ExtensionRegistration, raw::blocking::Connection},
    runtime_proxy,
};

/// What the launcher has handed over; None if it has not started this program.
pub fn import() -> Option<StartupState> {
    let text = env::var(VARIABLE).ok()?;
    let Handover { id, account_id, subscription, connection, sockets, times } = Handover::parse(&text, process::id())?;
    take_over(times);
    let environment = Environment::of_process();
    let api = environment.runtime_api.clone();
    Some(StartupState {
        // The launcher leaves it to the agent: few functions want it, and what says so takes room.
        runtime_proxy: runtime_proxy::bind(),
        registered: ExtensionRegistration { id: ExtensionId(id.to_owned()), account_id: account_id.map(str::to_owned) },
        ports: ports(sockets),
        connection: connection.map(|number| Connection::from_handover(api, TcpStream::from(adopt(number)))),
        subscription: match subscription {
            SubscriptionState::Pending => SubscriptionReply::Pending,
            SubscriptionState::Missing => SubscriptionReply::NotSent,
        },
        environment,
    })
}

fn ports(sockets: Sockets) -> Ports {
    let socket = |service| {
        let missing = || io::Error::other("the launcher could not bind the port");
        sockets.get(service).map(adopt).ok_or_else(missing)
    };
    Ports {
        telemetry: socket(Service::Telemetry)
            .map(TcpListener::from)
            .and_then(telemetry::TelemetryListener::from_handover),
        dogstatsd: socket(Service::DogStatsd).map(UdpSocket::from).map(dogstatsd::DogStatsdSocket::from_handover),
        trace_agent: socket(Service::TraceAgent)
            .map(TcpListener::from)
            .map(trace_agent::TraceAgentListener::from_handover),
        lifecycle: socket(Service::Lifecycle).map(TcpListener::from).map(lifecycle::LifecycleListener::from_handover),
    }
}

#[expect(
    unsafe_code,
    reason = "a number in the environment is the only way in which a program can hand a socket over to the next one"
)]
fn adopt(number: RawFd) -> OwnedFd {
    // SAFETY: the launcher has kept exactly these numbers open for us, and nothing else in this program has opened or owns them: this runs first.
    let socket = unsafe { OwnedFd::from_raw_fd(number) };
    // It was to survive one program, not to be open in those that this one starts. If it stays open there, they have no use for it.
    let _ = fcntl(&socket, FcntlArg::F_SETFD(FdFlag::FD_CLOEXEC));
    socket
}

#[cfg(test)]
mod tests {
    use std::os::fd::IntoRawFd as _;

    use super::*;

    #[test]
    fn sockets_are_adopted_by_their_service() {
        let telemetry = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = telemetry.local_addr().unwrap().port();
        let mut sockets = Sockets::default();
        sockets.set(Service::Telemetry, Some(telemetry.into_raw_fd()));
        let Ports { telemetry, dogstatsd, trace_agent, lifecycle } = ports(sockets);
        assert_eq!(telemetry.unwrap().port, port);
        for missing in [dogstatsd.unwrap_err(), trace_agent.unwrap_err(), lifecycle.unwrap_err()] {
            assert_eq!(missing.to_string(), "the launcher could not bind the port");
        }
    }

    #[test]
    fn an_adopted_socket_is_not_open_in_programs_that_this_one_starts() {
        let socket = TcpListener::bind("127.0.0.1:0").unwrap();
        fcntl(&socket, FcntlArg::F_SETFD(FdFlag::empty())).unwrap();
        let adopted = adopt(socket.into_raw_fd());
        assert_eq!(fcntl(&adopted, FcntlArg::F_GETFD).map(FdFlag::from_bits_retain), Ok(FdFlag::FD_CLOEXEC));
    }
}
