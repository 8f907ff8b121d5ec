//! The Telemetry API's listener.
//!
//! Lambda sends a batch again until it is answered with 200, so anything else for a batch that cannot be read would make it come back for ever.

use std::{
    collections::{VecDeque, hash_map::DefaultHasher},
    hash::{Hash as _, Hasher as _},
    io,
    net::{Ipv4Addr, TcpListener},
    os::fd::{AsFd, BorrowedFd},
    sync::{Arc, Mutex, PoisonError},
};

use axum::{Router, body::Bytes, extract::DefaultBodyLimit, extract::State, routing::post};
use tokio::sync::mpsc::{Receiver, Sender, channel};

use crate::{
    os::{clock, streams},
    platform::subscription::TELEMETRY_PORT,
    process::event::{Batch, parse},
};

/// How many batches may wait to be processed. When they do, Lambda waits for its answer and buffers on its own side.
const QUEUE: usize = 16;
/// We subscribe with batches of 256 KiB; a single long line, with its escapes, makes one longer. More than this no event can be.
const MAX_BODY_BYTES: usize = 16 << 20;
/// How many batches back a repetition is recognised.
const REMEMBERED: usize = 16;

/// A listener that is bound, so that what Lambda sends from now on waits in its backlog. Needs no async runtime yet.
#[derive(Debug)]
pub struct Bound {
    listener: TcpListener,
    /// Where, to be told to Lambda.
    pub port: u16,
}

/// Binds the usual port, or any other if that one is taken: the subscription names it, so nothing is lost by it.
pub fn bind() -> io::Result<Bound> {
    let listener = TcpListener::bind((Ipv4Addr::UNSPECIFIED, TELEMETRY_PORT))
        .or_else(|_| TcpListener::bind((Ipv4Addr::UNSPECIFIED, 0)))?;
    Bound::inherit(streams::above_standard(listener, TcpListener::try_clone)?)
}

impl Bound {
    /// Goes on with a listener that another program of ours has left us.
    pub fn inherit(listener: TcpListener) -> io::Result<Self> {
        let port = listener.local_addr()?.port();
        Ok(Self { listener, port })
    }

    /// Answers from now on, as a task of its own; the batches come out of the receiver in the order in which they were answered.
    pub fn serve(self) -> io::Result<Receiver<Batch>> {
        if self.port != TELEMETRY_PORT {
            log::warn!("TELEMETRY | Port {TELEMETRY_PORT} cannot be bound; using {} instead", self.port);
        }
        self.listener.set_nonblocking(true)?;
        let listener = tokio::net::TcpListener::from_std(self.listener)?;
        let (sender, receiver) = channel(QUEUE);
        let inbox = Arc::new(Inbox { sender, recent: Mutex::default() });
        let router =
            Router::new().route("/", post(receive)).layer(DefaultBodyLimit::max(MAX_BODY_BYTES)).with_state(inbox);
        tokio::spawn(async move {
            // axum keeps accepting whatever happens to single connections; it returns only if asked to.
            if let Err(error) = axum::serve(listener, router).await {
                log::error!("TELEMETRY | The listener has ended: {error}");
            }
        });
        Ok(receiver)
    }
}

impl AsFd for Bound {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.listener.as_fd()
    }
}

struct Inbox {
    sender: Sender<Batch>,
    recent: Mutex<VecDeque<u64>>,
}

impl Inbox {
    /// Remembers the body; false if it was seen a moment ago. Two batches with the same bytes, times included, are one that was sent twice because our answer
    /// did not arrive.
    fn is_new(&self, body: &[u8]) -> bool {
        let mut hasher = DefaultHasher::new();
        body.hash(&mut hasher);
        let hash = hasher.finish();
        // The queue is whole at every step, whoever may have died while holding it.
        let mut recent = self.recent.lock().unwrap_or_else(PoisonError::into_inner);
        if recent.contains(&hash) {
            return false;
        }
        if recent.len() == REMEMBERED {
            recent.pop_front();
        }
        recent.push_back(hash);
        true
    }
}

async fn receive(
    State(inbox): State<Arc<Inbox>>,
    body: Result<Bytes, axum::extract::rejection::BytesRejection>,
) -> &'static str {
    let body = match body {
        Ok(body) => body,
        Err(error) => {
            log::warn!("TELEMETRY | A batch could not be read and is lost: {error}");
            return "unreadable";
        }
    };
    // The room is taken first: if Lambda gives up waiting for it, the batch is not remembered and may come again.
    let Ok(room) = inbox.sender.reserve().await else { return "closing" };
    if !inbox.is_new(&body) {
        log::debug!("TELEMETRY | A batch of {} bytes came twice", body.len());
        return "known";
    }
    let batch = parse(&body, clock::epoch_ms());
    if batch.malformed > 0 {
        log::warn!("TELEMETRY | {} events made no sense and are lost", batch.malformed);
    }
    if batch.unknown > 0 {
        log::debug!("TELEMETRY | {} events of unknown type are ignored", batch.unknown);
    }
    room.send(batch);
    "OK"
}

#[cfg(test)]
mod tests {
    use super::*;

    fn inbox() -> Inbox {
        Inbox { sender: channel(1).0, recent: Mutex::default() }
    }

    #[test]
    fn a_repetition_is_recognised_and_memory_is_bounded() {
        let inbox = inbox();
        assert!(inbox.is_new(b"a"));
        assert!(!inbox.is_new(b"a"));
        for number in 0..REMEMBERED {
            assert!(inbox.is_new(number.to_string().as_bytes()));
        }
        assert_eq!(inbox.recent.lock().unwrap().len(), REMEMBERED);
        assert!(inbox.is_new(b"a"), "forgotten by now");
    }

    #[test]
    fn a_taken_port_is_no_obstacle() {
        let holder = TcpListener::bind((Ipv4Addr::UNSPECIFIED, TELEMETRY_PORT));
        let bound = bind().unwrap();
        if holder.is_ok() {
            assert_ne!(bound.port, TELEMETRY_PORT);
        }
        assert_ne!(bound.port, 0);
    }
}
