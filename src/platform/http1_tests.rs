use super::*;

const ANSWERS: &[&str] = &[
    "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nLambda-Extension-Identifier: id-1\r\n\r\nOK",
    "HTTP/1.1 200 OK\r\nLAMBDA-EXTENSION-IDENTIFIER:  id-1 \r\ntransfer-encoding: chunked\r\n\r\n1\r\nO\r\n1;ext=1\r\nK\r\n0\r\nx: y\r\n\r\n",
    "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nlambda-extension-identifier: id-1\r\ncontent-length: 2\r\n\r\nOK",
];

fn ok() -> Response {
    Response { status: 200, identifier: Some("id-1".to_owned()), body: b"OK".to_vec(), closes: false }
}

#[test]
fn answers_are_read_in_whatever_pieces_they_come() {
    for answer in ANSWERS {
        for split in 0..=answer.len() {
            let (head, tail) = answer.as_bytes().split_at(split);
            let mut parser = Parser::default();
            parser.feed(head).unwrap();
            let early = parser.response(false).unwrap();
            parser.feed(tail).unwrap();
            let response = early.or_else(|| parser.response(false).unwrap());
            assert_eq!(response, Some(ok()), "{answer:?} split at {split}");
            assert!(parser.buffer.is_empty(), "{answer:?} split at {split}");
        }
    }
}

#[test]
fn answers_that_come_together_are_read_one_by_one() {
    let mut parser = Parser::default();
    for answer in ANSWERS {
        parser.feed(answer.as_bytes()).unwrap();
    }
    for _ in ANSWERS {
        assert_eq!(parser.response(false).unwrap(), Some(ok()));
    }
    assert_eq!(parser.response(false).unwrap(), None);
}

#[test]
fn an_answer_without_a_length_ends_with_the_connection() {
    let mut parser = Parser::default();
    parser.feed(b"HTTP/1.1 500 Oops\r\n\r\nwhy").unwrap();
    assert_eq!(parser.response(false).unwrap(), None);
    let response = parser.response(true).unwrap().unwrap();
    assert_eq!((response.status, &response.body[..]), (500, &b"why"[..]));
}

#[test]
fn a_response_says_whether_the_connection_ends_with_it() {
    for (head, closes) in [
        ("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n", false),
        ("HTTP/1.1 200 OK\r\ncontent-length: 0\r\nConnection: Close\r\n\r\n", true),
        ("HTTP/1.1 200 OK\r\ncontent-length: 0\r\nconnection: x, close\r\n\r\n", true),
        ("HTTP/1.0 200 OK\r\ncontent-length: 0\r\n\r\n", true),
        ("HTTP/1.0 200 OK\r\ncontent-length: 0\r\nconnection: keep-alive\r\n\r\n", false),
    ] {
        let mut parser = Parser::default();
        parser.feed(head.as_bytes()).unwrap();
        assert_eq!(parser.response(false).unwrap().unwrap().closes, closes, "{head:?}");
    }
}

#[test]
fn answers_without_a_body_need_no_length() {
    let mut parser = Parser::default();
    parser.feed(b"HTTP/1.1 204 No Content\r\n\r\n").unwrap();
    assert_eq!(parser.response(false).unwrap().unwrap().status, 204);
}

#[test]
fn what_is_no_answer_is_refused_and_never_waited_for() {
    for bytes in [
        &b"SSH-2.0-OpenSSH\r\n\r\n"[..],
        b"HTTP/1.1 200 OK\r\ncontent-length: many\r\n\r\n",
        b"HTTP/1.1 200 OK\r\ncontent-length: 99999999999\r\n\r\n",
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n",
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n1\r\nabc\r\n",
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nffffffffffffffff\r\n",
    ] {
        let mut parser = Parser::default();
        parser.feed(bytes).unwrap();
        assert!(parser.response(false).is_err(), "{:?}", String::from_utf8_lossy(bytes));
    }
    let mut parser = Parser::default();
    parser.feed(b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nabc").unwrap();
    assert!(parser.response(true).is_err(), "cut off");
    let mut parser = Parser::default();
    parser.feed(&vec![b'x'; MAX_BYTES + 1]).unwrap();
    assert!(parser.response(false).is_err(), "endless");
    for (head, body) in [("content-length: 300000", "x".repeat(300_000)), ("transfer-encoding: chunked", endless())] {
        let mut parser = Parser::default();
        parser.feed(format!("HTTP/1.1 200 OK\r\n{head}\r\n\r\n{body}").as_bytes()).unwrap();
        assert!(parser.response(false).is_err(), "{head}: too long");
    }
}

/// Small chunks that are too much together.
fn endless() -> String {
    "1000\r\n".to_owned() + &("x".repeat(0x1000) + "\r\n1000\r\n").repeat(70) + &"x".repeat(0x1000) + "\r\n0\r\n\r\n"
}

/// Bytes at random, near enough to HTTP to get deep into the parser; it may refuse them but must not panic or wait for ever.
#[test]
fn nonsense_never_panics() {
    use rand::{RngExt as _, SeedableRng as _, rngs::StdRng};
    const PIECES: &[&str] = &[
        "HTTP/1.1 ",
        "200",
        " OK\r\n",
        "\r\n",
        "content-length: ",
        "7",
        "transfer-encoding: chunked\r\n",
        "0\r\n",
        "\n",
        ":",
        "ff",
        "\0",
        "é",
    ];
    for seed in 0..3000 {
        let mut rng = StdRng::seed_from_u64(seed);
        let mut parser = Parser::default();
        for _ in 0..rng.random_range(0..40) {
            parser.feed(PIECES[rng.random_range(0..PIECES.len())].as_bytes()).unwrap();
            let _ = parser.response(rng.random_range(0..8) == 0);
        }
    }
}
