//! The listening sockets, bound and not yet served: what arrives from now on waits in the system's queues until the agent is there.

use core::net::SocketAddrV4;

use extension_protocol::{
    LISTENERS, Listener, Service,
    listeners::{Sockets, Transport},
};
use rustix::{
    fd::OwnedFd,
    io::Errno,
    net::{AddressFamily, SocketFlags, SocketType, bind, getsockname, listen, socket_with, sockopt},
};

use crate::descriptors::{above_standard, keep_open};

/// How many connections wait to be accepted, as with the agent's own listeners.
const BACKLOG: i32 = 128;

/// The sockets, in the order of the table. One that cannot be bound is done without.
pub struct Listeners([Option<OwnedFd>; LISTENERS.len()]);

impl Listeners {
    /// Binds them all.
    pub fn bind() -> Self {
        Self(LISTENERS.map(|listener| bind_one(&listener).ok()))
    }

    /// The port at which Lambda can reach the telemetry listener.
    pub fn telemetry_port(&self) -> Option<u16> {
        let socket = self.0.get(Service::Telemetry as usize)?.as_ref()?;
        let address = getsockname(socket).ok()?;
        SocketAddrV4::try_from(address).ok().map(|address| address.port())
    }

    /// Keeps them open beyond the execution of the agent, and gives their numbers.
    pub fn keep_open(&self) -> Sockets {
        let mut sockets = Sockets::default();
        for (listener, socket) in LISTENERS.iter().zip(&self.0) {
            sockets.set(listener.service, socket.as_ref().and_then(keep_open));
        }
        sockets
    }
}

fn bind_one(listener: &Listener) -> Result<OwnedFd, Errno> {
    let kind = match listener.transport {
        Transport::Tcp => SocketType::STREAM,
        Transport::Udp => SocketType::DGRAM,
    };
    let socket = above_standard(socket_with(AddressFamily::INET, kind, SocketFlags::CLOEXEC, None)?)?;
    if kind == SocketType::STREAM {
        sockopt::set_socket_reuseaddr(&socket, true)?;
    }
    let at = |port| bind_and_listen(&socket, kind, SocketAddrV4::new(listener.address, port));
    match at(listener.port) {
        Err(_) if listener.any_port => at(0)?,
        bound => bound?,
    }
    Ok(socket)
}

/// That a port is taken may be said by either call.
fn bind_and_listen(socket: &OwnedFd, kind: SocketType, address: SocketAddrV4) -> Result<(), Errno> {
    bind(socket, &address)?;
    if kind == SocketType::STREAM { listen(socket, BACKLOG) } else { Ok(()) }
}
