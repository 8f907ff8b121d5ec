//! The standard streams, which may be closed or full: neither may end the process or mix with anything else.

use std::{
    io,
    os::fd::{AsFd, AsRawFd},
    sync::atomic::{AtomicBool, Ordering},
};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

/// The highest number of a standard stream: that of stderr.
const STDERR: i32 = 2;

/// For how long a full stream is waited for, in milliseconds. Whoever reads it is slow; where nobody reads, it is waited for once.
const PATIENCE_MS: u8 = 50;
/// So much can be written to a pipe that says that it can be written, without waiting (`PIPE_BUF`).
const PIECE: usize = 4096;

/// Writes a line to stdout. A stream that cannot be written is no reason to fail or to wait: `println!` would panic where it is closed, and stop where nobody
/// reads what is full.
pub fn print(line: &str) {
    static IS_FULL: AtomicBool = AtomicBool::new(false);
    write(io::stdout().lock(), &IS_FULL, line);
}

/// The same for stderr.
pub fn print_error(line: &str) {
    static IS_FULL: AtomicBool = AtomicBool::new(false);
    write(io::stderr().lock(), &IS_FULL, line);
}

/// `is_full`: whether the last line found no room.
fn write(mut stream: impl io::Write + AsFd, is_full: &AtomicBool, line: &str) {
    for piece in format!("{line}\n").as_bytes().chunks(PIECE) {
        let patience = if is_full.load(Ordering::Relaxed) { PollTimeout::ZERO } else { PATIENCE_MS.into() };
        let full = matches!(poll(&mut [PollFd::new(stream.as_fd(), PollFlags::POLLOUT)], patience), Ok(0));
        is_full.store(full, Ordering::Relaxed);
        // One write each, because the standard library's buffer would wait for the rest of it. An error only says that nobody reads.
        if full || stream.write_all(piece).and_then(|()| stream.flush()).is_err() {
            return;
        }
    }
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

    #[test]
    fn a_full_pipe_that_nobody_reads_costs_the_line_and_is_waited_for_once() {
        let (mut reader, writer) = io::pipe().unwrap();
        let is_full = AtomicBool::new(false);
        let line = "x".repeat(9_000);
        for _ in 0..50 {
            write(&writer, &is_full, &line);
        }
        assert!(is_full.load(Ordering::Relaxed));
        let mut room = vec![0; 1 << 20];
        let read = io::Read::read(&mut reader, &mut room).unwrap();
        write(&writer, &is_full, "and on");
        assert!(!is_full.load(Ordering::Relaxed), "{read} bytes of room");
        let read = io::Read::read(&mut reader, &mut room).unwrap();
        assert!(room[..read].ends_with(b"and on\n"));
    }
}
