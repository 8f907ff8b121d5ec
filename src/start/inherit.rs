//! What the launcher leaves to the agent: sockets, by their numbers, and what they are good for.

use std::{
    env, io,
    net::{TcpListener, TcpStream, UdpSocket},
    os::fd::{AsFd, AsRawFd as _, BorrowedFd, FromRawFd as _, OwnedFd, RawFd},
};

use nix::fcntl::{FcntlArg, FdFlag, fcntl};

use super::{
    ask::{Answer, Asked, Line},
    ports::Ports,
};
use crate::{
    ingest::{dogstatsd, telemetry},
    platform::{Environment, ExtensionId, Registered, Subscribed, raw::blocking::Connection},
};

/// Holds the inheritance: `<connection> <telemetry> <dogstatsd> <subscription> <extension id> <account id>`, separated by blanks, `-` for what is not there.
const VARIABLE: &str = "BOTTLECAP_INHERITED";

const NOTHING: &str = "-";

/// What was left to us; None if we were not started by the launcher, or what it left makes no sense.
pub fn asked() -> Option<Asked> {
    let text = env::var(VARIABLE).ok()?;
    let mut parts = text.split(' ');
    let connection = socket(parts.next()?)?;
    let (telemetry, dogstatsd) = (parts.next()?, parts.next()?);
    let subscription = match parts.next()? {
        "owed" => Answer::Owed,
        "yes" => Answer::Here(Ok(Subscribed::Yes)),
        "unsupported" => Answer::Here(Ok(Subscribed::NotSupported)),
        _ => Answer::Never,
    };
    let id = ExtensionId(parts.next()?.to_owned());
    let account_id = parts.next().filter(|account| *account != NOTHING).map(str::to_owned);
    let not_bound = || io::Error::other("the launcher could not bind the port");
    let ports = Ports {
        telemetry: socket(telemetry)
            .ok_or_else(not_bound)
            .and_then(|socket| telemetry::Bound::inherit(TcpListener::from(socket))),
        dogstatsd: socket(dogstatsd)
            .ok_or_else(not_bound)
            .map(|socket| dogstatsd::Bound::inherit(UdpSocket::from(socket))),
    };
    let environment = Environment::of_process();
    let connection = Connection::inherit(environment.runtime_api.clone(), TcpStream::from(connection));
    let registered = Registered { id, account_id };
    Some(Asked { environment, registered, ports, line: Line::Open { connection, subscription } })
}

/// The variable that tells the agent what it inherits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bequest {
    /// Its name.
    pub name: &'static str,
    /// Its value.
    pub value: String,
}

/// Makes the sockets outlive this program. None if there is nothing to be left, because the connection has broken, and another program
/// could do no more with it than this one.
pub fn leave(asked: &Asked) -> Option<Bequest> {
    let Line::Open { connection, subscription } = &asked.line else { return None };
    let subscription = match subscription {
        Answer::Owed => "owed",
        Answer::Here(Ok(Subscribed::Yes)) => "yes",
        Answer::Here(Ok(Subscribed::NotSupported)) => "unsupported",
        Answer::Here(Err(_)) | Answer::Never => "never",
    };
    let connection = keep_open(connection.as_fd())?;
    let telemetry = left(asked.ports.telemetry.as_ref().ok())?;
    let dogstatsd = left(asked.ports.dogstatsd.as_ref().ok())?;
    let account = asked.registered.account_id.as_deref().unwrap_or(NOTHING);
    let value = format!("{connection} {telemetry} {dogstatsd} {subscription} {} {account}", asked.registered.id);
    Some(Bequest { name: VARIABLE, value })
}

fn left(bound: Option<&impl AsFd>) -> Option<String> {
    bound.map_or(Some(NOTHING.to_owned()), |bound| Some(keep_open(bound.as_fd())?.to_string()))
}

fn keep_open(socket: BorrowedFd) -> Option<RawFd> {
    fcntl(socket, FcntlArg::F_SETFD(FdFlag::empty())).ok()?;
    Some(socket.as_raw_fd())
}

#[expect(
    unsafe_code,
    reason = "a number in the environment is the only way in which a program can leave a socket to the next one"
)]
fn socket(number: &str) -> Option<OwnedFd> {
    let number: RawFd = number.parse().ok().filter(|number| *number > 2)?;
    // SAFETY: the launcher has left exactly these numbers open for us, and nothing else in this program has opened or owns them: this runs first.
    Some(unsafe { OwnedFd::from_raw_fd(number) })
}
