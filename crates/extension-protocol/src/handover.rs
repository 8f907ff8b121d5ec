//! What the launcher hands over to the agent in an environment variable: sockets, by the numbers of their descriptors, and how far startup has got.
//!
//! The text is `key=value`, separated by blanks, in any order: `version=1 pid=7 id=… subscription=pending account=… connection=3 telemetry=4 dogstatsd=5`.
//! A key that is absent stands for a socket that is not there. The times of the launcher's steps follow, for whoever measures a start.

use crate::{
    Sink, decimal,
    listeners::{LISTENERS, Sockets},
};

/// The environment variable that holds the text.
pub const VARIABLE: &str = "BOTTLECAP_HANDOVER";

/// The version of the format. Of another version only the extension's identity is used.
const VERSION: &str = "1";

/// The highest number of a standard stream: that of stderr. Sockets that are handed over are above it.
pub const STDERR: i32 = 2;

/// How many descriptors the agent needs beside those that it gets: an async runtime, a telemetry connection and a request. With fewer it could accept and send
/// nothing, and the end of every invocation would be waited for in vain; without any, a program that is linked dynamically ends before its `main`.
pub const SPARE_DESCRIPTORS: usize = 12;

/// The steps of which the launcher takes the time, by their keys: its first instruction, all sockets bound, the registration answered, the subscription and the
/// request for the first event sent, and the execution of the agent.
pub const STEPS: [&str; 5] = ["t_start", "t_bound", "t_registered", "t_sent", "t_executed"];

/// When the launcher took each of its [`STEPS`], in nanoseconds of `CLOCK_MONOTONIC`; zero where it is not known.
pub type StepTimes = [u64; STEPS.len()];

/// The startup state that the launcher hands over to the agent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Handover<'a> {
    /// The extension's id.
    pub id: &'a str,
    /// The account that owns the function.
    pub account_id: Option<&'a str>,
    pub subscription: SubscriptionState,
    /// The connection on which the next event has been requested.
    pub connection: Option<i32>,
    /// The listening sockets.
    pub sockets: Sockets,
    pub times: StepTimes,
}

/// The state of the telemetry subscription at the handover.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SubscriptionState {
    /// The response comes before the next event.
    Pending,
    /// Not sent, or to be sent again.
    Missing,
}

impl SubscriptionState {
    fn name(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Missing => "missing",
        }
    }
}

impl<'a> Handover<'a> {
    /// Reads the text in the process with this number; None without an identity, which is what everything else needs, and in another process: the launcher is
    /// replaced by the agent in the same one, so that what another has left, or a customer has set, is not about this one.
    #[must_use]
    pub fn parse(text: &'a str, pid: u32) -> Option<Self> {
        let value = |key: &str| {
            let values = text.split(' ').filter_map(|part| part.strip_prefix(key)?.strip_prefix('='));
            values.into_iter().find(|value| !value.is_empty())
        };
        let number = |key: &str| decimal::parse(value(key)?.as_bytes());
        if number("pid").and_then(|number| u32::try_from(number).ok()) != Some(pid) {
            return None;
        }
        let known = value("version") == Some(VERSION);
        let socket = |key| i32::try_from(number(key)?).ok().filter(|number| known && *number > STDERR);
        let mut sockets = Sockets::default();
        for listener in LISTENERS {
            sockets.set(listener.service, socket(listener.key));
        }
        let is_pending = known && value("subscription") == Some(SubscriptionState::Pending.name());
        Some(Self {
            id: value("id")?,
            account_id: value("account"),
            subscription: if is_pending { SubscriptionState::Pending } else { SubscriptionState::Missing },
            connection: socket("connection"),
            sockets,
            times: STEPS.map(|step| number(step).filter(|_| known).map_or(0, |time| time as u64)),
        })
    }

    /// Writes the text for the process with this number.
    pub fn write(&self, pid: u32, out: Sink<'_>) {
        out("version=");
        out(VERSION);
        write_number("pid", Some(pid.into()), out);
        out(" id=");
        out(self.id);
        out(" subscription=");
        out(self.subscription.name());
        if let Some(account) = self.account_id {
            out(" account=");
            out(account);
        }
        let socket = |number: i32| number.cast_unsigned().into();
        write_number("connection", self.connection.map(socket), out);
        for listener in LISTENERS {
            write_number(listener.key, self.sockets.get(listener.service).map(socket), out);
        }
        for (step, time) in STEPS.iter().zip(self.times) {
            write_number(step, Some(time).filter(|time| *time > 0), out);
        }
    }
}

fn write_number(key: &str, number: Option<u64>, out: Sink<'_>) {
    let Some(number) = number else { return };
    out(" ");
    out(key);
    out("=");
    decimal::write(number, out);
}

#[cfg(test)]
mod tests {
    use std::{format, string::String};

    use super::*;
    use crate::listeners::Service;

    const PID: u32 = 7;

    fn handover() -> Handover<'static> {
        let mut sockets = Sockets::default();
        sockets.set(Service::Telemetry, Some(4));
        sockets.set(Service::DogStatsd, Some(5));
        let subscription = SubscriptionState::Pending;
        Handover {
            id: "id-1",
            account_id: Some("12"),
            subscription,
            connection: Some(3),
            sockets,
            times: [0; STEPS.len()],
        }
    }

    fn text(handover: &Handover) -> String {
        let mut text = String::new();
        handover.write(PID, &mut |part| text.push_str(part));
        text
    }

    #[test]
    fn a_handover_is_read_as_it_was_written() {
        let mut without_dogstatsd = handover();
        without_dogstatsd.sockets.set(Service::DogStatsd, None);
        for handover in [
            handover(),
            Handover { subscription: SubscriptionState::Missing, connection: None, ..handover() },
            Handover { account_id: None, ..without_dogstatsd },
            Handover { sockets: Sockets::default(), ..handover() },
            Handover { times: [1, 2, 0, u64::MAX, 5], ..handover() },
        ] {
            assert_eq!(Handover::parse(&text(&handover), PID), Some(handover));
        }
        let expected = "version=1 pid=7 id=id-1 subscription=pending account=12 connection=3 telemetry=4 dogstatsd=5";
        assert_eq!(text(&handover()), expected);
    }

    #[test]
    fn of_another_version_only_the_identity_is_used() {
        let text = text(&Handover { times: [9; STEPS.len()], ..handover() }).replace("version=1", "version=2");
        let expected = Handover {
            subscription: SubscriptionState::Missing,
            connection: None,
            sockets: Sockets::default(),
            ..handover()
        };
        assert_eq!(Handover::parse(&text, PID), Some(expected));
    }

    #[test]
    fn a_missing_handover_or_one_of_another_process_is_none() {
        for text in [
            "",
            "version=1 pid=7 connection=3",
            "version=1 pid=7 id=",
            "version=1 id=a",
            "version=1 pid=1 id=a",
            "pid=x id=a",
        ] {
            assert_eq!(Handover::parse(text, PID), None, "{text}");
        }
    }

    #[test]
    fn a_standard_stream_is_never_taken_for_a_socket() {
        for number in ["0", "1", "2", "-1", "x", "", "99999999999"] {
            let text = format!("version=1 pid=7 id=a connection={number} telemetry=9");
            let parsed = Handover::parse(&text, PID).unwrap();
            assert_eq!((parsed.connection, parsed.sockets.get(Service::Telemetry)), (None, Some(9)), "{number}");
        }
    }
}
