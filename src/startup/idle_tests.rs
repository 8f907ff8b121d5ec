//! A platform that answers anything but an event.

use std::{
    io::{BufRead as _, BufReader, Write as _},
    net::{TcpListener, TcpStream},
    thread::JoinHandle,
};

use super::*;
use crate::{
    platform::{Environment, ExtensionRegistration},
    startup::ports::Ports,
};

const SHUTDOWN: &str = "HTTP/1.1 200 OK\r\ncontent-length: 39\r\n\r\n{\"eventType\":\"SHUTDOWN\",\"deadlineMs\":1}";
const INVOKE: &str =
    "HTTP/1.1 200 OK\r\ncontent-length: 53\r\n\r\n{\"eventType\":\"INVOKE\",\"deadlineMs\":1,\"requestId\":\"r\"}";

/// Answers each request with the next of these; an empty one closes the connection. Gives how many requests for an event came.
fn platform(answers: &'static [&'static str]) -> (RuntimeApi, JoinHandle<usize>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let api = RuntimeApi(listener.local_addr().unwrap().to_string());
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
    (api, served)
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

fn state(api: RuntimeApi, connection: Option<Connection>, subscription: SubscriptionReply) -> StartupState {
    let environment = Environment { runtime_api: api, ..Environment::read(|_| None) };
    let missing = || std::io::Error::other("not bound");
    StartupState {
        environment,
        registered: ExtensionRegistration { id: ExtensionId("id-1".to_owned()), account_id: None },
        ports: Ports {
            telemetry: Err(missing()),
            dogstatsd: Err(missing()),
            trace_agent: Err(missing()),
            lifecycle: Err(missing()),
        },
        runtime_proxy: None,
        connection,
        subscription,
    }
}

#[test]
fn idle_loop_sends_next_after_any_response_until_shutdown() {
    let (api, served) = platform(&[
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
    idle(state(api, None, SubscriptionReply::NotSent));
    assert_eq!(served.join().unwrap(), 10);
}

#[test]
fn idle_loop_runs_after_a_refused_subscription() {
    let (api, served) = platform(&["HTTP/1.1 403 Forbidden\r\ncontent-length: 2\r\n\r\nno", INVOKE, SHUTDOWN]);
    let mut connection = Connection::open(api.clone()).unwrap();
    // A request without a body in the subscription's place.
    connection.send_next(&ExtensionId("id-1".to_owned())).unwrap();
    connection.send_next(&ExtensionId("id-1".to_owned())).unwrap();
    idle(state(api, Some(connection), SubscriptionReply::Pending));
    assert_eq!(served.join().unwrap(), 3);
}

#[test]
fn idle_reconnects_if_the_connection_ends_with_the_subscription() {
    let (api, served) = platform(&["", SHUTDOWN]);
    let mut connection = Connection::open(api.clone()).unwrap();
    connection.send_next(&ExtensionId("id-1".to_owned())).unwrap();
    idle(state(api, Some(connection), SubscriptionReply::Pending));
    assert_eq!(served.join().unwrap(), 2);
}
