//! A request's body, read into memory that is bounded and asked for before it is used.

use std::{collections::TryReserveError, future::poll_fn, pin::Pin, time::Duration};

use axum::{
    body::{Body, Bytes, HttpBody as _},
    http::HeaderValue,
};

use crate::os::timeout::timeout_awake;

/// Bounds of a request body: length, silence and total time.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Maximum length in bytes.
    pub bytes: usize,
    /// Maximum time in which nothing of it comes; here and below, the time for which the sandbox is frozen does not count.
    pub silence: Duration,
    /// Maximum time for all of it.
    pub total: Duration,
}

/// Whether a `Content-Encoding` leaves the body as it is. Codings are case-insensitive (RFC 9110, section 8.4.1).
pub fn is_identity(encoding: &HeaderValue) -> bool {
    encoding.is_empty() || encoding.as_bytes().eq_ignore_ascii_case(b"identity")
}

/// Why a body was not read.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// It is longer than allowed. It was received nonetheless, so that the sender can read its answer.
    #[error("it is longer than {limit} bytes")]
    TooLong {
        /// In bytes.
        limit: usize,
    },
    /// There is no memory for it.
    #[error("there is no memory for it")]
    NoMemory(#[from] TryReserveError),
    /// The memory that bodies may take is taken by others. It was received nonetheless.
    #[error("other requests take the memory that there is for it")]
    NoRoom,
    /// Nothing of it came for the longest time allowed.
    #[error("nothing more of it came for {silence:?}")]
    Stalled {
        /// That time.
        silence: Duration,
    },
    /// The connection broke, or what came is no HTTP.
    #[error(transparent)]
    Transport(axum::Error),
}

/// How long it will be, where the request says so.
pub fn declared_bytes(body: &Body) -> Option<u64> {
    body.size_hint().exact()
}

/// Reads a body.
pub async fn read(body: Body, limits: Limits) -> Result<Vec<u8>, ReadError> {
    read_within(body, limits, |_| true).await
}

/// Reads a body that shares a number of bytes with others. `resize` is asked for room for so many bytes before there is memory for them, and with zero once
/// none of them is needed any more.
pub async fn read_within(body: Body, limits: Limits, resize: impl FnMut(usize) -> bool) -> Result<Vec<u8>, ReadError> {
    // A byte now and then would hold the room that others wait for.
    let whole = timeout_awake(limits.total, read_pieces(body, limits, resize));
    whole.await.unwrap_or(Err(ReadError::Stalled { silence: limits.total }))
}

async fn read_pieces(
    mut body: Body,
    limits: Limits,
    mut resize: impl FnMut(usize) -> bool,
) -> Result<Vec<u8>, ReadError> {
    let mut whole = Vec::new();
    match collect(&mut body, &mut whole, limits, &mut resize).await {
        Ok(()) => Ok(whole),
        Err(error @ (ReadError::Stalled { .. } | ReadError::Transport(_))) => Err(error),
        Err(error) => {
            drop(whole);
            resize(0);
            Err(discard(body, limits.silence, error).await)
        }
    }
}

async fn collect(
    body: &mut Body,
    whole: &mut Vec<u8>,
    limits: Limits,
    resize: &mut impl FnMut(usize) -> bool,
) -> Result<(), ReadError> {
    let Limits { bytes: limit, silence, .. } = limits;
    let declared = declared_bytes(body).map_or(0, |bytes| usize::try_from(bytes).unwrap_or(usize::MAX));
    if declared > limit {
        return Err(ReadError::TooLong { limit });
    }
    reserve(whole, declared, resize)?;
    while let Some(piece) = next_piece(body, silence).await? {
        let length = whole.len() + piece.len();
        if length > limit {
            return Err(ReadError::TooLong { limit });
        }
        if length > whole.capacity() {
            // By halves, so that a body of many pieces is not copied for each.
            let capacity = whole.capacity();
            reserve(whole, capacity.saturating_add(capacity / 2).clamp(length, limit), resize)?;
        }
        whole.extend_from_slice(&piece);
    }
    Ok(())
}

/// Gets memory for so many bytes altogether.
fn reserve(whole: &mut Vec<u8>, bytes: usize, resize: &mut impl FnMut(usize) -> bool) -> Result<(), ReadError> {
    if !resize(bytes) {
        return Err(ReadError::NoRoom);
    }
    Ok(whole.try_reserve_exact(bytes - whole.len())?)
}

/// Receives a body and keeps nothing of it, so that a sender that still writes sees its answer.
pub async fn drain(body: Body, limits: Limits) {
    let reason = ReadError::TooLong { limit: limits.bytes };
    let _ = timeout_awake(limits.total, discard(body, limits.silence, reason)).await;
}

/// Receives the rest and keeps nothing of it: a sender that still writes would not see its answer. Gives the reason back.
async fn discard(mut body: Body, silence: Duration, reason: ReadError) -> ReadError {
    while let Ok(Some(_)) = next_piece(&mut body, silence).await {}
    reason
}

async fn next_piece(body: &mut Body, silence: Duration) -> Result<Option<Bytes>, ReadError> {
    loop {
        let frame = timeout_awake(silence, poll_fn(|context| Pin::new(&mut *body).poll_frame(context)));
        match frame.await.ok_or(ReadError::Stalled { silence })? {
            Some(frame) => {
                // Trailers say nothing that we want to know.
                if let Ok(piece) = frame.map_err(ReadError::Transport)?.into_data() {
                    return Ok(Some(piece));
                }
            }
            None => return Ok(None),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use axum::{Router, routing::post};
    use tokio::{
        io::AsyncWriteExt as _,
        net::{TcpListener, TcpStream},
        sync::mpsc,
    };

    use super::*;

    fn up_to(bytes: usize) -> Limits {
        Limits { bytes, silence: Duration::from_mins(1), total: Duration::from_mins(1) }
    }

    #[tokio::test]
    async fn a_body_up_to_the_limit_is_read_and_a_longer_one_is_not() {
        assert_eq!(read(Body::from("1234"), up_to(4)).await.unwrap(), b"1234");
        assert!(matches!(read(Body::from("12345"), up_to(4)).await, Err(ReadError::TooLong { limit: 4 })));
        assert_eq!(read(Body::empty(), up_to(0)).await.unwrap(), b"");
    }

    /// A byte each second, for ever.
    struct Trickle(tokio::time::Interval);

    impl axum::body::HttpBody for Trickle {
        type Data = Bytes;
        type Error = std::convert::Infallible;

        fn poll_frame(
            mut self: Pin<&mut Self>,
            context: &mut std::task::Context,
        ) -> std::task::Poll<Option<Result<http_body::Frame<Bytes>, Self::Error>>> {
            self.0.poll_tick(context).map(|_| Some(Ok(http_body::Frame::data(Bytes::from_static(b" ")))))
        }
    }

    #[tokio::test(start_paused = true)]
    async fn trickling_body_is_aborted_at_the_deadline() {
        let body = Body::new(Trickle(tokio::time::interval(Duration::from_secs(1))));
        let limits = Limits { total: Duration::from_secs(15), ..up_to(1000) };
        let began = tokio::time::Instant::now();
        assert!(matches!(read(body, limits).await, Err(ReadError::Stalled { .. })));
        assert_eq!(began.elapsed(), limits.total);
    }

    #[tokio::test]
    async fn memory_that_is_not_there_is_an_error() {
        let (result, mut results) = mpsc::channel(1);
        let handler = async move |body: Body| drop(result.send(read(body, up_to(usize::MAX)).await).await);
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let mut sender = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        tokio::spawn(async { axum::serve(listener, Router::new().route("/", post(handler))).await });
        let head = format!("POST / HTTP/1.1\r\nhost: sandbox\r\ncontent-length: {}\r\n\r\n", i64::MAX);
        sender.write_all(head.as_bytes()).await.unwrap();
        sender.shutdown().await.unwrap();
        assert!(matches!(results.recv().await, Some(Err(ReadError::NoMemory(_)))));
    }
}
