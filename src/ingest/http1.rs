//! Keeps HTTP/2 off the ports that speak HTTP/1.1.
//!
//! The HTTP library tells the two apart by the first bytes, and where anything of this program needs its HTTP/2, it speaks it on every port. But one connection of HTTP/2
//! carries hundreds of requests at a time, each with buffers of its own, for which the bounds of these ports leave no room.

use std::io;

/// What a client of HTTP/2 that has not asked before begins with (RFC 9113, section 3.4). No method of HTTP/1.1 does.
const PREFACE: &[u8] = b"PRI";

/// Looks at the first bytes of a connection.
#[derive(Debug, Default)]
pub struct Guard {
    seen: State,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// So many bytes have come, all of them those of the preface.
    Preface(usize),
    /// It is another protocol, or nobody asks.
    Other,
}

impl Default for State {
    fn default() -> Self {
        Self::Preface(0)
    }
}

impl Guard {
    /// Lets everything pass.
    pub fn open() -> Self {
        Self { seen: State::Other }
    }

    /// Looks at the bytes that have come. Fails where they, with those before them, are the preface.
    pub fn look(&mut self, bytes: &[u8]) -> io::Result<()> {
        for byte in bytes {
            let State::Preface(seen) = self.seen else { break };
            self.seen = if PREFACE.get(seen) == Some(byte) { State::Preface(seen + 1) } else { State::Other };
            if self.seen == State::Preface(PREFACE.len()) {
                return Err(io::Error::new(io::ErrorKind::InvalidData, "HTTP/2 is not spoken on this port"));
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_preface_is_recognized_however_it_comes_and_nothing_else_is() {
        let passes = |mut guard: Guard, pieces: &[&[u8]]| pieces.iter().all(|piece| guard.look(piece).is_ok());
        let whole: &[&[u8]] = &[b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"];
        for pieces in [whole, &[b"PR", b"I * "], &[b"P", b"", b"R", b"I"]] {
            assert!(!passes(Guard::default(), pieces), "{pieces:?}");
            assert!(passes(Guard::open(), pieces), "{pieces:?}");
        }
        let others: [&[&[u8]]; 4] = [&[b"POST / HTTP/1.1"], &[b"P", b"UT"], &[b"PR", b"OPFIND"], &[b"G", b"PRI"]];
        for pieces in others {
            assert!(passes(Guard::default(), pieces), "{pieces:?}");
        }
    }
}
