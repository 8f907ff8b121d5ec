//! Goes on where the launcher has got to. The format is `extension_protocol::handover`.

use std::{
    env,
    ffi::{CString, OsString},
    io,
    net::{TcpListener, TcpStream, UdpSocket},
    os::{
        fd::{AsFd, AsRawFd as _, BorrowedFd, FromRawFd as _, OwnedFd, RawFd},
        unix::ffi::OsStrExt as _,
    },
    process,
};

use nix::fcntl::{FcntlArg, FdFlag, fcntl};

use extension_protocol::{Handover, Service, SubscriptionState, handover::VARIABLE, listeners::Sockets};

use super::{
    ports::Ports,
    register::{StartupState, SubscriptionReply},
};
use crate::{
    ingest::{dogstatsd, telemetry},
    platform::{Environment, ExtensionId, Registered, raw::blocking::Connection},
};

/// Makes the sockets outlive this program, and writes down where they are. A socket that cannot be kept open is left out: the agent does without it or opens
/// another.
pub fn export(state: &StartupState) -> String {
    let mut sockets = Sockets::default();
    sockets.set(Service::Telemetry, state.ports.telemetry.as_ref().ok().and_then(|bound| keep_open(bound.as_fd())));
    sockets.set(Service::DogStatsd, state.ports.dogstatsd.as_ref().ok().and_then(|bound| keep_open(bound.as_fd())));
    let handover = Handover {
        id: &state.registered.id.0,
        account_id: state.registered.account_id.as_deref(),
        subscription: match state.subscription {
            SubscriptionReply::Pending => SubscriptionState::Pending,
            SubscriptionReply::Received(_) | SubscriptionReply::NotSent => SubscriptionState::Missing,
        },
        connection: state.connection.as_ref().and_then(|connection| keep_open(connection.as_fd())),
        sockets,
    };
    let mut text = String::new();
    // A string takes everything.
    let _ = handover.write(process::id(), &mut text);
    text
}

/// The environment of the agent: the variables of this process and the handover. A variable of the handover's name in the customer's settings is left out.
pub fn environment(variables: impl IntoIterator<Item = (OsString, OsString)>, handover: Option<&str>) -> Vec<CString> {
    let others = variables.into_iter().filter(|(name, _)| name != VARIABLE);
    let others = others.map(|(name, value)| [name.as_bytes(), b"=", value.as_bytes()].concat());
    let handover = handover.map(|handover| format!("{VARIABLE}={handover}").into_bytes());
    // No variable holds a zero byte, because each has come to this process as a string that ends with one.
    others.chain(handover).filter_map(|variable| CString::new(variable).ok()).collect()
}

fn keep_open(socket: BorrowedFd) -> Option<RawFd> {
    fcntl(socket, FcntlArg::F_SETFD(FdFlag::empty())).ok()?;
    Some(socket.as_raw_fd())
}

/// What the launcher has handed over; None if it has not started this program.
pub fn import() -> Option<StartupState> {
    let text = env::var(VARIABLE).ok()?;
    let Handover { id, account_id, subscription, connection, sockets } = Handover::parse(&text, process::id())?;
    let environment = Environment::of_process();
    let api = environment.runtime_api.clone();
    Some(StartupState {
        registered: Registered { id: ExtensionId(id.to_owned()), account_id: account_id.map(str::to_owned) },
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
    }
}

#[expect(
    unsafe_code,
    reason = "a number in the environment is the only way in which a program can hand a socket over to the next one"
)]
fn adopt(number: RawFd) -> OwnedFd {
    // SAFETY: the launcher has kept exactly these numbers open for us, and nothing else in this program has opened or owns them: this runs first.
    unsafe { OwnedFd::from_raw_fd(number) }
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
        let Ports { telemetry, dogstatsd } = ports(sockets);
        assert_eq!(telemetry.unwrap().port, port);
        assert_eq!(dogstatsd.unwrap_err().to_string(), "the launcher could not bind the port");
    }
}
