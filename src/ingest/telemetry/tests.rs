use std::{
    collections::VecDeque,
    io::{Read as _, Write as _},
    net::{Ipv4Addr, TcpStream},
};

use super::*;
use crate::process::event::{Event, Record, Text};

/// A listener on a port of its own.
fn serve() -> (u16, Batches) {
    let bound = TelemetryListener::from_handover(TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap()).unwrap();
    (bound.port, bound.serve().unwrap())
}

fn connect(port: u16) -> TcpStream {
    TcpStream::connect((Ipv4Addr::LOCALHOST, port)).unwrap()
}

/// A batch of one line.
fn batch(line: &str) -> Vec<u8> {
    format!(r#"[{{"time":"2026-11-23T09:45:46.221Z","type":"function","record":"{line}"}}]"#).into_bytes()
}

fn head(bytes: usize) -> String {
    format!("POST / HTTP/1.1\r\nhost: sandbox\r\ncontent-length: {bytes}\r\n\r\n")
}

/// Sends a batch and does not wait for the answer.
fn send(connection: &mut TcpStream, body: &[u8]) {
    connection.write_all(head(body.len()).as_bytes()).unwrap();
    connection.write_all(body).unwrap();
}

/// The status line and the body of the next answer.
fn answer(connection: &mut TcpStream) -> String {
    let mut answer = Vec::new();
    let mut byte = [0];
    while !answer.ends_with(b"\r\n\r\n") {
        connection.read_exact(&mut byte).unwrap();
        answer.extend(byte);
    }
    let head = String::from_utf8(answer).unwrap();
    let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")).unwrap().parse().unwrap();
    let mut body = vec![0; length];
    connection.read_exact(&mut body).unwrap();
    format!("{} {}", head.split(' ').nth(1).unwrap(), String::from_utf8(body).unwrap())
}

/// Runs a sender that blocks beside the listener.
async fn beside<T: Send + 'static>(sender: impl FnOnce() -> T + Send + 'static) -> T {
    tokio::task::spawn_blocking(sender).await.unwrap()
}

/// The room that bodies take, as the listener counts it.
async fn room(port: u16, batches: &mut Batches) -> Arc<Semaphore> {
    let mut connection = connect(port);
    send(&mut connection, &batch("any"));
    let queued = batches.receiver.recv().await.unwrap();
    Arc::clone(queued.room.semaphore())
}

/// Waits for something that the listener does on this thread.
async fn until(mut is_so: impl FnMut() -> bool) {
    let waits = async {
        while !is_so() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    tokio::time::timeout(Duration::from_mins(1), waits).await.unwrap();
}

fn text_bytes(event: &Event) -> usize {
    match &event.record {
        Record::Function(Text::Plain(line)) => line.len(),
        other => panic!("{other:?}"),
    }
}

fn lines(batch: Batch) -> Vec<String> {
    let line = |event: Event| match event.record {
        Record::Function(Text::Plain(line)) => line,
        other => panic!("{other:?}"),
    };
    batch.events.into_iter().map(line).collect()
}

/// The lines of all batches that have arrived.
fn arrived(batches: &mut Batches) -> Vec<String> {
    std::iter::from_fn(|| batches.try_recv().ok()).flat_map(lines).collect()
}

#[test]
fn a_taken_port_is_no_obstacle() {
    let holder = TcpListener::bind((SOCKET.address, SOCKET.port));
    let bound = bind().unwrap();
    if holder.is_ok() {
        assert_ne!(bound.port, SOCKET.port);
    }
    assert_ne!(bound.port, 0);
}

#[tokio::test]
async fn equal_batches_whose_answers_arrived_all_count() {
    let (port, mut batches) = serve();
    beside(move || {
        let mut connection = connect(port);
        for _ in 0..3 {
            send(&mut connection, &batch("same"));
            assert_eq!(answer(&mut connection), "200 OK");
        }
    })
    .await;
    assert_eq!(arrived(&mut batches), ["same"; 3]);
}

#[tokio::test]
async fn equal_batches_on_connections_that_are_closed_in_order_all_count() {
    let (port, mut batches) = serve();
    for _ in 0..3 {
        beside(move || {
            let mut connection = connect(port);
            send(&mut connection, &batch("same"));
            assert_eq!(answer(&mut connection), "200 OK");
            connection.shutdown(std::net::Shutdown::Write).unwrap();
            // The listener closes its end once it has seen that.
            assert_eq!(connection.read(&mut [0]).unwrap(), 0);
        })
        .await;
    }
    assert_eq!(arrived(&mut batches), ["same"; 3]);
}

#[tokio::test]
async fn a_batch_whose_answer_was_lost_counts_once() {
    let (port, mut batches) = serve();
    let mut unread = connect(port);
    send(&mut unread, &batch("a"));
    assert_eq!(lines(batches.recv().await.unwrap()), ["a"]);
    drop(unread);
    beside(move || {
        let mut connection = connect(port);
        send(&mut connection, &batch("a"));
        assert_eq!(answer(&mut connection), "200 known");
        send(&mut connection, &batch("b"));
        assert_eq!(answer(&mut connection), "200 OK");
        send(&mut connection, &batch("a"));
        assert_eq!(answer(&mut connection), "200 OK");
    })
    .await;
    assert_eq!(arrived(&mut batches), ["b", "a"], "the second of which is a new one");
}

#[tokio::test]
async fn a_full_queue_holds_the_answer_and_loses_nothing() {
    let (port, mut batches) = serve();
    let room = room(port, &mut batches).await;
    let mut connection = connect(port);
    beside({
        let mut connection = connection.try_clone().unwrap();
        move || {
            for number in 0..16 {
                send(&mut connection, &batch(&number.to_string()));
                assert_eq!(answer(&mut connection), "200 OK");
            }
        }
    })
    .await;
    let queued = room.available_permits();
    // Lambda gives up on this one, and then offers it again.
    let mut given_up = connect(port);
    send(&mut given_up, &batch("more"));
    until(|| room.available_permits() < queued).await;
    drop(given_up);
    until(|| room.available_permits() == queued).await;
    send(&mut connection, &batch("more"));
    let answered = tokio::spawn(beside(move || answer(&mut connection)));
    until(|| room.available_permits() < queued).await;
    assert!(!answered.is_finished() && batches.receiver.len() == 16, "nobody is answered without a place in the queue");
    assert_eq!(lines(batches.recv().await.unwrap()), ["0"]);
    assert_eq!(answered.await.unwrap(), "200 OK");
    let expected: Vec<_> = (1..16).map(|number| number.to_string()).chain(["more".to_owned()]).collect();
    assert_eq!(arrived(&mut batches), expected, "in order, each once");
}

#[tokio::test]
async fn oversized_body_gets_413_without_affecting_other_requests() {
    let (port, mut batches) = serve();
    let too_long = (16 << 20) + 1;
    let sender = tokio::spawn(beside(move || {
        let mut connection = connect(port);
        send(&mut connection, &vec![b' '; too_long]);
        assert_eq!(answer(&mut connection), "200 unreadable");
        send(&mut connection, &batch("a"));
        assert_eq!(answer(&mut connection), "200 OK");
        let mut chunked = connect(port);
        write!(chunked, "POST / HTTP/1.1\r\nhost: sandbox\r\ntransfer-encoding: chunked\r\n\r\n{too_long:x}\r\n")
            .unwrap();
        chunked.write_all(&vec![b' '; too_long]).unwrap();
        chunked.write_all(b"\r\n0\r\n\r\n").unwrap();
        assert_eq!(answer(&mut chunked), "200 unreadable");
        send(&mut chunked, &batch("b"));
        assert_eq!(answer(&mut chunked), "200 OK");
    }));
    for line in ["a", "b"] {
        assert_eq!(lines(batches.recv().await.unwrap()), [line]);
    }
    sender.await.unwrap();
    assert_eq!([batches.take_lost(), batches.take_lost()], [2, 0], "counted once");
}

#[tokio::test]
async fn bodies_in_flight_of_mixed_sizes_stay_within_their_bound() {
    let (port, mut batches) = serve();
    let sizes = [16_700_000, 1, 9 << 20, 40_000, 7 << 20, 2, 100, 3 << 20];
    let senders: Vec<_> = sizes
        .map(|bytes| {
            tokio::spawn(beside(move || {
                let mut connection = connect(port);
                send(&mut connection, &batch(&"x".repeat(bytes)));
                answer(&mut connection)
            }))
        })
        .into();
    // Nothing leaves the queue until a body waits for room, which has then taken all that was left.
    let mut held = VecDeque::from([batches.receiver.recv().await.unwrap()]);
    let room = Arc::clone(held[0].room.semaphore());
    while room.available_permits() > 0 && held.len() < sizes.len() {
        match batches.receiver.try_recv() {
            Ok(queued) => held.push_back(queued),
            Err(_) => tokio::task::yield_now().await,
        }
    }
    let length = |queued: &QueuedBatch| queued.batch.events.iter().map(text_bytes).sum::<usize>();
    let in_flight: usize = held.iter().map(length).sum();
    assert!(held.len() < sizes.len() && in_flight <= 16 << 20, "{in_flight} bytes in flight");
    let unanswered = senders.iter().filter(|sender| !sender.is_finished()).count();
    assert!(unanswered >= sizes.len() - held.len() - batches.receiver.len(), "only what is queued is answered");
    let mut received = Vec::new();
    while received.len() < sizes.len() {
        let queued = match held.pop_front() {
            Some(queued) => queued,
            None => batches.receiver.recv().await.unwrap(),
        };
        let room = queued.room.num_permits();
        let [line] = &lines(queued.into_batch())[..] else { panic!() };
        assert!(room >= line.len(), "it holds its share until it has left");
        assert!(batches.receiver.len() <= 16);
        received.push(line.len());
    }
    for sender in senders {
        assert_eq!(sender.await.unwrap(), "200 OK");
    }
    received.sort_unstable();
    let mut sizes = sizes.to_vec();
    sizes.sort_unstable();
    assert_eq!(received, sizes);
}

#[tokio::test]
async fn a_body_that_does_not_go_on_gives_its_room_back() {
    let bound = TelemetryListener::from_handover(TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap()).unwrap();
    let port = bound.port;
    let mut batches = bound.serve_within(Limits { silence: Duration::from_millis(1), ..LIMITS }).unwrap();
    let mut stalled = connect(port);
    stalled.write_all(head(16 << 20).as_bytes()).unwrap();
    assert_eq!(beside(move || answer(&mut stalled)).await, "408 stalled");
    let mut usual = connect(port);
    usual.write_all(&[head(batch("a").len()).into_bytes(), batch("a")].concat()).unwrap();
    assert_eq!(lines(batches.recv().await.unwrap()), ["a"]);
}

#[tokio::test]
async fn http2_is_refused() {
    let (port, _batches) = serve();
    let answer = beside(move || {
        let mut connection = connect(port);
        // The preface, and empty settings.
        connection.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0").unwrap();
        let mut answer = Vec::new();
        // The connection may be reset, too.
        let _ = connection.read_to_end(&mut answer);
        answer
    })
    .await;
    assert!(!answer.contains(&4), "settings of HTTP/2: {answer:?}");
}
