//! The numbers of descriptors.

use extension_protocol::handover::STDERR;
use rustix::{
    fd::{AsFd, AsRawFd, OwnedFd, RawFd},
    io::{Errno, FdFlags, fcntl_dupfd_cloexec, fcntl_setfd},
    net::{AddressFamily, SocketFlags, SocketType, socket_with},
};

/// Moves a socket above the standard streams. Where one of those is closed, the system gives its number to the next socket: what is printed would be sent to
/// the platform, and the agent would take the socket for a stream.
pub fn above_standard(socket: OwnedFd) -> Result<OwnedFd, Errno> {
    if socket.as_raw_fd() > STDERR { Ok(socket) } else { fcntl_dupfd_cloexec(&socket, STDERR + 1) }
}

/// Keeps a socket open beyond the execution of another program. Gives its number; None where that fails, and the agent does without it or opens another.
pub fn keep_open(socket: &impl AsFd) -> Option<RawFd> {
    let socket = socket.as_fd();
    fcntl_setfd(socket, FdFlags::empty()).ok().map(|()| socket.as_raw_fd())
}

/// Whether so many descriptors are left. They are taken, and closed again.
pub fn find_spare(count: usize) -> Result<(), Errno> {
    let Some(others) = count.checked_sub(1) else { return Ok(()) };
    let _taken = socket_with(AddressFamily::INET, SocketType::DGRAM, SocketFlags::CLOEXEC, None)?;
    find_spare(others)
}

#[cfg(test)]
mod tests {
    use std::{fs::File, os::fd::OwnedFd};

    use rustix::io::{FdFlags, fcntl_getfd};

    use super::*;

    #[test]
    fn only_a_descriptor_that_is_kept_open_outlives_an_execution() {
        let file = OwnedFd::from(File::open("/dev/null").unwrap());
        assert_eq!(fcntl_getfd(&file).unwrap(), FdFlags::CLOEXEC);
        assert_eq!(keep_open(&file), Some(file.as_raw_fd()));
        assert_eq!(fcntl_getfd(&file).unwrap(), FdFlags::empty());
    }
}
