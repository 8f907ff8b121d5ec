use std::{format, string::String, vec, vec::Vec};

use super::*;

const RESPONSES: &[&str] = &[
    "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nLambda-Extension-Identifier: id-1\r\n\r\nOK",
    "HTTP/1.1 200 OK\r\nLAMBDA-EXTENSION-IDENTIFIER:  id-1 \r\ntransfer-encoding: chunked\r\n\r\n1\r\nO\r\n1;ext=1\r\nK\r\n0\r\nx: y\r\n\r\n",
    "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nlambda-extension-identifier: id-1\r\ncontent-length: 2\r\n\r\nOK",
    "\r\nHTTP/1.1 200\r\nlambda-extension-identifier:id-1\nx-lambda-extension-identifier: id-2\r\ncontent-length: 2\n\nOK",
];

/// What a response is, with copies of its parts.
#[derive(Debug, PartialEq, Eq)]
struct OwnedResponse {
    status: u16,
    identifier: Option<String>,
    body: Vec<u8>,
    closes: bool,
}

fn ok() -> OwnedResponse {
    OwnedResponse { status: 200, identifier: Some("id-1".into()), body: b"OK".to_vec(), closes: false }
}

/// Takes a response off the front.
fn take(buffer: &mut Vec<u8>, ended: bool) -> Result<Option<OwnedResponse>, ResponseError> {
    let Some(ParsedResponse { response, bytes }) = parse(buffer, ended)? else { return Ok(None) };
    let Response { status, identifier, body, closes } = response;
    let owned = OwnedResponse { status, identifier: identifier.map(Into::into), body: body.to_vec(), closes };
    buffer.drain(..bytes);
    Ok(Some(owned))
}

#[test]
fn responses_are_parsed_from_pieces_of_any_size() {
    for response in RESPONSES {
        for split in 0..=response.len() {
            let (head, tail) = response.as_bytes().split_at(split);
            let mut buffer = head.to_vec();
            let early = take(&mut buffer, false).unwrap();
            buffer.extend_from_slice(tail);
            let response_read = early.or_else(|| take(&mut buffer, false).unwrap());
            assert_eq!(response_read, Some(ok()), "{response:?} split at {split}");
            assert!(buffer.is_empty(), "{response:?} split at {split}");
        }
    }
}

#[test]
fn responses_that_come_together_are_read_one_by_one() {
    let mut buffer = RESPONSES.concat().into_bytes();
    for _ in RESPONSES {
        assert_eq!(take(&mut buffer, false), Ok(Some(ok())));
    }
    assert_eq!(take(&mut buffer, false), Ok(None));
}

#[test]
fn a_response_without_a_length_ends_with_the_connection() {
    let mut buffer = b"HTTP/1.1 500 Oops\r\n\r\nwhy".to_vec();
    assert_eq!(take(&mut buffer, false), Ok(None));
    let expected = OwnedResponse { status: 500, identifier: None, body: b"why".to_vec(), closes: true };
    assert_eq!(take(&mut buffer, true), Ok(Some(expected)));
}

#[test]
fn response_distinguishes_keep_alive_from_close() {
    for (head, closes) in [
        ("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n", false),
        ("HTTP/1.1 200 OK\r\ncontent-length: 0\r\nConnection: Close\r\n\r\n", true),
        ("HTTP/1.1 200 OK\r\ncontent-length: 0\r\nconnection: x, close\r\n\r\n", true),
        ("HTTP/1.0 200 OK\r\ncontent-length: 0\r\n\r\n", true),
        ("HTTP/1.0 200 OK\r\ncontent-length: 0\r\nconnection: keep-alive\r\n\r\n", false),
    ] {
        let mut buffer = head.as_bytes().to_vec();
        assert_eq!(take(&mut buffer, false).unwrap().unwrap().closes, closes, "{head:?}");
    }
}

#[test]
fn responses_without_a_body_need_no_length() {
    let mut buffer = b"HTTP/1.1 204 No Content\r\n\r\n".to_vec();
    assert_eq!(take(&mut buffer, false).unwrap().unwrap().status, 204);
}

#[test]
fn what_is_no_response_is_refused_and_never_waited_for() {
    for (bytes, expected) in [
        ("SSH-2.0-OpenSSH", ResponseError::StatusLine),
        ("HTTP/2.0 200 OK\r\n", ResponseError::StatusLine),
        ("HTTP/1.2 200 OK\r\n", ResponseError::StatusLine),
        ("HTTP/1.1 20 OK\r\n", ResponseError::StatusLine),
        ("HTTP/1.1 +20 OK\r\n", ResponseError::StatusLine),
        ("HTTP/1.1  200 OK\r\n", ResponseError::StatusLine),
        ("HTTP/1.1 200 OK\r\nno colon\r\n\r\n", ResponseError::Header),
        ("HTTP/1.1 200 OK\r\n: nameless\r\n\r\n", ResponseError::Header),
        ("HTTP/1.1 200 OK\r\na: 1\r\n b: folded\r\n\r\n", ResponseError::Header),
        ("HTTP/1.1 200 OK\r\na: \0\r\n\r\n", ResponseError::Header),
        ("HTTP/1.1 200 OK\r\ncontent-length: many\r\n\r\n", ResponseError::ContentLength),
        ("HTTP/1.1 200 OK\r\ncontent-length: 99999999999\r\n\r\n", ResponseError::ContentLength),
        ("HTTP/1.1 200 OK\r\ncontent-length: 300000\r\n\r\n", ResponseError::ContentLength),
        ("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n", ResponseError::ChunkSize),
        ("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n\r\n", ResponseError::ChunkSize),
        ("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n1\r\nabc\r\n", ResponseError::ChunkEnd),
        ("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nffffffffffffffff\r\n", ResponseError::ChunkSize),
    ] {
        assert_eq!(take(&mut bytes.as_bytes().to_vec(), false), Err(expected), "{bytes:?}");
    }
    let mut cut_off = b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nabc".to_vec();
    assert_eq!(take(&mut cut_off, true), Err(ResponseError::Truncated));
}

#[test]
fn a_response_that_is_too_long_is_refused() {
    let mut endless = b"HTTP/1.1 200 ".to_vec();
    endless.resize(MAX_RESPONSE_BYTES + 1, b'x');
    assert_eq!(take(&mut endless, false), Err(ResponseError::TooLong));
    let chunk = format!("1000\r\n{}\r\n", "x".repeat(0x1000));
    let chunks = chunk.repeat(MAX_RESPONSE_BYTES / 0x1000);
    let mut long = format!("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n{chunks}0\r\n\r\n").into_bytes();
    assert_eq!(take(&mut long, false), Err(ResponseError::TooLong));
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
        let mut buffer = vec![];
        for _ in 0..rng.random_range(0..40) {
            buffer.extend_from_slice(PIECES[rng.random_range(0..PIECES.len())].as_bytes());
            let _ = take(&mut buffer, rng.random_range(0..8) == 0);
        }
    }
}
