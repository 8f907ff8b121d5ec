//! The loop: a message in, a message out.

use alloc::vec::Vec;

use rustix::io::Errno;
use waf_protocol::{Frames, Reply, Request, WafStatus};

use crate::{
    confine::confine,
    entry::socket,
    library::{Context, Waf},
};

/// Bytes that are read at a time.
const CHUNK_BYTES: usize = 64 << 10;
/// Maximum number of contexts. Another one takes the place of the oldest.
const MAX_CONTEXTS: usize = 256;

/// Why the worker ends, as an exit code. The agent only sees that it has.
enum End {
    Closed = 0,
    Io = 1,
    /// A message that no agent of this version sends.
    Message = 2,
    /// The rules cannot be used, as it has said.
    Rules = 3,
}

struct Worker {
    waf: Option<Waf>,
    /// The oldest first.
    contexts: Vec<(u32, Context)>,
    out: Vec<u8>,
}

/// Serves until the agent closes its end. Gives the exit code.
pub fn run() -> i32 {
    confine();
    let mut worker = Worker { waf: None, contexts: Vec::new(), out: Vec::new() };
    let mut frames = Frames::default();
    let mut chunk = alloc::vec![0; CHUNK_BYTES];
    loop {
        let read = match rustix::io::read(socket(), &mut chunk[..]) {
            Ok(0) => return End::Closed as i32,
            Ok(read) => read,
            Err(Errno::INTR) => continue,
            Err(_) => return End::Io as i32,
        };
        frames.push(chunk.get(..read).unwrap_or_default());
        if let Err(end) = worker.answer(&mut frames) {
            return end as i32;
        }
    }
}

impl Worker {
    /// Answers every message that is complete.
    fn answer(&mut self, frames: &mut Frames) -> Result<(), End> {
        while let Some(frame) = frames.take().map_err(|_| End::Message)? {
            match Request::read(frame).map_err(|_| End::Message)? {
                Request::Configure { rules, obfuscator } => self.configure(rules, obfuscator)?,
                Request::Evaluate { context, budget, addresses } => self.evaluate(context, budget, addresses),
                Request::Close { context } => self.contexts.retain(|(id, _)| *id != context),
            }
            write(&self.out)?;
            self.out.clear();
        }
        Ok(())
    }

    fn configure(&mut self, rules: &[u8], obfuscator: &[u8]) -> Result<(), End> {
        if self.waf.is_some() {
            return Err(End::Message);
        }
        match Waf::build(rules, obfuscator) {
            Ok((waf, ready)) => {
                self.waf = Some(waf);
                ready.write(&mut self.out);
                Ok(())
            }
            Err(reason) => {
                Reply::Refused(reason.as_bytes().to_vec()).write(&mut self.out);
                write(&self.out)?;
                Err(End::Rules)
            }
        }
    }

    fn evaluate(&mut self, id: u32, budget: u64, addresses: &[u8]) {
        let out = &mut self.out;
        match context(&mut self.contexts, self.waf.as_ref(), id) {
            Some(context) => context.evaluate(id, budget, addresses, out),
            None => {
                Reply::Outcome { context: id, status: WafStatus::Failed, result: waf_protocol::Value::Null }.write(out);
            }
        }
    }
}

/// The context of this number, which is opened if there is none. None before the rules are built.
fn context<'c>(contexts: &'c mut Vec<(u32, Context)>, waf: Option<&Waf>, id: u32) -> Option<&'c mut Context> {
    if let Some(at) = contexts.iter().position(|(known, _)| *known == id) {
        return contexts.get_mut(at).map(|(_, context)| context);
    }
    if contexts.len() >= MAX_CONTEXTS {
        contexts.remove(0);
    }
    contexts.push((id, waf?.context()?));
    contexts.last_mut().map(|(_, context)| context)
}

fn write(mut bytes: &[u8]) -> Result<(), End> {
    while !bytes.is_empty() {
        match rustix::io::write(socket(), bytes) {
            Ok(written) => bytes = bytes.get(written..).unwrap_or_default(),
            Err(Errno::INTR) => {}
            Err(_) => return Err(End::Io),
        }
    }
    Ok(())
}
