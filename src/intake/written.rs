//! A request body that records whether the connection has taken it completely. After that, the request may have arrived, whatever the response.

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

/// Maximum size of a frame in bytes. The HTTP client requests the next frame once it has room for it. A body in a single frame would count as taken
/// before a byte is written.
const MAX_FRAME_BYTES: usize = 64 << 10;

/// Whether a body was taken completely.
#[derive(Debug, Clone, Default)]
pub struct BodyProgress(Arc<AtomicBool>);

impl BodyProgress {
    /// Creates a request body with these bytes.
    pub fn body(&self, bytes: Bytes) -> reqwest::Body {
        reqwest::Body::wrap(TrackedBody { rest: bytes, written: self.clone() })
    }

    /// Whether a connection has taken the whole body. Up to some hundred KiB of it may still be in the HTTP client's buffers.
    pub fn is_complete(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

/// The body, divided into frames.
struct TrackedBody {
    rest: Bytes,
    written: BodyProgress,
}

impl Body for TrackedBody {
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
