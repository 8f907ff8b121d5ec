//! Error lines for the log, in the extension's format.

use extension_protocol::{Sink, decimal, log_line};
use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    fd::BorrowedFd,
    io::{Errno, write},
};

use crate::{process, text::Text};

/// For how long a full stream is waited for. Whoever reads it is slow, or nobody does.
const PATIENCE: Timespec = Timespec { tv_sec: 0, tv_nsec: 50_000_000 };

/// Writes an error line to stdout. That nobody reads it is no reason to fail or to wait.
pub fn error(message: &str, cause: Option<Errno>) {
    let mut place = [0; 1536];
    let mut text = Text::new(&mut place);
    text.push(b"EXTENSION | ");
    text.push(message.as_bytes());
    if let Some(cause) = cause {
        write_system_error(cause, &mut text.sink());
    }
    let mut place = [0; 4096];
    let mut line = Text::new(&mut place);
    log_line::write("ERROR", text.as_str(), &mut line.sink());
    line.push(b"\n");
    print(process::stdout(), line.as_bytes());
}

/// One write, because the line is less than a pipe takes at once (`PIPE_BUF`).
fn print(stream: BorrowedFd<'_>, line: &[u8]) {
    let is_full = matches!(poll(&mut [PollFd::new(&stream, PollFlags::OUT)], Some(&PATIENCE)), Ok(0));
    if !is_full {
        let _ = write(stream, line);
    }
}

/// Writes what an error of the system means, as the standard library does: `Connection refused (os error 111)`. Of most only the number is known.
pub fn write_system_error(error: Errno, out: Sink<'_>) {
    let name = match error {
        Errno::NOENT => "No such file or directory (",
        Errno::NOEXEC => "Exec format error (",
        Errno::ACCESS => "Permission denied (",
        Errno::CONNREFUSED => "Connection refused (",
        Errno::MFILE => "Too many open files (",
        _ => "(",
    };
    out(name);
    out("os error ");
    decimal::write(u64::from(error.raw_os_error().unsigned_abs()), out);
    out(")");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_read_as_those_of_the_standard_library() {
        for error in [Errno::NOENT, Errno::NOEXEC, Errno::ACCESS, Errno::CONNREFUSED, Errno::MFILE] {
            let mut text = String::new();
            write_system_error(error, &mut |part| text.push_str(part));
            assert_eq!(text, std::io::Error::from(error).to_string());
        }
        let mut text = String::new();
        write_system_error(Errno::PIPE, &mut |part| text.push_str(part));
        assert_eq!(text, "(os error 32)");
    }
}
