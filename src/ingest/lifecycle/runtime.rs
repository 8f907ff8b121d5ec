//! What the Runtime API proxy has seen of invocations that no tracer reports: events, responses and errors, which become the same calls as those of tracers.
//!
//! Copies of bodies take at most [`MAX_BODIES_BYTES`] together, until they are decoded; a body that is longer than its limit, or finds no room, counts as empty.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use tokio::sync::{
    OwnedSemaphorePermit, Semaphore,
    mpsc::{Receiver, Sender, channel},
};

use super::{MAX_BODIES_BYTES, QUEUE};
use crate::{
    ingest::trace_agent::{open::OpenRequest, room},
    platform::RequestId,
    process::{event::Timestamp, trace::SpanParents},
};

/// What has passed between the runtime and Lambda.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Kind {
    /// The event.
    Event,
    /// The response.
    Response {
        /// It is streamed to an HTTP client: a JSON object, eight zero bytes, and the content.
        is_streamed: bool,
    },
    /// The response is an error.
    Error {
        /// From the header `Lambda-Runtime-Function-Error-Type`.
        error_type: Option<String>,
    },
}

/// One such thing.
#[derive(Debug)]
pub struct Message {
    pub kind: Kind,
    pub request_id: RequestId,
    pub time: Timestamp,
    pub body: BodyCopy,
    /// Counted until it is decoded and queued.
    pub open: OpenRequest,
}

/// The side of the proxy.
#[derive(Debug, Clone)]
pub struct Observer {
    sender: Sender<Message>,
    bodies: Arc<Semaphore>,
    counters: Counters,
}

/// The side that decodes.
#[derive(Debug)]
pub struct Messages {
    receiver: Receiver<Message>,
    counters: Counters,
    /// What puts spans of the function below those of the invocations.
    pub span_parents: Arc<SpanParents>,
}

/// Counts that listener and loop share: messages in flight and events that were dropped.
#[derive(Debug, Clone, Default)]
pub struct Counters {
    /// How many messages are on their way to the loop.
    open: Arc<AtomicUsize>,
    /// How many events found no room, each of which is a span.
    dropped: Arc<AtomicUsize>,
}

impl Counters {
    /// Whether a message is on its way.
    pub fn is_receiving(&self) -> bool {
        self.open.load(Ordering::Relaxed) > 0
    }

    /// How many events found no room since this was last asked.
    pub fn take_dropped(&self) -> usize {
        self.dropped.swap(0, Ordering::Relaxed)
    }
}

impl Messages {
    /// The same messages, whose events let spans be put below those of their invocations.
    #[must_use]
    pub fn with_span_parents(self, span_parents: Arc<SpanParents>) -> Self {
        span_parents.set_arriving(Arc::clone(&self.counters.open));
        Self { span_parents, ..self }
    }

    /// The next message; None if none will come any more. May be cancelled without losing one.
    pub async fn recv(&mut self) -> Option<Message> {
        self.receiver.recv().await
    }

    pub fn counters(&self) -> Counters {
        self.counters.clone()
    }
}

#[cfg(test)]
impl Messages {
    /// The next message, if it is here.
    pub fn try_recv(&mut self) -> Option<Message> {
        self.receiver.try_recv().ok()
    }
}

/// Both sides.
pub fn observer() -> (Observer, Messages) {
    let (sender, receiver) = channel(QUEUE);
    let counters = Counters::default();
    let bodies = Arc::new(Semaphore::new(MAX_BODIES_BYTES));
    let observer = Observer { sender, bodies, counters: counters.clone() };
    (observer, Messages { receiver, counters, span_parents: Arc::default() })
}

impl Observer {
    /// The copy of a body of at most `limit` bytes.
    pub fn copy(&self, limit: usize) -> BodyCopy {
        let room = Arc::clone(&self.bodies).try_acquire_many_owned(0).ok();
        BodyCopy { bytes: Vec::new(), limit, is_whole: room.is_some(), room }
    }

    /// Counts a message from now on, so that no flush goes without it.
    pub fn open(&self) -> OpenRequest {
        OpenRequest::new(&self.counters.open)
    }

    /// Reports without waiting: the function waits for what is passed on.
    pub fn send(&self, message: Message) {
        let is_event = message.kind == Kind::Event;
        if self.sender.try_send(message).is_err() {
            self.counters.dropped.fetch_add(usize::from(is_event), Ordering::Relaxed);
            tracing::debug!("LIFECYCLE | what the runtime does is dropped: too much waits to be decoded");
        }
    }
}

/// A copy of the beginning of a body, with its share of the memory.
#[derive(Debug)]
pub struct BodyCopy {
    bytes: Vec<u8>,
    limit: usize,
    is_whole: bool,
    room: Option<OwnedSemaphorePermit>,
}

impl BodyCopy {
    /// Adds a piece, as far as it fits. What comes after one that does not is left out.
    pub fn add(&mut self, piece: &[u8]) {
        if !self.is_whole {
            return;
        }
        let fitting = piece.get(..self.limit - self.bytes.len()).unwrap_or(piece);
        let has_room = self.reserve(fitting.len());
        if has_room {
            self.bytes.extend_from_slice(fitting);
        }
        self.is_whole = has_room && fitting.len() == piece.len();
    }

    /// Whether there is memory for so many bytes more.
    fn reserve(&mut self, more: usize) -> bool {
        let length = self.bytes.len() + more;
        if length <= self.bytes.capacity() {
            return true;
        }
        // By halves, so that a body of many pieces is not copied for each.
        let capacity = (self.bytes.capacity() + self.bytes.capacity() / 2).clamp(length, self.limit);
        let has_room = self.room.as_mut().is_some_and(|room| room::resize(room, capacity));
        has_room && self.bytes.try_reserve_exact(capacity - self.bytes.len()).is_ok()
    }

    /// The body; empty if it is not whole.
    pub fn whole(&self) -> &[u8] {
        if self.is_whole { &self.bytes } else { &[] }
    }

    /// The bytes that were received so far.
    pub fn beginning(&self) -> &[u8] {
        &self.bytes
    }
}

#[cfg(test)]
mod tests {
    use super::{super::MAX_BODY_BYTES, *};

    #[test]
    fn a_body_up_to_the_limit_is_whole_and_a_longer_one_has_its_beginning() {
        let (observer, _messages) = observer();
        for (pieces, whole, beginning) in [
            (&["ab", "", "cd"][..], "abcd", "abcd"),
            (&[], "", ""),
            (&["abc", "de", "f"], "", "abcd"),
            (&["abcde"], "", "abcd"),
        ] {
            let mut copy = observer.copy(4);
            for piece in pieces {
                copy.add(piece.as_bytes());
            }
            assert_eq!((copy.whole(), copy.beginning()), (whole.as_bytes(), beginning.as_bytes()), "{pieces:?}");
        }
    }

    #[test]
    fn copies_take_no_more_than_their_share_together() {
        let (observer, _messages) = observer();
        let piece = vec![b'x'; MAX_BODY_BYTES];
        let mut copies: Vec<BodyCopy> = (0..6).map(|_| observer.copy(MAX_BODY_BYTES)).collect();
        for copy in &mut copies {
            copy.add(&piece);
        }
        let bytes: usize = copies.iter().map(|copy| copy.bytes.capacity()).sum();
        assert_eq!(bytes, MAX_BODIES_BYTES);
        assert_eq!(copies.pop().unwrap().whole(), b"");
        copies.pop();
        copies.remove(0);
        let mut later = observer.copy(MAX_BODY_BYTES);
        later.add(&piece);
        assert_eq!(later.whole().len(), MAX_BODY_BYTES, "room is given back");
    }
}
