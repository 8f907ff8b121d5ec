//! A network of the sandbox's own, so that sandboxes side by side can all own ports 8125, 8126, 8999 and 9001.

use std::os::fd::{AsRawFd, OwnedFd};

use nix::errno::Errno;
use nix::sched::{CloneFlags, unshare};
use nix::sys::socket::{AddressFamily, MsgFlags, SockFlag, SockProtocol, SockType, recv, send, socket};

const RTM_NEWLINK: u16 = 16;
const NLM_F_REQUEST: u16 = 1;
const NLM_F_ACK: u16 = 4;
const NLMSG_ERROR: u16 = 2;
const IFF_UP: u32 = 1;
/// The loopback device is the first link of every network namespace.
const LOOPBACK: i32 = 1;
const HEADER: usize = 16;

/// Moves the calling thread into a new network namespace with nothing but a loopback device, and brings that up.
///
/// Threads and processes started by the calling thread from now on are born into it; the rest of this process stays
/// where it is. It needs `CAP_SYS_ADMIN`.
pub(crate) fn isolate() -> Result<(), Errno> {
    unshare(CloneFlags::CLONE_NEWNET)?;
    loopback_up()
}

/// Asks the kernel over netlink, which (unlike the ioctl) takes no unsafe code.
fn loopback_up() -> Result<(), Errno> {
    let netlink: OwnedFd =
        socket(AddressFamily::Netlink, SockType::Raw, SockFlag::SOCK_CLOEXEC, SockProtocol::NetlinkRoute)?;
    send(netlink.as_raw_fd(), &link_up_request(), MsgFlags::empty())?;
    let mut answer = [0_u8; 512];
    let length = recv(netlink.as_raw_fd(), &mut answer, MsgFlags::empty())?;
    match acknowledgement(answer.get(..length).unwrap_or_default()) {
        Some(0) => Ok(()),
        Some(code) => Err(Errno::from_raw(-code)),
        None => Err(Errno::EBADMSG),
    }
}

/// A `nlmsghdr` followed by an `ifinfomsg` that sets one flag, in the byte order of this machine.
fn link_up_request() -> Vec<u8> {
    let mut request = Vec::with_capacity(2 * HEADER);
    request.extend_from_slice(&32_u32.to_ne_bytes());
    request.extend_from_slice(&RTM_NEWLINK.to_ne_bytes());
    request.extend_from_slice(&(NLM_F_REQUEST | NLM_F_ACK).to_ne_bytes());
    request.extend_from_slice(&1_u32.to_ne_bytes());
    request.extend_from_slice(&0_u32.to_ne_bytes());
    request.extend_from_slice(&0_u32.to_ne_bytes());
    request.extend_from_slice(&LOOPBACK.to_ne_bytes());
    request.extend_from_slice(&IFF_UP.to_ne_bytes());
    request.extend_from_slice(&IFF_UP.to_ne_bytes());
    request
}

/// The error code of a netlink acknowledgement: zero, or a negative errno.
fn acknowledgement(answer: &[u8]) -> Option<i32> {
    let kind = u16::from_ne_bytes(answer.get(4..6)?.try_into().ok()?);
    let code = i32::from_ne_bytes(answer.get(HEADER..HEADER + 4)?.try_into().ok()?);
    (kind == NLMSG_ERROR).then_some(code)
}

#[cfg(test)]
mod tests {
    use std::net::{TcpListener, TcpStream};
    use std::thread;

    use super::*;

    #[test]
    fn two_isolated_threads_can_own_the_same_port_and_reach_it() {
        let first = thread::spawn(|| {
            isolate()?;
            let listener = TcpListener::bind("127.0.0.1:8126").unwrap();
            let second = thread::spawn(|| {
                isolate()?;
                let _listener = TcpListener::bind("127.0.0.1:8126").unwrap();
                Ok::<_, Errno>(TcpStream::connect("127.0.0.1:8126").is_ok())
            });
            let inner = second.join().unwrap()?;
            drop(listener);
            Ok::<_, Errno>(inner)
        });
        match first.join().unwrap() {
            Ok(reached) => assert!(reached),
            Err(refused) => assert_eq!(refused, Errno::EPERM, "only a missing privilege is a reason"),
        }
    }

    #[test]
    fn an_answer_that_is_no_acknowledgement_is_not_taken_for_one() {
        assert_eq!(acknowledgement(&[0; 20]), None);
        assert_eq!(acknowledgement(&[]), None);
    }
}
