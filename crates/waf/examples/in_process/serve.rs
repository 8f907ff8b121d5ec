//! The loop: a message in, a message out.

use alloc::vec::Vec;

use rustix::time::{ClockId, clock_gettime};
use waf_protocol::{Error, Frames, Reader, Reply, Request, Value, WafStatus};

use crate::{entry::socket, library::Waf};

/// Bytes that are read at a time.
const CHUNK_BYTES: usize = 64 << 10;

/// Serves until the other end is closed. Gives the exit code: 0, or 1 if anything is not as it has to be.
pub fn run() -> i32 {
    let (mut waf, mut frames, mut chunk) = (None, Frames::default(), alloc::vec![0; CHUNK_BYTES]);
    loop {
        match rustix::io::read(socket(), &mut chunk[..]) {
            Ok(0) => return 0,
            Ok(read) => frames.push(chunk.get(..read).unwrap_or_default()),
            Err(_) => return 1,
        }
        if answer(&mut waf, &mut frames).is_none() {
            return 1;
        }
    }
}

/// Answers every message that is complete.
fn answer(waf: &mut Option<Waf>, frames: &mut Frames) -> Option<()> {
    while let Some(frame) = frames.take().ok()? {
        let mut out = Vec::new();
        match Request::read(frame).ok()? {
            Request::Configure { rules, obfuscator } => {
                let (built, ready) = Waf::build(rules, obfuscator).ok()?;
                *waf = Some(built);
                ready.write(&mut out);
            }
            Request::Evaluate { context: times, budget, addresses } => {
                repeat(waf.as_ref()?, times, budget, addresses, &mut out)?;
            }
            Request::Close { .. } => return None,
        }
        let mut left = &out[..];
        while !left.is_empty() {
            let written = rustix::io::write(socket(), left).ok()?;
            left = left.get(written..)?;
        }
    }
    Some(())
}

fn repeat(waf: &Waf, times: u32, budget: u64, addresses: &[u8], out: &mut Vec<u8>) -> Option<()> {
    let (mut took, mut outcome) = (Vec::new(), Vec::new());
    for _ in 0..times {
        outcome.clear();
        let begin = now();
        let mut context = waf.context()?;
        context.evaluate(times, budget, addresses, &mut outcome);
        took.push(Value::Unsigned(now().saturating_sub(begin)));
        // As in the worker, which forgets a context only after it has answered.
        drop(context);
    }
    let status = status(&outcome).ok()?;
    Reply::Outcome { context: times, status, result: Value::Array(took) }.write(out);
    Some(())
}

/// Of a frame with its length.
fn status(frame: &[u8]) -> Result<WafStatus, Error> {
    let mut reader = Reader::new(frame);
    match Reply::read(reader.text()?)? {
        Reply::Outcome { status, .. } => Ok(status),
        Reply::Ready { .. } | Reply::Refused(_) => Ok(WafStatus::Failed),
    }
}

/// Nanoseconds of a clock that never goes back.
fn now() -> u64 {
    let now = clock_gettime(ClockId::Monotonic);
    u64::try_from(now.tv_sec).unwrap_or_default() * 1_000_000_000 + u64::try_from(now.tv_nsec).unwrap_or_default()
}
