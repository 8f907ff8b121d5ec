//! Frames and what is in them.

use alloc::vec::Vec;

use crate::{Error, MAX_FRAME_BYTES, MAX_REPLY_BYTES, Reader, VERSION, Value, write_text};

/// Number of bytes of a frame's length.
const LENGTH_BYTES: usize = 4;

/// A request from the agent to the worker.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Request<'m> {
    /// Builds the rules. The first message, sent once.
    Configure {
        /// A ruleset, in JSON.
        rules: &'m [u8],
        /// What configures the obfuscator, in JSON; empty: nothing.
        obfuscator: &'m [u8],
    },
    /// Evaluates addresses in a context, which is opened if it is not there.
    Evaluate {
        context: u32,
        /// Microseconds.
        budget: u64,
        /// An encoded map.
        addresses: &'m [u8],
    },
    /// Forgets a context. There is no answer.
    Close { context: u32 },
}

/// A reply from the worker to the agent.
#[derive(Debug, Clone, PartialEq)]
pub enum Reply {
    /// The rules are built.
    Ready {
        /// Of the library.
        waf_version: Vec<u8>,
        /// Of the ruleset; empty if it has none.
        rules_version: Vec<u8>,
        /// Number of rules that were loaded.
        loaded: u32,
        /// Number of rules that could not be loaded.
        failed: u32,
    },
    /// The rules cannot be used, for this reason.
    Refused(Vec<u8>),
    /// The result of an evaluation.
    Outcome { context: u32, status: WafStatus, result: Value },
}

/// How an evaluation ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WafStatus {
    /// No rule matches.
    Ok,
    /// A rule matches.
    Match,
    /// The library refuses the addresses, there is no such context and no room for one, or the result is larger than what is read.
    Failed,
}

mod tag {
    pub const CONFIGURE: u8 = 1;
    pub const EVALUATE: u8 = 2;
    pub const CLOSE: u8 = 3;
    pub const READY: u8 = 4;
    pub const REFUSED: u8 = 5;
    pub const OUTCOME: u8 = 6;
}

impl<'m> Request<'m> {
    /// Appends the frame.
    pub fn write(&self, out: &mut Vec<u8>) {
        framed(out, |out| match *self {
            Self::Configure { rules, obfuscator } => {
                out.extend([tag::CONFIGURE, VERSION]);
                write_text(out, rules);
                write_text(out, obfuscator);
            }
            Self::Evaluate { context, budget, addresses } => {
                out.push(tag::EVALUATE);
                out.extend(context.to_le_bytes());
                out.extend(budget.to_le_bytes());
                out.extend(addresses);
            }
            Self::Close { context } => {
                out.push(tag::CLOSE);
                out.extend(context.to_le_bytes());
            }
        });
    }

    /// Reads what is in a frame.
    pub fn read(frame: &'m [u8]) -> Result<Self, Error> {
        let mut reader = Reader::new(frame);
        let request = match reader.u8()? {
            tag::CONFIGURE => {
                version(&mut reader)?;
                Self::Configure { rules: reader.text()?, obfuscator: reader.text()? }
            }
            tag::EVALUATE => Self::Evaluate { context: reader.u32()?, budget: reader.u64()?, addresses: reader.rest() },
            tag::CLOSE => Self::Close { context: reader.u32()? },
            other => return Err(Error::Tag(other)),
        };
        reader.end()?;
        Ok(request)
    }
}

impl Reply {
    /// Appends the frame.
    pub fn write(&self, out: &mut Vec<u8>) {
        match self {
            Self::Ready { waf_version, rules_version, loaded, failed } => framed(out, |out| {
                out.extend([tag::READY, VERSION]);
                write_text(out, waf_version);
                write_text(out, rules_version);
                out.extend(loaded.to_le_bytes());
                out.extend(failed.to_le_bytes());
            }),
            Self::Refused(reason) => framed(out, |out| {
                out.push(tag::REFUSED);
                write_text(out, reason);
            }),
            Self::Outcome { context, status, result } => {
                Self::write_outcome(out, *context, *status, |out| result.write(out));
            }
        }
    }

    /// Appends the frame of an outcome whose result somebody else encodes.
    pub fn write_outcome(out: &mut Vec<u8>, context: u32, status: WafStatus, result: impl FnOnce(&mut Vec<u8>)) {
        framed(out, |out| {
            out.push(tag::OUTCOME);
            out.extend(context.to_le_bytes());
            out.push(match status {
                WafStatus::Ok => 0,
                WafStatus::Match => 1,
                WafStatus::Failed => 2,
            });
            result(out);
        });
    }

    /// Reads what is in a frame.
    pub fn read(frame: &[u8]) -> Result<Self, Error> {
        let mut reader = Reader::new(frame);
        let reply = match reader.u8()? {
            tag::READY => {
                version(&mut reader)?;
                Self::Ready {
                    waf_version: reader.text()?.to_vec(),
                    rules_version: reader.text()?.to_vec(),
                    loaded: reader.u32()?,
                    failed: reader.u32()?,
                }
            }
            tag::REFUSED => Self::Refused(reader.text()?.to_vec()),
            tag::OUTCOME => {
                let context = reader.u32()?;
                let status = match reader.u8()? {
                    0 => WafStatus::Ok,
                    1 => WafStatus::Match,
                    2 => WafStatus::Failed,
                    other => return Err(Error::Tag(other)),
                };
                Self::Outcome { context, status, result: Value::read(&mut reader)? }
            }
            other => return Err(Error::Tag(other)),
        };
        reader.end()?;
        Ok(reply)
    }
}

fn version(reader: &mut Reader) -> Result<(), Error> {
    match reader.u8()? {
        VERSION => Ok(()),
        other => Err(Error::Tag(other)),
    }
}

/// Appends what `write` writes, with its length before it.
fn framed(out: &mut Vec<u8>, write: impl FnOnce(&mut Vec<u8>)) {
    let start = out.len();
    out.extend([0; LENGTH_BYTES]);
    write(out);
    let length = out.len().saturating_sub(start.saturating_add(LENGTH_BYTES));
    if let Some(field) = out.get_mut(start..).and_then(<[u8]>::first_chunk_mut) {
        *field = u32::try_from(length).unwrap_or(u32::MAX).to_le_bytes();
    }
}

/// Finds frames in bytes that arrive in pieces.
#[derive(Debug)]
pub struct Frames {
    bytes: Vec<u8>,
    /// Maximum length of a frame in bytes.
    max_bytes: usize,
    /// How many of the bytes belong to frames that were taken.
    taken: usize,
}

impl Default for Frames {
    fn default() -> Self {
        Self { bytes: Vec::new(), max_bytes: MAX_FRAME_BYTES, taken: 0 }
    }
}

impl Frames {
    /// Frames that the worker sends.
    pub fn of_replies() -> Self {
        Self { max_bytes: MAX_REPLY_BYTES, ..Self::default() }
    }

    /// More bytes have arrived.
    pub fn push(&mut self, bytes: &[u8]) {
        self.bytes.drain(..self.taken);
        self.taken = 0;
        self.bytes.extend_from_slice(bytes);
    }

    /// The next complete frame, without its length; None if more bytes have to arrive.
    pub fn take(&mut self) -> Result<Option<&[u8]>, Error> {
        let waiting = self.bytes.get(self.taken..).unwrap_or_default();
        let Some((length, rest)) = waiting.split_first_chunk::<LENGTH_BYTES>() else { return Ok(None) };
        let length = usize::try_from(u32::from_le_bytes(*length)).unwrap_or(usize::MAX);
        if length > self.max_bytes {
            return Err(Error::Length(length));
        }
        let Some(frame) = rest.get(..length) else { return Ok(None) };
        self.taken = self.taken.saturating_add(LENGTH_BYTES).saturating_add(length);
        Ok(Some(frame))
    }
}
