//! Requests to the kernel about links and addresses over netlink, which, unlike ioctls, needs no unsafe code. Source: rtnetlink(7).

use std::net::Ipv4Addr;
use std::os::fd::{AsRawFd as _, OwnedFd, RawFd};

use nix::errno::Errno;
use nix::sys::socket::{AddressFamily, MsgFlags, SockFlag, SockProtocol, SockType, recv, send, socket};

const RTM_NEWLINK: u16 = 16;
const RTM_NEWADDR: u16 = 20;
const NLM_F_REQUEST: u16 = 1;
const NLM_F_ACK: u16 = 4;
const NLM_F_EXCL: u16 = 0x200;
const NLM_F_CREATE: u16 = 0x400;
const NLMSG_ERROR: u16 = 2;
const IFF_UP: u32 = 1;
const IFLA_IFNAME: u16 = 3;
const IFLA_LINKINFO: u16 = 18;
const IFLA_NET_NS_FD: u16 = 28;
const IFLA_INFO_KIND: u16 = 1;
const IFLA_INFO_DATA: u16 = 2;
const VETH_INFO_PEER: u16 = 1;
const IFA_ADDRESS: u16 = 1;
const IFA_LOCAL: u16 = 2;
const AF_INET: u8 = 2;
const HEADER: usize = 16;

/// A netlink socket. It works on the network namespace of the thread that opened it, from any thread.
pub(super) struct Netlink(OwnedFd);

impl Netlink {
    pub(super) fn open() -> Result<Self, Errno> {
        socket(AddressFamily::Netlink, SockType::Raw, SockFlag::SOCK_CLOEXEC, SockProtocol::NetlinkRoute).map(Self)
    }

    pub(super) fn set_up(&self, link: u32) -> Result<(), Errno> {
        self.ask(RTM_NEWLINK, 0, &interface(link, IFF_UP))
    }

    /// Makes a pair of links: one called `name`, the other end in another namespace. Each has the number `link` in its namespace.
    pub(super) fn make_pair(&self, link: u32, name: &str, elsewhere: RawFd) -> Result<(), Errno> {
        let named = attribute(IFLA_IFNAME, name.as_bytes());
        let place = attribute(IFLA_NET_NS_FD, &elsewhere.to_ne_bytes());
        let peer = attribute(VETH_INFO_PEER, &[interface(link, 0), named.clone(), place].concat());
        let pair = [attribute(IFLA_INFO_KIND, b"veth"), attribute(IFLA_INFO_DATA, &peer)].concat();
        let request = [interface(link, 0), named, attribute(IFLA_LINKINFO, &pair)].concat();
        self.ask(RTM_NEWLINK, NLM_F_CREATE | NLM_F_EXCL, &request)
    }

    /// Adds an address with a prefix of `prefix` bits to a link.
    pub(super) fn add_address(&self, link: u32, address: Ipv4Addr, prefix: u8) -> Result<(), Errno> {
        let mut request = vec![AF_INET, prefix, 0, 0];
        request.extend_from_slice(&link.to_ne_bytes());
        for kind in [IFA_LOCAL, IFA_ADDRESS] {
            request.extend_from_slice(&attribute(kind, &address.octets()));
        }
        self.ask(RTM_NEWADDR, NLM_F_CREATE | NLM_F_EXCL, &request)
    }

    fn ask(&self, kind: u16, flags: u16, body: &[u8]) -> Result<(), Errno> {
        send(self.0.as_raw_fd(), &message(kind, flags, body), MsgFlags::empty())?;
        // An error message contains the request.
        let mut answer = [0_u8; 1024];
        let length = recv(self.0.as_raw_fd(), &mut answer, MsgFlags::empty())?;
        match acknowledgement(answer.get(..length).unwrap_or_default()) {
            Some(0) => Ok(()),
            Some(code) => Err(Errno::from_raw(-code)),
            None => Err(Errno::EBADMSG),
        }
    }
}

/// An `nlmsghdr` with its payload, in native byte order.
fn message(kind: u16, flags: u16, body: &[u8]) -> Vec<u8> {
    let length = u32::try_from(HEADER + body.len()).unwrap_or(u32::MAX);
    let mut message = Vec::with_capacity(HEADER + body.len());
    message.extend_from_slice(&length.to_ne_bytes());
    message.extend_from_slice(&kind.to_ne_bytes());
    message.extend_from_slice(&(NLM_F_REQUEST | NLM_F_ACK | flags).to_ne_bytes());
    message.extend_from_slice(&1_u32.to_ne_bytes());
    message.extend_from_slice(&0_u32.to_ne_bytes());
    message.extend_from_slice(body);
    message
}

/// An `ifinfomsg` that sets these flags.
fn interface(link: u32, flags: u32) -> Vec<u8> {
    [0, link, flags, flags].iter().flat_map(|field| field.to_ne_bytes()).collect()
}

/// An `rtattr` with its value, padded to a multiple of four bytes.
fn attribute(kind: u16, value: &[u8]) -> Vec<u8> {
    let length = u16::try_from(4 + value.len()).unwrap_or(u16::MAX);
    let mut attribute = Vec::with_capacity(4 + value.len().next_multiple_of(4));
    attribute.extend_from_slice(&length.to_ne_bytes());
    attribute.extend_from_slice(&kind.to_ne_bytes());
    attribute.extend_from_slice(value);
    attribute.resize(attribute.len().next_multiple_of(4), 0);
    attribute
}

/// The error code of a netlink acknowledgement: zero, or a negative errno.
fn acknowledgement(answer: &[u8]) -> Option<i32> {
    let kind = u16::from_ne_bytes(answer.get(4..6)?.try_into().ok()?);
    let code = i32::from_ne_bytes(answer.get(HEADER..HEADER + 4)?.try_into().ok()?);
    (kind == NLMSG_ERROR).then_some(code)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_that_is_no_acknowledgement_is_not_taken_for_one() {
        assert_eq!(acknowledgement(&[0; 20]), None);
        assert_eq!(acknowledgement(&[]), None);
    }

    #[test]
    fn attributes_have_their_length_and_padding() {
        let expected = [&7_u16.to_ne_bytes()[..], &3_u16.to_ne_bytes(), b"abc\0"].concat();
        assert_eq!(attribute(IFLA_IFNAME, b"abc"), expected);
    }
}
