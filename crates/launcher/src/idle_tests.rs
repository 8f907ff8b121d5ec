//! A platform that answers anything but an event.

use std::{
    io::{BufRead as _, BufReader, Write as _},
    net::{TcpListener, TcpStream},
    thread::JoinHandle,
};

use super::*;
use crate::connection::Space;

const SHUTDOWN: &str = "HTTP/1.1 200 OK\r\ncontent-length: 39\r\n\r\n{\"eventType\":\"SHUTDOWN\",\"deadlineMs\":1}";
const INVOKE: &str =
    "HTTP/1.1 200 OK\r\ncontent-length: 53\r\n\r\n{\"eventType\":\"INVOKE\",\"deadlineMs\":1,\"requestId\":\"r\"}";

/// Answers each request with the next of these; an empty one closes the connection. Gives how many requests for an event came.
fn platform(answers: &'static [&'static str]) -> (String, JoinHandle<usize>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let host = listener.local_addr().unwrap().to_string();
    let served = std::thread::spawn(move || {
        let mut requests = 0;
        let mut answers = answers.iter();
        loop {
            let (mut stream, _) = listener.accept().unwrap();
            let mut reader = BufReader::new(stream.try_clone().unwrap());
            while let Some(path) = request(&mut reader) {
                requests += usize::from(path.ends_with("/event/next"));
                match answers.next() {
                    Some(answer) if !answer.is_empty() => stream.write_all(answer.as_bytes()).unwrap(),
                    Some(_) => break,
                    None => return requests,
                }
                if answers.len() == 0 {
                    return requests;
                }
            }
        }
    });
    (host, served)
}

/// The path of the next request; None at the end of the connection. None of them has a body.
fn request(reader: &mut BufReader<TcpStream>) -> Option<String> {
    let mut first = String::new();
    if reader.read_line(&mut first).ok()? == 0 {
        return None;
    }
    let mut line = String::new();
    while line != "\r\n" {
        line.clear();
        reader.read_line(&mut line).ok()?;
    }
    first.split(' ').nth(1).map(str::to_owned)
}

fn buffer() -> ReadBuffer {
    ReadBuffer::new(Box::leak(vec![0; size_of::<Space>()].into_boxed_slice().try_into().unwrap()))
}

/// A connection on which so many requests for an event are in flight.
fn asked(api: &Api<'_>, times: usize, buffer: &mut ReadBuffer) -> Connection {
    let mut connection = Connection::open(api, buffer).ok().unwrap();
    for _ in 0..times {
        assert!(connection.send(api, &[Request::Next { id: "id-1" }]).is_ok());
    }
    connection
}

#[test]
fn idle_loop_sends_next_after_any_response_until_shutdown() {
    let (host, served) = platform(&[
        "HTTP/1.1 500 Oops\r\ncontent-length: 2\r\n\r\nno",
        "HTTP/1.1 403 Forbidden\r\ncontent-length: 0\r\n\r\n",
        "HTTP/1.1 200 OK\r\ncontent-length: 19\r\n\r\n{\"eventType\":\"NAP\"}",
        "HTTP/1.1 200 OK\r\ncontent-length: 1\r\n\r\n{",
        "not HTTP at all\r\n\r\n",
        "",
        "HTTP/1.1 204 No Content\r\n\r\n",
        "HTTP/1.0 200 OK\r\ncontent-length: 53\r\n\r\n{\"eventType\":\"INVOKE\",\"deadlineMs\":1,\"requestId\":\"r\"}",
        INVOKE,
        SHUTDOWN,
    ]);
    idle(&Api::parse(&host).unwrap(), "id-1", None, InFlight::Nothing, &mut buffer());
    assert_eq!(served.join().unwrap(), 10);
}

#[test]
fn idle_loop_runs_after_a_refused_subscription() {
    let (host, served) = platform(&["HTTP/1.1 403 Forbidden\r\ncontent-length: 2\r\n\r\nno", INVOKE, SHUTDOWN]);
    let (api, mut buffer) = (Api::parse(&host).unwrap(), buffer());
    // The first is a request without a body in the subscription's place.
    let connection = asked(&api, 2, &mut buffer);
    idle(&api, "id-1", Some(connection), InFlight::SubscriptionAndNext, &mut buffer);
    assert_eq!(served.join().unwrap(), 3);
}

#[test]
fn idle_reconnects_if_the_connection_ends_with_the_subscription() {
    let (host, served) = platform(&["", SHUTDOWN]);
    let (api, mut buffer) = (Api::parse(&host).unwrap(), buffer());
    let connection = asked(&api, 1, &mut buffer);
    idle(&api, "id-1", Some(connection), InFlight::SubscriptionAndNext, &mut buffer);
    assert_eq!(served.join().unwrap(), 2);
}

#[test]
fn idle_takes_the_event_that_has_been_asked_for() {
    let (host, served) = platform(&[INVOKE, SHUTDOWN]);
    let (api, mut buffer) = (Api::parse(&host).unwrap(), buffer());
    let connection = asked(&api, 1, &mut buffer);
    idle(&api, "id-1", Some(connection), InFlight::Next, &mut buffer);
    assert_eq!(served.join().unwrap(), 2);
}

#[test]
fn a_response_of_maximum_size_is_read_whole() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let host = listener.local_addr().unwrap().to_string();
    let served = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let body = "x".repeat(extension_protocol::MAX_RESPONSE_BYTES - 100);
        let response = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{body}{SHUTDOWN}", body.len());
        stream.write_all(response.as_bytes()).unwrap();
    });
    let (api, mut buffer) = (Api::parse(&host).unwrap(), buffer());
    let mut connection = Connection::open(&api, &mut buffer).ok().unwrap();
    let length = connection.receive(&mut buffer).ok().unwrap().body.len();
    assert_eq!(length, extension_protocol::MAX_RESPONSE_BYTES - 100);
    let event = connection.receive(&mut buffer).map(|response| event_type(&response));
    assert_eq!(event.ok(), Some(Some(EventType::Shutdown)));
    served.join().unwrap();
}
