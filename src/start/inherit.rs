//! What the launcher leaves to the agent: two sockets, by their numbers, and what they are good for.

use std::{
    env, io,
    net::{TcpListener, TcpStream},
    os::fd::{AsFd as _, AsRawFd as _, BorrowedFd, FromRawFd as _, OwnedFd, RawFd},
};

use nix::fcntl::{FcntlArg, FdFlag, fcntl};

use super::ask::{Answer, Asked, Line};
use crate::{
    ingest::telemetry::Bound,
    platform::{Environment, ExtensionId, Registered, Subscribed, raw::blocking::Connection},
};

/// Holds the inheritance: `<connection> <listener> <subscription> <extension id> <account id>`, separated by blanks, `-` for what is not there.
const VARIABLE: &str = "BOTTLECAP_INHERITED";

const NOTHING: &str = "-";

/// What was left to us; None if we were not started by the launcher, or what it left makes no sense.
pub fn asked() -> Option<Asked> {
    let text = env::var(VARIABLE).ok()?;
    let mut parts = text.split(' ');
    let connection = socket(parts.next()?)?;
    let listener = parts.next()?;
    let subscription = match parts.next()? {
        "owed" => Answer::Owed,
        "yes" => Answer::Here(Ok(Subscribed::Yes)),
        "unsupported" => Answer::Here(Ok(Subscribed::NotSupported)),
        _ => Answer::Never,
    };
    let id = ExtensionId(parts.next()?.to_owned());
    let account_id = parts.next().filter(|account| *account != NOTHING).map(str::to_owned);
    let bound = match socket(listener) {
        Some(listener) => Bound::inherit(TcpListener::from(listener)),
        None => Err(io::Error::other("the launcher could not bind a port")),
    };
    let environment = Environment::read(|name| env::var(name).ok());
    let connection = Connection::inherit(environment.runtime_api.clone(), TcpStream::from(connection));
    let registered = Registered { id, account_id };
    Some(Asked { environment, registered, bound, line: Line::Open { connection, subscription } })
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
    let listener = match &asked.bound {
        Ok(bound) => keep_open(bound.as_fd())?.to_string(),
        Err(_) => NOTHING.to_owned(),
    };
    let account = asked.registered.account_id.as_deref().unwrap_or(NOTHING);
    let value = format!("{connection} {listener} {subscription} {} {account}", asked.registered.id);
    Some(Bequest { name: VARIABLE, value })
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
