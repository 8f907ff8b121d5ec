//! A network namespace for each sandbox, so that parallel sandboxes can all bind ports 8125, 8126, 8999 and 9001, with the interface that functions on Lambda
//! have.

mod netlink;

use std::fs::File;
use std::io;
use std::net::Ipv4Addr;
use std::os::fd::AsRawFd as _;
use std::thread;

use nix::sched::{CloneFlags, unshare};

use self::netlink::Netlink;
use super::setup::Initialization;

/// The address at the other end of the sandbox's interface. Nothing listens there, and there is no route beyond it, but it responds: it refuses connections.
pub const OUTSIDE: Ipv4Addr = Ipv4Addr::new(169, 254, 76, 2);
/// The sandbox's own address on that interface.
const INSIDE: Ipv4Addr = Ipv4Addr::new(169, 254, 76, 1);
const PREFIX: u8 = 23;
/// The loopback device is the first link of every network namespace.
const LOOPBACK: u32 = 1;
const INTERFACE: u32 = 2;

/// The network namespace at the other end of the sandbox's interface. Dropping it removes the interface.
pub(crate) struct PeerNamespace {
    _namespace: File,
}

/// Moves the calling thread into a new network namespace with only a loopback device, and brings that up.
///
/// Threads and processes that the calling thread starts from now on are created in it; the rest of this process stays where it is. It needs `CAP_SYS_ADMIN`.
pub(crate) fn isolate() -> io::Result<()> {
    unshare(CloneFlags::CLONE_NEWNET)?;
    Ok(Netlink::open()?.set_up(LOOPBACK)?)
}

/// Runs `work` in a network namespace of its own, with only a loopback device. A sandbox that is started there with
/// [`Network::Host`](super::setup::Network::Host) uses that namespace, so that a test can bind a port before an extension does.
pub fn in_own_network<T: Send>(work: impl FnOnce() -> T + Send) -> io::Result<T> {
    let done = thread::scope(|scope| scope.spawn(|| isolate().map(|()| work())).join());
    done.unwrap_or_else(|panic| std::panic::resume_unwind(panic))
}

/// Adds the interface that Lambda has for this initialization type to the calling thread's network namespace, which must be its own.
pub(crate) fn connect(initialization: Initialization) -> io::Result<PeerNamespace> {
    // Extensions read the traffic by these names; Lambda documents neither.
    let name = match initialization {
        Initialization::ManagedInstances => "Ceth1",
        _ => "vinternal_1",
    };
    // A separate thread enters the other namespace, so that this one stays here.
    let (namespace, outside) = thread::scope(|scope| {
        let made = scope.spawn(|| {
            unshare(CloneFlags::CLONE_NEWNET)?;
            io::Result::Ok((File::open("/proc/thread-self/ns/net")?, Netlink::open()?))
        });
        made.join().unwrap_or_else(|_| Err(io::Error::other("no thread for the other end")))
    })?;
    let inside = Netlink::open()?;
    inside.make_pair(INTERFACE, name, namespace.as_raw_fd())?;
    for (end, address) in [(inside, INSIDE), (outside, OUTSIDE)] {
        end.add_address(INTERFACE, address, PREFIX)?;
        end.set_up(INTERFACE)?;
    }
    Ok(PeerNamespace { _namespace: namespace })
}

#[cfg(test)]
mod tests {
    use std::io::ErrorKind;
    use std::net::{TcpListener, TcpStream};

    use nix::errno::Errno;

    use super::*;
    use crate::sandbox::isolation;

    #[test]
    fn two_isolated_threads_can_own_the_same_port_and_reach_it() {
        let first = thread::spawn(|| {
            isolate()?;
            let listener = TcpListener::bind("127.0.0.1:8126").unwrap();
            let second = thread::spawn(|| {
                isolate()?;
                let _listener = TcpListener::bind("127.0.0.1:8126").unwrap();
                io::Result::Ok(TcpStream::connect("127.0.0.1:8126").is_ok())
            });
            let inner = second.join().unwrap()?;
            drop(listener);
            io::Result::Ok(inner)
        });
        match first.join().unwrap() {
            Ok(reached) => assert!(reached),
            Err(refused) => {
                assert_eq!(refused.kind(), ErrorKind::PermissionDenied, "the only reason: {refused}");
                assert!(!isolation::is_required(), "{refused}");
            }
        }
    }

    #[test]
    fn a_port_in_a_network_namespace_is_separate() {
        let bound = || TcpListener::bind("127.0.0.1:8127");
        match in_own_network(|| (bound(), in_own_network(bound).unwrap())) {
            Ok((first, second)) => assert!(first.is_ok() && second.is_ok(), "{first:?} {second:?}"),
            Err(refused) => assert!(!isolation::is_required(), "{refused}"),
        }
    }

    #[test]
    fn what_goes_out_goes_over_the_interface_and_nothing_is_beyond() {
        let seen = |initialization| {
            thread::spawn(move || {
                isolate()?;
                let _outside = connect(initialization)?;
                let tries = [OUTSIDE, Ipv4Addr::new(192, 0, 2, 1)].map(|to| TcpStream::connect((to, 80)));
                let devices = std::fs::read_to_string("/proc/thread-self/net/dev")?;
                io::Result::Ok((tries.map(|tried| tried.unwrap_err().kind()), devices))
            })
        };
        for (initialization, name) in
            [(Initialization::OnDemand, "vinternal_1"), (Initialization::ManagedInstances, "Ceth1")]
        {
            let (refusals, devices) = match seen(initialization).join().unwrap() {
                Ok(seen) => seen,
                Err(refused) => {
                    let reason = refused.raw_os_error().map(Errno::from_raw);
                    assert!(matches!(reason, Some(Errno::EPERM | Errno::EOPNOTSUPP)), "{refused}");
                    assert!(!isolation::is_required(), "{refused}");
                    continue;
                }
            };
            assert_eq!(refusals, [ErrorKind::ConnectionRefused, ErrorKind::NetworkUnreachable]);
            let line = devices.lines().find_map(|line| line.trim_start().strip_prefix(name)).unwrap();
            let received = line.trim_start_matches(':').split_ascii_whitespace().next().unwrap();
            assert!(received.parse::<u64>().unwrap() > 0, "{devices}");
        }
    }
}
