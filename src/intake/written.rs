//! A request's body that remembers whether the connection has taken it: from then on the request may have arrived, whatever comes back.

use std::{
    convert::Infallible,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll},
};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};

/// Maximum bytes of a frame. The HTTP client asks for the next frame once it has room for it: with one frame, all would count as taken before a byte is written.
const MAX_FRAME_BYTES: usize = 64 << 10;

/// Whether a body has been taken as a whole.
#[derive(Debug, Clone, Default)]
pub struct Written(Arc<AtomicBool>);

impl Written {
    /// A request's body with these bytes.
    pub fn body(&self, bytes: Bytes) -> reqwest::Body {
        reqwest::Body::wrap(Observed { rest: bytes, written: self.clone() })
    }

    /// Whether a connection has taken the whole body, apart from what the HTTP client buffers: some hundred KiB at most.
    pub fn is_complete(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

/// The body, in frames.
struct Observed {
    rest: Bytes,
    written: Written,
}

impl Body for Observed {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(mut self: Pin<&mut Self>, _: &mut Context) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let length = self.rest.len().min(MAX_FRAME_BYTES);
        let frame = self.rest.split_to(length);
        if self.rest.is_empty() {
            self.written.0.store(true, Ordering::Relaxed);
        }
        Poll::Ready((!frame.is_empty()).then(|| Ok(Frame::data(frame))))
    }

    fn is_end_stream(&self) -> bool {
        self.rest.is_empty()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.rest.len() as u64)
    }
}
