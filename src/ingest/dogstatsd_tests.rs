use std::{net::Ipv4Addr, time::Duration};

use rand::{RngExt as _, SeedableRng as _, rngs::StdRng};

use super::*;
use crate::config::Config;

fn settings() -> DogStatsd {
    Config::default().dogstatsd
}

/// A queue with a port of its own, and a socket that sends to it.
struct Pair {
    datagrams: DatagramQueue,
    sender: UdpSocket,
}

fn pair(settings: &DogStatsd) -> Pair {
    let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let sender = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    sender.connect(socket.local_addr().unwrap()).unwrap();
    Pair { datagrams: DogStatsdSocket::from_handover(socket).serve(settings).unwrap(), sender }
}

fn drained(datagrams: &DatagramQueue) -> String {
    let mut all = Vec::new();
    datagrams.drain(|bytes| all.extend_from_slice(bytes));
    String::from_utf8(all).unwrap()
}

#[tokio::test]
async fn received_datagrams_can_be_taken_once() {
    let Pair { datagrams, sender } = pair(&settings());
    sender.send(b"a:1|c").unwrap();
    tokio::time::timeout(Duration::from_secs(30), datagrams.arrived()).await.unwrap();
    assert_eq!(datagrams.take(), b"a:1|c\n");
    assert!(datagrams.take().is_empty());
}

#[tokio::test]
async fn a_drain_takes_all_that_was_sent_before_it_in_order() {
    let Pair { mut datagrams, sender } = pair(&DogStatsd { queue_size: 7, ..settings() });
    // The reading task has had no turn yet: everything is still with the system.
    for number in 0..100 {
        sender.send(format!("a:{number}|g").as_bytes()).unwrap();
    }
    let expected: Vec<_> = (0..100).map(|number| format!("a:{number}|g")).collect();
    assert_eq!(drained(&datagrams).lines().collect::<Vec<_>>(), expected, "however short the queue is");
    assert_eq!(datagrams.take_lost(), 0);
    assert_eq!(drained(&datagrams), "");
}

#[tokio::test]
async fn what_the_queue_cannot_hold_is_counted() {
    let Pair { mut datagrams, sender } = pair(&DogStatsd { queue_size: 2, ..settings() });
    for number in 0..5 {
        sender.send(format!("a:{number}|g").as_bytes()).unwrap();
    }
    datagrams.arrived().await;
    assert_eq!(datagrams.take(), b"a:0|g\na:1|g\n");
    assert_eq!(datagrams.take_lost(), 3);
    assert_eq!(datagrams.take_lost(), 0);
}

#[tokio::test]
async fn what_the_system_cannot_hold_is_counted_too() {
    let Pair { mut datagrams, sender } =
        pair(&DogStatsd { receive_buffer: Some(1), queue_size: 100_000, ..settings() });
    for _ in 0..500 {
        sender.send(&[b'x'; 1000]).unwrap();
    }
    let arrived = drained(&datagrams).lines().count() as u64;
    assert!(arrived < 500, "the receive buffer is as small as the system makes it");
    assert_eq!(arrived + datagrams.take_lost(), 500);
}

#[tokio::test]
async fn datagrams_of_mixed_sizes_stay_within_both_bounds_and_are_all_accounted_for() {
    let mut random = StdRng::seed_from_u64(12);
    for (queue_size, longest) in [(1_048_576, 60_000), (700, 60_000), (700, 50)] {
        let settings = DogStatsd { buffer_size: 65_536, queue_size, ..settings() };
        let Pair { mut datagrams, sender } = pair(&settings);
        let mut sent = 0;
        while datagrams.shared.queue().lost < 100 {
            let datagram = vec![b'x'; random.random_range(1..=longest)];
            sent += u64::from(sender.send(&datagram).is_ok());
            let mut queue = datagrams.shared.queue();
            queue.read(&datagrams.shared.socket);
            assert!(queue.bytes.len() <= 16 << 20 && queue.bytes.capacity() <= 16 << 20);
            assert!(queue.datagrams <= queue_size);
        }
        let kept = drained(&datagrams).lines().count() as u64;
        assert!(kept > 100, "{kept}");
        assert_eq!(kept + datagrams.take_lost(), sent);
    }
}

#[test]
fn memory_that_is_not_there_is_no_room() {
    let mut bytes = b"abc".to_vec();
    assert!(!reserve(&mut bytes, isize::MAX as usize));
    assert_eq!(bytes, b"abc");
}

#[tokio::test]
async fn of_a_long_datagram_the_lines_that_fit_are_taken() {
    let Pair { mut datagrams, sender } = pair(&DogStatsd { buffer_size: 10, ..settings() });
    for datagram in ["a:1|c\nb:1|c\nc:1|c", "0123456789", "0123456789a", ""] {
        sender.send(datagram.as_bytes()).unwrap();
    }
    assert_eq!(drained(&datagrams), "a:1|c\n0123456789\n");
    assert_eq!(datagrams.take_lost(), 1, "the one of which nothing was left");
}

#[test]
fn a_taken_port_is_an_error_and_nothing_else() {
    // Whether we or another test holds it.
    let _holder = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, PORT));
    assert_eq!(bind().unwrap_err().kind(), io::ErrorKind::AddrInUse);
}
