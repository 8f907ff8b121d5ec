//! The ports of extensions in a network that is shared with other processes.

use std::net::{Ipv4Addr, TcpListener, UdpSocket};

use super::journal::{Journal, JournalEvent};
use super::setup::Setup;

/// The ports at which the function finds Datadog's extension: for the lifecycle calls of its libraries, and the trace agent. That of telemetry can be any.
const TCP: [u16; 2] = [8124, 8126];
/// The port of DogStatsD.
const UDP: [u16; 1] = [8125];

/// Records which ports other processes have, such as an agent or another run: what the function sends there reaches them, and the extension gets none of it.
pub(crate) fn check(setup: &Setup, journal: &Journal) {
    if setup.extensions.is_empty() {
        return;
    }
    let tcp = TCP.into_iter().chain(setup.ports.iter().copied());
    for port in tcp.filter(|port| TcpListener::bind((Ipv4Addr::LOCALHOST, *port)).is_err()) {
        journal.write(JournalEvent::PortTaken { port, protocol: "TCP" });
    }
    for port in UDP.into_iter().filter(|port| UdpSocket::bind((Ipv4Addr::LOCALHOST, *port)).is_err()) {
        journal.write(JournalEvent::PortTaken { port, protocol: "UDP" });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sandbox::setup::Extension;
    use crate::sandbox::{in_own_network, isolation};

    #[test]
    fn a_port_that_another_process_has_is_recorded() {
        let found = in_own_network(|| {
            let _agent = UdpSocket::bind("127.0.0.1:8125").unwrap();
            let _other = TcpListener::bind("127.0.0.1:8126").unwrap();
            let journal = Journal::start();
            check(&Setup::default(), &journal);
            assert!(journal.read().is_empty(), "without an extension, nobody needs a port");
            let extensions = vec![Extension::new("agent", "/bin/true")];
            let _receiver = TcpListener::bind("127.0.0.1:4318").unwrap();
            check(&Setup { extensions, ports: vec![4317, 4318], ..Setup::default() }, &journal);
            journal.read().into_iter().map(|entry| entry.what).collect::<Vec<_>>()
        });
        let taken = |port, protocol| JournalEvent::PortTaken { port, protocol };
        match found {
            Ok(found) => assert_eq!(found, [taken(8126, "TCP"), taken(4318, "TCP"), taken(8125, "UDP")]),
            Err(refused) => assert!(!isolation::is_required(), "{refused}"),
        }
    }
}
