//! What the launcher hands over to the agent in an environment variable: sockets, by their numbers, and how far they have got.

use std::{
    env,
    ffi::{CString, OsString},
    fmt, io,
    net::{TcpListener, TcpStream, UdpSocket},
    os::{
        fd::{AsFd, AsRawFd as _, BorrowedFd, FromRawFd as _, OwnedFd, RawFd},
        unix::ffi::OsStrExt as _,
    },
    process,
};

use nix::fcntl::{FcntlArg, FdFlag, fcntl};

use super::{
    ports::Ports,
    register::{StartupState, SubscriptionReply},
};
use crate::{
    ingest::{dogstatsd, telemetry},
    platform::{Environment, Error, ExtensionId, Registered, Subscribed, raw::blocking::Connection},
};

/// Holds a [`Handover`] as text.
pub const VARIABLE: &str = "BOTTLECAP_HANDOVER";

/// The format of the text. Of another version only the extension's identity is used.
const VERSION: &str = "1";

/// What is written down: `key=value`, separated by blanks. A socket that is not there has no key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Handover {
    id: ExtensionId,
    account_id: Option<String>,
    subscription: Subscription,
    connection: Option<RawFd>,
    telemetry: Option<RawFd>,
    dogstatsd: Option<RawFd>,
}

/// How far the subscription has got.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Subscription {
    /// Accepted.
    Active,
    /// Lambda has no Telemetry API here.
    Unsupported,
    /// Refused for good.
    Refused,
    /// The response comes before the next event.
    Pending,
    /// Not sent, or to be sent again.
    Missing,
}

const SUBSCRIPTIONS: [(Subscription, &str); 5] = [
    (Subscription::Active, "active"),
    (Subscription::Unsupported, "unsupported"),
    (Subscription::Refused, "refused"),
    (Subscription::Pending, "pending"),
    (Subscription::Missing, "missing"),
];

/// Makes the sockets outlive this program. A socket that cannot be kept open is left out: the agent does without it or opens another.
pub fn export(state: &StartupState) -> Handover {
    Handover {
        id: state.registered.id.clone(),
        account_id: state.registered.account_id.clone(),
        subscription: Subscription::of(&state.subscription),
        connection: state.connection.as_ref().and_then(|connection| keep_open(connection.as_fd())),
        telemetry: state.ports.telemetry.as_ref().ok().and_then(|bound| keep_open(bound.as_fd())),
        dogstatsd: state.ports.dogstatsd.as_ref().ok().and_then(|bound| keep_open(bound.as_fd())),
    }
}

/// What the launcher has handed over; None if it has not started this program.
pub fn import() -> Option<StartupState> {
    Handover::parse(&env::var(VARIABLE).ok()?).map(Handover::take)
}

/// The environment of the agent: the variables of this process and the handover. A variable of the handover's name in the customer's settings is left out.
pub fn environment(
    variables: impl IntoIterator<Item = (OsString, OsString)>,
    handover: Option<&Handover>,
) -> Vec<CString> {
    let others = variables.into_iter().filter(|(name, _)| name != VARIABLE);
    let others = others.map(|(name, value)| [name.as_bytes(), b"=", value.as_bytes()].concat());
    let handover = handover.map(|handover| format!("{VARIABLE}={handover}").into_bytes());
    // No variable holds a zero byte, because each has come to this process as a string that ends with one.
    others.chain(handover).filter_map(|variable| CString::new(variable).ok()).collect()
}

impl Handover {
    /// None without an identity, which is what everything else needs.
    fn parse(text: &str) -> Option<Self> {
        let text_of = |key: &str| {
            text.split(' ').find_map(|part| part.strip_prefix(key)?.strip_prefix('=')).filter(|value| !value.is_empty())
        };
        // The launcher is replaced by the agent in the same process. What another one has left, or a customer has set, is not about this process.
        if text_of("pid") != Some(&process::id().to_string()) {
            return None;
        }
        let known = text_of("version") == Some(VERSION);
        let socket = |key| text_of(key)?.parse().ok().filter(|number| known && *number > STDERR);
        let subscription = text_of("subscription").filter(|_| known);
        let subscription = SUBSCRIPTIONS.iter().find(|(_, name)| subscription == Some(name));
        Some(Self {
            id: ExtensionId(text_of("id")?.to_owned()),
            account_id: text_of("account").map(str::to_owned),
            subscription: subscription.map_or(Subscription::Missing, |(subscription, _)| *subscription),
            connection: socket("connection"),
            telemetry: socket("telemetry"),
            dogstatsd: socket("dogstatsd"),
        })
    }

    /// Takes the sockets.
    fn take(self) -> StartupState {
        let missing = || io::Error::other("the launcher could not bind the port");
        let ports = Ports {
            telemetry: self
                .telemetry
                .map(|number| TcpListener::from(adopt(number)))
                .ok_or_else(missing)
                .and_then(telemetry::TelemetryListener::from_handover),
            dogstatsd: self
                .dogstatsd
                .map(|number| UdpSocket::from(adopt(number)))
                .ok_or_else(missing)
                .map(dogstatsd::DogStatsdSocket::from_handover),
        };
        let environment = Environment::of_process();
        let api = environment.runtime_api.clone();
        StartupState {
            registered: Registered { id: self.id, account_id: self.account_id },
            ports,
            connection: self.connection.map(|number| Connection::from_handover(api, TcpStream::from(adopt(number)))),
            subscription: self.subscription.reply(),
            environment,
        }
    }
}

/// Above it are the numbers of sockets that can be handed over.
const STDERR: RawFd = 2;

impl fmt::Display for Handover {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        let subscription = SUBSCRIPTIONS.iter().find(|(subscription, _)| *subscription == self.subscription);
        write!(f, "version={VERSION} pid={} id={}", process::id(), self.id)?;
        if let Some((_, subscription)) = subscription {
            write!(f, " subscription={subscription}")?;
        }
        if let Some(account) = &self.account_id {
            write!(f, " account={account}")?;
        }
        let sockets = [("connection", self.connection), ("telemetry", self.telemetry), ("dogstatsd", self.dogstatsd)];
        for (key, number) in sockets {
            if let Some(number) = number {
                write!(f, " {key}={number}")?;
            }
        }
        Ok(())
    }
}

impl Subscription {
    fn of(reply: &SubscriptionReply) -> Self {
        match reply {
            SubscriptionReply::Received(Ok(Subscribed::Active)) => Self::Active,
            SubscriptionReply::Received(Ok(Subscribed::NotSupported)) => Self::Unsupported,
            SubscriptionReply::Received(Err(error)) if error.is_temporary() => Self::Missing,
            SubscriptionReply::Received(Err(_)) => Self::Refused,
            SubscriptionReply::Pending => Self::Pending,
            SubscriptionReply::NotSent => Self::Missing,
        }
    }

    fn reply(self) -> SubscriptionReply {
        match self {
            Self::Active => SubscriptionReply::Received(Ok(Subscribed::Active)),
            Self::Unsupported => SubscriptionReply::Received(Ok(Subscribed::NotSupported)),
            Self::Refused => {
                let why = "the launcher's subscription was refused".to_owned();
                SubscriptionReply::Received(Err(Error::Answer { call: "subscribe", why }))
            }
            Self::Pending => SubscriptionReply::Pending,
            Self::Missing => SubscriptionReply::NotSent,
        }
    }
}

fn keep_open(socket: BorrowedFd) -> Option<RawFd> {
    fcntl(socket, FcntlArg::F_SETFD(FdFlag::empty())).ok()?;
    Some(socket.as_raw_fd())
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
    use super::*;

    fn handover(subscription: Subscription) -> Handover {
        Handover {
            id: ExtensionId("id-1".to_owned()),
            account_id: Some("12".to_owned()),
            subscription,
            connection: Some(3),
            telemetry: Some(4),
            dogstatsd: Some(5),
        }
    }

    #[test]
    fn a_handover_is_read_as_it_was_written() {
        for (subscription, _) in SUBSCRIPTIONS {
            let whole = handover(subscription);
            assert_eq!(Handover::parse(&whole.to_string()), Some(whole.clone()));
            for missing in [
                Handover { connection: None, ..whole.clone() },
                Handover { telemetry: None, ..whole.clone() },
                Handover { dogstatsd: None, account_id: None, ..whole.clone() },
            ] {
                assert_eq!(Handover::parse(&missing.to_string()), Some(missing));
            }
        }
    }

    #[test]
    fn every_subscription_reply_survives_the_handover() {
        for (subscription, name) in SUBSCRIPTIONS {
            assert_eq!(Subscription::of(&subscription.reply()), subscription, "{name}");
        }
        let lost = Error::Transport {
            call: "subscribe",
            api: crate::platform::RuntimeApi(String::new()),
            source: "reset".into(),
        };
        assert_eq!(Subscription::of(&SubscriptionReply::Received(Err(lost))), Subscription::Missing);
    }

    #[test]
    fn of_another_version_only_the_identity_is_used() {
        let text = handover(Subscription::Active).to_string().replace("version=1", "version=2");
        let expected = Handover {
            subscription: Subscription::Missing,
            connection: None,
            telemetry: None,
            dogstatsd: None,
            ..handover(Subscription::Active)
        };
        assert_eq!(Handover::parse(&text), Some(expected));
        assert_eq!(Handover::parse(&format!("version=1 pid={} connection=3", process::id())), None);
        assert_eq!(Handover::parse("version=1 id=id-1 connection=3"), None, "of nobody");
        assert_eq!(Handover::parse("version=1 pid=1 id=id-1 connection=3"), None, "of another process");
        assert_eq!(Handover::parse(""), None);
    }

    #[test]
    fn a_variable_of_the_customer_does_not_replace_the_handover() {
        let handover = handover(Subscription::Active);
        let variables = [("A", "1"), (VARIABLE, "version=1 id=other"), ("B", "")];
        let variables = variables.map(|(name, value)| (OsString::from(name), OsString::from(value)));
        let texts = |handover| {
            let environment = environment(variables.clone(), handover);
            environment.into_iter().map(|variable| variable.into_string().unwrap()).collect::<Vec<_>>()
        };
        assert_eq!(texts(Some(&handover)), ["A=1".to_owned(), "B=".to_owned(), format!("{VARIABLE}={handover}")]);
        assert_eq!(texts(None), ["A=1", "B="]);
    }

    #[test]
    fn a_standard_stream_is_never_taken_for_a_socket() {
        for number in ["0", "1", "2", "-1", "x", ""] {
            let text = format!("version=1 pid={} id=a connection={number} telemetry=9", process::id());
            let parsed = Handover::parse(&text).unwrap();
            assert_eq!((parsed.connection, parsed.telemetry), (None, Some(9)), "{number}");
        }
    }

    #[test]
    fn a_state_without_sockets_is_exported_and_taken() {
        let state = StartupState {
            environment: Environment::read(|_| None),
            registered: Registered { id: ExtensionId("id-1".to_owned()), account_id: None },
            ports: Ports { telemetry: Err(io::Error::other("taken")), dogstatsd: Err(io::Error::other("taken")) },
            connection: None,
            subscription: SubscriptionReply::NotSent,
        };
        let text = export(&state).to_string();
        assert_eq!(text, format!("version=1 pid={} id=id-1 subscription=missing", process::id()));
        let taken = Handover::parse(&text).map(Handover::take).unwrap();
        assert!(taken.connection.is_none() && taken.ports.telemetry.is_err() && taken.ports.dogstatsd.is_err());
        assert_eq!(taken.registered, state.registered);
    }
}
