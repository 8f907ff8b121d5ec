//! A body on its way, of which a copy is made where somebody wants one.

use std::{
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;

use crate::{
    ingest::lifecycle::runtime::{BodyCopy, Kind, Message, Observer},
    os::clock,
    platform::RequestId,
};

/// A copy in the making. It is reported once the body has passed, and dropped if the body breaks off.
pub struct Copy {
    observer: Observer,
    kind: Kind,
    request_id: RequestId,
    body: BodyCopy,
}

impl Copy {
    /// Of a body of which at most `limit` bytes are wanted.
    pub fn new(observer: Observer, kind: Kind, request_id: RequestId, limit: usize) -> Self {
        let body = observer.copy(limit);
        Self { observer, kind, request_id, body }
    }

    fn report(self) {
        let Self { observer, kind, request_id, body } = self;
        // Counted from here on only: a body that never ends must hold nothing up, and this comes before its last byte is passed on.
        let open = observer.open();
        observer.send(Message { kind, request_id, time: clock::epoch_ms(), body, open });
    }
}

/// A body that is passed on frame by frame, as fast as its receiver takes it.
pub struct PassedBody {
    /// None: it is empty.
    body: Option<Incoming>,
    copy: Option<Copy>,
}

impl PassedBody {
    pub fn new(body: Incoming, copy: Option<Copy>) -> Self {
        let mut passed = Self { body: Some(body), copy };
        // One without content may never be asked for.
        if passed.is_end_stream() {
            passed.has_passed();
        }
        passed
    }

    pub fn empty() -> Self {
        Self { body: None, copy: None }
    }

    fn has_passed(&mut self) {
        if let Some(copy) = self.copy.take() {
            copy.report();
        }
    }
}

impl Body for PassedBody {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        let Some(body) = &mut self.body else { return Poll::Ready(None) };
        let frame = ready!(Pin::new(body).poll_frame(context));
        match &frame {
            Some(Ok(frame)) => {
                if let (Some(copy), Some(piece)) = (&mut self.copy, frame.data_ref()) {
                    copy.body.add(piece);
                }
                // Before the receiver has the last byte, and with it a reason to go on.
                if self.is_end_stream() {
                    self.has_passed();
                }
            }
            Some(Err(_)) => self.copy = None,
            None => self.has_passed(),
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.body.as_ref().is_none_or(Body::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        self.body.as_ref().map_or_else(|| SizeHint::with_exact(0), Body::size_hint)
    }
}
