//! Messages are read as they were written, and nothing that is no message is read as one.

use super::*;

fn nested(depth: usize) -> Value {
    (0..depth).fold(Value::Null, |value, _| Value::Array(vec![value]))
}

fn value() -> Value {
    Value::Map(vec![
        (b"null".to_vec(), Value::Null),
        (b"flags".to_vec(), Value::Array(vec![Value::Bool(true), Value::Bool(false)])),
        (b"numbers".to_vec(), Value::Array(vec![Value::Signed(-1), Value::Unsigned(u64::MAX), Value::Float(0.5)])),
        (vec![0xff, 0], Value::Text(vec![0xfe])),
        (Vec::new(), nested(MAX_DEPTH - 1)),
    ])
}

fn frame(write: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
    let mut out = Vec::new();
    write(&mut out);
    let mut frames = Frames::default();
    frames.push(&out);
    frames.take().unwrap().unwrap().to_vec()
}

fn replies() -> [Reply; 3] {
    [
        Reply::Ready { waf_version: b"2.1.0".to_vec(), rules_version: b"1.18.2".to_vec(), loaded: 205, failed: 1 },
        Reply::Refused(b"no rules".to_vec()),
        Reply::Outcome { context: 7, status: WafStatus::Match, result: value() },
    ]
}

#[test]
fn messages_are_read_as_they_were_written() {
    let mut addresses = Vec::new();
    value().write(&mut addresses);
    for request in [
        Request::Configure { rules: b"{}", obfuscator: b"" },
        Request::Evaluate { context: u32::MAX, budget: 5000, addresses: &addresses },
        Request::Close { context: 1 },
    ] {
        let frame = frame(|out| request.write(out));
        assert_eq!(Request::read(&frame), Ok(request));
    }
    for reply in replies() {
        assert_eq!(Reply::read(&frame(|out| reply.write(out))), Ok(reply));
    }
}

#[test]
fn a_message_that_is_cut_or_longer_is_refused() {
    for reply in replies() {
        let frame = frame(|out| reply.write(out));
        for length in 0..frame.len() {
            assert_eq!(Reply::read(&frame[..length]), Err(Error::Truncated), "{length} of {}", frame.len());
        }
        assert_eq!(Reply::read(&[&frame[..], &[0]].concat()), Err(Error::Trailing));
    }
}

#[test]
fn every_changed_byte_is_read_without_a_panic() {
    for reply in replies() {
        let frame = frame(|out| reply.write(out));
        for at in 0..frame.len() {
            for other in [0, 1, 6, 7, 8, 0x7f, 0xff] {
                let mut changed = frame.clone();
                changed[at] = other;
                let _ = Reply::read(&changed);
                let _ = Request::read(&changed);
            }
        }
    }
}

#[test]
fn another_version_is_refused() {
    for (mut frame, is_request) in [
        (frame(|out| replies()[0].write(out)), false),
        (frame(|out| Request::Configure { rules: b"", obfuscator: b"" }.write(out)), true),
    ] {
        frame[1] = VERSION + 1;
        let error = if is_request { Request::read(&frame).map(drop) } else { Reply::read(&frame).map(drop) };
        assert_eq!(error, Err(Error::Tag(VERSION + 1)));
    }
}

#[test]
fn deep_values_and_counts_beyond_the_bytes_are_refused() {
    let mut out = Vec::new();
    nested(MAX_DEPTH + 1).write(&mut out);
    assert_eq!(Value::read(&mut Reader::new(&out)), Err(Error::Depth));
    for tag in [7, 8] {
        assert_eq!(Value::read(&mut Reader::new(&[tag, 0xff, 0xff, 0xff, 0xff])), Err(Error::Truncated));
    }
}

#[test]
fn values_have_a_bounded_number_of_others_in_them() {
    for (count, is_read) in [(MAX_VALUES - 1, true), (MAX_VALUES, false)] {
        for value in [
            Value::Array(vec![Value::Null; count]),
            Value::Map(vec![(Vec::new(), Value::Null); count]),
            Value::Array(vec![Value::Array(vec![Value::Null; count - 1])]),
        ] {
            let mut out = Vec::new();
            value.write(&mut out);
            let expected = if is_read { Ok(value) } else { Err(Error::Values) };
            assert!(Value::read(&mut Reader::new(&out)) == expected, "{count}");
        }
    }
}

#[test]
fn frames_of_the_worker_are_shorter_than_those_of_the_agent() {
    let length = u32::try_from(MAX_REPLY_BYTES + 1).unwrap().to_le_bytes();
    for (mut frames, expected) in
        [(Frames::default(), Ok(None)), (Frames::of_replies(), Err(Error::Length(MAX_REPLY_BYTES + 1)))]
    {
        frames.push(&length);
        assert_eq!(frames.take(), expected);
    }
}

#[test]
fn frames_are_found_in_pieces_and_bounded() {
    let mut all = Vec::new();
    for reply in replies() {
        reply.write(&mut all);
    }
    let mut frames = Frames::default();
    let mut found = Vec::new();
    for piece in all.chunks(3) {
        frames.push(piece);
        while let Some(frame) = frames.take().unwrap() {
            found.push(Reply::read(frame).unwrap());
        }
    }
    assert_eq!(found, replies());
    let mut frames = Frames::default();
    frames.push(&u32::MAX.to_le_bytes());
    assert_eq!(frames.take().unwrap_err(), Error::Length(u32::MAX as usize));
}
