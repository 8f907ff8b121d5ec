//! Output to the standard streams. A closed or full stream must neither end the process nor block it, and no socket may take a stream's descriptor
//! number.

use std::{
    io,
    os::fd::{AsFd, AsRawFd},
    sync::atomic::{AtomicBool, Ordering},
};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

/// The highest file descriptor of a standard stream: stderr.
const STDERR: i32 = 2;

/// Time to wait for a full stream, in milliseconds. This tolerates a slow reader. While the stream stays full, only the first line waits.
const PATIENCE_MS: u8 = 50;
/// Maximum number of bytes that can be written without blocking to a pipe that is ready for writing (`PIPE_BUF`).
const PIECE: usize = 4096;

/// Writes a line to stdout. If stdout cannot be written, the line is lost. `println!` would panic on a closed stream and block on a full one without
/// a reader.
pub fn print(line: &str) {
    static IS_FULL: AtomicBool = AtomicBool::new(false);
    write(io::stdout().lock(), &IS_FULL, line);
}

/// Writes a line to stderr like [`print()`].
pub fn print_error(line: &str) {
    static IS_FULL: AtomicBool = AtomicBool::new(false);
    write(io::stderr().lock(), &IS_FULL, line);
}

/// Writes a line in pieces. `is_full`: whether the stream was full at the last write.
fn write(mut stream: impl io::Write + AsFd, is_full: &AtomicBool, line: &str) {
    for piece in format!("{line}\n").as_bytes().chunks(PIECE) {
        let patience = if is_full.load(Ordering::Relaxed) { PollTimeout::ZERO } else { PATIENCE_MS.into() };
        let full = matches!(poll(&mut [PollFd::new(stream.as_fd(), PollFlags::POLLOUT)], patience), Ok(0));
        is_full.store(full, Ordering::Relaxed);
        // One write per piece, because the standard library's buffer would wait for the rest of the line. An error means that there is no reader.
        if full || stream.write_all(piece).and_then(|()| stream.flush()).is_err() {
            return;
        }
    }
}

/// Moves a socket to a file descriptor above the standard streams. If a standard stream is closed, the system reuses its number for the next socket.
/// Printed text would then be sent to the platform, and a child process would use the socket as a stream. `duplicate` is the socket's `try_clone`,
/// which never uses these numbers.
pub fn above_standard<T: AsRawFd>(socket: T, duplicate: impl FnOnce(&T) -> io::Result<T>) -> io::Result<T> {
    if socket.as_raw_fd() > STDERR { Ok(socket) } else { duplicate(&socket) }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct RawDescriptor(i32);

    impl AsRawFd for RawDescriptor {
        fn as_raw_fd(&self) -> i32 {
            self.0
        }
    }

    #[test]
    fn only_a_socket_with_the_number_of_a_standard_stream_is_moved() {
        for (number, expected) in [(0, 7), (1, 7), (2, 7), (3, 3)] {
            assert_eq!(
                above_standard(RawDescriptor(number), |_| Ok(RawDescriptor(7))).unwrap().0,
                expected,
                "{number}"
            );
        }
    }

    #[test]
    fn a_full_pipe_drops_the_line_after_one_timeout() {
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
