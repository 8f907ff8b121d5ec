//! The standard streams, which may be closed or full: neither may end the process or mix with anything else.

use std::{
    io::{self, Write as _},
    os::fd::AsRawFd,
};

/// The highest number of a standard stream: that of stderr.
const STDERR: i32 = 2;

/// Writes a line to stdout. A stream that cannot be written is no reason to fail: `println!` would panic.
pub fn print(line: &str) {
    let _ = io::stdout().lock().write_all(format!("{line}\n").as_bytes());
}

/// The same for stderr.
pub fn print_error(line: &str) {
    let _ = io::stderr().lock().write_all(format!("{line}\n").as_bytes());
}

/// Moves a socket above the standard streams. Where one of those is closed, the system gives its number to the next socket: what is printed would be sent to
/// the platform, and the next program would take the socket for a stream. `duplicate` is the socket's `try_clone`, which never uses these numbers.
pub fn above_standard<T: AsRawFd>(socket: T, duplicate: impl FnOnce(&T) -> io::Result<T>) -> io::Result<T> {
    if socket.as_raw_fd() > STDERR { Ok(socket) } else { duplicate(&socket) }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Numbered(i32);

    impl AsRawFd for Numbered {
        fn as_raw_fd(&self) -> i32 {
            self.0
        }
    }

    #[test]
    fn only_a_socket_with_the_number_of_a_standard_stream_is_moved() {
        for (number, expected) in [(0, 7), (1, 7), (2, 7), (3, 3)] {
            assert_eq!(above_standard(Numbered(number), |_| Ok(Numbered(7))).unwrap().0, expected, "{number}");
        }
    }
}
