//! A timeout that does not count time for which the sandbox is frozen.
//!
//! After a thaw, every timer is late, and tokio wakes a task for its timer even if the data that it waits for is already in the socket. A request
//! that was answered long ago would then time out, and its payload would be sent twice. The timeout is therefore counted in slices. A slice during
//! which a freeze occurred counts as one slice. The timeout ends only with a slice without a freeze, which leaves time to read data that has arrived.

use std::{pin::pin, time::Duration};

use tokio::time::{Instant, sleep};

/// Number of slices of a timeout, within the limits below.
const SLICES: u32 = 20;
const SHORTEST_SLICE: Duration = Duration::from_millis(10);
const LONGEST_SLICE: Duration = Duration::from_secs(1);

/// Maximum number of slices with a freeze after the last one, in case the sandbox never runs for as long as a slice.
const MAX_FROZEN_SLICES: u32 = 5;

/// The future's output; None if it takes longer than `limit`, not counting time for which the process was frozen.
pub async fn timeout_awake<F: Future>(limit: Duration, future: F) -> Option<F::Output> {
    let mut future = pin!(future);
    let slice = (limit / SLICES).clamp(SHORTEST_SLICE, LONGEST_SLICE);
    let mut left = limit;
    let mut frozen_slices = 0;
    loop {
        let wait = left.min(slice);
        let started = Instant::now();
        tokio::select! {
            biased;
            output = &mut future => return Some(output),
            () = sleep(wait) => {}
        }
        left -= wait;
        if left.is_zero() {
            let frozen = started.elapsed() >= wait + slice;
            frozen_slices += 1;
            if !frozen || frozen_slices > MAX_FROZEN_SLICES {
                return None;
            }
            left = slice;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::future::pending;

    use tokio::{
        io::{AsyncReadExt as _, AsyncWriteExt as _},
        net::{TcpListener, TcpStream},
        task::yield_now,
        time::advance,
    };

    use super::*;

    const LIMIT: Duration = Duration::from_secs(5);

    #[tokio::test(start_paused = true)]
    async fn the_limit_is_exact_while_nothing_is_frozen() {
        for limit in [Duration::from_millis(1), Duration::from_millis(999), LIMIT, Duration::from_hours(24)] {
            let started = Instant::now();
            assert_eq!(timeout_awake(limit, pending::<()>()).await, None);
            let took = started.elapsed();
            // Timers have a resolution of 1 ms.
            assert!((limit..=limit + Duration::from_millis(1)).contains(&took), "{limit:?} and {took:?}");
        }
        let answer = async {
            sleep(LIMIT * 999 / 1000).await;
            "answer"
        };
        assert_eq!(timeout_awake(LIMIT, answer).await, Some("answer"));
    }

    /// Advances the clock in one step, as a frozen process experiences it.
    async fn freeze(time: Duration) {
        yield_now().await;
        advance(time).await;
    }

    #[tokio::test(start_paused = true)]
    async fn a_freeze_counts_as_one_slice() {
        let slice = LIMIT / SLICES;
        let started = Instant::now();
        let waiting = tokio::spawn(timeout_awake(LIMIT, pending::<()>()));
        freeze(LIMIT * 100).await;
        assert_eq!(waiting.await.unwrap(), None);
        let took = started.elapsed();
        assert!(took + slice >= LIMIT * 101, "{took:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_freeze_in_the_last_slice_is_followed_by_another_slice() {
        let slice = LIMIT / SLICES;
        let started = Instant::now();
        let waiting = tokio::spawn(timeout_awake(LIMIT, pending::<()>()));
        sleep(slice * (2 * SLICES - 1) / 2).await;
        freeze(LIMIT).await;
        assert_eq!(waiting.await.unwrap(), None);
        assert!(started.elapsed() >= LIMIT * 2 + slice / 2, "{:?}", started.elapsed());
    }

    /// The sandbox runs only for moments; the request times out nevertheless.
    #[tokio::test(start_paused = true)]
    async fn freezes_without_end_do_not_keep_a_request_for_ever() {
        let waiting = tokio::spawn(timeout_awake(LIMIT, pending::<()>()));
        let mut freezes = 0;
        while !waiting.is_finished() {
            freeze(LIMIT).await;
            freezes += 1;
        }
        assert!((SLICES..=SLICES + MAX_FROZEN_SLICES + 2).contains(&freezes), "{freezes}");
    }

    /// A separate task reads the socket, as in an HTTP client, so the response takes several scheduler turns to arrive.
    #[tokio::test]
    async fn what_arrived_during_a_freeze_is_read_before_the_timeout_ends() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let mut client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let (mut server, _) = listener.accept().await.unwrap();
        let limit = Duration::from_millis(200);
        let (told, hear) = tokio::sync::oneshot::channel();
        tokio::spawn(async move {
            let mut answer = [0; 2];
            client.read_exact(&mut answer).await.unwrap();
            let _ = told.send(answer);
        });
        let waiting = tokio::spawn(timeout_awake(limit, hear));
        yield_now().await;
        server.write_all(b"ok").await.unwrap();
        // The runtime has one thread. While that is blocked, no task runs, as in a frozen process.
        std::thread::sleep(limit * 3);
        assert_eq!(waiting.await.unwrap(), Some(Ok(*b"ok")));
    }
}
